"""The picture of a study: bars, or lines where its rows differ in a number.

python -m pytest tests/report/test_study_plot.py
"""

import pytest

from utils.report.study import numbers_of, study_plot


def record(rows, parts=("test",)):
    """What study.json holds of a study with these rows: {row: {part: macro F1}} or {row: macro F1}."""
    figures = {row: {part: {"macro_f1": [value, 0.01]} for part in parts} for row, value in rows.items()}
    rows = {row: {"runs": 2, "figures": found} for row, found in figures.items()}
    return {"study": "mine", "measure": "macro_f1", "rows": rows, "runs": [{}] * 2 * len(rows)}


def curves(figure):
    """{name in the legend: (x, y)} of the lines that were drawn with points."""
    ax = figure.axes[0]
    return {one.get_label(): [*map(tuple, one.lines[0].get_xydata().tolist())] for one in ax.containers}


def test_rows_of_numbers_are_a_line_in_order_of_the_numbers():
    figure = study_plot(record({"samples 100": 0.4, "samples 25": 0.2, "samples 50": 0.3, "majority": 0.1}))
    assert curves(figure) == {"test": [(25, 0.2), (50, 0.3), (100, 0.4)]}
    assert figure.axes[0].get_xlabel() == "samples" and figure.axes[0].get_ylabel() == "macro F1"
    levels = {line.get_label(): line.get_ydata()[0] for line in figure.axes[0].lines if line.get_label() == "majority"}
    assert levels == {"majority": 0.1}


def test_each_of_the_others_values_is_a_line():
    rows = {
        f"model {model}, samples {n}": n / size for model, size in (("small", 100), ("large", 50)) for n in (5, 10, 20)
    }
    assert curves(study_plot(record(rows))) == {
        "model small": [(5, 0.05), (10, 0.1), (20, 0.2)],
        "model large": [(5, 0.1), (10, 0.2), (20, 0.4)],
    }
    beside = study_plot(record({**rows, "zero-shot, model small": 0.01}))
    assert len(curves(beside)) == 2 and "zero-shot, model small" in {one.get_label() for one in beside.axes[0].lines}
    assert [*curves(study_plot(record(rows, ("held-out folds", "test"))))] == [
        "model small, held-out folds",
        "model large, held-out folds",
        "model small, test",
        "model large, test",
    ]


@pytest.mark.parametrize(
    "rows",
    [
        ["default"],
        ["targets single", "targets multi", "targets votes"],
        ["samples 1", "samples 2"],  # two points are no line
        ["samples 1", "samples 2", "other"],
        ["lora_r 4", "samples 2", "samples 3"],
        ["EmoryNLP", "MELD"],
        [],
    ],
)
def test_other_rows_are_bars(rows):
    assert numbers_of(rows) is None
    if rows:
        ax = study_plot(record(dict.fromkeys(rows, 0.5))).axes[0]
        assert len(ax.patches) == len(rows) and ax.get_xlabel() == "macro F1"


def test_numbers_in_powers_of_ten():
    rows = ["emotion_learning_rate 0.001", "emotion_learning_rate 1e-05", "emotion_learning_rate 0.01"]
    name, places = numbers_of(rows)
    assert name == "emotion_learning_rate" and [value for _, value in places.values()] == [0.001, 1e-05, 0.01]
