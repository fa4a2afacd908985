"""Scores a file of predicted pairs by the official SemEval-2024 Task 3 metrics.

    python -m utils.score --subtask {1,2} --gold GOLD.json --pred PRED.json [--json]
    python -m utils.score --subtask 2 --gold GOLD.json --pred results_train/smollm2-135m-ecf/predictions.jsonl

Where every utterance of both files carries an emotion, their scores follow (not part of the task's metric).
"""

import argparse
import json
import sys

from utils.record.predictions import read_predictions
from utils.report.metrics import emotion_scores, pair_scores, per_emotion_pair_scores, spans_not_said
from utils.system.command import command
from utils.system.errors import FileError, ScoringError
from utils.system.files import read_json


@command("utils.score")
def main(argv=None):
    """Prints the scores and returns 0. What cannot be scored ends in a message and status 2 (see `command`)."""
    parser = argparse.ArgumentParser(prog="python -m utils.score", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--subtask",
        type=int,
        choices=(1, 2),
        required=True,
        help="1: causes are spans of text; 2: causes are utterances",
    )
    parser.add_argument("--gold", required=True, metavar="GOLD.json", help="conversations, true pairs")
    parser.add_argument(
        "--pred",
        required=True,
        metavar="PRED.json",
        help="conversations, predicted pairs; or a run's predictions.jsonl",
    )
    parser.add_argument("--json", action="store_true", help="print the official figures as one JSON object")
    args = parser.parse_args(argv)
    try:
        gold = read_json(args.gold)
        pred = read_predictions(args.pred, gold) if args.pred.endswith(".jsonl") else read_json(args.pred)
        scores = pair_scores(gold, pred, args.subtask)
    except ScoringError as error:  # knows whose fault it is, not the file
        raise FileError(f"{getattr(args, error.side)}: {error}") from error

    if args.subtask == 1 and (places := spans_not_said(gold)):
        print(f"utils.score: {args.gold}: {_not_said(places)}", file=sys.stderr)
    if args.json:
        print(json.dumps(scores))
        return 0
    print(_table(f"Subtask {args.subtask}", _rows(scores)))
    if args.subtask == 2:
        emotions = per_emotion_pair_scores(gold, pred)
        rows = [(emotion, *figures.values()) for emotion, figures in emotions.items()]
        print("\n" + _table("Emotion", rows, support=True))
        try:
            found = emotion_scores(gold, pred)
        except ScoringError:  # the official files' utterances carry none
            return 0
        names = {"accuracy": "accuracy", "weighted_f1": "weighted F1", "macro_f1": "macro F1"}
        print("\nUtterances' emotions: " + ", ".join(f"{name} {found[key]:.4f}" for key, name in names.items()))
    return 0


def _not_said(places):
    """The note on gold spans that count as empty, which changes the figures; places as of `spans_not_said`."""
    key, number = places[0]
    more = f" (nor in {len(places) - 1} more)" if len(places) > 1 else ""
    return (
        f"the words of a gold cause are not in utterance {number} of conversation {key}{more}. "
        "Such a cause counts as empty, as in the official evaluation. Correct its words."
    )


def _rows(scores):
    """(name, precision, recall, F1) for each three of the official figures, which come in this order."""
    names, figures = list(scores), list(scores.values())
    return [
        (names[i].replace("precision", "").strip("_").replace("_", " "), *figures[i : i + 3])
        for i in range(0, len(names), 3)
    ]


def _table(title, rows, support=False):
    """Rows of a name, three figures and maybe a count, aligned."""
    columns = ("precision", "recall", "F1", "support")[: 4 if support else 3]
    lines = [f"{title:<22}" + "".join(f"{column:>10}" for column in columns)]
    for name, *figures in rows:
        lines.append(
            f"{name:<22}"
            + "".join(f"{figure:>10.4f}" for figure in figures[:3])
            + "".join(f"{count:>10}" for count in figures[3:])
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
