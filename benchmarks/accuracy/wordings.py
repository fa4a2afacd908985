"""How much do a run's scores hang on the wording of the question? Runs that trained on one wording beside others.

    python -m benchmarks.accuracy.wordings RUN RUN --out FILE.json     # names in results_train/, or folders

Reads what notebooks 2 and 4 wrote of runs with a pool (`prompts`), and asks no model. A line of the table is a run and
a task. Its columns are mean ± standard deviation over the wordings that the pool does not hold out, their lowest and
highest, mean ± standard deviation over those that it holds out, and the score of all wordings together.
"""

import argparse
import statistics
from pathlib import Path

from utils.record.predictions import run_folder
from utils.record.provenance import revision
from utils.system.command import command
from utils.system.errors import RunError
from utils.system.files import check_output, intact, read_object, write_json
from utils.tasks.wordings import AVERAGE

MEASURES = {"emotion": "macro_f1", "cause": "weighted_f1"}  # of emotions, and of pairs


def of_run(run: str) -> dict:
    """{task: {"measure", "trained on", "drawn from", "held out": {"wordings", "mean", "deviation", "lowest",
    "highest"}, "average"}} of a run's tasks that have wordings. Raises RunError where none has."""
    folder = run_folder(run)
    path, found = folder / "metrics.json", {}
    metrics = read_object(path) if path.is_file() else {}
    with intact(path, "Restore the file, or run notebooks 2 and 4 again"):
        for task, measure in MEASURES.items():
            if section := metrics.get(f"{task} wordings"):
                pool = read_object(folder / "adapters" / task / "training.json")["prompts"]
                scores = {name: one[measure] for name, one in section["wordings"].items()}
                parts = {"drawn from": [one for name, one in scores.items() if name not in pool["held_out"]]}
                parts["held out"] = [scores[name] for name in pool["held_out"]]
                spreads = {part: _spread(values) for part, values in parts.items() if values}
                average = section[AVERAGE][measure]
                found[task] = {"measure": measure, "trained on": pool["trains"], **spreads, "average": average}
    if not found:
        raise RunError(f"{folder}: no wordings were scored here. Run it with the parameter prompts")
    return found


def _spread(values: list[float]) -> dict:
    return {
        "wordings": len(values),
        "mean": statistics.mean(values),
        "deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
        "lowest": min(values),
        "highest": max(values),
    }


def table(result: dict) -> str:
    """The table of what `main` writes."""
    head = ("run", "trained on", "F1 over the wordings", "lowest to highest", "held out", "all together")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for run, tasks in result["runs"].items():
        for task, one in tasks.items():
            cells = [f"{run}, {task}s", one["trained on"], _shown(one["drawn from"])]
            cells.append(f"{one['drawn from']['lowest']:.3f} to {one['drawn from']['highest']:.3f}")
            cells += [_shown(one["held out"]) if "held out" in one else "", f"{one['average']:.3f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(one: dict) -> str:
    return f"{one['mean']:.3f} ± {one['deviation']:.3f}"


@command("benchmarks.accuracy.wordings")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for runs without wordings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a name in results_train/, or a folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write what was found, as JSON")
    arguments = parser.parse_args(argv)
    if arguments.out:
        check_output(arguments.out)
    asked = f"python -m benchmarks.accuracy.wordings {' '.join(arguments.runs)}"
    result = {"command": asked, "revision": revision(), "runs": {run: of_run(run) for run in arguments.runs}}
    if arguments.out:
        write_json(result, arguments.out)
    print(table(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
