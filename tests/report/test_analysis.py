"""Tests of utils/report/analysis.py: every error is put down to what made it."""

import copy

import pandas as pd
import pytest

from utils.report.analysis import (
    ALWAYS,
    FATES,
    GUESSING,
    binned,
    ceilings,
    confused,
    fates,
    fates_by_distance,
    found_and_right,
    found_by,
    pair_table,
    right_by,
    utterance_table,
)  # fmt: skip
from utils.report.metrics import pair_scores

GOLD = {
    "conversation_ID": 7,
    "conversation": [
        {"utterance_ID": 3, "text": "The boat has sunk.", "speaker": "Ana", "emotion": "neutral"},
        {"utterance_ID": 5, "text": "No!", "speaker": "Ben", "emotion": "sadness"},
        {"utterance_ID": 6, "text": "You left it open.", "speaker": "Ben", "emotion": "anger"},
        {"utterance_ID": 9, "text": "Look, it swims!", "speaker": "Ana", "emotion": "joy"},
    ],
    "emotion-cause_pairs": [["5_sadness", "3"], ["5_sadness", "5"], ["6_anger", "3"], ["9_joy", "9"], ["9_joy", "5"]],
}


def predicted(emotions, pairs):
    conversation = copy.deepcopy(GOLD)
    for u, emotion in zip(conversation["conversation"], emotions):
        u["emotion"] = emotion
    return {**conversation, "emotion-cause_pairs": pairs}


# sadness is right, with one of its two causes; anger is taken for sadness, joy for neutral, neutral for sadness
GUESS = predicted(
    ["sadness", "sadness", "sadness", "neutral"], [["3_sadness", "3"], ["5_sadness", "5"], ["6_sadness", "3"]]
)


def test_an_utterance_knows_what_may_explain_its_error():
    table = utterance_table([GOLD], [GUESS])
    assert list(table.right) == [False, True, False, False]
    assert list(table.speaker) == ["first", "other", "same", "other"]
    assert list(table.words) == [4, 1, 4, 3] and set(table.length) == {4} and list(table.position) == [0, 1, 2, 3]


def test_a_pair_is_found_or_lost_to_one_thing():
    table = pair_table([GOLD], [GUESS])
    neutral, other, unnamed = FATES[1:]
    assert list(table.fate) == [unnamed, "found", other, neutral, neutral]
    assert list(table.distance) == [-1, 0, -2, -2, 0]
    assert list(table.speaker) == ["other", "itself", "other", "other", "itself"]


def test_a_pair_named_with_another_emotion_is_not_found():
    guess = predicted(["neutral", "joy", "anger", "joy"], [["5_joy", "3"], ["6_anger", "3"]])
    assert list(pair_table([GOLD], [guess]).fate[:3]) == [FATES[2], FATES[2], "found"]


def test_ceilings_mend_one_kind_of_error_each():
    scores = ceilings([GOLD], [GUESS])["weighted F1"]
    assert scores["as predicted"] == pair_scores([GOLD], [GUESS], 2)["weighted_f1"]
    mended = {
        "neutral never taken for an emotion": [["5_sadness", "5"], ["6_sadness", "3"]],
        "emotions never taken for neutral": [*GUESS["emotion-cause_pairs"], ["9_joy", "9"], ["9_joy", "6"]],
        "emotions named right": [["3_sadness", "3"], ["5_sadness", "5"], ["6_anger", "3"]],
        "causes right": [["3_sadness", "3"], ["5_sadness", "3"], ["5_sadness", "5"], ["6_sadness", "3"]],
    }
    for name, pairs in mended.items():
        wanted = pair_scores([GOLD], [{**GUESS, "emotion-cause_pairs": pairs}], 2)["weighted_f1"]
        assert scores[name] == pytest.approx(wanted), name
    assert (scores[1:] > scores["as predicted"]).all()


def test_nothing_to_mend():
    assert list(ceilings([GOLD], [GOLD])["weighted F1"]) == pytest.approx([1] * 5)
    assert (pair_table([GOLD], [GOLD]).fate == "found").all() and utterance_table([GOLD], [GOLD]).right.all()


def test_a_run_that_says_neutral_alone_should_look_for_emotions():
    calm = predicted(["neutral"] * 4, [])
    scores = ceilings([GOLD], [calm])["weighted F1"]
    assert scores.pop("emotions never taken for neutral") > 0.5 and not scores.any()


def test_bins_are_named_by_what_they_hold():
    names = binned(pd.Series([0, 1, 2, 3, 4, 90]), [1, 2, 4])
    assert list(names) == ["up to 1", "up to 1", "2", "3 to 4", "3 to 4", "over 4"]


def test_fates_are_counted_by_a_column_or_given_as_shares():
    pairs = pair_table([GOLD], [GUESS])
    counts = fates(pairs, "distance")
    assert list(counts.index) == [-2, -1, 0] and list(counts.columns) == list(FATES)
    assert counts.values.tolist() == [[0, 1, 1, 0], [0, 0, 0, 1], [1, 1, 0, 0]]
    shares = fates(pairs, "distance", shares=True)
    assert shares.loc[-2].tolist() == [0, 0.5, 0.5, 0, 2] and list(shares.columns) == [*FATES, "pairs"]


def test_confused_emotions_come_with_their_share_of_the_gold_emotion():
    guess = predicted(["sadness", "neutral", "neutral", "neutral"], [])
    table = confused(utterance_table([GOLD, GOLD], [GUESS, guess]))
    first = table.iloc[0]
    assert table.utterances.is_monotonic_decreasing and len(table) == 5
    assert table.utterances.tolist() == [2, 2, 1, 1, 1] and first.utterances == 2 and first["share of gold"] == 1
    half = table[(table.emotion == "anger") & (table.predicted == "sadness")]
    assert half["share of gold"].tolist() == [0.5]


def test_recall_and_precision_stand_beside_what_guessing_gets():
    """Sadness is found, and two of its three predictions are wrong; anger and joy are neither found nor named."""
    table = found_and_right(utterance_table([GOLD], [GUESS]))
    assert list(table.index) == ["anger", "joy", "sadness"], "the label set's order, without neutral and the absent"
    assert list(table["found (recall)"]) == [0, 0, 1] and list(table["right (precision)"]) == [0, 0, 1 / 3]
    assert list(table[GUESSING]) == [0.25] * 3 and list(table.n) == [1, 1, 1]


def test_the_most_frequent_emotion_is_the_baseline_of_every_group():
    other = predicted(["neutral", "sadness", "anger", "neutral"], [])
    table = right_by(utterance_table([other], [GUESS]), pd.Series(["a", "b", "b", "a"]))
    assert list(table.right) == [0.5, 0.5] and list(table[ALWAYS]) == [1, 0] and list(table.n) == [2, 2]
    assert list(found_by(pair_table([GOLD], [GUESS]), pd.Series(list("aabbb"))).found) == [0.5, 0]


def test_fates_by_distance_have_the_rows_of_the_other_picture():
    pairs = pair_table([GOLD], [GUESS]).assign(distance=[-20, -1, 0, 9, 4])
    table = fates_by_distance(pairs)
    assert list(table.index)[:2] == ["≤ -8", "-7"] and list(table.index)[-3:] == ["+2", "+3", "≥ +4"]
    assert list(table.sum(axis=1)) == [1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 2]
