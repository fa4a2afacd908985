"""Adapter methods by name: what METHODS says of one is all that saving, loading and journals need.

python -m pytest tests/models/test_adapter_methods.py
"""

from contextlib import nullcontext

import pytest
import torch
import transformers
import yaml
from helpers import ROOT, SMALL, randomize, small_adapter, stopped_training, with_adapter
from one_sequence import pefts_own
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from utils.config import CHOICES, Config, load_config
from utils.engine.inference import fingerprint, score_trees
from utils.engine.prefix_tree import TreeEncoder
from utils.engine.rows import encode_trees
from utils.engine.settings import TrainingSettings
from utils.engine.trainer import train
from utils.models.adapters import adapter_weights, add_adapter, load_adapter, save_adapter
from utils.models.adapting import TITLES
from utils.models.load import empty_model, load_model
from utils.models.methods import METHODS
from utils.system import hardware
from utils.system.errors import ConfigError, ModelError, TrainingError
from utils.system.files import read_json, write_json
from utils.tasks import emotion


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


def fresh(folder, method):
    return small_adapter(load_model(folder, precision="float32")[0], folder, method)


def learnt(folder, method, seed=1):
    return with_adapter(folder, seed=seed, method=method).eval()


@torch.no_grad()
def logits(model):
    return model(input_ids=torch.arange(1, 9)[None]).logits


def test_the_methods_are_those_of_the_parameter():
    assert tuple(METHODS) == tuple(TITLES) == CHOICES["adapter"]


def test_the_adapters_weights_are_what_is_trained(tiny_model_folder, method):
    model = fresh(tiny_model_folder, method)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained and [name for name, _ in adapter_weights(model)] == trained
    assert {parameter.dtype for _, parameter in adapter_weights(model)} == {torch.float32}
    assert not list(adapter_weights(load_model(tiny_model_folder)[0]))


def test_an_adapter_that_learnt_nothing_is_not_saved(tiny_model_folder, tmp_path, method):
    with pytest.raises(ModelError, match="nothing was trained"):
        save_adapter(fresh(tiny_model_folder, method), tmp_path / "adapter", tiny_model_folder)
    assert not (tmp_path / "adapter").exists()


def test_a_saved_adapter_computes_the_same(tiny_model_folder, tmp_path, method):
    model = learnt(tiny_model_folder, method)
    save_adapter(model, tmp_path / "adapter", tiny_model_folder)
    base = load_model(tiny_model_folder, precision="float32")[0]
    assert fingerprint(base) != fingerprint(model)
    loaded = load_adapter(base, tmp_path / "adapter", tiny_model_folder, name="emotion")
    assert torch.equal(logits(loaded), logits(model)) and fingerprint(loaded) == fingerprint(model)


def test_plain_peft_computes_the_same(tiny_model_folder, tmp_path, method):
    model = learnt(tiny_model_folder, method)
    save_adapter(model, tmp_path, tiny_model_folder)
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
    alone = PeftModel.from_pretrained(base, tmp_path).eval()
    with pefts_own(model):
        assert torch.allclose(logits(alone), logits(model), atol=1e-5)


def test_two_adapters_on_one_model_do_not_mix(tiny_model_folder, tmp_path, method):
    models = {name: learnt(tiny_model_folder, method, seed) for seed, name in enumerate(("emotion", "cause"))}
    for name, model in models.items():
        save_adapter(model, tmp_path / name, tiny_model_folder)
    both = load_model(tiny_model_folder, precision="float32")[0]
    for name in models:
        both = load_adapter(both, tmp_path / name, tiny_model_folder, name=name)
    for name in ("emotion", "cause", "emotion"):
        both.set_adapter(name)
        assert torch.equal(logits(both), logits(models[name]))
    assert not torch.equal(logits(models["cause"]), logits(models["emotion"]))


def test_a_file_without_one_weight_is_refused(tiny_model_folder, tmp_path, method):
    save_adapter(learnt(tiny_model_folder, method), tmp_path / "adapter", tiny_model_folder)
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    weights = load_file(path)
    weights["something_else"] = weights.pop(next(iter(weights)))
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks 1 tensors|KeyError|prompt_embeddings"):
        load_adapter(load_model(tiny_model_folder)[0], tmp_path / "adapter", tiny_model_folder)


