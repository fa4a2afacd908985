"""Lines about how far the work is: written now and then, followed from another process.

python -m pytest tests/system/test_progress.py
"""

import os
import subprocess
import sys
import time

import pytest
from helpers import ROOT

from utils.system.progress import VARIABLE, Pace, duration, followed


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def written(tmp_path, monkeypatch):
    """(clock, the lines that were written so far)."""
    path = tmp_path / "progress"
    monkeypatch.setenv(VARIABLE, str(path))
    return Clock(), lambda: path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def test_a_line_says_step_loss_and_the_time_left(written):
    clock, lines = written
    pace = Pace("emotion training", 120, "steps", done=20, clock=clock)
    for step in range(21, 41):  # a second a step; the first line after five
        clock.now += 1.0
        pace(step, loss=float(step))
    assert lines() == [
        "emotion training: 25 of 120 steps, loss 23.000, 1 min 35 s left",
        "emotion training: 35 of 120 steps, loss 30.500, 1 min 25 s left",
    ]


def test_long_work_says_a_line_less_often(written):
    clock, lines = written
    pace = Pace("causes", 36_000, "rows", clock=clock)
    for row in range(1, 36_001):
        clock.now += 1.0
        pace(row)
    assert 100 <= len(lines()) <= 130  # every five minutes of ten hours
    assert lines()[0] == "causes: 5 of 36,000 rows, 9 h 59 min left"


def test_a_first_part_that_is_far_too_slow_does_not_silence_the_others(written):
    clock, lines = written
    pace = Pace("emotion training", 500, "steps", clock=clock)
    for step in range(1, 501):  # the first in ten minutes, which would be days for all
        clock.now += 1.0 if step > 1 else 600.0
        pace(step)
    assert lines()[1].startswith("emotion training: 301 of 500 steps")


def test_without_a_follower_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    clock = Clock()
    pace = Pace("causes", 3, "rows", clock=clock)
    clock.now = 100.0
    pace(1)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_line_stops_nothing(written, monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "no" / "folder"))
    clock = Clock()
    pace = Pace("causes", 3, "rows", clock=clock)
    clock.now = 100.0
    pace(1)


def test_lines_of_another_process_are_shown_while_it_works(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    program = (
        "import os, sys, time\n"
        f"path = os.environ['{VARIABLE}']\n"
        "open(path, 'a').write('one é\\n')\n"
        "time.sleep(3)\n"
        "open(path, 'a').write('two\\n')\n"
    )
    shown = []
    with followed(lambda line: shown.append((line, time.monotonic()))):
        subprocess.run([sys.executable, "-X", "utf8", "-c", program], cwd=ROOT, check=True, timeout=60)
        ended = time.monotonic()
    assert [line for line, _ in shown] == ["one é", "two"]
    assert shown[0][1] < ended - 1, "while it works, not at its end"
    assert VARIABLE not in os.environ


def test_durations_are_words():
    assert [duration(s) for s in (0.2, 9, 72, 3600, 7500)] == ["0 s", "9 s", "1 min 12 s", "1 h 0 min", "2 h 5 min"]
