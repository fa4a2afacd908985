"""Rows of a file as they are labelled and scored: one text a row, and every row stays.

rows = read_asked(path, topics, {"text": "Tweet"}, "regression")     # labels are read where a task type is given
rows.cells[0], rows.texts[0]                                         # as the file has it; what is asked about it
Named(topics)(row)                                                   # the topic that a row is on
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from utils.data.formats.opinions import Given, format_of, read_rows
from utils.data.formats.tables import cells
from utils.data.opinion_labels import opinion_of, read_label
from utils.data.opinions import Opinion, Text, check_text, check_texts
from utils.data.topics import Topic
from utils.data.validation import is_id
from utils.system.errors import OpinionError


class Named:
    """Which of `topics` a row is on, by its topic column. used: {name: topic} of those that were met."""

    def __init__(self, topics: Sequence[Topic]):
        self.topics, self.used = topics, dict[str, Topic]()
        self.known = {name.lower(): topic for topic in topics for name in (topic.name, *topic.called)}

    def __call__(self, row: Given) -> Topic | None:
        """The topic of a row; None where it is on another one. Raises OpinionError where nothing says it."""
        first = self.topics[0]
        if len(self.topics) == 1 and not first.is_for_all and row.topic is None:
            found = first
        elif row.topic is None:
            raise OpinionError(
                f"{row.where}: it names no topic, and there are several ({', '.join(t.name for t in self.topics)}). "
                "Name the topic column (--columns topic=COLUMN), or give one topic"
            )
        else:
            found = self.known.get(row.topic.lower())
            if found is None and first.is_for_all:
                found = self.used.get(row.topic) or first.of(row.topic)
        if found is not None:
            self.used[found.name] = found
        return found

    def asked(self, row: Given) -> list[Topic]:
        """The topics that a row without a label is asked about: the one that it names, or all."""
        if row.topic is None and len(self.topics) > 1:
            self.used |= {topic.name: topic for topic in self.topics}
            return list(self.topics)
        topic = self(row)
        return [] if topic is None else [topic]


class Asked(NamedTuple):
    """The rows of a file.

    cells   {column: cell} of each, as the file has it
    texts   of each the text; its opinions are the topics that it is asked about, none where it is on another one
    topics  {name: topic} of all that are asked about
    """

    cells: list[dict[str, Any]]
    texts: list[Text]
    topics: dict[str, Topic]


def read_asked(
    path: Path, topics: Sequence[Topic], columns: Mapping[str, str] | None = None, task_type: str | None = None
) -> Asked:
    """The rows of a table (utils/data/formats/opinions.py), or of a texts.json of an input.

    columns    {what it is: its column}
    task_type  what the labels are, which every row must have; None: labels are not read

    Raises FileError and OpinionError for a file that cannot be used, and where no row is on one of the topics.
    """
    table = format_of(path) == "table"
    rows = [row for _, row in cells(path)] if table else []
    if rows and all(isinstance(row.get("opinions"), dict) for row in rows):
        asked = _of_input(path, rows, topics, task_type)
    else:
        named, given = Named(topics), read_rows(path, dict(columns or {}))
        rows = rows if table else [{"id": one.key, "topic": one.topic, "text": one.text, **one.labels} for one in given]
        texts = [_text(number, row, named, task_type) for number, row in enumerate(given, 1)]
        asked = Asked(rows, texts, named.used)
    if asked.texts and not asked.topics:
        raise OpinionError(f"{path}: no text is on {', '.join(one.name for one in topics)}. Give another topic or file")
    return asked


def _text(number: int, row: Given, named: Named, task_type: str | None) -> Text:
    check_text(row.text, row.where)
    opinions: dict[str, Opinion] = {}
    if task_type is None:
        opinions = {topic.name: {} for topic in named.asked(row)}
    elif topic := named(row):
        label = read_label(row.labels[""], task_type, topic, f"{row.where}, column label")
        if label is None:
            raise OpinionError(f"{row.where}: no label. Name its column (--columns label=COLUMN), or leave the row out")
        opinions = {topic.name: opinion_of(label, task_type) or {}}
    return {"text_ID": number if row.key is None else row.key, "text": row.text, "opinions": opinions}


def _of_input(path: Path, rows: list[dict], topics: Sequence[Topic], task_type: str | None) -> Asked:
    """The texts of an input that generate_input.py wrote, asked about those of their topics that are among `topics`."""
    known = {topic.name: topic for topic in topics}
    texts: list[Any] = [
        {**row, "opinions": {name: one for name, one in row["opinions"].items() if name in known}} for row in rows
    ]
    check_texts([text for text in texts if text["opinions"]], path, known, labelled=task_type is not None)
    if not all(is_id(text.get("text_ID")) and isinstance(text.get("text"), str) for text in texts):
        raise OpinionError(f"{path}: a text has no text_ID or no text. Write the file again by generate_input.py")
    used = {name: known[name] for name in known if any(name in text["opinions"] for text in texts)}
    return Asked(rows, texts, used)
