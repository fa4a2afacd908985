"""A conversation as a picture: a box an utterance, an arrow from each cause to the emotion it led to."""

from typing import NamedTuple

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve

from utils.data.conversations import Conversation, emotions_of, pairs
from utils.data.labels import ECF, LabelSet
from utils.report.colours import COLOURS, colours
from utils.report.distances import positions
from utils.report.lettering import width as width_of
from utils.report.lettering import wrap, write
from utils.report.plots import FAINT, INK, empty_figure

# ---- A conversation. All sizes below are in points (1/72 inch), y grows downwards. ----

PAGE = 640  # 1000 pixels at DPI, with the rim that `save` leaves
MARGIN = 12
BOX_GAP = 7
TEXT_SIZE = 10.5
LINE = 15
HEAD = 18  # the line of a box with the speaker and the tags
FIRST_LANE = 26  # how far the innermost arrow swings out of the boxes
LANES = 0.2  # the most room for all arrows, as a share of the page
PORT = 10  # distance of two arrows' ends at the same box
GREY = COLOURS["neutral"]

# What an arrow or ring can mean: its line, and the words of the key.
KINDS = {
    "cause": ("solid", "from the cause to the emotion"),
    "right": ("solid", "right: the pair is gold too"),
    "wrong": ((0, (4, 1.5)), "wrong: no such gold pair"),
    "missed": ((0, (1, 1.5)), "a gold pair that was missed"),
    "weak": ((0, (1, 3)), "likeliest cause, below the threshold"),
}


class Link(NamedTuple):
    """An arrow, or a ring where both places are one: positions of cause and emotion, a key of KINDS."""

    cause: int
    emotional: int
    colour: str
    kind: str


def draw_conversation(
    conversation: Conversation,
    title: str | None = None,
    probabilities=None,
    labels: LabelSet = ECF,
    gold: Conversation | None = None,
    weak=(),
    about: str = "",
    width: float = PAGE,
) -> Figure:
    """Draw the utterances as boxes from top to bottom, and an arrow from each cause to the emotion it led to.

    conversation: a dictionary with "conversation" (dicts with "text", and if known "speaker" and "emotion") and, if
    known, "emotion-cause_pairs". Colours stand for emotions. An utterance that is its own cause has a ring. Of several
    emotions the first is written, and how many more there are.
    title, about: its lines on top; by default the conversation's id; "" for none.
    probabilities: (utterances,) of each utterance's emotion, to stand beside it. labels: the label set of the pairs.
    gold: the same conversation with its gold labels. A wrong emotion then has a cross and the gold one beside it, and
    arrows show whether they are right, wrong or missed. weak: (emotional id, cause id) of causes that were not
    reported. width: in points.
    """
    if title is None:
        title = f"Conversation {conversation['conversation_ID']}" if "conversation_ID" in conversation else ""
    utterances = conversation["conversation"]
    links = _links(conversation, labels, gold, weak)
    lanes = _lanes(links)
    lane_step = min(15, (LANES * width - FIRST_LANE) / max(lanes, default=1))
    swing = [FIRST_LANE + (lane - 1) * lane_step for lane in lanes]
    box_right = width - MARGIN - (max(swing) + 8 if links else 0)
    inside = box_right - MARGIN - 22

    # The boxes, each as high as its text or its arrows need.
    ends = _ends(links, lanes, len(utterances))
    tags = [_tags(utterances, probabilities, gold, i, colours(labels)) for i in range(len(utterances))]
    texts = [wrap(utterance.get("text") or "", inside, TEXT_SIZE, 3) for utterance in utterances]
    y = MARGIN + (24 if title else 0) + (16 if about else 0)
    tops, heights = [], []
    for lines, box_ends in zip(texts, ends):
        tops.append(y)
        heights.append(max(HEAD + len(lines) * LINE + 14, PORT * len(box_ends) + 14))
        y += heights[-1] + BOX_GAP
    key = _key(links, any(len(several) > 1 for several in tags), width - 2 * MARGIN)
    page_height = y - BOX_GAP + MARGIN + (18 * len(key) + 4 if key else 0)

    fig, ax = empty_figure(width / 72, page_height / 72)
    fig.patch.set_facecolor("white")
    ax.set_position([0, 0, 1, 1])
    ax.set(xlim=(0, width), ylim=(page_height, 0))
    ax.set_axis_off()
    if title:
        write(ax, MARGIN, MARGIN + 7, title, fontsize=12.5, fontweight="bold")
    if about:
        write(ax, MARGIN, MARGIN + (27 if title else 7), about, fontsize=9, color=FAINT)
    for utterance, several, lines, top, height in zip(utterances, tags, texts, tops, heights):
        _draw_utterance(ax, utterance, several, lines, top, height, box_right)

    # Each arrow's ends have their own places on the right side of the boxes.
    port = {}
    for box, box_ends in enumerate(ends):
        for i, end in enumerate(box_ends):
            port[end] = tops[box] + heights[box] / 2 + (i - (len(box_ends) - 1) / 2) * PORT
    # Long arrows first, so that short ones lie above them.
    for i in sorted(range(len(links)), key=lambda i: -lanes[i]):
        link = links[i]
        if link.cause == link.emotional:
            _draw_ring(ax, box_right, port[i, "own"], link, "own-cause")
        else:
            _draw_arrow(ax, box_right, port[i, "cause"], port[i, "emotion"], swing[i], link)
    for row, items in enumerate(key):
        for x, kind, ring in items:
            _draw_key(ax, x, page_height - MARGIN - 5 - 18 * (len(key) - 1 - row), kind, ring)
    return fig


