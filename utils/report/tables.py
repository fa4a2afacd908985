"""What a system scores, as figures and as tables in Markdown."""

import statistics
from collections.abc import Iterator
from pathlib import Path

from utils.data.conversations import Conversation
from utils.data.labels import ECF, LabelSet
from utils.report.answer_metrics import answers_table
from utils.report.metrics import emotion_scores, pair_scores, per_emotion_pair_scores
from utils.report.opinion_metrics import opinions_table
from utils.report.scores import RESULT, read_scores
from utils.system.files import intact
from utils.tasks.baselines import rule

# ---- figures -------------------------------------------------------------------------------------------------


def figures(
    gold: list[Conversation], labelled: list[Conversation], paired: list[Conversation], labels: LabelSet = ECF
) -> dict:
    """Scores of emotions and of pairs, and of the rule's pairs on the same emotions, each as {name: number}."""
    emotions = emotion_scores(gold, labelled, labels)
    return {
        "emotions": {name: value for name, value in emotions.items() if isinstance(value, float)},
        "f1_of_emotions": {name: one["f1"] for name, one in emotions["per_emotion"].items()},
        "pairs": pair_scores(gold, paired, 2, labels),
        "f1_of_pairs": {name: one["f1"] for name, one in per_emotion_pair_scores(gold, paired, labels).items()},
        "rule": pair_scores(gold, [rule(c, labels) for c in labelled], 2, labels),
    }


def mean_and_spread(members: list[dict]) -> dict:
    """The `figures` of several systems as one: [mean, standard deviation of the sample] of each."""
    return {
        section: {
            name: [how([member[section][name] for member in members]) for how in (statistics.mean, statistics.stdev)]
            for name, value in there.items()
            if isinstance(value, float)
        }
        for section, there in members[0].items()
        if isinstance(there, dict)
    }


# ---- tables --------------------------------------------------------------------------------------------------

COLUMNS = ("emotion accuracy", "weighted F1", "macro F1", "pairs weighted F1", "the rule's")


def results_table(folder) -> str:
    """The scores of a run as a Markdown table, made from its metrics.json alone: a line a system, the
    run's own in bold.

    Emotions: accuracy, weighted F1 over seven classes, macro F1. Pairs: the official weighted F1 over six emotions,
    and F1 over all pairs (SemEval-2024 Task 3, Subtask 2). Of a run of opinions: `opinions_table`; of instructions:
    `answers_table`.
    """
    path = Path(folder) / "metrics.json"
    metrics = read_scores(folder)
    for section, table in {"opinions": opinions_table, "instructions": answers_table}.items():
        if section in metrics:
            with intact(path, "Restore the file, or run the notebooks again"):
                return table(metrics[section])
    if "pairs" not in metrics:
        return "no scores: the run has no labelled conversations held out of training (input test split)"
    lines = [
        "| system | emotion accuracy | weighted F1 | macro F1 | pairs weighted F1 | pairs F1 |",
        "|---|---|---|---|---|---|",
    ]
    with intact(path, "Restore the file, or run notebooks 2 and 4 again"):
        for name, row in metrics["pairs"].items():
            emotions = metrics["emotions"].get(row["emotions"])
            cells = ["", "", ""]
            if emotions:
                cells = [f"{emotions[key]:.3f}" for key in ("accuracy", "weighted_f1", "macro_f1")]
            cells += [f"{row['scores'][key]:.3f}" for key in ("weighted_f1", "f1_pair")]
            lines.append(f"| {f'**{name}**' if name == RESULT else name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def members_table(metrics: dict) -> str:
    """Two tables of an ensemble's metrics.json (utils.ensemble), for a labelled split: its members (mean ± standard
    deviation) and the ensemble, COLUMNS; then F1 by emotion."""
    rows = {f"one of {len(metrics['members'])}": metrics["mean and spread"], "ensemble": metrics["ensemble"]}

    def by_emotion(name, one):
        for what, key in (("emotions", "f1_of_emotions"), ("pairs", "f1_of_pairs")):
            yield f"{what}, {name}", [one[key][label] for label in emotional]

    emotional = list(metrics["ensemble"]["f1_of_pairs"])
    overall = [(name, _overall(one)) for name, one in rows.items() if one]
    per_emotion = [line for name, one in rows.items() if one for line in by_emotion(name, one)]
    return "\n".join([*_lines("", COLUMNS, overall), "", *_lines("F1", emotional, per_emotion)])


def systems_table(metrics: dict) -> str:
    """The table of the metrics.json of encoders and what stands beside them (utils.ensemble): a line a system."""
    systems = sorted(metrics["systems"].items(), reverse=True)
    return "\n".join(_lines("", COLUMNS, [(name, _overall(one)) for name, one in systems]))


def _overall(one: dict) -> list:
    """The cells of COLUMNS, from `figures` or `mean_and_spread`."""
    emotions = [one["emotions"][key] for key in ("accuracy", "weighted_f1", "macro_f1")]
    return [*emotions, one["pairs"]["weighted_f1"], one["rule"]["weighted_f1"]]


def _lines(title: str, columns, rows) -> Iterator[str]:
    """A table: a head, and a line for each (label, values); a value is a number, or [mean, deviation]."""
    yield f"| {title} | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for label, values in rows:
        cells = [f"{v[0]:.3f} ± {v[1]:.3f}" if isinstance(v, list) else f"{v:.3f}" for v in values]
        yield f"| {label} | {' | '.join(cells)} |"
