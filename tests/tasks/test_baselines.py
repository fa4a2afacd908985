"""The baselines without a model.

python -m pytest tests/tasks/test_baselines.py
"""

from dataclasses import replace

import numpy as np
import pytest
from helpers import FIVE, conversation
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import KNeighborsClassifier

from utils.data.conversations import pairs
from utils.data.labels import ECF
from utils.tasks import baselines
from utils.tasks.baselines import neighbours, shares


def test_majority():
    assert baselines.majority([FIVE]) == "neutral" and baselines.majority([]) == "neutral"
    assert baselines.majority([conversation("ab", ["fear", "fear"]), FIVE]) == "fear"


def test_rule():
    assert pairs(baselines.rule(FIVE)) == [
        (1, "joy", 1),
        (3, "anger", 2),
        (3, "anger", 3),
        (4, "fear", 4),  # utterances 3 and 4 are the same speaker's
    ]


@pytest.mark.parametrize("multi", [False, True])
def test_neighbours_are_those_of_scikit_learn(sample, multi):
    labels = replace(ECF, multi=multi)
    train = [
        {**c, "conversation": [{**u, "emotion": [u["emotion"]] if multi else u["emotion"]} for u in c["conversation"]]}
        for c in sample[:40]
    ]
    found, tables = neighbours(sample[40:50], train, labels, count=5)
    known = [u for c in sample[:40] for u in c["conversation"]]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    near = KNeighborsClassifier(5, weights=lambda d: np.maximum(1 - d, 1e-12), metric="cosine")
    near.fit(words.fit_transform(u["text"] for u in known), [u["emotion"] for u in known])
    wanted = near.predict_proba(words.transform(u["text"] for c in sample[40:50] for u in c["conversation"]))
    ours = np.array([row for table in tables for row in table])[:, [ECF.index(one) for one in near.classes_]]
    clear = wanted.max(1) - np.sort(wanted)[:, -2] > 0.05  # ties among neighbours are broken otherwise
    assert clear.sum() > 20 and np.mean(np.abs(ours - wanted)[clear].max(1) < 1e-6) > 0.9
    assert all(isinstance(u["emotion"], list) == multi for c in found for u in c["conversation"])


def test_an_utterance_of_unknown_words_gets_the_shares(sample):
    strange = [{"conversation_ID": 1, "conversation": [{"utterance_ID": 1, "text": "zzz", "speaker": "A"}]}]
    _, [[row]] = neighbours(strange, sample[:40])
    assert row == pytest.approx(shares(strange, sample[:40])[0][0])
