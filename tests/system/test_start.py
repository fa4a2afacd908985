"""Before any package is there: each door says what to type, and so does the first script of the README.

python -m pytest tests/system/test_start.py
"""

import re
import subprocess
import sys

import pytest
from helpers import ROOT

from utils.system.start import EMBEDDED_PACKAGE, ENVIRONMENT

DOORS = sorted(path.stem for path in (ROOT / "utils").glob("*.py") if path.stem not in ("__init__", "config"))


def bare(*command):
    """The finished process of Python with the standard library alone, as before `make setup`."""
    return subprocess.run([sys.executable, "-S", "-E", *command], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("command", [["-m", f"utils.{door}"] for door in DOORS] + [["generate_input.py"]], ids=str)
def test_a_missing_package_ends_in_what_to_type(command):
    done = bare(*command, "--help")
    if done.returncode == 0:  # it needs none for its help
        assert "usage:" in done.stdout and done.stderr == ""
        return
    package, rest = re.match(r"the package (\w+) is missing\. (.*)\n$", done.stderr, re.S).groups()
    assert done.returncode == 2 and package not in sys.stdlib_module_names and rest == ENVIRONMENT


def test_most_doors_need_a_package():
    assert bare("-m", "utils.predict").returncode == bare("-m", "utils.chain").returncode == 2


def test_what_to_type_is_what_the_readme_says():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    start = readme.partition("## Start")[2].partition("## ")[0]
    for line in re.findall(r"^    (.+)$", ENVIRONMENT, re.M):
        assert line in start, line
    assert EMBEDDED_PACKAGE in ENVIRONMENT
    block = re.search(r"```bash\n(.*?)```", start, re.S)[1]
    assert len(block.splitlines()) <= 6 and block.startswith("make setup")


def test_a_fault_of_our_own_is_no_missing_package():
    code = (
        "import sys; sys.argv[0] = '-m'\n"
        "import utils\n"
        "assert sys.excepthook is utils.start.name_missing_package\n"
        "import utils.nowhere"
    )
    done = bare("-c", code)
    assert done.returncode == 1 and "Traceback" in done.stderr and "utils.nowhere" in done.stderr


def test_only_commands_are_listened_to():
    code = "import sys, utils; print(sys.excepthook is sys.__excepthook__)"
    assert bare("-c", code).stdout == "True\n"
