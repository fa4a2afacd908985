"""How the benchmarks measure: seconds, and the peak of memory."""

import statistics
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
from transformers import TrainerCallback


def now() -> float:
    """Seconds on the clock, when all that a GPU was told to do is done."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter()


class Clock(TrainerCallback):
    """`seconds` from the beginning of a training to the end of its first optimizer step: batches, forward and backward
    passes, optimizer; without the trainer's construction and checkpoints."""

    seconds = None

    def on_train_begin(self, *args, **kwargs):
        self.start = now()

    def on_step_end(self, *args, **kwargs):
        if self.seconds is None:
            self.seconds = now() - self.start


def summary(seconds: list[float]) -> dict:
    """The median of several runs, the lowest and the highest."""
    return {"median": statistics.median(seconds), "lowest": min(seconds), "highest": max(seconds), "runs": len(seconds)}


def peak_memory() -> int:
    """Bytes of main memory that this process has held at most."""
    try:  # ru_maxrss begins with the parent's
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        if sys.platform == "win32":
            return psutil.Process().memory_info().peak_wset
        import resource  # not on Windows

        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used if sys.platform == "darwin" else used * 1024


@contextmanager
def memory_watched(found: dict):
    """Notes the peak memory of what is inside in found["peak_memory"]; None where the system does not forget earlier
    peaks (Linux does)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        found["peak_memory"] = None
        yield
    else:
        yield
        found["peak_memory"] = peak_memory()
