"""Every parameter of the chain, once: its name, its type, its default and the reason for it.

The parameters cell of a notebook repeats the names that the notebook uses, with these defaults (a test holds the
two equal); papermill, a file of configs/ or a person changes them there, and `Config.of(globals())` checks them.
"""

import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from pathlib import Path

import yaml

from utils.engine.settings import InferenceSettings, TrainingSettings
from utils.system.errors import ConfigError, shown
from utils.tasks.cause import Cause
from utils.tasks.cause_list import CauseList
from utils.tasks.emotion import Emotion
from utils.tasks.task import Task

CHOICES = {
    "quantization": ("none", "nf4"),
    "precision": ("auto", "bfloat16", "float16", "float32"),
    "recipe": ("one_pass", "published"),
    "report_to": ("none", "trackio", "tensorboard", "wandb"),
    "cause_form": ("candidates", "list"),
    # Of the trainer's, those that need no parameter that is not here (transformers' SchedulerType, OptimizerNames).
    "scheduler": (
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "constant",
        "constant_with_warmup",
        "inverse_sqrt",
    ),
    "optimizer": (
        "adamw_torch",
        "adamw_torch_fused",
        "adamw_8bit",
        "paged_adamw_8bit",
        "paged_adamw_32bit",
        "adafactor",
    ),
    "cause_emotions": ("gold", "predicted"),
}
MAY_BE_ZERO = ("seed", "lora_dropout", "warmup_ratio", "text_epochs", "logit_adjustment")
_LONGEST = 20_000  # characters of a parameter file; YAML is read slowly


CAUSE_FORMS: dict[str, Callable[["Config"], Task]] = {
    "candidates": lambda config: Cause(threshold=config.cause_threshold),
    "list": lambda config: CauseList(),
}
TASKS: dict[str, Callable[["Config"], Task]] = {
    "emotion": lambda config: Emotion(adjustment=config.logit_adjustment),
    "cause": lambda config: CAUSE_FORMS[config.cause_form](config),
}


