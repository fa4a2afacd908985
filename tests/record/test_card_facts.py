"""A card's facts come from the run's records, and damaged records end in one message.

python -m pytest tests/record/test_card_facts.py
"""

import shutil

import pytest
from helpers import ROOT

from utils.card import main
from utils.config import Config
from utils.record.card import card, facts
from utils.report.scores import read_scores
from utils.system.errors import FileError
from utils.system.files import read_json, write_json

SHIPPED = ROOT / "results_train" / "smollm2-135m-ecf"
FIRST = "1_emotion_recognition_training"


@pytest.fixture
def run(tmp_path):
    """The records of the shipped run, without weights."""
    folder = tmp_path / "results_train" / "mine"
    for task in ("emotion", "cause"):
        (folder / "adapters" / task).mkdir(parents=True)
        shutil.copy(SHIPPED / "adapters" / task / "training.json", folder / "adapters" / task)
    for name in ("config.json", "metrics.json"):
        shutil.copy(SHIPPED / name, folder)
    return folder


@pytest.mark.parametrize("task", ["emotion", "cause"])
def test_the_cards_that_ship_are_those_that_the_code_writes(task):
    folder = SHIPPED / "adapters" / task
    assert card(folder) == (folder / "README.md").read_text(encoding="utf-8")


def test_facts_are_what_the_run_recorded(run):
    metrics, first = read_scores(run), read_json(run / "config.json")[FIRST]
    emotion, cause = (facts(run / "adapters" / task) for task in ("emotion", "cause"))
    assert (emotion.base, emotion.base_licence) == ("HuggingFaceTB/SmolLM2-135M-Instruct", "Apache-2.0")
    assert emotion.fingerprint == first["input"]["train"] and emotion.versions == first["versions"]
    assert emotion.text_epochs == first["parameters"]["text_epochs"] == 2 and emotion.unlabelled
    assert emotion.seen == read_json(run / "adapters/emotion/training.json")["emotions"]
    assert emotion.figures["macro F1"] == metrics["emotions"]["fine-tuned"]["macro_f1"]
    assert cause.figures["pairs F1"] == metrics["pairs"]["fine-tuned emotions and causes"]["scores"]["f1_pair"]
    assert cause.text_epochs == 0 and set(cause.structure) == {"revision", "scikit-learn"} and emotion.structure is None
    assert emotion.scored == sum(u["support"] for u in metrics["emotions"]["fine-tuned"]["per_emotion"].values())


def test_without_scores_there_are_no_figures(run):
    (run / "metrics.json").unlink()
    found = facts(run / "adapters" / "cause")
    assert (found.figures, found.table, found.scored_at, found.scored) == ({}, None, None, 0)


def without(*keys):
    def change(data):
        for key in keys[:-1]:
            data = data[key]
        del data[keys[-1]]

    return change


def instead(value, *keys):
    def change(data):
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("adapters/emotion/training.json", without("revision"), "KeyError: 'revision'"),
        ("adapters/emotion/training.json", without("parameters"), "KeyError: 'parameters'"),
        ("adapters/emotion/training.json", instead([1, 2], "emotions"), "AttributeError"),
        ("adapters/emotion/training.json", instead("many", "emotions", "joy"), "ValueError"),
        ("adapters/emotion/training.json", instead({"revision": "a"}, "structure"), "KeyError: 'scikit-learn'"),
        ("config.json", dict.clear, "IndexError"),
        ("config.json", without(FIRST, "versions"), "KeyError: 'versions'"),
        ("config.json", without(FIRST, "input"), "KeyError: 'input'"),
        ("config.json", instead(7, FIRST, "parameters"), "must hold parameters"),
        ("config.json", without("4_cause_inference", "revision"), "KeyError: 'revision'"),
        ("metrics.json", without("emotions", "fine-tuned", "accuracy"), "KeyError: 'accuracy'"),
        ("metrics.json", instead("high", "emotions", "fine-tuned", "accuracy"), "ValueError"),
        ("metrics.json", without("pairs", "gold emotions + rule", "scores"), "KeyError: 'scores'"),
        ("metrics.json", instead([], "pairs"), "AttributeError"),
    ],
)
def test_a_damaged_record_ends_in_one_message_that_names_the_files(run, capsys, file, change, says):
    data = read_json(run / file)
    change(data)
    write_json(data, run / file)
    with pytest.raises(FileError, match=f"{file.split('/')[-1]}.*damaged.*Restore the file") as seen:
        facts(run / "adapters" / "emotion")
    assert says in str(seen.value)
    assert main([str(run)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("utils.card: ") and captured.err.count("\n") == 1 and "damaged" in captured.err
    assert not (run / "adapters" / "emotion" / "README.md").exists()


def test_a_parameter_that_cannot_be_is_named(run):
    record = read_json(run / "adapters/emotion/training.json")
    record["parameters"]["seed"] = "x"
    write_json(record, run / "adapters/emotion/training.json")
    notebooks = read_json(run / "config.json")
    notebooks[FIRST]["parameters"].pop("seed")
    write_json(notebooks, run / "config.json")
    with pytest.raises(ValueError, match="parameter seed is 'x'"):
        facts(run / "adapters" / "emotion")
    assert main([str(run)]) == 2


def test_a_parameter_of_the_default_is_recorded_as_it_was(run):
    assert facts(run / "adapters" / "emotion").parameters["quantization"] == "none" != Config.quantization
