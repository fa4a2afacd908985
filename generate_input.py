"""Makes the notebooks' input: reads conversations, checks them, splits them, and writes one file a split.

    python generate_input.py                                                # the sample that ships
    python generate_input.py --data path/to/ECF --splits data/ecf1_splits.json   # a published split: ECF 1.0's
    python generate_input.py --data NUSTM/ECF                               # from the Hugging Face hub

It writes input/{train,val,test}/conversations.json and, for inference, input/unlabelled/conversations.json.
Bad input or a full disk leaves an earlier `input/` as it was. Interrupted while it replaces the files, `input/` is
marked (.incomplete), and refused until the same command has run again.
"""

import argparse
import sys
from pathlib import Path

from utils.data.sources import UNLABELLED_NAMES, overlap, write_splits
from utils.data.splits import count_table
from utils.system.command import command


def parse_arguments(argv=None):
    """The command line. Raises SystemExit, with status 2, for one that makes no sense."""
    parser = argparse.ArgumentParser(
        description="Check and split conversations, and write the notebooks' input.",
        epilog="Without --splits, --fractions and --all-train, data that come split (a dataset's utterance"
        " folder, without Subtask_2_train.json beside it) stay so, and other data are split by the default fractions.",
    )
    parser.add_argument(
        "--data",
        default="data/sample",
        metavar="PATH",
        help="labelled conversations: a file, a folder, or a hub dataset such as NUSTM/ECF (default: %(default)s)",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--splits",
        metavar="FILE",
        help='the split to use, {"train": [ids], "dev": [ids], "test": [ids]}; a bare file name'
        " is also looked for beside the data",
    )
    how.add_argument(
        "--fractions",
        nargs=3,
        type=float,
        metavar=("TRAIN", "VAL", "TEST"),
        help="shares of a seeded split by conversation (default: 0.8 0.1 0.1)",
    )
    how.add_argument(
        "--all-train",
        action="store_true",
        help="train on everything, for a final model; val and test are written empty",
    )
    parser.add_argument("--seed", type=int, default=42, help="seed of the split by fractions (default: %(default)s)")
    parser.add_argument(
        "--unlabelled",
        metavar="FILE",
        help="conversations for inference, whose labels are removed if there are any"
        f" (default: {' or '.join(UNLABELLED_NAMES)} beside the data)",
    )
    parser.add_argument(
        "--skip-invalid",
        action="store_true",
        help="leave out conversations with a fault and report each, instead of stopping at the first",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("input"), metavar="FOLDER", help="where to write (default: %(default)s)"
    )
    return parser.parse_args(argv)


@command("generate_input.py")
def main(argv=None):
    """Runs the command line. Returns the exit status: 0, or 2 for input that cannot be used."""
    arguments = parse_arguments(argv)
    parts, left_out, skipped = write_splits(**vars(arguments))
    print(count_table(parts))
    print(f"written to {arguments.out}/{{{','.join(parts)}}}/conversations.json")
    if left_out:
        print(f"left out: {left_out:,} conversations that are in no split")
    if note := overlap(parts):
        print(note)
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
