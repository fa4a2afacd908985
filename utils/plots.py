"""Pictures for the notebooks and the README: training curves, data statistics, errors, whole conversations.

Every function returns a matplotlib Figure: leave it as the last line of a notebook cell to see it, and give
it to `save` to keep it as a PNG.
"""

import io
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve
from matplotlib.textpath import text_to_path

from utils.conversations import EMOTIONS, pairs, write_texts

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


def _figure(width: float, height: float, **options):
    """Make an empty figure with one pair of axes, sizes in inches. Returns (Figure, Axes)."""
    fig, ax = plt.subplots(figsize=(width, height), dpi=DPI, **options)
    # pyplot makes IPython able to display figures; closing keeps a notebook from showing this one twice.
    plt.close(fig)
    return fig, ax


def _chart(width: float, height: float, title: str, xlabel: str, ylabel: str):
    """Make a figure for an ordinary chart: labelled, no frame above and right. Returns (Figure, Axes)."""
    fig, ax = _figure(width, height, layout="constrained")
    ax.set_title(title, loc="left", color=INK, fontweight="bold", fontsize=11, parse_math=False)
    ax.set_xlabel(xlabel, color=INK)
    ax.set_ylabel(ylabel, color=INK)
    ax.spines[["top", "right"]].set_visible(False)
    return fig, ax


def save(fig: Figure, path) -> Path:
    """Write the figure as a PNG and return its path. The same figure gives the same bytes on every run."""
    path = Path(path)
    plain = {"Software": None}  # otherwise the file carries the matplotlib version
    picture = io.BytesIO()
    fig.savefig(picture, format="png", dpi=DPI, bbox_inches="tight", facecolor="white", metadata=plain)
    write_texts({path: picture.getvalue()})
    return path


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


def confusion_matrix(confusion) -> Figure:
    """Draw which emotions are taken for which, as counts coloured by their share of the row.

    confusion: (7, 7) counts, rows gold and columns predicted, both in EMOTIONS order.
    """
    counts = np.asarray(confusion)
    if counts.shape != (len(EMOTIONS), len(EMOTIONS)):
        raise ValueError(f"expected ({len(EMOTIONS)}, {len(EMOTIONS)}) counts, got {counts.shape}")
    # A gold emotion that never occurs has an empty row, not a division by zero.
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    fig, ax = _chart(6.6, 5.6, "Emotions, gold against predicted", "predicted", "gold")
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else INK
        ax.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=9.5)
    ax.set_xticks(range(len(EMOTIONS)), EMOTIONS, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(EMOTIONS)), EMOTIONS)
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


def cause_distances(gold: list[dict], pred: list[dict] | None = None) -> Figure:
    """Draw how far causes lie from their emotions, as shares of all pairs.

    gold, pred: conversations with their pairs. The distance is the cause's position in its conversation minus
    the emotion's, so negative means an earlier cause; everything beyond -8 or +4 is in the outermost bars.
    """
    low, high = -8, 4
    places = np.arange(low, high + 1)
    fig, ax = _chart(7, 3.6, "Where the causes are", "cause position - emotion position", "share of pairs")
    groups = [("gold", gold, COLOURS["sadness"])]
    if pred is not None:
        groups.append(("predicted", pred, COLOURS["joy"]))
    width = 0.8 / len(groups)
    for index, (name, conversations, colour) in enumerate(groups):
        counts = Counter(min(max(distance, low), high) for distance in _distances(conversations))
        total = sum(counts.values())
        shares = [counts[place] / max(total, 1) for place in places]
        shift = (index - (len(groups) - 1) / 2) * width
        ax.bar(places + shift, shares, width, color=colour, label=f"{name} ({total:,} pairs)")
    names = [f"{place:+d}" if place else "0" for place in places]
    names[0], names[-1] = f"≤ {low}", f"≥ +{high}"
    ax.set_xticks(places, names)
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(frameon=False)
    return fig


