"""The route over vLLM, with transformers in the engine's place: the labels of utils.predict, one token an answer.

    python -m pytest tests/doors/test_predict_vllm.py

The engine itself is imitated. That it takes these arguments was read in vLLM 0.33; where it is installed, it is asked.
"""

import importlib.util
import inspect
import json
import sys
import types
from dataclasses import replace

import numpy
import pytest
import torch
from helpers import middle_threshold, randomize

from utils import predict_vllm
from utils.data.conversations import names_of, without_labels
from utils.data.labels import ECF
from utils.engine.rows import encode_trees
from utils.engine.settings import InferenceSettings
from utils.models.adapters import add_lora, load_adapter, save_adapter
from utils.models.load import load_model, load_tokenizer
from utils.predict import Predictor, predict
from utils.predict_vllm import Labeller, questions
from utils.system.errors import EngineError, ModelError
from utils.system.files import read_json, write_json
from utils.tasks import cause_structure, emotion
from utils.tasks.ask import predict as predict_task

WORDS = " ".join(f" {label}" for label in ECF)


@pytest.fixture(scope="module")
def whole_words(tmp_path_factory, sample):
    """A folder with a tiny model whose tokenizer knows every answer as one token, as SmolLM2's does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("whole-words")
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|end|>"],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    texts = [u["text"] for c in sample for u in c["conversation"]] + [f"{WORDS} yes no"] * 1000
    backend.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>")
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def adapters_of(model_folder, folder, **parameters):
    """Two random adapters of a model, as notebooks 1 and 3 leave them."""
    found = []
    for seed, task in enumerate(("emotion", "cause")):
        model = add_lora(load_model(model_folder, precision="float32")[0], 4, 8, 0.0, "all-linear")
        save_adapter(randomize(model, seed), folder / task, model_folder)
        parameters = {"model": model_folder, "precision": "float32", "cause_threshold": 0.1, **parameters}
        emotions = {label: number + 1 for number, label in enumerate(ECF)}
        write_json({"parameters": parameters, "emotions": emotions}, folder / task / "training.json")
        found.append(folder / task)
    return found


@pytest.fixture
def vllm(monkeypatch, whole_words):
    """vLLM's names, with transformers behind `generate`; `seen` collects what it was asked."""
    module, lora = types.ModuleType("vllm"), types.ModuleType("vllm.lora.request")
    module.SamplingParams = lambda **values: types.SimpleNamespace(**values)
    lora.LoRARequest = lambda name, number, path: types.SimpleNamespace(name=name, number=number, path=path)
    module.seen = []

    class LLM:
        def __init__(self, **options):
            self.options = options
            module.engine = self

        @torch.no_grad()
        def generate(self, prompts, sampling_params, lora_request):
            model, _ = load_model(whole_words, precision="float32")
            model = load_adapter(model, lora_request.path, whole_words)
            module.seen.append((lora_request.name, lora_request.number, len(prompts)))
            return [self.answer(model, prompt, wanted) for prompt, wanted in zip(prompts, sampling_params, strict=True)]

        def answer(self, model, prompt, wanted):
            assert (wanted.temperature, wanted.max_tokens) == (0, 1)
            logits = model(input_ids=torch.tensor([prompt["prompt_token_ids"]])).logits[0, -1].float()
            logp = logits.log_softmax(-1)
            ids = {*wanted.logprob_token_ids, int(logp.argmax())}
            found = {token: types.SimpleNamespace(logprob=logp[token].item()) for token in ids}
            return types.SimpleNamespace(outputs=[types.SimpleNamespace(logprobs=[found])])

    module.LLM = LLM
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.lora", types.ModuleType("vllm.lora"))
    monkeypatch.setitem(sys.modules, "vllm.lora.request", lora)
    return module


