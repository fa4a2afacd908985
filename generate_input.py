"""Makes the notebooks' input: reads conversations, checks them, splits them, and writes one file a split.

    python generate_input.py                                                # the sample that ships
    python generate_input.py --data path/to/ECF --splits data/ecf1_splits.json   # a published split: ECF 1.0's
    python generate_input.py --data NUSTM/ECF                               # from the Hugging Face hub
    python generate_input.py --data PATH/TO/MELD --out input/meld           # as its publishers write it; see --format
    python generate_input.py --data tweets.csv --columns text=Tweet label=Mood
    python generate_input.py --data mine.json --labels mine_labels.json     # other labels than ECF's
    python generate_input.py --task opinion                                 # texts with opinions: docs/opinions.md
    python generate_input.py --task instruction --data alpaca.json          # instructions: docs/instructions.md

It writes input/{train,val,test}/conversations.json and, for inference, input/unlabelled/conversations.json; of texts
with opinions input/opinions/{train,val,test,unlabelled}/texts.json, of instructions with answers
input/instructions/{train,val,test,unlabelled}/examples.json.
Bad input or a full disk leaves an earlier `input/` as it was. Interrupted while it replaces the files, `input/` is
marked (.incomplete), and refused until the same command has run again.
"""

import argparse
import os
import sys
from pathlib import Path

from utils.data.agreement import RULES
from utils.data.formats import opinions, tables
from utils.data.formats.known import FORMATS
from utils.data.instruction_input import SAMPLE as SAMPLE_INSTRUCTIONS
from utils.data.instruction_input import Made as MadeInstructions
from utils.data.instruction_input import count_table as instruction_table
from utils.data.instruction_input import make_input as make_instructions
from utils.data.label_sets import SETS
from utils.data.labels import ECF
from utils.data.opinion_input import SAMPLE, Made, make_input
from utils.data.opinion_sizes import lacking, undersampled
from utils.data.opinion_splits import count_table as opinion_table
from utils.data.opinions import TASK_TYPES
from utils.data.sources import OF_DATA, UNLABELLED_NAMES, overlap, write_splits
from utils.data.splits import count_table
from utils.data.topics import Topic, topic_names
from utils.record.inputs import runs_on
from utils.system.command import add_columns, command, positive
from utils.system.errors import InputError, OpinionError
from utils.system.files import check_output, write_set
from utils.system.places import ROOT

COLUMNS = (*tables.COLUMNS, *(name for name in opinions.COLUMNS if name not in tables.COLUMNS))

# Which arguments each task reads; another one that is given is an error.
_ALL = {"task", "data", "fractions", "seed", "unlabelled", "out"}
READ = {
    "emotion": _ALL | {"splits", "all_train", "form", "columns", "labels", "skip_invalid"},
    "opinion": _ALL
    | {"columns", "topic", "task_type", "annotators", "agreement", "keep_repeated", "train_only", "undersample"}
    | {"augment", "dataset_update"},
    "instruction": _ALL | {"dataset_update"},
}
OPTIONS = {"form": "format"}  # what arguments are called on the command line, where that is not their name


def at_home(name: str) -> str:
    """A path of the repository, as it is called from a folder in it; elsewhere `name` itself."""
    return os.path.relpath(ROOT / name) if Path.cwd().is_relative_to(ROOT) else name


def parse_arguments(argv=None):
    """The command line. Raises SystemExit, with status 2, for one that makes no sense."""
    parser = argparse.ArgumentParser(
        description="Check and split conversations, and write the notebooks' input.",
        epilog="Without --splits, --fractions and --all-train, data that come split (a dataset's utterance"
        " folder, without Subtask_2_train.json beside it) stay so, and other data are split by the default fractions.",
    )
    parser.add_argument(
        "--task",
        choices=tuple(WRITERS),
        default="emotion",
        help="emotion, with causes if there are any; opinion; or instruction (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        metavar="PATH",
        help="labelled conversations: a file, a folder, or a hub dataset such as NUSTM/ECF; for opinions a file, a "
        "folder, or what the names of a split's files begin with; for instructions a file or a folder (default: the "
        "sample that ships)",
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
        "--format",
        dest="form",
        choices=tuple(FORMATS),
        help="how the data are written, where their content does not show it",
    )
    add_columns(parser, COLUMNS)
    parser.add_argument(
        "--labels",
        metavar="SET",
        help=f"the label set: {', '.join(SETS)}; a JSON file that holds one; or {OF_DATA}: the labels as they stand in"
        " the data (default: the ready-made set that the data are in, ECF's where they share a label with it)",
    )
    parser.add_argument(
        "--skip-invalid",
        action="store_true",
        help="leave out conversations with a fault and report each, instead of stopping at the first",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where to write (default: input; for opinions input/opinions, for instructions input/instructions)",
    )
    parser.add_argument(
        "--dataset-update",
        action="store_true",
        help="write other opinions or instructions where some are already, unless a run is on them",
    )
    of_opinions = parser.add_argument_group("texts with opinions (--task opinion)")
    of_opinions.add_argument(
        "--topic",
        nargs="+",
        metavar="TOPIC",
        help=f"what the opinions are on: {', '.join(topic_names())}; or a YAML file of yours",
    )
    of_opinions.add_argument("--task-type", choices=TASK_TYPES, help="what the labels are")
    of_opinions.add_argument("--annotators", nargs="+", metavar="COLUMN", help="the label columns, one an annotator")
    of_opinions.add_argument(
        "--agreement",
        choices=tuple(RULES),
        default="majority",
        help="which label a text gets from several annotators: that of most of them, two at least; one that all gave; "
        "or the mean score (default: %(default)s)",
    )
    of_opinions.add_argument(
        "--keep-repeated", action="store_true", help="leave texts in train that stand in a given val or test too"
    )
    of_opinions.add_argument(
        "--train-only", nargs="+", metavar="FILE", default=(), help="further labelled texts, for train alone"
    )
    of_opinions.add_argument(
        "--undersample",
        type=positive,
        metavar="N",
        help="leave at most N texts of a label in train, drawn by --seed",
    )
    of_opinions.add_argument(
        "--augment",
        type=positive,
        metavar="N",
        help="add marked texts to train until each label has N: others in which the embedded model replaced words",
    )
    arguments = parser.parse_args(argv)
    for name, value in vars(arguments).items():
        if value != parser.get_default(name) and name not in READ[arguments.task]:
            parser.error(f"--{OPTIONS.get(name, name).replace('_', '-')} says nothing with --task {arguments.task}")
    return arguments


