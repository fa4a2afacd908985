"""OpinionPredict with adapters of the strategies sequence and prompt.

python -m pytest tests/doors/test_predict_strategies.py
"""

import numpy as np
import pytest
import torch
from helpers import called

from utils import predict
from utils.config import Config
from utils.data.topics import Topic
from utils.models.adapters import adapter_weights, add_adapter, save_adapter
from utils.models.load import load_model
from utils.predict import OpinionPredict
from utils.system.errors import ModelError
from utils.system.files import read_json, write_json
from utils.tasks.ask import predict as ask
from utils.tasks.forms import opinion_task

TOPICS = {name: Topic.read(name) for name in ("new-stadium", "four-day-week")}
TEXTS = ["Four days are enough.", "No stadium, please.", "So what?"]


@pytest.fixture(params=["sequence", "prompt"])
def made(request, tiny_model_folder, tmp_path):
    """(an adapter's folder, its task, the model that has it, its tokenizer): random weights."""
    task = opinion_task(TOPICS, "regression", request.param)
    config = Config(model=tiny_model_folder, precision="float32", quantization="none", strategy=request.param)
    model, tokenizer = load_model(tiny_model_folder, precision="float32", outputs=task.outputs)
    torch.manual_seed(2)
    model = add_adapter(model, **config.adapter_settings()).eval()
    for _, weight in adapter_weights(model):
        weight.data += torch.randn_like(weight) * 0.1
    save_adapter(model, tmp_path / "adapter", tiny_model_folder)
    record = {"task": "opinion", "parameters": config.as_dict(), "labels": task.labels.as_dict(), "revision": "abc"}
    write_json({**record, **task.decided([], list)}, tmp_path / "adapter" / "training.json")
    return tmp_path / "adapter", task, model, tokenizer


def test_an_adapter_answers_as_the_model_that_was_saved(made):
    adapter, task, model, tokenizer = made
    predictor = OpinionPredict(model_path=adapter)
    found = predictor.predict(TEXTS, batch=2)
    labelled, _ = ask(task, model, tokenizer, predictor.asked(TEXTS), predictor.config.inference())
    wanted = [[text["opinions"][name]["score"] for name in TOPICS] for text in labelled]
    assert found == pytest.approx(np.array(wanted), abs=1e-4) and np.ptp(found) > 1e-3
    with pytest.raises(ModelError, match="not .generation."):
        OpinionPredict(model_path=adapter, strategy="generation")


def test_the_command_labels_a_file(made, tmp_path):
    adapter, task, *_ = made
    (tmp_path / "texts.csv").write_text("text\n" + "\n".join(f'"{text}"' for text in TEXTS) + "\n")
    given = [tmp_path / "texts.csv", "--task", "opinion", "--topic", "new-stadium", "--adapter", adapter]
    status, said = called(predict.main, *given, "--out", tmp_path / "out.csv")
    assert status == 0 and "LOAD REPORT" not in said, "transformers would warn of the fresh head"
    lines = (tmp_path / "out.csv").read_text().splitlines()
    found = OpinionPredict(model_path=adapter, topic="new-stadium").predict(TEXTS)
    (column,) = [place for place, name in enumerate(lines[0].split(",")) if name.endswith("score")]
    assert len(lines) == 4 and float(lines[-1].split(",")[column]) == pytest.approx(found[-1], abs=1e-4)
    assert read_json(tmp_path / "out.record.json")
