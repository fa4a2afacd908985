"""A search: a space that is checked, trials on val alone, the same ones after an interruption, the best run again.

python -m pytest tests/record/test_search.py
"""

import json
import sys

import pytest
from helpers import tables_of

from utils import study as door
from utils.config import Config
from utils.data.conversations import load_conversations, with_emotions
from utils.record.run import Run
from utils.record.search_space import read_search
from utils.record.study_file import read_study
from utils.report import bootstrap
from utils.report.study import study_table
from utils.study import main, run_study
from utils.system import places
from utils.system.errors import ConfigError
from utils.system.files import write_json

NAMES = [name for name in Config().as_dict() if not name.startswith("cause")]
SPACE = {"emotion_learning_rate": {"low": "1e-4", "high": 0.01, "log": True}, "lora_r": [4, 8, 16]}


@pytest.fixture
def root(tmp_path, sample, monkeypatch):
    """A folder with an input; a run's labels there are the better, the nearer its learning rate is to 0.003."""
    for split, some in (("train", sample[:8]), ("val", sample[8:20]), ("test", sample[20:30])):
        write_json(some, tmp_path / "input" / split / "conversations.json")

    def imitated(work, logs, jobs, preload):
        for name, (_, (notebooks, parameters)) in work.items():
            if stop and len(ran) == stop[0]:
                raise KeyboardInterrupt
            run = Run(Config.of(parameters), notebooks[-1], NAMES, root=tmp_path)
            scored = run.conversations("test", labelled=True)
            wrong = abs(parameters.get("emotion_learning_rate", 0.001) - 0.003) * 100
            found = []
            for k, c in enumerate(scored):
                emotions = [u["emotion"] for u in c["conversation"]]
                found.append(with_emotions(c, ["fear"] * len(emotions) if k < wrong * len(scored) else emotions))
            run.save_emotions(run.train_dir, found, tables_of(found)[0])
            run.score_emotions(scored, {"fine-tuned": (found, tables_of(found)[0])})
            ran.append((name, parameters["input_dir"] if "input_dir" in parameters else "input"))
            yield name, 1.0

    ran, stop = [], []
    monkeypatch.setattr(door, "side_by_side", imitated)
    monkeypatch.setattr(bootstrap, "DRAWS", 200)
    monkeypatch.setattr(places, "find", lambda: places.Place("here", tmp_path))
    RAN[tmp_path] = ran, stop
    return tmp_path


RAN = {}  # {root: (the runs that were made there, [after how many it is interrupted])}


def write(root, name="mine", **search):
    given = {"trials": 6, "space": SPACE, **search}
    path = root / f"{name}.yaml"
    path.write_text(json.dumps({"tasks": ["emotion"], "measure": "accuracy", "search": given, "seeds": [1, 2]}))
    return path


def test_trials_are_scored_on_val_and_the_best_is_run_on_test(root):
    pytest.importorskip("optuna")
    record = run_study(read_study(write(root)))
    ran = RAN[root][0]
    trials = [one for one in ran if "-trial-" in one[0] and "-best-" not in one[0]]
    assert len(trials) == 12 and {folder for _, folder in trials} == {"results_train/mine/folds/input-val"}
    folds = root / "results_train/mine/folds/input-val"
    assert load_conversations(folds / "test") == load_conversations(root / "input" / "val")
    texts = json.dumps([load_conversations(path) for path in folds.iterdir()])
    for c in load_conversations(root / "input" / "test"):
        assert json.dumps(c["conversation"]) not in texts, "the search never sees test"
    search = record["search"]
    assert len(search["trials"]) == 6 and [one["seeds"] for one in search["trials"]] == [2] * 6
    best = max(search["trials"], key=lambda one: one["accuracy"])
    assert search["best"] == best["parameters"] and search["trials"][search["best trial"] - 1] == best
    assert all(1e-4 <= one["parameters"]["emotion_learning_rate"] <= 0.01 for one in search["trials"])
    rows = record["rows"]
    assert [*rows] == ["as given", f"best, trial {search['best trial']}"]
    assert {folder for name, folder in ran if (name, folder) not in trials} == {"input"}
    table = study_table(record)
    assert "6 trials by tpe, pruner none" in table and "accuracy on val" in table
    assert table.index(f"| trial {search['best trial']} |") == min(table.index(f"| trial {k} |") for k in range(1, 7))