@dataclass
class Config:
    """The parameters of one run. All flat: what stands here is what a notebook or a YAML file can set."""

    run_name: str = "sample"  # names the folders results_train/<run_name> and results_test/<run_name>
    model: str = "smollm2-135m-instruct"  # the embedded model; or a folder, or a hub id
    input_dir: str = "input"  # where generate_input.py wrote the splits
    seed: int = 42
    recipe: str = "one_pass"  # "published": a prompt an utterance, `generate`, the label parsed from the text
    quantization: str = "none"  # "nf4" for models that do not fit otherwise (QLoRA); 135M parameters fit anywhere
    precision: str = "auto"  # from the hardware: bfloat16 where it is native, float16 on a T4, else float32
    offload: bool = False  # inference: what does not fit on the GPU stays in the CPU's memory, then on the disk; slow
    token_budget: int = 256  # conversations share a row up to this many tokens; longer rows pay for attention
    max_row_tokens: int = 4096  # a longer conversation is refused by name, never cut
    lora_r: int = 16  # the published rank
    lora_alpha: int = 16
    lora_dropout: float = 0.0  # off: dropout costs a fifth of a CPU step; its gain was not measured
    lora_targets: str | list = "all-linear"  # or a list of module names
    text_epochs: float = 0.0  # first, epochs over the words alone, of unlabelled conversations too (LOG.md)
    text_learning_rate: float = 5e-4
    emotion_learning_rate: float = 1e-3  # the published rate; steps are few, so it is high
    cause_learning_rate: float = 1e-3
    emotion_epochs: float = 1.0
    cause_epochs: float = 1.0
    batch_size: int = 1  # rows (published: prompts) a forward pass; rows are full already
    gradient_accumulation: int = 3  # forward passes a step: with the budget, about 800 tokens
    scheduler: str = "cosine"
    warmup_ratio: float = 0.03
    optimizer: str = "adamw_torch"  # "paged_adamw_32bit" on GPUs that are nearly full
    gradient_checkpointing: bool = False  # trades a third more time for activation memory
    compile: bool = False  # torch.compile the layers: a quarter faster on a CPU after a minute; needs a C++ compiler
    report_to: str = "none"  # an experiment tracker, if it is installed: "trackio", "tensorboard" or "wandb"
    logit_adjustment: float = 0.5  # taken off a label: this times the log of its share in training (LOG.md)
    cause_form: str = "candidates"  # a probability for each candidate; "list" is the published answer
    cause_emotions: str = "gold"  # what cause training reads; "predicted": notebook 2's labels of the training split
    cause_threshold: float = 0.2  # P(emotion) x P(cause) from which a pair is named; half the F1 reached (LOG.md)

    @classmethod
    def of(cls, values: dict) -> "Config":
        """The parameters among `values` (a notebook's globals()), the rest at their defaults; checked.

        Raises ConfigError for a value of the wrong type or outside its choices.
        """
        config = cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})
        config.check()
        return config

    def check(self):
        """Raises ConfigError for the first parameter that cannot have its value."""
        for f in fields(self):
            value, kind = getattr(self, f.name), type(f.default)
            if kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
                try:  # YAML reads 1e-3 as a string
                    value = float(value)
                except (ValueError, OverflowError):
                    pass
                setattr(self, f.name, value)
            fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
            if f.name == "lora_targets" and isinstance(value, list):
                fits = bool(value) and all(isinstance(name, str) for name in value)
            if not fits:
                raise ConfigError(f"parameter {f.name} is {shown(value)}; it must be of type {kind.__name__}")
            # No file system takes a zero byte, and no file half a character.
            if isinstance(value, str) and re.search(r"[\x00\ud800-\udfff]", value):
                raise ConfigError(f"parameter {f.name} is {shown(value)}; it must be whole characters")
            if f.name in CHOICES and value not in CHOICES[f.name]:
                raise ConfigError(f"parameter {f.name} is {shown(value)}; choose one of {', '.join(CHOICES[f.name])}")
            if kind is float and not math.isfinite(value):
                raise ConfigError(f"parameter {f.name} is {shown(value)}; it must be a finite number")
            if kind in (int, float) and f.name not in MAY_BE_ZERO and value <= 0:
                raise ConfigError(f"parameter {f.name} is {shown(value)}; it must be above zero")
        for name in ("text_epochs", "logit_adjustment"):
            if getattr(self, name) < 0:
                raise ConfigError(f"parameter {name} is {getattr(self, name)}; it must not be below zero")
        if self.offload and self.quantization != "none":
            raise ConfigError("parameter offload is true; it needs quantization none: 4-bit layers stay where they are")
        if self.cause_threshold >= 1:
            raise ConfigError(f"parameter cause_threshold is {self.cause_threshold}; a probability must lie below 1")
        if not 0 <= self.lora_dropout < 1 or not 0 <= self.warmup_ratio < 1:
            raise ConfigError("parameters lora_dropout and warmup_ratio must lie from 0 to below 1")
        if not 0 <= self.seed < 2**32:  # what numpy takes
            raise ConfigError(f"parameter seed is {shown(self.seed)}; it must lie from 0 to below 2**32")
        plain = Path(self.run_name).name == self.run_name and not set("{}") & set(self.run_name)  # papermill fills {}
        if not self.run_name or not plain or self.run_name.startswith("."):
            raise ConfigError(f"parameter run_name is {self.run_name!r}; it must be one plain folder name")

    def as_dict(self) -> dict:
        return asdict(self)

    def training(self, task: str) -> TrainingSettings:
        """The trainer's settings for `task`: "emotion" or "cause", or "text", the words alone."""
        from utils.system.hardware import (
            choose_precision,  # here, so that names are checked without loading transformers
        )

        return TrainingSettings(
            learning_rate=getattr(self, f"{task}_learning_rate"),
            epochs=getattr(self, f"{task}_epochs"),
            batch_size=self.batch_size,
            gradient_accumulation=self.gradient_accumulation,
            scheduler=self.scheduler,
            warmup_ratio=self.warmup_ratio,
            optimizer=self.optimizer,
            gradient_checkpointing=self.gradient_checkpointing,
            compile=self.compile,
            precision=choose_precision() if self.precision == "auto" else self.precision,
            seed=self.seed,
            run_name=self.run_name,
            report_to=self.report_to,
        )

    def inference(self) -> InferenceSettings:
        """What inference of any task is told."""
        return InferenceSettings(self.recipe, self.token_budget, self.max_row_tokens)

    def task(self, name: str) -> Task:
        """The task `name`, a key of TASKS, as these parameters ask it; before any training (see Task.trained)."""
        return TASKS[name](self)


def load_config(path) -> dict:
    """The parameters that a YAML file sets, {name: value}, all of them known and possible.

    Raises ConfigError for a file that is missing or no mapping, and for a name that is mistyped (with the nearest known
    one) or there twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > _LONGEST:
            raise ValueError(f"{len(text):,} characters where {_LONGEST:,} are plenty")
        values = yaml.safe_load(text)
        names = [key.value for key, _ in yaml.compose(text, yaml.SafeLoader).value] if isinstance(values, dict) else []
    except Exception as error:  # PyYAML lets ValueError, KeyError, AttributeError and more out of odd values
        raise ConfigError(f"{path}: cannot be read as YAML ({error!s:.500})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must be a mapping of parameter names to values")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{path}: parameter {shown(name)} is there twice")
    check_names(values, path)
    try:
        Config.of(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return values


def check_names(values: dict, source) -> None:
    """Raises ConfigError for names that are no parameter."""
    known = [f.name for f in fields(Config)]
    for name in values:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{source}: unknown parameter {shown(name)}; {hint}")


def parse_value(name: str, text: str):
    """The value of a parameter on the command line, read as YAML; what must be text stays text (a run_name such as 7,
    no or 2026-11-30). Raises ConfigError for text that is none."""
    text_wanted = isinstance(getattr(Config, name, None), str)
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        if text_wanted and isinstance(error, ValueError):
            return text
        raise ConfigError(f"parameter {name} is {text!r}, which cannot be read as YAML") from error
    return text if text_wanted and not isinstance(value, (str, list, dict)) else value
