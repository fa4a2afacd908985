"""The files that others read are as docs/*.schema.json says, of every kind of run.

python -m pytest tests/promises/test_schemas.py
"""

import functools

import jsonschema
import pytest
from helpers import ROOT, called, shipped, tables_of, with_lora, with_votes

from utils import predict
from utils.config import Config
from utils.data.labels import ECF
from utils.models.adapters import save_adapter
from utils.models.load import load_model
from utils.record.predictions import write_predictions
from utils.record.run import Run
from utils.report.metrics import (
    confusions,
    emotion_counts,
    emotion_measures,
    emotion_scores,
    pair_counts,
    pair_measures,
    pair_scores,
)
from utils.report.scores import RESULT, RULE, read_scores
from utils.system.files import read_json, read_json_lines, write_json
from utils.tasks.baselines import rule, shares, with_majority


@functools.cache
def validator(name):
    schema = read_json(ROOT / "docs" / f"{name}.schema.json")
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def checked(name, data):
    validator(name).validate(data)


@pytest.fixture
def run(tmp_path, sample):
    """A run whose utterances have votes, scored by both notebooks."""
    gold = [with_votes(c) for c in sample[:8]]
    write_json(gold, tmp_path / "input" / "test" / "conversations.json")
    config = Config(run_name="mine", input_dir=str(tmp_path / "input"))
    run = Run(config, "4_cause_inference", ["input_dir"], root=tmp_path)
    predicted = [rule(c) for c in with_majority(gold, gold)]
    emotions = {"majority": (predicted, shares(gold, gold)), "fine-tuned": (gold, tables_of(gold)[0])}
    run.score_emotions(gold, emotions)
    run.score_pairs(gold, {RULE: ("majority", [rule(c) for c in gold]), RESULT: ("fine-tuned", gold)})
    write_predictions(run.train_dir, gold, *tables_of(gold))
    return run.train_dir, gold


def test_files_are_as_the_schemas_say(run):
    folder, gold = run
    metrics = read_json(folder / "metrics.json")
    checked("metrics", metrics)
    lines = [line for _, line in read_json_lines(folder / "predictions.jsonl")]
    for line in lines:
        checked("predictions", line)
    with pytest.raises(jsonschema.ValidationError):
        checked("metrics", {**metrics, "pairs": {"mine": {"emotions": "gold"}}})
    with pytest.raises(jsonschema.ValidationError):
        checked("predictions", {**lines[0], "emotion-cause_pairs": [["joy", "1"]]})


@pytest.mark.parametrize("kind", ["causes", "emotions", "votes", "multi"])
def test_a_prediction_of_each_kind_is_as_the_schema_says(tiny_model_folder, sample, tmp_path, kind):
    parameters = {"model": tiny_model_folder, "precision": "float32", "cause_threshold": 1e-6}
    parameters |= {"targets": kind} if kind in ("votes", "multi") else {}
    seen = {**dict.fromkeys(ECF, 1), "neutral": 10**6}  # whose log frequency is subtracted: emotions are named
    record = {"parameters": parameters, "emotions": seen, "thresholds": dict.fromkeys(ECF, 0.5)}
    for task in ("emotion", "cause") if kind == "causes" else ("emotion",):
        folder = tmp_path / "adapters" / task
        save_adapter(with_lora(load_model(tiny_model_folder, precision="float32")[0]), folder, tiny_model_folder)
        write_json(record, folder / "training.json")
    write_json(sample[:3], tmp_path / "given.json")
    arguments = [tmp_path / "given.json", "--out", tmp_path / "pred.json", "--probabilities"]
    assert called(predict.main, *arguments, "--emotion-adapter", tmp_path / "adapters" / "emotion")[0] == 0
    lines = [line for _, line in read_json_lines(tmp_path / "pred.probabilities.jsonl")]
    for line in lines:
        checked("predictions", line)
        assert all(isinstance(one, list if kind == "multi" else str) for one in line["emotions"])
        assert ("emotion-cause_pairs" in line) == (kind == "causes")
    for wrong in (
        {"emotions": [[]]},
        {"emotions": [["joy", "joy"]]},
        {"emotions": [None]},
        {"emotion_probabilities": 1},
    ):
        with pytest.raises(jsonschema.ValidationError):
            checked("predictions", {**lines[0], **wrong})
    if kind == "causes":
        del lines[0]["cause_probabilities"]
        with pytest.raises(jsonschema.ValidationError):
            checked("predictions", lines[0])


def test_what_ships_is_as_the_schema_says():
    for path in shipped("results_t*/*/predictions.jsonl"):
        for _, line in read_json_lines(path)[::10]:  # all of them take seconds
            checked("predictions", line)


def test_scores_say_what_was_scored_by_what_and_how_sure_they_are(run):
    folder, gold = run
    metrics = read_scores(folder)
    assert metrics["version"] == 2 and metrics["labels"] == list(ECF) and metrics["neutral"] == "neutral"
    assert metrics["conversations"] == 8 and metrics["utterances"] == sum(len(c["conversation"]) for c in gold)
    assert not any("*" in name for name in metrics["pairs"]), "no Markdown in a key"
    found = metrics["emotions"]["majority"]
    for label, row in found["confusion"].items():
        assert sum(row.values()) == metrics["gold"]["emotions"][label] == found["per_emotion"][label]["support"]
    assert found["predicted"]["neutral"] == metrics["utterances"]
    assert sum(metrics["gold"]["pairs"].values()) == sum(len(c["emotion-cause_pairs"]) for c in gold)
    for part, name in (("multi", "jaccard"), ("votes", "js")):
        low, high = found[part]["interval_95"][name]
        assert low < found[part][name] < high
    low, high = found["interval_95"]["accuracy"]
    assert low < found["accuracy"] < high
    assert metrics["emotions"]["fine-tuned"]["interval_95"]["accuracy"] == [1, 1]
    right = metrics["pairs"][RESULT]
    assert right["less rule"]["difference"] > 0 and right["interval_95"]["f1_pair"][1] > 0.99
    made = metrics["made"]["4_cause_inference"]
    assert made["seconds"] >= 0 and made["ended"].endswith("+00:00") and made["hardware"]["cores"] >= 1


def test_measures_of_counts_are_those_of_the_scores(sample):
    """What an interval is about is the figure beside it."""
    gold = sample[:8]
    predicted = [rule(c) for c in with_majority(gold, gold[:2])]
    scores = emotion_scores(gold, predicted)
    found = emotion_measures(emotion_counts(confusions(gold, predicted)).sum(0))
    assert {name: float(one) for name, one in found.items()} == {name: scores[name] for name in found}
    ruled = [rule(c) for c in gold]
    found, scores = pair_measures(pair_counts(gold, ruled).sum(0)), pair_scores(gold, ruled, 2)
    assert {name: pytest.approx(float(one)) for name, one in found.items()} == {name: scores[name] for name in found}
