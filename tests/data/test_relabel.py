"""Which label set a corpus is in, and what becomes of labels that are merged or left out.

python -m pytest tests/data/test_relabel.py
"""

import copy
from collections import Counter

import pytest

from utils.data.label_sets import SETS
from utils.data.labels import ECF, LabelSet
from utils.data.relabel import choose_labels, labels_of_data, labels_used, relabelled, told
from utils.system.errors import ConversationError

MOODS = LabelSet("moods", ("calm", "glad", "low"), "calm", merge={"cheerful": "glad"}, leave_out=("odd",))


def corpus(*emotions, pairs=None, **fields):
    """A file of one conversation with these emotions."""
    utterances = [
        {"utterance_ID": i, "text": "x", "speaker": "A", "emotion": one, **fields} for i, one in enumerate(emotions, 1)
    ]
    return [{"conversation_ID": 1, "conversation": utterances, **({"emotion-cause_pairs": pairs} if pairs else {})}]


def emotions(data):
    return [u["emotion"] for u in data[0]["conversation"]]


# ---- the set of a corpus -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(SETS))
def test_a_ready_made_set_is_known_by_its_labels(name):
    labels = [[label] for label in SETS[name]] if SETS[name].multi else SETS[name]
    assert choose_labels([corpus(*labels)], "mine", strict=True) == (ECF if {*SETS[name]} <= {*ECF} else SETS[name])


def test_other_labels_are_taken_from_the_data():
    found = choose_labels([corpus("up", "down", "No emotion", "up"), corpus("down", "up", None)], "mine")
    assert (found.name, found.labels, found.neutral, found.multi) == (
        "mine",
        ("up", "down", "No emotion"),
        "No emotion",
        False,
    )
    several = choose_labels([corpus(["up", "down"], ["up"])], "mine")
    assert several.labels == ("up", "down") and several.multi and several.neutral is None
    voted = corpus("up", votes={"up": 1, "a bit odd ": 3})
    assert labels_used([voted])[0] == {"up": 1}
    found = choose_labels([voted], "mine", strict=True)
    assert found.labels == ("up",) and found.leave_out == ("a bit odd ",)
    placed, became = relabelled(voted, found)
    assert placed[0]["conversation"][0]["votes"] == {"up": 1} and told(became) == [
        "left out: the votes for 'a bit odd '"
    ]


def test_a_label_beside_ecfs_is_a_slip_unless_it_is_asked_for():
    data = corpus("joy", "Joy", "neutral")
    for strict in (True, False):
        assert choose_labels([data], "mine", strict=strict) is ECF, "which validation then names"
    assert set(labels_of_data([data], "mine")) == {"joy", "Joy", "neutral"}
    assert choose_labels([corpus("joy", "Joy")], "mine", strict=True) is ECF
    assert set(choose_labels([corpus("joy", "Joy")], "mine")) == {"joy", "Joy"}, "no more of ECF's than others"
    assert choose_labels([corpus("up", "neutral side")], "mine", strict=True).labels == ("neutral side", "up")


def test_a_set_that_is_asked_for():
    assert choose_labels([corpus("up")], "mine", MOODS) is MOODS
    assert choose_labels([corpus(["anger"])], "mine", SETS["ekman6"]).multi, "a ready-made set follows the data"
    assert not choose_labels([corpus(["calm"])], "mine", MOODS).multi, "a file says what it wants"


@pytest.mark.parametrize("data", [None, 5, [], [None], [{"conversation": 3}], [{"conversation": [None, {}]}]])
def test_a_corpus_without_labels(data):
    assert choose_labels([data], "mine") is ECF
    with pytest.raises(ConversationError, match="mine: its labels make no label set .*Label the utterances"):
        labels_of_data([data], "mine")
    assert relabelled(data, MOODS)[0] == data


def test_labels_that_cannot_be():
    with pytest.raises(ConversationError, match="'a.nb' must be words of one line"):
        choose_labels([corpus("a\nb")], "mine")


# ---- in the words of the set ---------------------------------------------------------------------------------------


def test_labels_are_merged_and_left_out():
    data = corpus("calm", "cheerful", "odd", "glad", None, pairs=[["2_cheerful", "1"], ["3_odd", "2"], ["4_glad", "3"]])
    before = copy.deepcopy(data)
    placed, became = relabelled(data, MOODS)
    assert emotions(placed) == ["calm", "glad", None, "glad", None] and data == before
    assert placed[0]["emotion-cause_pairs"] == [["2_glad", "1"], ["4_glad", "3"]]
    assert told(became) == ["merged: 'cheerful' into 'glad', 1 times", "left out: 'odd', 1 times"]
    assert told(Counter({(True, str(i), None): 1 for i in range(12)}))[0].endswith("'2', '3', '4', '5', '6', ...")


def test_votes_are_added_up():
    votes = {"glad": 1, "cheerful": 2, "odd": 3, "calm": 1}
    placed, _ = relabelled(corpus("glad", votes=votes), MOODS)
    assert placed[0]["conversation"][0]["votes"] == {"glad": 3, "calm": 1}
    placed, _ = relabelled(corpus("odd", votes={"odd": 3}), MOODS)
    assert "votes" not in placed[0]["conversation"][0]


def test_one_label_and_several():
    several = LabelSet("several", MOODS.labels, "calm", True, MOODS.merge, MOODS.leave_out)
    placed, _ = relabelled(corpus(["cheerful", "glad", "low"], ["odd"], "calm"), several)
    assert emotions(placed) == [["glad", "low"], None, ["calm"]]
    placed, _ = relabelled(corpus(["cheerful", "glad"], ["low", "calm"]), MOODS)
    assert emotions(placed) == ["glad", ["low", "calm"]], "validation says that the set takes one"


def test_what_needs_nothing_is_left_alone():
    data = corpus("joy", "neutral")
    assert relabelled(data, ECF)[0] is data


@pytest.mark.parametrize("odd", [None, 5, "x", {"conversation": None}, {"conversation": [3, {"emotion": [1]}]}])
def test_what_is_not_sound_passes_through(odd):
    assert relabelled([odd, *corpus("cheerful")], MOODS)[0][0] == odd


def test_odd_pairs_and_votes_pass_through():
    data = corpus("glad", pairs=[["x"], 5, [1, 2], ["1_low", "1"]], votes={"glad": "a", "cheerful": 1})
    placed = relabelled(data, MOODS)[0][0]
    assert placed["emotion-cause_pairs"] == [["x"], 5, [1, 2], ["1_low", "1"]]
    assert placed["conversation"][0]["votes"] == {"glad": 1}