def _distances(conversations: list[dict]) -> list[int]:
    """List cause position minus emotion position of every pair in the conversations. Returns (pairs,)."""
    distances = []
    for conversation in conversations:
        position = _positions(conversation)
        for emotional, _, cause in pairs(conversation):
            if emotional in position and cause in position:
                distances.append(position[cause] - position[emotional])
    return distances


def _positions(conversation: dict) -> dict[int, int]:
    """Map utterance ids to their indices in the conversation."""
    return {int(utterance["utterance_ID"]): i for i, utterance in enumerate(conversation["conversation"])}


# ---- A conversation. All sizes below are in points (1/72 inch), y grows downwards. ----

PAGE = 640  # 1000 pixels at DPI, with the rim that `save` leaves
MARGIN = 12
BOX_LEFT = 112  # the speakers stand left of it
BOX_GAP = 8
TEXT_SIZE = 10.5
LINE = 15
TAG_WIDTH = 58
PERCENT_WIDTH = 30
FIRST_LANE = 26  # how far the innermost arrow swings out of the boxes
LANES_WIDTH = 130  # the most room for all arrows
PORT = 10  # distance of two arrows' ends at the same box


def draw_conversation(conversation: dict, title: str | None = None, probabilities=None) -> Figure:
    """Draw the utterances as boxes from top to bottom, and an arrow from each cause to the emotion it led to.

    conversation: dict with "conversation" (dicts with "text", and if known "speaker" and "emotion") and, if
    known, "emotion-cause_pairs". Colours stand for emotions. An utterance that is its own cause has a ring.
    probabilities: (utterances,) of each utterance's emotion, to stand beside it.
    """
    utterances = conversation["conversation"]
    position = _positions(conversation)
    links = []  # (cause position, emotion position, emotion)
    for emotional, emotion, cause in pairs(conversation) if conversation.get("emotion-cause_pairs") else []:
        if emotional in position and cause in position:
            links.append((position[cause], position[emotional], emotion))

    lanes = _lanes(links)
    lane_step = min(15, (LANES_WIDTH - FIRST_LANE) / max(lanes, default=1))
    swing = [FIRST_LANE + (lane - 1) * lane_step for lane in lanes]
    box_right = PAGE - MARGIN - (max(swing) + 8 if links else 0)
    has_tags = any(utterance.get("emotion") for utterance in utterances)
    tag_width = TAG_WIDTH + (PERCENT_WIDTH if probabilities else 0)
    text_width = box_right - BOX_LEFT - 22 - (tag_width + 12 if has_tags else 0)

    # The boxes, each as high as its text or its arrows need.
    ends = _ends(links, lanes, len(utterances))
    texts = [_wrap(utterance.get("text") or "", text_width, TEXT_SIZE, 3) for utterance in utterances]
    y = MARGIN + (30 if title else 0)
    tops, heights = [], []
    for lines, box_ends in zip(texts, ends):
        tops.append(y)
        heights.append(max(len(lines) * LINE + 15, PORT * len(box_ends) + 14))
        y += heights[-1] + BOX_GAP
    page_height = y - BOX_GAP + MARGIN + (24 if links else 0)

    fig, ax = _figure(PAGE / 72, page_height / 72)
    fig.patch.set_facecolor("white")
    ax.set_position([0, 0, 1, 1])
    ax.set(xlim=(0, PAGE), ylim=(page_height, 0))
    ax.set_axis_off()
    if title:
        _write(ax, MARGIN, MARGIN + 9, title, fontsize=13.5, fontweight="bold")

    for i, (utterance, lines, top, height) in enumerate(zip(utterances, texts, tops, heights)):
        tag = utterance.get("emotion")
        tag = f"{tag} {probabilities[i]:.0%}" if tag and probabilities else tag
        _draw_utterance(ax, utterance, lines, top, height, box_right, tag, tag_width)

    # Each arrow's ends have their own places on the right side of the boxes.
    port = {}
    for box, box_ends in enumerate(ends):
        for i, end in enumerate(box_ends):
            port[end] = tops[box] + heights[box] / 2 + (i - (len(box_ends) - 1) / 2) * PORT
    # Long arrows first, so that short ones lie above them.
    for i in sorted(range(len(links)), key=lambda i: -lanes[i]):
        cause, emotional, emotion = links[i]
        colour = COLOURS.get(emotion, COLOURS["neutral"])
        if cause == emotional:
            _draw_ring(ax, box_right, port[i, "own"], colour, "own-cause")
        else:
            _draw_arrow(ax, box_right, port[i, "cause"], port[i, "emotion"], swing[i], colour)
    if links:
        _draw_key(ax, page_height - MARGIN - 5, links)
    return fig


