"""The code's revision says when a result does not come from what is committed.

python -m pytest tests/record/test_provenance.py
"""

import subprocess

import pytest

from utils.record import provenance
from utils.record.provenance import revision

NAMES = ("utils/a.py", "benchmarks/b.py", "configs/c.yaml", "README.md", "docs/d.txt", "tests/e.py", "results_train/f")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    def git(*arguments):
        who = ("-c", "user.name=n", "-c", "user.email=e")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=60)

    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    (tmp_path / ".gitignore").write_text("*.log\n")
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "one")):
        git(*arguments)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    return tmp_path


def test_the_commit_alone_where_nothing_differs(repository):
    assert len(revision()) == 12 and set(revision()) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "name", ["utils/a.py", "benchmarks/b.py", "configs/c.yaml", "benchmarks/new/script.py", "new.py", "configs/p.json"]
)
def test_changed_and_new_code_is_marked(repository, name):
    clean = revision()
    (repository / name).parent.mkdir(exist_ok=True)
    (repository / name).write_text("2")
    assert revision() == f"{clean}+changes"


@pytest.mark.parametrize(
    "name",
    ["README.md", "docs/d.txt", "docs/new.md", "benchmarks/README.md", "tests/e.py", "results_train/f",
     "results_test/n", "benchmarks/results/speed.json", "a.log", "PRED.json", "talk.txt"],
)  # fmt: skip
def test_what_no_result_depends_on_is_not_marked(repository, name):
    clean = revision()
    (repository / name).parent.mkdir(parents=True, exist_ok=True)
    (repository / name).write_text("2")
    assert revision() == clean
