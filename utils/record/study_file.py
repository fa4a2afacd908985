"""A study's file: one configuration, and what is varied over it.

study = read_study("configs/studies/example.yaml")
study.rows                      # {name: parameters of its runs, without run_name and seed}
study.seeds, study.folds, study.tasks
"""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.config import Config, check_names, load_config
from utils.record.search_space import Search, read_search
from utils.record.stages import EMOTION_TASKS, TEXT_TASKS
from utils.report.study import BASELINES, OF_TEXTS
from utils.system.errors import ConfigError, shown
from utils.system.parameters import check_known, read_mapping

KEYS = (
    "name",
    "config",
    "parameters",
    "vary",
    "rows",
    "tasks",
    "seeds",
    "folds",
    "group",
    "search",
    "baselines",
    "measure",
    "jobs",
)
SAMPLES = "samples"  # set or varied as a parameter: how many conversations of train a row learns from
MEASURES, TEXT_MEASURES = ("accuracy", "weighted_f1", "macro_f1", "pairs"), ("accuracy", "macro_f1", "rmse")
BY_THE_STUDY = ("run_name", "seed")  # it gives these to each run


@dataclass(frozen=True)
class Study:
    """What a study's file says.

    name       results_train/<name>/ holds its outcome, and <name>-... are its runs
    rows     {row of the table: parameters}, the first of which the others are compared with
    tasks    what is trained: () for all that data and parameters allow
    seeds    of each row
    folds    1: the input's own train and test
    group    what stays together in a fold (utils.data.folds)
    measure  the figure of the comparison and of the plot; "" for the official F1 of pairs, or that of emotions
    jobs     runs at a time; None: one a card
    search   what is searched before; the one row is then compared with the best that was found
    baselines  rows without training: of BASELINES, or for texts with opinions of OF_TEXTS
    """

    name: str
    rows: dict[str, dict[str, Any]]
    tasks: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (Config.seed,)
    folds: int = 1
    group: str = "conversation"
    measure: str = ""
    jobs: int | None = None
    search: Search | None = None
    baselines: tuple[str, ...] = ()


def read_study(path: str | Path) -> Study:
    """The study in the YAML file at `path`; every parameter of every row is known and possible.

    Raises ConfigError, naming the file, the field and the fix.
    """
    given = read_mapping(path)
    check_known(given, [*KEYS], path)
    for field in ("name", "config", "group", "measure"):
        if field in given and not isinstance(given[field], str):
            raise ConfigError(f"{path}: {field} is {shown(given[field])}; write a word")
    name = given.get("name", Path(path).stem)
    base = load_config(given["config"]) if "config" in given else {}
    base |= _mapping(given, "parameters", path)
    rows = {row: {**base, **values} for row, values in _rows(given, path).items()}
    seeds = given.get("seeds", [base.get("seed", Config.seed)])
    seeds = [base.get("seed", Config.seed) + k for k in range(seeds)] if _whole(seeds, 1) else seeds
    if not isinstance(seeds, list) or not seeds or len({*map(str, seeds)}) < len(seeds):
        raise ConfigError(f"{path}: seeds is {shown(seeds)}; write how many, or a list of different ones: [42, 43]")
    tasks, folds, jobs = given.get("tasks", []), given.get("folds", 1), given.get("jobs")
    if not isinstance(tasks, list) or tasks not in ([*EMOTION_TASKS[: len(tasks)]], [*TEXT_TASKS]):
        raise ConfigError(f"{path}: tasks is {shown(tasks)}; write [emotion], [emotion, cause] or [opinion]")
    of_texts = tasks == [*TEXT_TASKS]
    for field in ("folds", "group") if of_texts else ():
        if field in given:
            raise ConfigError(f"{path}: {field} is for conversations; a study of opinions has rows, seeds and a search")
    if of_texts and any(SAMPLES in row for row in rows.values()):
        raise ConfigError(f"{path}: samples are of conversations; a study of opinions has none")
    if not _whole(folds, 1):
        raise ConfigError(f"{path}: folds is {shown(folds)}; write a whole number, 2 or more")
    if "group" in given and folds < 2:
        raise ConfigError(f"{path}: group says what stays together in a fold; add folds, such as folds: 5")
    if jobs is not None and not _whole(jobs, 1):
        raise ConfigError(f"{path}: jobs is {shown(jobs)}; write how many runs may work at a time")
    measure, measures = given.get("measure", ""), TEXT_MEASURES if of_texts else MEASURES
    if measure and measure not in measures:
        raise ConfigError(f"{path}: measure is {shown(measure)}; choose one of {', '.join(measures)}")
    group = given.get("group", Study.group)
    search = None
    if "search" in given:
        if len(rows) > 1 or folds > 1:
            raise ConfigError(f"{path}: search has one row and no folds; take vary, rows and folds into another study")
        search = read_search(given["search"], next(iter(rows.values())), path)
    baselines, known = given.get("baselines", []), OF_TEXTS if of_texts else BASELINES
    if not isinstance(baselines, list) or not all(one in known for one in baselines):
        raise ConfigError(f"{path}: baselines is {shown(baselines)}; write a list of {', '.join(known)}")
    if both := [one for one in baselines if one in rows]:
        raise ConfigError(f"{path}: {both[0]} is the name of a baseline; call the row otherwise")
    study = Study(name, rows, tuple(tasks), tuple(seeds), folds, group, measure, jobs, search, tuple(baselines))
    _check(study, path)
    return study


