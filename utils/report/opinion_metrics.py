"""Figures of opinions: of labels, of scores, of relevance.

    figures = opinion_figures(task, gold, predicted, tables)

Every question that gold answers counts: a text that was taken for irrelevant keeps its score, and counts with it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from utils.data.opinions import Text
from utils.report.scores import VERSION
from utils.tasks.opinion import Opinions, expectation, label_of


def opinion_head(task: Opinions, gold: Sequence[Text]) -> dict[str, Any]:
    """What metrics.json says of the texts that were scored: {"version", "labels" in order, "neutral", "texts", "gold":
    {"opinions": {label: how many}}}."""
    labels = task.labels
    return {
        "version": VERSION,
        "labels": list(labels),
        "neutral": labels.neutral,
        "texts": len(gold),
        "gold": {"opinions": task.counts(list(gold))},
    }


def opinion_rows(task: Opinions, gold: Sequence[Text], systems: Mapping[str, tuple[list, list]]) -> dict[str, Any]:
    """The section "opinions" of metrics.json: {system: its `opinion_figures`, and "predicted": {label: how many}}.

    systems  {name: (`gold` as the system sees it, its tables)}"""
    return {
        name: {**opinion_figures(task, gold, predicted, tables), "predicted": task.counts(list(predicted))}
        for name, (predicted, tables) in systems.items()
    }


def opinion_figures(task: Opinions, gold: Sequence[Text], predicted: Sequence[Text], tables: Sequence[dict]) -> dict:
    """The figures of a system; sections that the type of task lacks are not there.

    gold, predicted  the same texts in the same order
    tables           for each text {topic: {part: probabilities, or the score alone}}

    Returns {"texts": how many questions were scored, "labels": `label_figures` of the labels, for binary and relevance
    "relevance": {accuracy, precision, recall, f1 of "relevant"}, for scores "scores": `score_figures`, for stances
    "favor_against_f1": the mean F1 of these two, the official figure of SemEval-2016 Task 6}.
    """
    labels: list[tuple[str, str]] = []
    relevant: list[tuple[bool, bool]] = []
    scores: list[tuple[float, float]] = []
    scale: tuple[float, ...] = ()
    for right, found, table in zip(gold, predicted, tables, strict=True):
        for name, opinion in right["opinions"].items():
            topic = task.topics[name]
            pair = [label_of(one, task.task_type, topic) for one in (opinion, found["opinions"][name])]
            if pair[0] is not None:
                labels.append((pair[0], str(pair[1])))
            if "relevance" in table[name] and "relevant" in opinion:
                relevant.append((opinion["relevant"], table[name]["relevance"][1] >= 0.5))
            if "score" in table[name] and "score" in opinion:
                scores.append((opinion["score"], expectation(table[name]["score"], topic)))
                scale = topic.scores
    figures: dict[str, Any] = {"texts": len(labels)}
    if labels:
        figures["labels"] = label_figures(*zip(*labels), names=list(task.labels))
    if relevant:
        figures["relevance"] = _of_relevance(*zip(*relevant))
    if scores:
        figures["scores"] = score_figures(*zip(*scores), scale=scale)
    if labels and {"favor", "against"} <= {*task.labels}:
        per_label = figures["labels"]["per_label"]
        figures["favor_against_f1"] = (per_label["favor"]["f1"] + per_label["against"]["f1"]) / 2
    return figures


def label_figures(gold: Sequence[str], predicted: Sequence[str], names: list[str]) -> dict[str, Any]:
    """Figures of labels among `names`: {"accuracy", "macro_f1": the mean over the labels that gold has, "per_label":
    {label: precision, recall, f1, support}, "confusion": {gold label: {predicted label: count}}}."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support  # here: it takes a second

    found: Any = precision_recall_fscore_support(gold, predicted, labels=names, zero_division=0)  # pyright: ignore[reportArgumentType]
    rows = zip(names, *found)
    per_label = {
        n: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)} for n, p, r, f, s in rows
    }
    there = [one["f1"] for one in per_label.values() if one["support"]]
    counts = confusion_matrix(gold, predicted, labels=names).tolist()
    return {
        "accuracy": sum(a == b for a, b in zip(gold, predicted)) / len(gold),
        "macro_f1": sum(there) / len(there),
        "per_label": per_label,
        "confusion": {name: dict(zip(names, row)) for name, row in zip(names, counts)},
    }


