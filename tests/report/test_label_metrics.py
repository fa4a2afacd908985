"""Scores of several labels an utterance, and of probabilities beside votes: scikit-learn's and SciPy's.

python -m pytest tests/report/test_label_metrics.py
"""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from sklearn import metrics

from utils.data.labels import LabelSet
from utils.report.label_metrics import (
    LEAST,
    emotion_figures,
    label_sums,
    set_measures,
    set_parts,
    vote_measures,
    vote_parts,
)
from utils.report.metrics import emotion_scores
from utils.system.errors import ScoringError


def drawn(seed, rows=60, labels=7):
    """(gold, chosen, p): about two labels a row, some rows without, equal probabilities among them."""
    rng = np.random.default_rng(seed)
    gold, chosen = rng.random((2, rows, labels)) < 0.25
    gold[0], gold[1], chosen[1], chosen[2], gold[:, 3] = False, True, True, False, False
    return gold, chosen, rng.random((rows, labels)).round(1)


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_sets_are_those_of_scikit_learn(seed):
    gold, chosen, p = drawn(seed)
    found = set_measures(set_parts(gold, chosen, p).sum(0))
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
        }
    assert set_measures(set_parts(gold, chosen).sum(0)) == {**found, "lrap": 0}


def vote_scores(votes, p):
    return vote_measures(vote_parts(votes, p).sum(0))


@pytest.mark.parametrize("seed", range(5))
def test_divergences_are_those_of_scipy(seed):
    rng = np.random.default_rng(seed)
    votes, p = rng.multinomial(5, [0.5, 0.3, 0.1, 0.1], 40) / 5, np.maximum(rng.dirichlet([0.5] * 4, 40), 2 * LEAST)
    p = p / p.sum(1, keepdims=True)
    found = vote_scores(votes, p)
    assert found["kl"] == pytest.approx(np.mean([entropy(a, b) for a, b in zip(votes, p)]))
    assert found["js"] == pytest.approx(np.mean([jensenshannon(a, b) ** 2 for a, b in zip(votes, p)]))


def test_divergences_at_their_ends():
    assert vote_scores([[0.4, 0.6]], [[0.4, 0.6]]) == {"kl": pytest.approx(0), "js": pytest.approx(0)}
    apart = vote_scores([[1.0, 0.0]], [[0.0, 1.0]])
    assert apart == {"kl": pytest.approx(-math.log(LEAST)), "js": pytest.approx(math.log(2))}


# ---- of conversations ----------------------------------------------------------------------------------------------

SMALL = LabelSet("small", ("calm", "glad", "low"), "calm")


def labelled(*emotions, votes=()):
    utterances = [{"utterance_ID": i, "text": "a", "speaker": "A", "emotion": e} for i, e in enumerate(emotions, 1)]
    for u, one in zip(utterances, votes):
        u.update({"votes": one} if one else {})
    return {"conversation_ID": 1, "conversation": utterances}


def test_one_label_an_utterance_and_no_votes_have_the_scores_that_they_had():
    gold, found = [labelled("calm", "glad", None)], [labelled("calm", "low", "low")]
    table = [[[0.5, 0.3, 0.2], [0.1, 0.4, 0.5], [0.2, 0.2, 0.6]]]
    assert emotion_figures(gold, found, table, SMALL) == emotion_scores(gold, found, SMALL)
    with pytest.raises(ScoringError, match="utterance 1 has no emotion"):
        bare = [{"conversation_ID": 1, "conversation": [{"utterance_ID": 1, "text": "a", "speaker": "A"}]}]
        emotion_figures(bare, found, table, SMALL)


def test_several_labels_and_votes():
    gold = [labelled("calm", "glad", "low", None, votes=({}, {"glad": 3, "low": 2}, {"low": 5}))]
    table = [[[0.7, 0.4, 0.1], [0.1, 0.6, 0.7], [0.2, 0.3, 0.6], [0.9, 0.9, 0.9]]]
    found = emotion_figures(gold, [labelled(["calm"], ["glad", "low"], ["low", "glad"], ["calm"])], table, SMALL)
    assert found["accuracy"] == pytest.approx(2 / 3), "the likeliest of the second utterance is low, of the third too"
    assert found["confusion"] == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    multi = found["multi"]
    assert multi["labels_an_utterance"] == {"gold": pytest.approx(4 / 3), "predicted": pytest.approx(5 / 3)}
    assert multi["subset_accuracy"] == pytest.approx(2 / 3) and multi["jaccard"] == pytest.approx(2.5 / 3)
    assert multi["utterances"] == 3 and [*multi["confusion"]["glad"].values()] == [1, 1, 0, 1]
    assert multi["per_emotion"]["glad"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1}
    p = np.array([[0.1, 0.6, 0.7], [0.2, 0.3, 0.6]])
    p = p / p.sum(1, keepdims=True)
    assert found["votes"] == {**vote_scores([[0, 0.6, 0.4], [0, 0, 1]], p), "utterances": 2}
    one = emotion_figures(gold, [labelled("calm", "low", "low", "low")], None, SMALL)
    assert one["multi"]["subset_accuracy"] == pytest.approx(2 / 3) and "lrap" not in one["multi"] and "votes" not in one


def test_a_set_of_several_labels_is_compared_on_the_utterances_with_one():
    several = replace(SMALL, multi=True)
    gold, found = [labelled(["glad", "low"], ["calm"])], [labelled(["low"], ["calm", "low"])]
    figures = emotion_figures(gold, found, [[[0.1, 0.2, 0.9], [0.6, 0.1, 0.5]]], several)
    assert figures["confusion"] == [[1, 0, 0], [0, 0, 0], [0, 0, 0]] and "votes" not in figures
    assert figures["multi"]["jaccard"] == 0.5 and figures["multi"]["utterances"] == 2


def test_sums_over_drawn_conversations_have_the_scores_of_their_copies():
    """What the bootstrap measures of a draw is the score of the conversations drawn, as often as they were drawn."""
    rng, gold, found, tables = np.random.default_rng(3), [], [], []
    for number in range(6):
        chosen = [[label for label in SMALL if rng.random() < 0.5] or ["low"] for _ in range(3)]
        votes = [{"glad": 3, "low": 2}, {}, {"calm": int(rng.integers(1, 4)), "low": 1}]
        gold.append({**labelled("calm", "glad", "low", votes=votes), "conversation_ID": number})
        found.append({**labelled(*chosen), "conversation_ID": number})
        tables.append(rng.random((3, 3)).round(4).tolist())
    times = [2, 0, 1, 3, 0, 1]
    drawn = [k for k, count in enumerate(times) for _ in range(count)]

    def copies(some):
        return [{**some[k], "conversation_ID": number} for number, k in enumerate(drawn)]

    wanted = emotion_figures(copies(gold), copies(found), [tables[k] for k in drawn], SMALL)
    sums = label_sums(gold, found, tables, SMALL)
    assert {*sums} == {"multi", "votes"}
    for part, measures in (("multi", set_measures), ("votes", vote_measures)):
        for name, one in measures(np.array([times]) @ sums[part]).items():
            assert one.tolist() == pytest.approx([wanted[part][name]]), name
    for part in ("multi", "votes"):
        assert sums[part][:, 0].sum() == emotion_figures(gold, found, tables, SMALL)[part]["utterances"]
    assert label_sums(gold, found, None, SMALL).keys() == {"multi"}, "without probabilities no divergence"
