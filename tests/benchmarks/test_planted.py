"""The planted signal: vectors that tell as much as they say, and a study that goes on where it stopped.

python -m pytest tests/benchmarks/test_planted.py
"""

import pytest
from helpers import called, nodes

from benchmarks.accuracy import planted
from utils.config import Config
from utils.data.labels import ECF
from utils.system.files import read_json, write_json
from utils.tasks.senses import sensing


def told(stream, conversations):
    """The share of utterances whose vector is nearest to the mean of their own emotion's, and the share by chance."""
    import numpy as np

    utterances = [u for c in conversations for u in c["conversation"]]
    directions = np.random.default_rng(1).normal(size=(7, planted.WIDTH))
    found = [int(((directions - stream.of(u)) ** 2).sum(1).argmin()) for u in utterances]
    return sum(ECF.labels[k] == u["emotion"] for k, u in zip(found, utterances)) / len(utterances)


@pytest.mark.parametrize(("degree", "low", "high"), [(0, 0.2, 0.36), (60, 0.66, 0.8), (100, 0.99, 1.0)])
def test_a_stream_tells_the_gold_emotion_as_often_as_its_degree_says(sample, degree, low, high):
    """Of what is drawn from all labels some is right by chance: 0.28 of the sample."""
    conversations = planted.named(sample)
    assert low < told(planted.planted(conversations, degree, seed=1), conversations) <= high


def test_the_second_reading_alone_has_vectors_where_that_is_asked(sample):
    conversations, config = planted.named(sample[:1]), Config(streams="planted")
    stream, count = planted.planted(conversations, 90, 1), len(conversations[0]["conversation"])
    for reading, wanted in (("both", 2 * count), ("second", count)):
        task = sensing(planted.task_of(config, reading), {"planted": stream})
        tree = task.tree(conversations[0])
        seen = [number for number, node in enumerate(nodes(tree)) if node.vectors]
        assert len(seen) == wanted and (reading == "both") == (seen[0] == 2)
        plain = Config().task("emotion").tree(conversations[0])
        assert [node.text for node in nodes(tree) if node.text] == [node.text for node in nodes(plain)]


def test_the_study_is_written_and_goes_on_where_it_stopped(tiny_model_folder, sample, tmp_path, monkeypatch):
    for split, some in (("train", sample[:6]), ("val", sample[6:9])):
        write_json(some, tmp_path / "data" / split / "conversations.json")
    result = tmp_path / "planted.json"
    command = ["--data", tmp_path / "data", "--conversations", 4, "--asked", 2, "--model", tiny_model_folder]
    command += ["--epochs", 0.5, "--result", result, "--degrees", 0, 90]
    assert called(planted.main, *command)[0] == 0
    runs = read_json(result)["runs"]
    assert [*runs] == ["42"] and [*runs["42"]] == ["text", "0", "90"]
    assert {*runs["42"]["90"]} == {"with", "absent"} and result.with_suffix(".png").is_file()
    measured, measure = [], planted.measure
    monkeypatch.setattr(planted, "measure", lambda *given: measured.append(given[1]) or measure(*given))
    assert called(planted.main, *command, "--seeds", 42, 1)[0] == 0
    again = read_json(result)
    assert measured == [None, 0, 90] and again["runs"]["42"] == runs["42"] and [*again["runs"]] == ["42", "1"]
    assert "| in 90 % |" in planted.table(again) and "±" in planted.table(again)
