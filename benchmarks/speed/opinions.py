"""Texts a second about opinions: this repository's rows beside a padded sequence a text, in training and in inference.

    python -m benchmarks.speed.opinions        # writes benchmarks/results/opinions_speed.json; about 20 minutes

Every way has the same model in float32, the same adapter (LoRA on all linear layers) and the same texts, on one topic;
and in inference on five topics. The ways take turns, `--runs` times, in one process. Without `input/abortion`
(configs/studies/opinions-abortion.yaml) the texts are the sample's.

generation, sequence    this repository's strategies: texts share a row, which reads the question about a topic once
padded classifier       a sequence a text, padded to the longest of its batch, by AutoModelForSequenceClassification:
                        transformers' Trainer with batches of 4; its text-classification pipeline with batches of 64
padded prompts          the questions of `generation`, written out for each text and topic, padded to the longest of its
                        batch: batches of 4 in training; `generate` writes up to 20 tokens, a text at a time

Batch sizes and tokens are those of the published recipe for opinions of tweets. Training is one optimizer step on all
texts. A classifier has a model for each topic, so five topics are five passes.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import torch
from datasets import Dataset
from peft import LoraConfig, TaskType, get_peft_model
from tqdm import tqdm
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    DataCollatorForSeq2Seq,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    pipeline,
)

from benchmarks import RESULTS
from benchmarks.speed.measure import Clock, now, summary
from utils.config import Config
from utils.data.opinion_input import make_sample
from utils.data.opinions import Text, without_opinions
from utils.data.topics import Topic
from utils.engine.rows import encode_trees, in_one_row, row_plan
from utils.engine.trainer import train
from utils.models.adapters import add_adapter
from utils.models.load import load_model, load_tokenizer, source
from utils.record.fit import packed, training_rows
from utils.record.provenance import revision, versions
from utils.system.command import command, positive
from utils.system.files import read_json, write_json
from utils.system.places import ROOT
from utils.tasks.ask import predict
from utils.tasks.forms import opinion_task
from utils.tasks.opinion import BEGINNING, Opinions, line

TOPICS = ("abortion", "china", "climate-change", "drugs", "gun-control")
TRAINING_BATCH, PIPELINE_BATCH, NEW_TOKENS = 4, 64, 20  # of the published recipe
MODES = ("training", "inference", "inference, five topics")


def texts_about(names: tuple[str, ...], texts: list[Text]) -> list[Text]:
    """These texts, each with a score on every topic: made-up ones, as no time depends on them."""
    return [{**t, "opinions": {name: {"score": float(k % 5 - 2)} for name in names}} for k, t in enumerate(texts)]


def written_out(task: Opinions, texts: list[Text]) -> list[tuple[str, str]]:
    """(prompt, answer) of every question of these texts: its path through the tree."""
    found = []
    for text in texts:
        for name, opinion in text["opinions"].items():
            topic = task.topics[name]
            phrases = {score: phrase for phrase, score in topic.phrases.items()}
            prompt = f"{BEGINNING}{task.asked(topic)}\nText: {line(text)}{task.branches(topic, None)[0].text}"
            found.append((prompt, f" {phrases[opinion['score']]}"))
    return found


class Rows:
    """This repository's own way: one of its strategies."""

    def __init__(self, model: str, strategy: str):
        self.config = Config(model=model, quantization="none", precision="float32", task_type="regression")
        self.config = replace(self.config, strategy=strategy)
        self.base, self.tokenizer, self.model = None, None, None

    def task(self, names):
        return opinion_task({name: Topic.read(name) for name in names}, "regression", self.config.strategy)

    def load(self, names):
        outputs = self.task(names).outputs
        self.model, self.tokenizer = load_model(self.config.model, "none", "float32", outputs=outputs)

    def train(self, texts, folder, clock):
        task = self.task(TOPICS[:1])
        self.load(TOPICS[:1])
        model = add_adapter(self.model, **self.config.adapter_settings())
        rows = packed(training_rows(task, texts, self.tokenizer, self.config), self.config)
        settings = replace(self.config.training("opinion"), epochs=1, gradient_accumulation=len(rows))
        train(model, self.tokenizer, rows, settings, folder, callbacks=[clock])

    def infer(self, texts, names):
        task = self.task(names)
        asked = [without_opinions(text) for text in texts]
        predict(task, self.model, self.tokenizer, asked, self.config.inference(), progress=False)

    def tokens(self, texts, names):
        task, found = self.task(names), 0
        for name in names:
            trees = [task.tree({**without_opinions(text), "opinions": {name: {}}}) for text in texts]
            rows = encode_trees(trees, [""] * len(texts), self.tokenizer, self.config.max_row_tokens, train=False)
            plan = row_plan(rows, self.config.token_budget)
            found += sum(len(in_one_row([rows[index] for index in group])) for group in plan)
        return found


