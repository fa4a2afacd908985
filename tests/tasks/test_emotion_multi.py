"""Several emotions an utterance: the questions, how probabilities become labels, and the thresholds.

python -m pytest tests/tasks/test_emotion_multi.py
"""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from helpers import FIVE, nodes, questions, with_votes
from sklearn.metrics import f1_score

from utils.config import Config
from utils.data.label_sets import SETS
from utils.data.labels import ECF
from utils.data.votes import distribution, several
from utils.engine.prefix_tree import render
from utils.system.errors import ConfigError, RunError
from utils.system.files import write_json
from utils.tasks import emotion
from utils.tasks.emotion_multi import EmotionMulti, best_threshold, tree

VOTED = with_votes(FIVE)


def test_the_labels_and_the_shares_of_an_utterance():
    first, second, third, fourth, fifth = VOTED["conversation"]
    assert [several(u, ECF) for u in VOTED["conversation"]] == [
        ["joy"],
        ["neutral"],  # without votes: its label
        ["sadness"],  # surprise has a single vote
        ["sadness", "surprise"],
        ["joy", "surprise"],
    ]
    assert distribution(third, ECF) == {"sadness": 0.8, "surprise": 0.2}
    assert distribution(second, ECF) == {"neutral": 1.0} and distribution({"emotion": None}, ECF) == {}
    apart = {"emotion": "joy", "votes": dict.fromkeys(ECF, 1)}
    assert several(apart, ECF) == ["joy"], "no label has two votes"
    many = replace(ECF, multi=True)
    listed = {"emotion": ["joy", "fear"], "votes": {"anger": 3}}
    assert several(listed, many) == ["joy", "fear"] and distribution({"emotion": ["joy", "fear"]}, many)["fear"] == 0.5
    left_out = {"emotion": "joy", "votes": {"contempt": 4, "joy": 1}}
    assert distribution(left_out, ECF) == {"joy": 1.0}, "a label that is not in the set"


def test_a_question_a_label_behind_every_line_of_the_second_reading():
    asked = questions(tree(VOTED, train=True))
    assert len(asked) == 35 and all(question.answers == (" no", " yes") for question in asked)
    yes = [[label for label, one in zip(ECF, asked[7 * k : 7 * k + 7]) if one.gold == " yes"] for k in range(5)]
    assert yes == [["joy"], ["neutral"], ["sadness"], ["sadness", "surprise"], ["joy", "surprise"]]
    text = "".join(node.text for node in nodes(tree(VOTED)))
    assert text.endswith("\nB: e Emotions:" + "".join(f" {label}?" for label in ECF))
    assert {question.gold for question in questions(tree(VOTED))} == {None}


def test_nothing_is_asked_in_training_about_an_utterance_without_a_label():
    bare = {**FIVE, "conversation": [{**u, "emotion": None} if k else u for k, u in enumerate(FIVE["conversation"])]}
    assert len(questions(tree(bare, train=True))) == 7 and len(questions(tree(bare))) == 35
    votes = emotion.tree(with_votes(bare), train=True, votes=True)
    assert [question.gold for question in questions(votes)] == [
        {" joy": 1.0},
        {" sadness": 0.8, " surprise": 0.2},
        {" neutral": 0.2, " sadness": 0.4, " surprise": 0.4},
        {" joy": 0.6, " surprise": 0.4},
    ]
    assert "\u00ab sadness 0.8, surprise 0.2\u00bb" in render(votes)


def test_a_label_is_named_from_its_threshold_on_and_one_at_least():
    p = [[0.1] * 5 + [0.3, 0.2], [0.1, 0.05] + [0.1] * 5]
    scores = [[math.log(1 - one) - 9, math.log(one) - 9] for row in p for one in row]
    two = {**FIVE, "conversation": FIVE["conversation"][:2]}
    task = EmotionMulti(thresholds=[0.5, 0.06, 0.5, 0.5, 0.5, 0.299, 0.199])
    search = task.ask(two)
    search.update(scores)
    labelled, table = search.read()
    assert [u["emotion"] for u in labelled["conversation"]] == [["disgust", "surprise", "neutral"], ["disgust"]]
    assert table == [pytest.approx(row) for row in p], "disgust comes nearest to its threshold"


@pytest.mark.parametrize("seed", range(6))
def test_the_threshold_has_the_best_f1_of_all(seed):
    rng = np.random.default_rng(seed)
    right = rng.random(40) < 0.3
    p = (0.4 * right + 0.6 * rng.random(40)).round(1 if seed % 2 else 6)  # equal ones, or none
    found = best_threshold(right.tolist(), p.tolist())
    best = max(f1_score(right, p >= cut) for cut in [*p, *(p + 1e-9)])
    assert f1_score(right, p >= found) == pytest.approx(best) and found not in p
    assert best_threshold([False] * 3, [0.2, 0.9, 0.4]) == 0.5 and best_threshold([True], [0.0]) > 0


def test_thresholds_are_recorded_and_read_again(tmp_path):
    tables = [[[0.9 * (label in several(u, ECF)) + 0.05 for label in ECF] for u in VOTED["conversation"]]]
    decided = EmotionMulti().decided([VOTED], lambda: tables)
    assert decided["thresholds"]["joy"] == pytest.approx(0.5) and decided["thresholds"]["fear"] == 0.5
    assert EmotionMulti().decided([], lambda: 1 / 0)["thresholds"] == dict.fromkeys(ECF, 0.5)
    write_json({"labels": ECF.as_dict(), **decided}, tmp_path / "training.json")
    assert EmotionMulti().trained(tmp_path).thresholds == [*decided["thresholds"].values()]
    for wrong in ({}, {"thresholds": {"joy": 0.5}}, {"thresholds": dict.fromkeys(ECF, 2.0)}, {"thresholds": [0.5]}):
        write_json({"labels": ECF.as_dict(), **wrong}, tmp_path / "training.json")
        with pytest.raises(RunError, match='lacks "thresholds".*train the adapter again'):
            EmotionMulti().trained(tmp_path)


def test_targets_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="targets is single; label set goemotions28 has several.*give multi"):
        Config().task("emotion", SETS["goemotions28"])
    with pytest.raises(ConfigError, match="targets is multi; a cause belongs to one emotion"):
        Config(targets="multi").task("cause")
    with pytest.raises(ConfigError, match="targets is votes; recipe published has single alone"):
        Config.of({"targets": "votes", "recipe": "published"})
    with pytest.raises(ConfigError, match="focal_gamma is 2.0; recipe published has none alone: give one_pass"):
        Config.of({"focal_gamma": 2, "recipe": "published"})
    assert Config(targets="multi").task("emotion", SETS["goemotions28"]).labels.multi
    assert json.loads(json.dumps(Config(targets="votes").task("emotion").counts([VOTED])))["sadness"] == 1.2
