"""The numbers of faces are what was drawn.

python -m pytest tests/data/test_face.py
"""

import importlib.util

import numpy as np
import pytest
from drawn_face import drawn_face

from utils.data import face as module
from utils.data.face import CASCADES, NUMBERS, check_finder, face
from utils.system.errors import PlaceError

NOBODY = np.zeros((240, 320, 3), np.uint8)


def numbers(*pictures):
    pytest.importorskip("cv2")
    found = face(pictures)
    assert found.dtype == np.float32 and found.shape == (17,) and np.isfinite(found).all()
    return dict(zip(NUMBERS, found.tolist(), strict=True))


def test_a_face_is_where_it_was_drawn():
    for middle, size in (((0.5, 0.5), 0.3), ((0.35, 0.45), 0.3), ((0.6, 0.5), 0.4)):
        found = numbers(drawn_face(middle=middle, size=size))
        assert (found["across"], found["down"]) == pytest.approx(middle, abs=0.05)
        assert found["width"] == pytest.approx(2 * size * 0.75, rel=0.25)  # a share of the longer side
        assert (found["face_share"], found["faces"], found["movement"], found["upper_motion"]) == (1, 1, 0, 0)


def test_eyes_smiles_and_light_are_seen():
    calm = numbers(drawn_face())
    assert (calm["eyes_share"], calm["smile_share"]) == (1, 1)
    assert numbers(drawn_face(eyes=False))["eyes_share"] == 0 == numbers(drawn_face(smile=False))["smile_share"]
    dark = numbers(drawn_face(light=0.5))
    for name in ("brightness", "contrast", "redness"):
        assert dark[name] == pytest.approx(calm[name] / 2, rel=0.1)
    grey = drawn_face().mean(-1, keepdims=True).repeat(3, -1).astype(np.uint8)
    assert numbers(grey)["redness"] == 0


def test_a_mouth_that_opens_moves_the_lower_half():
    """And where pictures are of nobody, the faces of the others count."""
    found = numbers(drawn_face(), drawn_face(gape=0.25), NOBODY, drawn_face(gape=0.25))
    assert (found["face_share"], found["smile_share"]) == (0.75, pytest.approx(1 / 3))
    assert found["lower_motion"] > 1.5 * found["upper_motion"] and found["movement"] < 0.05
    still = numbers(*[drawn_face()] * 3)
    assert still["lower_motion"] == still["movement"] == still["width_change"] == 0


def test_a_face_that_goes_to_the_side_moves_by_its_widths():
    found = numbers(drawn_face(middle=(0.4, 0.5)), drawn_face(middle=(0.6, 0.5)))
    assert found["movement"] == pytest.approx(0.2 / found["width"], rel=0.15)


def test_where_nobody_is_no_face_is_found():
    pytest.importorskip("cv2")
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    assert face([NOBODY]) is None and face([noise, NOBODY]) is None and face([NOBODY[:9, :9]]) is None


def test_an_opencv_without_cascades_is_named(monkeypatch, tmp_path):
    """So is version 5's."""

    class Found:
        origin = str(tmp_path / "cv2" / "__init__.py")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: Found)
    with pytest.raises(PlaceError, match="this OpenCV has no cascades: pip install -c constraints.txt opencv-python-h"):
        check_finder()
    (tmp_path / "cv2" / "data").mkdir(parents=True)
    for name in CASCADES.values():
        (tmp_path / "cv2" / "data" / f"haarcascade_{name}.xml").touch()
    check_finder()
    assert module.face is face
