"""Pictures for the notebooks and the README: data statistics and errors. (The loss: report/loss.py. A conversation:
report/picture.py.)

Every function returns a matplotlib Figure. `save` writes it as a PNG and returns it, so that

    plots.save(plots.token_lengths(lengths), run.plots / "emotion_tokens.png")

as the last line of a notebook cell keeps the picture and shows it. `about` is the line below each title: what the
picture is of.
"""

import io
import itertools
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from utils.data.conversations import Conversation
from utils.data.labels import ECF, LabelSet
from utils.report.colours import COLOURS
from utils.report.distances import AXIS, HIGH, LOW, distances, name_of, pooled
from utils.report.lettering import INK
from utils.system.files import write_texts

FAINT = "#6E7781"
DPI = 110


def empty_figure(width: float, height: float, **options):
    """Make an empty figure with one pair of axes, sizes in inches. Returns (Figure, Axes)."""
    fig, ax = plt.subplots(figsize=(width, height), dpi=DPI, **options)
    # pyplot makes IPython able to display figures; closing keeps a notebook from showing this one twice.
    plt.close(fig)
    return fig, ax


def about(run: str, split: str, **counts: int) -> str:
    """The line below a title: about("mine", "test", conversations=26) is "run mine · split test · 26 conversations"."""
    return " · ".join([f"run {run}", f"split {split}", *(f"{count:,} {what}" for what, count in counts.items())])


def entitle(fig: Figure, title: str, about: str = ""):
    """Write a title over the figure's left edge, and below it, smaller, what the figure is about."""
    room = 0.42 if about else 0.26  # inches
    width, height = fig.get_size_inches()
    layout: Any = fig.get_layout_engine()
    layout.set(rect=(0, 0, 1, 1 - room / height))
    style: dict = {"va": "top", "ha": "left", "parse_math": False}
    fig.text(0.06 / width, 1 - 0.05 / height, title, color=INK, fontweight="bold", fontsize=11, **style)
    fig.text(0.06 / width, 1 - 0.25 / height, about, color=FAINT, fontsize=8.5, **style)


def _chart(width: float, height: float, title: str, xlabel: str, ylabel: str, about: str = ""):
    """Make a figure for an ordinary chart: labelled, no frame above and right. Returns (Figure, Axes)."""
    fig, ax = empty_figure(width, height, layout="constrained")
    entitle(fig, title, about)
    ax.set_xlabel(xlabel, color=INK, parse_math=False)
    ax.set_ylabel(ylabel, color=INK, parse_math=False)
    ax.spines[["top", "right"]].set_visible(False)
    return fig, ax


def save(fig: Figure, path) -> Figure:
    """Write the figure as a PNG and return it, so that a notebook shows it. The same figure gives the same bytes on
    every run. Raises OSError where `path` cannot be written."""
    plain = {"Software": None}  # otherwise the file carries the matplotlib version
    picture = io.BytesIO()
    fig.savefig(picture, format="png", dpi=DPI, bbox_inches="tight", facecolor="white", metadata=plain)
    small = io.BytesIO()  # 256 colours show the same in a third of the bytes
    Image.open(picture).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    write_texts({Path(path): small.getvalue()})
    return fig


def svg(fig: Figure, salt: str = "conversation") -> str:
    """The figure as an SVG element for an HTML page. Its texts stay texts, escaped, and as they were given
    (report/lettering.py); the same figure gives the same characters on every run. Two on one page need two `salt`."""
    picture = io.StringIO()
    for text in fig.findobj(Text):
        if text.get_label():  # a browser has the letters that our font lacks
            text.set_text(text.get_label())
    # Without the salt, every run has other ids.
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        fig.savefig(picture, format="svg", metadata={"Date": None, "Creator": None})
    text = picture.getvalue()
    return text[text.index("<svg") :]


