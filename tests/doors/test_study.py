"""A study: its runs, what is kept, what is refused, and its outcome. The runs are imitated but in the last test: they
leave the files of notebooks 1 and 2, with labels that depend on row, seed and fold.

python -m pytest tests/doors/test_study.py
"""

import json
import random
import re

import numpy as np
import pytest
import yaml
from helpers import beginning, run_in, tables_of
from safetensors.numpy import save_file
from sklearn.metrics import accuracy_score, f1_score

from utils import study as door
from utils.config import Config
from utils.data.conversations import load_conversations, with_emotions, with_pairs
from utils.data.labels import ECF
from utils.record.predictions import gold_of, read_predictions
from utils.record.run import Run
from utils.record.study_file import read_study
from utils.record.verify import is_equal, verify
from utils.report import bootstrap
from utils.report.study import study_table
from utils.study import main, run_study
from utils.system import places
from utils.system.errors import ChainError
from utils.system.files import read_json, write_json

NAMES = [name for name in Config().as_dict() if not name.startswith("cause")]


def labelled(conversations, seed, right=0.7):
    """The conversations with their emotions, of which 1 - `right` are by chance."""
    chance = random.Random(seed)
    return [
        with_emotions(
            c, [u["emotion"] if chance.random() < right else chance.choice(ECF.labels) for u in c["conversation"]]
        )
        for c in conversations
    ]


@pytest.fixture
def root(tmp_path, sample, monkeypatch):
    """A folder with an input; runs there are imitated."""
    for split, some in (("train", sample[:30]), ("val", sample[30:34]), ("test", sample[34:44])):
        write_json(some, tmp_path / "input" / split / "conversations.json")
    ran = []

    def imitated(work, logs, jobs, preload):
        for name, (_, (notebooks, parameters)) in work.items():
            assert [one[0] for one in notebooks] == ["1", "2"], "the emotion half"
            if parameters.get("lora_r") == 13:
                raise ChainError(f"{name} failed: an unlucky number (what it printed: {logs[name]})")
            run = Run(Config.of(parameters), notebooks[-1], NAMES, root=tmp_path)
            test = run.conversations("test", labelled=True)
            found = labelled(test, name, right=min(1, parameters.get("lora_r", 16) / 20))
            run.save_emotions(run.train_dir, found, tables_of(found)[0])
            run.score_emotions(test, {"fine-tuned": (found, tables_of(found)[0])})
            if "lora_targets" in parameters:
                adapter = run.adapter("emotion")
                adapter.mkdir(parents=True)
                save_file({"w": np.zeros((parameters["lora_r"], 5))}, adapter / "adapter_model.safetensors")
                write_json({"history": [{"loss": 1.0}, {"train_runtime": 90.0}]}, adapter / "training.json")
            ran.append(name)
            yield name, 60.0

    monkeypatch.setattr(door, "side_by_side", imitated)
    monkeypatch.setattr(bootstrap, "DRAWS", 200)
    monkeypatch.setattr(places, "find", lambda: places.Place("here", tmp_path))
    RAN[tmp_path] = ran
    return tmp_path


RAN = {}  # {root: the runs that were made there}


def ran(root):
    """What has run since the last time."""
    found = list(RAN[root])
    RAN[root].clear()
    return found


def write(root, **given):
    path = root / "mine.yaml"
    path.write_text(yaml.safe_dump({"tasks": ["emotion"], **given}, sort_keys=False))
    return path


