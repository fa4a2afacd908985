"""Several annotators: which label a text gets, and how far they agree.

    label = RULES["majority"](["irrelevant", -2.0, -2.0])     # -2.0; None where the rule finds none
    agreement({"ana": [...], "bo": [...]})                    # for each pair kappa, weighted kappa and RMSE

A label is a number, a stance or "irrelevant" (utils/data/opinions.py); None where an annotator gave none.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

from utils.data.opinions import IRRELEVANT

Label = float | str | None


def majority(labels: Sequence[Label]) -> Label:
    """The label that two annotators or more gave, and more than any other; None where there is none."""
    first, *others = Counter(one for one in labels if one is not None).most_common(2) or [(None, 0)]
    return first[0] if first[1] >= 2 and (not others or others[0][1] < first[1]) else None


def unanimous(labels: Sequence[Label]) -> Label:
    """The label that all annotators gave, two of them at least; None where they differ."""
    given = [one for one in labels if one is not None]
    return given[0] if len(given) >= 2 and len({*given}) == 1 else None


def mean(labels: Sequence[Label]) -> Label:
    """The mean of the scores; "irrelevant" where more than half say so; None without a score, and for stances."""
    given = [one for one in labels if one is not None]
    scores = [one for one in given if not isinstance(one, str)]
    if sum(one == IRRELEVANT for one in given) * 2 > len(given):
        return IRRELEVANT
    return sum(scores) / len(scores) if scores else None


RULES: dict[str, Callable[[Sequence[Label]], Label]] = {"majority": majority, "all": unanimous, "mean": mean}


def agreement(columns: Mapping[str, Sequence[Label]], scale: Sequence[float] = ()) -> list[dict[str, Any]]:
    """How far each pair of annotators agrees.

    columns  {annotator: label of each text}
    scale    the scores that can be given, evenly spaced: what the quadratic weights count by

    Returns for each pair {"annotators", "texts": how many both labelled, "agreed": the share with one label,
    "kappa": Cohen's (1960), "irrelevant" being a label, and of those that both scored, "scored": how many,
    "weighted_kappa": the same with quadratic weights (Cohen 1968), "rmse": between the two}. A figure is None where it
    is not defined, as kappa is where both always gave one label.
    """
    from sklearn.metrics import cohen_kappa_score  # here, because it takes a second

    def kappa(one, other, names, weights=None):
        values = [[names.index(label) for label in side] for side in (one, other)]
        if not one or (len(set(values[0])) == 1 and values[0] == values[1]):
            return None
        return float(cohen_kappa_score(*values, labels=range(len(names)), weights=weights))

    found = []
    for first, second in combinations(columns, 2):
        both = [(a, b) for a, b in zip(columns[first], columns[second], strict=True) if a is not None and b is not None]
        one, other = [a for a, _ in both], [b for _, b in both]
        scores = [(a, b) for a, b in both if not isinstance(a, str) and not isinstance(b, str)]
        low, high = [a for a, _ in scores], [b for _, b in scores]
        squares = [(a - b) ** 2 for a, b in scores]
        found.append(
            {
                "annotators": [first, second],
                "texts": len(both),
                "agreed": sum(a == b for a, b in both) / len(both) if both else None,
                "kappa": kappa(one, other, sorted({*one, *other}, key=str)),
                "scored": len(scores),
                "weighted_kappa": kappa(low, high, sorted({*scale, *low, *high}), "quadratic"),
                "rmse": (sum(squares) / len(squares)) ** 0.5 if squares else None,
            }
        )
    return found


def agreement_table(pairs: Sequence[Mapping[str, Any]]) -> str:
    """What `agreement` found as text, a line a pair."""
    head = ("annotators", "texts", "agreed", "kappa", "weighted kappa", "RMSE")
    rows: list[tuple[str, ...]] = [head]
    for one in pairs:
        figures = (one["agreed"], one["kappa"], one["weighted_kappa"], one["rmse"])
        rows.append(
            (
                " and ".join(one["annotators"]),
                f"{one['texts']:,}",
                *("-" if figure is None else f"{figure:.3f}" for figure in figures),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join([name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:]))])
        for name, *cells in rows
    )
