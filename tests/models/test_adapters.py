"""Adapters: what is saved is what was trained, and what is damaged or of another model is refused.

python -m pytest tests/models/test_adapters.py
"""

import json
import os

import pytest
import torch
from helpers import with_lora
from safetensors.torch import load_file, save_file
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from utils.engine.inference import score_trees
from utils.models.adapters import add_lora, gather_adapter, load_adapter, save_adapter
from utils.models.load import load_model
from utils.system import hardware
from utils.system.errors import ModelError, UserError
from utils.tasks import emotion


@pytest.fixture
def saved(tiny_model_folder, tmp_path):
    """Folder of a sound adapter of the tiny model."""
    save_adapter(with_lora(load_model(tiny_model_folder)[0]), tmp_path / "adapter", tiny_model_folder)
    return tmp_path / "adapter"


# ---- refusals -------------------------------------------------------------------------------------------------------


def damage(folder, fault):
    """Damages a sound adapter's folder."""
    weights, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    if fault == "missing":
        weights.unlink()
    elif fault == "empty":
        weights.write_bytes(weights.read_bytes()[:300])
    elif fault == "cut":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif fault == "not weights":
        weights.write_bytes(b"<html>" * 1000)
    elif fault == "config not JSON":
        config.write_text("{", encoding="utf-8")
    elif fault == "config a list":
        config.write_text("[]", encoding="utf-8")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", "no adapter here.*Run the training notebook"),
        ("empty", "holds no weights .300 bytes"),
        ("cut", "adapter"),
        ("not weights", "adapter"),
        ("config not JSON", "adapter_config.json"),
        ("config a list", "adapter_config.json"),
    ],
)
def test_damaged_adapters_are_refused(tiny_model_folder, saved, fault, message):
    damage(saved, fault)
    with pytest.raises(UserError, match=message):
        load_adapter(load_model(tiny_model_folder)[0], saved, tiny_model_folder)


@pytest.mark.parametrize("fault", ["empty", "other"])
def test_what_was_written_is_read_again_and_compared(tiny_model_folder, tmp_path, monkeypatch, fault):
    """PEFT once wrote files of 443 bytes, and said nothing."""
    model = with_lora(load_model(tiny_model_folder)[0])
    write = model.save_pretrained

    def written(folder, state_dict, **options):
        other = {name: weight * 1.1 for name, weight in state_dict.items()} if fault == "other" else {}
        write(folder, state_dict=other or state_dict, **options)
        if fault == "empty":
            save_file({}, folder / "adapter_model.safetensors")

    monkeypatch.setattr(model, "save_pretrained", written)
    with pytest.raises(ModelError, match=r"adapter_model.safetensors: .* holds other weights than were learnt .*lora_"):
        save_adapter(model, tmp_path / "adapter", tiny_model_folder)


def test_an_adapter_that_lacks_weights_is_refused(tiny_model_folder, saved):
    path = saved / "adapter_model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if "layers.1" not in k}, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"adapter_model.safetensors lacks \d+ tensors, .*layers.1"):
        load_adapter(load_model(tiny_model_folder)[0], saved, tiny_model_folder)


def test_adapters_of_nobody_and_of_another_model_are_refused(tiny_model_folder, saved, tmp_path):
    model = load_model(tiny_model_folder)[0]
    with pytest.raises(ModelError, match="no adapter here"):
        load_adapter(model, tmp_path / "nothing", tiny_model_folder)
    with pytest.raises(ModelError, match="made for base model .*tiny-llama.*, not 'another/model'"):
        load_adapter(model, saved, "another/model")
    # The names are equal, but the weights do not fit.
    config = json.loads((saved / "adapter_config.json").read_text(encoding="utf-8"))
    (saved / "adapter_config.json").write_text(json.dumps({**config, "r": 8}), encoding="utf-8")
    with pytest.raises(ModelError, match="does not fit the base model"):
        load_adapter(model, saved, tiny_model_folder)


def test_an_adapter_that_learnt_nothing_is_not_saved(tiny_model_folder, tmp_path):
    model = with_lora(load_model(tiny_model_folder)[0], zero=True)
    with pytest.raises(ModelError, match="as before any training: nothing was trained"):
        save_adapter(model, tmp_path / "adapter", tiny_model_folder)
    assert not (tmp_path / "adapter").exists()


def test_modules_that_a_model_does_not_have_are_named(tiny_model_folder):
    with pytest.raises(ModelError, match="lora_targets is 'all_linear'"):
        add_lora(load_model(tiny_model_folder)[0], 4, 4, 0.0, "all_linear")


def test_an_adapter_is_saved_without_asking_the_hub(tiny_model_folder, tmp_path, monkeypatch):
    def asked(*anything, **more):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", asked)
    save_adapter(with_lora(load_model(tiny_model_folder)[0]), tmp_path / "adapter", "smollm2-135m-instruct")


