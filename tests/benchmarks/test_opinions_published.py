"""The table of published opinions: baselines with and without the texts that train repeats, and a study's figures.

python -m pytest tests/benchmarks/test_opinions_published.py
"""

import csv

import numpy as np
import pytest
from helpers import called

from benchmarks.accuracy import opinions_published as published
from utils.models import sentences
from utils.system.files import read_json, write_json

SAID = {"regression": [-2, -1, 0, 1, 2], "binary": [0, 1, 1, 1, 0]}


@pytest.fixture
def tweets(tmp_path):
    """The files of all topics: a text of gun control's test stands in train, with another label."""
    for name in published.TOPICS:
        for task_type, labels in SAID.items():
            for split, times in (("train", 4), ("validate", 1), ("test", 1)):
                rows = [(f"{split} {word} {k}", label) for k in range(times) for word, label in zip("vwxyz", labels)]
                rows += [("Seen before!", 1)] * (name == "gun" and split == "train")
                rows += [("RT @me seen before", 0)] * (name == "gun" and split == "test")
                with (tmp_path / f"{name}-{task_type}-{split}.csv").open("w", newline="") as file:
                    csv.writer(file).writerows([("text", "label"), *rows])
    return tmp_path


def test_baselines_stand_beside_what_was_published(tweets, tiny_model_folder, monkeypatch):
    monkeypatch.setattr(sentences, "packaged", lambda: tiny_model_folder)
    monkeypatch.setattr(published, "ROOT", tweets)
    rows = {"sequence": 0.5, "generation": 0.25}
    rows = {name: {"figures": {"test": {"rmse": [value, 0.0]}}} for name, value in rows.items()}
    write_json({"rows": rows}, tweets / "results_train" / "opinions-gun-control" / "study.json")
    assert called(published.main, "--data", tweets, "--result", tweets / "result.json")[0] == 0
    record = read_json(tweets / "result.json")
    ways = record["tweets"]["regression"]["gun"]
    assert {way: (one["train"], one["test"], one["repeated"]) for way, one in ways.items()} == {
        "as published": (21, 6, 1),
        "repeated left out of train": (20, 6, 0),
    }
    wanted = np.sqrt(np.mean(np.square([-2, -1, 0, 1, 2, 0])))  # the mean of train without that text is 0
    assert ways["repeated left out of train"]["majority"] == pytest.approx(wanted)
    assert [*record["tweets"]["binary"]["climate"]] == ["as published"], "nothing is repeated there"
    lines = published.table(record).splitlines()
    assert len(lines) == 2 + 6 + 2 and lines[2].endswith("| 0.950; 0.974; - | -; -; - |")
    assert lines[-2].endswith("| 0.980; 0.745; 1.217 | -; -; - |"), "ours learnt without the repeated texts"
    assert lines[-1].startswith("| gun, RMSE | 6 | 0 |") and lines[-1].endswith("| -; -; - | 0.500; 0.250; - |")


def test_without_the_sentence_encoder_its_column_is_left_out(tweets, monkeypatch):
    monkeypatch.setattr(sentences, "packaged", lambda: None)
    assert called(published.main, "--data", tweets, "--result", tweets / "result.json")[0] == 0
    head = published.table(read_json(tweets / "result.json")).splitlines()[0]
    assert "| nearest neighbours | published |" in head
