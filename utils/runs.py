"""Finished runs: list them, verify their scores, compare two, decide with another threshold.

    python -m utils.runs list                                                  # a table; --json for programs
    python -m utils.runs verify results_train/smollm2-135m-ecf
    python -m utils.runs compare smollm2-135m-ecf-ensemble smollm2-135m-ecf    # names in results_train/, or folders
    python -m utils.runs compare smollm2-135m-ecf                              # against the rule on its emotions

    python -m utils.runs decide sample -p cause_threshold 0.3                  # a system of its own; no model is loaded

`compare` prints the difference of the official weighted F1 of pairs, and its 95 % interval: a paired bootstrap over the
conversations that both were scored on (utils/report/bootstrap.py).
"""

import argparse
import sys
from pathlib import Path

from utils.config import parse_value
from utils.record.adapter import DECIDES
from utils.record.decide import decide
from utils.record.overview import overview, overview_table
from utils.record.predictions import gold_of, labels_of_scores, read_predictions, run_folder
from utils.record.provenance import revision
from utils.record.verify import is_equal, verify
from utils.report.bootstrap import compared
from utils.report.metrics import pair_scores
from utils.report.tables import results_table
from utils.system.command import add_parameter, add_run, command
from utils.system.errors import RunError, shown
from utils.system.files import check_output, to_json, write_json
from utils.tasks.baselines import rule


def compare(one: str, other: str | None = None) -> dict:
    """The weighted F1 of pairs of the system `one` less that of `other`, or of the rule on the emotions of `one`: what
    utils.report.bootstrap.compared returns, with both names and the number of conversations.

    Raises RunError for folders without scores, and for systems that were scored on different conversations.
    """
    folder = run_folder(one)
    gold, labels = gold_of(folder), labels_of_scores(folder)
    labelled = read_predictions(folder, gold, labels)
    if other is None:
        others = [rule(c, labels) for c in labelled]
    else:
        beside = run_folder(other)
        if gold_of(beside) != gold:
            raise RunError(f"{folder} and {beside} were scored on different conversations: they cannot be compared")
        others = read_predictions(beside, gold, labels)
    return {
        "system": one,
        "against": other or "the rule on its emotions",
        "revision": revision(),
        "conversations": len(gold),
        "weighted_f1": [pair_scores(gold, predicted, 2, labels)["weighted_f1"] for predicted in (labelled, others)],
        **compared(gold, [(labelled, others)], labels),
    }


def _verify(arguments) -> int:
    folder = run_folder(arguments.name or arguments.run)
    figures, not_compared, threshold, thresholds = verify(folder)
    wrong = {name: (there, computed) for name, (there, computed) in figures.items() if not is_equal(there, computed)}
    for name, (there, computed) in wrong.items():
        print(f"{name}: {shown(there)} in metrics.json, {computed} from the predictions")
    print(f"{folder}: {len(figures) - len(wrong)} of {len(figures)} figures are those of the predictions")
    if not_compared:
        rows = "; ".join(f"{row} ({count})" for row, count in not_compared.items())
        print(f"{sum(not_compared.values())} figures were not compared, whose predictions are not here: {rows}")
    if threshold is None and any(name.startswith("pairs") for name in figures):
        print("pairs were not compared with their probabilities: no record here names a threshold")
    if thresholds is None:
        print("labels were not compared with their probabilities: no record here names their thresholds")
    return 1 if wrong else 0


def _compare(arguments) -> int:
    if arguments.out:
        check_output(arguments.out)
    found = compare(arguments.one, arguments.other)
    scores, (low, high) = found["weighted_f1"], found["interval_95"]
    print(f"{found['system']}: {scores[0]:.4f}")
    print(f"{found['against']}: {scores[1]:.4f}")
    print(
        f"difference {found['difference']:+.4f}, 95 % interval from {low:+.4f} to {high:+.4f} "
        f"({found['conversations']} conversations, {found['draws']:,} draws)"
    )
    if arguments.out:
        write_json(found, arguments.out)
    return 0


def _list(arguments) -> int:
    rows = overview(arguments.runs)
    print(to_json(rows) if arguments.json else overview_table(rows))
    return 0


def _decide(arguments) -> int:
    parameters = {name: parse_value(name, value) for name, value in arguments.parameter}
    folder = decide(arguments.name, parameters, arguments.out)
    beside = overview_table(overview([arguments.name, str(folder)]))
    print(f"{results_table(folder)}\n\nbefore and now:\n{beside}\n\nresults: {folder}")
    return 0


@command("utils.runs")
def main(argv=None) -> int:
    """`verify`: exit status 0 where every figure is equal, 1 where one differs; the others: 0. All: 2 with one message
    for what cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m utils.runs", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("verify", help="compute the scores of a run again from its predictions")
    one.add_argument("name", nargs="?", metavar="RUN", help="the same as --run")
    add_run(one)
    one.set_defaults(do=_verify)
    one = commands.add_parser("compare", help="the difference between two systems' pairs, and its interval")
    one.add_argument("one", metavar="A", help="a name in results_train/, or a folder")
    one.add_argument("other", metavar="B", nargs="?", help="default: the rule on A's emotions")
    one.add_argument("--out", type=Path, metavar="FILE", help="also write what was found, as JSON")
    one.set_defaults(do=_compare)
    one = commands.add_parser("list", help="the runs: what differs, scores, minutes")
    one.add_argument("runs", nargs="*", metavar="RUN", help="names in results_train/, or folders; default: all")
    one.add_argument("--json", action="store_true", help="with every parameter, as JSON")
    one.set_defaults(do=_list)
    one = commands.add_parser("decide", help="a run's labels with other inference parameters, from its probabilities")
    one.add_argument("name", metavar="RUN", help="a name in results_train/, or a folder")
    add_parameter(one, f"one of {', '.join(DECIDES)}", "cause_threshold 0.3")
    one.add_argument("--out", metavar="NAME", help="what the system is called; default: the run and the parameters")
    one.set_defaults(do=_decide)
    arguments = parser.parse_args(argv)
    return arguments.do(arguments)


if __name__ == "__main__":
    sys.exit(main())
