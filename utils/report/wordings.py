"""How much does a score hang on how the question is worded?

found = wordings_of_emotions(gold, answers, pool, labels)     # answers: utils.tasks.wordings.predict_wordings
found["spread"]["trained"]["macro_f1"]["mean"]
pandas.DataFrame(wordings_rows(found)).T
"""

import statistics

from utils.data.conversations import Conversation
from utils.data.labels import ECF, LabelSet
from utils.report.label_metrics import emotion_figures, headline
from utils.report.metrics import pair_scores, per_emotion_pair_scores
from utils.tasks.pool import Pool
from utils.tasks.wordings import AVERAGE

GROUPS = ("trained", "not trained")  # whether training asked with a wording


def wordings_of_emotions(gold: list[Conversation], answers: dict, pool: Pool, labels: LabelSet = ECF) -> dict:
    """The section "emotion wordings" of metrics.json.

    answers  {wording, or AVERAGE: (labelled conversations, tables)}

    Returns {"wordings": {name: {"text", "trained", figures, "f1": {label: F1}}}, AVERAGE: the figures and "f1" of all
    wordings together, "spread": see `spread`}. The figures are those of utils.report.label_metrics.headline.
    """

    def scored(labelled, tables):
        found = emotion_figures(gold, labelled, tables, labels)
        return {**headline(found), "f1": _f1(found.get("multi", found)["per_emotion"])}

    return _section({name: scored(*one) for name, one in answers.items()}, pool)


def wordings_of_causes(gold: list[Conversation], answers: dict, pool: Pool, labels: LabelSet = ECF) -> dict:
    """The section "cause wordings" of metrics.json: as `wordings_of_emotions`, with the official figures of pairs and
    the F1 of each emotion's pairs."""

    def scored(labelled):
        return {**pair_scores(gold, labelled, 2, labels), "f1": _f1(per_emotion_pair_scores(gold, labelled, labels))}

    return _section({name: scored(labelled) for name, (labelled, _) in answers.items()}, pool)


def _f1(per_emotion: dict) -> dict[str, float]:
    return {label: one["f1"] for label, one in per_emotion.items()}


def _section(scores: dict[str, dict], pool: Pool) -> dict:
    asked = {
        name: {"text": pool.wordings[name], "trained": name in pool.learnt, **one}
        for name, one in scores.items()
        if name != AVERAGE
    }
    return {"wordings": asked, AVERAGE: scores[AVERAGE], "spread": spread(asked)}


def spread(asked: dict[str, dict]) -> dict:
    """{"trained", "not trained": {figure: {"wordings": how many, "mean", "deviation": the sample's, null of one,
    "lowest", "highest"}}}; a group without wordings is left out."""
    groups = {name: [one for one in asked.values() if one["trained"] == (name == GROUPS[0])] for name in GROUPS}
    return {
        name: {
            figure: {
                "wordings": len(there),
                "mean": statistics.mean(one[figure] for one in there),
                "deviation": statistics.stdev(one[figure] for one in there) if len(there) > 1 else None,
                "lowest": min(one[figure] for one in there),
                "highest": max(one[figure] for one in there),
            }
            for figure, value in there[0].items()
            if isinstance(value, float)
        }
        for name, there in groups.items()
        if there
    }


def wordings_rows(section: dict) -> dict[str, dict]:
    """A section as the rows of a table: each wording, the average of all, and the mean and spread of each group."""

    def row(one):
        figures = {name: value for name, value in one.items() if isinstance(value, float)}
        return {**figures, **{f"F1 {label}": value for label, value in one.get("f1", {}).items()}}

    rows = {f"{name}{'' if one['trained'] else ' *'}": row(one) for name, one in section["wordings"].items()}
    rows["average of all"] = row(section[AVERAGE])
    for group, figures in section["spread"].items():
        for part in ("mean", "deviation"):
            rows[f"{part}, {group}"] = {name: one[part] for name, one in figures.items()}
    return rows
