"""The scores equal those that the task's published evaluation gave, on every case of `../shared/scorer_cases`.

python -m pytest tests/report/test_scorer_cases.py     (skipped where ../shared is absent)
"""

import json

import pytest
from reference_scorer import find, reference_scores

from utils.report.metrics import pair_scores
from utils.system.errors import ScoringError


@pytest.fixture(params=["subtask_1", "subtask_1_overlaps", "subtask_2"])
def cases(request, shared):
    """[(number of the line, case)] of one file."""
    lines = (shared / "scorer_cases" / f"{request.param}.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) >= 40
    return [(number, json.loads(line)) for number, line in enumerate(lines, 1)]


def test_official_figures_on_every_case(cases):
    for number, case in cases:
        if "error" in case["official"]:
            with pytest.raises(ScoringError):
                pair_scores(case["gold"], case["pred"], case["subtask"])
        else:
            scores = pair_scores(case["gold"], case["pred"], case["subtask"])
            assert list(scores) == list(case["official"])
            assert scores == pytest.approx(case["official"], rel=0, abs=1e-9), f"line {number}"


def test_the_reference_scorer_gives_the_official_figures_too(cases):
    for number, case in cases:
        if "error" not in case["official"]:
            scores = reference_scores(case["gold"], case["pred"], case["subtask"])
            scores = {name: float(figure) for name, figure in scores.items()}
            assert scores == pytest.approx(case["official"], rel=0, abs=1e-9), f"line {number}"


@pytest.fixture(scope="module")
def ecf_spans(shared):
    """Subtask 1's training file: conversations, causes as words."""
    return json.loads((shared / "ecf" / "Subtask_1_train.json").read_text(encoding="utf-8"))


def with_ranges(conversation, ranged):
    """The conversation with the causes as ranges of tokens. ranged(words, text): the range of one cause."""
    texts = {utterance["utterance_ID"]: utterance["text"] for utterance in conversation["conversation"]}
    pairs = []
    for emotion, cause in conversation["emotion-cause_pairs"]:
        number, words = cause.split("_", 1)
        start, end = ranged(words, texts[int(number)])
        pairs.append([emotion, f"{number}_{start}_{end}"])
    return conversation | {"emotion-cause_pairs": pairs}


def test_perfect_predictions_of_ecf_score_1(ecf_spans):
    scores = pair_scores(ecf_spans, [with_ranges(conversation, find) for conversation in ecf_spans], 1)
    assert scores == pytest.approx(dict.fromkeys(scores, 1), rel=0, abs=1e-7)


def test_whole_utterances_of_ecf_score_as_published(ecf_spans):
    """Every cause is predicted as its whole utterance; the published evaluation gave these figures."""
    pred = [with_ranges(one, lambda words, text: (0, len(text.split()))) for one in ecf_spans]
    scores = pair_scores(ecf_spans, pred, 1)
    assert scores["weighted_Proportional_f1"] == pytest.approx(0.76601, abs=5e-6)
    assert scores["weighted_Proportional_recall"] == pytest.approx(0.99791, abs=5e-6)
