"""From a corpus to the notebooks' input: conversations checked, relabelled, split and written.

write_splits(source, out)     what generate_input.py does
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from utils.data.conversations import Conversation, emotions_of, file_in, without_labels
from utils.data.corpus import Data, read_data, read_file
from utils.data.formats.known import TABLES
from utils.data.formats.tables import COLUMNS
from utils.data.label_sets import find_labels
from utils.data.labels import ECF, LABELS_FILE, LabelSet
from utils.data.relabel import choose_labels, labels_of_data, relabelled, told
from utils.data.splits import split_by_file, split_conversations
from utils.data.validation import PAIRS, validate_conversations
from utils.system.errors import ConversationError
from utils.system.files import check_output, read_json, to_json, write_set

FRACTIONS = (0.8, 0.1, 0.1)
OF_DATA = "data"  # the label set of this name is what the data hold
UNLABELLED_NAMES = ("unlabelled.json", "Subtask_2_test.json")


class Checked(NamedTuple):
    """Sound conversations in the words of their label set."""

    conversations: list[Conversation]
    labels: LabelSet
    splits: dict[str, list]  # {train, dev, val or test: ids}, {} where the data came in no split
    told: list[str]  # what became of labels and conversations, for a person to read


def checked(data: Data, wanted: LabelSet | None, name: str, faults: list | None = None) -> Checked:
    """The conversations of `data`, relabelled (utils/data/relabel.py), validated, and those without any label left out.

    wanted  the label set that was asked for; None: that of the format, or taken from the data and then called `name`
    faults  takes those with a fault (see `validate_conversations`)

    Raises ConversationError.
    """
    bare_tables = [file for file, given in data.files.items() if data.form in TABLES and not any(map(_labelled, given))]
    if bare_tables:
        raise ConversationError(
            f"{bare_tables[0]}: no column is read as the label. Call it {' or '.join(COLUMNS['label'])}, or name it: "
            "--columns label=COLUMN; what has no labels goes to --unlabelled"
        )
    labels = choose_labels([*data.files.values()], name, wanted or data.labels, strict=data.form == "semeval")
    conversations, splits, found, became, bare = [], {}, {}, Counter(), 0
    for file, given in data.files.items():
        given, counted = relabelled(given, labels)
        became += counted
        part = validate_conversations(given, file, labelled=True, faults=faults, labels=labels)
        part = _new(part, file, found, faults)
        kept = [c for c in part if any(emotions_of(u) or "votes" in u for u in c["conversation"])]
        bare += len(part) - len(kept)
        if file in data.split_of:
            splits.setdefault(data.split_of[file], []).extend(c["conversation_ID"] for c in kept)
        conversations += kept
    lines = told(became)
    if bare:
        lines.append(f"left out: {bare:,} conversations in which no utterance carries a label")
    if not any(PAIRS in c for c in conversations):
        lines.append("note: no causes here, so notebooks 1 and 2 are all there is")
    if not conversations:
        where = data.folder if len(data.files) > 1 else next(iter(data.files))
        raise ConversationError(f"{where}: no utterance carries a label of {labels.name} ({labels}). Give another set")
    return Checked(conversations, labels, splits, lines)


def _labelled(conversation: dict) -> bool:
    """Whether an utterance has a field for its label or its votes."""
    return any("emotion" in u or "votes" in u for u in conversation["conversation"])


def _new(part: list[Conversation], file: Path, found: dict[str, Path], faults: list | None) -> list[Conversation]:
    """Those of `part`, a file's conversations, whose ids are not in `found`, {id: the file that has it}, yet."""
    new = []
    for conversation in part:
        key = str(conversation["conversation_ID"])
        if key in found:
            message = (
                f"{file}, conversation {key}, field 'conversation_ID': {found[key].name} has a conversation of this id "
                "too. Give each conversation its own."
            )
            if faults is None:
                raise ConversationError(message)
            faults.append((key, message))
        else:
            found[key] = file
            new.append(conversation)
    return new


def beside(name: str | Path, folder: Path) -> Path:
    """`name` as a path; a bare file name that is not here may also stand in `folder`."""
    path = Path(name)
    elsewhere = folder / path
    return elsewhere if path.name == name and not path.exists() and elsewhere.exists() else path


def split(
    data: Checked,
    folder: Path,
    splits: str | Path | None = None,
    fractions=None,
    all_train: bool = False,
    seed: int = 42,
    skipped=(),
) -> dict[str, list[Conversation]]:
    """{"train": [...], "val": [...], "test": [...]} of `data`.

    folder     where a split file is looked for, too

    splits     a file of ids, {"train": [ids], "dev": [ids], "test": [ids]}; it may name the `skipped` ids
    fractions  shares of train, val and test, dealt by `seed`; default: the split that the data came in, or FRACTIONS
    all_train  everything in train

    Raises FileError and ConversationError.
    """
    if all_train:
        return {"train": data.conversations, "val": [], "test": []}
    if splits:
        path = beside(splits, folder)
        return split_by_file(data.conversations, read_json(path), path, skipped)
    if data.splits and not fractions:
        return split_by_file(data.conversations, data.splits, folder)
    return split_conversations(data.conversations, fractions or FRACTIONS, seed)