def test_an_interrupted_search_ends_as_an_undisturbed_one(root):
    pytest.importorskip("optuna")
    whole = run_study(read_study(write(root, "whole")))["search"]["trials"]
    ran, stop = RAN[root]
    ran.clear()
    stop.append(5)  # in the middle of the third trial
    with pytest.raises(KeyboardInterrupt):
        run_study(read_study(write(root)))
    assert len(ran) == 5
    stop.clear()
    assert run_study(read_study(write(root)))["search"]["trials"] == whole
    assert len({name for name, _ in ran}) == len(ran), "nothing was run twice"
    ran.clear()
    more = run_study(read_study(write(root, trials=8)))["search"]["trials"]
    assert more[:6] == whole and len(more) == 8


def test_a_pruned_trial_is_not_run_with_the_next_seeds_and_cannot_be_the_best(root):
    pytest.importorskip("optuna")
    record = run_study(read_study(write(root, trials=14, pruner="median", sampler="random")))
    seeds = [one["seeds"] for one in record["search"]["trials"]]
    assert len(seeds) == 14 and {1, 2} == set(seeds)
    assert record["search"]["trials"][record["search"]["best trial"] - 1]["seeds"] == 2


def test_trials_of_another_search_are_refused(root, capsys):
    pytest.importorskip("optuna")
    assert main([str(write(root, trials=2))]) == 0
    assert main([str(write(root, trials=2, space={"lora_r": [4, 8]}))]) == 2
    error = capsys.readouterr().err
    assert "trials of another search: space was" in error and "Give the study another name" in error


def test_without_val_nothing_can_be_searched(root, capsys):
    pytest.importorskip("optuna")
    write_json([], root / "input" / "val" / "conversations.json")
    assert main([str(write(root))]) == 2 and "a search chooses on val" in capsys.readouterr().err


def test_without_optuna_a_message_says_what_to_install(root, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main([str(write(root))]) == 2
    assert "pip install optuna" in capsys.readouterr().err and RAN[root][0] == []


def test_numbers_that_yaml_leaves_text_are_numbers():
    search = read_search({"trials": 3, "space": SPACE}, {}, "mine.yaml")
    assert search.space["emotion_learning_rate"] == {"low": 1e-4, "high": 0.01, "log": True}
    assert (search.sampler, search.pruner, search.trials) == ("tpe", "none", 3)


@pytest.mark.parametrize(
    "given, says",
    [
        ({"space": SPACE}, "write how many trials"),
        ({"trials": 0, "space": SPACE}, "trials is 0"),
        ({"trials": 3, "space": {}}, "space is {}"),
        ({"trials": 3, "space": {"lorar": [1, 2]}}, "unknown parameter 'lorar'; did you mean lora_r?"),
        ({"trials": 3, "space": {"lora_r": [4]}}, "write a list of different"),
        ({"trials": 3, "space": {"lora_targets": [["q_proj"], ["v_proj"]]}}, "write a list of different words or numb"),
        ({"trials": 3, "space": {"lora_r": [4, 0]}}, "parameter lora_r is 0; it must be above zero"),
        ({"trials": 3, "space": {"lora_r": {"low": 8, "high": 4}}}, "low must be below high"),
        ({"trials": 3, "space": {"lora_r": {"low": 4, "high": 8, "stp": 1}}}, "write a list of different"),
        (
            {"trials": 3, "space": {"lora_dropout": {"low": 0, "high": 0.5, "log": True}}},
            "log needs numbers above zero",
        ),
        ({"trials": 3, "space": {"lora_dropout": {"low": 0.1, "high": 2}}}, "lora_dropout is 2.0"),
        ({"trials": 3, "space": SPACE, "sampler": "grid"}, "sampler is 'grid'; choose one of tpe, random"),
        ({"trials": 3, "space": SPACE, "samplers": "tpe"}, "did you mean sampler?"),
    ],
)
def test_a_fault_in_a_search_is_one_message(given, says):
    with pytest.raises(ConfigError, match=says) as found:
        read_search(given, {}, "mine.yaml")
    assert "mine.yaml, search" in str(found.value) and "\n" not in str(found.value)


def test_a_search_has_one_row(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({"folds": 2, "search": {"trials": 2, "space": SPACE}}))
    with pytest.raises(ConfigError, match="search has one row and no folds"):
        read_study(path)
