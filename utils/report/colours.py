"""A colour for every label of any label set."""

import colorsys

from utils.data.labels import ECF, LabelSet

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
GOLDEN = 0.618  # of the circle of hues: each next one falls into the widest gap


def colours(labels: LabelSet = ECF) -> dict[str, str]:
    """{label: "#RRGGBB"}, different ones. ECF's seven have their own in every label set, the neutral label is grey; the
    others have what is left of the palette, and from then on hues far from each other."""
    found = {label: COLOURS[label] for label in labels if label in COLOURS}
    found |= {labels.neutral: COLOURS["neutral"]} if labels.neutral else {}
    left = [colour for colour in COLOURS.values() if colour not in found.values() and colour != COLOURS["neutral"]]
    others = [label for label in labels if label not in found]
    for number, label in enumerate(others):
        red, green, blue = colorsys.hls_to_rgb(number * GOLDEN % 1, (0.42, 0.6)[number // 9 % 2], 0.55)
        made = f"#{round(255 * red):02X}{round(255 * green):02X}{round(255 * blue):02X}"
        found[label] = left[number] if number < len(left) else made
    return found
