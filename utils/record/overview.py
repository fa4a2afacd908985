"""Every run and system side by side: its parameters, scores and minutes.

print(overview_table(overview(["sample", "second"])))     # default: all in results_train/
"""

from collections.abc import Sequence
from pathlib import Path

from utils.config import Config
from utils.record.lock import in_progress
from utils.record.predictions import run_folder
from utils.record.provenance import read_records
from utils.report.scores import RESULT, read_scores
from utils.system import places
from utils.system.errors import RunError
from utils.system.files import intact, read_object

UNCOMPARED = {"run_name", "report_to", "run", "split"}
# {score: its column}; the others stand in a table where a run has them
SCORES = {"emotions": "emotions weighted F1", "pairs": "pairs weighted F1"}
OTHERS = {
    "opinions": "opinions macro F1",
    "rmse": "opinions RMSE",
    "answers": "answers' loss",
    "rouge_l": "answers' ROUGE-L",
}


def overview(runs: Sequence[str] = (), root: Path | None = None) -> list[dict]:
    """[{"run", "in_progress": whether another process works in it, "parameters": {name: value}, "emotions", "pairs":
    weighted F1 or None, "opinions": macro F1 or None, "rmse": of their scores or None, "answers": the loss of held-out
    ones or None, "rouge_l": of written ones or None, "minutes": of training and inference, as far as they are recorded,
    or None}], in the order of names.

    runs  names or folders; default: all in results_train/ (below `root`, by default where the place keeps results, and
          of the repository)

    Raises RunError for a run that is not there, FileError for a damaged record.
    """
    roots = [root or places.find().results, places.ROOT]
    if runs:
        folders = [run_folder(run, root) for run in runs]
    else:
        found = [path.parent for one in roots for path in one.glob("results_train/*/config.json")]
        folders = [folder for _, folder in sorted({folder.name: folder for folder in reversed(found)}.items())]
    if not folders:
        raise RunError(f"{roots[0] / 'results_train'} holds no run yet: make run makes one")
    return [
        {"run": folder.absolute().name, "in_progress": in_progress(folder), **_of_run(folder)} for folder in folders
    ]


def _of_run(folder: Path) -> dict:
    scores, parameters = read_scores(folder), {}
    for record in read_records(folder).values():
        parameters |= record["parameters"]
    seconds = []
    for path in sorted(folder.glob("adapters/*/training.json")):
        with intact(path, "Restore the file, or train the adapter again"):
            record = read_object(path)
            log = [*record.get("history", []), *record.get("text_history", [])]
            seconds += [entry["train_runtime"] for entry in log if "train_runtime" in entry]
    with intact(folder / "metrics.json", "Restore the file, or run the notebooks again"):
        seconds += [one["seconds"] for one in scores.get("made", {}).values()]
        emotions = scores.get("emotions", {}).get("fine-tuned", {}).get("weighted_f1")
        pairs = scores.get("pairs", {}).get(RESULT, {}).get("scores", {}).get("weighted_f1")
        opinions = scores.get("opinions", {}).get("fine-tuned", {})
        answers = scores.get("instructions", {}).get("fine-tuned", {})
        found = emotions, pairs, opinions.get("labels", {}).get("macro_f1"), opinions.get("scores", {}).get("rmse")
        found += answers.get("held_out", {}).get("loss"), answers.get("written", {}).get("rouge_l")
        rounded = [one if one is None else round(one, 6) for one in found]
        minutes = round(sum(seconds) / 60, 1) if seconds else None
    return {"parameters": parameters, **dict(zip(SCORES | OTHERS, rounded, strict=True)), "minutes": minutes}


def overview_table(rows: list[dict]) -> str:
    """The rows of `overview` as a Markdown table. Of the parameters it has those that are not the same in all of them,
    and of these what is not the default."""
    defaults = Config().as_dict()

    def value(row, name):
        return row["parameters"].get(name, defaults.get(name))

    names = sorted({name for row in rows for name in row["parameters"]} - UNCOMPARED)
    differ = [name for name in names if any(value(row, name) != value(rows[0], name) for row in rows)]
    there = {name for name in OTHERS if any(row[name] is not None for row in rows)}
    columns = SCORES | {name: column for name, column in OTHERS.items() if name in there}
    lines = [f"| run | {' | '.join(columns.values())} | minutes | what differs |", "|---" * (len(columns) + 3) + "|"]
    for row in rows:
        others = [(name, value(row, name)) for name in differ if value(row, name) != defaults.get(name)]
        cells = ["" if row[name] is None else f"{row[name]:.3f}" for name in columns]
        cells += [
            "" if row["minutes"] is None else f"{row['minutes']:.0f}",
            ", ".join(f"{n} {_shown(v)}" for n, v in others),
        ]
        name = row["run"] + " (in progress)" * row["in_progress"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(value) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
