"""`python -m utils.runs compare`: the difference between two systems and its interval, as the official metric has it.

python -m pytest tests/doors/test_compare.py
"""

import pytest
from helpers import called, tables_of

from utils import runs
from utils.data.conversations import pairs, with_pairs
from utils.record.predictions import write_predictions
from utils.record.provenance import fingerprints
from utils.report import bootstrap
from utils.report.metrics import pair_scores
from utils.report.scores import system_scores
from utils.system.files import read_json, write_json
from utils.tasks.baselines import rule


@pytest.fixture
def systems(sample, tmp_path, monkeypatch):
    """{name: (folder, predicted)} of two systems on the same conversations, and one on others."""
    monkeypatch.setattr(bootstrap, "DRAWS", 500)
    found = {}
    for name, gold in (("good", sample[:20]), ("poor", sample[:20]), ("elsewhere", sample[20:30])):
        kept = 2 if name == "poor" else None
        predicted = [with_pairs(c, pairs(c)[:kept]) for c in gold]
        folder, data = tmp_path / name, tmp_path / f"input-{name}"
        write_json(gold, data / "test" / "conversations.json")
        write_predictions(folder, predicted, [[[]] * len(c["conversation"]) for c in gold], [{}] * len(gold))
        record = {"parameters": {"input_dir": str(data), "split": "test"}, "input": fingerprints(data)}
        write_json({"utils.ensemble": record}, folder / "config.json")
        write_json(system_scores(gold, predicted, tables_of(predicted)[0]), folder / "metrics.json")
        found[name] = folder, predicted, gold
    return found


def test_two_systems_are_compared_and_one_with_the_rule(systems, tmp_path):
    (good, predicted, gold), (poor, others, _) = systems["good"], systems["poor"]
    out = tmp_path / "found.json"
    assert called(runs.main, "compare", good, poor, "--out", out) == (0, "")
    found = read_json(out)
    scores = [pair_scores(gold, one, 2)["weighted_f1"] for one in (predicted, others)]
    assert found["weighted_f1"] == scores and found["conversations"] == 20
    assert found["difference"] == pytest.approx(scores[0] - scores[1])
    assert found["interval_95"][0] < found["difference"] < found["interval_95"][1]
    assert called(runs.main, "compare", good, "--out", out)[0] == 0
    wanted = scores[0] - pair_scores(gold, [rule(c) for c in predicted], 2)["weighted_f1"]
    assert read_json(out)["difference"] == pytest.approx(wanted)


def test_no_file_is_written_unless_asked_for(systems, capsys):
    before = sorted(systems["good"][0].parent.rglob("*"))
    assert runs.main(["compare", str(systems["good"][0])]) == 0
    assert sorted(systems["good"][0].parent.rglob("*")) == before
    assert "95 % interval from" in capsys.readouterr().out


def test_systems_on_different_conversations_are_not_compared(systems):
    status, message = called(runs.main, "compare", systems["good"][0], systems["elsewhere"][0])
    assert status == 2 and "were scored on different conversations" in message
    status, message = called(runs.main, "compare", "no-such-run")
    assert status == 2 and "no-such-run: no such run" in message and "runs list" in message