def write_conversations(arguments) -> None:
    """Conversations, checked, split and written."""
    names = ("data", "splits", "fractions", "all_train", "seed", "unlabelled", "form", "labels", "skip_invalid", "out")
    arguments.data, arguments.out = arguments.data or at_home("data/sample"), arguments.out or Path(at_home("input"))
    columns = dict(arguments.columns) if arguments.columns else None
    written = write_splits(**{name: getattr(arguments, name) for name in names}, columns=columns)
    parts, labels, left_out, skipped = written.parts, written.labels, written.left_out, written.skipped
    print(count_table(parts, labels))
    if labels.as_dict() != ECF.as_dict():
        neutral = f"neutral is {labels.neutral}" if labels.neutral else "none of them is neutral"
        several = "several" if labels.multi else "one"
        print(f"labels: {labels.name}, {several} an utterance, {neutral}; in {arguments.out}/labels.json")
    for line in written.told:
        print(line)
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


def sized(made: Made, most: int | None, least: int | None, seed: int) -> Made:
    """The same with `most` texts of each label in train at most, and then `least` at least, by variants of them; None:
    as they are."""
    train, told = made.parts["train"], []
    if most:
        train = undersampled(train, most, seed)
        left = len(made.parts["train"]) - len(train)
        told.append(f"undersampled: {left:,} texts were left out of train; {most:,} a label at most")
    if least:
        from utils.models.load import load_model
        from utils.tasks.augment import augmented

        model, tokenizer = load_model(precision="float32")
        known = [text for texts in made.parts.values() for text in texts]
        how = known, made.topics, model, tokenizer, seed
        variants, without = augmented(lacking(train, least, seed), *how)
        train = [*train, *variants]
        told.append(f"augmented: {len(variants):,} texts of train are others with words replaced; {least:,} a label")
        if without:
            told.append(f"augmented: {len(without):,} are lacking, because no new text could be made of their like")
    return made.with_train(train, told)


def write_opinions(arguments) -> None:
    """Texts with opinions, checked, split and written. Raises InputError for an input that would be replaced."""
    arguments.out = arguments.out or Path(at_home("input/opinions"))
    if not (arguments.data or arguments.topic or arguments.task_type):
        vars(arguments).update(SAMPLE, data=at_home(SAMPLE["data"]))
    if not (arguments.data and arguments.topic and arguments.task_type):
        raise OpinionError("give --data, --topic (what the opinions are on) and --task-type (what the labels are)")
    given = ("data", "task_type", "fractions", "seed", "unlabelled", "keep_repeated", "train_only")
    made = make_input(
        topics=[Topic.read(name) for name in arguments.topic],
        columns=dict(arguments.columns or ()),
        annotators=arguments.annotators or (),
        rule=arguments.agreement,
        **{name: getattr(arguments, name) for name in given},
    )
    made = sized(made, arguments.undersample, arguments.augment, arguments.seed)
    print(opinion_table(made.parts))
    for line in made.told:
        print(line)
    for topic in made.topics[:3]:
        print(f"topic {topic.name}: {topic.direction}")
    write_new(arguments, made, "texts.json")


def write_instructions(arguments) -> None:
    """Instructions with answers, cleaned, split and written, with a report. Raises InputError for an input that would
    be replaced."""
    arguments.out = arguments.out or Path(at_home("input/instructions"))
    data = arguments.data or at_home(SAMPLE_INSTRUCTIONS)
    made = make_instructions(data, arguments.fractions, arguments.seed, arguments.unlabelled)
    print(instruction_table(made.parts))
    for line in made.told:
        print(line)
    write_new(arguments, made, "examples.json")


def write_new(arguments, made: Made | MadeInstructions, file: str) -> None:
    """Writes what was made, and says where. file: what the splits' files are called.

    Raises InputError where --out holds another input, unless it may be replaced and no run is on it."""
    out = arguments.out
    there = [name for name in made.files if (out / name).is_file()]
    if there and any((out / name).read_text("utf-8") != made.files[name] for name in there):
        if not arguments.dataset_update:
            raise InputError(f"{out} holds another input: give --dataset-update to replace it, or --out")
        if runs := runs_on(out):
            raise InputError(
                f"{out} is what the run {runs[0]} is on, and stays as it is: give another --out, or remove that run "
                "first"
            )
    for name in made.files:
        check_output(out / name, *made.read)
    write_set(out, made.files)
    print(f"written to {out}/{{{','.join(made.parts)}}}/{file}")
    old = out / "unlabelled" / file
    if "unlabelled" not in made.parts and old.exists():
        print(f"note: {old} is from an earlier run and was left as it was")


WRITERS = {"emotion": write_conversations, "opinion": write_opinions, "instruction": write_instructions}


@command("generate_input.py")
def main(argv=None):
    """Runs the command line. Returns the exit status: 0, or 2 for input that cannot be used."""
    arguments = parse_arguments(argv)
    WRITERS[arguments.task](arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
