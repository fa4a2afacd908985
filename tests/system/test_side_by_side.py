"""Work in processes of its own: side by side, told, and ended together where one fails.

python -m pytest tests/system/test_side_by_side.py
"""

import os
import signal
import subprocess
import sys
import time

import pytest
from helpers import ROOT

from utils.system import side_by_side as module
from utils.system.errors import ChainError, RunError
from utils.system.progress import Pace
from utils.system.side_by_side import side_by_side


def wait_for(mine, other):
    """Ends when both of two have begun."""
    mine.touch()
    end = time.monotonic() + 60
    while not other.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    print("met")


def say():
    clock = iter([0.0, 100.0, 200.0])
    Pace("work", 4, "parts", clock=lambda: next(clock))(2, loss=0.5)


def refuse():
    raise RunError("no such thing")


def die():
    os._exit(9)


def sleep(file):
    file.touch()
    time.sleep(600)


def fork(*arguments):  # nobody to preload for
    return list(side_by_side(*arguments))


@pytest.mark.timeout(120)
def test_two_work_at_once(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    work = {"a": (wait_for, (one, two)), "b": (wait_for, (two, one))}
    logs = {name: tmp_path / "logs" / name for name in work}
    done = fork(work, logs, 2)
    assert {name for name, _ in done} == {"a", "b"} and all(0 < seconds < 60 for _, seconds in done)
    assert all(log.read_text().strip() == "met" for log in logs.values())


# A command that works in another process, which writes its number to a file and waits.
COMMAND = """
import os, sys, time
from pathlib import Path
from utils.system.command import command
from utils.system.side_by_side import side_by_side
sys.path.insert(0, {tests!r})

@command("it")
def main(argv=None):
    from test_side_by_side import write_number
    folder = Path({folder!r})
    return len(list(side_by_side({{"a": (write_number, (folder / "number",))}}, {{"a": folder / "log"}})))

if __name__ == "__main__":
    sys.exit(main())
"""


def write_number(file):
    file.write_text(str(os.getpid()))
    time.sleep(600)


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.timeout(120)
def test_a_command_that_a_batch_system_stops_leaves_no_process(tmp_path):
    package = tmp_path / "it"
    package.mkdir()
    (package / "__init__.py").write_text("import utils")  # as a door's package is imported: before its own lines run
    (package / "__main__.py").write_text(COMMAND.format(tests=str(ROOT / "tests" / "system"), folder=str(tmp_path)))
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}{os.pathsep}{ROOT / 'tests'}"}
    process = subprocess.Popen([sys.executable, "-m", "it"], env=environment, stderr=subprocess.PIPE, text=True)
    number = tmp_path / "number"
    while not (number.exists() and number.read_text()):
        assert process.poll() is None, process.communicate(timeout=60)[1]
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert "interrupted" in process.communicate(timeout=60)[1] and process.returncode == 143
    end = time.monotonic() + 30
    while os.path.exists(f"/proc/{number.read_text()}"):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.timeout(120)
def test_progress_comes_through(tmp_path):
    seen = []
    assert [name for name, _ in fork({"a": (say, ())}, {"a": tmp_path / "a"}, 1, seen.append)] == ["a"]
    assert seen == ["work: 2 of 4 parts, loss 0.500, 1 min 40 s left"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what, says", [(refuse, "RunError: no such thing"), (die, r"died \(status 9\)")])
def test_the_first_that_fails_is_named_and_ends_the_others(tmp_path, what, says):
    begun = tmp_path / "begun"
    work = {"good": (sleep, (begun,)), "bad": (what, ()), "later": (sleep, (tmp_path / "never",))}
    with pytest.raises(ChainError, match=f"^bad failed: .*{says}.*{tmp_path}/bad"):
        fork(work, {name: tmp_path / name for name in work}, 2)
    assert not (tmp_path / "never").exists()


def test_a_card_is_used_where_several_are_named(monkeypatch):
    monkeypatch.setattr(module.places, "gpus", lambda: ["one", "two"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert module.cards() == ["2", "3"]
    monkeypatch.setattr(module.places, "gpus", lambda: [])
    assert module.cards() == []
