"""Instructions with answers, as the splits of an input have them (examples.json).

[{"example_ID": 7, "instruction": "...", "input": "...", "output": "...", "choices": ["yes", "no"]}, ...]

input    what the instruction is about; "" where it needs nothing
output   the answer; absent where nobody has answered yet
choices  of a classification: the answers to choose from, output among them; absent otherwise
image    the path of a picture beside the data; absent otherwise. It is never opened: vectors go by its name
"""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NotRequired, TypedDict

from utils.data.validation import is_blank, items_with_ids
from utils.system.errors import InstructionError, shown
from utils.system.files import read_json

EXAMPLES_FILE = "examples.json"


class Example(TypedDict):
    example_ID: int | str
    instruction: str
    input: str
    output: NotRequired[str]
    choices: NotRequired[list[str]]
    image: NotRequired[str]


def load_examples(path: str | Path, answered: bool = True) -> list[Example]:
    """The examples in a file that generate_input.py wrote, checked. answered: whether each must have an output.

    Raises FileError and InstructionError."""
    return check_examples(read_json(path), path, answered)


def check_examples(data: Any, source: str | Path, answered: bool = True) -> list[Example]:
    """`data`, once it is known to be a list of sound examples.

    Raises InstructionError for the first fault, naming the example, the field and the fix."""
    for where, one in items_with_ids(data, source, "example", InstructionError):
        check_example(one, where, answered)
        if answered and is_blank(one["output"]):
            raise InstructionError(f"{where}, field 'output': the answer is empty. Write it, or leave the example out")
    return data


def check_example(one: dict[str, Any], where: str, answered: bool) -> None:
    """Raises InstructionError for a field that is missing or of another type, for an instruction in which nothing can
    be seen, for choices that are none, and for a picture's path that leads elsewhere. An answer may be empty."""
    for name in ("instruction", "input", *(["output"] if answered else [])):
        if not isinstance(one.get(name), str):
            found = "it is missing" if one.get(name) is None else f"{shown(one[name])} is no text"
            raise InstructionError(f"{where}, field {name!r}: {found}. Write a text, in quotes")
    if is_blank(one["instruction"]):
        raise InstructionError(f"{where}, field 'instruction': it is empty. Write words, or leave the example out")
    if "choices" in one:
        _check_choices(one, where, answered)
    if "image" in one:
        _check_image(one["image"], where)


def _check_image(path: Any, where: str) -> None:
    below = isinstance(path, str) and not is_blank(path) and "://" not in path and "\0" not in path
    if below:
        below = not (PureWindowsPath(path).anchor or "\\" in path or ".." in PurePosixPath(path).parts)
    if not below:
        raise InstructionError(
            f"{where}, field 'image': {shown(path)} is no path below the folder of the data. Write one, such as "
            "pictures/7.jpg, or leave it out"
        )


def check_images(examples: Iterable[Example], source: str | Path) -> None:
    """Raises InstructionError where two pictures have one name, by which vectors go."""
    seen: dict[str, str] = {}
    for one in examples:
        path = one.get("image", "")
        other = seen.setdefault(PurePosixPath(path).stem, path)
        if other != path:
            raise InstructionError(
                f"{source}, example {one['example_ID']}, field 'image': {shown(path)} has the name of {shown(other)}. "
                "Give pictures names of their own: their vectors go by them"
            )


def _check_choices(one: dict[str, Any], where: str, answered: bool) -> None:
    choices = one["choices"]
    texts = isinstance(choices, list) and all(isinstance(c, str) and not is_blank(c) for c in choices)
    if not texts or len({*choices}) < max(len(choices), 2):
        raise InstructionError(
            f"{where}, field 'choices': {shown(choices)}. Write the answers to choose from, two different texts or more"
        )
    if answered and one["output"] not in choices:
        raise InstructionError(
            f"{where}, field 'output': {shown(one['output'])} is none of its choices. Correct it, or add it to them"
        )


def without_output(example: Example) -> Example:
    """The example as a question: without its answer."""
    return {name: value for name, value in example.items() if name != "output"}  # pyright: ignore[reportReturnType]


def with_choices(examples: Sequence[Example]) -> list[Example]:
    """The examples, of which those of a classification have choices.

    A classification is an instruction with two answers at least, each of which several of its examples have: the
    answers are then what there is to choose from. Choices that an example has already stay.
    """
    counts: dict[str, dict[str, int]] = {}
    for one in examples:
        outputs = counts.setdefault(spaced(one["instruction"]), {})
        outputs[one["output"]] = outputs.get(one["output"], 0) + 1
    choices = {
        key: sorted(outputs) for key, outputs in counts.items() if len(outputs) > 1 and min(outputs.values()) > 1
    }
    found: list[Example] = []
    for one in examples:
        its = one.get("choices") or choices.get(spaced(one["instruction"]))
        found.append({**one, "choices": its} if its else one)
    return found


def spaced(text: str) -> str:
    """A text with single blanks: what equal instructions are equal in."""
    return " ".join(text.split())
