"""Scores of several labels an utterance, and of probabilities beside votes: scikit-learn's and SciPy's.

python -m pytest tests/report/test_label_metrics.py
"""

import math
import warnings

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from sklearn import metrics

from utils.report.label_metrics import LEAST, set_scores, vote_scores


def drawn(seed, rows=60, labels=7):
    """(gold, chosen, p): about two labels a row, some rows without, equal probabilities among them."""
    rng = np.random.default_rng(seed)
    gold, chosen = rng.random((2, rows, labels)) < 0.25
    gold[0], gold[1], chosen[1], chosen[2], gold[:, 3] = False, True, True, False, False
    return gold, chosen, rng.random((rows, labels)).round(1)


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_sets_are_those_of_scikit_learn(seed):
    gold, chosen, p = drawn(seed)
    found = set_scores(gold, chosen, p)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a label that never occurs
        assert found == {
            "subset_accuracy": pytest.approx(metrics.accuracy_score(gold, chosen)),
            "jaccard": pytest.approx(metrics.jaccard_score(gold, chosen, average="samples", zero_division=1)),
            **{
                f"{how}_f1": pytest.approx(metrics.f1_score(gold, chosen, average=how, zero_division=0))
                for how in ("micro", "macro", "weighted")
            },
            "lrap": pytest.approx(metrics.label_ranking_average_precision_score(gold, p)),
            "labels_an_utterance": {
                "gold": pytest.approx(gold.sum() / 60),
                "predicted": pytest.approx(chosen.sum() / 60),
            },
        }
    assert "lrap" not in set_scores(gold, chosen)


@pytest.mark.parametrize("seed", range(5))
def test_divergences_are_those_of_scipy(seed):
    rng = np.random.default_rng(seed)
    votes, p = rng.multinomial(5, [0.5, 0.3, 0.1, 0.1], 40) / 5, rng.dirichlet([0.5] * 4, 40)
    found = vote_scores(votes, p)
    assert found["kl"] == pytest.approx(np.mean([entropy(a, b) for a, b in zip(votes, p)]))
    assert found["js"] == pytest.approx(np.mean([jensenshannon(a, b) ** 2 for a, b in zip(votes, p)]))


def test_divergences_at_their_ends():
    assert vote_scores([[0.4, 0.6]], [[0.4, 0.6]]) == {"kl": pytest.approx(0), "js": pytest.approx(0)}
    apart = vote_scores([[1.0, 0.0]], [[0.0, 1.0]])
    assert apart == {"kl": pytest.approx(-math.log(LEAST)), "js": pytest.approx(math.log(2))}
