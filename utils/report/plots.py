"""Pictures for the notebooks and the README: training curves, data statistics, errors, whole conversations.

Every function returns a matplotlib Figure. `save` writes it as a PNG and returns it, so that

    plots.save(plots.loss_curve(history), run.plots / "emotion_loss.png")

as the last line of a notebook cell keeps the picture and shows it.
"""

import io
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from utils.data.conversations import Conversation, pairs
from utils.data.labels import ECF, LabelSet
from utils.system.files import write_texts

# The Okabe-Ito palette: its colours stay apart for all common kinds of colour blindness.
COLOURS = {
    "anger": "#D55E00",
    "disgust": "#009E73",
    "fear": "#CC79A7",
    "joy": "#E69F00",
    "sadness": "#0072B2",
    "surprise": "#56B4E9",
    "neutral": "#9A9A9A",
}
INK = "#24292F"
FAINT = "#6E7781"
DPI = 110


def empty_figure(width: float, height: float, **options):
    """Make an empty figure with one pair of axes, sizes in inches. Returns (Figure, Axes)."""
    fig, ax = plt.subplots(figsize=(width, height), dpi=DPI, **options)
    # pyplot makes IPython able to display figures; closing keeps a notebook from showing this one twice.
    plt.close(fig)
    return fig, ax


def _chart(width: float, height: float, title: str, xlabel: str, ylabel: str):
    """Make a figure for an ordinary chart: labelled, no frame above and right. Returns (Figure, Axes)."""
    fig, ax = empty_figure(width, height, layout="constrained")
    ax.set_title(title, loc="left", color=INK, fontweight="bold", fontsize=11, parse_math=False)
    ax.set_xlabel(xlabel, color=INK)
    ax.set_ylabel(ylabel, color=INK)
    ax.spines[["top", "right"]].set_visible(False)
    return fig, ax


def save(fig: Figure, path) -> Figure:
    """Write the figure as a PNG and return it, so that a notebook shows it. The same figure gives the same bytes on
    every run. Raises OSError where `path` cannot be written."""
    plain = {"Software": None}  # otherwise the file carries the matplotlib version
    picture = io.BytesIO()
    fig.savefig(picture, format="png", dpi=DPI, bbox_inches="tight", facecolor="white", metadata=plain)
    write_texts({Path(path): picture.getvalue()})
    return fig


def svg(fig: Figure) -> str:
    """The figure as an SVG element for an HTML page. Its texts stay texts, escaped; the same figure gives the same
    characters on every run."""
    picture = io.StringIO()
    # Without the salt, every run has other ids.
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "conversation"}):
        fig.savefig(picture, format="svg", metadata={"Date": None, "Creator": None})
    text = picture.getvalue()
    return text[text.index("<svg") :]


def loss_curve(history: list[dict]) -> Figure:
    """Draw the training loss over the steps, raw and smoothed, with the evaluation losses as points.

    history: the Trainer's `state.log_history`, dicts with "step" and "loss" or "eval_loss"; other dicts are
    passed over.
    """
    train = [(entry["step"], entry["loss"]) for entry in history if "loss" in entry]
    held_out = [(entry["step"], entry["eval_loss"]) for entry in history if "eval_loss" in entry]
    fig, ax = _chart(7, 3.6, "Loss", "step", "loss")
    if train:
        steps, losses = zip(*train)
        ax.plot(steps, losses, ".", color=COLOURS["surprise"], alpha=0.6, markersize=5, label="training, raw")
        ax.plot(steps, _smooth(losses), color=COLOURS["sadness"], linewidth=2, label="training, smoothed")
    if held_out:
        ax.plot(*zip(*held_out), "D", color=COLOURS["anger"], markersize=6, label="evaluation")
    if train or held_out:
        ax.legend(frameon=False)
    return fig


def _smooth(values, reach: int = 7) -> list[float]:
    """Smooth (n,) numbers: each becomes the mean of itself and up to `reach` on either side. Returns (n,)."""
    smoothed = []
    for i in range(len(values)):
        # As many on the left as on the right, so that a falling curve is not shifted.
        side = min(reach, i, len(values) - 1 - i)
        smoothed.append(float(np.mean(values[i - side : i + side + 1])))
    return smoothed


def token_lengths(lengths, budget: int | None = None, title: str = "Tokens per conversation") -> Figure:
    """Draw how long the rows are. lengths: (n,) token counts; budget: the most tokens that a row may have."""
    lengths = np.asarray(list(lengths), dtype=float)
    fig, ax = _chart(7, 3.6, title, "tokens", "rows")
    ax.hist(lengths, bins=40, color=COLOURS["surprise"], edgecolor="white", linewidth=0.5)
    if budget is not None:
        over = int((lengths > budget).sum())
        label = f"budget {budget:,}: {over:,} of {len(lengths):,} rows over it"
        ax.axvline(budget, color=COLOURS["anger"], linewidth=2, linestyle="--", label=label)
        # Above the bars, where it covers none of them.
        ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    return fig


