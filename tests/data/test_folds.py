"""Parts for cross-validation: each conversation once, what belongs together in one part.

python -m pytest tests/data/test_folds.py
"""

from collections import Counter

import pytest

from utils.data.folds import absent, folds
from utils.data.labels import ECF
from utils.system.errors import ConversationError


def talk(number, length=2, speakers=("A", "B"), **fields):
    utterances = [
        {"utterance_ID": i, "text": "so", "speaker": speakers[i % len(speakers)], "emotion": "joy"}
        for i in range(1, length + 1)
    ]
    return {"conversation_ID": number, "conversation": utterances, **fields}


def ids(parts):
    return [[c["conversation_ID"] for c in part] for part in parts]


@pytest.mark.parametrize("group", ["conversation", "block"])
def test_every_conversation_is_in_one_part_and_no_part_is_empty(group):
    some = [talk(k, length=1 + k * k % 7) for k in range(1, 24)]
    for count in (2, 3, 5, 23):
        parts = folds(some, count, group)
        assert Counter(sum(ids(parts), [])) == Counter(range(1, 24)) and all(parts) and len(parts) == count
        assert parts == folds(some[::-1], count, group), "the order of the file does not matter"
    sizes = [sum(len(c["conversation"]) for c in part) for part in folds(some, 3, group)]
    assert max(sizes) - min(sizes) <= 7


def test_the_seed_deals_and_blocks_have_none():
    some = [talk(k) for k in range(1, 13)]
    assert folds(some, 3, seed=1) != folds(some, 3, seed=2)
    assert folds(some, 3, "block", seed=1) == folds(some, 3, "block", seed=2)
    assert ids(folds(some, 3, "block")) == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]


def test_a_very_long_conversation_leaves_no_part_empty():
    assert ids(folds([talk(1, 90), talk(2), talk(3)], 3, "block")) == [[1], [2], [3]]
    assert ids(folds([talk(1), talk(2), talk(3, 90)], 3, "block")) == [[1], [2], [3]]


def test_a_field_stays_together():
    some = [talk(k, session=f"Session{1 + k % 5}") for k in range(30)]
    for part in folds(some, 5, "session"):
        assert len({c["session"] for c in part}) == 1
    # an episode belongs to its season
    some = [talk(k, season=k % 2, episode=k // 2 % 2) for k in range(16)]
    parts = folds(some, 4, "episode")
    assert sorted({(c["season"], c["episode"]) for c in part} for part in parts) and all(
        len({(c["season"], c["episode"]) for c in part}) == 1 for part in parts
    )


def test_speakers_stay_together_directly_or_through_others():
    some = [talk(1, speakers="AB"), talk(2, speakers="CD"), talk(3, speakers="BE"), talk(4, speakers="FG")]
    some += [talk(5, speakers="EH")]
    for part in folds(some, 3, "speaker"):
        numbers = {c["conversation_ID"] for c in part}
        assert not numbers & {1, 3, 5} or numbers >= {1, 3, 5}


@pytest.mark.parametrize(
    "group, says",
    [
        ("speaker", "1 groups by speaker cannot be split into 5 folds. Give another group"),
        ("session", "conversation 1: there is no field 'session'"),
        ("block", "3 conversations cannot be split into 5 folds. Give folds 3 or fewer"),
    ],
)
def test_what_cannot_be_split_is_said_with_the_fix(group, says):
    with pytest.raises(ConversationError, match=says):
        folds([talk(k) for k in (1, 2, 3)], 5, group)


def test_absent_labels():
    assert absent([talk(1)], ECF) == [label for label in ECF if label != "joy"]
