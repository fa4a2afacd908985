"""Models that may not fit: what is estimated is what they take, refusals say what to change, and what is left on the
disk scores the same.

    python -m pytest tests/models/test_fits.py
"""

import bitsandbytes
import pytest
import torch
import transformers
from helpers import small_adapter
from transformers import LlamaConfig

from utils import predict
from utils.config import Config
from utils.data.labels import ECF
from utils.engine.inference import fingerprint, generate_published, score_trees
from utils.engine.settings import Writing
from utils.models import fits
from utils.models.adapters import add_lora, load_adapter, save_adapter
from utils.models.fits import GIB, QUANTIZED_BYTES, check_memory, estimate_memory, free_memory
from utils.models.load import load_model
from utils.models.methods import METHODS
from utils.models.virtual import virtual_tokens
from utils.system.errors import ConfigError, ModelError, NotEnoughMemory
from utils.system.files import write_json
from utils.tasks import emotion


def config_of(model, **parameters):
    return Config(model=str(model), precision="float32", lora_r=4, **parameters)


def kept_really(model, tokens, targets):
    """Bytes that a real forward pass over one row leaves for the backward pass."""
    given = {name: torch.zeros(1, tokens, dtype=torch.long) for name in ("input_ids", "position_ids")}
    labels = torch.zeros(1, targets, dtype=torch.long)
    given |= {"labels": labels, "shift_labels": labels, "logits_to_keep": targets}
    given["attention_mask"] = torch.ones(1, 1, tokens, tokens, dtype=torch.bool).tril()
    weights = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    found = {}

    def keep(tensor):
        found[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(**given, use_cache=False).loss
    return sum(t.untyped_storage().nbytes() for key, t in found.items() if key not in weights), loss


# ---- the estimate ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tokens", "method"), [(1024, "lora"), *((256, method) for method in METHODS)])
def test_the_estimate_is_what_a_real_model_takes(tiny_model_folder, tokens, method):
    """Of 256 tokens attention is computed in plain products, of 1,024 by torch's fused one."""
    more = {"adapter": method, "virtual_tokens": 5 if method == "prompt_tuning" else 3}
    estimate = estimate_memory(config_of(tiny_model_folder, token_budget=tokens, **more), training=True)
    model, _ = load_model(tiny_model_folder, precision="float32")
    assert estimate.weights == sum(p.numel() * 4 for p in model.parameters())
    model = small_adapter(model, tiny_model_folder, method).train()
    kept, loss = kept_really(model, tokens + virtual_tokens(model), tokens // fits.TOKENS_A_TARGET)
    assert estimate.activations == pytest.approx(kept, rel=0.01)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    loss.backward()
    optimizer.step()
    states = [t for state in optimizer.state.values() for name, t in state.items() if name != "step"]
    assert estimate.optimizer == sum(t.nbytes for t in states)
    assert estimate.adapter == sum(p.nbytes + p.grad.nbytes for p in trained)
    inference = estimate_memory(config_of(tiny_model_folder, token_budget=tokens, **more), training=False)
    assert (inference.weights, inference.optimizer) == (estimate.weights, 0)
    assert inference.total < estimate.total


def test_four_bits_a_weight_are_what_bitsandbytes_takes():
    weight = torch.randn(1024, 1024)
    packed, state = bitsandbytes.functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    assert packed.nbytes + state.absmax.nbytes + state.state2.absmax.nbytes == pytest.approx(
        weight.numel() * QUANTIZED_BYTES["nf4"], rel=0.001
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Llama-2-13b's shape, without weights."""
    folder = tmp_path_factory.mktemp("13b")
    LlamaConfig(
        vocab_size=32000,
        hidden_size=5120,
        intermediate_size=13824,
        num_hidden_layers=40,
        num_attention_heads=40,
        num_key_value_heads=40,
    ).save_pretrained(folder)
    return folder


def test_a_13b_model_is_counted_without_its_weights(large):
    estimate = estimate_memory(Config(model=str(large), precision="bfloat16", quantization="nf4"), training=False)
    # 13,015,864,320 parameters; 2 x 32,000 x 5,120 of them in embeddings, which stay as they are, and the norms
    linear = 13_015_864_320 - 2 * 32_000 * 5_120 - 81 * 5_120
    assert estimate.weights == pytest.approx(linear * QUANTIZED_BYTES["nf4"] + (13_015_864_320 - linear) * 2, abs=1)
    assert estimate.adapter == 4 * 16 * 40 * (4 * 2 * 5120 + 3 * (5120 + 13824))


def test_the_published_recipe_and_checkpointing_are_counted(tiny_model_folder):
    def activations(**parameters):
        return estimate_memory(config_of(tiny_model_folder, **parameters), training=True).activations

    one = activations()
    assert activations(recipe="published") > one  # a loss on every token
    assert activations(text_epochs=1.0) == activations(recipe="published")
    larger = activations(text_epochs=1.0, batch_size=8) - activations(batch_size=8)
    assert larger == pytest.approx(8 * (activations(text_epochs=1.0) - one), rel=0.01)
    assert activations(recipe="published", batch_size=4) == pytest.approx(4 * activations(recipe="published"), rel=0.01)
    assert activations(gradient_checkpointing=True) < one < activations(token_budget=512)


# ---- what is free, and refusals ---------------------------------------------------------------------------------


def test_free_memory_is_the_machines_within_the_containers_limit(monkeypatch, tmp_path):
    monkeypatch.setattr(fits, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr(fits, "CONTAINER", tmp_path)
    monkeypatch.setattr(fits.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 5 * GIB}))
    assert free_memory() == 5 * GIB  # no container
    (tmp_path / "memory.current").write_text(f"{GIB + 77}\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 77\n")  # of files, and given back when needed
    for limit, free in (("max", 5), (str(4 * GIB), 3), (str(20 * GIB), 5)):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        assert free_memory() == free * GIB
    monkeypatch.setattr(fits, "device", lambda: torch.device("cuda", 3))  # of several processes, the fourth's
    for name, value in (
        ("mem_get_info", (10 * GIB, 15 * GIB)),
        ("memory_reserved", 3 * GIB),
        ("memory_allocated", 1 * GIB),
    ):
        monkeypatch.setattr(torch.cuda, name, lambda card, value=value: value if card.index == 3 else None)
    assert free_memory() == 12 * GIB


def test_what_fits_is_told(tiny_model_folder, capsys):
    estimate = check_memory(config_of(tiny_model_folder), training=True)
    assert f"needs for training about {estimate}; " in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("training", "free", "says"),
    [
        (True, 15, r"With quantization nf4 it needs about .* = 10\.\d\d GiB$"),  # a T4
        (True, 10, r"With quantization nf4 and gradient_checkpointing true it needs about .* = \d\.\d\d GiB$"),
        (True, 4, r"too much as well: give a smaller model, or use a larger machine$"),
        (False, 15, r"With quantization nf4 it needs about .*\. Or give offload true .*slow$"),
        (False, 4, r"too much as well: .*\. Or give offload true"),
    ],
)
def test_what_cannot_fit_is_refused_with_what_to_change(large, monkeypatch, training, free, says):
    monkeypatch.setattr(fits, "free_memory", lambda: free * GIB)
    config = Config(model=str(large), precision="bfloat16", token_budget=256)
    with pytest.raises(NotEnoughMemory, match=says) as refused:
        check_memory(config, training)
    words = "training" if training else "inference"
    assert str(refused.value).startswith(f"{large} needs for {words} about 24.24 weights + ")
    assert f"; {free}.00 GiB are free on " in str(refused.value)


def test_inference_with_offload_is_not_refused(large, monkeypatch, capsys):
    monkeypatch.setattr(fits, "free_memory", lambda: GIB)
    check_memory(Config(model=str(large), precision="bfloat16", offload=True))
    assert "1.00 GiB are free" in capsys.readouterr().out


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelError, match="nothing.*cannot be loaded"):
        check_memory(Config(model=str(tmp_path / "nothing")))


