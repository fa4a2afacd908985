"""The speed of many questions in one pass: both ways ask the same, and the table says what was measured.

python -m pytest tests/benchmarks/test_shared_passes.py
"""

import pytest
from helpers import called

from benchmarks.speed import wordings
from utils.engine.branches import merged
from utils.system.files import read_json
from utils.tasks import emotion_multi


def test_the_labels_questions_together_are_the_tree_of_several_labels(conversations):
    whole = emotion_multi.tree(conversations[0])
    assert merged(wordings.a_label_each(conversations[0]))[0] == whole


@pytest.mark.parametrize("task", ["emotion", "cause"])
def test_ten_wordings_differ(conversations, task):
    trees = wordings.in_ten_wordings(task, conversations[0])
    assert len(trees) == 10 and all(one != other for one, other in zip(trees, trees[1:]))


def test_both_ways_give_the_same_scores_and_the_table_has_their_ratio(tiny_model_folder, tmp_path):
    out = tmp_path / "w.json"
    asked = ("--conversations", 2, "--runs", 1, "--model", tiny_model_folder, "--result", out)
    assert called(wordings.main, *asked)[0] == 0
    record = read_json(out)
    assert [*record["questions"]] == [*wordings.QUESTIONS] and record["conversations"] == 2
    for one in record["questions"].values():
        assert one["difference"] < 1e-3 and one["tokens"]["one pass"] < one["tokens"]["a pass each"]
        seconds = one["seconds"]
        assert one["ratio"] == seconds["a pass each"]["median"] / seconds["one pass"]["median"]
    assert wordings.table(record).count("\n") == 4
