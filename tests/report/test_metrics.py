"""Tests of the scores: the official figures, and scikit-learn's for the emotions.

python -m pytest tests/report/test_metrics.py
"""

import json
import random

import pytest

from utils.data.conversations import PAIRS
from utils.data.labels import ECF
from utils.report.metrics import emotion_scores, pair_scores, per_emotion_pair_scores, spans_not_said
from utils.system.errors import ScoringError

THREE_AND_TWO = [["1_joy", "1"], ["2_joy", "1"], ["3_anger", "2"]], [["1_joy", "1"], ["3_anger", "1"]]
TEXT = "Well , the red kite is back !"


def talk(pairs, key=1):
    """A list of one conversation of three utterances."""
    utterances = [{"utterance_ID": number, "text": TEXT} for number in (1, 2, 3)]
    return [{"conversation_ID": key, "conversation": utterances, PAIRS: pairs}]


def spoken(emotions, key=1):
    """A conversation of utterances with these emotions."""
    utterances = [{"utterance_ID": number, "emotion": emotion} for number, emotion in enumerate(emotions, 1)]
    return {"conversation_ID": key, "conversation": utterances}


def test_subtask_2_by_hand():
    # joy: 1 hit of 1 predicted and 2 gold; anger: no hit of 1 and 1.
    scores = pair_scores(*map(talk, THREE_AND_TWO), 2)
    assert scores == pytest.approx(
        {
            "precision_pair": 1 / 2,
            "recall_pair": 1 / 3,
            "f1_pair": 2 / 5,
            "weighted_precision": 2 / 3,
            "weighted_recall": 1 / 3,
            "weighted_f1": 2 / 3 * 2 / 3,
        },
        abs=1e-7,
    )


def test_published_epsilon_is_kept():
    scores = pair_scores(talk([["1_joy", "1"]]), talk([["1_joy", "1"]]), 2)
    assert scores["precision_pair"] == 1 / (1 + 1e-8) < 1


def test_per_emotion_figures_make_the_weighted_ones():
    gold, pred = map(talk, THREE_AND_TWO)
    scores, figures = pair_scores(gold, pred, 2), per_emotion_pair_scores(gold, pred)
    assert list(figures) == list(ECF.emotional)
    assert list(figures["joy"]) == ["precision", "recall", "f1", "support"]
    assert list(figures["joy"].values()) == pytest.approx([1, 0.5, 2 / 3, 2], abs=1e-7)
    for measure in ("precision", "recall", "f1"):
        mean = sum(each[measure] * each["support"] for each in figures.values()) / 3
        assert mean == pytest.approx(scores[f"weighted_{measure}"], abs=1e-12)


@pytest.mark.parametrize(
    "pairs",
    [
        [["1_joy", "1"], ["1_joy", "1"], ["3_anger", "1"]],
        [["U1_joy", "1"], ["1_joy", "1"], ["U3_anger", "1"]],
        [["1_joy", "1"], ["3_anger", "1"], ["2_neutral", "2"]],
    ],
    ids=["duplicate", "U", "neutral"],
)
def test_pairs_that_change_nothing(pairs):
    gold, pred = map(talk, THREE_AND_TWO)
    assert pair_scores(gold, talk(pairs), 2) == pair_scores(gold, pred, 2)


def test_only_conversations_of_gold_count():
    gold, pred = map(talk, THREE_AND_TWO)
    others = [*talk([["1_joy", "1"]], key=2), {"conversation_ID": 3}]
    assert pair_scores(gold, others + pred, 2) == pair_scores(gold, pred, 2)
    assert pair_scores(gold, talk(THREE_AND_TWO[1], key="1"), 2) == pair_scores(gold, pred, 2)


def test_no_pair_at_all_scores_0():
    for subtask in (1, 2):
        assert set(pair_scores(talk([]), talk([]), subtask).values()) == {0.0}


def test_subtask_1_by_hand():
    # Tokens 2 to 7 once the punctuation is gone; 3 of the 4 predicted tokens are among them.
    scores = pair_scores(talk([["1_joy", "2_, the red kite is back !"]]), talk([["1_joy", "2_1_5"]]), 1)
    assert len(scores) == 12
    assert scores["strict_f1"] == scores["weighted_strict_f1"] == 0
    for prefix in ("", "weighted_"):
        assert scores[f"{prefix}Proportional_precision"] == pytest.approx(3 / 4, abs=1e-7)
        assert scores[f"{prefix}Proportional_recall"] == pytest.approx(3 / 5, abs=1e-7)
    scores = pair_scores(talk([["1_joy", "2_, the red kite is back !"]]), talk([["1_joy", "2_2_7"]]), 1)
    assert list(scores.values()) == pytest.approx([1] * 12, abs=1e-7)


def test_gold_span_counts_once_for_each_prediction_on_it():
    gold = talk([["1_joy", "2_the red kite is back"]])
    scores = pair_scores(gold, talk([["1_joy", "2_2_7"], ["1_joy", "2_2_4"], ["1_joy", "2_0_1"]]), 1)
    assert scores["Proportional_precision"] == pytest.approx((5 + 2) / (5 + 2 + 1), abs=1e-7)
    assert scores["Proportional_recall"] == pytest.approx((5 + 2) / (5 + 5), abs=1e-7)


