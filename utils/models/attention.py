"""Attention for rows of trees: which models can read them, plain attention on CPUs, a float32 head."""

import inspect
import sys
from contextlib import contextmanager
from functools import partial

import torch
from peft import PeftModel
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from utils.system.errors import ModelError

PLAIN_UP_TO = 768  # tokens of a row whose attention is computed in plain products


def attention_of(config, wanted: str) -> str:
    """The attention for models of this configuration: `wanted`, a function of transformers' AttentionInterface, where
    torch's fused one has the same results and can be replaced; otherwise that one, or the model's own ("eager")."""
    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    kind = kind[0] if isinstance(kind, tuple) else kind
    if kind is None or kind._supports_sdpa:
        replaceable = kind and "ALL_ATTENTION_FUNCTIONS" in vars(sys.modules[kind.__module__])
        return wanted if replaceable else "sdpa"
    return "eager"


def check_tree_mask(model, max_row_tokens: int) -> None:
    """A tree's mask says which token sees which, and a model must follow it in every layer. Layers with a window, which
    transformers passes by where a mask is given, have other results on rows that are longer; those that mix
    tokens without attention (convolutions, states) let one question see another's answer. Attention of a model's
    own may take the mask for numbers to be added, and some models count positions themselves.

    Raises ModelError for a model that does so.
    """
    config = model.config.get_text_config()
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    given = "position_ids" in inspect.signature(type(base).forward).parameters and not getattr(config, "alibi", False)
    if not (base._supports_sdpa and given):
        raise ModelError(
            f"model {config.name_or_path or config.model_type} ({config.model_type}) has attention or positions of its "
            "own, which one row for all questions cannot use: give recipe published, or another model"
        )
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    others = kinds - {"full_attention", "sliding_attention"}
    if kinds == {"full_attention"} and getattr(config, "layer_types", None):
        window = None  # there may be one that no layer uses
    if others or (window and window < max_row_tokens):
        what = " and ".join(sorted(others)) or f"a window of {window} tokens"
        fix = "" if others else f" or max_row_tokens {window}"
        raise ModelError(
            f"model {config.name_or_path or config.model_type} has layers with {what}, which one row for all questions "
            f"cannot use: give recipe published{fix}, or another model"
        )


def positions_of(model) -> int | None:
    """How many positions the model has, from 0; None for rotary ones, which do not end."""
    config = model.config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    return None if getattr(config, "rope_parameters", None) else limit


def _linear_in_float32(hidden, weight, bias):
    return torch.nn.functional.linear(hidden.float(), weight, bias)


@contextmanager
def float32_head(model):
    """Inside, the language-model head computes in float32 what it is given: logits of bfloat16 are some 20, where its
    numbers are an eighth apart, so that answers would be equally probable that are not, and thresholds coarse."""
    head = model.get_output_embeddings()
    # Left as they are: heads in 4 bits or with an adapter of their own, and those that accelerate moves (offload).
    if type(head) is not torch.nn.Linear or head.weight.dtype == torch.float32 or "forward" in vars(head):
        yield
        return
    weight, bias = head.weight.float(), None if head.bias is None else head.bias.float()
    of_float32 = partial(_linear_in_float32, weight=weight, bias=bias)
    head.forward = of_float32  # pyright: ignore[reportAttributeAccessIssue] (in place of the class's)
    try:
        yield
    finally:
        del head.forward


def plain_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    """Attention in plain products, for transformers' AttentionInterface. On a CPU, for rows of some hundred tokens, it
    is faster than torch's fused one, to which all else is left: long rows, where the
    table of weights would fill the memory, and calls without a tree mask.

    query: (batch, heads, length, width); key, value: (batch, key heads, length, width); attention_mask: booleans,
    (batch, 1, length, length), as prefix_tree.mask makes them. Returns (batch, length, heads, width), of the values'
    width where it is another, and None for the weights.
    """
    batch, heads, length, width = query.shape
    if attention_mask is None or attention_mask.dtype != torch.bool or length != key.shape[2] or length > PLAIN_UP_TO:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    grouped = query.reshape(batch, key.shape[1], -1, width)  # the heads that share a key stand behind each other
    weights = (grouped @ key.transpose(2, 3)).reshape(batch, heads, length, length) * scaling
    weights = weights.masked_fill(~attention_mask, torch.finfo(weights.dtype).min)
    weights = weights.softmax(-1, dtype=torch.float32).to(value.dtype)
    found = weights.reshape(batch, key.shape[1], -1, length) @ value
    return found.reshape(batch, heads, length, value.shape[-1]).transpose(1, 2).contiguous(), None


# How transformers finds it; a mask that is none of ours is made as for torch's fused attention.
AttentionInterface.register("plain", plain_attention)
AttentionMaskInterface.register("plain", sdpa_mask)
