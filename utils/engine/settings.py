"""Settings of training and of inference; utils/config.py fills them in."""

from dataclasses import dataclass
from typing import Any

from utils.system.errors import ConfigError, shown


@dataclass
class TrainingSettings:
    """One task's training: see the parameters of the same names in utils/config.py."""

    learning_rate: float
    epochs: float = 1
    batch_size: int = 1
    gradient_accumulation: int = 4
    scheduler: str = "cosine"
    warmup_ratio: float = 0.03
    optimizer: str = "adamw_torch"
    focal_gamma: float = 0.0
    gradient_checkpointing: bool = False
    compile: bool = False
    precision: str = "float32"
    seed: int = 42
    run_name: str = "run"
    report_to: str = "none"


@dataclass(frozen=True)
class InferenceSettings:
    """Inference of any task.

    recipe          "one_pass": answers are scored in trees; "published": they are generated from prompts
    token_budget    trees share a row up to this many tokens
    max_row_tokens  a longer tree is refused by name
    batch_size      prompts a batch, in the published recipe
    """

    recipe: str = "one_pass"
    token_budget: int = 256
    max_row_tokens: int = 4096
    batch_size: int = 8


@dataclass(frozen=True)
class Writing:
    """How a model writes.

    temperature  0: the likeliest token each time, or the likeliest of `beams`; above: tokens are sampled
    top_p        of sampling: among the likeliest tokens that have this probability together (Holtzman et al. 2020)
    top_k        of sampling: among so many of the likeliest; 0: among all
    beams        how many beginnings are followed at a time
    new_tokens   how many tokens are written at most
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    beams: int = 1
    new_tokens: int = 128

    def check(self, streaming: bool = False) -> None:
        """Raises ConfigError for the first setting that cannot be, and for beams of which one is to be seen while it is
        written (`streaming`)."""
        bounds = {"temperature": (0, 10), "top_p": (0, 1), "top_k": (0, 10**6), "beams": (1, 64)}
        for name, (low, high) in {**bounds, "new_tokens": (1, 10**6)}.items():
            value = getattr(self, name)
            if type(value) not in (int, float) or not low <= value <= high:
                raise ConfigError(f"{name} is {shown(value)}; it must lie from {low} to {high:,}")
        if streaming and self.beams > 1:
            raise ConfigError(
                f"beams is {self.beams}, and the text is to be seen while it is written: which beam wins is known at "
                "the end. Give beams 1, or wait for the whole text"
            )

    def options(self) -> dict[str, Any]:
        """The arguments of transformers' `generate`. What says nothing is left to none of the model's own defaults."""
        sampled = {"temperature": self.temperature, "top_p": self.top_p, "top_k": self.top_k}
        return {
            "max_new_tokens": self.new_tokens,
            "num_beams": self.beams,
            "do_sample": self.temperature > 0,
            **(sampled if self.temperature > 0 else {}),
        }
