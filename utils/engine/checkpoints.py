"""Checkpoints of a training: written whole or named, and gone on from.

last_checkpoint(folder)
"""

from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import Trainer

from utils.models.projector import active_projector, read_projector, save_projector
from utils.system.errors import TrainingError
from utils.system.files import let_others_read


class Resumed(Trainer):
    """What every trainer of ours does beside transformers'."""

    def evaluate(self, *args, **kwargs):
        """Evaluate without drawing from the random numbers of the training: a loader draws a seed when it begins. So
        the weights are those of a training without evaluations."""
        with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else []):
            return super().evaluate(*args, **kwargs)

    def _run_epoch(self, *args, **kwargs):
        """Resumed after its final step in mid-epoch, Trainer would run one step too many; skip it."""
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(*args, **kwargs)

    def _save(self, output_dir=None, state_dict=None):
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            save_projector(self.model, output_dir or self.args.output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        projector = active_projector(self.model)
        if projector is not None:
            projector.take(read_projector(resume_from_checkpoint))

    def _save_checkpoint(self, model, trial):
        with named_write_errors(self.args.output_dir):
            super()._save_checkpoint(model, trial)
            let_others_read(self.args.output_dir)


@contextmanager
def named_write_errors(folder):
    """Raises TrainingError, which names `folder` and the fix, for weights that cannot be written there. The libraries'
    own errors say neither."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        raise TrainingError(
            f"{folder} cannot be written ({str(error).splitlines()[0]}). Make room there; the same command goes on"
        ) from error


def last_checkpoint(folder: Path) -> str | None:
    """The last checkpoint that was written whole: trainer_state.json is its last file, and ends with a brace."""
    whole = [
        path.parent
        for path in folder.glob("checkpoint-*/trainer_state.json")
        if path.read_text(encoding="utf-8").endswith("}\n")
    ]
    return str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None