def test_factors_stay_float32_and_the_rest_is_in_the_models_type(tiny_model_folder, tmp_path, method):
    if not hardware.cpu_bfloat16_works():
        pytest.skip("this processor does not compute in bfloat16")
    base = load_model(tiny_model_folder, precision="bfloat16")[0]
    torch.manual_seed(2)
    model = randomize(small_adapter(base, tiny_model_folder, method))
    save_adapter(model, tmp_path, tiny_model_folder)
    exact = [torch.float32 if METHODS[method].exact(name) else torch.bfloat16 for name, _ in adapter_weights(model)]
    saved = [one.dtype for one in load_file(tmp_path / "adapter_model.safetensors").values()]
    assert sorted(map(str, saved)) == sorted(map(str, exact))
    loaded = load_adapter(load_model(tiny_model_folder, precision="bfloat16")[0], tmp_path, tiny_model_folder)
    assert [one.dtype for _, one in adapter_weights(loaded)] == exact
    whole = load_adapter(load_model(tiny_model_folder, precision="float32")[0], tmp_path, tiny_model_folder)
    assert (logits(loaded).float() - logits(whole)).abs().max() < 0.05 * logits(whole).abs().max()


def test_an_interrupted_training_goes_on_to_the_same_weights(tiny_model_folder, conversations, tmp_path, method):
    def trained(folder, stop=None):
        model, tokenizer = load_model(tiny_model_folder, precision="float32")
        torch.manual_seed(0)
        model = randomize(small_adapter(model, tiny_model_folder, method))
        trees = [emotion.tree(c, train=True) for c in conversations]
        rows = encode_trees(trees, ["a", "b", "c"], tokenizer, 4096, train=True)
        settings = TrainingSettings(learning_rate=0.01, epochs=3, gradient_accumulation=1)
        with stopped_training(stop) if stop else nullcontext():
            train(model, tokenizer, rows, settings, folder)
        return {name: parameter.detach() for name, parameter in adapter_weights(model)}

    whole = trained(tmp_path / "whole")
    trained(tmp_path / "cut", stop=4)
    again = trained(tmp_path / "cut")
    assert whole and all(torch.equal(whole[name], again[name]) for name in whole)


def test_layers_on_the_disk_score_the_same(tiny_model_folder, conversations, tmp_path, monkeypatch, method):
    trees, model = [emotion.tree(c) for c in conversations], learnt(tiny_model_folder, method)
    save_adapter(model, tmp_path / "adapter", tiny_model_folder)
    tokenizer = load_model(tiny_model_folder)[1]
    wanted = score_trees(model, tokenizer, trees, list("abc"), 512, 4096)
    monkeypatch.setattr(transformers.integrations.accelerate, "get_max_memory", lambda *_: {"cpu": 350_000})
    base = load_model(tiny_model_folder, precision="float32", offload=True)[0]
    if method == "dora":
        with pytest.raises(ModelError, match="DoRA reads the base model's weights"):
            load_adapter(base, tmp_path / "adapter", tiny_model_folder)
        return
    loaded = load_adapter(base, tmp_path / "adapter", tiny_model_folder)
    found = score_trees(loaded, tokenizer, trees, list("abc"), 512, 4096)
    assert torch.allclose(torch.tensor(sum(found, [])), torch.tensor(sum(wanted, [])), atol=1e-5)


# ---- refusals ------------------------------------------------------------------------------------------------------


def test_an_adapter_of_an_unknown_method_is_refused_by_name(tiny_model_folder, tmp_path):
    save_adapter(learnt(tiny_model_folder, "lora"), tmp_path, tiny_model_folder)
    record = read_json(tmp_path / "adapter_config.json")
    write_json({**record, "peft_type": "VERA"}, tmp_path / "adapter_config.json")
    with pytest.raises(ModelError, match="an adapter of the kind 'VERA'; known are lora"):
        load_adapter(load_model(tiny_model_folder)[0], tmp_path, tiny_model_folder)


@pytest.mark.parametrize(
    ("model_type", "more", "why"),
    [
        ("qwen2", {}, "it is a qwen2"),
        ("llama", {"attention_bias": True}, "it has a bias in its attention"),
        ("llama", {"head_dim": 8}, "its 16 dimensions of heads are not the width 32"),
    ],
)
def test_a_model_that_pefts_llama_adapter_would_compute_wrongly_is_refused(model_type, more, why):
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **SMALL | more))
    with pytest.raises(ModelError, match=f"parameter adapter is llama_adapter, .*{why}. Give another adapter"):
        add_adapter(model, "llama_adapter", tokens=3, layers=0)