def _lanes(links) -> list[int]:
    """Give every link (cause, emotion, ...) a lane, 1 nearest to the boxes, so that none covers another.

    Short arrows take the inner lanes; rings need none and stay at 1. Returns (links,).
    """
    lanes = [1] * len(links)
    placed = []
    for i in sorted(range(len(links)), key=lambda i: abs(links[i][0] - links[i][1])):
        start, stop = sorted(links[i][:2])
        if start == stop:
            continue
        taken = [lane for a, b, lane in placed if a < stop and start < b]
        # Outside of everything it passes, so that a longer arrow goes around the shorter ones.
        lanes[i] = max(taken, default=0) + 1
        placed.append((start, stop, lanes[i]))
    return lanes


def _ends(links, lanes, count: int) -> list[list[tuple[int, str]]]:
    """List the arrow ends at each of `count` boxes from top to bottom, as (link index, which end).

    Arrows from above come first, inner lanes first; then rings; then arrows from below, inner lanes last. So
    arrows that meet at a box do not cross there.
    """
    ends = [[] for _ in range(count)]
    for i, (cause, emotional, _) in enumerate(links):
        if cause == emotional:
            ends[cause].append((0, i, "own"))
            continue
        for here, there, name in ((cause, emotional, "cause"), (emotional, cause, "emotion")):
            # -1/lane orders ends from above, 1/lane ends from below.
            ends[here].append((-1 / lanes[i] if there < here else 1 / lanes[i], i, name))
    return [[(i, name) for _, i, name in sorted(box_ends)] for box_ends in ends]


def _write(ax, x: float, y: float, text: str, **style):
    """Write plain text at a point, vertically centred; a '$' stays a '$'."""
    return ax.text(x, y, text, parse_math=False, **{"va": "center_baseline", "color": INK, **style})


def _width(text: str, size: float, weight: str = "normal") -> float:
    """Width of plain text in points."""
    font = FontProperties(size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]