class Classifier:
    """A padded sequence a text."""

    def __init__(self, model: str):
        self.config = Config(model=model)

    def load(self, names):
        self.tokenizer = load_tokenizer(self.config.model)
        self.model = AutoModelForSequenceClassification.from_pretrained(
            source(self.config.model), num_labels=1, dtype=torch.float32, pad_token_id=self.tokenizer.pad_token_id
        )
        self.pipeline = pipeline(
            "text-classification", self.model.eval(), tokenizer=self.tokenizer, batch_size=PIPELINE_BATCH
        )

    def train(self, texts, folder, clock):
        self.load(TOPICS[:1])
        rows = [{**self.tokenizer(text["text"]), "label": text["opinions"][TOPICS[0]]["score"]} for text in texts]
        stock_step(self.model, TaskType.SEQ_CLS, rows, DataCollatorWithPadding(self.tokenizer), folder, clock)

    def infer(self, texts, names):
        for _ in names:  # a model a topic
            self.pipeline([text["text"] for text in texts], function_to_apply="none")

    def tokens(self, texts, names):
        return len(names) * sum(len(self.tokenizer(text["text"]).input_ids) for text in texts)


class Prompts:
    """A padded prompt a text and topic, whose answer is written."""

    def __init__(self, model: str):
        self.rows = Rows(model, "generation")

    def load(self, names):
        self.tokenizer = load_tokenizer(self.rows.config.model)
        self.model: Any = AutoModelForCausalLM.from_pretrained(source(self.rows.config.model), dtype=torch.float32)

    def train(self, texts, folder, clock):
        self.load(TOPICS[:1])
        rows = []
        for prompt, answer in written_out(self.rows.task(TOPICS[:1]), texts):
            first, rest = (self.tokenizer(part).input_ids for part in (prompt, answer))
            rows.append({"input_ids": first + rest, "labels": [-100] * len(first) + rest})
        stock_step(self.model, TaskType.CAUSAL_LM, rows, DataCollatorForSeq2Seq(self.tokenizer), folder, clock)

    def infer(self, texts, names):
        for prompt, _ in written_out(self.rows.task(names), texts):
            asked = self.tokenizer(prompt, return_tensors="pt")
            self.model.generate(
                **asked,
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                repetition_penalty=1.1,
                pad_token_id=self.tokenizer.pad_token_id,
            )

    def tokens(self, texts, names):
        asked = written_out(self.rows.task(names), texts)
        return sum(len(self.tokenizer(prompt).input_ids) + NEW_TOKENS for prompt, _ in asked)


def stock_step(model, kind, rows, collator, folder, clock):
    """One optimizer step of transformers' Trainer on all `rows`, in batches of TRAINING_BATCH."""
    config = Config()
    lora = LoraConfig(
        task_type=kind,
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=config.lora_targets,
    )
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=TRAINING_BATCH,
        gradient_accumulation_steps=-(-len(rows) // TRAINING_BATCH),
        learning_rate=config.opinion_learning_rate,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=model.device.type == "cpu",
        dataloader_pin_memory=model.device.type == "cuda",
    )
    data = Dataset.from_list(rows)
    Trainer(get_peft_model(model, lora), arguments, collator, data, callbacks=[clock]).train()


