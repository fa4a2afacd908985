"""Following a training with an experiment tracker, if a parameter asks for it: trackio, tensorboard or wandb.

    pip install trackio         # or tensorboard, or wandb: none of them is needed otherwise
    python -m utils.chain configs/sample.yaml -p report_to trackio

What is tracked stays on this machine, below the adapter's folder; of the three only wandb sends it anywhere, and only
where WANDB_API_KEY is set.
"""

import importlib.util
import os
from pathlib import Path

from utils.system.errors import TrackingError

TRACKERS = {"trackio": "TRACKIO_DIR", "tensorboard": "TENSORBOARD_LOGGING_DIR", "wandb": "WANDB_DIR"}
PROJECT = "emotion-cause-pairs"


def check_tracker(report_to: str) -> None:
    """Raises TrackingError where the tracker is not installed."""
    if report_to != "none" and importlib.util.find_spec(report_to) is None:
        raise TrackingError(f"report_to is {report_to!r}, which is not installed: run `pip install {report_to}`")


def tracking(report_to: str, run_name: str, folder) -> dict:
    """The trainer's arguments that follow the training of the adapter in `folder`, of the run `run_name`, with
    `report_to`: a name in TRACKERS, or "none". It goes to `folder`/tracking, or where the tracker's own environment
    variable says.

    Raises TrackingError where the tracker is not installed.
    """
    if report_to == "none":
        return {"report_to": "none"}
    check_tracker(report_to)
    place = Path(folder) / "tracking"
    place.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault(TRACKERS[report_to], str(place))
    os.environ.setdefault("WANDB_PROJECT", PROJECT)
    os.environ.setdefault("WANDB_MODE", "online" if "WANDB_API_KEY" in os.environ else "offline")  # never asks
    # False: trackio publishes no page of the run on the hub
    name = f"{run_name}-{Path(folder).name}"
    return {"report_to": report_to, "run_name": name, "project": PROJECT, "trackio_static_space_id": False}
