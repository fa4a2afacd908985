"""Several processes at one piece of work: one a GPU, or on CPUs, started by `accelerate launch` or `torchrun`.

    results = divided(tasks, compute)      # in every process the same list
    if processes().is_main_process: ...    # files are written by one

A single process, in a notebook or a command, is the case of one.
"""

import atexit
import functools

from accelerate import PartialState
from accelerate.utils import gather_object
from tqdm.auto import tqdm

from utils.system.hardware import device
from utils.system.progress import Pace


def processes() -> PartialState:
    """This process among those that were started together: its number, theirs, and how to wait for them.

    The device must be said: without it, accelerate takes processes on CPUs for strangers, each the only one.
    """
    state = PartialState(cpu=device().type == "cpu")
    if state.num_processes > 1:
        _leave_at_exit()
    return state


@functools.cache
def _leave_at_exit() -> None:
    """At the interpreter's end the group's threads may still run, and then the process aborts: they are ended before,
    once all have come so far."""
    atexit.register(lambda: PartialState().destroy_process_group())


def divided(tasks: list, compute, progress: str | None = None, unit: str = "it") -> list:
    """[compute(task) for task in tasks], every process doing its share of the tasks and getting all results.

    progress  what the bar over this process's share is called; None: no bar
    """
    here = processes()
    share = tasks[here.process_index :: here.num_processes]
    # closed at once when `compute` fails: the error's message comes after the bar, not before it
    with tqdm(share, desc=progress, disable=progress is None, unit=unit) as bar:
        pace, done = Pace(progress or unit, len(share), f"{unit}s"), []
        for task in bar:
            done.append(compute(task))
            pace(len(done))
    if here.num_processes == 1:
        return done
    results = [None] * len(tasks)
    for number, part in enumerate(gather_object([done])):
        results[number :: here.num_processes] = part
    return results
