"""Several runs as one system: their probabilities, averaged.

    python -m utils.ensemble NAME smollm2-135m-ecf smollm2-135m-ecf-seed-1 smollm2-135m-ecf-seed-2    # adapters
    python -m utils.ensemble NAME --encoders mpnet-ecf gemma-ecf                                       # encoders alone
    python -m utils.ensemble NAME RUN RUN --encoders mpnet-ecf                                         # both
    python -m utils.ensemble NAME --encoders mpnet-ecf --beside results_train/smollm2-135m-ecf-ensemble
    python -m utils.ensemble NAME RUN RUN --split unlabelled

Runs with adapters (utils.chain trains them): the emotions are those of the averaged probabilities, every cause adapter
is asked about these, and the log-odds of their boosted trees are averaged too. A run without one of the two adapters
lends the other, and is scored with the first run's. It costs as many forward passes as there are adapters.

Encoders (utils.train encoder): their emotions are averaged, and are a third of the average with the other runs'
emotions. All are asked about the causes of the emotions found, and the encoders' log-odds are half of the average. One
run and one encoder label as `utils.predict -p encoder` does. In place of runs, `--beside` names a folder with their
predictions.jsonl, decided with the default logit adjustment. What was not asked there, because the emotion was neutral,
boosted trees answer.

A labelled split is scored: results_train/NAME/ holds config.json, predictions.jsonl and metrics.json, with every
member's scores, their mean and spread, the rule on the same emotions, and a paired bootstrap between the two. A member
without predictions of its own gets the same files. The unlabelled split goes to results_test/NAME/. Interrupted, the
same command goes on behind the adapters' last forward pass.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from utils.data.conversations import Conversation, load_conversations
from utils.data.labels import LabelSet, labels_in
from utils.record.adapter import trained_with
from utils.record.predictions import System, read_lines, read_predictions, run_folder, write_predictions
from utils.record.provenance import encoder_record, fingerprints, input_of, read_records, record_of
from utils.record.scores import made, write_scores
from utils.record.systems import adapters_of, by_adapters, by_encoders
from utils.report.bootstrap import compared
from utils.report.scores import head, system_scores
from utils.report.tables import figures, mean_and_spread, members_table, systems_table
from utils.system import places
from utils.system.command import command
from utils.system.errors import RunError
from utils.system.files import read_object, write_json
from utils.tasks.baselines import rule

SECTION = "utils.ensemble"  # what config.json calls the record of this command
OLDER = ("benchmarks.ensemble", "benchmarks.encoder", "benchmarks.decided_again")  # the same, of earlier revisions


# ---- the command -----------------------------------------------------------------------------------------------


def label(
    name: str, runs: Sequence[str] = (), encoders: Sequence[str] = (), beside: Path | None = None, split: str = "test",
    root: Path | None = None,
) -> Path:  # fmt: skip
    """Labels `split` with the runs and encoders as one system called `name`, as the head of this file says; the folder
    that was written, below `root` (default: where the place keeps results).

    Raises RunError for runs that do not belong together, and for a `name` that is another run's; ModelError for
    adapters and encoders that cannot be used.
    """
    from utils.engine.inference import Journal
    from utils.tasks.encoder_scores import load_encoders

    if bool(runs) + bool(beside) > 1 or not runs and not encoders or beside and not encoders:
        raise RunError("give runs with adapters, or --encoders, or both; --beside takes the place of runs")
    started = time.monotonic()
    root, blind = root or places.find().results, split == "unlabelled"
    folders = {run: run_folder(run, root) for run in (*runs, *encoders)}
    adapters = adapters_of({run: folders[run] for run in runs}) if runs else {}
    data = _data_of(folders, adapters, encoders)
    input_dir = places.find().find_input(data, root)
    _check_input(input_dir, folders, encoders, split)
    folder = root / ("results_test" if blind else "results_train") / name
    before = read_records(folder)
    of_this_command = bool({SECTION, *OLDER} & set(before))
    if (name in runs and not blind) or (before and not of_this_command and name not in runs):
        raise RunError(f"{folder} is another system's: choose another name")
    labels = labels_in(input_dir)
    given = load_conversations(input_dir / split, labelled=not blind, labels=labels)

    named, lines = None, None
    if beside:
        named, lines = read_predictions(beside, given, labels), read_lines(beside, given)

    journal, systems, members = Journal(folder / "unfinished.jsonl"), {}, {}
    places_of = [folders[run] / "encoder" for run in encoders]
    if runs:
        encoder = load_encoders(places_of, labels) if encoders else None
        systems, members = by_adapters(adapters, given, journal, alone=not blind, labels=labels, encoder=encoder)
        named = systems["language models"].conversations
    if encoders and not (runs and blind):
        taught = load_conversations(input_dir / "train", labelled=True, labels=labels)
        systems |= by_encoders(places_of, given, taught, lines, alone=not blind, labels=labels)
    best = systems[next(one for one in ("both", "encoder", "language models") if one in systems)]
    parameters = {"runs": list(runs), "encoders": list(encoders), "beside": beside and Path(beside).as_posix()}
    record = record_of({**parameters, "split": split, "input_dir": data}, input_dir)
    kept = {one: there for one, there in before.items() if one not in (SECTION, *OLDER)}
    if not blind:
        paired = {one: system.conversations for one, system in systems.items()}
        paired |= {"language models": named} if named else {}
        metrics = system_scores(given, best.conversations, best.emotions, labels)
        if members:
            metrics |= _of_members(given, members, systems["language models"].conversations, labels)
            for run, (system, asked) in members.items():
                its = {"runs": [run], "causes": [asked], "split": split, "input_dir": data}
                _write_member(folders[run], given, system, {**record, "parameters": its}, labels, started)
        if encoders:
            metrics |= _of_systems(given, paired, labels)
        metrics = {**head(given, labels), **metrics, "made": {SECTION: made(started)}}
        write_json(metrics, folder / "metrics.json")
    write_predictions(folder, *best, labels=labels)
    write_json({**kept, SECTION: record}, folder / "config.json")
    journal.path.unlink(missing_ok=True)
    return folder


def _data_of(folders: dict[str, Path], adapters: dict, encoders: Sequence[str]) -> str:
    """The input folder, as the runs' parameters name it. Raises RunError for a run without an encoder among them."""
    for run in encoders:
        if encoder_record(folders[run]) is None:
            raise RunError(f"{folders[run]}: tells of no encoder: run python -m utils.train encoder {run} first")
    if encoders:
        return (encoder_record(folders[encoders[0]]) or {})["parameters"]["data"]
    return trained_with(next(iter(adapters["emotion"].values()))).input_dir


