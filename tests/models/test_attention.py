"""Which models can read trees, and that answers are scored in float32.

python -m pytest tests/models/test_attention.py
"""

import pytest
import torch
from helpers import SMALL, with_lora
from transformers import AutoConfig, AutoModelForCausalLM

from utils.config import Config
from utils.engine.inference import score_row
from utils.engine.prefix_tree import TreeEncoder, paths
from utils.models.attention import check_tree_mask
from utils.models.fits import estimate_memory
from utils.models.load import load_model
from utils.system.errors import ModelError
from utils.tasks import emotion


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
