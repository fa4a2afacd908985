"""The synthesiser says what it is told, in the manner that it is told. All by its own sound.

python -m pytest tests/models/test_speech.py
"""

import random
from dataclasses import replace

import numpy as np
import pytest

from utils.data.labels import ECF
from utils.data.voice import NUMBERS, voice
from utils.models.speech import MANNERS, VOICES, Manner, Speaker
from utils.system.errors import ModelError, PlaceError

TEXT, PLAIN = "Guess who passed the examination.", Manner(45, 45, 165, 80)


@pytest.fixture(scope="module")
def speaker():
    pytest.importorskip("espeakng_loader")
    return Speaker()


def numbers(speaker, manner, voice_name="en"):
    samples = speaker.say(TEXT, manner, voice_name)
    assert samples.dtype == np.int16
    times = np.arange(0, len(samples), speaker.rate / 16_000)
    return dict(zip(NUMBERS, voice(np.interp(times, np.arange(len(samples)), samples / 32768).astype(np.float32))))


def test_pitch_rate_and_loudness_are_heard(speaker):
    plain = numbers(speaker, PLAIN)
    assert numbers(speaker, replace(PLAIN, pitch=80))["pitch_median"] > plain["pitch_median"] + 2
    assert numbers(speaker, replace(PLAIN, rate=250))["duration"] < 0.8 * plain["duration"]
    assert numbers(speaker, replace(PLAIN, loudness=40))["level_median"] < plain["level_median"] - 3
    wide, flat = (numbers(speaker, replace(PLAIN, range=width)) for width in (90, 5))
    assert wide["pitch_high"] - wide["pitch_low"] > flat["pitch_high"] - flat["pitch_low"] + 1


def test_every_voice_is_there_and_women_speak_higher(speaker):
    pitches = {name: numbers(speaker, PLAIN, name)["pitch_median"] for name in VOICES}
    high, low = ([pitch for name, pitch in pitches.items() if name.startswith(f"en+{kind}")] for kind in "fm")
    assert np.mean(high) > np.mean(low) + 3
    with pytest.raises(ModelError, match="no voice nowhere"):
        speaker.say(TEXT, PLAIN, "nowhere")
    with pytest.raises(ModelError, match="says nothing for '   '"):
        speaker.say("   ", PLAIN)


def test_every_emotion_has_a_manner_and_manners_overlap():
    assert {*MANNERS} == {*ECF}
    dice = random.Random(0)
    drawn = {name: [manner.varied(dice).pitch for _ in range(200)] for name, manner in MANNERS.items()}
    assert max(drawn["sadness"]) > min(drawn["surprise"])
    for name, manner in MANNERS.items():
        assert np.mean(drawn[name]) == pytest.approx(manner.pitch, abs=3)
    extreme = [Manner(0, 99, 80, 200).varied(dice) for _ in range(100)]
    assert all(0 <= m.pitch <= 99 and 0 <= m.range <= 99 and m.rate >= 80 and m.loudness <= 180 for m in extreme)


def test_a_missing_synthesiser_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PlaceError, match="pip install -c constraints.txt espeakng-loader"):
        Speaker()
