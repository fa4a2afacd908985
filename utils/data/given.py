"""Conversations as people have them: JSON, JSON lines, a table, or text with a line an utterance; in a file or from
standard input.

    read_given("talk.txt")       # Ana: Where is it?
    read_given("talks.jsonl")    # a conversation a line
    read_given("-")              # what stands in standard input
    for conversation in each_given("millions.jsonl"): ...      # one after another
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from utils.data.conversations import Conversation, file_in, without_labels
from utils.data.formats.tables import own_rows
from utils.data.validation import same_id, validate_conversations
from utils.system.errors import ConversationError, FileError, UserError, shown
from utils.system.files import parse_json, read_text

STDIN = "-"
TABLES, LINES = (".csv", ".tsv"), (".jsonl", ".ndjson")
SPOKEN = ("text", "speaker", "conversation")  # what is read of a table's columns


def read_given(
    path: str | Path, columns: dict[str, str] | None = None, faults: list | None = None
) -> list[Conversation]:
    """The conversations of a file, of the one obvious file of a folder (`file_in`), or for "-" of standard input.
    Labels that they carry are not looked at.

    `.json` is JSON, `.jsonl` a conversation a line, `.txt` text, `.csv` and `.tsv` a table with a row an utterance
    (utils.data.formats.tables.own_rows), whose labels are left out; else what is written tells which of the first three
    it is.

    columns  of a table, {what it is: its column}, for columns that are called otherwise (SPOKEN)
    faults   takes conversations that are not sound, which are then left out (see `validate_conversations`)

    Raises FileError for what cannot be read, ConversationError for what is no conversation, each naming the line or
    the field.
    """
    if columns and (str(path) == STDIN or file_in(path).suffix.lower() not in TABLES):
        raise FileError(f"{path}: columns are for a table ({' or '.join(TABLES)}). Leave them out, or give a table")
    if str(path) == STDIN:
        try:
            return conversations_in(sys.stdin.buffer.read().decode("utf-8-sig"), "standard input", faults=faults)
        except UnicodeDecodeError as error:
            raise FileError(f"standard input: not UTF-8 (byte {error.start}). Give it as UTF-8.") from error
    path = file_in(path)
    if path.suffix.lower() in TABLES:
        found = validate_conversations(own_rows(path, columns), path, faults=faults, labels=None)
        return [without_labels(one) for one in found]
    return conversations_in(read_text(path), path, path.suffix.lower(), faults)


def each_given(path: str | Path) -> Iterator[Conversation]:
    """The conversations of a file, one after another: of `.jsonl` and `.parquet` (a row a conversation, its columns
    called as in JSON) without holding all of them, of other files as `read_given` reads them.

    Raises what `read_given` raises, and ConversationError for a conversation_ID that is there twice."""
    path = file_in(path)
    suffix, seen = path.suffix.lower(), set()
    if suffix not in (*LINES, ".parquet"):
        yield from read_given(path)
        return
    for where, data in _rows_of_parquet(path) if suffix == ".parquet" else _lines_of(path):
        (one,) = validate_conversations([data], where, labels=None)
        if (key := same_id(one["conversation_ID"])) in seen:
            raise ConversationError(f"{where}: conversation_ID {shown(one['conversation_ID'])} was there before")
        seen.add(key)
        yield one


def _lines_of(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield (where := f"{path}, line {number}"), parse_json(line, where)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}). Give another file.") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: not UTF-8. Save the file as UTF-8.") from error


def _rows_of_parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow.parquet

    try:
        number = 0
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(1000):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}, row {number}", _without_nulls(row)
    except (OSError, pyarrow.ArrowException) as error:
        raise FileError(f"{path}: cannot be read as Parquet ({' '.join(str(error).split())[:200]})") from error


def _without_nulls(value):
    """A row as JSON had it: Parquet gives every object the fields of all."""
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


def inputs_of(path: str | Path) -> list[Path]:
    """The files that `read_given` reads: one, or none for standard input. Raises ConversationError as `file_in`."""
    return [] if str(path) == STDIN else [file_in(path)]


def conversations_in(text: str, source: str | Path, suffix: str = "", faults: list | None = None) -> list[Conversation]:
    """The conversations that `text` holds; `source` is what messages call it, `suffix` that of its file. `faults` and
    the errors are those of `read_given`."""
    talks = talks_in(text)
    lines = [line for talk in talks for line in talk]
    first = lines[0][1] if lines else ""
    if suffix in LINES or suffix != ".json" and _is_object(first):
        data = _sound(lambda line: parse_json(line[1], f"{source}, line {line[0]}"), lines, faults)
    elif not first:
        raise ConversationError(f"{source}: the file is empty. Write lines of Speaker: text, or conversations in JSON")
    elif suffix == ".json" or suffix != ".txt" and is_json(text):
        data = parse_json(text, source)
    else:
        data = _sound(lambda one: _spoken(one[0], one[1], source), enumerate(talks, 1), faults)
    if faults and not data:
        raise ConversationError(f"{source}: none of {len(faults):,} conversations is sound. The first: {faults[0][1]}")
    return validate_conversations(data, source, faults=faults, labels=None)


def talks_in(text: str) -> list[list[tuple[int, str]]]:
    """The conversations in a text of lines: of each its lines, with their numbers in the text. A line that is empty, or
    several together, end a conversation; at the beginning and the end of the text they say nothing."""
    found: list[list[tuple[int, str]]] = [[]]
    for number, line in enumerate(text.split("\n"), 1):
        if line := line.strip():
            found[-1].append((number, line))
        else:
            found.append([])
    return [one for one in found if one]


def _sound(read: Callable, given: Iterable, faults: list | None) -> list:
    """What `read` makes of each of `given`. What it raises instead `faults` takes, if there is such a list."""
    found = []
    for one in given:
        try:
            found.append(read(one))
        except UserError as error:
            if faults is None:
                raise
            faults.append((None, str(error)))
    return found


def is_json(text: str) -> bool:
    """Whether a text that may be lines of `Speaker: text` is JSON: "[Narrator]: ..." is such a line, and what has a
    bracket or a quotation mark behind its first bracket is JSON."""
    return bool(re.match(r'[\[{]\s*(["\[{\]}]|$)', text.strip()))


def utterance_in(line: str, where: str) -> tuple[str, str]:
    """(speaker, text) of a line `Speaker: text`. Raises ConversationError, naming `where`, for another one."""
    if re.match(r"\W*(\d+\W+)*\d+:\d\d", line):  # [12:03] Ana: ...
        raise ConversationError(f"{where}: a time stands before the speaker. Write it as Speaker: text")
    speaker, colon, words = map(str.strip, line.partition(":"))
    if not speaker or not words:
        lacks = "no speaker" if not colon or not speaker else f"no text behind {shown(speaker)}"
        raise ConversationError(f"{where}: {lacks}. Write it as Speaker: text")
    return speaker, words


def _is_object(line: str) -> bool:
    """Whether a line is a whole object of JSON."""
    try:
        return line.startswith("{") and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _spoken(key: int, talk: list[tuple[int, str]], source) -> dict:
    """The conversation in numbered lines of `Speaker: text`."""
    said = [utterance_in(line, f"{source}, line {number}") for number, line in talk]
    utterances = [{"utterance_ID": k, "text": words, "speaker": speaker} for k, (speaker, words) in enumerate(said, 1)]
    return {"conversation_ID": key, "conversation": utterances}