# ---- inference with layers on the disk -----------------------------------------------------------------------------


@pytest.fixture
def little_memory(monkeypatch):
    """For device_map="auto", the machine has only so many bytes."""

    def only(count):
        monkeypatch.setattr(transformers.integrations.accelerate, "get_max_memory", lambda *_: {"cpu": count})

    return only


def largest_difference(one, other):
    return max(abs(x - y) for a, b in zip(one, other) for p, q in zip(a, b) for x, y in zip(p, q))


@pytest.mark.parametrize("count", [250_000, 350_000, 450_000])  # all on the disk; the embeddings, a layer in memory
def test_offloaded_layers_score_the_same(tiny_model_folder, tmp_path, conversations, little_memory, capsys, count):
    def scores(model, tokenizer):
        return score_trees(model, tokenizer, [emotion.tree(c) for c in conversations], list("abc"), 256, 4096)

    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    base = scores(model, tokenizer)
    model = add_lora(model, r=4, alpha=8, dropout=0.0, targets="all-linear")
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    save_adapter(model.eval(), tmp_path / "adapter", tiny_model_folder)
    adapted, mark, prompts = scores(model, tokenizer), fingerprint(model), [("a", "Hello"), ("b", "Where are you?")]
    assert largest_difference(base, adapted) > 0.1
    written = generate_published(model, tokenizer, prompts, Writing(new_tokens=5), 2, "")

    little_memory(count)
    capsys.readouterr()
    model, tokenizer = load_model(tiny_model_folder, precision="float32", offload=True)
    told = capsys.readouterr().out
    assert "disk: " in told and ("cpu: model.embed_tokens" in told) == (count > 300_000)
    assert any(p.device.type == "meta" for p in model.parameters())
    for _ in range(2):  # the cause adapter goes on the same base model
        assert largest_difference(base, scores(model, tokenizer)) == 0
        model = load_adapter(model, tmp_path / "adapter", tiny_model_folder)
        assert largest_difference(adapted, scores(model, tokenizer)) == 0 and fingerprint(model) == mark
        assert generate_published(model, tokenizer, prompts, Writing(new_tokens=5), 2, "") == written
        model = model.unload()