def test_rows_and_seeds_become_runs_and_a_table(root, capsys):
    path = write(root, vary={"lora_r": [8, 16]}, seeds=[1, 2])
    assert main([str(path)]) == 0
    runs = [f"mine-lora-r-{r}-seed-{seed}" for r in (8, 16) for seed in (1, 2)]
    assert ran(root) == runs
    folder = root / "results_train" / "mine"
    record = read_json(folder / "study.json")
    assert (folder / "table.md").read_text() == study_table(record) and (folder / "plot.png").stat().st_size > 5000
    assert [one["run"] for one in record["runs"]] == runs and record["measure"] == "weighted_f1"
    printed = capsys.readouterr().out
    assert study_table(record) in printed and "4 of 4 runs" in printed and "1 min 0 s left" in printed
    # the figures are those of the predictions
    for one in record["runs"]:
        run = root / "results_train" / one["run"]
        gold = gold_of(run, root)
        found = read_predictions(run, gold, causes=False)
        y = [[u["emotion"] for c in some for u in c["conversation"]] for some in (gold, found)]
        assert one["figures"]["test"]["accuracy"] == pytest.approx(accuracy_score(*y))
        assert one["figures"]["test"]["macro_f1"] == pytest.approx(f1_score(*y, labels=ECF.labels, average="macro"))
        assert all(is_equal(*both) for both in verify(run, root).figures.values())
    values = [one["figures"]["test"]["weighted_f1"] for one in record["runs"]]
    mean, deviation = record["rows"]["lora_r 16"]["figures"]["test"]["weighted_f1"]
    assert mean == pytest.approx((values[2] + values[3]) / 2)
    assert deviation == pytest.approx(abs(values[2] - values[3]) / 2**0.5)
    less = record["rows"]["lora_r 16"]["less the first"]["test"]
    assert less["difference"] == pytest.approx(mean - (values[0] + values[1]) / 2) and less["share_above_zero"] > 0.9
    assert "| lora_r 16 | 2 | " in (folder / "table.md").read_text()


def test_adapters_of_other_sizes_have_columns_for_that(root):
    rows = {name: {"lora_r": rank, "lora_targets": "q_proj"} for name, rank in (("a", 8), ("b", 4))}
    assert main([str(write(root, rows=rows, seeds=[1, 2]))]) == 0
    table = (root / "results_train" / "mine" / "table.md").read_text()
    assert "|  | runs | trained numbers | minutes of training | accuracy |" in table
    assert "| a | 2 | 40 | 1.5 | 0." in table and "| b | 2 | 20 | 1.5 | 0." in table


def test_finished_runs_are_kept_and_more_can_be_asked_for(root, capsys):
    assert main([str(write(root, rows={"a": {}, "b": {"lora_r": 8}}))]) == 0
    assert ran(root) == ["mine-a", "mine-b"]
    assert main([str(write(root, rows={"a": {}, "c": {"lora_r": 4}}, seeds=[42]))]) == 0
    assert ran(root) == ["mine-c"] and "1 of 2 runs are finished already" in capsys.readouterr().out
    assert main([str(write(root, rows={"a": {}, "b": {"lora_r": 8}}))]) == 0
    assert ran(root) == [], "a row that was out of the file for a while"
    (root / "results_train" / "mine-b" / "predictions.jsonl").unlink()
    assert main([str(write(root, rows={"a": {}, "b": {"lora_r": 8}}))]) == 0
    assert ran(root) == ["mine-b"]


@pytest.mark.parametrize(
    "given, says",
    [
        ({"rows": {"a": {"lora_r": 8}}}, "lora_r was None in mine-a, and is 8 now"),
        ({"rows": {"a": {}}, "parameters": {"emotion_epochs": 2}}, "emotion_epochs was None"),
        ({"rows": {"a": {}}, "tasks": ["emotion", "cause"]}, r"tasks was \['emotion'\]"),
    ],
)
def test_a_changed_file_over_finished_runs_is_refused_and_nothing_is_lost(root, capsys, given, says):
    assert main([str(write(root, rows={"a": {}}))]) == 0
    before = {path: path.read_bytes() for path in (root / "results_train").rglob("*.json*")}
    assert main([str(write(root, **given))]) == 2
    error = capsys.readouterr().err
    assert re.search(says, error) and "Give the study another name" in error and error.count("\n") == 1
    assert before == {path: path.read_bytes() for path in (root / "results_train").rglob("*.json*")}


def test_all_rows_learn_from_a_sample_of_train(root):
    record = run_study(read_study(write(root, parameters={"samples": 12}, vary={"lora_r": [8, 16]}, seeds=[1, 2])))
    folders = [root / one["parameters"]["input_dir"] for one in record["runs"]]
    trains = [[c["conversation_ID"] for c in read_json(f / "train" / "conversations.json")] for f in folders]
    assert [len(one) for one in trains] == [12] * 4
    assert trains[:2] == trains[2:] and trains[0] != trains[1], "the seed draws the sample, the row does not"


