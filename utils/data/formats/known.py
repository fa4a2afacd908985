"""The formats by their names, and which one a file is in.

FORMATS["meld"].read(path); format_of(path); files_of(folder, "meld")
"""

import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from utils.data.formats import alpaca, dialogues, iemocap, tables
from utils.data.formats.talks import text_of
from utils.data.label_sets import SETS
from utils.data.labels import ECF, LabelSet
from utils.system.errors import ConversationError, FileError
from utils.system.files import parse_json, read_json, read_json_lines


class Format(NamedTuple):
    """How a corpus is published.

    read      path -> a list of conversations, not checked yet
    suffixes  of its files; none: a folder
    labels    its label set; None: it is taken from the data
    """

    read: Callable[..., Any]
    suffixes: tuple[str, ...]
    labels: LabelSet | None = None


def semeval(path: Path) -> Any:
    """What a JSON file holds: a list of conversations, or a conversation a line."""
    first, _, others = text_of(path).strip().partition("\n") if path.is_file() else ("", "", "")
    try:
        one_a_line = first.startswith("{") and (bool(others) or "conversation" in parse_json(first, path))
        if one_a_line:
            parse_json(first, path)
    except FileError:
        one_a_line = False
    return [one for _, one in read_json_lines(path)] if one_a_line else read_json(path)


# RECCON's annotators wrote several words for one emotion.
_RECCON = {
    **{word: "joy" for word in ("happiness", "happines", "happy", "excited")},
    **{"surprised": "surprise", "sad": "sadness", "angry": "anger", "frustrated": "anger"},
}
FORMATS = {
    "semeval": Format(semeval, (".json", ".jsonl")),
    "meld": Format(tables.meld, (".csv",), SETS["meld7"]),
    "emorynlp": Format(dialogues.emorynlp, (".json",), SETS["emorynlp7"]),
    "dailydialog": Format(dialogues.dailydialog, (".zip",), SETS["dailydialog7"]),
    "emotionlines": Format(dialogues.emotionlines, (".json",), replace(ECF, leave_out=("non-neutral",))),
    "goemotions": Format(tables.goemotions, (".tsv",), SETS["goemotions28"]),
    "reccon": Format(dialogues.reccon, (".json",), replace(ECF, merge=_RECCON)),
    "iemocap": Format(
        lambda path: (iemocap.release if path.is_dir() else iemocap.records)(path),
        (".json", ".pkl", ".pickle"),
        SETS["iemocap10"],
    ),
    "semeval2018": Format(tables.semeval2018, (".txt",), SETS["semeval11"]),
    "dair": Format(tables.dair, (".txt",), SETS["dair6"]),
    "alpaca": Format(alpaca.labelled, (".json", ".jsonl")),
    "csv": Format(tables.own_rows, (".csv", ".tsv", ".txt")),
    "jsonl": Format(tables.own_rows, (".jsonl", ".json")),
}
TABLES = ("csv", "jsonl")  # those that take `columns`


# ---- by content ----------------------------------------------------------------------------------------------------


def format_of(path: Path) -> str:
    """The format of a file or folder, by what is in it; "semeval" where it is none that is known, whose reader then
    says what is wrong. Raises FileError for text that cannot be read."""
    if path.is_dir():
        if any(path.glob("Session*/dialog/transcriptions")):
            return "iemocap"
        return "dailydialog" if any(path.glob("dialogues*.txt")) else "semeval"
    if path.suffix in (".pkl", ".pickle"):
        return "iemocap"
    if zipfile.is_zipfile(path):
        return "dailydialog"
    if path.suffix in (".csv", ".tsv", ".txt"):
        return _format_of_lines(text_of(path))
    return _format_of_json(semeval(path))


def _format_of_lines(text: str) -> str:
    head, *others = text.split("\n", 20)[:20]
    others = [line for line in others if line] or [head]
    if {"Dialogue_ID", "Utterance_ID", "Utterance", "Emotion"} <= {*head.strip().split(",")}:
        return "meld"
    if head.startswith("ID\tTweet\t"):
        return "semeval2018"
    if all(re.fullmatch(r"[^\t]*\t\d+(,\d+)*\t\w+", line.rstrip("\r")) for line in (head, *others)):
        return "goemotions"
    named = {name for names in tables.COLUMNS.values() for name in names}
    if not named & {*re.split("[,;\t]", head.strip().lower())} and all(";" in line for line in (head, *others)):
        return "dair"
    return "csv"


def _format_of_json(data: Any) -> str:
    if isinstance(data, dict):
        if isinstance(data.get("episodes"), list):
            return "emorynlp"
        if {*tables.COLUMNS["text"]} & {str(name).lower() for name in data}:
            return "jsonl"
        some = next(iter(data.values()), None)
        inner = some[0] if isinstance(some, list) and some else None
        return "reccon" if isinstance(inner, list) and inner and "turn" in inner[0] else "semeval"
    first = data[0] if isinstance(data, list) and data else None
    if isinstance(first, list) and first and isinstance(first[0], dict) and "annotation" in first[0]:
        return "emotionlines"
    if isinstance(first, dict) and {"emotion", "transcription"} <= {*first}:
        return "iemocap"
    if isinstance(first, dict) and {"instruction", "output"} <= {*first}:
        return "alpaca"
    if isinstance(first, dict) and "conversation_ID" not in first and not isinstance(first.get("conversation"), list):
        texts = {*tables.COLUMNS["text"]} & {str(name).lower() for name in first}
        return "jsonl" if texts else "semeval"
    return "semeval"


# ---- a folder of splits --------------------------------------------------------------------------------------------

_SPLITS = {
    **dict.fromkeys(("train", "trn"), "train"),
    **dict.fromkeys(("dev", "val", "valid", "validation"), "dev"),
    **dict.fromkeys(("test", "tst"), "test"),
}


def split_files(folder: Path, name: str | None = None) -> dict[Path, str]:
    """{file: train, dev or test} of the files in a folder that are called after a split; {} where there is none of
    train. name: a format, whose suffixes they have.

    Raises ConversationError where two files are of one split."""
    found: dict[Path, str] = {}
    suffixes = FORMATS[name].suffixes if name else {s for one in FORMATS.values() for s in one.suffixes}
    for path in sorted(folder.iterdir()):
        words = re.split(r"[^a-z]+", path.stem.lower())
        split = next((_SPLITS[word] for word in words if word in _SPLITS), None)
        fits = path.suffix in suffixes if path.is_file() else name == "dailydialog" and format_of(path) == name
        if split and fits and not path.name.startswith("."):
            if split in found.values():
                other = next(file for file, its in found.items() if its == split)
                raise ConversationError(
                    f"{folder}: {other.name} and {path.name} are both of {split}. Name the file, or keep one of them"
                )
            found[path] = split
    return found if "train" in found.values() else {}
