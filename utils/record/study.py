"""A study's outcome, from its runs: study.json.

record = outcome(study, inputs, cells, seconds)
utils.report.study.study_table(record)
"""

import math
import statistics
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import safe_open

from utils.config import Config
from utils.data.conversations import Conversation
from utils.data.labels import LabelSet
from utils.data.validation import PAIRS, same_id
from utils.record.cells import AVERAGED, HELD_OUT, TEST, Cell, Inputs
from utils.record.predictions import gold_of, read_lines, read_predictions
from utils.record.provenance import revision, versions
from utils.record.stages import EMOTION_TASKS, TEXT_TASKS
from utils.record.study_baselines import baseline, baseline_rows
from utils.record.study_texts import scored_texts
from utils.report.bootstrap import paired
from utils.report.label_metrics import emotion_figures, headline, label_counts
from utils.report.metrics import pair_counts, pair_scores, weighted_f1
from utils.system.files import read_object
from utils.tasks.combine import runs_averaged

VERSION = 1


class Scored(NamedTuple):
    """Conversations of a run that were scored together: gold, labelled, and the lines of predictions.jsonl."""

    gold: list[Conversation]
    predicted: list[Conversation]
    lines: list[dict]

    @property
    def tables(self) -> list:
        """For each conversation utterances x labels, probabilities."""
        return [line["emotion_probabilities"] for line in self.lines]

    def figures(self, labels: LabelSet) -> dict[str, Any]:
        """`figures` of these conversations."""
        return figures(self.gold, self.predicted, self.tables, labels)

    def lacks(self, measure: str) -> bool:
        """Whether this figure cannot be computed."""
        return measure == "pairs" and not all(PAIRS in c for c in self.predicted)

    def counts(self, measure: str, labels: LabelSet) -> np.ndarray:
        """(conversations, 3, labels): what `figure` computes `measure` from."""
        if measure == "pairs":
            return pair_counts(self.gold, self.predicted, labels)
        return label_counts(self.gold, self.predicted, self.tables, labels)

    def figure(self, counts: np.ndarray, measure: str) -> np.ndarray:
        """`of_counts`."""
        return of_counts(counts, measure)


def scored(folder: Path, root: Path, labels: LabelSet, test: set) -> dict[str, Scored]:
    """`parted` of what a run predicts. test: the ids (utils.data.validation.same_id) of the input's test."""
    gold = gold_of(folder, root)
    return parted(gold, read_predictions(folder, gold, labels, causes=False), read_lines(folder, gold), test)


def parted(gold: list[Conversation], predicted: list[Conversation], lines: list[dict], test: set) -> dict[str, Scored]:
    """{part: what was predicted for it}: the input's test, and in a fold the part that is held out."""
    found = {}
    for part, wanted in ((HELD_OUT, False), (TEST, True)):
        kept = [k for k, c in enumerate(gold) if (same_id(c["conversation_ID"]) in test) == wanted]
        if kept:
            found[part] = Scored([gold[k] for k in kept], [predicted[k] for k in kept], [lines[k] for k in kept])
    return found


def figures(gold: list, predicted: list, tables: list, labels: LabelSet) -> dict[str, Any]:
    """The figures of a system: those of its emotions that stand in a table, "pairs" (the official weighted F1) where
    there are causes, and "f1", by label. In a label set with several labels an utterance F1 is over sets."""
    emotions = emotion_figures(gold, predicted, tables, labels)
    of_sets = emotions.get("multi", {}) if labels.multi else {}
    found = headline(emotions)
    found |= {name: of_sets[name] for name in ("weighted_f1", "macro_f1") if of_sets}
    if all(PAIRS in c for side in (gold, predicted) for c in side):
        found["pairs"] = pair_scores(gold, predicted, 2, labels)["weighted_f1"]
    per_label = (of_sets or emotions)["per_emotion"]
    return {**found, "f1": {label: counted["f1"] for label, counted in per_label.items()}}


def of_counts(counts: np.ndarray, measure: str) -> np.ndarray:
    """(...): the figure `measure` of counts (..., 3, labels): hits, predicted, gold."""
    if measure == "pairs":
        return weighted_f1(counts)
    hits, predicted, support = np.moveaxis(counts, -2, 0)
    if measure == "accuracy":
        return hits.sum(-1) / np.maximum(support.sum(-1), 1)
    f1 = 2 * hits / np.maximum(predicted + support, 1)
    return f1.mean(-1) if measure == "macro_f1" else (f1 * support).sum(-1) / np.maximum(support.sum(-1), 1)


# ---- rows --------------------------------------------------------------------------------------------------------


def spread(values: list[float]) -> list[float | None]:
    """[mean, standard deviation of the sample, or None for one value]."""
    return [statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None]


def summary(runs: list[dict]) -> dict[str, Any]:
    """The `figures` of several runs as one, each as `spread` has it."""

    def one(name):
        values = [run[name] for run in runs]
        if isinstance(values[0], dict):
            return {label: spread([value[label] for value in values]) for label in values[0]}
        return spread(values)

    return {name: one(name) for name in runs[0]}


def folds_averaged(by_seed: list[list[Scored]], threshold: float, labels: LabelSet) -> dict[str, Any]:
    """`summary` over seeds of what the folds of each seed say together of one test (utils.tasks.combine)."""
    found = []
    for folds in by_seed:
        gold = folds[0].gold
        predicted, tables = runs_averaged(gold, [one.lines for one in folds], threshold, labels)
        found.append(figures(gold, predicted, tables, labels))
    return summary(found)


