"""The rules for tests: what they share is in helpers.py, and whatever waits has a time limit.

python -m pytest tests/repository/test_tests.py
"""

import ast
import re

import pytest
from helpers import ROOT

FILES = sorted((ROOT / "tests").rglob("*.py"))
WAITING = {"run", "check_call", "check_output", "wait", "communicate"}


def name(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_test_imports_another(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            assert not [one for one in modules if one.split(".")[-1].startswith(("test_", "conftest"))], node.lineno


@pytest.mark.parametrize("path", FILES, ids=name)
def test_whoever_waits_for_a_process_has_a_time_limit(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WAITING:
            process = node.func.attr in ("wait", "communicate")
            if process or (isinstance(node.func.value, ast.Name) and node.func.value.id == "subprocess"):
                limit = any(keyword.arg in ("timeout", None) for keyword in node.keywords)  # None: **options
                assert limit, f"line {node.lineno}: give it timeout=SECONDS"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_what_a_person_has_in_the_repository_is_not_read(path):
    """input/ and models/ are a person's own, and runs of theirs stand beside those that ship."""
    own = r"""(?<!places\.)ROOT\)? / ["'](input|models)\b|ROOT\)?\.glob\(["']results_t|ROOT / ["']results_t\w+["']\)"""
    found = [line for line in path.read_text(encoding="utf-8").splitlines() if re.search(own, line)]
    assert not found or path.name == "helpers.py", "patch places.ROOT, or read what helpers.shipped finds"


def test_every_room_has_a_folder_of_tests():
    rooms = {path.parent.name for path in (ROOT / "utils").glob("*/__init__.py")}
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders >= rooms | {"doors", "promises", "repository"} and len(rooms) == 7
    assert not list((ROOT / "tests").glob("test_*.py")), "a test belongs into the folder of its room"


def test_names_of_test_files_differ():
    names = [path.name for path in FILES if path.name.startswith("test_")]
    assert len(set(names)) == len(names)
