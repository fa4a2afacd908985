"""What holds for ECF's labels holds for a set with other labels, another order and another neutral one: the four
notebooks, a system of several runs, and predictions of both, verified.

python -m pytest tests/promises/test_other_labels.py
"""

import functools

import pytest
from helpers import repository, start

from utils import ensemble
from utils.config import Config
from utils.data.conversations import load_conversations, pairs
from utils.data.labels import ECF, LabelSet
from utils.predict import Predictor
from utils.record import predictions
from utils.record.adapter import labels_of
from utils.record.verify import is_equal, verify
from utils.report import bootstrap
from utils.report.tables import members_table, results_table
from utils.runs import compare
from utils.system.errors import ConfigError, ModelError, UserError
from utils.system.files import read_json, read_json_lines, write_json

# ECF's conversations in other words: the neutral label is not the last, and one label begins another.
WORDS = {
    "neutral": "calm",
    "anger": "calm rage",
    "joy": "Bliss",
    "sadness": "gloom",
    "surprise": "startle_d",
    "fear": "dread",
    "disgust": "no thanks",
}
MOODS = LabelSet("moods", tuple(WORDS.values()), "calm", merge={}, source="made up")


def reworded(conversation):
    return {
        **conversation,
        "conversation": [
            {**u, "emotion": WORDS[u["emotion"]], "votes": {WORDS[label]: n for label, n in u["votes"].items()}}
            for u in conversation["conversation"]
        ],
        "emotion-cause_pairs": [
            [f"{number}_{WORDS[emotion]}", str(cause)] for number, emotion, cause in pairs(conversation)
        ],
    }


@pytest.fixture(scope="module")
def mine(tiny_model_folder, sample, tmp_path_factory):
    """A copy of the repository with an input in other words, in which two runs went through the four notebooks."""
    given = [reworded(c) for c in sample[:6]]
    given[0]["conversation"][0]["emotion"] = None  # it carries none
    folder = repository(tmp_path_factory.mktemp("moods"), given)
    write_json(MOODS.as_dict(), folder / "input" / "labels.json")
    for seed, run in enumerate(("first", "second")):
        parameters = {"model": tiny_model_folder, "run_name": run, "seed": seed, "lora_r": 4, "cause_threshold": 0.02}
        process = start(folder, {**parameters, "precision": "float32", "gradient_accumulation": 1})
        assert process.wait(timeout=280) == 0, (folder / "chain.log").read_text()[-3000:]
    return folder


@pytest.mark.slow
def test_the_notebooks_run_and_their_scores_are_verified(mine):
    run = mine / "results_train" / "first"
    assert all(labels_of(run / "adapters" / task) == MOODS for task in ("emotion", "cause"))
    assert {one["labels"]["name"] for one in read_json(run / "config.json").values()} == {"moods"}
    metrics = read_json(run / "metrics.json")
    scores = metrics["emotions"]["fine-tuned"]
    assert [*scores["per_emotion"]] == list(MOODS) and len(scores["confusion"]) == 7
    utterances = sum(len(c["conversation"]) for c in read_json(mine / "input" / "test" / "conversations.json"))
    assert sum(sum(row.values()) for row in scores["confusion"].values()) == utterances - 1, (
        "all but the one that carries none"
    )
    found = verify(run, mine)
    assert found.figures and all(is_equal(*both) for both in found.figures.values())
    named = {e for _, line in read_json_lines(run / "predictions.jsonl") for e in line["emotions"]}
    assert named <= {*MOODS} and "| **fine-tuned emotions and causes** |" in results_table(run)
    for task in ("emotion", "cause"):
        assert "calm rage" in (run / "adapters" / task / "README.md").read_text()


@pytest.mark.slow
def test_a_system_of_several_runs_is_verified(mine, monkeypatch):
    monkeypatch.setattr(bootstrap, "DRAWS", 100)
    folder = functools.partial(ensemble.label, root=mine)("both", ["first", "second"])
    metrics = read_json(folder / "metrics.json")
    assert [*metrics["ensemble"]["f1_of_emotions"]] == list(MOODS) and "startle_d" in members_table(metrics)
    found = verify(folder, mine)
    assert all(is_equal(*both) for both in found.figures.values()) and "ensemble / pairs / f1_pair" in found.figures
    for name in ("gold_of", "labels_of_scores"):
        monkeypatch.setattr(f"utils.runs.{name}", functools.partial(getattr(predictions, name), root=mine))
    assert compare(str(mine / "results_train" / "first"))["conversations"] == 6


@pytest.mark.slow
def test_predictions_are_in_the_adapters_words(mine, conversations):
    adapters = mine / "results_train" / "first" / "adapters"
    predictor = Predictor(adapters / "emotion", adapters / "cause")
    assert predictor.labels == MOODS
    labelled, tables, _ = predictor(conversations)  # whose own labels are ECF's, and are not read
    assert {u["emotion"] for c in labelled for u in c["conversation"]} <= {*MOODS}
    assert all(len(row) == len(MOODS) for table in tables for row in table)
    write_json(labelled, mine / "pred.json")
    assert load_conversations(mine / "pred.json", labels=MOODS) == labelled


@pytest.mark.slow
def test_adapters_of_two_sets_are_refused(mine, tmp_path):
    adapters = mine / "results_train" / "first" / "adapters"
    record = read_json(adapters / "cause" / "training.json")
    write_json({**record, "labels": ECF.as_dict()}, tmp_path / "cause" / "training.json")
    with pytest.raises(ModelError, match="cause: it was trained on the label set ecf7 .* are those of moods"):
        Predictor(adapters / "emotion", tmp_path / "cause")


@pytest.mark.slow
def test_the_input_of_another_set_is_another_run(mine):
    labels = mine / "input" / "labels.json"
    kept = labels.read_bytes()
    labels.unlink()
    try:
        with pytest.raises(UserError):
            verify(mine / "results_train" / "first", mine)
    finally:
        labels.write_bytes(kept)


def test_causes_are_not_asked_without_a_neutral_label():
    with pytest.raises(ConfigError, match="label set open has no neutral label"):
        Config().task("cause", LabelSet("open", ("up", "down")))
