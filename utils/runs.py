"""Finished runs and systems: are the scores in metrics.json those of the predictions, and is one better than another?

    python -m utils.runs verify results_train/smollm2-135m-ecf
    python -m utils.runs compare smollm2-135m-ecf-ensemble smollm2-135m-ecf    # names in results_train/, or folders
    python -m utils.runs compare smollm2-135m-ecf                              # against the rule on its emotions

`compare` prints the difference of the official weighted F1 of pairs, and its 95 % interval: a paired bootstrap over the
conversations that both were scored on (utils/report/bootstrap.py).
"""

import argparse
import sys
from pathlib import Path

from utils.record.predictions import gold_of, labels_of_scores, read_predictions, run_folder
from utils.record.provenance import revision
from utils.record.verify import is_equal, verify
from utils.report.bootstrap import compared
from utils.report.metrics import pair_scores
from utils.system.command import add_run, command
from utils.system.errors import RunError, shown
from utils.system.files import check_output, write_json
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
    figures, not_compared, threshold = verify(folder)
    wrong = {name: (there, computed) for name, (there, computed) in figures.items() if not is_equal(there, computed)}
    for name, (there, computed) in wrong.items():
        print(f"{name}: {shown(there)} in metrics.json, {computed} from the predictions")
    print(f"{folder}: {len(figures) - len(wrong)} of {len(figures)} figures are those of the predictions")
    if not_compared:
        rows = "; ".join(f"{row} ({count})" for row, count in not_compared.items())
        print(f"{sum(not_compared.values())} figures were not compared, whose predictions are not here: {rows}")
    if threshold is None and any(name.startswith("pairs") for name in figures):
        print("pairs were not compared with their probabilities: no record here names a threshold")
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


@command("utils.runs")
def main(argv=None) -> int:
    """`verify`: exit status 0 where every figure is equal, 1 where one differs; `compare`: 0. Both: 2 where nothing can
    be compared."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
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
    arguments = parser.parse_args(argv)
    return arguments.do(arguments)


if __name__ == "__main__":
    sys.exit(main())