def read_unlabelled(
    data: Data,
    name: str | Path | None = None,
    faults: list | None = None,
    form: str | None = None,
    columns: dict[str, str] | None = None,
) -> list[Conversation] | None:
    """The conversations for inference, without labels; None where none are named or found. form, columns: of a file
    that is named (see `read_data`).

    Raises ConversationError for a file that cannot be used.
    """
    if name:
        path = beside(name, data.folder)
    else:
        found = [data.folder / name for name in UNLABELLED_NAMES if (data.folder / name).is_file()]
        found = [path for path in found if path not in data.files]
        if not found:
            return None
        path, form, columns = found[0], None, None
    path = file_in(path)
    given = read_file(path, form, columns)[1]
    found = validate_conversations(given, path, labelled=False, faults=faults, labels=None)
    return [without_labels(conversation) for conversation in found]


def repeated(parts: dict[str, list[Conversation]]) -> dict[str, int]:
    """For val and test, how many of their conversations are in train too, by their id or word for word: {name: count},
    without zeros."""

    def words(conversation):
        return tuple((u["speaker"], u["text"]) for u in conversation["conversation"])

    train = parts.get("train", [])
    ids, known = {str(c["conversation_ID"]) for c in train}, {words(c) for c in train}
    counts = {
        name: sum(str(c["conversation_ID"]) in ids or words(c) in known for c in parts.get(name, []))
        for name in ("val", "test")
    }
    return {name: count for name, count in counts.items() if count}


def overlap(parts: dict[str, list[Conversation]]) -> str:
    """What `repeated` found, in one line for a person to read; "" where it found nothing."""
    counts = [f"{count:,} of {len(parts[name]):,} {name} conversations" for name, count in repeated(parts).items()]
    if not counts:
        return ""
    return (
        f"note: {' and '.join(counts)} are in train too, by their id or word for word, so scores on them flatter: "
        "leave them out"
    )


def _skipped(faults: list, most: int = 20) -> list[str]:
    """What a message says of the conversations that were skipped, a line each."""
    more = [f"and {len(faults) - most:,} more"] if len(faults) > most else []
    return [f"skipped: {message}" for _, message in faults[:most]] + more


class Written(NamedTuple):
    """What `write_splits` wrote.

    parts     {name: conversations}
    labels    their label set
    left_out  how many sound labelled conversations are in no split
    skipped   messages of the conversations that were skipped
    told      what became of labels, a line each
    """

    parts: dict[str, list[Conversation]]
    labels: LabelSet
    left_out: int
    skipped: list[str]
    told: list[str]


def write_splits(
    data: str | Path,
    out: str | Path,
    unlabelled: str | Path | None = None,
    skip_invalid: bool = False,
    labels: str | Path | None = None,
    form: str | None = None,
    columns: dict[str, str] | None = None,
    **how,
) -> Written:
    """Reads, checks and splits everything, and only then writes `out`/{train,val,test,unlabelled}/conversations.json,
    and labels.json where the label set is not ECF's, as one set of files (`write_set`).

    data          a file, a folder or a hub dataset (see `read_data`)
    unlabelled    a file of conversations for inference; default: one of UNLABELLED_NAMES beside the data
    skip_invalid  leave out conversations with a fault instead of stopping at the first
    labels        the name of a ready-made label set, or a file that holds one; "data": the data's labels as they are;
                  default: see `choose_labels`
    form, columns of the data, and of `unlabelled` (see `read_data`); default: found by content
    how           see `split`

    Raises ConversationError for input that cannot be used, FileError where a file would replace one that is read, and
    OSError where one cannot be written.
    """
    faults = [] if skip_invalid else None
    read, name = read_data(str(data), form, columns), Path(data).stem
    if labels == OF_DATA:
        wanted = labels_of_data([*read.files.values()], name)
    else:
        wanted = find_labels(labels) if labels else None
    found = checked(read, wanted, name, faults)
    try:
        parts = split(found, read.folder, skipped=[key for key, _ in faults or []], **how)
    except ConversationError as error:
        raise ConversationError("\n".join([str(error), *_skipped(faults or [])])) from error
    left_out = len(found.conversations) - sum(map(len, parts.values()))
    unlabelled_ones = read_unlabelled(read, unlabelled, faults, form, columns)
    if unlabelled_ones is not None:
        parts["unlabelled"] = unlabelled_ones
    texts = {f"{name}/conversations.json": to_json(conversations) for name, conversations in parts.items()}
    if (
        found.labels.as_dict() != ECF.as_dict() or (Path(out) / LABELS_FILE).exists()
    ):  # an earlier input's must not stay
        texts[LABELS_FILE] = to_json(found.labels.as_dict())
    inputs = [*read.files, *([beside(unlabelled, read.folder)] if unlabelled else [])]
    inputs += [Path(labels)] if labels and Path(labels).is_file() else []
    for name in texts:
        check_output(Path(out) / name, *inputs)
    write_set(out, texts)
    return Written(parts, found.labels, left_out, [message for _, message in faults or []], found.told)
