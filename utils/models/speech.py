"""Speech from text: eSpeak NG, by the library in the package espeakng-loader.

    speaker = Speaker()
    samples = speaker.say("It is fine.", Manner(pitch=40, range=20, rate=140, loudness=70), voice="en+f3")

eSpeak NG is under the GPL, version 3 or later. It is optional, and nothing of it is part of this repository.
"""

import ctypes
import importlib.util
import random
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from utils.system.errors import ModelError, PlaceError

VOICES = ("en+m1", "en+f2", "en+m3", "en+f3", "en+m7", "en+f5")  # of the speakers of a conversation, in turn
SYNCHRONOUS, UTF_8 = 2, 1  # eSpeak NG's constants (espeak-ng/speak_lib.h)


@dataclass(frozen=True)
class Manner:
    """How something is said.

    pitch, range   0 to 99: how high, and how much it moves
    rate           words a minute, 80 to 450
    loudness       0 to 200, 100 is eSpeak NG's own
    """

    pitch: float
    range: float
    rate: float
    loudness: float

    def varied(self, dice: random.Random) -> "Manner":
        """One near it, so that the manners of two emotions overlap: standard deviations of SPREAD."""
        pitch, width, rate, loudness = (
            dice.gauss(mean, spread)
            for mean, spread in zip((self.pitch, self.range, self.rate, self.loudness), SPREAD, strict=True)
        )
        return Manner(_within(pitch, 0, 99), _within(width, 0, 99), _within(rate, 80, 450), _within(loudness, 20, 180))


SPREAD = (8, 10, 12, 12)

# High, quick and loud where one is aroused, low, slow and soft where one is not (Scherer, Speech Communication 40,
# 2003). Chosen, not measured: an actor of a machine.
MANNERS: Mapping[str, Manner] = {
    "neutral": Manner(45, 45, 165, 95),
    "anger": Manner(50, 60, 195, 140),
    "disgust": Manner(38, 35, 145, 100),
    "fear": Manner(70, 40, 205, 75),
    "joy": Manner(65, 75, 185, 115),
    "sadness": Manner(35, 20, 135, 65),
    "surprise": Manner(75, 90, 175, 110),
}


class Speaker:
    """eSpeak NG's library, loaded once. `rate`: samples a second of what it says."""

    def __init__(self):
        """Raises PlaceError where espeakng-loader is missing, ModelError where its library cannot be used."""
        if importlib.util.find_spec("espeakng_loader") is None:
            raise PlaceError("eSpeak NG, which speaks, is missing: pip install -c constraints.txt espeakng-loader")
        import espeakng_loader

        try:
            self.library = ctypes.CDLL(espeakng_loader.get_library_path())
            self.rate = self.library.espeak_Initialize(SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
        except (OSError, AttributeError) as error:
            raise ModelError(f"eSpeak NG cannot be loaded ({error}). Install espeakng-loader again") from error
        if self.rate <= 0:
            raise ModelError("eSpeak NG finds no data of its own. Install espeakng-loader again")
        self.heard: list[np.ndarray] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self.take = kind(self._take)  # as long as the library may call it
        self.library.espeak_SetSynthCallback(self.take)

    def _take(self, samples, count: int, events) -> int:
        if samples and count:
            self.heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, manner: Manner, voice: str = "en") -> np.ndarray:
        """(n,) int16 at `rate` samples a second; the same words may differ a little from call to call. Raises
        ModelError for a voice that is not there, and for text that has no sound."""
        if self.library.espeak_SetVoiceByName(voice.encode()):
            raise ModelError(f"eSpeak NG has no voice {voice}")
        # espeakRATE, espeakVOLUME, espeakPITCH and espeakRANGE
        for number, value in enumerate((manner.rate, manner.loudness, manner.pitch, manner.range), 1):
            self.library.espeak_SetParameter(number, round(value), 0)
        self.heard.clear()
        spoken = text.encode() + b"\0"
        self.library.espeak_Synth(spoken, ctypes.c_size_t(len(spoken)), 0, 0, 0, UTF_8, None, None)
        self.library.espeak_Synchronize()
        samples = np.concatenate(self.heard) if self.heard else np.zeros(0, np.int16)
        if not samples.any():
            raise ModelError(f"eSpeak NG says nothing for {text[:40]!r}")
        return samples


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