def test_offload_where_everything_fits_says_so(tiny_model_folder, capsys):
    load_model(tiny_model_folder, offload=True)
    assert "the whole model" in capsys.readouterr().out


def test_offload_and_four_bits_exclude_each_other(tiny_model_folder):
    with pytest.raises(ConfigError, match="offload is true; it needs quantization none"):
        Config.of({"offload": True, "quantization": "nf4"})
    with pytest.raises(ModelError, match="offload needs quantization none"):
        load_model(tiny_model_folder, "nf4", offload=True)


def test_predict_refuses_a_model_that_cannot_fit_in_one_message(
    tiny_model_folder, monkeypatch, tmp_path, conversations, capsys
):
    monkeypatch.setattr(fits, "free_memory", lambda: 1000)
    seen = dict.fromkeys(ECF, 1)
    write_json({"parameters": {"model": tiny_model_folder}, "emotions": seen}, tmp_path / "training.json")
    write_json(conversations, tmp_path / "given.json")
    adapters = ["--emotion-adapter", str(tmp_path), "--cause-adapter", str(tmp_path)]
    assert predict.main([str(tmp_path / "given.json"), "--out", str(tmp_path / "pred.json"), *adapters]) == 2
    said = capsys.readouterr().err
    assert said.startswith("utils.predict: ") and "Or give offload true" in said and len(said.splitlines()) == 1
    assert not (tmp_path / "pred.json").exists()
