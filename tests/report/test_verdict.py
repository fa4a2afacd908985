"""A run that learnt nothing says so.

python -m pytest tests/report/test_verdict.py
"""

import pytest
from helpers import ROOT, tables_of

from utils.config import Config
from utils.data.conversations import with_emotions, with_pairs
from utils.record.run import Run
from utils.report.scores import RESULT, RULE, emotion_rows, head, read_scores, system_scores
from utils.report.verdict import verdict
from utils.system import places
from utils.tasks.baselines import rule, shares, with_majority


def neutral(conversations):
    return [with_pairs(with_emotions(c, ["neutral"] * len(c["conversation"])), []) for c in conversations]


def metrics(gold, predicted, train):
    found = head(gold) | system_scores(gold, predicted, tables_of(predicted)[0], ranged=False)
    baseline = {"majority": (with_majority(gold, train), shares(gold, train))}
    found["emotions"] |= emotion_rows(gold, baseline, ranged=False)
    return found


def test_one_label_for_everything_is_named_with_what_to_try(sample):
    gold = sample[:9]
    count = sum(len(c["conversation"]) for c in gold)
    emotions, pairs = verdict(metrics(gold, neutral(gold), sample[9:]))
    assert emotions.startswith(
        f"NOTHING LEARNT: all {count} utterances are called neutral on 9 conversations. Try more"
    )
    assert "emotion_epochs" in emotions and "no pair of an emotion and a cause is reported" in pairs
    assert verdict(metrics(gold, neutral(gold), sample[9:]), ["emotions"]) == [emotions]


def test_no_better_than_the_majority_or_the_rule(sample):
    gold = sample[:9]
    worse, first = neutral(gold), gold[0]["conversation"]
    worse[0] = with_pairs(with_emotions(worse[0], ["fear"] + ["neutral"] * (len(first) - 1)), [])
    emotions, pairs = verdict(metrics(gold, worse, sample[9:]))
    assert "the emotions are no better than the most frequent one, weighted F1 0." in emotions
    (line,) = verdict(metrics(gold, [rule(c) for c in gold], sample[9:]))
    assert "the causes are no better than the rule, weighted F1 0." in line and "cause_epochs" in line


def test_what_was_learnt_says_nothing(sample):
    assert verdict(metrics(sample[:9], sample[:9], sample[9:])) == []
    shipped = read_scores(ROOT / "results_train" / "smollm2-135m-ecf")
    assert {RESULT, RULE} <= {*shipped["pairs"]} and verdict(shipped) == [] and verdict({}) == []
    assert verdict(metrics(neutral(sample[:2]), neutral(sample[:2]), sample[9:]), ["emotions"]) == []


@pytest.mark.parametrize("notebook,lines", [("2_emotion_inference", 1), ("4_cause_inference", 2), ("3_cause", 0)])
def test_the_notebooks_that_label_end_with_it(tmp_path, sample, capsys, monkeypatch, notebook, lines):
    monkeypatch.setattr(places, "find", lambda: places.Place("here", tmp_path))
    run, gold = Run(Config(), notebook, [], root=tmp_path), sample[:9]
    run.score_emotions(gold, {"fine-tuned": (neutral(gold), tables_of(neutral(gold))[0])})
    run.score_pairs(gold, {RESULT: ("fine-tuned", neutral(gold)), RULE: ("fine-tuned", neutral(gold))})
    run.hand_over()
    said = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("NOTHING LEARNT") for line in said) == lines
    assert not lines or said[-2].startswith("NOTHING LEARNT")
