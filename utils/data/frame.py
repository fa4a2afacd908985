"""The stream `frame`: colour and motion of a picture or a film, in 13 numbers. numpy.

frame(frames(path, PICTURES, SIDE))           # (13,), float32, in the order of NUMBERS
"""

from collections.abc import Sequence

import numpy as np

PICTURES, SIDE = 32, 128  # of a film; pixels of the longer side
HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")  # sixths of the circle of hues, each around its name

# Brightness is 0.299 red + 0.587 green + 0.114 blue, from 0 to 1. A picture moves and changes by 0.
NUMBERS = {
    "brightness": "mean, 0 black to 1 white",
    "contrast": "standard deviation of the brightness in a picture, mean over pictures",
    "saturation": "mean, 0 grey to 1",
    "colourfulness": "Hasler and Süsstrunk, SPIE 5007, 2003; of values from 0 to 1",
    **{f"{hue}_share": f"share of {hue}, pixels weighted by their colour; 0 in grey pictures" for hue in HUES},
    "change": "standard deviation of the pictures' brightness",
    "motion_mean": "absolute change of a pixel's brightness from a picture to the next, mean",
    "motion_high": "the same between the two pictures that differ most",
}


def frame(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """(13,) float32: the numbers of pictures (height, width, 3) of uint8, of one film in its order, or a single one."""
    each = np.array([_colours(one / 255) for one in pictures])
    grey = [_brightness(one / 255) for one in pictures]
    alike = (both for both in zip(grey, grey[1:]) if both[0].shape == both[1].shape)
    moves = [float(np.abs(after - before).mean()) for before, after in alike] or [0.0]
    found = [*each.mean(0), each[:, 0].std(), np.mean(moves), max(moves)]
    return np.array(found, np.float32)


def _brightness(picture: np.ndarray) -> np.ndarray:
    return picture @ np.array([0.299, 0.587, 0.114])


def _colours(picture: np.ndarray) -> list[float]:
    """The numbers of one picture, values from 0 to 1: from brightness to the shares of hues."""
    grey, pixels = _brightness(picture), picture.reshape(-1, 3)
    red, green, blue = pixels.T
    high, chroma = pixels.max(1), np.ptp(pixels, 1)
    first, second = red - green, (red + green) / 2 - blue
    colourful = np.hypot(first.std(), second.std()) + 0.3 * np.hypot(first.mean(), second.mean())
    # The hue as an angle in the plane of chroma; a sixth has its middle at its name's colour.
    hue = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue) / (2 * np.pi)
    sixth = np.round(hue * 6).astype(int) % 6
    shares = np.bincount(sixth, chroma, 6) / max(float(chroma.sum()), 1e-9)
    saturation = (chroma / np.maximum(high, 1e-9)).mean()
    return [grey.mean(), grey.std(), saturation, colourful, *shares]
