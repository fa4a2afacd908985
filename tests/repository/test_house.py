"""The rules of the house: short files, no circle, imports inside functions only where they save something heavy, and no
branch on a task's name outside utils/tasks/."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import house


def test_no_file_is_over_350_lines():
    lengths = {str(file): len(file.read_text("utf-8").splitlines()) for file in house.modules().values()}
    assert {file: count for file, count in lengths.items() if count > 350} == {}


def test_no_circle_and_no_way_up_to_generate_input():
    known = house.modules()
    graph = {name: {one for one, _ in house.imports(file, known) if one in known} for name, file in known.items()}
    assert house.circles(graph) == []
    assert not any("generate_input" in found for found in graph.values())


def test_imports_inside_functions_save_something_heavy():
    assert house.light_deferred() == []


def test_tasks_are_told_apart_in_their_room_alone():
    assert house.branches() == []


def test_circles_are_seen():
    assert house.circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c"]]
