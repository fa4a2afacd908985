"""Is one system better at causes than another, or by chance? A paired bootstrap over conversations (Efron and
Tibshirani 1993; Koehn 2004 for paired systems).
"""

from collections.abc import Callable, Sequence

import numpy as np

from utils.data.labels import ECF, LabelSet
from utils.report.metrics import pair_counts, weighted_f1

DRAWS = 20000  # 1,000 leave the third digit of an interval to chance


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
    size = len(counts[0][0])

    def difference(times):
        """times: (draws, conversations), how often each conversation was drawn."""
        return np.mean([np.subtract(*(figure(np.tensordot(times, one, 1)) for one in both)) for both in counts], axis=0)

    times = np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), DRAWS)
    draws = difference(times)
    low, high = np.percentile(draws, [2.5, 97.5])
    return {
        "difference": float(difference(np.ones((1, size)))[0]),
        "interval_95": [float(low), float(high)],
        "share_above_zero": float(np.mean(draws > 0)),
        "draws": DRAWS,
    }
