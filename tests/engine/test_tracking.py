"""Experiment trackers: off by default, local, never asking; and no library tells anybody what runs here.

python -m pytest tests/engine/test_tracking.py
pip install tensorboard trackio       # and the two real ones are tried too
"""

import importlib.util
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

from utils.config import Config
from utils.engine import tracking, trainer
from utils.engine.settings import TrainingSettings
from utils.engine.tracking import TRACKERS
from utils.engine.trainer import train
from utils.models.adapters import add_lora
from utils.models.load import load_model
from utils.record.fit import examples, fit
from utils.record.run import Run
from utils.system.errors import ConfigError, TrackingError
from utils.tasks.emotion import Emotion


@pytest.fixture
def environment(monkeypatch):
    """The environment, without a tracker's variables, put back behind the test."""
    for name in (*TRACKERS.values(), "WANDB_PROJECT", "WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.setenv(name, "")  # so that it is put back
        del os.environ[name]
    return os.environ


def test_nothing_is_tracked_unless_it_is_asked_for(environment, tmp_path):
    assert Config().training("emotion").report_to == "none"
    assert tracking.tracking("none", "run", tmp_path) == {"report_to": "none"}
    assert list(tmp_path.iterdir()) == [] and not set(TRACKERS.values()) & environment.keys()
    with pytest.raises(ConfigError, match="report_to is 'mlflow'; choose one of none, trackio, tensorboard, wandb"):
        Config.of({"report_to": "mlflow"})


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_writes_below_the_adapter_or_says_how_to_install_it(name, environment, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrackingError, match=f"report_to is '{name}', which is not installed: run `pip install {name}`"):
        tracking.tracking(name, "run", tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "found")
    arguments = tracking.tracking(name, "run", tmp_path / "emotion")
    assert (arguments["report_to"], arguments["run_name"]) == (name, "run-emotion")
    assert arguments["trackio_static_space_id"] is False
    assert environment[TRACKERS[name]] == str(tmp_path / "emotion/tracking")
    assert environment["WANDB_MODE"] == "offline"
    environment[TRACKERS[name]] = "elsewhere"
    environment["WANDB_API_KEY"] = "key"
    del environment["WANDB_MODE"]
    tracking.tracking(name, "run", tmp_path)
    assert (environment[TRACKERS[name]], environment["WANDB_MODE"]) == ("elsewhere", "online")


def tracked_losses(folder, report_to, model_folder, conversations):
    """The losses of a short training that is followed by `report_to`, as the trainer's own log has them."""
    model, tokenizer = load_model(model_folder, precision="float32")
    model = add_lora(model, r=4, alpha=8, dropout=0.0, targets="all-linear")
    rows = examples(Emotion(), conversations, tokenizer, Config(token_budget=1))
    settings = TrainingSettings(1e-3, epochs=2, gradient_accumulation=1, run_name="short", report_to=report_to)
    return [entry["loss"] for entry in train(model, tokenizer, rows, settings, folder) if "loss" in entry]


def test_tensorboard_gets_the_losses(environment, tmp_path, tiny_model_folder, conversations):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    losses = tracked_losses(tmp_path, "tensorboard", tiny_model_folder, conversations)
    events = EventAccumulator(str(tmp_path / "tracking")).Reload()
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(losses)


def test_trackio_gets_the_losses_and_publishes_nothing(environment, tmp_path, tiny_model_folder, conversations):
    pytest.importorskip("trackio")
    losses = tracked_losses(tmp_path, "trackio", tiny_model_folder, conversations)
    database = sqlite3.connect(next((tmp_path / "tracking").rglob("*.db")))
    written = " ".join(str(row) for row in database.execute("select * from metrics"))
    assert len(losses) == 6 and all(repr(round(loss, 4))[:6] in written for loss in losses)


def test_a_tracker_follows_the_labels_not_the_words_before(tiny_model_folder, conversations, tmp_path, monkeypatch):
    def asked(report_to, run_name, folder):
        seen.append((report_to, Path(folder)))
        return {"report_to": "none"}

    seen = []
    monkeypatch.setattr(trainer, "tracking", asked)
    config = Config(
        run_name="a",
        model=tiny_model_folder,
        text_epochs=1.0,
        token_budget=1,
        report_to="tensorboard",
        gradient_accumulation=1,
    )
    run = Run(config, "n", [], root=tmp_path)
    fit(run, Emotion(), *load_model(tiny_model_folder, precision="float32"), conversations)
    assert seen == [("none", run.adapter("emotion") / "checkpoints" / "text"), ("tensorboard", run.adapter("emotion"))]


def test_libraries_are_told_to_tell_nobody():
    program = (
        "import utils, huggingface_hub.constants as hub, os; "
        "print(hub.HF_HUB_DISABLE_TELEMETRY, os.environ['GRADIO_ANALYTICS_ENABLED'])"
    )
    for given, told in (({}, "True False"), ({"HF_HUB_DISABLE_TELEMETRY": "0", "DO_NOT_TRACK": "0"}, "False False")):
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "GRADIO_ANALYTICS_ENABLED")
        }
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**kept, **given},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.stdout.strip() == told, done.stderr
