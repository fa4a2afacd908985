"""Training by a command: the run that it leaves is the notebook's.

python -m pytest tests/doors/test_train.py
"""

import os
import subprocess
import sys

import pytest
from helpers import ROOT, copy_code

from utils import train
from utils.config import Config
from utils.data.templates import Template
from utils.data.topics import Topic
from utils.record.adapter import trained_with
from utils.record.run import open_run
from utils.record.stages import EMOTION_TASKS, NOTEBOOKS, TRAINED_BY, parameter_names
from utils.system.files import read_json, write_json
from utils.tasks.forms import STRATEGIES, recorded_opinions


def test_the_command_trains_as_the_notebook_does(tiny_model_folder, conversations, tmp_path, monkeypatch, capsys):
    """The run that it leaves is the notebook's: opened with the notebook's parameters, its adapter is finished."""
    monkeypatch.setattr("utils.system.places.ROOT", tmp_path)
    for split in ("train", "val"):
        write_json(conversations, tmp_path / "input" / split / "conversations.json")
    settings = [
        "-p",
        "model",
        tiny_model_folder,
        "-p",
        "precision",
        "float32",
        "-p",
        "token_budget",
        "1",
        "-p",
        "emotion_epochs",
        "2",
        "-p",
        "cause_epochs",
        "3",
    ]
    for task in EMOTION_TASKS:
        assert train.main([task, str(ROOT / "configs/sample.yaml"), *settings]) == 0, capsys.readouterr().err
        adapter = tmp_path / "results_train/sample/adapters" / task
        assert f"{task} adapter: {adapter}" in capsys.readouterr().out
        assert (adapter / "training.json").is_file()
    record = read_json(tmp_path / "results_train/sample/config.json")
    assert list(record) == [TRAINED_BY[task] for task in EMOTION_TASKS]
    assert "cause_epochs" not in record[TRAINED_BY["emotion"]]["parameters"]
    assert record[TRAINED_BY["cause"]]["parameters"]["cause_epochs"] == 3
    # the notebook that comes next opens the same run
    values = {name: Config().as_dict()[name] for name in parameter_names(NOTEBOOKS[1])}
    values |= {"model": tiny_model_folder, "precision": "float32", "token_budget": 1}
    assert open_run(values, NOTEBOOKS[1])[1].finished_adapter("cause") == adapter


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_opinions_are_trained_as_the_notebook_does(tiny_model_folder, tmp_path, monkeypatch, capsys, strategy):
    monkeypatch.setattr("utils.system.places.ROOT", tmp_path)
    texts = [
        {"text_ID": k, "text": f"Stadium {k}.", "opinions": {"new-stadium": {"relevant": True, "score": float(k - 2)}}}
        for k in range(5)
    ]
    for split in ("train", "val"):
        write_json(texts, tmp_path / "input" / "opinions" / split / "texts.json")
    topic = Topic.read("new-stadium").as_dict()
    write_json({"new-stadium": topic}, tmp_path / "input" / "opinions" / "topics.json")
    settings = ["-p", "model", tiny_model_folder, "-p", "precision", "float32", "-p", "task_type", "regression"]
    settings += ["-p", "strategy", strategy]
    assert train.main(["opinion", str(ROOT / "configs/opinion.yaml"), *settings]) == 0, capsys.readouterr().err
    adapter = tmp_path / "results_train" / "opinions" / "adapters" / "opinion"
    record = read_json(adapter / "training.json")
    assert {name: record[name] for name in ("task", "task_type", "strategy", "topics", "opinions")} == {
        "task": "opinion",
        "task_type": "regression",
        "strategy": strategy,
        "topics": {"new-stadium": topic},
        "opinions": {"-2": 1, "-1": 1, "0": 1, "1": 1, "2": 1},
    }
    assert trained_with(adapter).opinion_epochs == 2 and (adapter / "adapter_model.safetensors").is_file()
    task = recorded_opinions(adapter)
    assert task.trained(adapter).task_type == "regression"
    losses = [one["eval_loss"] for one in record["history"] if "eval_loss" in one]
    assert losses[-1] < losses[0]
    assert train.main(["opinion", str(ROOT / "configs/opinion.yaml"), *settings]) == 0
    assert "holds the finished adapter of this run" in capsys.readouterr().out


def test_instructions_are_trained_as_the_notebook_does(tiny_model_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("utils.system.places.ROOT", tmp_path)
    examples = [
        {"example_ID": k, "instruction": "Say it.", "input": str(k), "output": "So it is. " * (20 * k + 1)}
        for k in range(6)
    ]
    for split in ("train", "val"):
        write_json(examples, tmp_path / "input" / "instructions" / split / "examples.json")
    settings = ["-p", "model", tiny_model_folder, "-p", "precision", "float32", "-p", "template", "deutsch"]
    settings += ["-p", "cutoff_len", "250", "-p", "too_long", "drop", "-p", "instruction_epochs", "5"]
    assert train.main(["instruction", str(ROOT / "configs/instruction.yaml"), *settings]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    adapter = tmp_path / "results_train" / "instructions" / "adapters" / "instruction"
    record = read_json(adapter / "training.json")
    left = record["examples"]["answer"]
    assert 0 < left < 6 and f"train: {6 - left} of 6 examples are longer than cutoff_len, and left out" in said
    assert record["task"] == "instruction" and record["template"] == Template.read("deutsch").as_dict()
    assert trained_with(adapter).instruction_epochs == 5 and (adapter / "adapter_model.safetensors").is_file()
    losses = [one["eval_loss"] for one in record["history"] if "eval_loss" in one]
    assert losses[-1] < losses[0]


def test_the_command_refuses_in_one_message(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("utils.system.places.ROOT", tmp_path)
    for arguments, says in (
        (["-p", "emotion_epoch", "2"], "did you mean emotion_epochs"),
        (
            ["-p", "model", str(tmp_path / "nowhere"), "-p", "run_name", "refused", "-p", "input_dir", str(tmp_path)],
            "conversations.json is missing: run generate_input.py first",
        ),
    ):
        assert train.main(["emotion", str(ROOT / "configs/sample.yaml"), *arguments]) == 2
        said = capsys.readouterr().err
        assert said.startswith("utils.train: ") and says in said and "Traceback" not in said


@pytest.mark.slow
def test_accelerate_starts_the_command_in_two_processes(tiny_model_folder, conversations, tmp_path):
    """configs/accelerate/ddp.yaml, for real but for the cards: it starts two processes on a CPU as well."""
    copy_code(tmp_path, ("utils", "notebooks", "configs", "pyproject.toml"))
    for split in ("train", "val"):
        write_json(conversations, tmp_path / "input" / split / "conversations.json")
    started = (tmp_path / "configs/accelerate/ddp.yaml").read_text(encoding="utf-8").partition("#   accelerate ")[2]
    command = started.splitlines()[0].split() + [
        "-p",
        "model",
        tiny_model_folder,
        "-p",
        "precision",
        "float32",
        "-p",
        "compile",
        "false",
        "-p",
        "input_dir",
        "input",
        "-p",
        "token_budget",
        "1",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.accelerate_cli", *command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    adapter = tmp_path / "results_train/smollm2-135m-ecf/adapters/emotion"
    assert done.stdout.count(f"emotion adapter: {adapter}") == 2
    assert (adapter / "training.json").is_file() and (adapter / "adapter_model.safetensors").is_file()