def test_another_input_is_another_study(root, capsys, sample):
    assert main([str(write(root, rows={"a": {}}))]) == 0
    write_json(sample[44:48], root / "input" / "test" / "conversations.json")
    assert main([str(write(root, rows={"a": {}}))]) == 2
    assert "input test was" in capsys.readouterr().err


def test_a_run_that_fails_is_named_and_finished_ones_stay(root, capsys):
    path = write(root, rows={"a": {}, "bad": {"lora_r": 13}, "c": {}})
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert "mine-bad failed: an unlucky number" in error and "mine-bad/study.log" in error
    assert ran(root) == ["mine-a"] and not (root / "results_train" / "mine" / "study.json").exists()
    assert main([str(write(root, rows={"a": {}, "bad": {"lora_r": 13}, "c": {}}))]) == 2
    assert ran(root) == []


def test_folds_hold_every_conversation_out_once_and_test_is_scored_by_each_and_together(root):
    record = run_study(read_study(write(root, folds=3, group="block", seeds=[1, 2])))
    assert len(ran(root)) == 6
    train = load_conversations(root / "input" / "train")
    test = load_conversations(root / "input" / "test")
    held = []
    for k in (1, 2, 3):
        fold = root / f"results_train/mine/folds/input-{k}"
        mine = {split: load_conversations(fold / split) for split in ("train", "val", "test")}
        part = mine["test"][: -len(test)]
        held += part
        assert mine["test"][-len(test) :] == test and mine["val"] == load_conversations(root / "input" / "val")
        assert sorted(c["conversation_ID"] for c in mine["train"] + part) == [c["conversation_ID"] for c in train]
    assert held == train
    figures = record["rows"]["default"]["figures"]
    assert [*figures] == ["held-out folds", "test", "test, folds averaged"]
    # three imitated models that err by chance are better together
    assert figures["test, folds averaged"]["accuracy"][0] > figures["test"]["accuracy"][0] + 0.02
    assert "6 runs of emotion, seeds 1, 2, 3 folds by block" in study_table(record)


def test_folds_without_a_test_are_scored_alone(root):
    write_json([], root / "input" / "test" / "conversations.json")
    record = run_study(read_study(write(root, folds=2)))
    assert [*record["rows"]["default"]["figures"]] == ["held-out folds"]


def test_what_a_fold_lacks_is_said(root, capsys, sample):
    calm = [with_pairs(with_emotions(c, ["neutral"] * len(c["conversation"])), []) for c in sample[:20]]
    write_json(sample[20:30] + calm, root / "input" / "train" / "conversations.json")
    record = run_study(read_study(write(root, folds=3, group="block")))
    missing = [label for label in ECF if label != "neutral"]
    note = f"input-1: no held-out utterance carries {', '.join(missing)}"
    assert note in record["notes"] and note in capsys.readouterr().out
    assert f"- {note}" in study_table(record)


def test_folds_that_are_far_from_even_are_said(root, sample):
    alone = [{**c, "kind": "b" if k == 0 else "a"} for k, c in enumerate(sample[:20])]
    write_json(alone, root / "input" / "train" / "conversations.json")
    record = run_study(read_study(write(root, folds=2, group="kind")))
    assert "input-2: 1 of 20 conversations are held out, far from even" in record["notes"]


@pytest.mark.parametrize(
    "given, says",
    [
        ({"folds": 31}, "30 conversations cannot be split into 31 folds"),
        ({"folds": 2, "group": "sesion"}, "there is no field 'sesion'"),
        (
            {"parameters": {"input_dir": "nowhere"}},
            "nowhere/train/conversations.json is missing: run generate_input.py",
        ),
    ],
)
def test_an_input_that_does_not_do_is_refused_before_anything_runs(root, capsys, given, says):
    assert main([str(write(root, **given))]) == 2
    assert says in capsys.readouterr().err and ran(root) == []


