"""Scoring with a head (utils/models/head.py) at the ends of a tree's branches.

A question that a head answers has no answers to choose from. Its gold is {output: value}: of a choice the output that
is right, with a weight; of a number its value. A row's target is then (index of the branch's last token, output), and
its weight that value. utils/engine/head_trainer.py trains on them.
"""

from typing import Any

import torch

from utils.engine.prefix_tree import Row, mask
from utils.models.head import groups_of, head_outputs, outputs_of
from utils.system.errors import ModelError


def head_inputs(row: Row, device: Any) -> dict:
    """What the model reads of a row."""
    last = torch.tensor([row.last], device=device)
    return {
        "input_ids": torch.tensor([row.input_ids], device=device),
        "position_ids": torch.tensor([row.positions], device=device),
        "attention_mask": mask(last),
    }


@torch.no_grad()
def head_row(model, row: Row, device: Any) -> list[list[float]]:
    """For every question in `row` the log-probabilities of its choices and its numbers, in the order of the outputs.
    Raises ModelError where the model gives no numbers."""
    ends = [question[0][0][0] for question in row.answers]
    if not ends:
        return []
    found = head_outputs(model, head_inputs(row, device), torch.tensor(ends, device=device))
    for group in groups_of(outputs_of(model)):
        if len(group) > 1:
            found[:, group.start : group.stop] = found[:, group.start : group.stop].log_softmax(-1)
    if not found.isfinite().all():
        raise ModelError(f"the model's scores in {model.dtype} are no numbers: give precision bfloat16 or float32")
    return found.tolist()