# ---- round trips ----------------------------------------------------------------------------------------------------


def test_the_embedded_models_hub_id_is_written_and_both_names_are_read(tiny_model_folder, tmp_path):
    """PEFT alone asks the hub for what the file names; files of before name the model as we do."""
    hub, ours = "HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2-135m-instruct"
    save_adapter(with_lora(load_model(tiny_model_folder)[0]), tmp_path / "adapter", ours)
    path = tmp_path / "adapter" / "adapter_config.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["base_model_name_or_path"] == hub
    for named in (hub, ours):
        path.write_text(json.dumps({**record, "base_model_name_or_path": named}), encoding="utf-8")
        for base in (hub, ours):
            load_adapter(load_model(tiny_model_folder)[0], tmp_path / "adapter", base)
        with pytest.raises(ModelError, match="made for base model"):
            load_adapter(load_model(tiny_model_folder)[0], tmp_path / "adapter", tiny_model_folder)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_others_may_read_what_the_umask_lets_them(tiny_model_folder, tmp_path, mask):
    before = os.umask(mask)
    try:
        save_adapter(with_lora(load_model(tiny_model_folder)[0]), tmp_path / "adapter", tiny_model_folder)
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "adapter").iterdir()}
    assert "adapter_model.safetensors" in modes and set(modes.values()) == {oct(0o666 & ~mask)}, modes


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_saved_adapter_scores_as_the_trained_one(tiny_model_folder, tmp_path, conversations, quantization):
    trees, names = [emotion.tree(c) for c in conversations], ["a", "b", "c"]
    model, tokenizer = load_model(tiny_model_folder, quantization, "float32")
    base = score_trees(model, tokenizer, trees, names, 512, 4096)
    model = with_lora(model).eval()
    trained = score_trees(model, tokenizer, trees, names, 512, 4096)
    save_adapter(model, tmp_path, tiny_model_folder)
    fresh = load_model(tiny_model_folder, quantization, "float32")[0]
    loaded = load_adapter(fresh, tmp_path, tiny_model_folder)
    assert not loaded.training
    assert score_trees(loaded, tokenizer, trees, names, 512, 4096) == trained != base


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_an_adapter_is_saved_in_its_models_type(tiny_model_folder, tmp_path, precision):
    model = with_lora(load_model(tiny_model_folder, precision="float32")[0].to(getattr(torch, precision)))
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert {p.dtype for p in trained.values()} == {torch.float32}
    save_adapter(model, tmp_path, tiny_model_folder)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert {p.dtype for p in saved.values()} == {getattr(torch, precision)}
    assert {name.replace(".default", ""): p.to(model.dtype).tolist() for name, p in trained.items()} == {
        name: p.tolist() for name, p in saved.items()
    }


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_loaded_adapter_computes_in_the_models_type(tiny_model_folder, saved, conversations, quantization):
    if not hardware.cpu_bfloat16_works():
        pytest.skip("this processor does not compute in bfloat16")
    loaded = load_adapter(load_model(tiny_model_folder, quantization, "bfloat16")[0], saved, tiny_model_folder)
    assert {p.dtype for name, p in loaded.named_parameters() if "lora_" in name} == {torch.bfloat16}
    tree, tokenizer = emotion.tree(conversations[0]), load_model(tiny_model_folder)[1]
    scores = torch.tensor(score_trees(loaded, tokenizer, [tree], ["a"], 512, 4096)[0])
    for name, parameter in loaded.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
    exact = torch.tensor(score_trees(loaded, tokenizer, [tree], ["a"], 512, 4096)[0])
    assert (scores - exact).abs().max() < 0.05 * exact.abs().max()


def test_a_divided_adapter_is_saved_whole(tiny_model_folder, tmp_path):
    """FSDP2's division itself, here of one process on a CPU."""
    model, _ = load_model(tiny_model_folder, precision="float32")
    model = add_lora(model, r=4, alpha=8, dropout=0.0, targets="all-linear")
    before = {}
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
        if parameter.requires_grad:
            before[name] = parameter.detach().clone()
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        for layer in model.get_base_model().model.layers:
            fully_shard(layer)
        assert any(isinstance(p, DTensor) for p in model.parameters() if p.requires_grad)
        gather_adapter(model)
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        assert trained.keys() == before.keys() and not any(isinstance(p, DTensor) for p in trained.values())
        assert all(torch.equal(trained[name], before[name]) for name in before)
        save_adapter(model, tmp_path / "adapter", tiny_model_folder)
    finally:
        torch.distributed.destroy_process_group()
    assert (tmp_path / "adapter/adapter_model.safetensors").stat().st_size > 1024
