"""Scores a file of predicted pairs by the official SemEval-2024 Task 3 metrics.

    python -m utils.score --subtask {1,2} --gold GOLD.json --pred PRED.json [--json]
    python -m utils.score --subtask 2 --gold input/ecf/test --pred results_train/smollm2-135m-ecf

A folder stands for the obvious file in it, a run's folder for its predictions.jsonl.
Where every utterance of both files carries an emotion, their scores follow (not part of the task's metric). With --json
one object has all of it: the official figures under their official names, and in Subtask 2 "per_emotion" and
"emotions".
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from utils.data.conversations import file_in
from utils.data.label_sets import find_labels
from utils.data.labels import LABELS_FILE, LabelSet, labels_in
from utils.data.validation import same_id
from utils.record.predictions import predictions_file, read_predictions
from utils.report.metrics import emotion_scores, pair_scores, per_emotion_pair_scores, spans_not_said
from utils.report.scores import labelled_counts
from utils.system.command import command
from utils.system.errors import FileError, ScoringError, shown
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
    parser.add_argument(
        "--gold", required=True, metavar="GOLD.json", help="conversations, true pairs; or the folder of a split"
    )
    parser.add_argument(
        "--pred",
        required=True,
        metavar="PRED.json",
        help="conversations, predicted pairs; or a run's predictions.jsonl, or its folder",
    )
    parser.add_argument(
        "--labels", metavar="NAME|FILE", help="label set; default: the gold input's labels.json, else ECF's"
    )
    parser.add_argument("--json", action="store_true", help="print all figures as one JSON object")
    args = parser.parse_args(argv)
    args.gold, args.pred = file_in(args.gold), _predicted(Path(args.pred))
    labels = find_labels(args.labels) if args.labels else labels_beside(args.gold)
    try:
        gold = read_json(args.gold)
        pred = read_predictions(args.pred, gold, labels) if args.pred.suffix == ".jsonl" else read_json(args.pred)
        scores = pair_scores(gold, pred, args.subtask, labels)
        scored = {same_id(c["conversation_ID"]) for c in gold}
        for path, conversations in ((args.gold, gold), (args.pred, pred)):
            for note in _odd_pairs(c for c in conversations if same_id(c["conversation_ID"]) in scored):
                print(f"utils.score: {path}: {note}", file=sys.stderr)
    except ScoringError as error:  # knows whose fault it is, not the file
        raise FileError(f"{getattr(args, error.side)}: {error}") from error

    if args.subtask == 1 and (places := spans_not_said(gold)):
        print(f"utils.score: {args.gold}: {_not_said(places)}", file=sys.stderr)
    more = _more(gold, pred, labels) if args.subtask == 2 else {}
    if args.json:
        print(json.dumps({**scores, **more}))
        return 0
    print(_table(f"Subtask {args.subtask}", _rows(scores)))
    if more:
        rows = [(emotion, *figures.values()) for emotion, figures in more["per_emotion"].items()]
        print("\n" + _table("Emotion", rows, support=True))
    if "emotions" in more:
        names = {"accuracy": "accuracy", "weighted_f1": "weighted F1", "macro_f1": "macro F1"}
        found = (f"{name} {more['emotions'][key]:.4f}" for key, name in names.items())
        print("\nUtterances' emotions: " + ", ".join(found))
    return 0


def _predicted(path: Path) -> Path:
    """The file of predictions that `path` is, or that is obvious in it: a run's predictions.jsonl comes first."""
    return found if (found := predictions_file(path)).is_file() else file_in(path)


def labels_beside(gold: Path) -> LabelSet:
    """The label set of the labels.json that stands beside the file, or above its split's folder; else ECF's."""
    folders = (gold.parent, gold.absolute().parent.parent)
    return labels_in(next((folder for folder in folders if (folder / LABELS_FILE).is_file()), gold.parent))


def _more(gold, pred, labels: LabelSet) -> dict:
    """{"per_emotion": the pairs' scores by emotion, "emotions": those of the utterances, where all carry one}."""
    found = {"per_emotion": per_emotion_pair_scores(gold, pred, labels)}
    try:
        emotions = emotion_scores(gold, pred, labels)
    except ScoringError:  # the official files' utterances carry none
        return found
    return {**found, "emotions": {**emotions, "confusion": labelled_counts(emotions["confusion"], labels)}}


def _odd_pairs(conversations) -> Iterator[str]:
    """Notes on pairs that point to utterances which are not there, and on pairs that contradict the emotions in the
    same file: they count as they are written, as in the official evaluation."""
    absent, contrary = [], []
    for c in conversations:
        utterances = c.get("conversation")
        if not isinstance(utterances, list) or not all(isinstance(u, dict) for u in utterances):
            continue
        emotions = {str(u.get("utterance_ID")): u.get("emotion") for u in utterances}
        for end, cause in c["emotion-cause_pairs"]:
            number, _, emotion = end.removeprefix("U").partition("_")
            ends = [str(int(number)), str(int(str(cause).strip().removeprefix("U").partition("_")[0]))]
            if not {*ends} <= {*emotions}:
                absent.append((c["conversation_ID"], end, cause))
            elif emotions[ends[0]] not in (None, emotion):
                contrary.append((c["conversation_ID"], end, cause))
    for found, problem in ((absent, "point to utterances that are not there"), (contrary, "contradict its emotions")):
        if found:
            key, end, cause = found[0]
            first = f'first ["{end}", {shown(cause)}] of conversation {key}'
            yield f"{len(found)} pairs {problem}, {first}. They count as written, as in the official evaluation"


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
