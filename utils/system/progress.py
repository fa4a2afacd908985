"""How far the work is, as lines of text: from a notebook's kernel to the terminal of the command that started it.

    with followed():             # utils.chain: while its kernels run, the lines that they write are printed
    pace = Pace("emotion training", 128, "steps")
    pace(34, loss=0.82)          # in the kernel: a line now and then; nothing where nobody follows

A line says how much is done, the mean of each figure since the last line, and the time that is left:

    emotion training: 34 of 128 steps, loss 0.816, 1 min 12 s left
"""

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

VARIABLE = "EMOTION_CAUSE_PROGRESS"  # the file that lines go to, in the environment of the process that works
FIRST, EVERY, SHARE = 5, 10, 0.02  # seconds to the first line and between two; between two at least this share of all,
LONGEST = 300  # but no more seconds: a first estimate may be far too long


def duration(seconds: float) -> str:
    """Seconds in words: 9 s, 1 min 12 s, 2 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Pace:
    """The pace of work of `total` parts, which are called `unit`; `done` of them were done before."""

    def __init__(self, what: str, total: int, unit: str, done: int = 0, clock: Callable[[], float] = time.monotonic):
        self.what, self.total, self.unit, self._first, self._clock = what, total, unit, done, clock
        self._start = clock()
        self._next, self._figures = self._start + FIRST, {}
        self._file = os.environ.get(VARIABLE)

    def __call__(self, done: int, **figures: float) -> None:
        """Now `done` parts are done; `figures` are of the last one."""
        for name, value in figures.items():
            self._figures.setdefault(name, []).append(value)
        now = self._clock()
        if now < self._next or done <= self._first or not self._file:
            return
        left = (now - self._start) / (done - self._first) * (self.total - done)
        self._next = now + min(max(EVERY, SHARE * (now - self._start + left)), LONGEST)
        parts = [f"{self.what}: {done:,} of {self.total:,} {self.unit}"]
        parts += [f"{name} {sum(values) / len(values):.3f}" for name, values in self._figures.items()]
        self._figures = {}
        # A full disk ends the work where it writes something that counts.
        with contextlib.suppress(OSError), open(self._file, "a", encoding="utf-8") as file:
            file.write(", ".join([*parts, f"{duration(left)} left"]) + "\n")


@contextlib.contextmanager
def followed(show: Callable[[str], object]) -> Iterator[None]:
    """Inside, processes that are started write their lines to a file, and `show` is given each of them."""
    ended = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "progress"
        path.touch()

        def follow(file):
            while not ended.wait(0.3):
                relay(file)
            relay(file)

        def relay(file):
            while line := file.readline():
                show(line.rstrip("\n"))

        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = str(path)
        with path.open(encoding="utf-8") as file:
            thread = threading.Thread(target=follow, args=[file], daemon=True)
            thread.start()
            try:
                yield
            finally:
                os.environ.pop(VARIABLE)
                if before is not None:
                    os.environ[VARIABLE] = before
                ended.set()
                thread.join()
