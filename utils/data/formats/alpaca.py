"""Files of instructions with answers, and texts with labels in their form.

    files_of(Path("tasks"))       # {split: files}; {None: files} of data that do not come split
    read_examples(path)           # [Given], whose fields are checked

    alpaca   [{"instruction": "...", "input": "...", "output": "..."}, ...] or such an object a line (Taori et al. 2023)
    seeds    "instances": [{"input": "...", "output": "..."}, ...] in place of input and output (Wang et al. 2023)

An input may be absent. "choices", the answers of a classification, and "image", a picture's path, may be there. Other
fields are not read.

    labelled(path)                # conversations: the input is a text, the output the number of its label
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from utils.data.formats.tables import ALONE
from utils.data.formats.talks import clean, talk, unfit
from utils.data.instructions import check_example
from utils.data.splits import SPLIT_WORDS
from utils.data.validation import is_id
from utils.system.errors import FileError, InstructionError, shown
from utils.system.files import parse_json, read_json_lines, read_text

_SUFFIXES = (".json", ".jsonl")
_FIELDS = ("instruction", "input", "output", "choices", "image")
_NUMBERED = re.compile(r"(\w[\w-]*) ?\( ?(\d+) ?\)")  # sadness (0), joy (1)


class Given(NamedTuple):
    """An example as its file has it.

    where   what messages and reports call it
    key     its id; None: it has none
    fields  instruction, input and, if they are there, output, choices and image
    """

    where: str
    key: int | str | None
    fields: dict[str, Any]


def files_of(path: Path) -> dict[str | None, list[Path]]:
    """{split: its files} of a folder that has a file of train, {None: files} of another folder, or of one file.

    Raises FileError where nothing is there."""
    if not path.is_dir():
        return {None: [path]}
    there = sorted(one for one in path.iterdir() if one.suffix in _SUFFIXES and one.is_file())
    if not there:
        raise FileError(f"{path}: holds no .json and no .jsonl. Name a file, or a folder of such files")
    found: dict[str | None, list[Path]] = {}
    for file in there:
        words = re.split(r"[^a-z]+", file.stem.lower())
        found.setdefault(next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), None), []).append(file)
    if "train" not in found:
        return {None: there}
    if None in found:
        names = ", ".join(file.name for file in found[None])
        raise FileError(f"{path}: {names}: the name says no split, and others do. Name a split in it, or remove it")
    return found


def read_examples(path: Path, answered: bool = True) -> list[Given]:
    """The examples of a file; each of its instances is one. answered: whether each must have an output.

    Raises FileError for a file that cannot be read, InstructionError for an example with a wrong or missing field."""
    text = read_text(path)
    if text.lstrip().startswith("["):
        data = parse_json(text, path)
        given = [(f"{path}, example {number}", one) for number, one in enumerate(data, 1)]
    else:
        given = read_json_lines(path)
    return [one for where, fields in given for one in _examples(fields, where, answered)]


def _examples(data: Any, where: str, answered: bool) -> list[Given]:
    if not isinstance(data, dict):
        raise InstructionError(f'{where}: {shown(data)} where an object belongs. Write {{"instruction": ..., ...}}')
    key = data.get("id", data.get("example_ID"))
    if key is not None and not is_id(key):
        raise InstructionError(f"{where}, field 'id': {shown(key)} is no number and no name. Give another, or none")
    if "instances" not in data:
        return [Given(where, key, _fields(data, where, answered))]
    instances = data["instances"]
    if not isinstance(instances, list) or not all(isinstance(one, dict) for one in instances) or not instances:
        raise InstructionError(
            f'{where}, field \'instances\': {shown(instances)}. Write a list of {{"input": ..., "output": ...}}'
        )
    if len(instances) == 1:
        return [Given(where, key, _fields({**data, **instances[0]}, where, answered))]
    return [
        Given(place, None if key is None else f"{key}-{number}", _fields({**data, **one}, place, answered))
        for number, one in enumerate(instances, 1)
        for place in [f"{where}, instance {number}"]
    ]


def _fields(data: dict, where: str, answered: bool) -> dict[str, Any]:
    found = {name: clean(data[name]) for name in _FIELDS if data.get(name) is not None}
    found.setdefault("input", "")
    if found.get("image") == "":  # as others write that there is none
        del found["image"]
    if not answered:
        found = {name: value for name, value in found.items() if name != "output"}
    if isinstance(found.get("choices"), list):
        found["choices"] = [clean(one) for one in found["choices"]]
    check_example(found, where, answered)
    return found


def labelled(path: Path) -> list[dict]:
    """A conversation a text, numbered from 1: of examples whose instruction numbers the labels as in "sadness (0), joy
    (1)", whose input is a text, in quotation marks or without, and whose output is a label's number or name. So are the
    296 rows of heng840/alpaca_emotion_recognition. Raises FileError, InstructionError."""
    found = []
    for number, one in enumerate(read_examples(path), 1):
        labels = {digits: label for label, digits in _NUMBERED.findall(one.fields["instruction"])}
        label = labels.get(one.fields["output"], one.fields["output"])
        if label not in labels.values():
            where = one.where.removeprefix(f"{path}, ")
            reason = f"{where}: its output is {shown(label)}, and its instruction numbers {shown([*labels])}"
            raise unfit(path, "texts with numbered labels in Alpaca's form", reason)
        text = re.sub(r"""^(['"])(.*)\1$""", r"\2", one.fields["input"], flags=re.S)
        found.append(talk(number, [{"text": text, "speaker": ALONE, "emotion": label}]))
    return found
