"""The emotion task: its questions, how scores become labels, and the published recipe's answers.

python -m pytest tests/tasks/test_emotion.py
"""

import copy
import math

import pytest
from helpers import FIVE, nodes, questions

from utils.data.labels import ECF, LabelSet
from utils.tasks import emotion


def test_an_emotion_question_for_every_utterance_behind_its_line_in_a_second_reading():
    tree = emotion.tree(FIVE, train=True)
    assert [question.gold for question in questions(tree)] == [
        " joy",
        " neutral",
        " anger",
        " fear",
        " neutral",
    ]
    assert all(question.answers == tuple(f" {label}" for label in ECF) for question in questions(tree))
    assert "".join(node.text for node in nodes(tree)) == "".join(
        ["Name the emotion of every utterance: anger, disgust, fear, joy, sadness, surprise, neutral."]
        + [f"\n{speaker}: {text}" for speaker, text in zip("ABAAB", "abcde")]
        + [f"\n{speaker}: {text} Emotion:" for speaker, text in zip("ABAAB", "abcde")]
    )
    assert {question.gold for question in questions(emotion.tree(FIVE))} == {None}


def test_read_takes_the_likeliest_emotion_and_its_probabilities_sum_to_one():
    scores = [[math.log((i + k) % 7 + 1) - 900 for i in range(7)] for k in range(5)]  # exp would be zero
    unchanged = copy.deepcopy(FIVE)
    labelled, table = emotion.read(FIVE, scores)
    assert [u["emotion"] for u in labelled["conversation"]] == [ECF.labels[6 - k] for k in range(5)]
    assert table[0] == pytest.approx([i / 28 for i in range(1, 8)]) and all(
        sum(one) == pytest.approx(1) for one in table
    )
    assert FIVE == unchanged and "emotion-cause_pairs" not in labelled
    assert labelled["note"] == "kept" and labelled["conversation"][1]["video_caption"] == "seen 2"


def test_logit_adjustment_divides_probabilities_by_shares_to_its_power():
    seen = emotion.counts([FIVE]) | {"sadness": 5}
    assert seen == {"anger": 1, "disgust": 0, "fear": 1, "joy": 1, "neutral": 2, "sadness": 5, "surprise": 0}
    shares = {label: max(seen[label], 1) / 12 for label in ECF}  # what was never seen counts as seen once
    scores = [[math.log((i + k) % 7 + 1) for i in range(7)] for k in range(5)]
    for strength in (0, 0.4, 1):
        labelled, table = emotion.read(FIVE, scores, emotion.prior_scores(seen, strength))
        for k, (u, one) in enumerate(zip(labelled["conversation"], table)):
            by_hand = [((i + k) % 7 + 1) / shares[label] ** strength for i, label in enumerate(ECF)]
            assert one == pytest.approx([value / sum(by_hand) for value in by_hand])
            assert u["emotion"] == ECF.labels[by_hand.index(max(by_hand))]
    assert emotion.read(FIVE, scores, emotion.prior_scores(seen, 0)) == emotion.read(FIVE, scores)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("emotion :: joy", "joy"),
        (" Sadness, not anger", "sadness"),
        ("no idea", None),
        ("", None),
        ("ANGER\n### joy", "anger"),
        ("joy, not SADNESS", "joy"),
    ],
)
def test_parse_published_emotions(text, label):
    assert emotion.parse_published(text) == label


def test_of_two_labels_that_begin_alike_the_longer_one_is_read():
    moods = LabelSet("moods", ("joy", "joyful", "sad"))
    assert emotion.parse_published("emotion :: joyful", moods) == "joyful"
    assert emotion.parse_published("emotion :: joy", moods) == "joy"
