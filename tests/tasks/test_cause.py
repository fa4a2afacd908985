"""The cause task: its questions, how scores become pairs, and the published recipe's answers.

python -m pytest tests/tasks/test_cause.py
"""

import math

import pytest
from helpers import FIVE, conversation, questions

from utils.data.conversations import pairs, with_emotions, with_pairs
from utils.engine.prefix_tree import render
from utils.tasks import baselines, cause, cause_list
from utils.tasks.candidates import asked, candidates
from utils.tasks.cause import Cause


def test_candidates_stand_around_the_emotion():
    long = conversation([str(i) for i in range(20)], ["joy"] * 20)
    assert candidates(long, 10) == list(range(3, 15)) and candidates(long, 0) == [1, 2, 3, 4]
    assert candidates(long, 19) == list(range(12, 21))


def test_a_candidate_question_for_every_pair_that_may_be():
    gold = with_pairs(FIVE, [(1, "joy", 1), (3, "anger", 2), (3, "anger", 4)])
    tree = Cause().tree(gold, train=True)
    assert render(tree) == cause.INSTRUCTION + "".join(
        (
            "\nA joy: a #1 <= #1« yes»",
            "\nB neutral: b #2 => #1« no»",
            "\nA anger: c #3 <= #1« no»2« yes»3« no» => #1« no»",
            "\nA fear: d #4 <= #1« no»2« no»3« no»4« no» => #1« no»3« yes»",
            "\nB neutral: e #5 => #3« no»4« no»",
        )
    )
    order = [(i + 1, j + 1) for i, j in asked(FIVE)]
    assert order == [(1, 1), (1, 2), (3, 1), (3, 2), (3, 3), (1, 3),
                     (4, 1), (4, 2), (4, 3), (4, 4), (1, 4), (3, 4), (3, 5), (4, 5)]  # fmt: skip
    assert len(questions(cause.candidates_tree(FIVE))) == len(order)


def test_lines_that_no_question_sees_are_left_out():
    calm_end = conversation("abcdefg", ["neutral", "joy", *["neutral"] * 5])
    for tree in (cause.candidates_tree(calm_end), cause_list.ListSearch(calm_end).tree()):
        assert "e #5" in render(tree) and "f #6" not in render(tree)


def test_read_candidates_reaches_the_threshold():
    yes = {(1, 1): 0.5, (1, 2): 0.49, (1, 3): 0.9, (1, 4): 0.1}
    yes |= {(3, i): 0.2 for i in range(1, 6)} | {(4, i): 0.7 for i in range(1, 6)}
    p = [yes[i + 1, j + 1] for i, j in asked(FIVE)]
    scores = [[math.log(1 - one) - 5, math.log(one) - 5] for one in p]
    paired, table = cause.read_candidates(FIVE, scores, threshold=0.5)
    assert pairs(paired) == [(1, "joy", 1), (1, "joy", 3), *((4, "fear", i) for i in range(1, 6))]
    assert list(table) == [1, 3, 4] and table[1] == pytest.approx({1: 0.5, 2: 0.49, 3: 0.9, 4: 0.1})
    assert list(table[3]) == [1, 2, 3, 4, 5] and paired["note"] == "kept"
    assert pairs(cause.read_candidates(FIVE, scores, threshold=0.95)[0]) == []


def test_the_emotions_certainty_counts_not_its_candidates():
    even = [[math.log(0.5), math.log(0.5)] for _ in asked(FIVE)]
    sure = [[1.0, 0.0], [0.5, 0.5], [0.5, 0.5], [0.9, 0.1], [0.5, 0.5]]  # times a half: 0.5, -, 0.25, 0.45, -
    paired, _ = cause.read_candidates(FIVE, even, 0.4, emotions=sure)
    assert pairs(paired) == [*((1, "joy", i) for i in range(1, 5)), *((4, "fear", i) for i in range(1, 6))]


def test_a_conversation_without_emotion_has_no_cause():
    calm = conversation("ab", ["neutral", "neutral"])
    assert cause.read_candidates(calm, [], 0.5) == (with_pairs(calm, []), {})
    assert cause_list.ListSearch(calm).tree() is None and cause_list.ListSearch(calm).read() == (
        with_pairs(calm, []),
        {},
    )
    assert pairs(baselines.rule(calm)) == [] and cause.published_prompts(calm) == []


def test_predicted_emotions_keep_the_gold_causes_of_their_utterances():
    gold = with_pairs(FIVE, [(1, "joy", 1), (3, "anger", 2), (3, "anger", 4)])
    predicted = with_emotions(FIVE, ["neutral", "fear", "sadness", "fear", "neutral"])
    assert pairs(cause.with_gold_causes(predicted, gold)) == [(3, "sadness", 2), (3, "sadness", 4)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("utterance_ids :: [1, 3]", [1, 3]),
        ("[3,1,1]", [1, 3]),
        ("[2, 9, 77]", [2]),
        ("[]", []),
        ("[1, 2", None),
        ("none", None),
        ("", None),
        ("[a] then [2]", [2]),
        ("[1][2]", [1]),
        (f"[{'1' * 5000}]", []),
        ("[12345678901]", []),
    ],
)
def test_parse_published_causes(text, found):
    assert cause.parse_published(text, [1, 2, 3]) == found
