"""Ctrl-C or SIGTERM in a command's first moments, while it imports its libraries: one line, whatever the moment.

python -m pytest tests/promises/test_first_moments.py
"""

import os
import signal
import subprocess
import sys

import pytest
from helpers import ROOT, heeds_ctrl_c

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of Unix")


def stopped_at(command, module, ignored=False, stop=signal.SIGINT, **environment):
    """(status, what it says) of a command that gets a signal right after the import of `module`."""
    preparation = (lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignored else heeds_ctrl_c
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", *command],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=preparation,
        env={**os.environ, **environment},
    ) as process:
        lines, sent = [], False
        for line in process.stderr:
            lines.append(line)
            if not sent and line.rstrip().endswith(f" {module}"):
                process.send_signal(stop)
                sent = True
        process.wait(timeout=120)
    assert sent, f"{module} was not imported"
    return process.returncode, [line for line in lines if not line.startswith("import time:") and line.strip()]


# What each command imports early and late in its first half second.
@pytest.mark.parametrize(
    ("command", "module"),
    [
        (["-m", "utils.score", "--help"], "numpy._core.multiarray"),
        (["-m", "utils.score", "--help"], "utils.system.errors"),
        (["-m", "utils.chain", "--help"], "yaml"),
        (["-m", "utils.chain", "--help"], "utils.config"),
        (["generate_input.py", "--help"], "utils.system.errors"),
        (["-m", "utils.predict", "--help"], "utils"),
    ],
)
def test_ctrl_c_while_a_command_imports_is_one_line(command, module):
    status, said = stopped_at(command, module)
    assert status == 130 and len(said) == 1 and "interrupted" in said[0], said


@pytest.mark.parametrize("module", ["utils.system.errors", "yaml"])
def test_sigterm_is_one_line_too(module):
    status, said = stopped_at(["-m", "utils.chain", "--help"], module, stop=signal.SIGTERM)
    assert status == 143 and len(said) == 1 and "interrupted" in said[0], said


def test_a_rank_that_its_launcher_ends_ends_at_once():
    command = ["-m", "utils.train", "--help"]
    assert stopped_at(command, "utils.system.errors", stop=signal.SIGTERM, RANK="0") == (-signal.SIGTERM, [])


def test_a_command_in_the_background_whose_ctrl_c_is_ignored_goes_on():
    assert stopped_at(["-m", "utils.score", "--help"], "utils.system.errors", ignored=True) == (0, [])


def test_only_commands_take_ctrl_c_over():
    """A notebook's or another program's own handling stays."""
    code = "import signal, utils; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, preexec_fn=heeds_ctrl_c, timeout=120
    )
    assert done.stdout == "True\n"
