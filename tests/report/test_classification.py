"""The report as text: its figures are scikit-learn's, and its matrices those of the scores.

python -m pytest tests/report/test_classification.py
"""

import re

import numpy as np
import pytest
from helpers import conversation, with_votes
from sklearn.metrics import classification_report, confusion_matrix

from utils.data.conversations import with_emotions
from utils.data.labels import ECF
from utils.report.classification import report_text
from utils.report.scores import emotion_rows


def scored(gold, found):
    return emotion_rows([gold], {"system": ([found], None)}, ranged=False)["system"]


GOLD = conversation(list("abcdef"), ["joy", "joy", "anger", "fear", "neutral", "neutral"])
FOUND = with_emotions(GOLD, ["joy", "neutral", "anger", "joy", "neutral", "neutral"])


def rows(text, title):
    """{label: numbers} of the table behind `title`."""
    part = text.split(title)[1].split("\n\n")[0]
    found = re.findall(r"^ *([a-z]+)((?: +[\d.,]+)+)$", part, re.M)
    return {label: [float(number.replace(",", "")) for number in numbers.split()] for label, numbers in found}


def test_figures_and_matrices_are_scikit_learns():
    text = report_text(scored(GOLD, FOUND), ECF)
    gold, found = ([u["emotion"] for u in c["conversation"]] for c in (GOLD, FOUND))
    wanted = classification_report(gold, found, labels=list(ECF), output_dict=True, zero_division=0)
    table = rows(text, "support")
    for label in ECF:
        names = ("precision", "recall", "f1-score", "support")
        assert table[label] == pytest.approx([wanted[label][name] for name in names], abs=5e-4)
    assert re.search(r"accuracy +0\.667", text) and re.search(rf"macro F1 +{wanted['macro avg']['f1-score']:.3f}", text)
    counts = confusion_matrix(gold, found, labels=list(ECF))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    for title, matrix in (("columns predicted", counts), ("shares of the gold label", shares)):
        found = rows(text, title)
        assert np.array([found[label] for label in ECF]) == pytest.approx(matrix, abs=5e-4)


def test_several_labels_have_a_table_of_their_own():
    voted = with_votes(conversation(list("abcde"), ["joy"] * 5))
    figures = scored(voted, with_emotions(voted, ["joy"] * 5))
    text = report_text(figures, ECF)
    table = rows(text, "sets of labels, as annotators chose several (docs/outputs.md)")
    assert table["joy"][2] == pytest.approx(figures["multi"]["per_emotion"]["joy"]["f1"], abs=5e-4)
    assert f"jaccard  {figures['multi']['jaccard']:9.3f}" in text
