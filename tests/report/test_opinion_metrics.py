"""Figures of opinions, against scikit-learn, scipy and figures by hand.

python -m pytest tests/report/test_opinion_metrics.py
"""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import cohen_kappa_score, f1_score, root_mean_squared_error

from utils.data.topics import Topic
from utils.report.opinion_metrics import (
    headline,
    label_figures,
    opinion_figures,
    opinion_head,
    opinion_rows,
    opinions_table,
    score_figures,
)
from utils.report.verdict import verdict
from utils.tasks.opinion import Opinions

STADIUM = Topic.read("new-stadium")
SCALE = STADIUM.scores


def test_figures_of_scores_are_those_of_the_libraries():
    random = np.random.default_rng(0)
    gold, found = random.integers(-2, 3, 200).astype(float), random.normal(0, 1.6, 200)
    figures = score_figures(gold, found, SCALE)
    assert figures["rmse"] == pytest.approx(root_mean_squared_error(gold, found))
    assert figures["rmse_clipped"] == pytest.approx(root_mean_squared_error(gold, found.clip(-2, 2)))
    assert figures["rmse_clipped"] < figures["rmse"]
    assert figures["mae"] == pytest.approx(np.abs(gold - found).mean())
    assert figures["pearson"] == pytest.approx(pearsonr(gold, found)[0])
    assert figures["spearman"] == pytest.approx(spearmanr(gold, found)[0])
    rounded = np.ceil(found - 0.5).clip(-2, 2).astype(int)
    assert figures["qwk"] == pytest.approx(cohen_kappa_score(gold.astype(int), rounded, weights="quadratic"))
    by_label = [root_mean_squared_error(gold[gold == k], found[gold == k]) for k in SCALE]
    assert list(figures["rmse_by_label"]) == ["-2", "-1", "0", "1", "2"]
    assert list(figures["rmse_by_label"].values()) == pytest.approx(by_label)
    macro = [np.abs(rounded[gold == k] - k).mean() for k in SCALE]
    assert figures["macro_mae"] == pytest.approx(np.mean(macro))


def test_what_is_not_defined_is_none():
    figures = score_figures([1.0, 1.0], [1.0, 1.0], SCALE)
    assert figures["rmse"] == 0 and (figures["pearson"], figures["spearman"], figures["qwk"]) == (None, None, None)
    assert score_figures([1.0, 2.0], [0.5, 0.5], SCALE)["pearson"] is None


def test_figures_of_labels():
    gold, found = ["a", "a", "b", "c"], ["a", "b", "b", "b"]
    figures = label_figures(gold, found, ["a", "b", "c", "d"])
    assert figures["accuracy"] == 0.5 and figures["per_label"]["a"]["recall"] == 0.5
    assert figures["macro_f1"] == pytest.approx(f1_score(gold, found, average="macro", labels=["a", "b", "c"]))
    assert figures["confusion"]["a"] == {"a": 1, "b": 1, "c": 0, "d": 0}
    assert figures["per_label"]["d"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}


def system(task_type, answers):
    """(gold, predicted, tables) of one topic; answers: [(opinion, tables of the questions)]."""
    task = Opinions({STADIUM.name: STADIUM}, task_type)
    gold = [{"text_ID": k, "text": "a", "opinions": {STADIUM.name: one}} for k, (one, _) in enumerate(answers)]
    read = [task.read(text, table) for text, (_, table) in zip(gold, answers)]
    return task, gold, [labelled for labelled, _ in read], [table for _, table in read]


def test_a_text_that_was_taken_for_irrelevant_counts_with_its_score():
    answers = [
        ({"relevant": True, "score": 2.0}, [[0.9, 0.1], [0, 0, 0, 0, 1.0]]),
        ({"relevant": True, "score": -2.0}, [[0.1, 0.9], [0, 0, 1.0, 0, 0]]),
        ({"relevant": False}, [[0.2, 0.8], [0, 1.0, 0, 0, 0]]),
    ]
    figures = opinion_figures(*system("regression_with_relevance", answers))
    assert figures["texts"] == 3 and figures["scores"]["texts"] == 2
    assert figures["scores"]["rmse"] == pytest.approx(np.sqrt((0 + 4) / 2))
    assert figures["labels"]["accuracy"] == 0.0 and figures["labels"]["confusion"]["irrelevant"]["-1"] == 1
    assert figures["relevance"] == pytest.approx({"accuracy": 1 / 3, "precision": 0.5, "recall": 0.5, "f1": 0.5})
    assert headline(figures)["RMSE"] == figures["scores"]["rmse"] and "favor, against F1" not in headline(figures)


def test_a_text_without_that_label_is_not_scored():
    figures = opinion_figures(*system("regression", [({"relevant": False}, [[0.2] * 5]), ({"score": 1.0}, [[1.0]])]))
    assert figures["texts"] == figures["scores"]["texts"] == 1 and "relevance" not in figures
    assert opinion_figures(*system("binary", [({"score": 1.0}, [[0.5, 0.5]])])) == {"texts": 0}


def test_the_official_figure_of_stances():
    answers = [
        ({"stance": "favor"}, [[0.1, 0.1, 0.8]]),
        ({"stance": "against"}, [[0.1, 0.1, 0.8]]),
        ({"stance": "none"}, [[0.1, 0.8, 0.1]]),
        ({"score": -1.0}, [[0.8, 0.1, 0.1]]),
    ]
    figures = opinion_figures(*system("stance", answers))
    assert figures["favor_against_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2) and figures["labels"]["accuracy"] == 0.75


def test_the_rows_of_a_run_their_table_and_what_was_not_learnt():
    task, gold, predicted, tables = system(
        "regression", [({"score": 1.0}, [[0, 0, 0, 1.0, 0]]), ({"score": -2.0}, [[0, 1.0, 0, 0, 0]])]
    )
    head = opinion_head(task, gold)
    assert (head["texts"], head["labels"]) == (2, ["-2", "-1", "0", "1", "2"])
    assert head["gold"] == {"opinions": {"-2": 1, "-1": 0, "0": 0, "1": 1, "2": 0}}
    worse = [task.read(text, [[0.0, 0, 1.0, 0, 0]]) for text in gold]
    majority = [text for text, _ in worse], [table for _, table in worse]
    rows = opinion_rows(task, gold, {"majority": majority, "fine-tuned": (predicted, tables)})
    assert rows["fine-tuned"]["predicted"] == {"-2": 0, "-1": 1, "0": 0, "1": 1, "2": 0}
    assert opinions_table(rows).splitlines() == [
        "| system | accuracy | macro F1 | RMSE | MAE | Pearson | QWK |",
        "|---|---|---|---|---|---|---|",
        "| majority | 0.000 | 0.000 | 1.581 | 1.500 |  | 0.000 |",
        "| fine-tuned | 0.500 | 0.500 | 0.707 | 0.500 | 1.000 | 0.857 |",
    ]
    assert verdict({**head, "opinions": rows}) == []
    swapped = {"majority": rows["fine-tuned"], "fine-tuned": rows["majority"]}
    (line,) = verdict({**head, "opinions": swapped})
    assert line.startswith(
        "NOTHING LEARNT: the scores are no better than the mean of training, RMSE 1.581 for 0.707 on"
    )
    for row in swapped.values():
        del row["scores"]
    (line,) = verdict({**head, "opinions": swapped})
    assert "the opinions are no better than the commonest one, macro F1 0.000 for 0.500 on 2 texts" in line
