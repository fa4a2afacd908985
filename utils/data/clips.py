"""Clips: a file of sound, film or a picture for each utterance, decoded by PyAV (FFmpeg's libraries; BSD-3-Clause).

    clips = clips_in(Path("films"), SOUND)        # {"dia1utt1": films/dia1utt1.mp4}
    sound(clips["dia1utt1"])                      # (n,) float32, mono, 16,000 samples a second
    frames(clips["dia1utt1"], most=8)             # up to 8 arrays (height, width, 3), uint8, spread over the film

A clip that cannot be used raises FileError, which names the file and the reason. PyAV is optional: check_decoder().
"""

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from utils.system.errors import FileError, PlaceError

FILMS = (".mp4", ".m4v", ".mkv", ".mov", ".avi", ".webm")
SOUND = (".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus", *FILMS)  # what may hold sound
SIGHT = (".jpg", ".jpeg", ".png", ".webp", ".bmp", *FILMS)  # what may hold pictures
RATE = 16_000  # samples a second
SHORTEST, LONGEST = 0.1, 600  # seconds of an utterance
SILENCE = 1e-4  # the loudest sample of a silent clip: 80 dB below full scale
LARGEST = 50_000_000  # pixels of a picture


def check_decoder() -> None:
    """Raises PlaceError where PyAV is missing."""
    if importlib.util.find_spec("av") is None:
        raise PlaceError("PyAV, which decodes sound and film, is missing: pip install -c constraints.txt av")


def clips_in(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """{name without its ending: file} of the files in a folder that end with one of `suffixes`, in the order of their
    names. Raises FileError for a folder that is not there or holds no such file, and for two files of one name."""
    if not folder.is_dir():
        raise FileError(f"{folder}: no such folder. Give the one that holds a file an utterance, by its video_name")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes:
            if path.stem in found:
                raise FileError(
                    f"{folder}: {found[path.stem].name} and {path.name} are one clip. Remove one of the two"
                )
            found[path.stem] = path
    if not found:
        raise FileError(f"{folder}: holds no file that ends with {', '.join(suffixes)}. Give another folder")
    return found


def sound(path: Path, rate: int = RATE) -> np.ndarray:
    """(n,) float32 from -1 to 1: the sound of a clip, its channels averaged, `rate` samples a second.

    Raises FileError for a clip that cannot be decoded, holds no sound, is shorter than SHORTEST or longer than LONGEST,
    is silent, or holds what is no number.
    """
    import av

    with _opened(path) as container:
        if not container.streams.audio:
            raise FileError(f"{path}: holds no sound")
        parts, count, resampler = [], 0, av.AudioResampler("fltp", rate=rate)
        for frame in _decoded(container, "audio"):
            for one in resampler.resample(frame):
                parts.append(one.to_ndarray().mean(0))  # FFmpeg's own mono makes two channels louder
                count += len(parts[-1])
            if count > LONGEST * rate:
                raise FileError(f"{path}: longer than {LONGEST} seconds. A clip is one utterance")
    found = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if len(found) < SHORTEST * rate:
        raise FileError(f"{path}: shorter than {SHORTEST} seconds")
    if not np.isfinite(found).all():
        raise FileError(f"{path}: holds NaN or a number without end")
    if np.ptp(found) < 2 * SILENCE:  # a constant is no sound
        raise FileError(f"{path}: silent")
    return found


def frames(path: Path, most: int, side: int = 640) -> list[np.ndarray]:
    """Up to `most` pictures of a clip, spread evenly over it: arrays (height, width, 3) of uint8, red, green and blue.
    A picture has one. Larger ones are made smaller, the longer side to `side` pixels.

    The film is decoded once. Of its pictures every 2nd is kept, every 4th and so on, whenever too many are there.
    Raises FileError for a clip that cannot be decoded, holds no picture, or is longer or larger than can be.
    """
    kept: list[Any] = []
    with _opened(path) as container:
        if not container.streams.video:
            raise FileError(f"{path}: holds no picture")
        container.streams.video[0].codec_context.thread_count = 1  # clips are decoded side by side
        every = 1
        for number, frame in enumerate(_decoded(container, "video")):
            if frame.width * frame.height > LARGEST:
                raise FileError(f"{path}: a picture of {frame.width} x {frame.height}; {LARGEST:,} pixels is the most")
            if (frame.time or 0) > LONGEST:
                raise FileError(f"{path}: longer than {LONGEST} seconds. A clip is one utterance")
            if number % every == 0:
                kept.append(_small(frame, side))
            if len(kept) == 4 * most:
                kept, every = kept[::2], 2 * every
    if not kept:
        raise FileError(f"{path}: holds no picture")
    return [kept[number] for number in spread(len(kept), most)] if len(kept) > most else kept


def spread(length: int, count: int) -> list[int]:
    """`count` indices of a list, each in the middle of its part of it; of a shorter list some come twice."""
    return [(2 * number + 1) * length // (2 * count) for number in range(count)]


def _small(frame, side: int) -> np.ndarray:
    """A frame of PyAV's as an array of red, green and blue, its longer side at most `side`."""
    scale = min(1.0, side / max(frame.width, frame.height))
    width, height = (max(1, round(one * scale)) for one in (frame.width, frame.height))
    return frame.to_ndarray(format="rgb24", width=width, height=height)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The clip, opened. Raises FileError for what PyAV raises about it inside."""
    import av
    from av.error import FFmpegError

    if path.resolve().parent != path.parent.resolve():
        raise FileError(f"{path}: a link that leaves the folder. Put the file itself there")
    try:
        if not path.stat().st_size:
            raise FileError(f"{path}: empty")
        with av.open(str(path)) as container:
            yield container
    except FileError:
        raise
    except (FFmpegError, OSError, ValueError, LookupError, OverflowError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:200] or type(error).__name__
        raise FileError(f"{path}: cannot be decoded ({reason})") from error


def _decoded(container, kind: str) -> Iterator[Any]:
    """The frames of the first stream of a kind, and for sound None, behind which a resampler gives what it holds."""
    yield from container.decode(**{kind: 0})
    if kind == "audio":
        yield None