def test_baselines_are_rows_beside_the_trained_ones(root, capsys, sample):
    path = write(root, rows={"a": {}}, folds=2, baselines=["majority", "neighbours", "zero-shot"])
    assert main([str(path)]) == 2 and "zero_shot_emotions.json" in capsys.readouterr().err, "the imitated runs lack it"
    for k in (1, 2):
        run = root / "results_train" / f"mine-a-fold-{k}"
        found = labelled(gold_of(run, root), 1, right=0.0)
        write_json(found, run / "zero_shot_emotions.json")
        write_json(tables_of(found)[0], run / "zero_shot_emotions_probabilities.json")
    record = run_study(read_study(path))
    rows = record["rows"]
    assert [*rows] == ["a", "majority", "neighbours", "zero-shot"] and len(record["runs"]) == 2
    for name in ("majority", "neighbours", "zero-shot"):
        assert [*rows[name]["figures"]] == ["held-out folds", "test"] and rows[name]["runs"] == 2
        assert rows[name]["less the first"]["test"]["difference"] < 0
    test = load_conversations(root / "input" / "test")
    emotions = [u["emotion"] for c in test for u in c["conversation"]]
    share = emotions.count("neutral") / len(emotions)
    assert rows["majority"]["figures"]["test"]["accuracy"] == [pytest.approx(share), pytest.approx(0)]


def test_each_model_among_the_rows_has_a_row_untrained(root, capsys):
    rows = {"a": {"model": "small"}, "b": {"model": "small", "lora_r": 8}, "c": {"model": "large"}}
    path = write(root, rows=rows, baselines=["majority", "zero-shot"])
    assert main([str(path)]) == 2 and "zero_shot_emotions.json" in capsys.readouterr().err, "the imitated runs lack it"
    for row, right in (("a", 0.0), ("c", 1.0)):
        run = root / "results_train" / f"mine-{row}"
        found = labelled(gold_of(run, root), 1, right=right)
        write_json(found, run / "zero_shot_emotions.json")
        write_json(tables_of(found)[0], run / "zero_shot_emotions_probabilities.json")
    record = run_study(read_study(path))
    assert [*record["rows"]] == ["a", "b", "c", "majority", "zero-shot, model small", "zero-shot, model large"]
    untrained = [record["rows"][f"zero-shot, model {one}"]["figures"]["test"] for one in ("small", "large")]
    small, large = (figures["accuracy"][0] for figures in untrained)
    assert small < large == 1.0 and "| zero-shot, model large | 1 | 1.000 |" in study_table(record)


def test_rows_on_other_data_are_not_compared(root, sample):
    for split, some in (("train", sample[:5]), ("test", sample[5:9])):
        write_json(some, root / "other" / split / "conversations.json")
    record = run_study(read_study(write(root, rows={"a": {}, "b": {"input_dir": "other"}})))
    assert record["rows"]["b"]["less the first"] == {"test": None} and "less the first" not in study_table(record)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cell_is_the_run_that_the_chain_makes(copy, tiny_model_folder, conversations):
    """Both halves, two at a time; and verify reads every cell."""
    few = [beginning(c, 4) for c in conversations]
    for split in ("train", "val", "test"):
        write_json(few, copy / "few" / split / "conversations.json")
    parameters = {"model": tiny_model_folder, "precision": "float32", "input_dir": "few", "cause_threshold": 0.02}
    parameters |= {"gradient_accumulation": 1, "token_budget": 64, "emotion_epochs": 2, "cause_epochs": 2}
    study = {"name": "whole", "parameters": parameters, "vary": {"lora_r": [4, 8]}, "jobs": 2}
    (copy / "whole.yaml").write_text(yaml.safe_dump(study))
    done = run_in(copy, "-m", "utils.study", "whole.yaml", timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((copy / "results_train/whole/study.json").read_text())["tasks"] == ["emotion", "cause"]
    (copy / "chain.yaml").write_text(yaml.safe_dump({**parameters, "lora_r": 4, "run_name": "chained"}))
    chained = run_in(copy, "-m", "utils.chain", "chain.yaml", timeout=400)
    assert chained.returncode == 0, chained.stderr[-3000:]
    lines = [(copy / f"results_train/{run}/predictions.jsonl").read_bytes() for run in ("whole-lora-r-4", "chained")]
    assert lines[0] == lines[1] and lines[0].count(b"cause_probabilities") == 3
    for r in (4, 8):
        found = verify(copy / f"results_train/whole-lora-r-{r}", copy)
        assert found.figures and all(is_equal(*both) for both in found.figures.values())
