"""From files of instructions with answers to an input: read, cleaned, split, ready to be written.

made = make_input("alpaca_data.json")         # what generate_input.py --task instruction writes
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from utils.data.formats.alpaca import Given, files_of, read_examples
from utils.data.instruction_cleaning import REASONS, cleaned, same
from utils.data.instructions import EXAMPLES_FILE, Example, check_examples, spaced, with_choices
from utils.data.splits import SPLITS, deal
from utils.data.templates import Template, template_names
from utils.data.validation import same_id
from utils.system.errors import InstructionError
from utils.system.files import to_json

FRACTIONS = (0.8, 0.1, 0.1)
SAMPLE = "data/instructions/examples.jsonl"  # what ships
REPORT_FILE = "report.json"  # beside the splits: what was left out, and why


class Made(NamedTuple):
    """An input that is ready to be written.

    files  {name below the folder: its text}
    parts  {split: examples}
    read   the files that it was made of
    told   what became of examples, a line each, for a person to read
    """

    files: dict[str, str]
    parts: dict[str, list[Example]]
    read: list[Path]
    told: list[str]


def make_input(
    data: str | Path,
    fractions: Sequence[float] | None = None,
    seed: int = 42,
    unlabelled: str | Path | None = None,
) -> Made:
    """Reads, cleans and splits everything; nothing is written.

    data        a file or a folder (utils/data/formats/alpaca.py)
    fractions   shares of train, val and test; default: the splits that the data come in, else FRACTIONS
    unlabelled  a file of examples for inference, whose answers are not read

    An instruction with its input stands in one split alone, and so does a picture with all that is asked about it:
    where the data come split, in the last one that has it.
    Raises FileError, InstructionError and SplitError for data that cannot be used."""
    files = files_of(Path(data))
    last_first = sorted(files, key=lambda split: -SPLITS.index(split or SPLITS[0]))  # of duplicates train loses its own
    given = {split: [one for file in files[split] for one in read_examples(file)] for split in last_first}
    markers = _markers()
    everything = [one for its in given.values() for one in its]
    _check_ids(everything)
    kept, left_out = cleaned(everything, markers)
    if not kept:
        why = ", ".join(dict.fromkeys(reason for _, reason in left_out)) or "it is empty"
        raise InstructionError(f"{data}: no example is left ({why}). Give other data")
    examples = with_choices(_numbered(kept, everything))
    if None in files or fractions:
        parts = deal(examples, _question, _stratum, fractions or FRACTIONS, seed)
    else:
        split_of = {id(one): split for split, its in given.items() for one in its}
        parts = {name: [e for e, one in zip(examples, kept) if split_of[id(one)] == name] for name in SPLITS}
        parts, again = _apart(parts, kept, examples)
        left_out += again
    told = [f"read: {len(everything):,} examples of {sum(map(len, files.values())):,} files"]
    told += _told(left_out, parts)
    read = [file for its in files.values() for file in its]
    if unlabelled:
        parts["unlabelled"], odd = cleaned_file(Path(unlabelled), answered=False)
        left_out += odd
        read.append(Path(unlabelled))
        told.append(f"unlabelled: {len(parts['unlabelled']):,} examples, {len(odd):,} left out")
    for name, its in parts.items():
        check_examples(its, name, answered=name != "unlabelled")
    report = {
        "data": Path(data).name,
        "read": len(everything),
        "splits": {name: len(its) for name, its in parts.items()},
        "left_out": {reason: count for reason, count in _counted(left_out).items() if count},
        "examples": [{"where": one.where, "reason": reason} for one, reason in left_out],
        "classifications": _classifications(parts),
    }
    texts = {f"{name}/{EXAMPLES_FILE}": to_json(its) for name, its in parts.items()}
    return Made({**texts, REPORT_FILE: to_json(report)}, parts, read, told)


def cleaned_file(path: Path, answered: bool = True) -> tuple[list[Example], list[tuple[Given, str]]]:
    """(the examples of a file that stay, with ids, those that are left out with the reason). answered: whether answers
    are read, and each must have one. Raises FileError and InstructionError."""
    kept, left_out = cleaned(read_examples(path, answered), _markers())
    _check_ids(kept)
    examples = _numbered(kept, kept)
    return with_choices(examples) if answered else examples, left_out


def _markers() -> list[str]:
    return sorted({marker for name in template_names() for marker in Template.read(name).markers})


IN_TWO = "in a later split too"  # the reason where data come split


def _apart(parts, kept: list[Given], examples: list[Example]):
    """(the splits without the examples of an earlier one whose question stands in a later one, these with the
    reason)."""
    of = {id(example): one for example, one in zip(examples, kept)}
    found, left_out = dict(parts), []
    for number, name in enumerate(SPLITS):
        later = {_question(one) for other in SPLITS[number + 1 :] for one in parts[other]}
        found[name] = [one for one in parts[name] if _question(one) not in later]
        left_out += [(of[id(one)], IN_TWO) for one in parts[name] if _question(one) in later]
    return found, left_out


def _check_ids(given: Sequence[Given]) -> None:
    """Raises InstructionError where two examples have one id."""
    seen: dict[Any, str] = {}
    for one in given:
        if one.key is None:
            continue
        if same_id(one.key) in seen:
            raise InstructionError(
                f"{one.where}, field 'id': {seen[same_id(one.key)]} has the id {one.key} too. Give each its own"
            )
        seen[same_id(one.key)] = one.where


def _numbered(given: Sequence[Given], everything: Sequence[Given]) -> list[Example]:
    """Examples with their ids; where none of them has one, with their number in the data."""
    named = any(one.key is not None for one in everything)
    number = {id(one): position for position, one in enumerate(everything, 1)}
    found: list[Any] = []
    for one in given:
        key = f"{number[id(one)]}" if named and one.key is None else one.key
        found.append({"example_ID": number[id(one)] if key is None else key, **one.fields})
    return found


def _question(example: Example) -> str:
    """What stands in one split alone: a picture, else a question."""
    return f"image {example['image']}" if "image" in example else same(example["instruction"], example["input"])


def _stratum(example: Example) -> str:
    """Of classifications the answer; other examples are alike."""
    return f"{spaced(example['instruction'])}\n{example.get('output')}" if "choices" in example else ""


def _classifications(parts: dict[str, list[Example]]) -> dict[str, int]:
    """How many instructions are classifications, and how many examples these have."""
    found = [spaced(one["instruction"]) for its in parts.values() for one in its if "choices" in one]
    return {"instructions": len({*found}), "examples": len(found)}


def _counted(left_out) -> Counter:
    return Counter(reason for _, reason in left_out)


def _told(left_out, parts) -> list[str]:
    counts, several = _counted(left_out), _classifications(parts)
    lines = [f"left out, {reason}: {counts[reason]:,} examples" for reason in (*REASONS, IN_TWO) if counts[reason]]
    if several["examples"]:
        lines.append(
            f"classifications: {several['examples']:,} examples of {several['instructions']:,} instructions, each "
            "with a few answers that come again"
        )
    return lines


def count_table(parts: dict[str, list[Example]]) -> str:
    """How many examples the splits have, as text: a row a split."""
    rows = [["", "examples", "instructions", "with input", "classifications"]]
    for name, its in parts.items():
        different = len({spaced(one["instruction"]) for one in its})
        counts = len(its), different, sum(bool(one["input"]) for one in its), sum("choices" in one for one in its)
        rows.append([name, *(f"{count:,}" for count in counts)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join([cells[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:]))])
        for cells in rows
    )
