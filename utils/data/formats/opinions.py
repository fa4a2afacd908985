"""Files of texts with opinions: tables of yours, and SemEval's and TweetEval's as they are published.

files = find_files(Path("tweets/gun-binary"))         # {split: file}; a split is None where there is one file
rows = read_rows(file, columns, annotators)           # [Given], whose labels are not checked yet

tweeteval    train_text.txt and train_labels.txt, a line a text: 0 none, 1 against, 2 favor (Barbieri et al. 2020)
five_point   id, topic, score, text, parted by tabs, without a head (SemEval-2016 Task 4 C)
table        a head and rows, or JSON: see utils/data/formats/tables.py; SemEval-2016 Task 6 is one (ID, Target,
             Tweet, Stance)
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from utils.data.formats.tables import cells, known_columns
from utils.data.formats.talks import clean, lines_of, text_of
from utils.data.splits import SPLIT_WORDS
from utils.system.errors import FileError, shown

# What is read of a table: {what it is: the names that its column may have}
COLUMNS = {
    "text": ("text", "tweet", "sentence"),
    "label": ("label", "score", "opinion", "stance"),
    "topic": ("topic", "target"),
    "id": ("id", "text_id", "tweet_id"),
}
TWEETEVAL = {"0": "none", "1": "against", "2": "favor"}  # its mapping.txt
_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl")


class Given(NamedTuple):
    """A row as its file has it.

    where   what messages call it
    key     its id; None: it has none
    topic   what it says it is on; None: it does not
    labels  {annotator: label}, an empty one None; a row with one label has it under ""
    """

    where: str
    key: str | None
    text: Any
    topic: str | None
    labels: dict[str, Any]


def find_files(path: Path) -> dict[str | None, Path]:
    """{split: file} of data that come split: a folder, or what the names of the files begin with (tweets/gun-binary).
    {None: file} of one file. A file of TweetEval's is its text file.

    Raises FileError where nothing is there, or two files are of one split."""
    if path.is_file():
        return {None: path}
    folder, start = (path, "") if path.is_dir() else (path.parent, path.name)
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    there = [one for one in there if one.is_file() and one.suffix in _SUFFIXES and one.name.startswith(start)]
    found: dict[str | None, Path] = {}
    for file in there:
        words = re.split(r"[^a-z]+", file.stem.removeprefix(start).lower())
        split = next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), None)
        if split is None or "labels" in words:
            continue
        if split in found:
            raise FileError(
                f"{path}: {found[split].name} and {file.name} are both of {split}. Give one file, or what the names of "
                "the right ones begin with"
            )
        found[split] = file
    if "train" in found:
        return found
    if len(there) == 1 and path.is_dir():
        return {None: there[0]}
    names = ", ".join(file.name for file in there[:9]) or "nothing"
    raise FileError(f"{path}: no file, and none of train there (found {names}). Name a file of texts")


def format_of(path: Path) -> str:
    """ "tweeteval", "five_point" or "table". Raises FileError for text that cannot be read."""
    if path.name.endswith("_text.txt"):
        return "tweeteval"
    first = next((line for _, line in lines_of(text_of(path))), "")
    return "five_point" if re.fullmatch(r"\d+\t[^\t]+\t-?[0-2]\t.+", first) else "table"


def read_rows(path: Path, columns: dict[str, str], annotators: Sequence[str] = ()) -> list[Given]:
    """The rows of a file.

    columns     {what it is: the name of its column}, for columns that COLUMNS does not know by their names
    annotators  the columns of several annotators, in place of one label column

    Raises FileError for a file that is not as its format says, and for a column that is not there."""
    form = format_of(path)
    if form != "table" and (columns or annotators):
        raise FileError(f"{path}: columns are for a table, and this is {form}. Leave --columns and --annotators out")
    if form == "tweeteval":
        return _tweeteval(path)
    return _five_point(path) if form == "five_point" else _table(path, columns, annotators)


def _tweeteval(path: Path) -> list[Given]:
    beside = path.with_name(path.name.removesuffix("_text.txt") + "_labels.txt")
    texts, labels = text_of(path).split("\n"), text_of(beside).split("\n")
    while texts and not texts[-1].strip():
        texts.pop()
    while labels and not labels[-1].strip():
        labels.pop()
    if len(texts) != len(labels):
        raise FileError(f"{path}: {len(texts):,} texts, and {beside.name} has {len(labels):,} labels. Give both whole")
    for number, label in enumerate(labels, 1):
        if label.strip() not in TWEETEVAL:
            raise FileError(f"{beside}, line {number}: {shown(label)} is no label of TweetEval's stance: 0, 1 or 2")
    return [
        Given(f"{path}, line {number}", None, clean(text), None, {"": TWEETEVAL[label.strip()]})
        for number, (text, label) in enumerate(zip(texts, labels), 1)
    ]


def _five_point(path: Path) -> list[Given]:
    found = []
    for number, line in lines_of(text_of(path)):
        parts = line.split("\t", 3)
        if len(parts) < 4:
            raise FileError(f"{path}, line {number}: not id, topic, score and text, parted by tabs. Write it again")
        key, topic, score, text = parts
        found.append(Given(f"{path}, line {number}", key, clean(text), topic.strip(), {"": score.strip()}))
    return found


def _table(path: Path, columns, annotators) -> list[Given]:
    rows = cells(path)
    known = known_columns([row for _, row in rows], columns, COLUMNS, path, "opinions", annotators)
    found = []
    for where, row in rows:
        cell = {what: row.get(name) for what, name in known.items() if name is not None}
        labels = {name: row.get(name) for name in annotators} if annotators else {"": cell.get("label")}
        labels = {name: None if isinstance(one, str) and not one.strip() else one for name, one in labels.items()}
        key, topic = (None if cell.get(what) in (None, "") else str(cell[what]).strip() for what in ("id", "topic"))
        found.append(Given(f"{path}, {where}", key, clean(cell["text"]), topic, labels))
    return found