def _wrap(text: str, width: float, size: float, most: int, weight: str = "normal") -> list[str]:
    """Break text into at most `most` lines of at most `width` points; the rest becomes an ellipsis."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if _width(longer, size, weight) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:  # only a word wider than a whole line is broken
            if lines[-1] and _width(lines[-1] + letter, size, weight) > width:
                lines.append("")
            lines[-1] += letter
        if len(lines) > most:
            break
    if len(lines) > most:
        last = lines[most - 1]
        while last and _width(last + "…", size, weight) > width:
            last = last.rpartition(" ")[0] or last[:-1]
        lines = lines[: most - 1] + [last.rstrip(" ,.;:") + "…"]
    return lines


def _tint(colour: str, share: float) -> tuple[float, ...]:
    """Mix `share` of a colour with white."""
    return tuple(1 - share * (1 - part) for part in to_rgb(colour))


def _draw_utterance(ax, utterance: dict, lines: list[str], top: float, height: float, right: float, tag: str | None,
                    tag_width: float):
    """Draw one box with its text and its tag, the emotion, and the speaker left of it."""
    emotion = utterance.get("emotion")
    colour = COLOURS.get(emotion, COLOURS["neutral"])
    middle = top + height / 2
    box = FancyBboxPatch(
        (BOX_LEFT, top), right - BOX_LEFT, height, boxstyle="round,pad=0,rounding_size=8", gid="utterance",
        facecolor=_tint(colour, 0.16 if emotion not in (None, "neutral") else 0.10),
        edgecolor=_tint(colour, 0.75), linewidth=1.1,
    )  # fmt: skip
    ax.add_patch(box)
    for i, line in enumerate(lines):
        _write(ax, BOX_LEFT + 11, middle + (i - (len(lines) - 1) / 2) * LINE, line, fontsize=TEXT_SIZE)
    if tag:
        tag_left = right - tag_width - 11
        shape = FancyBboxPatch(
            (tag_left, middle - 8), tag_width, 16, boxstyle="round,pad=0,rounding_size=8", gid="tag",
            facecolor=colour, linewidth=0,
        )  # fmt: skip
        ax.add_patch(shape)
        red, green, blue = to_rgb(colour)
        ink = "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else INK
        style = {"fontsize": 8.5, "fontweight": "bold", "color": ink, "ha": "center"}
        _write(ax, tag_left + tag_width / 2, middle, tag, **style)
    _write(ax, MARGIN, middle, str(utterance["utterance_ID"]), fontsize=9, color=FAINT)
    names = _wrap(str(utterance.get("speaker") or ""), BOX_LEFT - MARGIN - 28, 10, 2, "bold")
    for i, name in enumerate(names):
        y = middle + (i - (len(names) - 1) / 2) * 12
        _write(ax, BOX_LEFT - 9, y, name, fontsize=10, fontweight="bold", ha="right")


def _add_curve(ax, points, codes, colour, gid: str):
    """Draw an arrow along a path, on a wider white line, so that crossings stay readable."""
    curve = Curve(points, codes)
    ax.add_patch(PathPatch(curve, fill=False, edgecolor="white", linewidth=4.5, capstyle="butt", zorder=3))
    arrow = FancyArrowPatch(
        path=curve, arrowstyle="-|>,head_length=0.5,head_width=0.25", mutation_scale=11,
        color=colour, linewidth=1.9, gid=gid, joinstyle="miter", capstyle="butt", zorder=3,
    )  # fmt: skip
    ax.add_patch(arrow)


def _draw_arrow(ax, x: float, start: float, stop: float, swing: float, colour: str):
    """Draw an arrow from (x, start) to (x, stop) that swings `swing` points out to the right."""
    far = x + swing
    bend = np.sign(stop - start) * min(abs(stop - start) / 2, 1.3 * swing)
    points = [
        (x + 2, start), (x + 0.65 * swing, start), (far, start + 0.35 * bend), (far, start + bend),
        (far, stop - bend), (far, stop - 0.35 * bend), (x + 0.65 * swing, stop), (x + 2, stop),
    ]  # fmt: skip
    codes = [Curve.MOVETO] + 3 * [Curve.CURVE4] + [Curve.LINETO] + 3 * [Curve.CURVE4]
    _add_curve(ax, points, codes, colour, "cause")


def _draw_ring(ax, x: float, y: float, colour: str, gid: str):
    """Draw the ring of an utterance that is its own cause, at (x, y) on the right side of its box."""
    ax.add_patch(Circle((x, y), 4, facecolor="white", edgecolor=colour, linewidth=2.2, gid=gid, zorder=4))


def _draw_key(ax, y: float, links):
    """Explain the kinds of arrows that the picture has, in one line below the boxes."""
    x = BOX_LEFT + 2
    if any(cause != emotional for cause, emotional, _ in links):
        _add_curve(ax, [(x, y), (x + 26, y)], [Curve.MOVETO, Curve.LINETO], FAINT, "key")
        _write(ax, x + 33, y, "from the cause to the emotion", fontsize=9, color=FAINT)
        x += 205
    if any(cause == emotional for cause, emotional, _ in links):
        _draw_ring(ax, x + 5, y, FAINT, "key")
        _write(ax, x + 16, y, "the utterance is its own cause", fontsize=9, color=FAINT)
