"""Conversations in, emotions and their causes out, with adapters that are given or found; or texts in, opinions
out; or instructions in, answers out.

    python -m utils.predict CONVERSATIONS.json --out PRED.json [--emotion-adapter DIR --cause-adapter DIR]
    python -m utils.predict CONVERSATIONS.json --out PRED.json --probabilities
    python -m utils.predict CONVERSATIONS.json --out PRED.json -p cause_threshold 0.3
    python -m utils.predict - --out PRED.json < talk.txt                      # Speaker: text, a line an utterance
    python -m utils.predict CONVERSATIONS.json --out PRED.json --part 3/8     # on eight machines: 1/8 to 8/8
    python -m utils.predict --engine ray MANY.jsonl --out FOLDER --workers 8  # on a Ray cluster (docs/places.md)
    python -m utils.predict --task instruction TASKS.jsonl --out PRED.json --run NAME --score  # docs/instructions.md
    python -m utils.predict --task opinion TEXTS.csv --out PRED.csv --run NAME     # docs/opinions.md; in Python:
    from utils.predict import OpinionPredict

Conversations are JSON, JSON lines or text (utils/data/given.py). PRED.record.json says which adapters and which code
labelled them; with --probabilities PRED.probabilities.jsonl has a line a conversation, as a run's predictions.jsonl.
In Python: `Predictor().named(conversations)`, or `predict(conversations, emotion_adapter, cause_adapter)`. Until
PRED.json is written, finished work stands beside it in PRED.json.unfinished.jsonl, from which the same command goes on.
Several processes share the work:

    accelerate launch --multi_gpu --num_processes 2 -m utils.predict CONVERSATIONS.json --out PRED.json
"""

import argparse
import sys
from pathlib import Path

from utils.config import parse_value
from utils.data.formats.opinions import COLUMNS
from utils.data.given import SPOKEN, inputs_of, read_given
from utils.data.opinions import TASK_TYPES
from utils.record.adapter import LABELS_BY, choose_adapters, configs_of, said_of
from utils.record.cluster import FORMS, label_on_cluster
from utils.record.instruction_file import answer_file
from utils.record.labelled import PROBABILITIES, RECORD, absent_streams, beside, labelling
from utils.record.opinion_file import label_file
from utils.record.opinion_predict import OpinionPredict
from utils.record.parts import job_of, part_of, write_part
from utils.record.predictions import lines_of, run_folder, text_of
from utils.record.predictor import Predictor, all_but_too_long, check_asked, predict
from utils.report.spoken import spoken
from utils.system.command import add_adapters, add_columns, add_longest, add_parameter, add_run, command, positive
from utils.system.files import check_output, to_json, write_texts

__all__ = ["OpinionPredict", "Predictor", "main", "predict"]  # what is imported from here, though it is from a room