def _links(conversation: Conversation, labels: LabelSet, gold: Conversation | None, weak) -> list[Link]:
    """Everything that becomes an arrow or a ring."""
    position, palette = positions(conversation), colours(labels)

    def of(one):
        there = pairs(one, labels) if one.get("emotion-cause_pairs") else []
        return [p for p in there if p[0] in position and p[2] in position]

    drawn, true = of(conversation), of(gold) if gold else []
    links = []
    for emotional, emotion, cause in drawn:
        kind = "cause" if gold is None else "right" if (emotional, emotion, cause) in true else "wrong"
        links.append(Link(position[cause], position[emotional], palette.get(emotion, GREY), kind))
    there = {(link.cause, link.emotional) for link in links}
    others = [(emotional, emotion, cause, "missed") for emotional, emotion, cause in true]
    others += [(emotional, None, cause, "weak") for emotional, cause in weak]
    for emotional, emotion, cause, kind in others:
        if (position[cause], position[emotional]) not in there:
            links.append(Link(position[cause], position[emotional], palette.get(emotion or "", GREY), kind))
            there.add(links[-1][:2])
    return links


def _tags(utterances, probabilities, gold: Conversation | None, i: int, palette) -> list[tuple[str, str, bool]]:
    """The tags of an utterance: (text, colour, whether it is filled); behind a wrong emotion the gold one."""

    def named(several):
        return several[0] + f" +{len(several) - 1}" * (len(several) > 1)

    several = emotions_of(utterances[i])
    if not several:
        return []
    text = named(several) + (f" {probabilities[i]:.0%}" if probabilities else "")
    true = emotions_of(gold["conversation"][i]) if gold else []
    colour = palette.get(several[0], GREY)
    if not true or {*true} == {*several}:
        return [(text, colour, True)]
    return [(f"✗ {text}", colour, True), (f"gold: {named(true)}", palette.get(true[0], GREY), False)]


def _lanes(links: list[Link]) -> list[int]:
    """Give every link a lane, 1 nearest to the boxes, so that none covers another.

    Short arrows take the inner lanes; rings need none and stay at 1. Returns (links,).
    """
    lanes = [1] * len(links)
    placed = []
    for i in sorted(range(len(links)), key=lambda i: abs(links[i].cause - links[i].emotional)):
        start, stop = sorted(links[i][:2])
        if start == stop:
            continue
        taken = [lane for a, b, lane in placed if a < stop and start < b]
        # Outside of everything it passes, so that a longer arrow goes around the shorter ones.
        lanes[i] = max(taken, default=0) + 1
        placed.append((start, stop, lanes[i]))
    return lanes


def _ends(links: list[Link], lanes, count: int) -> list[list[tuple[int, str]]]:
    """List the arrow ends at each of `count` boxes from top to bottom, as (link index, which end).

    Arrows from above come first, inner lanes first; then rings; then arrows from below, inner lanes last. So
    arrows that meet at a box do not cross there.
    """
    ends = [[] for _ in range(count)]
    for i, (cause, emotional, *_) in enumerate(links):
        if cause == emotional:
            ends[cause].append((0, i, "own"))
            continue
        for here, there, name in ((cause, emotional, "cause"), (emotional, cause, "emotion")):
            # -1/lane orders ends from above, 1/lane ends from below.
            ends[here].append((-1 / lanes[i] if there < here else 1 / lanes[i], i, name))
    return [[(i, name) for _, i, name in sorted(box_ends)] for box_ends in ends]


def _tint(colour: str, share: float) -> tuple[float, ...]:
    """Mix `share` of a colour with white."""
    return tuple(1 - share * (1 - part) for part in to_rgb(colour))


