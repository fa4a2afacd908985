"""utils.predict with adapters of several kinds, and of two kinds at once.

python -m pytest tests/doors/test_predict_adapters.py
"""

import sys
import types

import pytest
from helpers import called, with_adapter

from utils import predict_vllm
from utils.config import Config
from utils.data.labels import ECF
from utils.models.adapters import load_adapter, save_adapter
from utils.models.adapting import TITLES
from utils.models.load import load_model
from utils.predict import Predictor
from utils.record.adapter import labels_of
from utils.system.files import write_json
from utils.tasks.ask import predict


def made(folder, base, task, method):
    """The folder of an adapter of `task` with random weights, as training leaves it."""
    save_adapter(with_adapter(base, seed=len(method), method=method), folder, base)
    config = Config(model=base, quantization="none", precision="float32", adapter=method)
    counted = {"emotions": dict.fromkeys(ECF, 1)}
    write_json({"task": task, "parameters": config.as_dict(), "revision": "abc", **counted}, folder / "training.json")
    return folder


def answered(adapter, base, task, given):
    """What the adapter alone on its base model answers."""
    config = Config(model=base, precision="float32")
    model, tokenizer = load_model(base, precision="float32")
    asks = config.task(task, labels_of(adapter)).trained(adapter)
    return predict(asks, load_adapter(model, adapter, base), tokenizer, given, config.inference())


@pytest.mark.parametrize(("one", "other"), [*zip(TITLES, TITLES), ("lora", "dora"), ("ia3", "llama_adapter")])
def test_two_adapters_answer_as_each_does_alone(tiny_model_folder, conversations, tmp_path, one, other):
    emotion = made(tmp_path / "emotion", tiny_model_folder, "emotion", one)
    cause = made(tmp_path / "cause", tiny_model_folder, "cause", other)
    found, emotions, causes = Predictor(emotion, cause)(conversations)
    labelled, tables = answered(emotion, tiny_model_folder, "emotion", conversations)
    assert emotions == tables and [c["conversation"] for c in found] == [c["conversation"] for c in labelled]
    assert any(causes), "some utterance has an emotion"


def test_vllm_is_given_lora_alone(tiny_model_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", types.SimpleNamespace(LLM=None))
    folders = [made(tmp_path / task, tiny_model_folder, task, "dora") for task in ("emotion", "cause")]
    given = tmp_path / "given.json"
    write_json([{"conversation_ID": 1, "conversation": [{"utterance_ID": 1, "text": "Hi", "speaker": "A"}]}], given)
    where = ["--emotion-adapter", folders[0], "--cause-adapter", folders[1]]
    status, said = called(predict_vllm.main, given, "--out", tmp_path / "out.json", *where)
    assert status == 2 and "vLLM takes adapters of the kind lora alone" in said