def label_conversations(argv: list[str]) -> int:
    """The command for conversations. argv: without --task."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.predict",
        description="Label conversations with emotions and their causes.",
        epilog="Texts with opinions: --task opinion; instructions: --task instruction. A Ray cluster: --engine ray.",
    )
    parser.add_argument(
        "conversations",
        help="file of JSON, JSON lines, lines of Speaker: text, or a table; its folder; - for stdin",
    )
    parser.add_argument("--out", required=True, metavar="PRED.json", help="where the labelled conversations go")
    parser.add_argument(
        "--part",
        type=part_of,
        default=(1, 1),
        metavar="K/N",
        help="label only every N-th conversation from the K-th on; the last of the N parts that ends writes PRED.json",
    )
    parser.add_argument("--probabilities", action="store_true", help="also write PRED.probabilities.jsonl")
    parser.add_argument("--skip-too-long", action="store_true", help="leave out what a row cannot hold, and say so")
    parser.add_argument(
        "--skip-invalid", action="store_true", help="leave out conversations with a fault, and name each"
    )
    add_columns(parser, SPOKEN)
    parser.add_argument("--features", metavar="DIR", help="where the streams are that the adapters read")
    add_parameter(parser, f"another value of {' or '.join(LABELS_BY)} than the run's", "cause_threshold 0.3")
    add_adapters(parser)
    arguments = parser.parse_args(argv)
    number, parts = arguments.part
    others = [beside(arguments.out, RECORD), *[beside(arguments.out, PROBABILITIES)] * arguments.probabilities]
    for out in (arguments.out, *others):
        check_output(out, *inputs_of(arguments.conversations))
    faults = [] if arguments.skip_invalid else None
    conversations = read_given(arguments.conversations, dict(arguments.columns or ()), faults)
    adapters = choose_adapters(arguments.emotion_adapter, arguments.cause_adapter, arguments.run)
    parameters = {name: parse_value(name, value) for name, value in arguments.parameter}
    configs = configs_of(adapters, parameters=parameters)  # refuses what these adapters do not read
    check_asked(conversations, arguments.conversations, configs)
    if line := absent_streams(configs.values(), arguments.features):
        print(line)
    from utils.engine.inference import Journal  # seconds of torch, after what is checked without it
    from utils.engine.processes import processes

    suffix = f".part-{number}-of-{parts}" if parts > 1 else ""
    journal = Journal(f"{arguments.out}{suffix}.unfinished.jsonl")
    if processes().is_main_process:
        print(said_of(adapters), flush=True)
    share = conversations[number - 1 :: parts]
    limit, skip = arguments.max_row_tokens, arguments.skip_too_long
    found = all_but_too_long(adapters, limit, share, journal, skip, parameters, arguments.features)
    predictor, (paired, emotions, causes), skipped = found
    if not processes().is_main_process:
        return 0
    asked = causes if "cause" in predictor.tasks else None
    lines = lines_of(paired, emotions, asked, predictor.labels) if arguments.probabilities else None
    labelled_by = labelling(adapters, len(conversations) - len(skipped), parameters, arguments.features)
    record = {beside(arguments.out, RECORD): to_json(labelled_by)}
    if parts > 1:
        written = write_part(paired, arguments.out, number, parts, job_of(conversations, adapters, parameters), lines)
        write_texts(record)
    else:
        written = Path(arguments.out)
        more = {} if lines is None else {beside(written, PROBABILITIES): text_of(lines)}
        write_texts({written: to_json(paired)} | more | record)
    journal.path.unlink(missing_ok=True)
    for name, tokens in skipped.items():
        print(f"skipped: {name}, {tokens} tokens; --max-row-tokens {tokens} would hold it")
    if skipped:
        print(f"skipped: {len(skipped)} of {len(share)} conversations, which are not in {written}")
    for _, message in faults or ():
        print(f"skipped: {message}", file=sys.stderr)
    if faults:
        print(f"skipped: {len(faults):,} conversations with a fault, which are not in {written}")
    if paired and parts == 1:
        print(spoken(paired[0], predictor.labels))
    print(f"{len(paired)} conversation{'s' * (len(paired) != 1)} labelled: {written}")
    return 0


def label_many(argv: list[str]) -> int:
    """The command for very many conversations, on a Ray cluster. argv: without --engine."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.predict --engine ray",
        description="Label many conversations on a Ray cluster: docs/places.md.",
    )
    parser.add_argument("conversations", help="a .jsonl or .parquet file, which is read bit by bit, or another file")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where parts and record.json go")
    parser.add_argument("--size", type=positive, default=256, help="conversations a part; default: %(default)s")
    parser.add_argument("--format", choices=FORMS, default=FORMS[0], help="of the parts; default: %(default)s")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=positive, help="on this machine, each with the models; default: one a core")
    where.add_argument("--address", metavar="HOST:PORT", help="of a Ray cluster that runs; auto finds this machine's")
    parser.add_argument("--skip-too-long", action="store_true", help="leave out what a row cannot hold, and say so")
    add_parameter(parser, f"another value of {' or '.join(LABELS_BY)} than the run's", "cause_threshold 0.3")
    add_adapters(parser)
    a = parser.parse_args(argv)
    adapters = choose_adapters(a.emotion_adapter, a.cause_adapter, a.run)
    parameters = {name: parse_value(name, value) for name, value in a.parameter}
    configs = configs_of(adapters, parameters=parameters)  # refuses what these adapters do not read
    if line := absent_streams(configs.values(), None):
        print(line)
    print(said_of(adapters), flush=True)
    done = label_on_cluster(
        a.conversations,
        a.out,
        tuple(one and one.resolve() for one in adapters),
        a.size,
        a.workers,
        a.address,
        a.format,
        a.max_row_tokens,
        parameters,
        a.skip_too_long,
    )
    for name, tokens in done["skipped"].items():
        print(f"skipped: {name}, {tokens} tokens; --max-row-tokens {tokens} would hold it")
    for worker, one in done["workers"].items():
        rate = one["conversations"] / max(one["seconds"], 1e-9)
        print(f"{worker}: {one['parts']} parts, {one['conversations']:,} conversations, {rate:.2f} a second")
    print(f"{done['conversations']:,} conversations labelled in {done['parts']} parts: {a.out}")
    return 0


