"""Makes the notebooks' input: reads conversations, checks them, splits them, and writes one file a split.

    python generate_input.py                                                # the sample that ships
    python generate_input.py --data path/to/ECF --splits data/ecf1_splits.json   # a published split: ECF 1.0's
    python generate_input.py --data NUSTM/ECF                               # from the Hugging Face hub

It writes input/{train,val,test}/conversations.json and, for inference, input/unlabelled/conversations.json.
All files are written or none, so bad input leaves an earlier `input/` as it was.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import NamedTuple

from utils import places
from utils.command import command
from utils.conversations import (
    ConversationError,
    add_video_names,
    describe,
    load_conversations,
    read_json,
    split_by_file,
    split_conversations,
    to_json,
    validate_conversations,
    without_labels,
    write_texts,
)

FRACTIONS = (0.8, 0.1, 0.1)
UNLABELLED_NAMES = ("unlabelled.json", "Subtask_2_test.json")


class Data(NamedTuple):
    """Labelled conversations and where they came from."""

    conversations: list
    folder: Path  # where a split file and unlabelled conversations are looked for
    splits: dict | None = None  # the split that the data came in, if they came in one
    file: Path | None = None  # the one file they were read from


def parse_arguments(argv=None):
    """The command line. Raises SystemExit, with status 2, for one that makes no sense."""
    parser = argparse.ArgumentParser(
        description="Check and split conversations, and write the notebooks' input.",
        epilog="Without --splits, --fractions and --all-train, data that come split (a dataset's utterance"
        " folder, without Subtask_2_train.json beside it) stay so, and other data are split by the default fractions.",
    )
    parser.add_argument("--data", default="data/sample", metavar="PATH",
                        help="labelled conversations: a file, a folder, or a hub dataset such as NUSTM/ECF"
                        " (default: %(default)s)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--splits", metavar="FILE",
                     help='the split to use, {"train": [ids], "dev": [ids], "test": [ids]}; a bare file name'
                     " is also looked for beside the data")
    how.add_argument("--fractions", nargs=3, type=float, metavar=("TRAIN", "VAL", "TEST"),
                     help="shares of a seeded split by conversation (default: 0.8 0.1 0.1)")
    how.add_argument("--all-train", action="store_true",
                     help="train on everything, for a final model; val and test are written empty")
    parser.add_argument("--seed", type=int, default=42,
                        help="seed of the split by fractions (default: %(default)s)")
    parser.add_argument("--unlabelled", metavar="FILE",
                        help="conversations for inference, whose labels are removed if there are any"
                        f" (default: {' or '.join(UNLABELLED_NAMES)} beside the data)")
    parser.add_argument("--skip-invalid", action="store_true",
                        help="leave out conversations with a fault and report each, instead of stopping at the first")
    parser.add_argument("--out", type=Path, default=Path("input"), metavar="FOLDER",
                        help="where to write (default: %(default)s)")
    return parser.parse_args(argv)


def read_data(name, faults=None):
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


def download(dataset):
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


def read_dataset(folder, faults=None):
    """A dataset's conversations: `Subtask_2_train.json`, wherever it is, or else a split `utterance` folder.

    Raises ConversationError where it has neither, and for data that cannot be used.
    """
    whole = sorted(folder.rglob("Subtask_2_train.json"))
    if whole:
        return Data(load_conversations(whole[0], labelled=True, faults=faults), whole[0].parent, file=whole[0])
    for below in sorted(path for path in folder.rglob("utterance") if path.is_dir()):
        conversations, splits = [], {}
        for name in ("train", "dev", "val", "test"):
            for file in sorted(below.glob(f"*{name}*.json")):
                part = load_conversations(file, labelled=True, faults=faults)
                splits.setdefault(name, []).extend(conversation["conversation_ID"] for conversation in part)
                conversations += part
        if "train" in splits:
            return Data(validate_conversations(conversations, below, labelled=True), below, splits)
    if any(folder.glob("*.json")):
        return Data(load_conversations(folder, labelled=True, faults=faults), folder)
    raise ConversationError(f"{folder}: found neither Subtask_2_train.json nor an utterance folder with "
                            "train.json, dev.json and test.json. Name the file that holds the conversations.")


def beside(name, folder):
    """`name` as a path; a bare file name that is not here may also stand in `folder`."""
    path = Path(name)
    elsewhere = folder / path
    return elsewhere if path.name == name and not path.exists() and elsewhere.exists() else path


def split(data, arguments, skipped=()):
    """{"train": [...], "val": [...], "test": [...]} as the command line asks; a split file may name `skipped` ids.

    Raises ConversationError.
    """
    if arguments.all_train:
        return {"train": data.conversations, "val": [], "test": []}
    if arguments.splits:
        path = beside(arguments.splits, data.folder)
        return split_by_file(data.conversations, read_json(path), path, skipped)
    if data.splits and not arguments.fractions:
        return split_by_file(data.conversations, data.splits, data.folder)
    return split_conversations(data.conversations, arguments.fractions or FRACTIONS, arguments.seed)


def read_unlabelled(data, name=None, faults=None):
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


def table(parts):
    """Counts as text, a row for every {name: conversations}."""
    counts = {name: describe(conversations) for name, conversations in parts.items()}
    rows = [["", *next(iter(counts.values()))]]
    rows += [[name, *(f"{count:,}" for count in row.values())] for name, row in counts.items()]
    first, *others = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, others))])
        for name, *cells in rows
    )


def repeated(parts):
    """For val and test, how many of their conversations stand word for word in train: {name: count}, without zeros."""
    def words(conversation):
        return tuple((u["speaker"], u["text"]) for u in conversation["conversation"])

    known = {words(c) for c in parts["train"]}
    counts = {name: sum(words(c) in known for c in parts[name]) for name in ("val", "test")}
    return {name: count for name, count in counts.items() if count}


def generate(arguments):
    """Reads, checks and splits everything, and only then writes.

    Returns ({name: conversations} as written, how many sound labelled conversations are in no split, messages of
    the conversations that were skipped).

    Raises ConversationError for input that cannot be used, and OSError where nothing can be written.
    """
    faults = [] if arguments.skip_invalid else None
    data = read_data(arguments.data, faults)
    parts = split(data, arguments, [key for key, _ in faults or []])
    left_out = len(data.conversations) - sum(map(len, parts.values()))
    unlabelled = read_unlabelled(data, arguments.unlabelled, faults)
    if unlabelled is not None:
        parts["unlabelled"] = unlabelled
    write_texts({arguments.out / name / "conversations.json": to_json(add_video_names(conversations))
                 for name, conversations in parts.items()})
    return parts, left_out, [message for _, message in faults or []]


@command("generate_input.py")
def main(argv=None):
    """Runs the command line. Returns the exit status: 0, or 2 for input that cannot be used."""
    arguments = parse_arguments(argv)
    try:
        parts, left_out, skipped = generate(arguments)
    except (ConversationError, OSError) as error:
        print(f"generate_input.py: {error}", file=sys.stderr)
        return 2
    print(table(parts))
    print(f"written to {arguments.out}/{{{','.join(parts)}}}/conversations.json")
    if left_out:
        print(f"left out: {left_out:,} conversations that are in no split")
    for name, count in repeated(parts).items():
        print(f"note: {count:,} of {len(parts[name]):,} {name} conversations stand word for word in train, so scores "
              "on them flatter: leave the copies out")
    for message in skipped:
        print(f"skipped: {message}", file=sys.stderr)
    if skipped:
        print(f"skipped: {len(skipped):,} conversations with a fault")
    old = arguments.out / "unlabelled" / "conversations.json"
    if "unlabelled" not in parts and old.exists():
        print(f"note: {old} is from an earlier run and was left as it was")
    return 0


if __name__ == "__main__":
    sys.exit(main())
