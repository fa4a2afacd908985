"""The paired bootstrap scores a draw as the official metric would.

python -m pytest tests/report/test_bootstrap.py
"""

import numpy as np
import pytest

from utils.data.conversations import pairs, with_pairs
from utils.report import bootstrap
from utils.report.metrics import pair_counts, pair_scores, weighted_f1
from utils.tasks.baselines import rule


def test_the_interval_leaves_out_a_fortieth_of_the_draws_at_either_end(sample):
    gold = sample[:20]
    systems = [rule(c) for c in gold], [with_pairs(c, pairs(c)[:1]) for c in gold]
    times = np.random.default_rng(7).multinomial(20, np.full(20, 1 / 20), 20_000)
    one, other = (weighted_f1(np.einsum("dc,cke->dke", times, pair_counts(gold, each))) for each in systems)
    low, high = bootstrap.compared(gold, [systems])["interval_95"]
    assert np.mean(one - other < low) == pytest.approx(0.025, abs=0.006)
    assert np.mean(one - other > high) == pytest.approx(0.025, abs=0.006)


def test_the_bootstrap_scores_a_draw_as_the_official_metric_scores_its_copies(conversations, monkeypatch):
    systems = [[rule(c) for c in conversations], [with_pairs(c, pairs(c)[:1]) for c in conversations]]
    times = np.random.default_rng(1).integers(0, 3, len(conversations))
    drawn = [i for i, n in enumerate(times) for _ in range(n)]

    def copies(labelled):
        return [{**labelled[i], "conversation_ID": k} for k, i in enumerate(drawn)]

    for system in systems:
        counts = pair_counts(conversations, system)
        official = pair_scores(copies(conversations), copies(system), 2)["weighted_f1"]
        assert weighted_f1(np.tensordot(times, counts, 1)) == pytest.approx(official, abs=1e-9)
    monkeypatch.setattr(bootstrap, "DRAWS", 500)
    found = bootstrap.compared(conversations, [systems, systems])
    scores = [pair_scores(conversations, system, 2)["weighted_f1"] for system in systems]
    assert found["difference"] == pytest.approx(scores[0] - scores[1]) and found["draws"] == 500
    assert found["interval_95"][0] < found["difference"] < found["interval_95"][1]
    assert bootstrap.compared(conversations, [[systems[0]] * 2])["interval_95"] == [0, 0]


def test_intervals_of_figures_of_several_shapes_are_of_the_same_draws(monkeypatch):
    monkeypatch.setattr(bootstrap, "DRAWS", 600)
    counts, wide = np.arange(10).reshape(5, 2), np.arange(60).reshape(5, 3, 4)
    seen = []

    def measured(drawn):
        seen.append(drawn)
        return {"sum": drawn.reshape(len(drawn), -1).sum(1)}

    found = bootstrap.intervals({"a": (counts, measured), ("b", 1): (wide, measured), "c": (counts * 2.0, measured)})
    assert found["c"] == {"sum": pytest.approx([2 * end for end in found["a"]["sum"]])}
    assert found["a"] == bootstrap.intervals({"alone": (counts, measured)})["alone"], "beside others as alone"
    assert {one.shape[1:] for one in seen} == {(2,), (3, 4)}
    low, high = found["b", 1]["sum"]
    assert low < wide.sum() < high and bootstrap.intervals({}) == {}