def _check_input(input_dir: Path, folders: dict[str, Path], encoders: Sequence[str], split: str) -> None:
    """Raises RunError where the runs were made with different conversations, or with others than are in `input_dir`."""
    given_to, here = input_of(folders, split), [fingerprints(input_dir)]
    if encoders:
        here += [(encoder_record(folders[run]) or {})["input"] for run in encoders]
        given_to["train"] = here[1]["train"]  # the trees and the prior are made of it
    if any(found.get(one) != wanted for found in here for one, wanted in given_to.items()):
        raise RunError(f"{input_dir} is not what the runs were made with: make it again with generate_input.py")


def _write_member(
    folder: Path, gold: list[Conversation], system: System, record: dict, labels: LabelSet, started: float
):
    """A member's files, unless it has predictions of its own."""
    records = read_records(folder)
    if (folder / "predictions.jsonl").is_file() and SECTION not in records:
        return
    scores = system_scores(gold, system.conversations, system.emotions, labels)
    write_scores(folder, head(gold, labels), scores, SECTION, started)
    write_predictions(folder, *system, labels=labels)
    write_json({**records, SECTION: record}, folder / "config.json")


def _of_members(gold: list[Conversation], members: dict, whole: list[Conversation], labels: LabelSet) -> dict:
    """What metrics.json adds of an ensemble's members."""
    found = {
        run: {"causes by": asked, **figures(gold, system.conversations, system.conversations, labels)}
        for run, (system, asked) in members.items()
    }
    beside_rule = [(one.conversations, [rule(c, labels) for c in one.conversations]) for one, _ in members.values()]
    return {
        "members": found,
        "mean and spread": mean_and_spread(list(found.values())) if len(found) > 1 else None,
        "ensemble": figures(gold, whole, whole, labels),
        "ensemble less rule": compared(gold, [(whole, [rule(c, labels) for c in whole])], labels),
        "members less rule": compared(gold, beside_rule, labels),
    }


def _of_systems(gold: list[Conversation], paired: dict[str, list[Conversation]], labels: LabelSet) -> dict:
    """What metrics.json adds of encoders and of what stands beside them."""
    found = {
        "systems": {name: figures(gold, one, one, labels) for name, one in paired.items()},
        "less rule": {
            name: compared(gold, [(one, [rule(c, labels) for c in one])], labels) for name, one in paired.items()
        },
    }
    if "both" in paired:
        both = [(paired["both"], paired["language models"])]
        found["both less language models"] = compared(gold, both, labels)
    return found


@command("utils.ensemble")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for runs, encoders or input that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m utils.ensemble", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", help="what the system is called")
    parser.add_argument("runs", nargs="*", metavar="run", help="runs in results_train/ with adapters")
    parser.add_argument("--encoders", nargs="+", default=[], metavar="RUN", help="runs in results_train/ with encoders")
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="recorded predictions in place of runs")
    parser.add_argument("--split", choices=("test", "val", "unlabelled"), default="test", help="default: %(default)s")
    a = parser.parse_args(argv)
    folder = label(a.name, a.runs, a.encoders, a.beside, a.split)
    path = folder / "metrics.json"
    if a.split != "unlabelled":
        metrics = read_object(path)
        print("\n\n".join([members_table(metrics)] * bool(a.runs) + [systems_table(metrics)] * bool(a.encoders)))
    print(f"{folder / 'predictions.jsonl'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
