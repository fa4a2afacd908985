"""How long PyTorch's waiting threads spin: set by utils/__init__.py, left alone where the user says something.

python -m pytest tests/system/test_threads.py
"""

import os
import re
import subprocess
import sys

import pytest
from helpers import ROOT

from benchmarks.speed import threads


def spins(first, **given):
    """What PyTorch's OpenMP library says that it read, in a process that imports the module `first` and then torch."""
    kept = {name: value for name, value in os.environ.items() if name not in threads.SHARED}
    done = subprocess.run(
        [sys.executable, "-c", f"import {first}, torch"],
        cwd=ROOT,
        env={**kept, "OMP_DISPLAY_ENV": "verbose", **given},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    if not (found := re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)):
        pytest.skip("this PyTorch does not use libgomp")
    return int(found[-1])


@pytest.mark.parametrize("first", ["utils", pytest.param("benchmarks.speed.threads", marks=pytest.mark.slow)])
def test_threads_spin_as_long_as_this_package_says(first):
    assert spins(first) == 10_000


def test_what_the_user_says_stands():
    assert spins("utils", GOMP_SPINCOUNT="77") == 77
    assert spins("utils", OMP_WAIT_POLICY="PASSIVE") == 0


def test_the_librarys_default_is_the_one_that_the_benchmark_compares_with():
    assert spins("os") == threads.LIBRARYS


def test_the_table_has_the_ratio_to_the_librarys_default():
    seconds = {name: {"quiet": {"median": 10.0}, "busy": {"median": 50.0}} for name in threads.SETTINGS}
    seconds["this repository"] = {"quiet": {"median": 9.0}, "busy": {"median": 100.0}}
    first = threads.table({"seconds": seconds}).splitlines()[2]
    assert first == "| this repository | 9.0 s (0.90x) | 100.0 s (2.00x) |"
