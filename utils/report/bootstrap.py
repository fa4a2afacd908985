"""How far would a score move on other conversations? Is one system better at causes than another, or by chance?
A bootstrap over conversations (Efron and Tibshirani 1993; Koehn 2004 for paired systems).
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from utils.data.labels import ECF, LabelSet
from utils.report.metrics import pair_counts, weighted_f1

DRAWS = 20000  # 1,000 leave the third digit of an interval to chance
AT_ONCE = 500  # so many draws are in memory together


def intervals(counts: dict, measures: Callable[[np.ndarray], dict]) -> dict[str, dict[str, list[float]]]:
    """{system: {measure: [low, high]}}: the 95 % interval of each measure of each system.

    counts    {system: (conversations, ...) counts}, of the same shape
    measures  of counts (draws, ...), which are sums over conversations: {measure: (draws,)}
    """
    if not counts:
        return {}
    found: dict[str, list] = {name: [] for name in counts}
    for drawn in _draws(np.stack([*counts.values()], axis=1)):  # each (draws, systems, ...)
        for number, name in enumerate(counts):
            found[name].append(measures(drawn[:, number]))
    return {
        name: {one: _interval(np.concatenate([batch[one] for batch in batches])) for one in batches[0]}
        for name, batches in found.items()
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
    flat = counts.reshape(n, -1).astype(float)  # whole numbers, whose sums are exact
    for first in range(0, DRAWS, AT_ONCE):
        times = random.multinomial(n, np.full(n, 1 / n), min(AT_ONCE, DRAWS - first))
        yield (times @ flat).reshape(len(times), *counts.shape[1:])


def _interval(draws: np.ndarray) -> list[float]:
    return [float(end) for end in np.percentile(draws, [2.5, 97.5])]
