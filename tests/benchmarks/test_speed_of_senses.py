"""The speed of what is heard: both ways give the same, and the tables say what was measured.

python -m pytest tests/benchmarks/test_speed_of_senses.py
"""

import importlib.util

import pytest
from helpers import called, nodes

from benchmarks.accuracy.planted import named
from benchmarks.speed import features, vectors
from utils.config import Config
from utils.engine.prefix_tree import TreeEncoder, paths
from utils.system.files import read_json
from utils.tasks.senses import sensing


@pytest.mark.parametrize("task", vectors.TASKS)
def test_a_path_is_what_its_question_sees(conversations, tokenizer, task):
    items = named([{**c, "conversation_ID": k} for k, c in enumerate(conversations)])
    asked = sensing(Config(streams=["made"]).task(task), {"made": vectors.heard(items)})
    tree, encode = asked.tree(items[0]), TreeEncoder(tokenizer)
    whole, alone = encode(tree, train=False), vectors.alone(tree)
    assert [node.question for one in alone for node in nodes(one) if node.question] == [
        node.question for node in nodes(tree) if node.question
    ]
    for path, answers in zip(alone, whole.answers, strict=True):
        row = encode(path, train=False)
        assert [paths(row, one) for one in row.answers[0]] == [paths(whole, one) for one in answers]
        assert len(row.vectors) == sum(index <= answers[0][0][0] <= whole.last[index] for index, _ in whole.vectors)


def test_both_ways_give_the_same_scores_and_the_table_has_their_ratio(tiny_model_folder, tmp_path):
    out = tmp_path / "v.json"
    asked = ("--conversations", 1, "--runs", 1, "--model", tiny_model_folder, "--result", out)
    assert called(vectors.main, *asked)[0] == 0
    record = read_json(out)
    assert [*record["tasks"]] == [*vectors.TASKS] and record["conversations"] == 1
    for one in record["tasks"].values():
        assert one["difference"] < 1e-3 and one["tokens"]["one pass"] < one["tokens"]["a sequence each"]
        for phase in vectors.PHASES:
            seconds = one[phase]["seconds"]
            assert one[phase]["ratio"] == seconds["a sequence each"]["median"] / seconds["one pass"]["median"]
    assert vectors.table(record).count("\n") == 5


@pytest.mark.skipif(
    any(importlib.util.find_spec(one) is None for one in ("av", "espeakng_loader")), reason="needs PyAV and eSpeak NG"
)
def test_all_ways_make_the_same_vectors(tmp_path):
    out = tmp_path / "f.json"
    assert called(features.main, "--clips", 2, "--runs", 1, "--result", out)[0] == 0
    record = read_json(out)
    assert [*record["seconds"]] == [*features.WAYS] and record["clips"] == 2 and record["seconds_of_sound"] > 1
    assert features.table(record).splitlines()[2].startswith("| plain loop | ")