WAYS: dict[str, Callable] = {
    "generation": lambda model: Rows(model, "generation"),
    "sequence": lambda model: Rows(model, "sequence"),
    "padded classifier": Classifier,
    "padded prompts": Prompts,
}
PEERS = {"generation": "padded prompts", "sequence": "padded classifier"}


def measured(way, texts_of: dict[str, list[Text]], seconds: dict[str, list[float]]) -> None:
    """Adds the seconds of every one of MODES to `seconds`."""
    with TemporaryDirectory() as folder:
        clock = Clock()
        way.train(texts_of["training"], Path(folder), clock)
    assert clock.seconds, "training ends behind its first step"
    seconds["training"].append(clock.seconds)
    way.load(TOPICS[:1])
    for mode, names in (("inference", TOPICS[:1]), ("inference, five topics", TOPICS)):
        texts = texts_of[mode]
        way.infer(texts[:2], names)  # warm
        start = now()
        way.infer(texts, names)
        seconds[mode].append(now() - start)


def table(result: dict) -> str:
    """The table of what `main` wrote: texts a second of each way, and how many times its peer's."""
    lines = [f"| | {' | '.join(MODES)} |", "|---" * (len(MODES) + 1) + "|"]
    for name, one in result["ways"].items():
        cells = []
        for mode in MODES:
            rate = result["texts"] / one["seconds"][mode]["median"]
            peer = result["ways"].get(PEERS.get(name, ""))
            times = f" ({rate * peer['seconds'][mode]['median'] / result['texts']:.1f}x)" if peer else ""
            cells.append(f"{rate:.1f}{times}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


@command("benchmarks.speed.opinions")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for what cannot be used."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=positive, default=64, help="default: %(default)s")
    parser.add_argument("--runs", type=positive, default=3, help="of every way (default: %(default)s)")
    parser.add_argument("--model", default=Config.model, help="default: %(default)s")
    parser.add_argument("--result", type=Path, default=RESULTS / "opinions_speed.json")
    arguments = parser.parse_args(argv)
    tweets = ROOT / "input" / "abortion" / "test" / "texts.json"
    source = tweets if tweets.is_file() else ROOT / "data" / "opinions"
    parts = {"test": read_json(tweets)} if tweets.is_file() else make_sample(ROOT).parts
    texts = [text for split in parts.values() for text in split][: arguments.texts]
    texts_of = {mode: texts_about(TOPICS if "five" in mode else TOPICS[:1], texts) for mode in MODES}
    seconds: dict[str, dict[str, list[float]]] = {name: {mode: [] for mode in MODES} for name in WAYS}
    tokens = {}
    with tqdm(total=arguments.runs * len(WAYS), unit="run") as bar:
        for _ in range(arguments.runs):
            for name, make in WAYS.items():
                way = make(arguments.model)
                measured(way, texts_of, seconds[name])
                tokens[name] = {
                    mode: way.tokens(texts_of[mode], TOPICS if "five" in mode else TOPICS[:1]) for mode in MODES[1:]
                }
                bar.update()
    ways = {
        name: {"seconds": {mode: summary(its) for mode, its in one.items()}, "tokens": tokens[name]}
        for name, one in seconds.items()
    }
    write_json(
        {
            "command": f"python -m benchmarks.speed.opinions --texts {arguments.texts} --runs {arguments.runs}",
            "revision": revision(),
            "versions": versions(),
            "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
            "model": Path(arguments.model).name,
            "data": source.relative_to(ROOT).as_posix(),
            "texts": len(texts_of["training"]),
            "ways": ways,
        },
        arguments.result,
    )
    print(table(read_json(arguments.result)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
