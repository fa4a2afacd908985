"""Instruction tuning: this repository's rows beside stock SFTTrainer, packed and padded, and Alpaca-LoRA's recipe.

    python -m benchmarks.speed.instructions --data alpaca.json    # writes benchmarks/results/instructions.json

All systems train the same model, with the same adapter, on the same examples: one optimizer step on `--examples` of
them, `--runs` times, taking turns, in one process. What is counted are the tokens of the examples, each as a sequence
of its own and without padding, so tokens a second say how fast the same work is done. The first three learn the
answers, and their loss is the same ("loss"). Without --data the sample is measured, which is small: give a file of
some hundred examples in Alpaca's form, and let nothing else run.
"""

import argparse
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from datasets import Dataset
from tqdm import tqdm
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments, set_seed
from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage] (trl exports when asked)

from benchmarks import RESULTS
from benchmarks.speed.measure import Clock, now, summary
from utils.config import Config
from utils.data.instruction_input import SAMPLE, make_input
from utils.data.instructions import Example
from utils.engine.trainer import train
from utils.engine.whole_texts import Whole, text_tokens
from utils.models.adapters import add_lora, make_trainable_float32
from utils.models.load import load_model, load_tokenizer
from utils.record.fit import examples as rows_of
from utils.record.provenance import revision, versions
from utils.system.command import command, positive
from utils.system.files import read_json, write_json
from utils.system.places import ROOT
from utils.tasks.instruction import Instructions

Sequences = list[tuple[list[int], int]]  # of each example: its token ids, and how many are its prompt's
PACKED, BATCH, SIBLINGS = 512, 8, 4  # tokens of a packed sequence; examples of a padded batch, and of Alpaca-LoRA's


def alone(task: Instructions, tokenizer, examples: Sequence[Any]) -> Sequences:
    """Every example as a sequence of its own, as the rows of the one pass have it."""
    start, closing = list(tokenizer("").input_ids), task.template.closing
    whole = Whole(not closing, False, bool(task.template.special))
    return [text_tokens(tokenizer, start, task.prompt(one), one["output"] + closing, whole) for one in examples]


class OnePass:
    """This repository's form."""

    name, attention = "this repository", None
    computes = (
        "examples as trees that share what their prompts begin with alike, rows filled up to token_budget; the head on "
        "the answers' positions alone"
    )

    def __init__(self, config: Config, task: Instructions):
        self.config, self.task = config, task

    def train(self, model, tokenizer, examples: Sequence[Example], folder: str, clock: Clock) -> list[dict]:
        """One optimizer step on the examples; the trainer's log."""
        taught, items = self.task.taught(list(examples), self.config.seed)
        rows = rows_of(taught, items, tokenizer, self.config)
        settings = replace(self.config.training("instruction"), epochs=1, gradient_accumulation=len(rows))
        return train(model, tokenizer, rows, settings, folder, callbacks=[clock])


class Stock(OnePass):
    """trl's SFTTrainer on the same sequences, loss on the answers."""

    name, attention = "SFTTrainer, packed", "sdpa"
    computes = f"an example a sequence, packed up to {PACKED} tokens, no padding; loss on the answers"
    packing, batch = True, 1

    def train(self, model, tokenizer, examples, folder, clock):
        sequences, config = alone(self.task, tokenizer, examples), self.config.training("instruction")
        arguments = SFTConfig(
            **_arguments(model, config, folder, self.batch, len(sequences)),
            packing=self.packing,
            max_length=max(PACKED, *(len(ids) for ids, _ in sequences)),
            completion_only_loss=True,
        )
        data = [{"input_ids": ids, "completion_mask": [0] * n + [1] * (len(ids) - n)} for ids, n in sequences]
        given: Any = {"processing_class": tokenizer, "callbacks": [clock]}
        return _trained(model, SFTTrainer(model, arguments, train_dataset=Dataset.from_list(data), **given))


class Padded(Stock):
    """The same without packing."""

    name = "SFTTrainer, padded"
    computes = f"an example a sequence, {BATCH} at a time, padded to the longest of them; loss on the answers"
    packing, batch = False, BATCH


class Sibling(Stock):
    """What finetune.py of Alpaca-LoRA does, without its 8-bit weights and without cutting."""

    name = "Alpaca-LoRA's recipe"
    computes = (
        f"an example a sequence, micro batches of {SIBLINGS} as they come, padded on the left to a multiple of 8; "
        "transformers' Trainer, loss on every token (its default)"
    )
    batch = SIBLINGS

    def train(self, model, tokenizer, examples, folder, clock):
        sequences, config = alone(self.task, tokenizer, examples), self.config.training("instruction")
        data = [{"input_ids": ids, "attention_mask": [1] * len(ids), "labels": ids} for ids, _ in sequences]
        arguments = TrainingArguments(**_arguments(model, config, folder, self.batch, len(sequences)))
        side, tokenizer.padding_side = tokenizer.padding_side, "left"
        try:
            collator = DataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=8, padding=True)
            given: Any = {"data_collator": collator, "callbacks": [clock]}
            return _trained(model, Trainer(model, arguments, train_dataset=Dataset.from_list(data), **given))
        finally:
            tokenizer.padding_side = side


