"""One configuration, many runs, one table: folds, seeds, and whatever parameters are varied or searched.

    python -m utils.study configs/studies/example.yaml
    python -m utils.study configs/studies/example.yaml --jobs 2      # two runs at a time

Every run is an ordinary one, results_train/<study>-<row>..., which `python -m utils.runs verify` reads. The outcome is
results_train/<study>/: study.json, table.md and plot.png. Interrupted, or with rows, seeds or folds added to the file,
the same command goes on: finished runs are kept. The first run that fails ends the study, and is named.
docs/studies.md says what the file can hold.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from utils.record.cells import Cell, Inputs, notebooks_of
from utils.record.execute import execute_all
from utils.record.lock import opened
from utils.record.search import search_best
from utils.record.study import measure_of, outcome
from utils.record.study_file import Study, read_study
from utils.report.study import study_plot, study_table
from utils.system import places
from utils.system.command import command, positive
from utils.system.errors import ConfigError, shown
from utils.system.files import intact, read_object, write_json, write_text
from utils.system.progress import duration
from utils.system.side_by_side import side_by_side
from utils.tasks.opinion_baselines import check_available

PROGRESS = "progress.json"  # in the study's folder: which runs are finished, how they were asked for, and their seconds
HEAVY = ("pandas", "IPython.display", "utils.record.fit", "utils.models.load", "utils.report.plots")


def run_study(study: Study, root: Path | None = None) -> dict[str, Any]:
    """Runs what is not finished of a study below `root` (default: where the place keeps results), writes its files and
    returns what study.json holds.

    Raises ConfigError where finished runs were asked for otherwise, ChainError for a run that fails, and what reading
    its inputs raises; OpinionError for a baseline whose package is missing.
    """
    check_available(study.baselines)
    root = root or places.find().results
    inputs = Inputs(study, root)
    tasks = inputs.tasks()
    measure = study.measure or measure_of(tasks)
    with opened(inputs.folder):
        found = None
        if study.search:
            found = search_best(study, inputs, measure, lambda cells: _run(study, cells, inputs.folder, tasks))
            fixed = next(iter(study.rows.values()))
            rows = {"as given": fixed, f"best, trial {found['best trial']}": {**fixed, **found["best"]}}
            inputs = Inputs(replace(study, rows=rows), root)
        cells = inputs.cells(tasks)
        _finished(inputs.folder, cells, tasks)  # before anything is written
        inputs.write()
        for note in inputs.notes:
            print(f"note: {note}")
        done = _run(study, cells, inputs.folder, tasks)
        record = outcome(inputs, cells, {run: one["seconds"] for run, one in done.items()}, tasks, measure)
        record |= {"search": found} if found else {}
        write_json(record, inputs.folder / "study.json")
        write_text(study_table(record), inputs.folder / "table.md")
        from utils.report import plots  # here, as it loads matplotlib

        plots.save(study_plot(record), inputs.folder / "plot.png")
    return record


def _finished(folder: Path, cells: list[Cell], tasks: tuple[str, ...]) -> dict[str, dict]:
    """{run: its entry of PROGRESS} of the finished ones among `cells`. Raises ConfigError for one that was asked for
    otherwise."""
    with intact(folder / PROGRESS, f"Remove {folder}, and the study begins again"):
        before = _kept(folder)
        done = {cell.run: before[cell.run] for cell in cells if cell.run in before}
        for cell in cells:
            if cell.run in done:
                _check_same(folder, cell.run, _asked(cell, tasks), done[cell.run]["asked"])
    there = folder.parent
    return {run: one for run, one in done.items() if (there / run / "predictions.jsonl").is_file()}


def _kept(folder: Path) -> dict:
    """What PROGRESS holds, of rows too that the study's file no longer has."""
    return read_object(folder / PROGRESS) if (folder / PROGRESS).is_file() else {}


def _asked(cell: Cell, tasks) -> dict[str, Any]:
    return {
        "tasks": [*tasks],
        "folds": cell.folds,
        **{f"input {split}": one for split, one in cell.source.items()},
        **cell.parameters,
    }


def _check_same(folder, run, here, there):
    for name in [*here, *there]:
        if here.get(name) != there.get(name):
            raise ConfigError(
                f"{folder} holds finished runs of another study: {name} was {shown(there.get(name))} in {run}, and is "
                f"{shown(here.get(name))} now. Give the study another name, or remove {folder} and {folder}-*"
            )


def _run(study: Study, cells: list[Cell], folder: Path, tasks: tuple[str, ...]) -> dict[str, dict]:
    """Runs those of the cells that are not finished; each that ends is written to PROGRESS, of which this returns the
    cells' entries."""
    done = _finished(folder, cells, tasks)
    left = {cell.run: cell for cell in cells if cell.run not in done}
    if done and left:
        print(f"{len(done)} of {len(cells)} runs are finished already")
    work = {run: (execute_all, (notebooks_of(tasks), cell.parameters)) for run, cell in left.items()}
    logs = {run: folder.parent / run / "study.log" for run in left}
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    spent = 0.0
    for number, (run, seconds) in enumerate(side_by_side(work, logs, study.jobs, preload=HEAVY), 1):
        spent += seconds
        done[run] = {"asked": _asked(left[run], tasks), "seconds": round(seconds, 1)}
        write_json({**_kept(folder), **done}, folder / PROGRESS)
        rest = spent / number * (len(left) - number) / min(study.jobs or 1, len(left))
        more = f", {duration(rest)} left" if number < len(left) else ""
        print(f"{run}: done in {duration(seconds)}; {len(done)} of {len(cells)} runs{more}", flush=True)
    return done


@command("utils.study")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for a study that cannot be run and for a run that failed."""
    parser = argparse.ArgumentParser(prog="python -m utils.study", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", help="study file, such as configs/studies/example.yaml")
    parser.add_argument(
        "--jobs", type=positive, metavar="N", help="runs at a time (default: the file's, or one a card)"
    )
    arguments = parser.parse_args(argv)
    study = read_study(arguments.study)
    if arguments.jobs:
        study = replace(study, jobs=arguments.jobs)
    record = run_study(study)
    folder = places.find().results / "results_train" / study.name
    print(f"\n{study_table(record)}\nresults: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
