"""The stream `voice`: what a voice does, in 31 numbers with units, from the sound alone. numpy and scipy.

    voice(sound(path))              # (31,), float32, in the order of NUMBERS

Frames of 64 ms, one every 10 ms. Pitch is the strongest peak of the autocorrelation, over that of the window (Boersma,
IFA Proceedings 17, 1993, without its search for a path). Numbers follow eGeMAPS where it has them (Eyben et al., IEEE
Transactions on Affective Computing 7, 2016); peaks of the level count syllables (de Jong and Wempe, Behavior Research
Methods 41, 2009).
"""

import numpy as np

from utils.data.clips import RATE

LENGTH, HOP, LOWEST, HIGHEST = 1024, 160, 60, 500  # samples a frame and between two; Hz
VOICED, OCTAVE = 0.45, 0.01  # Boersma's thresholds: of a voice, and against the octave below
PAUSE, DIP = 25.0, 2.0  # dB below the loud frames; between two syllables
BANDS = 12  # half octaves, below 8,000 Hz
PIECE = 1000  # frames that are computed at once

# Pitch is 0 where no frame has one: voiced_share tells. Slopes are those of the straight line of least squares.
NUMBERS = {
    "duration": "seconds",
    "voiced_share": "share of the frames that have a pitch",
    "pitch_median": "semitones above 55 Hz",
    "pitch_low": "semitones above 55 Hz, 20th percentile",
    "pitch_high": "semitones above 55 Hz, 80th percentile",
    "pitch_slope": "semitones a second",
    "pitch_step": "semitones from a frame to the next, mean of the absolute values",
    "level_median": "dB, 0 is full scale, frames without pauses",
    "level_low": "dB, 20th percentile",
    "level_high": "dB, 80th percentile",
    "level_slope": "dB a second",
    "level_step": "dB from a frame to the next, mean of the absolute values",
    "pause_share": "share of the frames 25 dB below the loud ones (95th percentile)",
    "syllables": "peaks of the level a second",
    "centroid": "Hz, mean of the spectra's centres",
    "centroid_spread": "Hz, standard deviation of the same",
    "rolloff": "Hz, below which 85 % of the power lie, mean",
    "tilt": "dB, 50 to 1,000 Hz above 1,000 to 5,000 Hz (eGeMAPS: alpha ratio)",
    "harmonicity": "height of the autocorrelation's peak, mean of the frames that have a pitch",
    **{
        f"band_{number + 1}": f"dB, {8000 * 2 ** ((number - BANDS) / 2):,.0f} to "
        f"{8000 * 2 ** ((number + 1 - BANDS) / 2):,.0f} Hz, of the whole"
        for number in range(BANDS)
    },
}


def voice(sound: np.ndarray) -> np.ndarray:
    """(31,) float32: the numbers of a sound (n,) at RATE samples a second, of a frame or more, not silent."""
    from scipy.signal import find_peaks

    power, pitch, height = (np.concatenate(parts) for parts in zip(*map(_measured, _pieces(sound))))
    level = _db(power.sum(1))
    loud = level > np.percentile(level, 95) - PAUSE
    pitch = np.where(loud, pitch, np.nan)
    voiced, seconds = np.isfinite(pitch), np.arange(len(level)) * HOP / RATE
    semitones = 12 * np.log2(pitch / 55)
    heard, total = power[loud], np.maximum(power[loud].sum(1), 1e-12)
    hertz = np.arange(power.shape[1]) * RATE / 2 / (power.shape[1] - 1)
    centroids = heard @ hertz / total
    below = np.argmax(np.cumsum(heard, 1) >= 0.85 * total[:, None], 1)
    smooth = np.convolve(np.pad(level, 3, "edge"), np.ones(7) / 7, "valid")
    peaks, _ = find_peaks(np.where(loud, smooth, smooth.min()), prominence=DIP)
    edges = 8000 * 2 ** ((np.arange(BANDS + 1) - BANDS) / 2)
    bands = [heard[:, (hertz >= low) & (hertz < high)].sum() for low, high in zip(edges, edges[1:])]
    ratio = heard[:, (hertz >= 50) & (hertz < 1000)].sum(), heard[:, (hertz >= 1000) & (hertz < 5000)].sum()
    found = [
        len(sound) / RATE,
        voiced.mean(),
        *(np.nanpercentile(semitones, [50, 20, 80]) if voiced.any() else (0, 0, 0)),
        _slope(seconds[voiced], semitones[voiced]),
        _step(semitones),
        *np.percentile(level[loud], [50, 20, 80]),
        _slope(seconds[loud], level[loud]),
        _step(np.where(loud, level, np.nan)),
        1 - loud.mean(),
        len(peaks) / (len(sound) / RATE),
        centroids.mean(),
        centroids.std(),
        hertz[below].mean(),
        _db(ratio[0] / total.sum()) - _db(ratio[1] / total.sum()),
        height[voiced].mean() if voiced.any() else 0,
        *_db(np.array(bands) / total.sum()),
    ]
    return np.array(found, np.float32)


def _pieces(sound: np.ndarray):
    """The frames of a sound, some at a time: (up to PIECE, LENGTH). What is behind the last whole frame is left out."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(sound, (0, max(0, LENGTH - len(sound)))), LENGTH)[::HOP]
    return (windows[start : start + PIECE] for start in range(0, len(windows), PIECE))


def _measured(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(power (frames, LENGTH + 1), whose sum is the mean square of the frame; pitch in Hz or NaN (frames,); the height
    of its peak) of some frames."""
    window = np.hanning(LENGTH)
    spectra = np.abs(np.fft.rfft((windows - windows.mean(1, keepdims=True)) * window, 2 * LENGTH)) ** 2
    lags = np.arange(RATE // HIGHEST - 1, RATE // LOWEST + 2)
    of_window = np.fft.irfft(np.abs(np.fft.rfft(window, 2 * LENGTH)) ** 2)
    signal = np.fft.irfft(spectra)
    signal = signal / np.maximum(signal[:, :1], 1e-12)
    heights = signal[:, lags] / (of_window[lags] / of_window[0])
    inner = heights[:, 1:-1] - OCTAVE * np.log2(lags[1:-1] * LOWEST / RATE)
    peaks = (heights[:, 1:-1] >= heights[:, :-2]) & (heights[:, 1:-1] > heights[:, 2:])
    best = np.argmax(np.where(peaks, inner, -np.inf), 1) + 1
    rows = np.arange(len(best))
    left, top, right = (heights[rows, best + shift] for shift in (-1, 0, 1))
    bend = left - 2 * top + right
    shift = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, 1), 0)
    pitch = np.where(peaks.any(1) & (top >= VOICED), RATE / (lags[best] + shift), np.nan)
    # Parseval: both halves of the spectrum, over the power of the window.
    doubled = np.full(LENGTH + 1, 2.0)
    doubled[[0, -1]] = 1
    return spectra * doubled / (2 * LENGTH * (window**2).sum()), pitch, top


def _db(power):
    """Decibels of a power, not below -120."""
    return 10 * np.log10(np.maximum(power, 1e-12))


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    """Of the straight line of least squares; 0 through fewer than two points."""
    return float(np.polyfit(x, y, 1)[0]) if len(x) > 1 else 0.0


def _step(values: np.ndarray) -> float:
    """The mean change from one value to the next, where both are there; 0 where that is never so."""
    steps = np.abs(np.diff(values))
    return float(np.nanmean(steps)) if np.isfinite(steps).any() else 0.0
