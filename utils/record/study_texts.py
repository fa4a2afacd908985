"""What a study takes from a run of opinions: figures, and counts for a paired bootstrap over texts.

scored_texts(folder, root)["test"].figures(labels)
scored_texts(folder, root, "TF-IDF")       # a row without training
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.data.labels import LabelSet
from utils.data.opinions import Text
from utils.record.cells import TEST
from utils.record.opinions import FINE_TUNED, opinions_of, systems_of
from utils.report.opinion_metrics import opinion_figures
from utils.system.errors import RunError
from utils.tasks.opinion import ASKED, Opinions, expectation, label_of


class ScoredTexts(NamedTuple):
    """Texts of a run that were scored together: gold, predicted, and the tables of their probabilities."""

    task: Opinions
    gold: list[Text]
    predicted: list[Text]
    tables: list[dict]

    def figures(self, labels: LabelSet) -> dict[str, Any]:
        """The figures that stand in a study's table, and "f1", by label."""
        found = opinion_figures(self.task, self.gold, self.predicted, self.tables)
        rows = found["labels"]
        figures = {name: rows[name] for name in ("accuracy", "macro_f1")}
        figures |= {name: found["scores"][name] for name in ("rmse", "mae") if "scores" in found}
        return {**figures, "f1": {label: counted["f1"] for label, counted in rows["per_label"].items()}}

    def lacks(self, measure: str) -> bool:
        """Whether this figure cannot be computed."""
        return measure == "rmse" and "score" not in ASKED[self.task.task_type]

    def counts(self, measure: str, labels: LabelSet) -> np.ndarray:
        """What `figure` computes `measure` from: (texts, 3, labels) hits, predicted, gold; of RMSE (texts, 2): the sum
        of squared errors, and of how many."""
        found = np.zeros((len(self.gold), 2) if measure == "rmse" else (len(self.gold), 3, len(labels)))
        for k, (gold, predicted, table) in enumerate(zip(self.gold, self.predicted, self.tables, strict=True)):
            for name, opinion in gold["opinions"].items():
                topic = self.task.topics[name]
                if measure == "rmse":
                    if "score" in opinion:
                        found[k] += (expectation(table[name]["score"], topic) - opinion["score"]) ** 2, 1
                    continue
                pair = [label_of(one, self.task.task_type, topic) for one in (predicted["opinions"][name], opinion)]
                if pair[1] is not None:
                    for row, label in enumerate(pair, 1):
                        found[k, row, labels.index(str(label))] += 1
                    found[k, 0, labels.index(pair[1])] += pair[0] == pair[1]
        return found

    def figure(self, counts: np.ndarray, measure: str) -> np.ndarray:
        """(...): the figure `measure` of sums of `counts` (...): macro F1 over the labels that gold has."""
        if measure == "rmse":
            return np.sqrt(counts[..., 0] / np.maximum(counts[..., 1], 1))
        hits, predicted, support = np.moveaxis(counts, -2, 0)
        if measure == "accuracy":
            return hits.sum(-1) / np.maximum(support.sum(-1), 1)
        f1 = 2 * hits / np.maximum(predicted + support, 1)
        return (f1 * (support > 0)).sum(-1) / np.maximum((support > 0).sum(-1), 1)


def scored_texts(folder: Path, root: Path, system: str = FINE_TUNED) -> dict[str, ScoredTexts]:
    """{part: what a run of opinions predicts for it}; or what another `system` of its metrics.json does, such as
    TF-IDF. Raises RunError as `opinions_of` and `systems_of` do, and for a system that the run does not have."""
    task, train, gold = opinions_of(folder, root)
    found = systems_of(folder, task, train, gold, [system])
    if system not in found:
        raise RunError(f"{folder}: nothing is kept of {system}, and strategy {task.strategy} cannot be asked untrained")
    return {TEST: ScoredTexts(task, gold, *found[system])}
