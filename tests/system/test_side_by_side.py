"""Work in processes of its own: side by side, told, and ended together where one fails.

python -m pytest tests/system/test_side_by_side.py
"""

import os
import time

import pytest

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