def _mapping(given: dict, field: str, path) -> dict:
    """The field's {name of a parameter: something}, names checked."""
    found = given.get(field, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: {field} is {shown(found)}; write parameters and values, a line each")
    check_names([name for name in found if name != SAMPLES], f"{path}, {field}")
    for name in BY_THE_STUDY:
        if name in found and (field, name) != ("parameters", "seed"):
            fix = "give seeds: [42, 43]" if name == "seed" else "give name, which begins the names of all runs"
            raise ConfigError(f"{path}, {field}: a study gives {name} to each run itself; {fix}")
    return found


def _rows(given: dict, path) -> dict[str, dict[str, Any]]:
    """{name of the row: what it sets}; of `vary` every combination, named by the values."""
    if "vary" in given and "rows" in given:
        raise ConfigError(f"{path}: vary and rows are both there; keep one (rows names each set of parameters)")
    if "rows" in given:
        rows = given["rows"]
        if not isinstance(rows, dict) or not rows:
            raise ConfigError(f"{path}: rows is {shown(rows)}; write names, and below each its parameters")
        return {str(row): _mapping({f"rows, {row}": rows[row] or {}}, f"rows, {row}", path) for row in rows}
    vary = _mapping(given, "vary", path)
    for name, values in vary.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{path}: vary, {name} is {shown(values)}; write a list of values, such as [a, b]")
    if not vary:
        return {"default": {}}
    grid = [dict(zip(vary, values)) for values in itertools.product(*vary.values())]
    rows = {", ".join(f"{name} {_text(value)}" for name, value in one.items()): one for one in grid}
    if len(rows) < len(grid):
        raise ConfigError(f"{path}: vary has a value twice; write each once")
    return rows


def _text(value) -> str:
    return (
        "+".join(map(str, value))
        if isinstance(value, list)
        else str(value).lower()
        if value is True or value is False
        else str(value)
    )


def _whole(value, least: int) -> bool:
    return type(value) is int and value >= least


def slug(text: str) -> str:
    """A row's name as a part of a folder's name."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.") or "row"


def _check(study: Study, path) -> None:
    """Raises ConfigError for a name or a row of which no run can be made."""
    if len({slug(row) for row in study.rows}) < len(study.rows):
        raise ConfigError(f"{path}: two rows are called alike in the names of folders; call one otherwise")
    for row, parameters in study.rows.items():
        where = f"{path}, row {row}" if len(study.rows) > 1 else f"{path}"
        for seed in study.seeds:
            if SAMPLES in parameters and not _whole(parameters[SAMPLES], 1):
                raise ConfigError(f"{where}: samples is {shown(parameters[SAMPLES])}; write a number of conversations")
            try:
                Config.of({**parameters, "seed": seed, "run_name": f"{study.name}-{slug(row)}-fold-00-seed-{seed}"})
            except ConfigError as error:
                raise ConfigError(f"{where}: {error}") from error
