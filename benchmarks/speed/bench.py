"""What is measured: the model, the conversations and the systems, from the command's arguments."""

import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

from transformers import set_seed

from benchmarks.speed.measure import Clock, now
from benchmarks.speed.systems import Compiled, DoneWell, LlamaCpp, OnePass, Published
from utils.config import Config, load_config
from utils.data.conversations import load_conversations
from utils.models.adapters import adapter_in_compute_type, add_lora, load_adapter
from utils.models.load import compile_layers, embedded_gguf, load_model, load_tokenizer
from utils.record.adapter import trained_with
from utils.system.hardware import compiler, device
from utils.system.places import ROOT
from utils.tasks.candidates import emotional

TASKS = ("emotion", "cause")
SHIPPED = ROOT / "results_train" / "smollm2-135m-ecf" / "adapters"


def spread(conversations: list[dict], count: int) -> list[dict]:
    """`count` of the conversations with an emotion in them, evenly over their lengths in utterances."""
    asked = sorted((c for c in conversations if emotional(c)), key=lambda c: len(c["conversation"]))
    count = min(count, len(asked))
    return [asked[int((k + 0.5) * len(asked) / count)] for k in range(count)]


def conversations_in(data: Path) -> tuple[list[dict], list[dict]]:
    """(conversations to train on, conversations to label): of a folder of splits; without it the sample data, twice."""
    if (data / "train").is_dir():
        return tuple(load_conversations(data / split, labelled=True) for split in ("train", "test"))
    sample = load_conversations(ROOT / "data" / "sample", labelled=True)
    return sample, sample


class Bench:
    """The model, the conversations, the tasks and the systems that are compared, from the command's arguments.

    Causes are the model's alone, without the boosted trees beside the adapter, which take milliseconds a conversation
    in every system.
    """

    def __init__(self, arguments):
        self.arguments = arguments
        shipped = SHIPPED if all((SHIPPED / task / "adapter_config.json").is_file() for task in TASKS) else None
        self.adapters = arguments.adapters or (shipped if arguments.model is None else None)
        config = Config.of(load_config(ROOT / "configs" / "smollm2-135m.yaml"))
        emotions = config.task("emotion")
        if self.adapters:
            folder = self.adapters / "emotion"
            emotions, config = (
                trained_with(folder).task("emotion").trained(folder),
                trained_with(self.adapters / "cause"),
            )
        self.tasks = {"emotion": emotions, "cause": config.task("cause")}
        self.config = replace(config, model=arguments.model or config.model)
        self.tokenizer = load_tokenizer(self.config.model)
        self.taught, self.tested = conversations_in(arguments.data)
        self.step, self.asked = spread(self.taught, arguments.step), spread(self.tested, arguments.conversations)
        self.training = [Published(config), DoneWell(config), OnePass(config), Compiled(config)]
        self.inference = [Published(config), DoneWell(config), OnePass(config)]
        if device().type == "cpu" and shutil.which(compiler()) is None:
            self.training.pop()
        self.without_llama = self._add_llama(arguments, config)
        self._labellers = {}

    def _add_llama(self, arguments, config):
        """Puts llama.cpp among the rows; or says why not."""
        if not LlamaCpp.available():
            return "llama.cpp was not run: `pip install llama-cpp-python` (PyPI has its source; the build needs cmake)"
        if arguments.gguf is None and config.model != Config.model:
            return "llama.cpp was not run: --gguf names no file of this model"
        files = dict(zip(TASKS, arguments.gguf or [embedded_gguf()] * 2))
        engine_of = cache(lambda task: LlamaCpp.engine(files[task], config.max_row_tokens))
        self.inference.insert(2, LlamaCpp(config, engine_of))
        return None

    def learner(self, row):
        """A model with a fresh adapter, for one row to train."""
        model, _ = load_model(self.config.model, self.config.quantization, self.config.precision)
        set_seed(self.config.seed)
        c = self.config
        model = add_lora(model, c.lora_r, c.lora_alpha, c.lora_dropout, c.lora_targets, c.gradient_checkpointing)
        if row.attention:
            model.set_attn_implementation(row.attention)
        if getattr(row, "compiled", False):
            compile_layers(model)
        return model

    def adapter_of(self, row, task) -> Path | None:
        """The folder of the adapter that this row labels with, where one was trained in its form."""
        if isinstance(row, Published):
            return self.arguments.published_adapters and self.arguments.published_adapters / task
        if isinstance(row, DoneWell) and task == "cause":
            return None  # it asks for lists, and the adapter answers yes or no
        return self.adapters and self.adapters / task

    def labeller(self, row, task):
        """The model that this row labels with: with its adapter, or a fresh one that takes as long."""
        folder = self.adapter_of(row, task)
        if folder not in self._labellers:
            model, _ = load_model(self.config.model, self.config.quantization, self.config.precision)
            own = model.config._attn_implementation
            if folder:
                model = load_adapter(model, folder, self.config.model)
            else:
                c = self.config
                model = add_lora(model, c.lora_r, c.lora_alpha, 0.0, c.lora_targets).eval()
                model = adapter_in_compute_type(model)
            self._labellers[folder] = model, own
        model, own = self._labellers[folder]
        model.set_attn_implementation(row.attention or own)
        return model

    def train_step(self, row, model, task, conversations) -> float:
        """Seconds of one optimizer step on the conversations."""
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            row.train(model, self.tokenizer, self.tasks[task], conversations, folder, clock)
        return clock.seconds

    def label(self, row, task, conversations):
        """(seconds, labelled conversations)"""
        model = None if isinstance(row, LlamaCpp) else self.labeller(row, task)
        start = now()
        labelled = row.label(model, self.tokenizer, self.tasks[task], conversations)
        return now() - start, labelled
