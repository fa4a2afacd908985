"""The speed table on a GPU, at the shapes that users run: SmolLM2-135M, and Llama-2-7b and 13b with random NF4 weights,
since speed does not depend on what the weights are (nor on the vocabulary, which is SmolLM2's here).

    python -m benchmarks.speed.gpu                       # writes benchmarks/results/gpu.json; not run on a GPU yet
    python -m benchmarks.speed.gpu --models llama-2-7b

The published setting (configs/llama-2-13b.yaml), the published recipe and the one pass taking turns: a training step
and the labelling of conversations, seconds and peak memory of the card, beside a T4's 16 GB and an A100's 40 GB. Then
one forward and backward pass over rows of growing length, with torch's FlexAttention, which skips what the tree mask
hides, and with its fused attention and the dense mask. Without a GPU it runs on the CPU, for tests.
"""

import argparse
import platform
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn.attention.flex_attention import create_block_mask
from transformers import LlamaConfig, LlamaForCausalLM, set_seed

from benchmarks import RESULTS
from benchmarks.speed.bench import TASKS, conversations_in, spread
from benchmarks.speed.measure import Clock, now, summary
from benchmarks.speed.systems import OnePass, Published
from utils.config import Config, load_config
from utils.engine.prefix_tree import Row, model_inputs, pack
from utils.models.adapters import adapter_in_compute_type, add_lora
from utils.models.load import EMBEDDED, keep_4bit_layers_trainable, load_model, load_tokenizer, nf4
from utils.record.fit import examples
from utils.record.provenance import revision, versions
from utils.system.files import write_json
from utils.system.hardware import PRECISIONS, choose_precision, device
from utils.system.places import ROOT

SHAPES = {
    name: dict(zip(("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"), numbers))
    for name, numbers in {"llama-2-7b": (4096, 11008, 32, 32), "llama-2-13b": (5120, 13824, 40, 40)}.items()
}
CARDS = {"T4": 16e9, "A100": 40e9}  # bytes
ROW_TOKENS = 2048  # of the one pass' rows; a GPU is idle on a CPU's 256


def random_nf4(shape: dict, tokenizer):
    """A Llama of this shape with random weights, in NF4 on this machine's device. Weights of one form are equal in all
    layers, so that the whole model never stands in main memory."""
    config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=16384, **shape)
    dtype, drawn = PRECISIONS[choose_precision()], {}
    with torch.device("meta"):
        names = {name: tuple(weight.shape) for name, weight in LlamaForCausalLM(config).state_dict().items()}
    for form in set(names.values()):
        drawn[form] = torch.ones(form, dtype=dtype) if len(form) == 1 else torch.randn(form, dtype=dtype) * 0.02
    model = LlamaForCausalLM.from_pretrained(
        None,
        config=config,
        state_dict={name: drawn[form] for name, form in names.items()},
        dtype=dtype,
        device_map={"": device()},
        quantization_config=nf4(dtype),
        attn_implementation="sdpa",
    )
    keep_4bit_layers_trainable(model)
    model.name_or_path = ""  # peft would look for "None" on the hub
    return model


def watched(work, *arguments) -> dict:
    """Seconds and the card's peak memory of work(*arguments), which may return its own seconds."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    start = now()
    own = work(*arguments)
    found = {"seconds": own if isinstance(own, float) else now() - start}
    return {**found, "peak_memory": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None}


def compare(model, tokenizer, rows, step, asked, repeats: int) -> dict:
    """{"training" or "inference": {task: {row: seconds, peak memory, cards that it fits on}}}"""

    def train(row, task):
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            row.train(model, tokenizer, row.config.task(task), step, folder, clock)
        return clock.seconds

    def label(row, task):
        row.label(model, tokenizer, row.config.task(task), asked)

    found = {}
    for phase, work in (("training", train), ("inference", label)):
        if phase == "inference":
            adapter_in_compute_type(model.eval())
        found[phase] = {}
        for task in TASKS:
            runs = {row.name: [] for row in rows}
            for row in rows * (repeats + 1):
                runs[row.name].append(watched(work, row, task))
                print(phase, task, row.name, runs[row.name][-1], flush=True)
            found[phase][task] = {}
            for name, (_, *counted) in runs.items():  # the first run warms up
                peak = counted[-1]["peak_memory"]
                found[phase][task][name] = {
                    "seconds": summary([run["seconds"] for run in counted]),
                    "peak_memory": peak,
                    "fits": peak and {card: peak < room for card, room in CARDS.items()},
                }
    return found


def block_mask(last: torch.Tensor):
    """utils.engine.prefix_tree.mask for FlexAttention: the same tokens visible, whole blocks of hidden ones left out.
    `last`: (batch, length), index of each token's last descendant."""

    def visible(batch, head, query, key):
        return (key <= query) & (query <= last[batch, key])

    return create_block_mask(visible, last.shape[0], None, last.shape[1], last.shape[1], device=last.device)