def _of_relevance(gold: Sequence[bool], predicted: Sequence[bool]) -> dict[str, float]:
    from sklearn.metrics import precision_recall_fscore_support

    found: Any = precision_recall_fscore_support(gold, predicted, average="binary", zero_division=0)[:3]  # pyright: ignore[reportArgumentType]
    accuracy = sum(a == b for a, b in zip(gold, predicted)) / len(gold)
    return {"accuracy": accuracy, **dict(zip(("precision", "recall", "f1"), map(float, found)))}


def score_figures(gold: Sequence[float], predicted: Sequence[float], scale: Sequence[float]) -> dict[str, Any]:
    """Figures of scores.

    scale  the scores of the phrases, from the lowest to the highest

    Returns {"texts": their number; "rmse", "mae": of the scores as they are; "rmse_clipped": of predicted scores held
    within the scale; "macro_mae": the mean over the gold points of the scale of the MAE of rounded scores (SemEval-2016
    Task 4 C); "pearson", "spearman", None where one side is constant; "qwk": kappa with quadratic weights of rounded
    scores (Cohen 1968), None where it is not defined; "rmse_by_label": {gold point: RMSE}}. Rounded: to the nearest
    point of the scale, the lower one of two.
    """
    from scipy.stats import rankdata
    from sklearn.metrics import cohen_kappa_score

    def rounded(values):
        return np.array([min(range(len(scale)), key=lambda k: (abs(scale[k] - value), k)) for value in values])

    g, p, points = np.array(gold, dtype=float), np.array(predicted, dtype=float), np.array(scale, dtype=float)
    right, found = rounded(g), rounded(p)
    errors = {int(k): points[found[right == k]] - points[k] for k in sorted({*right.tolist()})}
    varied = len(g) > 1 and np.ptp(g) > 0 and np.ptp(p) > 0
    defined = len({*right.tolist(), *found.tolist()}) > 1

    def rmse(differences):
        return float(np.sqrt(np.mean(np.square(differences))))

    return {
        "texts": len(g),
        "rmse": rmse(p - g),
        "rmse_clipped": rmse(p.clip(points[0], points[-1]) - g),
        "mae": float(np.abs(p - g).mean()),
        "macro_mae": float(np.mean([np.abs(one).mean() for one in errors.values()])),
        "pearson": float(np.corrcoef(g, p)[0, 1]) if varied else None,
        "spearman": float(np.corrcoef(rankdata(g), rankdata(p))[0, 1]) if varied else None,
        "qwk": float(cohen_kappa_score(right, found, labels=range(len(points)), weights="quadratic"))
        if defined
        else None,
        "rmse_by_label": {f"{points[k]:g}": rmse((p - g)[right == k]) for k in errors},
    }


HEADLINES = {  # {column of a table: where the figure is}
    "accuracy": ("labels", "accuracy"),
    "macro F1": ("labels", "macro_f1"),
    "relevance F1": ("relevance", "f1"),
    "RMSE": ("scores", "rmse"),
    "MAE": ("scores", "mae"),
    "Pearson": ("scores", "pearson"),
    "QWK": ("scores", "qwk"),
}


def headline(figures: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures of a system that a table shows, those that it has."""
    found = {
        column: figures.get(section, {}).get(name)
        for column, (section, name) in HEADLINES.items()
        if section in figures
    }
    return found | ({"favor, against F1": figures["favor_against_f1"]} if "favor_against_f1" in figures else {})


def opinions_table(rows: Mapping[str, dict]) -> str:
    """The section "opinions" of metrics.json as a Markdown table: a line a system."""
    found = {name: headline(figures) for name, figures in rows.items()}
    columns = list(dict.fromkeys(column for one in found.values() for column in one))
    lines = [f"| system | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, one in found.items():
        cells = ["" if one.get(column) is None else f"{one[column]:.3f}" for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
