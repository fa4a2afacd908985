"""A study as a table and as a plot, made from its study.json alone.

study_table(record)     table.md
study_plot(record)      plot.png
"""

import re
import statistics
from collections.abc import Sequence
from typing import Any

from utils.tasks import opinion_baselines

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?(e-?[0-9]+)?")
# Rows without training: of conversations, and of texts with opinions.
BASELINES = ("majority", "neighbours", "zero-shot")
OF_TEXTS = (*opinion_baselines.NAMES, "zero-shot")
ERRORS = ("rmse",)  # measures that are the better, the lower they are
NAMES = {
    "accuracy": "accuracy",
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "pairs": "pairs F1",
    "rmse": "RMSE",
    "mae": "MAE",
}


def study_table(record: dict[str, Any]) -> str:
    """The outcome of a study in Markdown: of each part that was scored a table with a line a row, mean ± standard
    deviation over its runs, and what a row has more than the first (95 % interval of a paired bootstrap over
    conversations); F1 by label; what is to be known."""
    rows, measure = record["rows"], record["measure"]
    lines = [f"# {record['study']}", "", *_told(record)]
    for part in _parts(record):
        there = {name: row for name, row in rows.items() if part in row["figures"]}
        lines += ["", f"## {part[0].upper()}{part[1:]}", "", *_main(there, part, measure, _sizes(record))]
        figures = [name for row in there.values() for name in row["figures"][part]]
        if others := [name for name in dict.fromkeys(figures) if name not in (*NAMES, "f1")]:
            lines += ["", "Sets of labels, and votes:", "", *_head([one.replace("_", " ") for one in others])]
            for name, row in there.items():
                lines.append(_line(name, [_cell(row["figures"][part].get(one)) for one in others]))
        for labels in dict.fromkeys(tuple(row["figures"][part]["f1"]) for row in there.values()):
            lines += ["", "F1 of each label:", "", *_head(labels)]
            for name, row in there.items():
                f1 = row["figures"][part]["f1"]
                if tuple(f1) == labels:
                    lines.append(_line(name, [_cell(f1[label]) for label in labels]))
    if "search" in record:
        lines += _searched(record)
    if record["notes"]:
        lines += ["", "To be known:", "", *(f"- {note}" for note in record["notes"])]
    return "\n".join(lines) + "\n"


def _parts(record) -> list[str]:
    """What was scored, such as test, in the order of the first row that has it."""
    return list(dict.fromkeys(part for row in record["rows"].values() for part in row["figures"]))


def _sizes(record) -> dict[str, list[str]]:
    """{row: [trained numbers, minutes of training]} where these differ between rows, else {}."""
    rows: dict[str, list] = {}
    for run in record["runs"]:
        if "trained" in run:
            rows.setdefault(run["row"], []).append(run)
    if len({run["trained"] for its in rows.values() for run in its}) < 2:
        return {}
    minutes = {row: statistics.mean(run["training_seconds"] for run in its) / 60 for row, its in rows.items()}
    return {row: [f"{its[0]['trained']:,}", f"{minutes[row]:.1f}"] for row, its in rows.items()}


def _main(rows, part, measure, sizes) -> list[str]:
    figures = [name for name in NAMES if any(name in row["figures"][part] for row in rows.values())]
    compared = [f"{NAMES[measure]} less the first (95 %)"] if any(_less(row, part) for row in rows.values()) else []
    more = ["trained numbers", "minutes of training"] if sizes else []
    lines = _head(["runs", *more, *(NAMES[name] for name in figures), *compared])
    for name, row in rows.items():
        cells = [f"{row['runs']}", *(sizes.get(name, ["", ""]) if sizes else [])]
        cells += [_cell(row["figures"][part].get(figure)) for figure in figures]
        lines.append(_line(name, [*cells, *([_less(row, part)] if compared else [])]))
    return lines


