"""Corpora that are published as tables, a row an utterance or a text.

    meld(path)          train_sent_emo.csv (Poria et al. 2019)
    goemotions(path)    train.tsv (Demszky et al. 2020): text, numbers of labels, id
    semeval2018(path)   2018-E-c-En-dev.txt (Mohammad et al. 2018): ID, Tweet, and a column of 0 and 1 a label
    dair(path)          train.txt of dair-ai/emotion (Saravia et al. 2018): text;label
    own_rows(path, columns)     your own: see COLUMNS

Each returns conversations that are not checked yet; a row without a conversation is one. Raises FileError for a file
that is not in its format. Messages count rows as a spreadsheet does: the head is row 1, a cell may have several lines.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from utils.data.formats.talks import lines_of, talk, text_of, unfit
from utils.data.label_sets import SETS
from utils.data.validation import Placed
from utils.system.errors import FileError, shown
from utils.system.files import parse_json, read_json_lines, to_json

ALONE = "A"  # who speaks where nobody is named
# What is read of your own tables: {what it is: the names that its column may have}
COLUMNS = {
    "text": ("text", "utterance", "sentence", "tweet"),
    "label": ("label", "labels", "emotion", "emotions"),
    "speaker": ("speaker",),
    "conversation": ("conversation", "conversation_id", "dialogue", "dialogue_id"),
    "votes": ("votes",),
}


def meld(path: Path) -> list[dict]:
    """A conversation a dialogue, called by its number, with season and episode; utterances keep their sentiment."""
    found: dict[str, dict] = {}
    for where, row in _table(path, ","):
        try:
            fields = {"season": int(row["Season"]), "episode": int(row["Episode"])}
            utterances = found.setdefault(row["Dialogue_ID"], {**fields, "utterances": []})["utterances"]
            one = {
                "utterance_ID": int(row["Utterance_ID"]) + 1,
                "text": row["Utterance"],
                "speaker": row["Speaker"],
                "emotion": row["Emotion"].strip(),
                "sentiment": row["Sentiment"],
            }
            utterances.append(Placed(one, where))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise unfit(path, "MELD", f"{where}: {error!r}") from error
    return [talk(_number(key), one.pop("utterances"), **one) for key, one in found.items()]


def goemotions(path: Path) -> list[dict]:
    """A conversation a comment, called by its id, with a list of labels."""
    labels, found = SETS["goemotions28"].labels, []
    for number, line in lines_of(text_of(path)):
        try:
            text, numbers, key = line.split("\t")
            emotion = [labels[int(one)] for one in numbers.split(",")]
        except (IndexError, ValueError) as error:
            raise unfit(path, "GoEmotions", f"line {number}: {error}") from error
        found.append(talk(key, [{"text": text, "speaker": ALONE, "emotion": emotion}]))
    return found


def semeval2018(path: Path) -> list[dict]:
    """A conversation a tweet, called by its ID, with a list of labels; null where no label is 1."""
    found = []
    for where, row in _table(path, "\t", quoted=False):
        try:
            key, text = row.pop("ID"), row.pop("Tweet")
            if not {*row.values()} <= {"0", "1"}:
                raise ValueError("a label is 0 or 1")
        except (KeyError, TypeError, ValueError) as error:
            raise unfit(path, "SemEval-2018 E-c", f"{where}: {error}") from error
        emotion = [label for label, there in row.items() if there == "1"]
        found.append(talk(key, [Placed({"text": text, "speaker": ALONE, "emotion": emotion or None}, where)]))
    return found


def dair(path: Path) -> list[dict]:
    """A conversation a text, numbered from 1."""
    found = []
    for number, line in lines_of(text_of(path)):
        text, mark, label = line.rpartition(";")
        if not mark or not label.strip():
            raise unfit(path, "dair-ai/emotion", f"line {number}: no text;label")
        found.append(talk(number, [{"text": text, "speaker": ALONE, "emotion": label.strip()}]))
    return found


def cells(path: Path) -> list[tuple[str, dict]]:
    """The rows of a table, each (where it is, {column: cell}): a head and lines whose cells are parted by commas,
    semicolons or tabs ("row 2"); or an object of JSON a line ("line 1"), or a list of them ("object 1"). Raises
    FileError."""
    text = text_of(path)
    if path.suffix not in (".json", ".jsonl") and not text.lstrip().startswith(("[", "{")):
        head = text.partition("\n")[0]
        return _table(path, max(",;\t", key=head.count))
    if not text.lstrip().startswith("["):
        return [(where.removeprefix(f"{path}, "), row) for where, row in read_json_lines(path)]
    given = parse_json(text, path)
    if not isinstance(given, list) or not all(isinstance(row, dict) for row in given):
        raise unfit(path, "a table of JSON", "an object a line, or a list of objects")
    return [(f"object {number}", row) for number, row in enumerate(given, 1)]


def written(rows: list[dict], path: Path) -> str:
    """The text of a table that `cells` reads, by the suffix of `path`: .csv, .tsv, .json, or .jsonl. Its columns are
    those of the rows, which are alike; in a cell of text None is nothing, and lists and objects are JSON. Raises
    FileError for another suffix."""
    if path.suffix == ".json":
        return to_json(rows)
    if path.suffix == ".jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if path.suffix not in (".csv", ".tsv"):
        raise FileError(f"{path}: a table ends with .csv, .tsv, .json or .jsonl. Give such a name")
    text = io.StringIO(newline="")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = csv.DictWriter(text, columns, delimiter="," if path.suffix == ".csv" else "\t", lineterminator="\n")
    table.writeheader()
    for row in rows:
        deep = {name: json.dumps(one, ensure_ascii=False) for name, one in row.items() if isinstance(one, list | dict)}
        table.writerow(row | deep)
    return text.getvalue()


def own_rows(path: Path, columns: dict[str, str] | None = None) -> list[dict]:
    """The conversations of a table of yours (see `cells`). In JSON a label may be a list of labels, and votes
    {label: number}. columns: see `rows`."""
    return rows(cells(path), path, columns or {})


def known_columns(rows: list[dict], columns: dict, usual: dict, path, of: str, more: Sequence[str] = ()) -> dict:
    """{what is read: the column that holds it, or None}; the text must be there.

    columns  {what is read: its column}, as a person gave them
    usual    {what is read: the names, in lower case, that its column may have otherwise}
    of       what the rows are, for messages; more: further columns that must be there

    Raises FileError for a column that is not there, for what is not read, and where no column is the text.
    """
    for what in columns:
        if what not in usual:
            raise FileError(f"{path}: no {what} is read of {of}, but {', '.join(usual)}. Leave it out")
    if not rows:
        raise FileError(f"{path}: no row in it. Write a head, and a row for each text")
    there = list(dict.fromkeys(name for row in rows for name in row))
    lower = {str(name).strip().lower(): name for name in reversed(there)}
    for name in [*columns.values(), *more]:
        if name not in there:
            raise FileError(f"{path}: has no column {shown(name)} (found {', '.join(map(str, there))}). Name another")
    known = {what: next((lower[name] for name in names if name in lower), None) for what, names in usual.items()}
    known |= columns
    if known["text"] is None:
        raise FileError(
            f"{path}: no column is called text (found {', '.join(map(str, there))}). Name it: --columns text=COLUMN"
        )
    return known


def rows(given: list[tuple[str, dict]], path: Path, columns: dict[str, str]) -> list[dict]:
    """Conversations of rows (see `cells`): those of one conversation, in their order; a row without one is one. Where
    others name a speaker, a row of a conversation that names none has an empty one.

    columns  {what it is: the name of its column}, for columns that COLUMNS does not know by their names

    Raises FileError for a table without a text column, and for a column that is not there or not read.
    """
    found: dict[int | str, list[Placed]] = {}
    known = known_columns([row for _, row in given], columns, COLUMNS, path, "conversations")
    named = any(row.get(known["speaker"]) not in (None, "") for _, row in given)
    for number, (where, row) in enumerate(given, 1):
        cells = {what: row[name] for what, name in known.items() if name is not None and name in row}
        key, speaker, emotion = cells.get("conversation"), cells.get("speaker"), cells.get("label")
        if speaker in (None, ""):
            speaker = "" if named and key not in (None, "") else ALONE
        one = Placed({"text": cells.get("text"), "speaker": speaker}, where)
        if known["label"] is not None:
            one["emotion"] = emotion.strip() or None if isinstance(emotion, str) else emotion
        if cells.get("votes") not in (None, ""):
            one["votes"] = cells["votes"]
        found.setdefault(number if key in (None, "") else _number(str(key)), []).append(one)
    return [talk(key, utterances) for key, utterances in found.items()]


def _table(path: Path, delimiter: str, quoted: bool = True) -> list[tuple[str, dict]]:
    """The rows of a table with a head, (where it is, {column: cell}). Raises FileError for a row of another length, and
    where two columns have one name."""
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    text = io.StringIO(text_of(path), newline="")
    table: list[list[str]] = []
    try:
        table.extend(csv.reader(text, delimiter=delimiter, strict=quoted, quoting=quoting))
    except csv.Error as error:
        raise FileError(f"{path}: row {len(table) + 1}: {error}. Write the table again") from error
    head, *others = table or [[]]
    if twice := [name for name in head if name.strip() and head.count(name) > 1]:
        raise FileError(f"{path}: two columns are called {shown(twice[0])}. Rename or remove one")
    found = [(number, row) for number, row in enumerate(others, 2) if row]  # an empty line is none
    for number, row in found:
        if len(row) != len(head):
            raise FileError(
                f"{path}: row {number} has not as many cells as the head. Write the row again; a text with "
                "a comma stands in quotation marks"
            )
    return [(f"row {number}", dict(zip(head, row, strict=True))) for number, row in found]


def _number(key: str) -> int | str:
    """An id as a number where it is one."""
    return int(key) if key.isascii() and key.isdigit() and len(key) < 10 and (key == "0" or key[0] != "0") else key
