"""Text in pictures: measured, broken into lines, and without the boxes that a font draws for what it lacks."""

import unicodedata
from functools import cache

from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import text_to_path

INK = "#24292F"


@cache
def _letters(weight: str) -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(weight=weight))).get_charmap())


def readable(text: str, weight: str = "normal") -> str:
    """`text` in characters that the font has: an emoji becomes its name, as in "[cat]", another letter "?" (twice where
    it is wide), what only changes the character before it nothing. Needs no font but matplotlib's own."""
    there = _letters(weight)
    return "".join(one if ord(one) in there else _named(one) for one in text)


def _named(one: str) -> str:
    kind = unicodedata.category(one)
    if kind in ("So", "Sm", "Sc"):
        return f"[{unicodedata.name(one, 'symbol').lower()}]"
    if kind in ("Mn", "Me", "Cf", "Cc", "Sk"):
        return ""
    return "??" if unicodedata.east_asian_width(one) in "WF" else "?"


def write(ax, x: float, y: float, text: str, **style):
    """Write plain text at a point, vertically centred; a '$' stays a '$'. The artist's label is the text as it was
    given, which a browser can show where the font cannot."""
    style = {"va": "center_baseline", "color": INK, **style}
    return ax.text(x, y, readable(text, style.get("fontweight", "normal")), label=text, parse_math=False, **style)


def width(text: str, size: float, weight: str = "normal") -> float:
    """Width of plain text in points."""
    font = FontProperties(size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(readable(text, weight), font, ismath=False)[0]


def wrap(text: str, room: float, size: float, most: int, weight: str = "normal") -> list[str]:
    """Break text into at most `most` lines of at most `room` points; the rest becomes an ellipsis."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if width(longer, size, weight) <= room:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:  # only a word wider than a whole line is broken
            if lines[-1] and width(lines[-1] + letter, size, weight) > room:
                lines.append("")
                if len(lines) > most:
                    break
            lines[-1] += letter
        if len(lines) > most:
            break
    if len(lines) > most:
        last = lines[most - 1]
        while last and width(last + "…", size, weight) > room:
            last = last.rpartition(" ")[0] or last[:-1]
        lines = lines[: most - 1] + [last.rstrip(" ,.;:") + "…"]
    return lines
