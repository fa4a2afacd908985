"""Adapter methods by name: what METHODS says of one is all that saving, loading and journals need.

python -m pytest tests/models/test_adapter_methods.py
"""

from dataclasses import replace

import pytest
import torch
from peft import IA3Config

from utils.config import Config
from utils.engine.inference import fingerprint
from utils.models.adapters import METHODS, Method, adapter_weights, add_adapter, load_adapter, save_adapter
from utils.models.load import load_model
from utils.system.errors import ModelError
from utils.system.files import read_json, write_json

SETTINGS = {"lora": {"r": 4, "alpha": 8, "dropout": 0.0, "targets": "all-linear"}}


@pytest.fixture(params=["lora", "ia3"])
def method(request, monkeypatch):
    """LoRA, and a method that the code does not know: its weights are factors, all one before any training."""
    if request.param == "ia3":
        ia3 = Method(
            config=lambda targets: IA3Config(target_modules=targets, feedforward_modules=[], task_type="CAUSAL_LM"),
            is_weight=lambda name: "ia3_l" in name,
            is_empty=lambda weights: all(bool((weight == 1).all()) for weight in weights.values()),
            keys=dict.fromkeys(IA3Config().to_dict(), lambda value: True),
        )
        monkeypatch.setitem(METHODS, "ia3", ia3)
        monkeypatch.setitem(SETTINGS, "ia3", {"targets": r".*_proj"})
    return request.param


def fresh(folder, method):
    return add_adapter(load_model(folder, precision="float32")[0], method, **SETTINGS[method])


def learn(model):
    torch.manual_seed(1)
    for _, weight in adapter_weights(model):
        weight.data = torch.randn_like(weight)
    return model.eval()


@torch.no_grad()
def logits(model):
    return model(input_ids=torch.arange(1, 9)[None]).logits


def test_the_adapters_weights_are_what_is_trained(tiny_model_folder, method):
    model = fresh(tiny_model_folder, method)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained and [name for name, _ in adapter_weights(model)] == trained
    assert not list(adapter_weights(load_model(tiny_model_folder)[0]))


def test_an_adapter_that_learnt_nothing_is_not_saved(tiny_model_folder, tmp_path, method):
    with pytest.raises(ModelError, match="nothing was trained"):
        save_adapter(fresh(tiny_model_folder, method), tmp_path / "adapter", tiny_model_folder)
    assert not (tmp_path / "adapter").exists()


def test_a_saved_adapter_computes_the_same(tiny_model_folder, tmp_path, method):
    model = learn(fresh(tiny_model_folder, method))
    save_adapter(model, tmp_path / "adapter", tiny_model_folder)
    base = load_model(tiny_model_folder, precision="float32")[0]
    assert fingerprint(base) != fingerprint(model)
    loaded = load_adapter(base, tmp_path / "adapter", tiny_model_folder, name="emotion")
    assert torch.equal(logits(loaded), logits(model)) and fingerprint(loaded) == fingerprint(model)


def test_a_file_without_one_weight_is_refused(tiny_model_folder, tmp_path, method, monkeypatch):
    model = learn(fresh(tiny_model_folder, method))
    first = next(name for name, _ in adapter_weights(model))
    known = METHODS[method].is_weight
    less = replace(METHODS[method], is_weight=lambda name: known(name) and name != first)
    monkeypatch.setitem(METHODS, method, less)
    save_adapter(model, tmp_path / "adapter", tiny_model_folder)
    monkeypatch.setitem(METHODS, method, replace(less, is_weight=known))
    with pytest.raises(ModelError, match="lacks 1 tensors"):
        load_adapter(load_model(tiny_model_folder)[0], tmp_path / "adapter", tiny_model_folder)


def test_an_adapter_of_an_unknown_method_is_refused_by_name(tiny_model_folder, tmp_path):
    save_adapter(learn(fresh(tiny_model_folder, "lora")), tmp_path, tiny_model_folder)
    record = read_json(tmp_path / "adapter_config.json")
    write_json({**record, "peft_type": "VERA"}, tmp_path / "adapter_config.json")
    with pytest.raises(ModelError, match="an adapter of the kind 'VERA'; known are lora"):
        load_adapter(load_model(tiny_model_folder)[0], tmp_path, tiny_model_folder)


def test_the_parameters_name_the_method_and_its_settings():
    settings = Config(lora_r=4, lora_alpha=8, lora_dropout=0.1, lora_targets=["q_proj"]).adapter()
    made = METHODS[settings.pop("method")].config(**settings)
    assert (made.r, made.lora_alpha, made.lora_dropout, made.target_modules) == (4, 8, 0.1, {"q_proj"})
