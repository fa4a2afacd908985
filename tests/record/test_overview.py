"""The table of runs: what differs, scores, minutes.

python -m pytest tests/record/test_overview.py
"""

import json

import pytest
from filelock import FileLock
from helpers import called

from utils.config import Config
from utils.record.lock import release
from utils.record.overview import overview, overview_table
from utils.record.run import Run
from utils.report.scores import RESULT
from utils.runs import main
from utils.system import places
from utils.system.errors import RunError
from utils.system.files import write_json


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Two runs, the first of them scored, and a system of both."""
    monkeypatch.setattr(places, "ROOT", tmp_path)
    monkeypatch.setattr(places, "find", lambda: places.Place("here", tmp_path))
    for name, seed, targets in (("one", 42, "all-linear"), ("two", 7, ["q_proj", "v_proj"])):
        config = Config(run_name=name, seed=seed, lora_r=8, lora_targets=targets, quantization="none")
        run = Run(config, "1_emotion_recognition_training", ["run_name", "seed", "lora_r", "lora_targets"], tmp_path)
        run.finish_adapter("emotion", [{"loss": 1.0}, {"train_runtime": 90.0}], {}, of_text=[{"train_runtime": 30.0}])
    made = {"1_emotion": {"seconds": 60.0}, "2_emotion": {"seconds": 120.0}}
    scores = {
        "emotions": {"fine-tuned": {"weighted_f1": 0.61415}},
        "pairs": {RESULT: {"scores": {"weighted_f1": 0.37}}},
    }
    write_json({"version": 2, **scores, "made": made}, tmp_path / "results_train" / "one" / "metrics.json")
    write_json(
        {"utils.ensemble": {"parameters": {"runs": ["one", "two"]}}}, tmp_path / "results_train/both/config.json"
    )
    return tmp_path


def test_runs_stand_side_by_side_with_what_differs(root):
    rows = {row["run"]: row for row in overview()}
    assert [*rows] == ["both", "one", "two"]
    assert (rows["one"]["emotions"], rows["one"]["pairs"]) == (0.61415, 0.37)
    assert rows["one"]["minutes"] == 5.0, "90 and 30 s of training, 60 and 120 s of notebooks"
    assert rows["two"]["pairs"] is None and rows["two"]["minutes"] == 2.0 and rows["both"]["minutes"] is None
    assert rows["two"]["parameters"]["lora_r"] == 8
    assert overview_table(overview(["one", "two"])).splitlines()[2:] == [
        "| one | 0.614 | 0.370 | 5 |  |",
        "| two |  |  | 2 | lora_targets q_proj v_proj, seed 7 |",
    ]
    assert "| both |  |  |  | runs one two |" in overview_table(overview())


def test_opinions_have_columns_where_a_run_has_them(root):
    scored = {"fine-tuned": {"labels": {"macro_f1": 0.5}, "scores": {"rmse": 0.75}}}
    write_json({"version": 2, "opinions": scored}, root / "results_train" / "two" / "metrics.json")
    lines = overview_table(overview(["one", "two"])).splitlines()
    assert "| opinions macro F1 | opinions RMSE | minutes |" in lines[0]
    assert lines[2].startswith("| one | 0.614 | 0.370 |  |  | 5 |")
    assert lines[3].startswith("| two |  |  | 0.500 | 0.750 |")
    assert "opinions" not in overview_table(overview(["one"]))


def test_answers_have_columns_where_a_run_has_them(root):
    scored = {"fine-tuned": {"held_out": {"loss": 1.25}, "written": {"rouge_l": 0.5}}}
    write_json({"version": 2, "instructions": scored}, root / "results_train" / "two" / "metrics.json")
    lines = overview_table(overview(["one", "two"])).splitlines()
    assert "| answers' loss | answers' ROUGE-L | minutes |" in lines[0]
    assert lines[3].startswith("| two |  |  | 1.250 | 0.500 |")


def test_a_run_in_which_another_process_works_is_marked(root):
    """The notebook's own lock, and that of a chain between two notebooks."""
    run = root / "results_train" / "one"
    release(run)  # this process has opened it
    for folder in (run, run / "notebooks"):
        folder.mkdir(exist_ok=True)
        with FileLock(folder / ".lock"):
            assert [row["in_progress"] for row in overview(["one", "two"])] == [True, False]
            assert overview_table(overview(["one", "two"])).splitlines()[2].startswith("| one (in progress) | 0.614 |")
    assert not any(row["in_progress"] for row in overview()), "once it has ended"
    assert overview_table(overview(["one"])).splitlines()[2].startswith("| one | 0.614 |")


def test_from_the_command_line(root, capsys):
    assert main(["list", "two"]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == ["| two |  |  | 2 |  |"]
    assert main(["list", "--json", "two", str(root / "results_train" / "one")]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in rows] == ["two", "one"] and rows[0]["parameters"]["seed"] == 7
    assert called(main, "list", "nosuch")[0] == 2


def test_where_there_is_no_run_the_first_one_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "ROOT", tmp_path)
    with pytest.raises(RunError, match="results_train holds no run yet: make run makes one"):
        overview(root=tmp_path)
