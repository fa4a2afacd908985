"""Adapters on disk: which of them label, and what they are used with.

python -m pytest tests/record/test_adapter.py
"""

from pathlib import Path

import pytest

from utils.record.adapter import adapter_folder, choose_adapters, configs_of, said_of, trained_with
from utils.record.predictions import SHIPPED
from utils.system import places
from utils.system.errors import ConfigError, ModelError, RunError
from utils.system.files import write_json


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """The folder of results_train/ with the run that ships, an old one without records of tasks, and a new one with an
    emotion adapter alone."""
    monkeypatch.setattr(places, "ROOT", tmp_path)
    for run, task, record in (
        (SHIPPED, "emotion", {}),
        (SHIPPED, "cause", {}),
        ("old", "emotion", {"task": "emotion"}),
        ("old", "cause", {"task": "cause"}),
        ("new", "emotion", {"task": "emotion", "ended": "2999-01-01T00:00:00"}),
    ):
        write_json(record, tmp_path / "results_train" / run / "adapters" / task / "training.json")
    return tmp_path / "results_train"


def both(folder):
    return folder / "adapters" / "emotion", folder / "adapters" / "cause"


def test_the_adapters_that_ship_label_until_a_run_is_named(runs):
    assert choose_adapters() == both(runs / SHIPPED)
    assert choose_adapters(run="old") == choose_adapters(run=runs / "old") == both(runs / "old")
    with pytest.raises(RunError, match="results_train/nosuch: no such run"):
        choose_adapters(run="nosuch")


def test_the_other_adapter_is_the_same_runs_and_never_another_runs(runs):
    emotion, cause = both(runs / "old")
    assert choose_adapters(emotion) == choose_adapters(cause=str(cause)) == (emotion, cause)
    new = both(runs / "new")[0]
    assert choose_adapters(new) == choose_adapters(run="new") == (new, None), "emotions alone"
    assert "no causes" in said_of((new, None)) and said_of((new, cause)) == f"labelled by {new} and {cause}"
    with pytest.raises(ModelError, match="nosuch: no finished adapter here"):
        choose_adapters(new, runs / "nosuch")
    assert choose_adapters(new, cause) == choose_adapters(new, run="old") == (new, cause)


@pytest.mark.parametrize("run", ["old", SHIPPED])  # with records of their tasks, and without
def test_swapped_adapters_are_refused_by_name(runs, run):
    emotion, cause = both(runs / run)
    with pytest.raises(ModelError, match="cause is an adapter of the task cause, not emotion: give it as --cause-ad"):
        choose_adapters(cause, emotion)
    with pytest.raises(ModelError, match="emotion is an adapter of the task emotion, not cause"):
        choose_adapters(cause=emotion)


def test_an_old_adapter_in_a_folder_of_any_name_is_taken(runs):
    (runs / "mine").mkdir()
    moved = [both(runs / SHIPPED)[k].rename(runs / "mine" / "ab"[k]) for k in (0, 1)]
    assert list(choose_adapters(*moved)) == moved


def test_a_runs_folder_is_no_adapter(runs):
    for task in ("emotion", "cause"):
        with pytest.raises(ModelError, match=r"old: no finished adapter here.*such as .*/old/adapters/emotion"):
            choose_adapters(**{task: runs / "old"})
    assert adapter_folder("cause", "old") == both(runs / "old")[1] and adapter_folder("x/y") == Path("x/y")


def test_the_name_of_a_task_is_not_taken_for_a_folder_nor_a_folder_for_one(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert adapter_folder("emotion") == both(runs / SHIPPED)[0]
    (tmp_path / "emotion").mkdir()  # such as --out of utils.export
    with pytest.raises(RunError, match="emotion is a task, and a folder here too: give ./emotion for the fold"):
        adapter_folder("emotion")
    assert adapter_folder("./emotion") == Path("emotion") and adapter_folder("emotion", "old") == both(runs / "old")[0]
    with pytest.raises(RunError, match="x/y with --run old: give emotion or .*, or the folder alone"):
        adapter_folder("x/y", "old")


def test_predict_takes_what_the_runs_inference_used(tmp_path):
    adapter = tmp_path / "adapters" / "cause"
    write_json({"parameters": {"cause_threshold": 0.25, "logit_adjustment": 0.4, "seed": 7}}, adapter / "training.json")
    write_json(
        {
            "2_emotion_inference": {"parameters": {"logit_adjustment": 0.9}},
            "4_cause_inference": {"parameters": {"cause_threshold": 0.6}},
        },
        tmp_path / "config.json",
    )
    config = trained_with(adapter)
    assert (config.cause_threshold, config.logit_adjustment, config.seed) == (0.6, 0.9, 7)


def test_labels_may_be_decided_by_another_value_where_they_depend_on_it(tmp_path):
    emotion, cause = both(tmp_path)
    for folder in (emotion, cause):
        write_json({"parameters": {"cause_threshold": 0.25, "seed": 7}}, folder / "training.json")
    configs = configs_of((emotion, cause), 500, {"cause_threshold": 0.5, "logit_adjustment": 0.0})
    assert (configs["cause"].cause_threshold, configs["emotion"].logit_adjustment) == (0.5, 0.0)
    assert {(one.seed, one.max_row_tokens) for one in configs.values()} == {(7, 500)}
    assert configs_of((emotion, cause))["cause"].cause_threshold == 0.25
    with pytest.raises(ConfigError, match="seed is none that labelling can change: give one of cause_threshold, logit"):
        configs_of((emotion, cause), parameters={"seed": 1})
    with pytest.raises(ConfigError, match="cause_threshold is 2.0; a probability must lie"):
        configs_of((emotion, cause), parameters={"cause_threshold": 2.0})


@pytest.mark.parametrize(
    ("name", "of_run"),
    [
        ("cause_threshold", None),  # without a cause adapter
        ("cause_threshold", {"cause_form": "list"}),
        ("logit_adjustment", {"targets": "multi"}),
        ("logit_adjustment", {"recipe": "published"}),
    ],
)
def test_a_value_that_no_label_depends_on_is_refused(tmp_path, name, of_run):
    adapters = emotion, cause = both(tmp_path)
    for folder in adapters:
        write_json({"parameters": of_run or {}}, folder / "training.json")
    with pytest.raises(ConfigError, match=f"parameter {name}: the labels of these adapters do not depend on it. Leave"):
        configs_of((emotion, cause if of_run else None), parameters={name: 0.5})