def test_more_layers_than_there_are_are_refused(tiny_model_folder):
    with pytest.raises(ModelError, match="parameter adapter_layers is 9, and the model has 2"):
        add_adapter(load_model(tiny_model_folder)[0], "llama_adapter", tokens=3, layers=9)


def test_a_model_whose_modules_peft_does_not_know_is_refused():
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("olmo", **SMALL))
    with pytest.raises(ModelError, match="parameter adapter is ia3: Please specify"):
        add_adapter(model, "ia3")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"strategy": "prompt", "adapter": "ia3"}, "adapter is ia3; strategy prompt learns virtual tokens alone"),
        (
            {"strategy": "sequence", "adapter": "llama_adapter"},
            "strategy sequence trains a head too.*lora, dora or ia3",
        ),
        ({"strategy": "sequence", "adapter": "prompt_tuning"}, "strategy sequence trains a head too"),
        ({"recipe": "published", "adapter": "prompt_tuning"}, "recipe published has no place for virtual tokens"),
        ({"adapter": "qlora"}, "adapter is 'qlora'"),
        ({"adapter_layers": -1}, "adapter_layers"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(parameters, message):
    with pytest.raises(ConfigError, match=message):
        Config.of(parameters)


def test_virtual_tokens_count_among_the_models_positions(tiny_model_folder, tokenizer, conversations):
    tree = emotion.tree(conversations[0])
    longest = 1 + max(TreeEncoder(tokenizer)(tree, train=False).positions)
    sizes = {"vocab_size": len(tokenizer), "n_embd": 32, "n_layer": 1, "n_head": 2}
    for positions, fits in ((longest + 5, True), (longest + 4, False)):
        config = AutoConfig.for_model("gpt2", **sizes, n_positions=positions)
        model = AutoModelForCausalLM.from_config(config).eval()
        score_trees(model, tokenizer, [tree], ["a"], 512, 4096)
        adapted = small_adapter(model, tiny_model_folder, "prompt_tuning")
        with nullcontext() if fits else pytest.raises(TrainingError, match=f"the model has {positions} positions"):
            score_trees(adapted, tokenizer, [tree], ["a"], 512, 4096)


# ---- settings, and sizes -------------------------------------------------------------------------------------------


def test_the_parameters_name_the_method_and_its_settings(tiny_model_folder):
    settings = Config(lora_r=4, lora_alpha=8, lora_dropout=0.1, lora_targets=["q_proj"]).adapter_settings()
    made = METHODS[settings.pop("method")].config(None, **settings)
    assert (made.r, made.lora_alpha, made.lora_dropout, made.target_modules) == (4, 8, 0.1, {"q_proj"})
    assert not made.use_dora
    settings = Config(adapter="dora", lora_r=4).adapter_settings()
    assert METHODS[settings.pop("method")].config(None, **settings).use_dora
    one, other = Config(strategy="prompt").adapter_settings("Why?"), Config(adapter="prompt_tuning")
    assert one == other.adapter_settings("Why?") and one["text"] == "Why?"


@pytest.fixture(scope="module")
def smollm2(tokenizer, tmp_path_factory):
    """SmolLM2-135M's shape, without weights."""
    folder = tmp_path_factory.mktemp("135m")
    transformers.LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def trained_numbers(model, **parameters):
    """How many numbers an adapter of a model without weights has."""
    adapted = add_adapter(
        empty_model(model, torch.float32, "plain"), **Config(model=model, **parameters).adapter_settings()
    )
    return sum(weight.numel() for _, weight in adapter_weights(adapted))


def test_the_rows_of_the_study_have_equally_many(smollm2):
    study = yaml.safe_load((ROOT / "configs/studies/adapters-ecf.yaml").read_text(encoding="utf-8"))
    shared = load_config(ROOT / study["config"])
    found = {name: trained_numbers(**{**shared, "model": smollm2, **row}) for name, row in study["rows"].items()}
    assert found.pop("lora on all layers") == 2_442_240
    assert {*found} == {*METHODS} and {*found.values()} == {57_600, 57_610} and found["llama_adapter"] == 57_610


def test_the_sizes_in_the_docs_are_those_of_the_default_parameters(smollm2):
    text = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    for name in METHODS:
        assert f"| `{name}` | " in text and f"| {trained_numbers(smollm2, adapter=name):,} |" in text, name
