"""Tables of scores in Markdown."""

from pathlib import Path

from utils.system.files import read_json

# ---- the results table ---------------------------------------------------------------------------------------


def results_table(folder) -> str:
    """The scores of a run as a Markdown table, made from its metrics.json alone: a line a system.

    Emotions: accuracy, weighted F1 over seven classes, macro F1. Pairs: the official weighted F1 over six emotions,
    and F1 over all pairs (SemEval-2024 Task 3, Subtask 2).
    """
    path = Path(folder) / "metrics.json"
    metrics = read_json(path) if path.is_file() else {}
    if "pairs" not in metrics:
        return "no scores: the run has no labelled conversations held out of training (input test split)"
    lines = [
        "| system | emotion accuracy | weighted F1 | macro F1 | pairs weighted F1 | pairs F1 |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in metrics["pairs"].items():
        emotions = metrics["emotions"].get(row["emotions"])
        cells = ["", "", ""]
        if emotions:
            cells = [f"{emotions[key]:.3f}" for key in ("accuracy", "weighted_f1", "macro_f1")]
        cells += [f"{row['scores'][key]:.3f}" for key in ("weighted_f1", "f1_pair")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
