"""Several answers as one: averages, and recorded answers that are read again.

python -m pytest tests/tasks/test_combine.py
"""

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest

from utils.config import Config
from utils.data.conversations import pairs, without_labels
from utils.data.labels import ECF
from utils.record.predictions import write_predictions
from utils.tasks import cause, cause_structure, emotion
from utils.tasks.ask import search_all
from utils.tasks.candidates import asked, emotional
from utils.tasks.combine import MeanStructure, Recorded, averaged, mean_log_odds, mixed, moved, unadjusted
from utils.tasks.emotion import Emotion


def test_an_ensemble_averages_probabilities():
    one, other = [[[math.log(0.8), math.log(0.2)]]], [[[math.log(0.2), math.log(0.2)]]]  # a half each
    assert averaged([one, other]) == [[pytest.approx([math.log(0.65), math.log(0.35)])]]


def test_a_share_of_one_table_is_mixed_with_the_rest_of_another():
    (found,) = mixed([np.array([[0.6, 0.4]])], [np.array([[0.0, 1.0]])], 0.25)
    assert found.tolist() == [pytest.approx([0.15, 0.85])]


def test_trees_of_several_runs_have_their_mean_log_odds(sample, conversations):
    grown = [cause_structure.learn(sample[:10], number) for number in range(2)]
    odds = [one.log_odds(conversations[0]) for one in grown]
    assert odds[0] != odds[1] and mean_log_odds([], conversations[0]) is None
    assert mean_log_odds(grown, conversations[0]) == pytest.approx(np.mean(odds, 0).tolist())
    assert MeanStructure(grown).log_odds(conversations[0]) == mean_log_odds(grown, conversations[0])


def test_probabilities_before_the_adjustment_come_back():
    counted = {label: 1 + number for number, label in enumerate(ECF)}
    prior, before = emotion.prior_scores(counted, 0.5), np.random.default_rng(0).dirichlet(np.ones(7), 3)
    utterances = [{"utterance_ID": k, "speaker": "A", "text": ""} for k in (1, 2, 3)]
    _, table = emotion.read({"conversation": utterances}, np.log(before).tolist(), prior)
    assert np.abs(np.array(table) - before).max() > 0.01
    assert np.allclose(unadjusted(table, prior), before, atol=1e-3)


def test_what_is_decided_again_is_what_would_have_been_decided(sample, tmp_path):
    """From recorded probabilities, to their rounding; questions that were not asked are answered by the trees."""
    generator, taught, given = random.Random(1), sample[:40], [without_labels(c) for c in sample[40:60]]
    counted, grown = emotion.counts(taught), cause_structure.learn(taught, 7)
    scores = [[[generator.gauss(0, 1) for _ in range(7)] for _ in c["conversation"]] for c in given]
    old = [emotion.read(c, one, emotion.prior_scores(counted, 0.1)) for c, one in zip(given, scores)]
    answers = [
        [(lambda p: [math.log(1 - p), math.log(p)])(generator.uniform(0.01, 0.9)) for _ in asked(c)] for c, _ in old
    ]
    read = [cause.read_candidates(c, one, 0.5) for (c, _), one in zip(old, answers)]
    write_predictions(tmp_path, [c for c, _ in read], [t for _, t in old], [t for _, t in read])
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text("utf-8").splitlines()]

    # decided again: another adjustment, and the recorded answers where there are any
    config = Config()
    prior, before = (emotion.prior_scores(counted, one) for one in (config.logit_adjustment, 0.1))
    tables = [moved(line["emotion_probabilities"], before) for line in lines]
    labelled, again = search_all(Emotion(prior=prior), given, lambda *_: tables)
    recorded = Recorded({line["conversation_ID"]: line["cause_probabilities"] for line in lines}, grown)
    task = replace(config.task("cause"), structure=grown).given_emotions(labelled, again)
    answered = [[[0.0, odds] for odds in recorded.log_odds(c)] for c in labelled]
    paired, causes = search_all(task, labelled, lambda *_: answered)

    same = new = 0
    for number, (c, one, (was, _), known) in enumerate(zip(given, scores, old, answers, strict=True)):
        wanted, table = emotion.read(c, one, prior)
        assert [u["emotion"] for u in labelled[number]["conversation"]] == [
            u["emotion"] for u in wanted["conversation"]
        ]
        known, odds = dict(zip(asked(was), known)), grown.log_odds(wanted)
        given_to = [known.get(pair, [0.0, odd]) for pair, odd in zip(asked(wanted), odds)]
        its, probabilities = cause.read_candidates(wanted, given_to, config.cause_threshold, odds, table)
        assert causes[number] == {
            i: {j: pytest.approx(p, abs=2e-3) for j, p in row.items()} for i, row in probabilities.items()
        }
        same += pairs(paired[number]) == pairs(its)
        new += len(set(emotional(wanted)) - set(emotional(was)))
    assert same >= 0.9 * len(given) and new > 0
