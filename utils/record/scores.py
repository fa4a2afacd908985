"""metrics.json of a run: one section after another, with what they are about and what made them."""

import time
from datetime import UTC, datetime
from pathlib import Path

from utils.data.conversations import Conversation
from utils.data.labels import LabelSet
from utils.record.provenance import revision
from utils.report.scores import head, read_scores
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


def write_scores(
    folder: Path, gold: list[Conversation], labels: LabelSet, sections: dict, maker: str, started: float
) -> None:
    """Sets sections of folder/metrics.json and leaves the others as they are.

    gold      the conversations that were scored, of which the head tells
    sections  {"emotions" or "pairs" or what an ensemble adds: its rows (utils/report/scores.py)}
    maker     the notebook or command, for "made"; it began at `started` (time.monotonic())
    """
    before = read_scores(folder)
    makers = {**before.get("made", {}), maker: made(started)}
    first = head(gold, labels)
    others = {name: there for name, there in before.items() if name not in first}
    write_json({**first, **others, **sections, "made": makers}, folder / "metrics.json")
