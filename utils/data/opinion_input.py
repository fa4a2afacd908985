"""From files of texts with opinions to an input: read, checked, split, ready to be written.

made = make_input("tweets/gun-binary", [Topic.read("gun-control")], "binary")     # what generate_input.py writes
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from utils.data.agreement import RULES, agreement, agreement_table
from utils.data.formats.opinions import Given, find_files, read_rows
from utils.data.opinion_labels import opinion_of, read_label
from utils.data.opinion_rows import Named
from utils.data.opinion_splits import as_given, normal, repeats, split_texts
from utils.data.opinions import TEXTS_FILE, Text, check_text, check_texts
from utils.data.splits import SPLITS
from utils.data.topics import TOPICS_FILE, Topic
from utils.system.errors import OpinionError, shown
from utils.system.files import to_json

FRACTIONS = (0.8, 0.1, 0.1)
# The texts with opinions that ship: their file, topics, task type and annotators.
SAMPLE: dict[str, Any] = {
    "data": "data/opinions/texts.csv",
    "topic": ("car-free-centre", "four-day-week", "new-stadium"),
    "task_type": "regression_with_relevance",
    "annotators": ("ana", "bo", "cem"),
}
AGREEMENT_FILE = "agreement.json"  # beside the splits


class Made(NamedTuple):
    """An input that is ready to be written.

    files  {name below the folder: its text}
    parts  {split: texts}
    topics of the texts
    read   the files that it was made of
    told   what became of rows, a line each, for a person to read
    """

    files: dict[str, str]
    parts: dict[str, list[Text]]
    topics: list[Topic]
    read: list[Path]
    told: list[str]

    def with_train(self, train: list[Text], told: list[str]) -> "Made":
        """The same with other texts in train, of which `told` says more."""
        files = {**self.files, f"train/{TEXTS_FILE}": to_json(train)}
        return self._replace(files=files, parts={**self.parts, "train": train}, told=[*self.told, *told])


def make_input(
    data: str | Path,
    topics: Sequence[Topic],
    task_type: str,
    columns: Mapping[str, str] | None = None,
    annotators: Sequence[str] = (),
    rule: str = "majority",
    fractions: Sequence[float] | None = None,
    seed: int = 42,
    unlabelled: str | Path | None = None,
    keep_repeated: bool = False,
    train_only: Sequence[str | Path] = (),
) -> Made:
    """Reads and checks everything; nothing is written.

    data           a file, a folder, or what the names of a split's files begin with
    topics         what the texts hold opinions on; several, or one that is for all, need a topic column
    task_type      what the labels are, one of TASK_TYPES
    columns        {what it is: its column} (utils/data/formats/opinions.py)
    annotators     columns of several annotators, whose labels become one by the `rule`, a key of RULES
    fractions      shares of train, val and test; default: the splits that the data come in, else FRACTIONS
    unlabelled     a file of texts for inference
    keep_repeated  leave texts in train that stand in val or test too, where the data come split
    train_only     further labelled files, whose texts go into train, but for those that stand in val or test

    Raises FileError and OpinionError for data that cannot be used."""
    files, told, columns = find_files(Path(data)), Counter(), dict(columns or {})
    reader = _Reader(topics, task_type, annotators, rule, told)
    read = {split: reader.texts(read_rows(file, columns, annotators)) for split, file in files.items()}
    everything = [text for texts in read.values() for text in texts]
    if not everything:
        raise OpinionError(f"{data}: no text with a label on {', '.join(t.name for t in topics)}. Give other data")
    lines = [f"{what}: {count:,} texts" for what, count in told.items()]
    if None in files or fractions:
        parts, repeated = split_texts(everything, fractions or FRACTIONS, seed), repeats(everything)
        if repeated:
            lines.append(f"repeated: {repeated:,} texts are others word for word; those stay in one split together")
    else:
        parts, said = as_given({name: read.get(name, []) for name in SPLITS}, keep_repeated)
        lines += said
    held_out = {normal(text["text"]) for name in ("val", "test") for text in parts.get(name, ())}
    for file in map(Path, train_only):
        more = reader.texts(read_rows(file, columns, annotators))
        new = [text for text in more if normal(text["text"]) not in held_out]
        parts["train"] = [*parts["train"], *new]
        lines.append(f"{file}: {len(new):,} texts for train alone; {len(more) - len(new):,} stand in val or test")
    if unlabelled:
        parts["unlabelled"] = reader.questions(read_rows(Path(unlabelled), columns))
    for name, texts in parts.items():
        _number(texts, name)
    found = {topic.name: topic for topic in reader.named.used.values()}
    for name, texts in parts.items():
        check_texts(texts, name, found, labelled=name != "unlabelled")
    written = {f"{name}/{TEXTS_FILE}": to_json(texts) for name, texts in parts.items()}
    written[TOPICS_FILE] = to_json({topic.name: topic.as_dict() for topic in found.values()})
    if annotators:
        scale = sorted({score for topic in found.values() for score in topic.scores})
        pairs = agreement(reader.given, scale)
        written[AGREEMENT_FILE] = to_json({"rule": rule, "pairs": pairs})
        lines.append(agreement_table(pairs))
    inputs = [*files.values(), *map(Path, train_only), *([Path(unlabelled)] if unlabelled else [])]
    return Made(written, parts, list(found.values()), inputs, lines)


def make_sample(root: Path) -> Made:
    """The input of the texts that ship with the repository in the folder `root`; nothing is written."""
    topics = [Topic.read(name) for name in SAMPLE["topic"]]
    return make_input(root / SAMPLE["data"], topics, SAMPLE["task_type"], annotators=SAMPLE["annotators"])


class _Reader:
    """Rows to texts; counts in `told` what is left out, and gathers what each annotator `given` said."""

    def __init__(self, topics, task_type, annotators, rule, told):
        self.task_type, self.rule, self.told = task_type, RULES[rule], told
        self.named = Named(topics)
        self.given = {name: [] for name in annotators}

    def texts(self, rows: Sequence[Given]) -> list[Text]:
        """Texts with their opinions; a text that stands in several rows, each on another topic, is one."""
        found: list[Text] = []
        at: dict[str, Text] = {}
        for row in rows:
            check_text(row.text, row.where)
            topic = self.named(row)
            if topic is None:
                self.told["left out, on another topic"] += 1
                continue
            opinion: Any = self._opinion(row, topic)
            if opinion is None:
                continue
            before = at.get(row.text)
            if before is not None and topic.name not in before["opinions"]:
                before["opinions"][topic.name] = opinion
                continue
            one: Any = {"text_ID": row.key, "text": row.text, "opinions": {topic.name: opinion}}
            found.append(one)
            at[row.text] = one
        return found

    def questions(self, rows: Sequence[Given]) -> list[Text]:
        """Texts without opinions, asked about the topic that a row names, or about all."""
        found = []
        for row in rows:
            check_text(row.text, row.where)
            if topics := self.named.asked(row):
                found.append({"text_ID": row.key, "text": row.text, "opinions": {one.name: {} for one in topics}})
        return found

    def _opinion(self, row, topic):
        labels = {
            name: read_label(value, self.task_type, topic, f"{row.where}, column {name or 'label'}")
            for name, value in row.labels.items()
        }
        if "" in labels:
            label, given = labels[""], {}
            if label is None:
                raise OpinionError(
                    f"{row.where}: no label. Name its column (--columns label=COLUMN), or leave the row out; texts "
                    "without labels are given by --unlabelled"
                )
        else:
            for name, one in labels.items():
                self.given[name].append(one)
            label = self.rule(list(labels.values()))
            given = {"given": {name: one for name, one in labels.items() if one is not None}}
            if label is None:
                self.told["left out, the annotators do not agree"] += 1
                return None
        opinion = opinion_of(label, self.task_type)
        if opinion is None:
            self.told["left out, they hold no opinion"] += 1
            return None
        return {**opinion, **given}


def _number(texts: list[Text], split: str) -> None:
    """Gives a number to texts whose file has none. Raises OpinionError where two have one id."""
    seen = set()
    for number, text in enumerate(texts, 1):
        if text["text_ID"] is None:
            text["text_ID"] = f"{split}-{number}"
        if text["text_ID"] in seen:
            raise OpinionError(
                f"{split}, text {shown(text['text_ID'])}: two texts have this id. Give each its own, or name another "
                "column (--columns id=COLUMN)"
            )
        seen.add(text["text_ID"])