def test_a_prediction_on_two_gold_spans_counts_against_one_of_them():
    # Tokens 1 to 7 cover two of three tokens of the first, all five of the second.
    gold = talk([["1_joy", "2_Well , the"], ["1_joy", "2_the red kite is back"]])
    scores = pair_scores(gold, talk([["1_joy", "2_1_7"]]), 1)
    assert scores["Proportional_precision"] == pytest.approx(5 / 6, abs=1e-7)
    assert scores["Proportional_recall"] == pytest.approx(5 / (5 + 3), abs=1e-7)


def test_gold_spans_in_one_another():
    # Tokens 2 to 7 cover both whole, so the longer overlap decides; tokens 2 to 4 are the inner span.
    gold = talk([["1_joy", "2_the red"], ["1_joy", "2_the red kite is back"]])
    scores = pair_scores(gold, talk([["1_joy", "2_2_7"], ["1_joy", "2_2_4"]]), 1)
    assert list(scores.values()) == pytest.approx([1] * 12, abs=1e-7)
    # Tokens 2 to 5 cover two of two tokens of the inner span, three of five of the outer: the larger share decides.
    scores = pair_scores(gold, talk([["1_joy", "2_2_5"]]), 1)
    assert scores["Proportional_precision"] == pytest.approx(2 / 3, abs=1e-7)
    assert scores["Proportional_recall"] == pytest.approx(2 / (2 + 5), abs=1e-7)


def test_a_gold_span_that_is_said_twice_is_the_first():
    [gold] = talk([["1_joy", "2_red kite"]])
    gold["conversation"][1]["text"] = "A red kite , a red kite !"
    for span, found in (("2_1_3", 1), ("2_5_7", 0)):
        scores = pair_scores([gold], talk([["1_joy", span]]), 1)
        assert list(scores.values()) == pytest.approx([found] * 12, abs=1e-7)


@pytest.mark.parametrize("turn", (1, -1), ids=("in order", "reversed"))
def test_of_two_equally_good_gold_spans_the_first_of_the_text_is_taken(turn):
    # Tokens 3 to 5 cover half of each; taking the first leaves the second without a prediction.
    spans = [["1_joy", "2_the red"], ["1_joy", "2_kite is"]][::turn]
    scores = pair_scores(talk(spans), talk([["1_joy", "2_3_5"], ["1_joy", "2_2_4"]]), 1)
    assert scores["Proportional_precision"] == pytest.approx((1 + 2) / 4, abs=1e-7)
    assert scores["Proportional_recall"] == pytest.approx((1 + 2) / (2 + 2 + 2), abs=1e-7)


@pytest.mark.parametrize("words", ("green", "!", "", "kite red", "The red kite"))
def test_a_gold_span_that_is_not_said_is_the_empty_range(words):
    gold = talk([["1_joy", f"2_{words}"], ["1_joy", "2_red kite"]])
    scores = pair_scores(gold, talk([["1_joy", "2_3_5"]]), 1)
    assert scores["strict_recall"] == pytest.approx(1 / 2, abs=1e-7)
    assert scores["Proportional_recall"] == pytest.approx(1, abs=1e-7)
    scores = pair_scores(gold, talk([["1_joy", "2_3_5"], ["1_joy", "2_0_0"]]), 1)
    assert list(scores.values()) == pytest.approx([1] * 12, abs=1e-7)


def test_spans_that_are_not_said_are_named():
    gold = talk([["1_joy", "2_red kite"], ["1_joy", "3_green"], ["2_anger", "U3_green kite"], ["1_joy", "1_!"]], key=7)
    assert spans_not_said(gold) == [("7", 1), ("7", 3)]
    assert spans_not_said(talk([["1_joy", "2_, the red kite is back !"]])) == []


@pytest.mark.parametrize(
    "span", ("red kite ,\u00a0", "\u00a0red kite", "red\u00a0kite", "\u2003... red \t kite\u3000!")
)
def test_any_white_space_separates_tokens(span):
    scores = pair_scores(talk([["1_joy", f"2_{span}"]]), talk([["1_joy", "2_3_5"]]), 1)
    assert list(scores.values()) == pytest.approx([1] * 12, abs=1e-7)