def less(ones: list[list[Any]], others: list[list[Any]], measure: str, labels: LabelSet) -> dict | None:
    """The figure `measure` of a row less that of another, by a paired bootstrap over conversations or texts
    (utils.report.bootstrap.paired), the mean over seeds; None where gold differs, or one has no such figure.

    ones, others  for each seed the runs of its folds (`Scored`, or ScoredTexts), whose items are pooled
    """
    gold = [[[one.gold for one in folds] for folds in row] for row in (ones, others)]
    runs = [one for row in (ones, others) for folds in row for one in folds]
    if gold[0] != gold[1] or any(one.lacks(measure) for one in runs):
        return None
    pooled = [
        [np.concatenate([one.counts(measure, labels) for one in folds]) for folds in row] for row in (ones, others)
    ]
    return paired(list(zip(*pooled)), lambda counts: runs[0].figure(counts, measure))


# ---- study.json --------------------------------------------------------------------------------------------------


def measure_of(tasks: tuple[str, ...]) -> str:
    """What is compared where the study does not say it."""
    return {EMOTION_TASKS: "pairs", TEXT_TASKS: "macro_f1"}.get(tasks, "weighted_f1")


def outcome(
    inputs: Inputs, cells: list[Cell], seconds: dict[str, float], tasks: tuple[str, ...], measure: str
) -> dict[str, Any]:
    """What study.json holds of finished runs: each run's figures, each row's means and spreads, each row less the
    first, and what is to be known beside them.

    seconds  {run: how long it took}
    """
    study, runs, rows = inputs.study, [], {}
    found: dict[str, list[tuple[Cell, dict[str, Any]]]] = {}  # {row: its runs}
    for cell in cells:
        parts, labels = _scored(inputs, cell), inputs.source(study.rows[cell.row]).labels
        cost = {"seconds": round(seconds[cell.run], 1), **_trained(inputs.root / "results_train" / cell.run)}
        runs.append({**cell.as_dict(), **cost, "figures": _figures(parts, labels)})
        found.setdefault(cell.row, []).append((cell, parts))
    first = next(iter(found))
    for name, row, of in baseline_rows(study.baselines, {row: its[0][0].parameters for row, its in found.items()}):
        for cell, _ in found[of]:
            found.setdefault(row, []).append((cell, _without_training(inputs, cell, name)))
    for row, its in found.items():
        labels = inputs.source(study.rows[its[0][0].row]).labels
        by_part = {part: _by_seed(its, part) for part in its[0][1]}
        of_parts = {part: summary([_figures(parts, labels)[part] for _, parts in its]) for part in by_part}
        if study.folds > 1 and TEST in by_part and row in study.rows:
            threshold = study.rows[row].get("cause_threshold", Config.cause_threshold)
            of_parts[AVERAGED] = folds_averaged(by_part[TEST], threshold, labels)
        rows[row] = {"labels": labels.as_dict(), "runs": len(its), "figures": of_parts}
        if row != first and labels == inputs.source(study.rows[first]).labels:
            rows[row]["less the first"] = {
                part: less(one, _by_seed(found[first], part), measure, labels) for part, one in by_part.items()
            }
    return {
        "version": VERSION,
        "study": study.name,
        "measure": measure,
        "tasks": [*tasks],
        "folds": study.folds,
        "group": study.group,
        "seeds": [*study.seeds],
        "revision": revision(),
        "versions": versions(),
        "notes": inputs.notes,
        "rows": rows,
        "runs": runs,
    }


def _trained(run: Path) -> dict[str, Any]:
    """{"trained": how many numbers a run's adapters have, "training_seconds": how long the trainer took}; {} without
    adapters."""
    numbers, seconds = 0, 0.0
    for weights in run.glob("adapters/*/adapter_model.safetensors"):
        with safe_open(weights, "numpy") as file:
            numbers += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        history = read_object(weights.with_name("training.json"))["history"]
        seconds += sum(one.get("train_runtime", 0.0) for one in history)
    return {"trained": numbers, "training_seconds": round(seconds, 1)} if numbers else {}


def _scored(inputs: Inputs, cell: Cell) -> dict[str, Any]:
    """{part: what a run predicts for it}, each with its `figures`."""
    if inputs.source(inputs.study.rows[cell.row]).of_texts:
        return scored_texts(inputs.root / "results_train" / cell.run, inputs.root)
    labels, test, folder = _of(inputs, cell)
    return scored(folder, inputs.root, labels, test)


def _without_training(inputs: Inputs, cell: Cell, name: str) -> dict[str, Any]:
    """`_scored` of a system without training, in the place of a run."""
    if inputs.source(inputs.study.rows[cell.row]).of_texts:
        return scored_texts(inputs.root / "results_train" / cell.run, inputs.root, name)
    labels, test, folder = _of(inputs, cell)
    gold, predicted, tables = baseline(name, folder, inputs.root, labels)
    return parted(gold, predicted, [{"emotion_probabilities": table} for table in tables], test)


def _of(inputs: Inputs, cell: Cell) -> tuple[LabelSet, set, Path]:
    """(the label set of a run, the ids of its input's test, its folder)."""
    source = inputs.source(inputs.study.rows[cell.row])
    test = {same_id(c["conversation_ID"]) for c in source.splits["test"]}
    return source.labels, test, inputs.root / "results_train" / cell.run


def _figures(parts: dict[str, Any], labels: LabelSet) -> dict[str, dict]:
    return {part: one.figures(labels) for part, one in parts.items()}


def _by_seed(its: list[tuple[Cell, dict[str, Any]]], part: str) -> list[list[Any]]:
    """For each seed of a row, what the runs of its folds predict for a part."""
    found: dict[int, list[Any]] = {}
    for cell, parts in its:
        if part in parts:
            found.setdefault(cell.seed, []).append(parts[part])
    return list(found.values())