def token_lengths(lengths, budget: int | None = None, title="How long the rows are", about="", what="conversations"):
    """Draw how many tokens each conversation has with its questions. Returns the Figure.

    lengths: (n,) token counts; budget: up to how many tokens several share a row; what: that which is counted.
    """
    lengths = np.asarray(list(lengths), dtype=float)
    fig, ax = _chart(7, 3.8, title, "tokens", what, about)
    ax.hist(lengths, bins=40, color=COLOURS["surprise"], edgecolor="white", linewidth=0.5)
    if budget is not None:
        over = int((lengths > budget).sum())
        label = f"token_budget {budget:,}: {over:,} of {len(lengths):,} are longer and have a row each. Nothing is cut"
        ax.axvline(budget, color=COLOURS["anger"], linewidth=2, linestyle="--", label=label)
        # Above the bars, where it covers none of them.
        ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, fontsize=9)
    return fig


def confusion_matrix(
    confusion, labels: LabelSet = ECF, about: str = "", what: str = "emotions", counted: str = "utterances"
) -> Figure:
    """Draw which emotions (`what`) are taken for which: counts, and below them their share of the row, the colour.

    confusion: (labels, labels) counts, rows gold and columns predicted, both in the order of `labels`. How many they
    are (`counted`) and how many of them are right (the accuracy) is added to `about`.
    """
    counts = np.asarray(confusion)
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(f"expected ({len(labels)}, {len(labels)}) counts, got {counts.shape}")
    # A gold emotion that never occurs has an empty row, not a division by zero.
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    total = int(counts.sum())
    facts = f"{total:,} {counted} · accuracy {np.trace(counts) / max(total, 1):.1%}"
    cell = 0.68 if len(labels) <= 12 else 0.5  # inches
    size = cell * len(labels) + 1.2
    title = f"{what.capitalize()}, gold against predicted"
    fig, ax = _chart(size + 1.2, size, title, "predicted", "gold", " · ".join(filter(None, [about, facts])))
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        style: dict = {"ha": "center", "color": "white" if shares[row, column] > 0.5 else INK}
        ax.text(column, row - 0.04, f"{count:,}", va="bottom", fontsize=9, **style)
        ax.text(column, row + 0.06, f"{shares[row, column]:.0%}", va="top", fontsize=7, **style)
    ax.set_xticks(range(len(labels)), labels.labels, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(labels)), labels.labels)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar: Any = fig.colorbar(image, ax=ax, shrink=0.85, label="share of the gold row", format="{x:.0%}")
    bar.outline.set_visible(False)
    return fig


def rates(table, title: str, xlabel: str, about: str = "", line: str | None = None) -> Figure:
    """Draw shares as bars with their values, and below each group how many it was counted on.

    table: a pandas DataFrame, a row a group: its column "n" is that count, the column `line` (a baseline, such as what
    guessing gets) is a line across the group's bars, and each other column is a share, with a colour of its own.
    """
    bars = [name for name in table.columns if name not in ("n", line)]
    fig, ax = _chart(max(5, 0.9 * len(table) + 1.5), 3.7, title, xlabel, "", about)
    places, width = np.arange(len(table)), 0.8 / len(bars)
    for index, (name, colour) in enumerate(zip(bars, (COLOURS["surprise"], COLOURS["joy"]))):
        middle = places + (index - (len(bars) - 1) / 2) * width
        ax.bar(middle, table[name].to_numpy(), width * 0.95, color=colour, label=name)
        for x, value in zip(middle, table[name]):
            ax.text(x, value + 0.01, f"{value:.0%}", ha="center", va="bottom", color=INK, fontsize=8.5)
    if line is not None:
        ax.hlines(table[line].to_numpy(), places - 0.45, places + 0.45, color=INK, linewidth=1.5, label=line)
    ax.set_xticks(places, [f"{group}\nn = {int(n):,}" for group, n in table.n.items()], parse_math=False)
    ax.set_ylim(0, 1.08)
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, ncols=3, fontsize=9)
    return fig


