"""Will it fit? What a model needs, counted before it is loaded, beside the memory that is free.

check_memory(config, training=True)     # prints both; NotEnoughMemory names the parameters to change
choose_quantization(config)             # "nf4" where 16 bits do not fit on the card, else "none"
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv
from transformers.masking_utils import sdpa_mask

from utils.models.adapters import add_adapter
from utils.models.adapting import in_front
from utils.models.attention import PLAIN_UP_TO
from utils.models.load import empty_model
from utils.system.errors import NotEnoughMemory
from utils.system.hardware import device, dtype_of, sharded

GIB = 2**30
# A weight in NF4: 4 bits, 8 for a block of 64, 32 for 256 blocks (Dettmers et al.)
QUANTIZED_BYTES = {"nf4": 0.5 + 1 / 64 + 4 / (64 * 256), "int8": 1.0}
TOKENS_A_TARGET = 8  # of a row; on the sample, emotions have 20, causes 9 to 12
CONTAINER = Path("/sys/fs/cgroup")  # where a container finds its own limits (cgroup v2)


@dataclass(frozen=True)
class Estimate:
    """Bytes that a model needs, all of them at once. Not counted: the libraries themselves, what they set aside, and
    tensors that live within one operation; so less than this cannot suffice, and a tenth more may be needed.

    weights      of the base model, as they are loaded
    adapter      its weights in float32, and in training as much again for the gradients
    optimizer    two numbers a trained weight
    activations  what a row of `token_budget` x `batch_size` tokens, and virtual ones in front, leaves for the backward
                 pass; in inference, one layer's
    """

    weights: int
    adapter: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.adapter + self.optimizer + self.activations

    def __str__(self):
        parts = [part for part in ("weights", "adapter", "optimizer", "activations") if getattr(self, part)]
        terms = " + ".join(f"{getattr(self, part) / GIB:.2f} {part}" for part in parts)
        return f"{terms} = {self.total / GIB:.2f} GiB"


def estimate_memory(config, training: bool, longest: int = 0) -> Estimate:
    """What the model of `config` (a utils.config.Config) needs, counted on the same model without weights (torch's meta
    device), on which a forward pass costs next to nothing. A row has `longest` tokens, where that is more than rows are
    filled up to.

    Raises ModelError for a model that cannot be found.
    """
    dtype = dtype_of(config.precision)
    tokens = max(config.token_budget * config.batch_size, longest) + in_front(config)
    published = config.recipe == "published"  # a loss on every token, and prompts of their own instead of one row
    shape = (config.batch_size, config.token_budget) if published else (1, tokens)
    on_text = training and config.text_epochs > 0
    targets = shape[1] if published or on_text else max(1, tokens // TOKENS_A_TARGET)
    plain = device().type == "cpu" and shape[1] <= PLAIN_UP_TO
    model = empty_model(config.model, dtype, "plain" if plain else "counted")
    text, head, size = model.config.get_text_config(), model.get_output_embeddings(), dtype.itemsize
    parameters = sum(p.numel() for p in model.parameters())
    linear = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head)
    weights = parameters * size
    if config.quantization in QUANTIZED_BYTES or getattr(model.config, "quantization_config", None):
        # in training peft makes float32 of what is not quantized
        a_weight = QUANTIZED_BYTES.get(config.quantization, QUANTIZED_BYTES["nf4"])
        weights = math.ceil(linear * a_weight) + (parameters - linear) * (4 if training else size)
    model = add_adapter(model, **config.adapter_settings())
    trained = [p for p in model.parameters() if p.requires_grad]
    adapter = sum(p.numel() for p in trained)
    for parameter in trained:  # computes in the base model's precision (autocast)
        parameter.data = parameter.data.to(dtype)
    logits = shape[0] * targets * text.vocab_size * (size + 4)
    kept = _kept_for_backward(model.train(), shape, targets)
    layer = kept // text.num_hidden_layers
    if not training:
        return Estimate(weights, 4 * adapter, 0, layer + logits)
    if config.gradient_checkpointing:  # each layer's input, and one layer at a time
        kept = text.num_hidden_layers * tokens * text.hidden_size * size + layer + logits
    return Estimate(weights, 8 * adapter, adapter * (2 if "8bit" in config.optimizer else 8), kept)


class _Fused(torch.autograd.Function):
    """What torch's fused attention leaves for its backward pass: its inputs, the mask as numbers among them, and its
    output; no table of weights."""

    @staticmethod
    def forward(ctx, query, key, value, mask):
        output = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, mask, output)
        return output

    @staticmethod
    def backward(ctx, gradient):
        raise NotImplementedError("a model without weights learns nothing")


def _counted_attention(module, query, key, value, attention_mask, **kwargs):
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    return _Fused.apply(query, key, value, attention_mask.to(query.dtype)).transpose(1, 2), None


AttentionInterface.register("counted", _counted_attention)
AttentionMaskInterface.register("counted", sdpa_mask)


def _kept_for_backward(model, shape: tuple[int, int], targets: int) -> int:
    """Bytes that a forward pass over `shape` (rows, tokens) tokens, with so many answers a row, leaves for the backward
    pass; 0 for a model that cannot be walked through without values (mixtures of experts), or whose attention is not
    one of those that are counted."""
    if model.config._attn_implementation == "sdpa":  # on the meta device it keeps what it does not keep elsewhere
        return 0
    given = {name: torch.zeros(shape, dtype=torch.long, device="meta") for name in ("input_ids", "position_ids")}
    labels = torch.zeros(shape[0], targets, dtype=torch.long, device="meta")
    given |= {"labels": labels, "shift_labels": labels, "logits_to_keep": targets}
    given["attention_mask"] = torch.ones(shape[0], 1, shape[1], shape[1], dtype=torch.bool, device="meta")
    weights = {tensor.untyped_storage()._cdata for tensor in [*model.parameters(), *model.buffers()]}
    found = {}

    def keep(tensor):
        found[tensor.untyped_storage()._cdata] = tensor  # the views of one storage are one
        return tensor

    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(**given, use_cache=False)
    except (NotImplementedError, RuntimeError, AttributeError, TypeError, ValueError):
        return 0
    return sum(tensor.untyped_storage().nbytes() for key, tensor in found.items() if key not in weights)


def free_memory() -> int:
    """Bytes that are free where the model goes: the GPU's, or the machine's within its container's limit."""
    if (card := device()).type == "cuda":
        unused = torch.cuda.memory_reserved(card) - torch.cuda.memory_allocated(card)  # set aside by this process
        return torch.cuda.mem_get_info(card)[0] + unused
    free = psutil.virtual_memory().available
    try:
        limit, used = ((CONTAINER / name).read_text().strip() for name in ("memory.max", "memory.current"))
        if limit == "max":
            return free
        counts = dict(line.split() for line in (CONTAINER / "memory.stat").read_text().splitlines())
        given_back = int(counts.get("inactive_file", 0))  # files that were read, kept while nobody needs the room
        return min(free, int(limit) - int(used) + given_back)
    except (OSError, ValueError):
        return free


