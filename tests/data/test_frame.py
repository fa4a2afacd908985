"""The numbers of pictures are what was painted.

python -m pytest tests/data/test_frame.py
"""

import numpy as np
import pytest
from made_clips import plain

from utils.data.frame import HUES, NUMBERS, frame

COLOURS = {
    "red": (255, 0, 0), "yellow": (255, 255, 0), "green": (0, 255, 0), "cyan": (0, 255, 255), "blue": (0, 0, 255),
    "magenta": (255, 0, 255),
}  # fmt: skip


def numbers(pictures):
    found = frame(pictures)
    assert found.dtype == np.float32 and found.shape == (13,) and np.isfinite(found).all()
    return dict(zip(NUMBERS, found.tolist(), strict=True))


@pytest.mark.parametrize("hue", HUES)
def test_a_colour_is_in_its_sixth_of_the_circle(hue):
    found = numbers([plain(*COLOURS[hue])])
    assert {name: found[f"{name}_share"] for name in HUES} == {name: float(name == hue) for name in HUES}
    assert found["saturation"] == 1 and found["contrast"] == pytest.approx(0, abs=1e-6)


def test_grey_has_no_colour_and_a_picture_no_motion():
    found = numbers([plain(128, 128, 128)])
    assert found["brightness"] == pytest.approx(128 / 255, abs=1e-6)
    assert [value for name, value in found.items() if name != "brightness"] == pytest.approx([0] * 12, abs=1e-6)


def test_colourfulness_is_that_of_its_paper():
    """Half red, half green: rg is 1 and -1, yb 0.5; sqrt(1) + 0.3 * 0.5."""
    picture = np.concatenate([plain(255, 0, 0), plain(0, 255, 0)])
    assert numbers([picture])["colourfulness"] == pytest.approx(1 + 0.3 * 0.5, abs=1e-4)


def test_motion_is_the_change_from_a_picture_to_the_next():
    film = [plain(0, 0, 0), plain(51, 51, 51), plain(51, 51, 51)]
    found = numbers(film)
    assert found["motion_mean"] == pytest.approx(0.1, abs=1e-6) and found["motion_high"] == pytest.approx(0.2, abs=1e-6)
    assert found["change"] == pytest.approx(np.std([0, 0.2, 0.2]), abs=1e-6)
    half = np.concatenate([plain(255, 255, 255, width=32), plain(0, 0, 0, width=32)], axis=1)
    assert numbers([half])["contrast"] == pytest.approx(0.5, abs=1e-6)