def label_texts(argv: list[str]) -> int:
    """The command for texts with opinions. argv: without --task."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.predict --task opinion",
        description="Label texts with opinions on topics: docs/opinions.md.",
    )
    parser.add_argument("texts", help="table: .csv, .tsv, .json or .jsonl; or the texts.json of an input")
    parser.add_argument("--out", required=True, metavar="PRED", help="the table with labels, in one of these formats")
    which = parser.add_mutually_exclusive_group()
    add_run(which, "none, and the base model answers untrained")
    which.add_argument("--adapter", type=Path, metavar="DIR", help="the folder of an adapter, in place of a run")
    parser.add_argument("--model", help="the base model; default: the adapter's, or the embedded one")
    parser.add_argument("--topic", nargs="+", metavar="TOPIC", help="names or YAML files; default: the adapter's")
    parser.add_argument("--task-type", choices=TASK_TYPES, help="default: the adapter's")
    parser.add_argument("--strategy", help="default: the adapter's; another one is refused")
    add_columns(parser, tuple(COLUMNS))
    parser.add_argument("--score", action="store_true", help="compare with the labels of the file: PRED.metrics.json")
    parser.add_argument("--train", type=Path, metavar="FILE", help="labelled texts for the baselines of --score")
    add_longest(parser)
    arguments = parser.parse_args(argv)
    if arguments.train and not arguments.score:
        parser.error("--train is for the baselines of --score: give both")
    if arguments.run:
        arguments.adapter = run_folder(arguments.run) / "adapters" / "opinion"
    for line in label_file(**{name: one for name, one in vars(arguments).items() if name != "run"}):
        print(line, flush=True)
    return 0


def answer_instructions(argv: list[str]) -> int:
    """The command for instructions. argv: without --task."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.predict --task instruction",
        description="Answer a file of instructions, and score the answers: docs/instructions.md.",
    )
    parser.add_argument("tasks", help="JSON or JSON lines in Alpaca's form")
    parser.add_argument("--out", required=True, metavar="PRED.json", help="the instructions with all answers")
    which = parser.add_mutually_exclusive_group()
    add_run(which, "none, and the base model answers alone")
    which.add_argument("--adapter", type=Path, metavar="DIR", help="the folder of an adapter, in place of a run")
    parser.add_argument("--model", help="the base model; default: the adapter's, or the embedded one")
    parser.add_argument("--template", help="default: the adapter's")
    parser.add_argument("--features", metavar="DIR", help="where the streams are that the adapter reads")
    parser.add_argument("--new-tokens", type=positive, default=128, metavar="N", help="of an answer (default: 128)")
    parser.add_argument("--score", action="store_true", help="compare with the answers of the file: PRED.metrics.json")
    arguments = parser.parse_args(argv)
    if arguments.run:
        arguments.adapter = run_folder(arguments.run) / "adapters" / "instruction"
    for line in answer_file(**{name: one for name, one in vars(arguments).items() if name != "run"}):
        print(line, flush=True)
    return 0


LABELLERS = {"emotion": label_conversations, "opinion": label_texts, "instruction": answer_instructions}


@command("utils.predict")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for input, adapters or models that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m utils.predict", add_help=False, allow_abbrev=False)
    parser.add_argument("--task", choices=tuple(LABELLERS), default="emotion")
    parser.add_argument("--engine", choices=("here", "ray"), default="here")
    chosen, others = parser.parse_known_args(argv)
    if chosen.engine == "ray" and LABELLERS[chosen.task] is not label_conversations:
        parser.error("--engine ray labels conversations. For texts leave it out")
    return (label_many if chosen.engine == "ray" else LABELLERS[chosen.task])(others)


if __name__ == "__main__":
    sys.exit(main())
