"""Rare labels in training: how much each label counts, and how often its examples are drawn.

balance = Balance(weights="effective", beta=0.999, sampling="balanced")
drawn = balance.drawn(items, carried, seed)       # the items of one epoch
weights = balance.weighed({"joy": 900, "fear": 60})     # {label: how much an example of it counts in the loss}

Both are for training alone: evaluations count every example once. The other two ways to treat rare labels are the focal
loss (utils/engine/weights.py) and the logit adjustment (utils/tasks/emotion.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

WEIGHTS = ("none", "inverse", "effective")
SAMPLING = ("natural", "balanced")


@dataclass(frozen=True)
class Balance:
    """weights   one of WEIGHTS, see `weighed`
    beta      of "effective"
    sampling  one of SAMPLING, see `drawn`
    """

    weights: str = "none"
    beta: float = 0.999
    sampling: str = "natural"

    def weighed(self, counts: dict[str, float]) -> dict[str, float]:
        """{label: weight} from {label: how many examples carry it}; {} with weights "none".

        inverse    1 / n
        effective  (1 - beta) / (1 - beta^n), one over the effective number of examples (Cui et al., CVPR 2019); beta 0
                   weighs all labels alike, and towards 1 it becomes inverse

        The weights are scaled so that they average one over the examples. The scale changes no loss: a step's loss is
        divided by the sum of its weights, as torch's cross_entropy(weight=...) does. Labels without an example are
        left out.
        """
        if self.weights == "none":
            return {}
        seen = {label: count for label, count in counts.items() if count > 0}
        raw = {label: 1 / n if self.weights == "inverse" else _effective(n, self.beta) for label, n in seen.items()}
        scale = sum(seen.values()) / sum(seen[label] * weight for label, weight in raw.items()) if seen else 1.0
        return {label: weight * scale for label, weight in raw.items()}

    def drawn(self, items: list, carried: Callable, seed: int) -> list:
        """With sampling "balanced" as many items as there are, drawn with replacement: first a label, each as likely as
        any other, then one of the examples that carry it, and its item. Else `items`.

        carried  carried(item) gives for each example of the item {label: share}

        An item is asked about all its examples, so that labels which stand beside rare ones are drawn with them: in
        conversations the labels become more even, and not equal. Where an item has one example they become equal, but
        for chance.
        """
        if self.sampling == "natural":
            return items
        mass = [_sums(carried(item)) for item in items]
        total = _sums(mass)
        chances = np.array([sum(share / total[label] for label, share in one.items()) for one in mass])
        if not total:
            return items
        picked = np.random.default_rng(seed).choice(len(items), len(items), p=chances / chances.sum())
        return [items[k] for k in sorted(picked)]


def _effective(n: float, beta: float) -> float:
    """One over the effective number of n examples, (1 - beta^n) / (1 - beta)."""
    return (1 - beta) / (1 - beta**n)


def _sums(parts: list[dict[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in parts:
        for label, share in part.items():
            found[label] = found.get(label, 0.0) + share
    return found