def confusion_matrix(confusion, labels: LabelSet = ECF) -> Figure:
    """Draw which emotions are taken for which, as counts coloured by their share of the row.

    confusion: (labels, labels) counts, rows gold and columns predicted, both in the order of `labels`.
    """
    counts = np.asarray(confusion)
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(f"expected ({len(labels)}, {len(labels)}) counts, got {counts.shape}")
    # A gold emotion that never occurs has an empty row, not a division by zero.
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    fig, ax = _chart(6.6, 5.6, "Emotions, gold against predicted", "predicted", "gold")
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else INK
        ax.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=9.5)
    ax.set_xticks(range(len(labels)), labels.labels, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(labels)), labels.labels)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = fig.colorbar(image, ax=ax, shrink=0.85, label="share of the gold row")
    bar.outline.set_visible(False)
    return fig


def rates(shares, counts, title: str, xlabel: str, ylabel: str) -> Figure:
    """Draw a share for each group as a bar, with how many it was counted on above.

    shares, counts: equally long and with the same keys (dictionaries, or pandas Series), one a group.
    """
    groups = [str(group) for group in shares.keys()]
    fig, ax = _chart(max(4.5, 0.62 * len(groups) + 1.5), 3.2, title, xlabel, ylabel)
    values = [float(shares[group]) for group in shares.keys()]
    ax.bar(groups, values, 0.7, color=COLOURS["surprise"])
    for place, (value, group) in enumerate(zip(values, counts.keys())):
        ax.text(place, value + 0.01, f"{int(counts[group]):,}", ha="center", va="bottom", color=FAINT, fontsize=8.5)
    ax.set_ylim(0, 1.08)
    ax.yaxis.set_major_formatter("{x:.0%}")
    return fig


def means(series, title: str, xlabel: str) -> Figure:
    """Draw figures of several systems as horizontal bars, with their standard deviations.

    series: {what was scored: {system: [mean, deviation or None], or None where there is none}}, the same systems in
    each, from top to bottom.
    """
    names = list(next(iter(series.values())))
    fig, ax = _chart(7, 1.2 + 0.45 * len(names) * max(1, 0.7 * len(series)), title, xlabel, "")
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


def stacked(table, title: str, xlabel: str, ylabel: str) -> Figure:
    """Draw counts as stacked bars: a bar a row of the DataFrame, a colour a column (at most 7)."""
    fig, ax = _chart(max(5.5, 0.62 * len(table) + 1.5), 3.8, title, xlabel, ylabel)
    groups, bottom = [str(group) for group in table.index], np.zeros(len(table))
    colours = [COLOURS[name] for name in ("disgust", "neutral", "anger", "joy", "sadness", "surprise", "fear")]
    for name, colour in zip(table.columns, colours):
        ax.bar(groups, table[name], 0.75, bottom=bottom, color=colour, label=name)
        bottom += table[name].to_numpy()
    ax.legend(frameon=False, fontsize=9)
    return fig


def cause_distances(gold: list[Conversation], pred: list[Conversation] | None = None, labels: LabelSet = ECF) -> Figure:
    """Draw how far causes lie from their emotions, as shares of all pairs.

    gold, pred: conversations with their pairs, whose emotions are of `labels`. The distance is the cause's position in
    its conversation minus the emotion's, so negative means an earlier cause; everything beyond -8 or +4 is in the
    outermost bars.
    """
    low, high = -8, 4
    places = np.arange(low, high + 1)
    fig, ax = _chart(7, 3.6, "Where the causes are", "cause position - emotion position", "share of pairs")
    groups = [("gold", gold, COLOURS["sadness"])]
    if pred is not None:
        groups.append(("predicted", pred, COLOURS["joy"]))
    width = 0.8 / len(groups)
    for index, (name, conversations, colour) in enumerate(groups):
        counts = Counter(min(max(distance, low), high) for distance in _distances(conversations, labels))
        total = sum(counts.values())
        shares = [counts[place] / max(total, 1) for place in range(low, high + 1)]
        shift = (index - (len(groups) - 1) / 2) * width
        ax.bar(places + shift, shares, width, color=colour, label=f"{name} ({total:,} pairs)")
    names = [f"{place:+d}" if place else "0" for place in places]
    names[0], names[-1] = f"≤ {low}", f"≥ +{high}"
    ax.set_xticks(places, names)
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(frameon=False)
    return fig


def _distances(conversations: list[Conversation], labels: LabelSet) -> list[int]:
    """List cause position minus emotion position of every pair in the conversations. Returns (pairs,)."""
    distances = []
    for conversation in conversations:
        position = positions(conversation)
        for emotional, _, cause in pairs(conversation, labels):
            if emotional in position and cause in position:
                distances.append(position[cause] - position[emotional])
    return distances


def positions(conversation: Conversation) -> dict[int, int]:
    """Map utterance ids to their indices in the conversation."""
    return {int(utterance["utterance_ID"]): i for i, utterance in enumerate(conversation["conversation"])}