def test_the_labels_are_those_of_predict(vllm, whole_words, sample, conversations, tmp_path):
    adapters = adapters_of(whole_words, tmp_path)
    write_json(read_json(adapters[1] / "training.json") | {"structure": True}, adapters[1] / "training.json")
    cause_structure.save(cause_structure.learn(sample[:40]), adapters[1])
    threshold = middle_threshold(*adapters, conversations)
    write_json([without_labels(c) for c in conversations], tmp_path / "given.json")
    arguments = [
        str(tmp_path / "given.json"),
        "--out",
        str(tmp_path / "pred.json"),
        "--emotion-adapter",
        str(adapters[0]),
        "--cause-adapter",
        str(adapters[1]),
    ]
    assert predict_vllm.main(arguments) == 0
    found = read_json(tmp_path / "pred.json")
    assert found == predict(conversations, *adapters)
    assert any(c["emotion-cause_pairs"] for c in found)
    predictor = Predictor(*adapters)
    _, tables, _ = predictor(conversations)
    model, tokenizer = predictor.models["cause"]
    model.set_adapter("cause")
    trained = predictor.tasks["cause"]
    assert trained.threshold == threshold and trained.structure
    for other in (replace(trained, structure=None).given_emotions(found, tables), trained):
        assert predict_task(other, model, tokenizer, found, InferenceSettings())[0] != found
    # both adapters on one engine, one request a question
    utterances = sum(len(c["conversation"]) for c in conversations)
    assert vllm.seen[0] == ("emotion", 1, utterances) and vllm.seen[1][:2] == ("cause", 2) and len(vllm.seen) == 2
    options = vllm.engine.options
    assert options["model"] == whole_words and options["dtype"] == "float32" and options["quantization"] is None
    assert options["enable_prefix_caching"] and options["enable_lora"] and options["max_lora_rank"] == 8
    # and as a worker of Ray Data
    labeller = Labeller(*adapters, engine=vllm.engine)
    batch = labeller({"conversation": numpy.array([json.dumps(c) for c in conversations])})
    assert [json.loads(text) for text in batch["conversation"]] == found


@pytest.mark.slow
def test_the_embedded_models_answers_begin_with_different_tokens(conversations):
    tokenizer = load_tokenizer("smollm2-135m-instruct")
    rows = encode_trees([emotion.tree(c) for c in conversations], names_of(conversations), tokenizer, 4096, train=False)
    assert len({token for _, first in questions(rows) for token in first}) == 7


def test_answers_that_begin_alike_are_refused(tiny_model_folder, conversations):
    """The tiny tokenizer of the other tests knows 500 tokens, and no whole label."""
    rows = encode_trees(
        [emotion.tree(c) for c in conversations],
        names_of(conversations),
        load_tokenizer(tiny_model_folder),
        4096,
        train=False,
    )
    with pytest.raises(EngineError, match="begin with the same token.*use utils.predict"):
        questions(rows)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"cause_form": "list"}, "cause_form candidates has one-token answers: use utils.predict"),
        ({"recipe": "published"}, "only recipe one_pass"),
    ],
)
def test_what_needs_more_than_a_token_is_refused(vllm, whole_words, tmp_path, parameters, says):
    with pytest.raises(EngineError, match=says):
        Labeller(*adapters_of(whole_words, tmp_path, **parameters))


def test_without_the_engine_or_an_adapter_it_says_so(whole_words, tmp_path, monkeypatch, conversations, capsys):
    monkeypatch.setitem(sys.modules, "vllm", None)
    adapters = adapters_of(whole_words, tmp_path)
    with pytest.raises(EngineError, match="pip install vllm"):
        Labeller(*adapters)
    with pytest.raises(ModelError):
        Labeller(tmp_path / "nowhere", adapters[1])
    write_json(conversations, tmp_path / "given.json")
    arguments = [
        str(tmp_path / "given.json"),
        "--out",
        str(tmp_path / "pred.json"),
        "--emotion-adapter",
        str(adapters[0]),
        "--cause-adapter",
        str(adapters[1]),
    ]
    assert predict_vllm.main(arguments) == 2
    assert "pip install vllm" in capsys.readouterr().err and not (tmp_path / "pred.json").exists()


@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
def test_the_real_vllm_takes_these_arguments():
    from vllm import LLM, SamplingParams

    SamplingParams(temperature=0, max_tokens=1, detokenize=False, logprob_token_ids=[1, 2])
    assert "lora_request" in inspect.signature(LLM.generate).parameters
