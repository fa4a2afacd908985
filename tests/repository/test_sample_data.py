"""The conversations that ship: format, variety, and a balance near ECF's."""

from collections import Counter

import pytest
from helpers import ROOT

from utils.data import labels
from utils.data.conversations import causes_of, load_conversations, pairs

# ECF's shares of the emotions among its 13,619 utterances (its README).
SHARES = {
    "neutral": 0.435,
    "joy": 0.169,
    "surprise": 0.135,
    "anger": 0.119,
    "sadness": 0.084,
    "disgust": 0.030,
    "fear": 0.027,
}


@pytest.fixture(scope="module")
def labelled():
    return load_conversations(ROOT / "data/sample", labelled=True)


def test_enough_conversations_of_everyday_size(labelled):
    assert len(labelled) >= 120
    for c in labelled:
        assert 5 <= len(c["conversation"]) <= 14, c["conversation_ID"]
        assert 2 <= len({u["speaker"] for u in c["conversation"]}) <= 4, c["conversation_ID"]


def test_emotions_are_at_roughly_ecfs_proportions(labelled):
    emotions = Counter(u["emotion"] for c in labelled for u in c["conversation"])
    for emotion in labels.ECF:
        share = emotions[emotion] / emotions.total()
        assert abs(share - SHARES[emotion]) < 0.02, (emotion, share)


def test_five_votes_an_utterance_mostly_for_its_label(labelled):
    utterances = [u for c in labelled for u in c["conversation"]]
    assert all(sum(u["votes"].values()) == 5 and u["votes"].keys() <= {*labels.ECF} for u in utterances)
    first = [max(u["votes"], key=u["votes"].__getitem__) == u["emotion"] for u in utterances]
    alone = sum(len(u["votes"]) == 1 for u in utterances)
    text = (ROOT / "data" / "sample" / "README.md").read_text(encoding="utf-8")
    assert f"{alone} of the {len(utterances):,} utterances have one label alone" in " ".join(text.split())
    assert first.count(False) == 1 and sum(min(u["votes"].values()) == 2 for u in utterances) > 80


def test_causes_are_of_every_kind(labelled):
    distances = Counter(cause - emotion for c in labelled for emotion, _, cause in pairs(c))
    total = distances.total()
    assert 0.40 < distances[0] / total < 0.60
    assert 0.25 < distances[-1] / total < 0.45
    assert sum(n for d, n in distances.items() if d < -1) / total > 0.05
    assert 0.02 < sum(n for d, n in distances.items() if d > 0) / total < 0.08
    counts = Counter(len(causes) for c in labelled for causes in causes_of(c).values())
    assert counts[0] and counts[1] > counts[2] > 0


def test_some_conversations_are_wholly_neutral(labelled):
    assert sum(all(u["emotion"] == labels.ECF.neutral for u in c["conversation"]) for c in labelled) >= 5


def test_no_line_is_used_twice_and_the_unlabelled_ones_are_others(labelled):
    unlabelled = load_conversations(ROOT / "data/sample/unlabelled.json", labelled=False)
    assert not any("emotion" in u for c in unlabelled for u in c["conversation"])
    ids = [c["conversation_ID"] for c in labelled + unlabelled]
    assert len(set(ids)) == len(ids)
    long = Counter(u["text"] for c in labelled + unlabelled for u in c["conversation"] if len(u["text"].split()) > 4)
    assert max(long.values()) == 1


def test_no_sentence_of_ecf(labelled, shared):
    ecf = {
        u["text"].lower().replace(" ", "")
        for name in ("Subtask_2_train.json", "Subtask_2_test.json")
        for c in load_conversations(shared / "ecf" / name)
        for u in c["conversation"]
        if len(u["text"].split()) > 4
    }
    ours = {u["text"].lower().replace(" ", "") for c in labelled for u in c["conversation"]}
    assert not ours & ecf
