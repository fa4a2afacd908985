"""The scores of emotions as a text that a person reads: every label's figures, and who is taken for whom.

print(report_text(emotion_rows(gold, {"fine-tuned": (predicted, tables)}, labels)["fine-tuned"], labels))

metrics.json holds the same as numbers.
"""

from utils.data.labels import LabelSet


def report_text(figures: dict, labels: LabelSet) -> str:
    """A report of one row of the section "emotions": precision, recall, F1 and support of each label, then accuracy,
    macro and weighted F1, then the confusion matrix twice: as counts, and as shares of a gold label's utterances.

    Where utterances carry several labels the report has one more table, of each label by itself.
    """
    parts = [_by_label(figures["per_emotion"], labels)]
    parts[0] += [f"{name:>{_width(labels)}}  {figures[key]:9.3f}" for key, name in OVERALL.items()]
    counts = [[figures["confusion"][gold][found] for found in labels] for gold in labels]
    parts.append(_matrix("counts: rows gold, columns predicted", [[f"{n:,}" for n in row] for row in counts], labels))
    shares = [[f"{n / max(sum(row), 1):.3f}" for n in row] for row in counts]
    parts.append(_matrix("shares of the gold label", shares, labels))
    if "multi" in figures:
        several = figures["multi"]
        title = "sets of labels, as annotators chose several (docs/outputs.md)"
        parts.append([title, *_by_label(several["per_emotion"], labels)])
        parts[-1] += [f"{key:>{_width(labels)}}  {several[key]:9.3f}" for key in SEVERAL]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


OVERALL = {"accuracy": "accuracy", "macro_f1": "macro F1", "weighted_f1": "weighted F1"}
SEVERAL = ("subset_accuracy", "jaccard", "micro_f1", "macro_f1", "weighted_f1")


def _width(labels: LabelSet) -> int:
    return max(len(name) for name in (*labels, *OVERALL.values(), *SEVERAL))


def _by_label(scores: dict, labels: LabelSet) -> list[str]:
    width, measures = _width(labels), ("precision", "recall", "f1")
    lines = ["".join([" " * width, *(f"  {name:>9}" for name in (*measures, "support"))])]
    for label in labels:
        one = scores[label]
        lines.append("".join([f"{label:>{width}}", *(f"  {one[m]:9.3f}" for m in measures), f"  {one['support']:9,}"]))
    return lines


def _matrix(title: str, cells: list[list[str]], labels: LabelSet) -> list[str]:
    width, column = _width(labels), max(len(text) for text in (*labels, *sum(cells, [])))
    head = "".join([" " * width, *(f"  {label:>{column}}" for label in labels)])
    rows = ["".join([f"{label:>{width}}", *(f"  {c:>{column}}" for c in row)]) for label, row in zip(labels, cells)]
    return [title, head, *rows]
