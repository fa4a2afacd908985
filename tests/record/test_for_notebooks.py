"""What the notebooks leave to utils/: the example they show, the baseline, a run's pairs and their scores."""

import json

import pytest
from helpers import FIVE, labelled_conversation

from utils.config import Config
from utils.data.conversations import with_emotions, with_pairs
from utils.engine.prefix_tree import render
from utils.record.fit import example_text
from utils.record.run import Run
from utils.report.metrics import pair_scores, per_emotion_pair_scores
from utils.system.files import read_json
from utils.tasks.baselines import rule, with_majority

GOLD = labelled_conversation()
NEUTRAL = {**with_emotions(GOLD, ["neutral"] * 3), "emotion-cause_pairs": []}


@pytest.fixture
def run(tmp_path):
    return Run(Config(), "4_cause_inference", [], root=tmp_path)


@pytest.mark.parametrize("name", ["emotion", "cause"])
def test_the_example_is_a_conversation_with_questions_and_answers(name):
    task = Config().task(name)
    shown = example_text(task, [NEUTRAL, GOLD] if name == "cause" else [GOLD, NEUTRAL], Config())
    assert shown == render(task.tree(GOLD, train=True))
    assert {"emotion": "«joy»", "cause": "«yes»"}[name] in shown.replace("« ", "«")


@pytest.mark.parametrize("name", ["emotion", "cause"])
def test_the_published_recipes_example_is_a_prompt_with_its_completion(name):
    config = Config(recipe="published")
    prompt, completion = config.task(name).prompts(GOLD)[0]
    assert example_text(config.task(name), [GOLD], config) == prompt + completion


@pytest.mark.parametrize("recipe", ["one_pass", "published"])
def test_where_nothing_is_asked_the_example_has_no_answer(recipe):
    task = Config().task("cause")
    assert example_text(task, [NEUTRAL], Config(recipe=recipe)) == render(task.tree(NEUTRAL))


def test_the_majority_is_that_of_the_training_conversations():
    training = [with_emotions(FIVE, ["joy", "joy", "joy", "anger", "neutral"])]
    (labelled,) = with_majority([GOLD], training)
    assert [u["emotion"] for u in labelled["conversation"]] == ["joy"] * 3
    assert "emotion-cause_pairs" not in labelled and GOLD["conversation"][0]["emotion"] == "neutral"


def test_pairs_are_saved_with_text_for_people_and_without_for_the_record(run):
    emotions, causes = [[[0.1] * 6 + [0.4]] * 3], [{2: {1: 0.93, 2: 0.5}, 3: {3: 0.25}}]
    run.save_pairs(run.train_dir, [GOLD], emotions, causes)
    assert read_json(run.train_dir / "Subtask_2_pred.json") == [GOLD]
    line = json.loads((run.train_dir / "predictions.jsonl").read_text(encoding="utf-8"))
    assert line == {
        "conversation_ID": GOLD["conversation_ID"],
        "emotions": ["neutral", "joy", "anger"],
        "emotion_probabilities": emotions[0],
        "emotion-cause_pairs": GOLD["emotion-cause_pairs"],
        "cause_probabilities": {"2": {"1": 0.93, "2": 0.5}, "3": {"3": 0.25}},
    }
    assert run.plots == run.train_dir / "plots"


def test_systems_are_scored_beside_each_other_and_other_sections_stay(run):
    wrong = with_pairs(with_emotions(GOLD, ["joy", "neutral", "anger"]), [(1, "joy", 1)])
    run.score_emotions([GOLD], {"gold": ([GOLD], [[[1.0] * 7] * 3])})
    run.score_pairs([GOLD], {"wrong": ("fine-tuned", [wrong]), "rule": ("gold", [rule(GOLD)])})
    metrics = read_json(run.train_dir / "metrics.json")
    assert metrics["emotions"]["gold"]["accuracy"] == 1 and list(metrics["made"]) == ["4_cause_inference"]
    assert list(metrics["pairs"]) == ["wrong", "rule"] and metrics["pairs"]["rule"]["emotions"] == "gold"
    found = metrics["pairs"]["wrong"]
    assert found["emotions"] == "fine-tuned" and found["scores"] == pair_scores([GOLD], [wrong], 2)
    assert found["per_emotion"] == per_emotion_pair_scores([GOLD], [wrong]) and found["predicted"]["joy"] == 1
    assert metrics["pairs"]["wrong"]["scores"] != metrics["pairs"]["rule"]["scores"]


def test_without_gold_labels_there_are_no_scores(run):
    run.score_pairs([], {"rule": ("gold", [])})
    assert not (run.train_dir / "metrics.json").exists()