@pytest.mark.parametrize(
    "subtask, gold, pred, message",
    [
        (2, [], [], "gold: it holds no conversation"),
        (2, {}, [], "gold: it is not a list"),
        (2, talk([]), [3], "pred: it is not a list"),
        (2, talk([]), [{PAIRS: []}], "pred conversation at position 1: .*conversation_ID"),
        (2, talk([]), talk([], key=None), "pred conversation at position 1: .*conversation_ID"),
        (2, talk([]), talk([]) * 2, "pred conversation 1: .*twice"),
        (2, talk([]) + talk([], key="1"), talk([]), "gold conversation 1: .*twice"),
        (2, talk([], key=7), talk([]), "pred conversation 7: it is missing"),
        (2, [{"conversation_ID": 1}], talk([]), "gold conversation 1: the key 'emotion-cause_pairs' is missing"),
        (2, talk([]), [{"conversation_ID": 1}], "pred conversation 1: the key 'emotion-cause_pairs' is missing"),
        (2, talk([]), talk("none"), "pred conversation 1: 'emotion-cause_pairs' is not a list"),
        (2, talk([]), talk([["1_happy", "1"]]), "pred conversation 1: .*unknown emotion.*anger"),
        (2, talk([]), talk([["joy", "1"]]), "pred conversation 1: .*malformed"),
        (2, talk([]), talk([["1_joy"]]), "pred conversation 1: .*malformed"),
        (2, talk([]), talk([["1_joy", "1_0_2"]]), "pred conversation 1: .*malformed"),
        (2, talk([]), talk([["1_joy", None]]), "pred conversation 1: .*malformed"),
        (2, talk([]), talk(["1_joy"]), "pred conversation 1: .*malformed"),
        (1, talk([]), talk([["1_joy", "1_the red kite"]]), "pred conversation 1: .*range of tokens"),
        (1, talk([]), talk([["1_joy", "1_4_2"]]), "pred conversation 1: .*ends too early"),
        (1, talk([["1_joy", "9_kite"]]), talk([]), "gold conversation 1: .*'9_kite'.* utterance 9"),
        (1, [{"conversation_ID": 1, PAIRS: [["1_joy", "1_kite"]]}], talk([]), "gold .*'conversation'"),
    ],
)
def test_refusals(subtask, gold, pred, message):
    with pytest.raises(ScoringError, match=message) as refusal:
        pair_scores(gold, pred, subtask)
    assert message.startswith(refusal.value.side)


def test_unknown_subtask():
    with pytest.raises(ValueError, match="Give 1 or 2"):
        pair_scores(talk([]), talk([]), 3)


@pytest.mark.parametrize("seen", (ECF.labels, ECF.labels[2:5], (ECF.neutral,)), ids=("seven", "three", "neutral"))
def test_emotions_agree_with_scikit_learn(seen):
    sklearn = pytest.importorskip("sklearn.metrics")
    chance = random.Random(0)
    gold = [[chance.choice(seen) for _ in range(9)] for _ in range(12)]
    pred = [[chance.choice((emotion, *ECF)) for emotion in emotions] for emotions in gold]
    scores = emotion_scores(
        [spoken(emotions, key) for key, emotions in enumerate(gold)],
        [spoken(emotions, key) for key, emotions in enumerate(pred)][::-1],
    )

    true, guessed, labels = sum(gold, []), sum(pred, []), list(ECF)
    f1 = {
        name: sklearn.f1_score(true, guessed, labels=wanted, average=average, zero_division=0)
        for name, wanted, average in (
            ("weighted_f1", labels, "weighted"),
            ("macro_f1", labels, "macro"),
            ("weighted_f1_six", labels[:6], "weighted"),
        )
    }
    assert {name: scores[name] for name in f1} == pytest.approx(f1)
    assert scores["accuracy"] == pytest.approx(sklearn.accuracy_score(true, guessed))
    assert scores["confusion"] == sklearn.confusion_matrix(true, guessed, labels=labels).tolist()
    columns = sklearn.precision_recall_fscore_support(true, guessed, labels=labels, zero_division=0)
    for emotion, *expected in zip(labels, *columns):
        assert list(scores["per_emotion"][emotion].values()) == pytest.approx(expected)
    json.dumps(scores)  # plain numbers only


def test_emotions_by_hand():
    gold, pred = [spoken(["joy", "joy", "neutral"])], [spoken(["joy", "anger", "neutral", "fear"])]
    scores = emotion_scores(gold, pred)
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["weighted_f1_six"] == pytest.approx(2 / 3)
    assert scores["weighted_f1"] == pytest.approx((2 * 2 / 3 + 1) / 3)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 1) / 7)
    assert scores["confusion"][ECF.index("joy")][ECF.index("anger")] == 1
    assert list(scores["per_emotion"]["joy"].values()) == pytest.approx([1, 0.5, 2 / 3, 2])


@pytest.mark.parametrize(
    "gold, pred, message",
    [
        ([spoken(["joy"])], [spoken([])], "pred conversation 1: utterance 1 has no emotion"),
        ([spoken(["joy"])], [spoken(["happy"])], "pred conversation 1: utterance 1 has no emotion .*happy"),
        ([spoken([["joy"]])], [spoken(["joy"])], "gold conversation 1: utterance 1 has no emotion"),
        ([spoken(["joy"])], [spoken(["joy"], key=2)], "pred conversation 1: it is missing"),
        ([spoken(["joy"])], [{"conversation_ID": 1}], "pred conversation 1: 'conversation'"),
        ([{"conversation_ID": 1, "conversation": [{"emotion": "joy"}]}], [spoken(["joy"])], "gold .*_ID"),
        ([{"conversation_ID": 1, "conversation": [{"utterance_ID": True}]}], [spoken(["joy"])], "gold .*_ID"),
    ],
)
def test_emotion_refusals(gold, pred, message):
    with pytest.raises(ScoringError, match=message):
        emotion_scores(gold, pred)
