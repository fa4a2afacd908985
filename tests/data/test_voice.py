"""The numbers of a voice are what was put into the sound.

python -m pytest tests/data/test_voice.py
"""

import numpy as np
import pytest
from made_clips import RATE, tone

from utils.data.voice import NUMBERS, voice


def numbers(sound):
    found = voice(np.asarray(sound, np.float32))
    assert found.dtype == np.float32 and found.shape == (31,) and np.isfinite(found).all()
    return dict(zip(NUMBERS, found.tolist(), strict=True))


def noise(seconds=1.0, loudness=0.1, seed=0):
    return np.random.default_rng(seed).normal(size=round(seconds * RATE)) * loudness


@pytest.mark.parametrize("hertz", [75, 110, 161.3, 220, 330, 440])
@pytest.mark.parametrize("loudness", [0.01, 0.5])
def test_the_pitch_of_a_tone_is_found_to_a_tenth_of_a_semitone(hertz, loudness):
    found = numbers(tone(hertz, loudness=loudness) + noise(loudness=loudness / 50))
    wanted = 12 * np.log2(hertz / 55)
    assert [found[f"pitch_{one}"] for one in ("median", "low", "high")] == pytest.approx([wanted] * 3, abs=0.1)
    assert found["voiced_share"] > 0.95 and found["harmonicity"] > 0.95
    assert found["pitch_slope"] == pytest.approx(0, abs=0.2) and found["pitch_step"] < 0.1


def test_a_pitch_that_rises_an_octave_in_a_second_rises_twelve_semitones():
    found = numbers(tone(110 * 2 ** np.linspace(0, 1, RATE)))
    assert found["pitch_slope"] == pytest.approx(12, abs=0.3)
    assert found["pitch_step"] == pytest.approx(0.12, abs=0.02)
    assert found["pitch_high"] - found["pitch_low"] == pytest.approx(12 * 0.6 * 0.936, abs=0.1)  # frames are 64 ms long


def test_noise_has_no_pitch_and_a_flat_spectrum():
    found = numbers(noise(8))
    assert found["voiced_share"] < 0.05
    assert found["centroid"] == pytest.approx(4000, abs=150) and found["rolloff"] == pytest.approx(6800, abs=200)
    # Half an octave more has sqrt(2) as many Hz: 1.5 dB.
    bands = [found[f"band_{number + 1}"] for number in range(12)]
    assert np.diff(bands[4:]) == pytest.approx([1.505] * 7, abs=0.4)
    assert bands[-1] == pytest.approx(10 * np.log10(1 - 2**-0.5), abs=0.2)


def test_levels_are_decibels_of_full_scale():
    """A sine of amplitude 1 has a mean square of a half: -3 dB."""
    one, tenth = (numbers(tone(200, loudness=x, harmonics=1)) for x in (1, 0.1))
    assert one["level_median"] == pytest.approx(-3.01, abs=0.1) and tenth["level_median"] == pytest.approx(
        -23.01, abs=0.1
    )
    same = {name: value for name, value in one.items() if not name.startswith("level_")}
    assert same == pytest.approx({name: tenth[name] for name in same}, abs=0.05)
    fading = numbers(tone(200, 2) * 10 ** (-np.linspace(0, 1, 2 * RATE)))
    assert fading["level_slope"] == pytest.approx(-10, abs=0.3)


def test_syllables_and_pauses_are_counted():
    burst = tone(180, 0.15) * np.hanning(round(0.15 * RATE))
    spoken = np.concatenate([np.concatenate([burst, np.zeros(round(0.1 * RATE))])] * 8)
    found = numbers(spoken)
    assert found["syllables"] == pytest.approx(4, abs=0.51) and found["duration"] == pytest.approx(2)
    assert 0.2 < found["pause_share"] < 0.6
    assert numbers(tone(180, 2))["pause_share"] == 0 and numbers(tone(180, 2))["syllables"] < 1.1


@pytest.mark.parametrize("seconds", [0.1, 0.5, 3, 25])
def test_any_length_has_finite_numbers(seconds):
    """25 seconds are computed in three pieces, and are what one piece would be."""
    found = numbers(tone(150, seconds) + noise(seconds, 0.01))
    assert found["pitch_median"] == pytest.approx(12 * np.log2(150 / 55), abs=0.1)
    assert found["duration"] == pytest.approx(seconds, abs=1e-3)


def test_a_click_in_silence_has_finite_numbers():
    click = np.zeros(RATE)
    click[8000] = 0.5
    assert numbers(click)["voiced_share"] == 0
