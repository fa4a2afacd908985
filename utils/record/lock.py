"""One process at a time in a run's folder.

hold(folder)        until this process ends, or `release(folder)`
with opened(folder): ...    the same, unless what is inside fails
check_free(folder)  before work begins: is another process in there?
in_progress(run)    whether one is, or a chain that runs its notebooks
"""

import contextlib
import os
from pathlib import Path

from filelock import FileLock, Timeout

from utils.system.errors import RunError

_held: dict[Path, FileLock] = {}  # this process's locks: a notebook may open its run again


def _follows() -> bool:
    """Whether this is not the first of several processes that `accelerate launch` or torchrun started together: the
    first holds the folder for all. RANK alone, which other launchers set for what knows nothing of each other, is no
    sign."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    given = {name: os.environ.get(name, "") for name in names}
    if not all(given.values()) or not given["RANK"].isdigit() or not given["WORLD_SIZE"].isdigit():
        return False
    return 0 < int(given["RANK"]) < int(given["WORLD_SIZE"])


def _locked(folder: Path, lock: FileLock) -> None:
    try:
        if not lock.is_locked:
            lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(
            f"another process works in {folder}: let it end (a notebook that was stopped keeps it until its "
            "kernel is shut down), or choose another run_name"
        ) from error
    except (OSError, NotImplementedError):  # a disk that knows no locks, such as a mounted drive
        pass


def hold(folder: Path) -> bool:
    """Keep other processes out of a run's folder as long as this one lives; whether they were not kept out before.
    Processes that were started together are held by the first of them.

    Raises RunError where another process is in."""
    if _follows():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    new = folder not in _held
    lock = _held.get(folder) or FileLock(folder / ".lock")
    _locked(folder, lock)
    _held[folder] = lock
    return new


@contextlib.contextmanager
def opened(folder: Path):
    """`hold`, given up where what is inside raises; a folder that was made for it is then removed."""
    made = not folder.exists()
    mine = hold(folder)
    try:
        yield
    except BaseException:
        if mine:
            if made:
                with contextlib.suppress(OSError):  # something was written by then
                    (folder / ".lock").unlink()
                    folder.rmdir()
            release(folder)
        raise


def check_free(folder: Path) -> None:
    """Raises RunError where another process holds the folder. Writes nothing."""
    if folder not in _held and (folder / ".lock").exists():
        lock = FileLock(folder / ".lock")
        _locked(folder, lock)
        lock.release()


def in_progress(run: Path) -> bool:
    """Whether another process works in the folder of a run, or a chain that runs its notebooks. Writes nothing."""
    try:
        check_free(run)
        check_free(run / "notebooks")
    except RunError:
        return True
    return False


def release(folder: Path) -> None:
    """Let other processes into a folder that this one holds."""
    if lock := _held.pop(folder, None):
        lock.release()
