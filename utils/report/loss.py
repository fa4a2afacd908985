"""The picture of a training: its loss over the steps, and the loss on `val`."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from utils.report.colours import COLOURS
from utils.report.plots import DPI, FAINT, INK, entitle

NEAREST = 21  # steps that the smoothed curve is fitted on, at least
SHARE = 0.15  # of all steps, in a long training


def loss_curve(record: Mapping, task: str, about: str = "") -> Figure:
    """Draw the loss over the steps on a logarithmic axis, raw and smoothed, with the losses on `val` as points.

    record: an adapter's training.json, whose "history" is the Trainer's `state.log_history` (dicts with "step" and
    "loss" or "eval_loss"; others are passed over). Where it has a "text_history", that comes first, in a part of its
    own: it is the loss of words, not of labels. task, about: what was trained, and on what, for the title.
    """
    phases = [("reading the text, without labels", record["text_history"])] if record.get("text_history") else []
    phases.append((f"{task} labels" if phases else "", record["history"]))
    fig, axes = plt.subplots(
        1, len(phases), figsize=(7 + 3 * (len(phases) - 1), 3.8), dpi=DPI, layout="constrained", squeeze=False,
        width_ratios=[1, 2][-len(phases) :],
    )  # fmt: skip
    plt.close(fig)
    entitle(fig, f"Loss of {task} training", about)
    for ax, (name, history) in zip(axes[0], phases):
        _draw(ax, history)
        ax.set_xlabel("step", color=INK)
        ax.set_title(name, loc="left", color=FAINT, fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("loss (logarithmic axis)", color=INK)
    return fig


def _draw(ax, history: Sequence[Mapping]):
    train = [(entry["step"], entry["loss"]) for entry in history if "loss" in entry]
    held_out = [(entry["step"], entry["eval_loss"]) for entry in history if "eval_loss" in entry]
    if train:
        steps, losses = (np.asarray(column, dtype=float) for column in zip(*train))
        ax.plot(steps, losses, ".", color=COLOURS["surprise"], alpha=0.5, markersize=4, label="training, each step")
        ax.plot(steps, smoothed(steps, losses), color=COLOURS["sadness"], linewidth=2, label="training, smoothed")
    if held_out:
        style = {"color": COLOURS["anger"], "markersize": 6, "linewidth": 1, "linestyle": ":"}
        ax.plot(*zip(*held_out), marker="D", label="val", **style)
    values = [loss for _, loss in train + held_out if loss > 0]
    if values:
        ax.legend(frameon=False)
        _logarithmic(ax, min(values), max(values))


def _logarithmic(ax, low: float, high: float):
    """A logarithmic y axis with plain numbers: 0.2, 0.5, 1, 2, ..."""
    ax.set_yscale("log")
    ax.set_ylim(low / 1.15, high * 1.15)
    powers = 10.0 ** np.arange(np.floor(np.log10(low)) - 1, np.ceil(np.log10(high)) + 1)
    ticks = np.outer(powers, (1, 2, 5)).ravel()
    if sum((low / 1.15 <= ticks) & (ticks <= high * 1.15)) < 3:
        ticks = np.outer(powers, np.arange(1, 10, 0.25)).ravel()
    ax.yaxis.set_major_locator(FixedLocator(list(ticks)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter("{x:g}")


def smoothed(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n,) values as the lines fitted around each of them see them (local linear regression, Cleveland 1979): nearer
    values weigh more (tricube weights). A mean over neighbours would lag where a curve falls, and end at the last
    one. Early in a training, where the loss falls fastest, fewer neighbours count. Returns (n,)."""
    most = min(len(values), max(NEAREST, int(SHARE * len(values))))
    fitted = np.empty(len(values))
    for i, step in enumerate(steps):
        count = min(most, max(5, i), len(values))
        away = np.abs(steps - step)
        near = np.argsort(away, kind="stable")[:count]
        reach = max(away[near].max() * 1.001, 1e-9)
        weights = (1 - (away[near] / reach) ** 3) ** 3
        x, y = steps[near] - step, values[near]
        mean_x, mean_y = np.average(x, weights=weights), np.average(y, weights=weights)
        spread = np.average((x - mean_x) ** 2, weights=weights)
        slope = np.average((x - mean_x) * (y - mean_y), weights=weights) / spread if spread > 0 else 0.0
        fitted[i] = mean_y - slope * mean_x
    return fitted