def means(series, title: str, xlabel: str, about: str = "") -> Figure:
    """Draw figures of several systems as horizontal bars, with their standard deviations.

    series: {what was scored: {system: [mean, deviation or None], or None where there is none}}, the same systems in
    each, from top to bottom.
    """
    names = list(next(iter(series.values())))
    fig, ax = _chart(7, 1.2 + 0.45 * len(names) * max(1, 0.7 * len(series)), title, xlabel, "", about)
    height = 0.8 / len(series)
    for place, ((part, found), colour) in enumerate(zip(series.items(), ("sadness", "joy", "surprise"))):
        there = [(row, found[name]) for row, name in enumerate(names) if found[name]]
        at = [row + (place - (len(series) - 1) / 2) * height for row, _ in there]
        values, spreads = [one[0] for _, one in there], [one[1] or 0.0 for _, one in there]
        ax.barh(at, values, 0.9 * height, color=COLOURS[colour], label=part, alpha=0.85)
        ax.errorbar(values, at, xerr=spreads, fmt="none", ecolor=INK, capsize=3, linewidth=1)
        for y, value, deviation in zip(at, values, spreads):
            ax.text(value + deviation, y, f" {value:.3f}", va="center", color=FAINT, fontsize=8.5)
    ax.set_yticks(range(len(names)), names, parse_math=False)
    ax.invert_yaxis()
    ax.set_xlim(0, min(1.15, 1.25 * max(ax.get_xlim()[1], 0.01)))
    if len(series) > 1:
        ax.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1.06), ncols=3)
    return fig


def curves(lines, levels, title: str, xlabel: str, ylabel: str, about: str = "") -> Figure:
    """Draw figures of several systems over a number as lines, with their standard deviations.

    lines: {system: {number: [mean, deviation or None]}}. levels: {system: the figure of one that no number changes},
    drawn as dotted lines.
    """
    fig, ax = _chart(7, 3.8, title, xlabel, ylabel, about)
    for (name, found), colour in zip(
        lines.items(), itertools.cycle(("sadness", "anger", "joy", "disgust", "surprise"))
    ):
        at = sorted(found)
        values, spreads = [found[x][0] for x in at], [found[x][1] or 0.0 for x in at]
        ax.errorbar(at, values, yerr=spreads, color=COLOURS[colour], marker="o", markersize=4, capsize=3, label=name)
    for (name, value), style in zip(levels.items(), itertools.cycle((":", "--", "-."))):
        ax.axhline(value, color=FAINT, linestyle=style, linewidth=1, label=name)
    ax.set_xticks(sorted({x for found in lines.values() for x in found}))
    ax.set_ylim(0, None)
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return fig


def stacked(table, title: str, xlabel: str, ylabel: str, about: str = "") -> Figure:
    """Draw counts as stacked bars: a bar a row of the DataFrame, a colour a column (at most 7)."""
    fig, ax = _chart(max(7, 0.55 * len(table) + 1), 3.8, title, xlabel, ylabel, about)
    groups, bottom = [str(group) for group in table.index], np.zeros(len(table))
    colours = [COLOURS[name] for name in ("disgust", "neutral", "anger", "joy", "sadness", "surprise", "fear")]
    for name, colour in zip(table.columns, colours):
        total = int(table[name].sum())
        ax.bar(groups, table[name], 0.75, bottom=bottom, color=colour, label=f"{name} ({total:,})")
        bottom += table[name].to_numpy()
    ax.legend(frameon=False, fontsize=9)
    return fig


def cause_distances(
    gold: list[Conversation], pred: list[Conversation] | None = None, labels: LabelSet = ECF, about: str = ""
) -> Figure:
    """Draw how far causes lie from their emotions, as shares of all pairs.

    gold, pred: conversations with their pairs, whose emotions are of `labels`. The distance is the cause's position in
    its conversation minus the emotion's, so negative means an earlier cause (report/distances.py).
    """
    fig, ax = _chart(7, 3.8, "Where the causes are", AXIS, "share of pairs", about)
    places = range(LOW, HIGH + 1)
    groups = [("gold", gold, COLOURS["sadness"])]
    if pred is not None:
        groups.append(("predicted", pred, COLOURS["joy"]))
    width = 0.8 / len(groups)
    for index, (name, conversations, colour) in enumerate(groups):
        counts = Counter(map(pooled, distances(conversations, labels)))
        total = sum(counts.values())
        shares = [counts[place] / max(total, 1) for place in places]
        shift = (index - (len(groups) - 1) / 2) * width
        ax.bar([place + shift for place in places], shares, width, color=colour, label=f"{name} ({total:,} pairs)")
    ax.set_xticks(places, [name_of(place) for place in places])
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(frameon=False)
    return fig
