"""A conversation as a picture: a box an utterance, an arrow from each cause to the emotion it led to."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve
from matplotlib.textpath import text_to_path

from utils.data.conversations import Conversation, Utterance, emotions_of, pairs
from utils.data.labels import ECF, LabelSet
from utils.report.distances import positions
from utils.report.plots import COLOURS, FAINT, INK, empty_figure

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


def draw_conversation(
    conversation: Conversation, title: str | None = None, probabilities=None, labels: LabelSet = ECF
) -> Figure:
    """Draw the utterances as boxes from top to bottom, and an arrow from each cause to the emotion it led to.

    conversation: a dictionary with "conversation" (dicts with "text", and if known "speaker" and "emotion") and, if
    known, "emotion-cause_pairs". Colours stand for emotions. An utterance that is its own cause has a ring. Of several
    emotions the first is written, and how many more there are.
    probabilities: (utterances,) of each utterance's emotion, to stand beside it. labels: the label set of the pairs.
    """
    utterances = conversation["conversation"]
    position = positions(conversation)
    links = []  # (cause position, emotion position, emotion)
    for emotional, emotion, cause in pairs(conversation, labels) if conversation.get("emotion-cause_pairs") else []:
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

    fig, ax = empty_figure(PAGE / 72, page_height / 72)
    fig.patch.set_facecolor("white")
    ax.set_position([0, 0, 1, 1])
    ax.set(xlim=(0, PAGE), ylim=(page_height, 0))
    ax.set_axis_off()
    if title:
        _write(ax, MARGIN, MARGIN + 9, title, fontsize=13.5, fontweight="bold")

    for i, (utterance, lines, top, height) in enumerate(zip(utterances, texts, tops, heights)):
        several = emotions_of(utterance)
        tag = several[0] + f" +{len(several) - 1}" * (len(several) > 1) if several else None
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
        colour = COLOURS.get(emotion or "neutral", COLOURS["neutral"])
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
                if len(lines) > most:
                    break
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


def _draw_utterance(
    ax,
    utterance: Utterance,
    lines: list[str],
    top: float,
    height: float,
    right: float,
    tag: str | None,
    tag_width: float,
):
    """Draw one box with its text and its tag, the emotion, and the speaker left of it."""
    emotion = next(iter(emotions_of(utterance)), None)
    colour = COLOURS.get(emotion or "neutral", COLOURS["neutral"])
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