def choose_quantization(config) -> str:
    """What quantization "auto" is on this machine, and a printed line where there is a choice: "nf4" where the card has
    no room for training with unquantized weights (estimate_memory, and a tenth more), else "none".

    It is "none" without a card, with offload, and for a model that is quantized already. The card's whole memory
    counts, not what other processes leave of it, so that the choice is the same tomorrow. Processes that divide the
    model among their cards (FSDP) have the memory of all of them.

    Raises ModelError for a model that cannot be found.
    """
    if device().type != "cuda" or config.offload:
        return "none"
    room = torch.cuda.mem_get_info(device())[1] * (int(os.environ.get("WORLD_SIZE", "1")) if sharded() else 1)
    needed, chosen = estimate_memory(replace(config, quantization="none"), training=True), "none"
    if 1.1 * needed.total > room:
        smaller = estimate_memory(replace(config, quantization="nf4"), training=True)
        chosen = "nf4" if smaller.weights < needed.weights else "none"
    print(
        f"quantization auto is {chosen} here: unquantized, {config.model} needs for training about "
        f"{needed.total / GIB:.1f} GiB and a tenth more; {device()} has {room / GIB:.1f} GiB"
    )
    return chosen


def check_memory(config, training: bool = False, longest: Callable[[], int] | None = None) -> Estimate:
    """Prints what the model of `config` needs (estimate_memory) beside what is free, and returns it.

    longest  counts the tokens of the longest conversation's row, which is not cut and may need more than rows that are
             filled up. Only the line counts it: where memory does not suffice for it, it is named once its turn comes

    Raises NotEnoughMemory where it cannot fit, naming the parameters that would make it fit; ModelError for a model
    that cannot be found.
    """
    needed, free = estimate_memory(config, training), free_memory()
    tokens = longest() if longest else 0  # once the model is known to be there
    most = estimate_memory(config, training, tokens) if tokens > config.token_budget * config.batch_size else needed
    line = f"{config.model} needs for {'training' if training else 'inference'} about {most}"
    line += f", the most for the longest row, of {tokens:,} tokens; " if most is not needed else "; "
    line += f"{free / GIB:.2f} GiB are free on {device()}; quantization {config.quantization}"
    print(line)
    if needed.total <= free or (config.offload and not training):
        return most
    changes, least = [], needed
    for name, value in (("quantization", "nf4"), ("gradient_checkpointing", True), ("batch_size", 1)):
        if getattr(config, name) == value or (name == "gradient_checkpointing" and not training):
            continue
        config = replace(config, **{name: value})
        changes.append(f"{name} {str(value).lower()}")
        least = estimate_memory(config, training)
        if least.total <= free:
            break
    advice = f"With {' and '.join(changes)} it needs about {least}" if changes else "No parameter makes it smaller"
    if least.total > free:
        advice += ", too much as well: give a smaller model, or use a larger machine"
    if not training:
        advice += ". Or give offload true (with quantization none): what does not fit stays on CPU and disk; slow"
    raise NotEnoughMemory(f"{line}. {advice}")