def inputs_for(row: Row, attention: str, where) -> dict:
    """What the model takes for a training row, with the mask that `attention` wants."""
    inputs = model_inputs(row, row.targets, where)
    if attention == "flex_attention":
        inputs["attention_mask"] = block_mask(torch.tensor([row.last], device=where))
    return inputs


def one_pass(model, row: Row, attention: str, backward: bool):
    """One forward (and backward) pass over a training row."""
    with torch.set_grad_enabled(backward):
        loss = model(**inputs_for(row, attention, model.device), use_cache=False).loss
    if backward:
        loss.backward()
        model.zero_grad()


def attentions(model, trees: list[Row], lengths, repeats: int, backward: bool = True) -> list[dict]:
    """Seconds and peak memory of a forward (and backward) pass over rows of at least `lengths` tokens, for both."""
    found = []
    for length in lengths:
        parts, rest = [], length
        while rest > 0:
            parts.append(trees[len(parts) % len(trees)])
            rest -= len(parts[-1])
        row = pack(parts)
        for attention in ("sdpa", "flex_attention"):
            model.set_attn_implementation(attention)

            runs = [watched(one_pass, model, row, attention, backward) for _ in range(repeats + 1)]
            found.append(
                {
                    "attention": attention,
                    "tokens": len(row),
                    "peak_memory": runs[-1]["peak_memory"],
                    "seconds": summary([run["seconds"] for run in runs[1:]]),
                    "first_seconds": runs[0]["seconds"],
                }
            )  # FlexAttention is compiled then
            print(found[-1], flush=True)
    model.set_attn_implementation("sdpa")
    return found


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["smollm2-135m", *SHAPES], choices=["smollm2-135m", *SHAPES])
    parser.add_argument("--data", type=Path, default=ROOT / "input" / "ecf")
    parser.add_argument("--step", type=int, default=16, help="conversations a training step")
    parser.add_argument("--conversations", type=int, default=32, help="conversations labelled against the clock")
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 2048, 8192, 16384], help="of rows, in tokens")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json")
    arguments = parser.parse_args(argv)
    config = replace(
        Config.of(load_config(ROOT / "configs" / "llama-2-13b.yaml")),
        recipe="one_pass",
        token_budget=ROW_TOKENS,
        batch_size=1,
    )
    tokenizer = load_tokenizer(EMBEDDED)
    taught, tested = conversations_in(arguments.data)
    step, asked = spread(taught, arguments.step), spread(tested, arguments.conversations)
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    result = {
        "command": "python -m benchmarks.speed.gpu",
        "revision": revision(),
        "versions": versions(),
        "card": card,
        "processor": platform.machine(),
        "precision": choose_precision(),
        "models": {},
    }
    for name in arguments.models:
        set_seed(config.seed)
        model = random_nf4(SHAPES[name], tokenizer) if name in SHAPES else load_model(EMBEDDED)[0]
        model.set_attn_implementation("sdpa")
        held = torch.cuda.memory_allocated() if card else None
        model = add_lora(
            model,
            config.lora_r,
            config.lora_alpha,
            config.lora_dropout,
            config.lora_targets,
            config.gradient_checkpointing,
        )
        rows = [Published(config), OnePass(config)]
        found = compare(model, tokenizer, rows, step, asked, arguments.repeats)
        model.train()
        trees = examples(config.task("emotion"), step, tokenizer, replace(config, token_budget=1))
        found["attention"] = attentions(model, trees, arguments.lengths, arguments.repeats, backward=card is not None)
        result["models"][name] = {"weights": held, **found}
        write_json(result, arguments.out)
        del model
        if card:
            torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    sys.exit(main())
