"""The stream `face`: where the largest face of a picture is, and what it does, in 17 numbers. OpenCV and numpy.

    face(frames(path, PICTURES, SIDE))          # (17,), float32, in the order of NUMBERS; None where no face is found

Faces, eyes and smiles are found by cascades of Haar features (Viola and Jones, CVPR 2001). OpenCV's packages hold them,
up to version 4: code under Apache-2.0, cascades under the Intel License and the Contributors License, both of three
clauses, as BSD's. They find faces that look towards the camera. OpenCV is optional: check_finder().
"""

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.system.errors import PlaceError

PICTURES, SIDE = 16, 320  # of a film; pixels of the longer side
CASCADES = {"face": "frontalface_default", "eye": "eye", "smile": "smile"}
SMALLEST = 1 / 16  # of a face, as a share of the picture's longer side
CROP = 160  # pixels of a face's side when it is looked at
AGREE = {"face": 5, "eye": 3, "smile": 15}  # how many windows that overlap make a find

# Of the largest face of each picture, from left and top. Brightness is 0.299 red + 0.587 green + 0.114 blue, from 0 to
# 1; the upper half of a face has brows and eyes, the lower one the mouth. A face that is seen once moves by 0.
NUMBERS = {
    "face_share": "share of the pictures that have a face",
    "faces": "faces a picture, mean",
    "width": "of the largest face, as a share of the picture's longer side, mean",
    "width_change": "standard deviation of the width",
    "across": "middle of the face, 0 left to 1 right, mean",
    "down": "middle of the face, 0 top to 1 bottom, mean",
    "movement": "way of the middle from a face to the next, in widths of a face, mean",
    "eyes_share": "share of faces in which two eyes are found: open, and towards the camera",
    "smile_share": "share of faces in which a smile is found",
    "brightness": "of the face, mean",
    "contrast": "standard deviation of the brightness in the face, mean",
    "redness": "red less the mean of green and blue, -1 to 1, mean",
    "asymmetry": "absolute difference of a pixel's brightness and its mirror image's, mean",
    "upper_detail": "absolute change of brightness from a row or column to the next, upper half, mean",
    "lower_detail": "the same of the lower half",
    "upper_motion": "change of a pixel's brightness at a face's place to the next picture with one, upper half, mean",
    "lower_motion": "the same of the lower half",
}


class _Face(NamedTuple):
    """The largest face of a picture.

    picture  (height, width, 3), uint8
    count    how many faces the picture has
    box      left, top, width, height
    pixels   (CROP, CROP, 3) of the face, from 0 to 1
    """

    picture: np.ndarray
    count: int
    box: tuple[int, ...]
    eyes: bool
    smile: bool
    pixels: np.ndarray

    @property
    def middle(self) -> np.ndarray:
        """Across and down, in pixels."""
        left, top, width, height = self.box
        return np.array([left + width / 2, top + height / 2])


def check_finder() -> None:
    """Raises PlaceError where OpenCV or its cascades are missing."""
    found = importlib.util.find_spec("cv2")
    folder = Path(found.origin or "").parent / "data" if found else None
    if folder is None or not all((folder / _file(name)).is_file() for name in CASCADES):
        what = "OpenCV, which finds faces, is missing" if folder is None else "this OpenCV has no cascades"
        raise PlaceError(f"{what}: pip install -c constraints.txt opencv-python-headless")


def face(pictures: Sequence[np.ndarray]) -> np.ndarray | None:
    """(17,) float32: the numbers of pictures (height, width, 3) of uint8, of one film in its order, or a single one;
    None where no picture has a face."""
    found = [one for picture in pictures if (one := _largest(picture))]
    if not found:
        return None
    both, half = [*zip(found, found[1:])], CROP // 2
    ways = [np.hypot(*(b.middle - a.middle)) / max(a.box[2], b.box[2]) for a, b in both] or [0.0]
    # At the place of the first: that of a box differs by some pixels, though nothing moves.
    moves = np.array([_grey(_crop(b.picture, a.box)) - _grey(a.pixels) for a, b in both] or [np.zeros((CROP, CROP))])
    moves, pixels = np.abs(moves), np.array([one.pixels for one in found])
    grey = _grey(pixels)
    across, down = np.mean([one.middle / one.picture.shape[1::-1] for one in found], 0)
    widths = [one.box[2] / max(one.picture.shape) for one in found]
    down_up, left_right = np.abs(np.diff(grey, axis=1)), np.abs(np.diff(grey, axis=2))
    numbers = [
        len(found) / len(pictures),
        sum(one.count for one in found) / len(pictures),
        np.mean(widths),
        np.std(widths),
        across,
        down,
        np.mean(ways),
        np.mean([one.eyes for one in found]),
        np.mean([one.smile for one in found]),
        grey.mean(),
        grey.std((1, 2)).mean(),
        (pixels[..., 0] - pixels[..., 1:].mean(-1)).mean(),
        np.abs(grey - grey[:, :, ::-1]).mean(),
        (down_up[:, :half].mean() + left_right[:, :half].mean()) / 2,
        (down_up[:, half:].mean() + left_right[:, half:].mean()) / 2,
        moves[:, :half].mean(),
        moves[:, half:].mean(),
    ]
    return np.array(numbers, np.float32)


def _largest(picture: np.ndarray) -> _Face | None:
    """The largest face of a picture; None where none is found."""
    import cv2

    grey = cv2.equalizeHist(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY))
    least = max(24, round(SMALLEST * max(grey.shape)))
    faces = _found("face", grey, (least, least))
    if not len(faces):
        return None
    box = max(faces, key=lambda one: (one[2], *one))
    small = np.round(_crop(grey, box) * 255).astype(np.uint8)
    eyes, smiles = _found("eye", small[: CROP * 5 // 8]), _found("smile", small[CROP // 2 :])
    return _Face(picture, len(faces), box, len(eyes) > 1, len(smiles) > 0, _crop(picture, box))


def _crop(picture: np.ndarray, box: tuple[int, ...]) -> np.ndarray:
    """(CROP, CROP, ...) from 0 to 1: what is in a box of a picture."""
    import cv2

    left, top, width, height = box
    here = picture[top : top + height, left : left + width]
    return cv2.resize(here, (CROP, CROP), interpolation=cv2.INTER_AREA) / 255


def _grey(pixels: np.ndarray) -> np.ndarray:
    return pixels @ np.array([0.299, 0.587, 0.114])


def _found(what: str, grey: np.ndarray, least: tuple[int, int] = (0, 0)) -> list[tuple[int, ...]]:
    """(left, top, width, height) of each find in a picture (height, width) of uint8."""
    return [tuple(map(int, one)) for one in _cascade(what).detectMultiScale(grey, 1.1, AGREE[what], minSize=least)]


@functools.cache
def _cascade(what: str) -> Any:
    import cv2
    from cv2 import data

    cv2.setNumThreads(1)  # clips are read side by side
    return cv2.CascadeClassifier(f"{data.haarcascades}{_file(what)}")


def _file(what: str) -> str:
    return f"haarcascade_{CASCADES[what]}.xml"
