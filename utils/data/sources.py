"""Where conversations come from: the sample, a file, a folder, a hub dataset; checked, split and written.

write_splits(source, out)     what generate_input.py does
"""

import re
from pathlib import Path
from typing import NamedTuple

from utils.data.conversations import (
    Conversation,
    add_video_names,
    load_conversations,
    without_labels,
)
from utils.data.splits import split_by_file, split_conversations
from utils.system import places
from utils.system.errors import ConversationError
from utils.system.files import check_output, read_json, to_json, write_set

FRACTIONS = (0.8, 0.1, 0.1)
UNLABELLED_NAMES = ("unlabelled.json", "Subtask_2_test.json")


class Data(NamedTuple):
    """Labelled conversations and where they came from."""

    conversations: list[Conversation]
    folder: Path  # where a split file and unlabelled conversations are looked for
    splits: dict | None = None  # the split that the data came in, if they came in one
    file: Path | None = None  # the one file they were read from


def read_data(name: str, faults: list | None = None) -> Data:
    """The labelled conversations that `name`, a path or a hub dataset's id, stands for.

    faults: takes those with a fault, here and below (see `validate_conversations`).

    Raises ConversationError for data that cannot be had, found or used.
    """
    path = Path(name)
    if path.is_file():
        return Data(load_conversations(path, labelled=True, faults=faults), path.parent, file=path)
    if path.is_dir():
        # A copy of the hub's dataset has its files further down.
        plain = any(path.glob("*.json"))
        if not plain:
            return read_dataset(path, faults)
        return Data(load_conversations(path, labelled=True, faults=faults), path)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.endswith(".json"):
        return read_dataset(download(name), faults)
    raise ConversationError(f"{name}: no such file or folder. Check it, or name a hub dataset (owner/name).")


def download(dataset: str) -> Path:
    """The folder of a hub dataset's JSON files, downloaded once and then cached.

    Raises ConversationError where it cannot be had.
    """
    try:
        # Here, because nobody needs the package or the network for files of their own.
        from huggingface_hub import snapshot_download

        places.find().read_token()
        return Path(snapshot_download(dataset, repo_type="dataset", allow_patterns=["*.json"]))
    except Exception as error:  # a dozen kinds for offline, unknown, gated, ...; each means no data
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConversationError(
            f"{dataset}: no such file or folder here, and no download from the Hugging Face hub ({reason}). "
            "Check the name and the network, or pass a local file."
        ) from error


def read_dataset(folder: Path, faults: list | None = None) -> Data:
    """A dataset's conversations: `Subtask_2_train.json`, wherever it is, or else a split `utterance` folder.

    Raises ConversationError where it has neither, and for data that cannot be used.
    """
    whole = sorted(folder.rglob("Subtask_2_train.json"))
    if whole:
        return Data(load_conversations(whole[0], labelled=True, faults=faults), whole[0].parent, file=whole[0])
    for below in sorted(path for path in folder.rglob("utterance") if path.is_dir()):
        conversations, splits, found = [], {}, {}
        for name in ("train", "dev", "val", "test"):
            for file in sorted(below.glob(f"*{name}*.json")):
                part = _new(load_conversations(file, labelled=True, faults=faults), file, found, faults)
                splits.setdefault(name, []).extend(conversation["conversation_ID"] for conversation in part)
                conversations += part
        if "train" in splits:
            return Data(conversations, below, splits)
    if any(folder.glob("*.json")):
        return Data(load_conversations(folder, labelled=True, faults=faults), folder)
    raise ConversationError(
        f"{folder}: found neither Subtask_2_train.json nor an utterance folder with "
        "train.json, dev.json and test.json. Name the file that holds the conversations."
    )


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
    data: Data, splits: str | Path | None = None, fractions=None, all_train: bool = False, seed: int = 42, skipped=()
) -> dict[str, list[Conversation]]:
    """{"train": [...], "val": [...], "test": [...]} of `data` (a Data).

    splits     a file of ids, {"train": [ids], "dev": [ids], "test": [ids]}; it may name the `skipped` ids
    fractions  shares of train, val and test, dealt by `seed`; default: the split that the data came in, or FRACTIONS
    all_train  everything in train

    Raises FileError and ConversationError.
    """
    if all_train:
        return {"train": data.conversations, "val": [], "test": []}
    if splits:
        path = beside(splits, data.folder)
        return split_by_file(data.conversations, read_json(path), path, skipped)
    if data.splits and not fractions:
        return split_by_file(data.conversations, data.splits, data.folder)
    return split_conversations(data.conversations, fractions or FRACTIONS, seed)


def read_unlabelled(
    data: Data, name: str | Path | None = None, faults: list | None = None
) -> list[Conversation] | None:
    """The conversations for inference, without labels; None where none are named or found.

    Raises ConversationError for a file that cannot be used.
    """
    if name:
        path = beside(name, data.folder)
    else:
        found = [data.folder / name for name in UNLABELLED_NAMES if (data.folder / name).is_file()]
        found = [path for path in found if path != data.file]
        if not found:
            return None
        path = found[0]
    found = load_conversations(path, labelled=False, faults=faults)
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


def write_splits(
    data: str | Path, out: str | Path, unlabelled: str | Path | None = None, skip_invalid: bool = False, **how
) -> tuple[dict[str, list[Conversation]], int, list[str]]:
    """Reads, checks and splits everything, and only then writes `out`/{train,val,test,unlabelled}/conversations.json,
    as one set of files (`write_set`).

    data          a file, a folder or a hub dataset (see `read_data`)
    unlabelled    a file of conversations for inference; default: one of UNLABELLED_NAMES beside the data
    skip_invalid  leave out conversations with a fault instead of stopping at the first
    how           see `split`

    Returns ({name: conversations} as written, how many sound labelled conversations are in no split, messages of
    the conversations that were skipped).

    Raises ConversationError for input that cannot be used, FileError where a file would replace one that is read, and
    OSError where one cannot be written.
    """
    faults = [] if skip_invalid else None
    read = read_data(str(data), faults)
    parts = split(read, skipped=[key for key, _ in faults or []], **how)
    left_out = len(read.conversations) - sum(map(len, parts.values()))
    unlabelled_ones = read_unlabelled(read, unlabelled, faults)
    if unlabelled_ones is not None:
        parts["unlabelled"] = unlabelled_ones
    texts = {
        f"{name}/conversations.json": to_json(add_video_names(conversations)) for name, conversations in parts.items()
    }
    inputs = [read.file] if read.file else sorted(read.folder.glob("*.json"))
    inputs += [beside(unlabelled, read.folder)] if unlabelled else []
    for name in texts:
        check_output(Path(out) / name, *inputs)
    write_set(out, texts)
    return parts, left_out, [message for _, message in faults or []]
