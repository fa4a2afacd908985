"""How far would a score move on other conversations? Is one system better at causes than another, or by chance?
A bootstrap over conversations (Efron and Tibshirani 1993; Koehn 2004 for paired systems).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from utils.data.labels import ECF, LabelSet
from utils.report.metrics import pair_counts, weighted_f1

DRAWS = 20000  # 1,000 leave the third digit of an interval to chance
AT_ONCE = 500  # so many draws are in memory together


def intervals(figures: dict[Any, tuple[np.ndarray, Callable]]) -> dict[Any, dict[str, list[float]]]:
    """{key: {measure: [low, high]}}: 95 % intervals, by the same draws for all.

    figures  {key: ((conversations, ...) counts, what is measured of them)}; the latter takes counts (draws, ...), which
             are sums over conversations, and returns {measure: (draws,)}
    """
    if not figures:
        return {}
    shapes = [counts.shape[1:] for counts, _ in figures.values()]
    ends = np.cumsum([0, *map(math.prod, shapes)])
    found: dict[Any, list] = {key: [] for key in figures}
    for drawn in _draws(np.hstack([counts.reshape(len(counts), -1) for counts, _ in figures.values()])):
        for (key, (_, measures)), shape, start, end in zip(figures.items(), shapes, ends, ends[1:]):
            found[key].append(measures(drawn[:, start:end].reshape(-1, *shape)))
    return {
        key: {one: _interval(np.concatenate([batch[one] for batch in batches])) for one in batches[0]}
        for key, batches in found.items()
    }


def compared(gold: list, systems: list[tuple], labels: LabelSet = ECF) -> dict:
    """{"difference", "interval_95", "share_above_zero", "draws"} of the official weighted F1 of pairs.

    gold     conversations with their pairs
    systems  (labelled, others), two lists of the same conversations: the difference is that of `labelled` less that of
             `others`; with several entries, such as seeds, its mean over them
    labels   their label set

    Each of DRAWS draws takes as many conversations as there are, with replacement, always the same ones of both.
    """
    counts = [(pair_counts(gold, one, labels), pair_counts(gold, other, labels)) for one, other in systems]
    return paired(counts, weighted_f1)


def paired(counts: Sequence[tuple[np.ndarray, np.ndarray]], figure: Callable[[np.ndarray], np.ndarray]) -> dict:
    """{"difference", "interval_95", "share_above_zero", "draws"} of a figure of counts.

    counts  (of one system, of another), each (conversations, ...); with several entries the difference is their mean
    figure  sums of counts over conversations (draws, ...) -> (draws,)
    """
    both = np.stack([np.stack(one, axis=1) for one in counts], axis=1)  # (conversations, entries, 2, ...)

    def difference(drawn):
        """drawn: (draws, entries, 2, ...)."""
        return np.mean([figure(drawn[:, k, 0]) - figure(drawn[:, k, 1]) for k in range(len(counts))], axis=0)

    draws = np.concatenate([difference(drawn) for drawn in _draws(both)])
    return {
        "difference": float(difference(both.sum(0)[None].astype(float))[0]),
        "interval_95": _interval(draws),
        "share_above_zero": float(np.mean(draws > 0)),
        "draws": DRAWS,
    }


def _draws(counts: np.ndarray) -> Iterator[np.ndarray]:
    """The sums (draws, ...) of `counts` (conversations, ...) over as many conversations as there are, drawn with
    replacement: DRAWS of them, AT_ONCE together, the same ones for the same number of conversations."""
    random, n = np.random.default_rng(0), len(counts)
    flat = counts.reshape(n, -1).astype(float)  # mostly whole numbers, whose sums are exact
    for first in range(0, DRAWS, AT_ONCE):
        times = random.multinomial(n, np.full(n, 1 / n), min(AT_ONCE, DRAWS - first))
        yield (times @ flat).reshape(len(times), *counts.shape[1:])


def _interval(draws: np.ndarray) -> list[float]:
    return [float(end) for end in np.percentile(draws, [2.5, 97.5])]
