"""metrics.json of a run: one section after another, with what they are about and what made them."""

import time
from datetime import UTC, datetime
from pathlib import Path

from utils.record.provenance import revision
from utils.report.scores import read_scores
from utils.system.files import write_json


def made(started: float) -> dict:
    """What "made" says of a notebook or command that began at `started` (time.monotonic()): {"ended": when it scored,
    "seconds": since it began, "revision": the code's, "hardware": what it ran on}."""
    from utils.system.hardware import hardware  # here, so that results are read without loading torch

    return {
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started, 1),
        "revision": revision(),
        "hardware": hardware(),
    }


def write_scores(folder: Path, first: dict, sections: dict, maker: str, started: float) -> dict:
    """Sets sections of folder/metrics.json, leaves the others as they are, and returns those that it set.

    first     what stands first, about what was scored (utils.report.scores.head)
    sections  {"emotions" or "pairs" or what an ensemble adds: its rows (utils/report/scores.py)}
    maker     the notebook or command, for "made"; it began at `started` (time.monotonic())
    """
    before = read_scores(folder)
    makers = {**before.get("made", {}), maker: made(started)}
    others = {name: there for name, there in before.items() if name not in first}
    write_json({**first, **others, **sections, "made": makers}, folder / "metrics.json")
    return sections
