"""What waiting threads cost: labelling with several thread settings, on a quiet machine and beside busy processes.

    python -m benchmarks.speed.threads        # writes benchmarks/results/threads.json; about 20 minutes

Threads that wait for each other at the end of a product first spin, then sleep. Spinning is faster where each thread
has a core of its own, and wastes the core where another process wants it. `utils/__init__.py` sets how long PyTorch's
OpenMP spins. Every setting labels the same conversations with the adapters that ship, in a process of its own, the
settings in turn, `--runs` times. "busy" has one process that never rests for each core. Seconds are those of labelling.
"""

import argparse
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
from tqdm import tqdm

from benchmarks import RESULTS
from benchmarks.speed.measure import summary
from utils.data.conversations import load_conversations
from utils.predict import Predictor
from utils.record.provenance import revision, versions
from utils.system.command import command
from utils.system.files import read_json, write_json
from utils.system.places import ROOT

LIBRARYS = 300_000  # libgomp's own GOMP_SPINCOUNT where no policy is given (its manual)
SETTINGS = {
    "this repository": {},
    "the library's default": {"GOMP_SPINCOUNT": str(LIBRARYS)},
    "never spin": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
SHARED = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")
CONVERSATIONS = ROOT / "data" / "sample" / "conversations.json"


def label(number: int) -> float:
    """Seconds in which this process labels the first `number` sample conversations, after one to warm up."""
    conversations = load_conversations(CONVERSATIONS)[:number]
    predictor = Predictor()
    predictor(conversations[:1])
    start = time.perf_counter()
    predictor(conversations)
    return time.perf_counter() - start


def measured(setting: dict[str, str], number: int) -> float:
    """The seconds of `label` in a process with the environment of `setting`."""
    clean = {name: value for name, value in os.environ.items() if name not in SHARED}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.threads", "--label", str(number)],
        env={**clean, **setting, "TQDM_DISABLE": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=3600,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return float(done.stdout.split()[-1])


@contextmanager
def busy(processes: int):
    """`processes` processes that never rest, while what is inside runs."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()


def table(result: dict) -> str:
    """The table of what `main` wrote: a line a setting, seconds and the ratio to the library's default."""
    lines = ["| threads | quiet machine | beside busy processes |", "|---|---|---|"]
    for name, one in result["seconds"].items():
        cells = []
        for load, seconds in one.items():
            ratio = seconds["median"] / result["seconds"]["the library's default"][load]["median"]
            cells.append(f"{seconds['median']:.1f} s ({ratio:.2f}x)")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


@command("benchmarks.speed.threads")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for what cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conversations", type=int, default=30, help="to label (default 30)")
    parser.add_argument("--runs", type=int, default=3, help="of every setting (default 3)")
    parser.add_argument("--result", type=Path, default=RESULTS / "threads.json")
    parser.add_argument("--label", type=int, help=argparse.SUPPRESS)  # what the processes do that are measured
    arguments = parser.parse_args(argv)
    if arguments.label is not None:
        print(label(arguments.label))
        return 0
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    found: dict[str, dict[str, list[float]]] = {name: {"quiet": [], "busy": []} for name in SETTINGS}
    with tqdm(total=2 * len(SETTINGS) * arguments.runs, unit="process") as bar:
        for load, processes in (("quiet", 0), ("busy", cores)):
            with busy(processes):
                for _ in range(arguments.runs):
                    for name, setting in SETTINGS.items():
                        found[name][load].append(measured(setting, arguments.conversations))
                        bar.update()
    seconds = {name: {load: summary(values) for load, values in one.items()} for name, one in found.items()}
    write_json(
        {
            "command": f"python -m benchmarks.speed.threads --conversations {arguments.conversations} "
            f"--runs {arguments.runs}",
            "revision": revision(),
            "versions": versions(),
            "cores": cores,
            "conversations": arguments.conversations,
            "settings": SETTINGS,
            "seconds": seconds,
        },
        arguments.result,
    )
    print(table(read_json(arguments.result)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