def _draw_utterance(ax, utterance, tags, lines: list[str], top: float, height: float, right: float):
    """Draw one box: id, speaker and tags on its first line, the text below them."""
    colour = tags[0][1] if tags else GREY
    box = FancyBboxPatch(
        (MARGIN, top), right - MARGIN, height, boxstyle="round,pad=0,rounding_size=8", gid="utterance",
        facecolor=_tint(colour, 0.10 if colour == GREY else 0.16),
        edgecolor=_tint(colour, 0.75), linewidth=1.1,
    )  # fmt: skip
    ax.add_patch(box)
    first = top + (height - HEAD - len(lines) * LINE) / 2 + HEAD / 2
    left = right - 9
    for text, shade, filled in reversed(tags):
        size = width_of(text, 8.5, "bold") + 14
        left -= size
        shape = FancyBboxPatch(
            (left, first - 8), size, 15, boxstyle="round,pad=0,rounding_size=7", gid="tag" if filled else "gold",
            facecolor=shade if filled else "white", edgecolor=shade, linewidth=0 if filled else 1.2,
        )  # fmt: skip
        ax.add_patch(shape)
        red, green, blue = to_rgb(shade)
        ink = "white" if filled and 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else INK
        write(ax, left + size / 2, first - 0.5, text, fontsize=8.5, fontweight="bold", color=ink, ha="center")
        left -= 5
    number = str(utterance["utterance_ID"])
    write(ax, MARGIN + 11, first, number, fontsize=9, color=FAINT)
    x = MARGIN + 17 + width_of(number, 9)
    for name in wrap(str(utterance.get("speaker") or ""), max(left - x, 1), 9.5, 1, "bold"):
        write(ax, x, first, name, fontsize=9.5, fontweight="bold")
    for i, line in enumerate(lines):
        write(ax, MARGIN + 11, first + HEAD / 2 + (i + 0.5) * LINE, line, fontsize=TEXT_SIZE)


def _add_curve(ax, points, codes, colour, line, gid: str):
    """Draw an arrow along a path, on a wider white line, so that crossings stay readable."""
    curve = Curve(points, codes)
    ax.add_patch(PathPatch(curve, fill=False, edgecolor="white", linewidth=4.5, capstyle="butt", zorder=3))
    solid = line == "solid"  # a broken line would break the arrow's head too
    if not solid:
        style: dict = {"edgecolor": colour, "linestyle": line, "linewidth": 1.9, "capstyle": "butt"}
        ax.add_patch(PathPatch(curve, fill=False, zorder=3, **style))
    arrow = FancyArrowPatch(
        path=curve, arrowstyle="-|>,head_length=0.5,head_width=0.25", mutation_scale=11 if solid else 14,
        color=colour, linewidth=1.9 * solid, gid=gid, joinstyle="miter", capstyle="butt", zorder=3,
    )  # fmt: skip
    ax.add_patch(arrow)


def _draw_arrow(ax, x: float, start: float, stop: float, swing: float, link: Link):
    """Draw an arrow from (x, start) to (x, stop) that swings `swing` points out to the right."""
    far = x + swing
    bend = np.sign(stop - start) * min(abs(stop - start) / 2, 1.3 * swing)
    points = [
        (x + 2, start), (x + 0.65 * swing, start), (far, start + 0.35 * bend), (far, start + bend),
        (far, stop - bend), (far, stop - 0.35 * bend), (x + 0.65 * swing, stop), (x + 2, stop),
    ]  # fmt: skip
    codes = [Curve.MOVETO] + 3 * [Curve.CURVE4] + [Curve.LINETO] + 3 * [Curve.CURVE4]
    gid = link.kind if link.kind in ("missed", "weak") else "cause"
    _add_curve(ax, points, codes, link.colour, KINDS[link.kind][0], gid)


def _draw_ring(ax, x: float, y: float, link: Link, gid: str):
    """Draw the ring of an utterance that is its own cause, at (x, y) on the right side of its box."""
    gid = link.kind if link.kind in ("missed", "weak") else gid
    style: dict = {"edgecolor": link.colour, "linestyle": KINDS[link.kind][0], "linewidth": 2.2}
    ax.add_patch(Circle((x, y), 4, facecolor="white", gid=gid, zorder=4, **style))


def _words(kind: str, ring: bool) -> str:
    return "the utterance is its own cause" if ring else "wrong, and beside it gold" if kind == "✗" else KINDS[kind][1]


def _key(links: list[Link], crosses: bool, room: float) -> list[list[tuple[float, str, bool]]]:
    """The lines of the key, which explains what the picture has: (x, kind of line or "✗", whether it is the ring)."""
    kinds = {link.kind for link in links}
    rings = [link for link in links if link.cause == link.emotional]
    items = [(kind, False) for kind in KINDS if kind in kinds and (kind != "cause" or len(rings) < len(links))]
    items += [("cause", True)] if rings else []
    items += [("✗", False)] if crosses else []
    lines, x = [[]], MARGIN
    for kind, ring in items:
        wide = 34 + width_of(_words(kind, ring), 9) + 16
        if lines[-1] and x + wide > room + MARGIN:
            lines, x = [*lines, []], MARGIN
        lines[-1].append((x, kind, ring))
        x += wide
    return [line for line in lines if line]


def _draw_key(ax, x: float, y: float, kind: str, ring: bool):
    """One kind of mark with its words."""
    if ring:
        _draw_ring(ax, x + 13, y, Link(0, 0, FAINT, "cause"), "key")
    elif kind == "✗":
        write(ax, x + 13, y, "✗", fontsize=10, fontweight="bold", color=FAINT, ha="center")
    else:
        _add_curve(ax, [(x, y), (x + 26, y)], [Curve.MOVETO, Curve.LINETO], FAINT, KINDS[kind][0], "key")
    write(ax, x + 33, y, _words(kind, ring), fontsize=9, color=FAINT)