def _arguments(model, settings, folder: str, batch: int, count: int) -> dict[str, Any]:
    """The trainer's arguments for one step on `count` examples."""
    return {
        "output_dir": folder,
        "learning_rate": settings.learning_rate,
        "optim": settings.optimizer,
        "max_grad_norm": 0.3,
        "num_train_epochs": 1,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": math.ceil(count / batch),
        "bf16": settings.precision == "bfloat16",
        "fp16": settings.precision == "float16",
        "seed": settings.seed,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": model.device.type == "cpu",
        "dataloader_pin_memory": model.device.type == "cuda",
    }


def _trained(model, trainer) -> list[dict]:
    make_trainable_float32(model)
    trainer.train()
    return trainer.state.log_history


SYSTEMS = (Sibling, Padded, Stock, OnePass)


def learner(config: Config, system: OnePass):
    """A model with a fresh adapter, the same for all systems."""
    model, _ = load_model(config.model, config.quantization, config.precision)
    set_seed(config.seed)
    model = add_lora(model, config.lora_r, config.lora_alpha, 0.0, config.lora_targets)
    if system.attention:
        model.set_attn_implementation(system.attention)
    return model


def step(system: OnePass, model, tokenizer, examples: Sequence[Example]) -> tuple[float, float]:
    """(seconds of one optimizer step on the examples, its loss)."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        log = system.train(model, tokenizer, examples, folder, clock)
    return clock.seconds or math.nan, next(entry["loss"] for entry in log if "loss" in entry)


def table(result: dict) -> str:
    """The table of what `main` wrote: a line a system."""
    slowest = result["systems"][Sibling.name]["tokens_a_second"]
    lines = ["| | tokens a second | seconds | times faster |", "|---|---|---|---|"]
    for name, one in result["systems"].items():
        seconds, rate = one["seconds"]["median"], one["tokens_a_second"]
        lines.append(f"| {name} | {rate:.0f} | {seconds:.1f} | {rate / slowest:.1f} |")
    return "\n".join(lines)


@command("benchmarks.speed.instructions")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for what cannot be used."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / SAMPLE, help="in Alpaca's form (default: the sample)")
    parser.add_argument("--examples", type=positive, default=128, help="of a step (default: %(default)s)")
    parser.add_argument("--runs", type=positive, default=3, help="of each system (default: %(default)s)")
    parser.add_argument("--model", default=Config.model, help="default: %(default)s")
    parser.add_argument("--template", default=Config.template, help="default: %(default)s")
    parser.add_argument("--result", type=Path, default=RESULTS / "instructions.json")
    arguments = parser.parse_args(argv)
    examples = make_input(arguments.data).parts["train"][: arguments.examples]
    config = Config(model=arguments.model, template=arguments.template, quantization="none")
    task: Any = config.task("instruction")
    tokenizer = load_tokenizer(config.model)
    systems = [system(config, task) for system in SYSTEMS]
    models = {system.name: learner(config, system) for system in systems}
    seconds: dict[str, list[float]] = {system.name: [] for system in systems}
    losses: dict[str, float] = {}
    for system in systems:  # what is done once is not measured
        step(system, models[system.name], tokenizer, examples[:2])
        models[system.name] = learner(config, system)
    started = now()
    with tqdm(total=arguments.runs * len(systems), unit="step") as bar:
        for _ in range(arguments.runs):
            for system in systems:
                took, loss = step(system, models[system.name], tokenizer, examples)
                seconds[system.name].append(took)
                losses.setdefault(system.name, loss)
                bar.update()
    sequences = alone(task, tokenizer, examples)
    tokens = sum(len(ids) for ids, _ in sequences)
    medians = {name: summary(values) for name, values in seconds.items()}
    write_json(
        {
            "command": f"python -m benchmarks.speed.instructions --data {arguments.data.name} --examples "
            f"{arguments.examples} --runs {arguments.runs}",
            "revision": revision(),
            "versions": versions(),
            "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
            "model": Path(arguments.model).name,
            "template": arguments.template,
            "data": arguments.data.name,
            "examples": len(examples),
            "tokens": tokens,
            "answer_tokens": tokens - sum(first for _, first in sequences),
            "minutes": round((now() - started) / 60, 1),
            "systems": {
                system.name: {
                    "computes": system.computes,
                    "seconds": medians[system.name],
                    "tokens_a_second": tokens / medians[system.name]["median"],
                    "loss": losses[system.name],
                }
                for system in systems
            },
        },
        arguments.result,
    )
    print(table(read_json(arguments.result)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
