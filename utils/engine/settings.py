"""Settings of training and of inference; utils/config.py fills them in."""

from dataclasses import dataclass


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
