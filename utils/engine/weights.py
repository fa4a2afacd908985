"""The loss where targets do not count alike: distributions over answers, class weights, focal loss.

    inputs = weighted_inputs(row)                 # what the model takes, and the targets beside it
    model_given, target = separated(inputs)
    loss = weighted_loss(model(**model_given).logits, target, gamma=0.0) / target["weights"].sum()

Where all weights are one and gamma is zero this is the model's own loss, to rounding.
"""

from typing import Any

import torch

from utils.engine.prefix_tree import Row, model_inputs

TARGETS = ("labels", "shift_labels", "slots", "weights")


def weighted_inputs(row: Row, device: Any = "cpu") -> dict:
    """As `model_inputs` of the row's targets, but several targets of one position need its logits only once.

    labels, shift_labels  (1, targets) the tokens to predict
    slots                 (1, targets) which of the kept positions predicts each
    weights               (1, targets) how much each counts
    """
    kept = sorted({index for index, _ in row.targets})
    slots = {index: slot for slot, index in enumerate(kept)}
    tokens = torch.tensor([[token for _, token in row.targets]], dtype=torch.long, device=device)
    return {
        **model_inputs(row, [(index, 0) for index in kept], device),
        "labels": tokens,
        "shift_labels": tokens,
        "slots": torch.tensor([[slots[index] for index, _ in row.targets]], dtype=torch.long, device=device),
        "weights": torch.tensor([row.weights], device=device),
    }


def separated(inputs: dict) -> tuple[dict, dict]:
    """`weighted_inputs` as (what the model takes, its targets)."""
    model_given = {name: value for name, value in inputs.items() if name not in TARGETS}
    return model_given, {name: inputs[name] for name in TARGETS}


def weighted_loss(logits, target: dict, gamma: float):
    """The sum over targets of weight x (1 - p)^gamma x -log p, where p is the probability of the target's token.

    logits  (1, kept positions, vocabulary)
    target  as `separated` gives it
    gamma   Lin et al. (ICCV 2017): tokens that are surely right count less; 0 is the cross-entropy
    """
    logp = logits[0].float().log_softmax(-1)[target["slots"][0], target["labels"][0]]
    losses = -logp * target["weights"][0]
    if gamma:
        losses = losses * (-logp.expm1()).clamp(min=1e-7) ** gamma  # its slope is infinite at 0 for gamma below 1
    return losses.sum()