def _told(record) -> list[str]:
    seeds = ", ".join(map(str, record["seeds"]))
    said = f"{_runs(record)} of {' and '.join(record['tasks'])}, seeds {seeds}"
    if record["folds"] > 1:
        said += f", {record['folds']} folds by {record['group']}"
    said += f"; {sum(one['seconds'] for one in record['runs']) / 60:.0f} minutes; revision {record['revision']}."
    return [said, "Cells are means ± standard deviations over a row's runs."]


def _runs(record) -> str:
    return f"{len(record['runs'])} run{'s' * (len(record['runs']) != 1)}"


def _searched(record) -> list[str]:
    """The trials of a search, the best first."""
    search, measure = record["search"], record["measure"]
    sign = 1 if measure in ERRORS else -1
    said = (
        f"{len(search['trials'])} trials by {search['sampler']}, pruner {search['pruner']}; trained on train, scored on"
    )
    lines = ["", "## Search", "", f"{said} val. The best was then compared with the configuration as it was given."]
    lines += ["", *_head([*search["space"], "seeds", f"{NAMES[measure]} on val"])]
    for number, one in sorted(enumerate(search["trials"], 1), key=lambda trial: sign * trial[1][measure]):
        cells = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in one["parameters"].values()]
        lines.append(_line(f"trial {number}", [*cells, str(one["seeds"]), f"{one[measure]:.3f}"]))
    return lines


def _head(columns) -> list[str]:
    return [_line("", columns), "|---" * (len(columns) + 1) + "|"]


def _line(name, cells) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def _cell(value) -> str:
    if value is None:
        return ""
    mean, deviation = value
    return f"{mean:.3f}" if deviation is None else f"{mean:.3f} ± {deviation:.3f}"


def _less(row, part) -> str:
    found = row.get("less the first", {}).get(part)
    if not found:
        return ""
    low, high = found["interval_95"]
    return f"{found['difference']:+.3f} ({low:+.3f} to {high:+.3f})"


def study_plot(record: dict[str, Any]):
    """The figure `measure` of every row with its standard deviation, a colour a part that was scored: bars; lines where
    the rows differ in a number, as in `samples 25`, `samples 50`. Returns a matplotlib Figure."""
    from utils.report import plots  # here, so that tables are made without loading matplotlib

    rows, measure, title = record["rows"], record["measure"], f"The study {record['study']}"
    about = f"{_runs(record)}, mean and standard deviation of each row"
    series = {
        part: {
            name: row["figures"][part].get(measure) if part in row["figures"] else None for name, row in rows.items()
        }
        for part in _parts(record)
    }
    if not (varied := numbers_of([row for row in rows if row.split(", ")[0] not in (*BASELINES, *OF_TEXTS)])):
        return plots.means(series, title, NAMES[measure], about)
    name, places = varied
    lines: dict[str, dict[float, list]] = {}
    levels = {}
    for part, found in series.items():
        for row, figure in found.items():
            rest, value = places.get(row, (row, None))
            label = ", ".join([*([rest] if rest else []), *([part] if len(series) > 1 or not rest else [])])
            if figure and value is not None:
                lines.setdefault(label, {})[value] = figure
            elif figure:
                levels[label] = figure[0]
    return plots.curves(lines, levels, title, name, NAMES[measure], about)


def numbers_of(rows: Sequence[str]) -> tuple[str, dict[str, tuple[str, float]]] | None:
    """(the parameter, {row: (what else varies in it, its number)}) of rows named as `vary` names them, such as
    `model small, samples 25`, where one parameter is a number with three values or more; None for other rows."""
    parts = [[part.rsplit(" ", 1) for part in row.split(", ")] for row in rows]
    if not parts or any(len(part) != 2 for row in parts for part in row):
        return None
    for place, (name, _) in enumerate(parts[0]):
        column = [row[place] if place < len(row) else ["", ""] for row in parts]
        if any(one != name or not NUMBER.fullmatch(value) for one, value in column):
            continue
        if len({float(value) for _, value in column}) < 3:
            continue
        rests = [", ".join(" ".join(part) for k, part in enumerate(row) if k != place) for row in parts]
        return name, {row: (rest, float(value)) for row, rest, (_, value) in zip(rows, rests, column)}
    return None
