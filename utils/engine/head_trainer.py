"""Training with a head: its loss, and transformers' trainer with it. Scoring (utils/engine/head.py) loads no trainer,
which takes seconds.
"""

from typing import Any

import torch

from utils.engine.checkpoints import Resumed
from utils.engine.head import head_inputs
from utils.engine.prefix_tree import Row, pack
from utils.models.head import groups_of, head_outputs, outputs_of
from utils.system.errors import TrainingError


def head_loss(outputs, targets, values, groups: list[range]):
    """The sum over targets of the loss: of a choice value x -log P(right), of a number the squared error.

    outputs  (targets, outputs) what the head gives where the target is
    targets  (targets,) which output each is about
    values   (targets,) see utils/engine/head.py
    """
    total = outputs.new_zeros(())
    for group in groups:
        mine = (group.start <= targets) & (targets < group.stop)
        if len(group) == 1:
            total = total + (outputs[mine, group.start] - values[mine]).square().sum()
        else:
            logs = outputs[mine, group.start : group.stop].log_softmax(-1)
            right = logs.gather(1, (targets[mine] - group.start)[:, None])[:, 0]
            total = total - (right * values[mine]).sum()
    return total


class HeadCollator:
    """Rows (as the trainer's dataset holds them) to what HeadTrainer takes, packed into one row."""

    def __call__(self, examples: list[dict]) -> dict:
        row = pack([Row(**{**e, "targets": [tuple(target) for target in e["targets"]]}) for e in examples])
        return {
            **head_inputs(row, "cpu"),
            "indices": torch.tensor([[index for index, _ in row.targets]]),
            "labels": torch.tensor([[output for _, output in row.targets]]),
            "values": torch.tensor([row.weights]),
        }


class HeadTrainer(Resumed):
    """transformers' trainer with `head_loss`, a mean over the targets of a step. Raises TrainingError in several
    processes, which would not share the gradients."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = True  # it counts the labels of a whole step
        if self.args.world_size > 1:
            raise TrainingError("strategy sequence trains in one process: start it without accelerate")

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        inputs = dict(inputs)
        indices, targets, values = (inputs.pop(name)[0] for name in ("indices", "labels", "values"))
        with self.accelerator.autocast():
            outputs = head_outputs(model, inputs, indices)
        loss = head_loss(outputs, targets, values, groups_of(outputs_of(model)))
        loss = loss / (len(values) if num_items_in_batch is None else num_items_in_batch)
        return (loss, {"outputs": outputs}) if return_outputs else loss

    def prediction_step(self, model, inputs, *how, **more):
        with torch.no_grad():
            loss: Any = self.compute_loss(model, self._prepare_inputs(inputs))
        return loss, None, None
