"""Several pieces of work side by side, each in a process of its own that ends with it.

    for name, seconds in side_by_side({"one": (function, arguments), "two": ...}, jobs=2, logs={...}): ...

On CPUs the processes are forks of one that has loaded the heavy libraries: each starts at once, and nothing that one
leaves behind reaches another. Beside a GPU each starts anew, because CUDA does not survive a fork.
"""

import contextlib
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from utils.system import places
from utils.system.errors import ChainError
from utils.system.progress import followed

Work = tuple[Callable, tuple]
PATIENCE = 20  # seconds that a process has to end when it is asked to


def cards() -> list[str]:
    """The GPUs that the work may use: those that CUDA_VISIBLE_DEVICES names (by default the first); [] without any."""
    named = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one.strip()]
    return named if named and places.gpus() else []


def side_by_side(
    work: Mapping[str, Work],
    logs: Mapping[str, Path],
    jobs: int | None = None,
    show: Callable[[str], object] = print,
    preload: tuple[str, ...] = (),
) -> Iterator[tuple[str, float]]:
    """Does every piece of `work`; yields (its name, its seconds) as they end.

    work     {name: (a function of a module, its arguments)}
    logs     {name: the file that takes what the work prints}
    jobs     how many at a time; default: one a card (`cards`), else one. Several share the cores
    show     is given the lines of progress (utils/system/progress.py), named where several run
    preload  modules that the forked processes find loaded

    Raises ChainError for the first that fails, or whose process dies. The others are then ended.
    """
    found = cards()
    jobs = min(jobs or max(1, len(found)), max(1, len(work)))
    if jobs > 1 and not found:  # before the libraries are loaded, which read it once
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    forked = not found and "forkserver" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if forked else "spawn")
    if forked:
        context.set_forkserver_preload([*preload])
    waiting, running = list(work), {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                free = next(k for k in range(jobs) if k not in [one[2] for one in running.values()])
                environment = {"CUDA_VISIBLE_DEVICES": found[free % len(found)]} if found else {}
                reader, writer = context.Pipe(duplex=False)
                process = context.Process(target=_do, args=(writer, *work[name], str(logs[name]), environment))
                process.start()
                writer.close()
                running[reader] = name, process, free, time.monotonic()
            for reader in wait(list(running)):
                name, process, _, started = running[reader]
                kind, said = _received(reader)
                if kind == "line":
                    show(f"{name}: {said}" if jobs > 1 else said)
                    continue
                process.join(PATIENCE)
                del running[reader]
                if kind != "done":
                    raise ChainError(
                        f"{name} failed: {said or _death(process.exitcode)} (what it printed: {logs[name]})"
                    )
                yield name, time.monotonic() - started
    finally:
        for _, process, *_ in running.values():
            process.terminate()
        for _, process, *_ in running.values():
            process.join(PATIENCE)
            process.kill()


def _received(reader) -> tuple[str, str]:
    try:
        return reader.recv()
    except (EOFError, OSError):
        return "dead", ""


def _death(status: int | None) -> str:
    return (
        f"its process died (status {status}), most often because memory ran out: run fewer at a time, or give a "
        "smaller token_budget, quantization nf4 or a smaller model"
    )


def _do(writer, function: Callable, arguments: tuple, log: str, environment: dict[str, str]) -> None:
    """In the process: the work, its output to the file `log`, its progress and its end to `writer`."""
    os.environ.update(environment)
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as file, contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        try:
            with followed(lambda line: writer.send(("line", line))):
                function(*arguments)
        except Exception as error:
            traceback.print_exc()
            file.flush()
            writer.send(("failed", f"{error}" if isinstance(error, ChainError) else f"{type(error).__name__}: {error}"))
        else:
            file.flush()
            writer.send(("done", ""))
