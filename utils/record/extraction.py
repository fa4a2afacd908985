"""From clips to a stream of vectors: side by side over cores, with a progress bar, and on from where it was stopped.

    done, faults = extract(clips, Path("input/features/voice"), extractor, jobs=2)

A stream is a folder with CLIP.npy for each clip, whole or not there, which utils/data/features.py reads; and BY, which
says who made it. A clip whose vectors are there, and are not older than it, is done.
"""

import io
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal

import numpy as np
from tqdm import tqdm

from utils.data import face, frame, voice
from utils.data.clips import RATE, SIGHT, SOUND, check_decoder, frames, sound
from utils.system.errors import FileError, UserError
from utils.system.files import intact, read_object, write_json, write_texts

BY = "made_by.json"  # in the folder of a stream


@dataclass(frozen=True)
class Extractor:
    """What makes vectors of clips.

    name      who it is; vectors of two names are not mixed
    suffixes  of the files that it reads
    read      what becomes of a file, in a process of its own; raises FileError
    finish    the vectors (width,) or (n, width) of that, in this process
    numbers   {name: unit} of the vectors' numbers, where they have some
    check     raises PlaceError where a library is missing
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Path], np.ndarray | list[np.ndarray]]
    finish: Callable = np.asarray
    numbers: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[], None] = check_decoder


def _voice(path: Path) -> np.ndarray:
    return voice.voice(sound(path, RATE))


def _frame(path: Path) -> np.ndarray:
    return frame.frame(frames(path, frame.PICTURES, frame.SIDE))


def _face(path: Path) -> np.ndarray:
    found = face.face(frames(path, face.PICTURES, face.SIDE))
    if found is None:
        raise FileError(f"{path}: no face is found")
    return found


def _check_face() -> None:
    check_decoder()
    face.check_finder()


# The streams that need no model. A change of their numbers is another name.
READY = {
    "voice": Extractor("voice, version 1", SOUND, _voice, numbers=voice.NUMBERS),
    "frame": Extractor("frame, version 1", SIGHT, _frame, numbers=frame.NUMBERS),
    "face": Extractor("face, version 1", SIGHT, _face, numbers=face.NUMBERS, check=_check_face),
}


def extract(
    clips: Mapping[str, Path], place: Path, extractor: Extractor, jobs: int = 1
) -> tuple[list[str], dict[str, str]]:
    """(the names whose vectors were made now, {name: why not} of the clips that cannot be used) of clips {name: file}.

    jobs  processes that read files side by side

    Raises FileError for a folder of another extractor's vectors or of a person's, and where a process dies.
    """
    check_place(place, extractor)
    todo = {name: path for name, path in clips.items() if not _is_done(place / f"{name}.npy", path)}
    place.mkdir(parents=True, exist_ok=True)
    if not (place / BY).is_file():
        write_json({"made_by": extractor.name, "numbers": dict(extractor.numbers)}, place / BY)
    done, faults = [], {}
    bar = tqdm(total=len(clips), initial=len(clips) - len(todo), desc=place.name, unit="clip", mininterval=1)
    with bar:
        for name, found, fault in _read_all(todo, extractor.read, jobs):
            vectors = np.zeros(0) if fault else np.asarray(extractor.finish(found), np.float32)
            if not np.isfinite(vectors).all():
                fault = f"{clips[name]}: its vectors hold NaN or a number without end"
            if not fault:
                write_texts({place / f"{name}.npy": _npy(vectors)})
                done.append(name)
            else:
                faults[name] = fault
                (place / f"{name}.npy").unlink(missing_ok=True)  # of the file that was there before
            bar.update()
    return done, faults


def check_place(place: Path, extractor: Extractor) -> None:
    """Raises FileError where a stream of this name is there that another extractor made, or a person."""
    file = place.with_name(f"{place.name}.npz")
    if file.exists():
        raise FileError(f"{file} is there already. Give the stream another name, or move the file")
    if not place.is_dir() or not any(place.iterdir()):
        return
    path, fix = place / BY, f"Remove {place}, or give the stream another name"
    if not path.is_file():
        raise FileError(f"{place}: holds vectors that this command did not make. {fix}")
    with intact(path, fix):
        made_by = read_object(path)["made_by"]
    if made_by != extractor.name:
        raise FileError(f"{place}: made by {made_by}, not by {extractor.name}. {fix}")


def _is_done(vectors: Path, clip: Path) -> bool:
    return vectors.is_file() and vectors.stat().st_mtime >= clip.stat().st_mtime


def _npy(array: np.ndarray) -> bytes:
    """An array as the bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _read_all(clips: Mapping[str, Path], read: Callable, jobs: int) -> Iterator[tuple]:
    """(name, what `read` makes of the clip or None, its fault or "") of every clip, in order. A few are read ahead."""
    if jobs == 1 or len(clips) < 2:
        for name, path in clips.items():
            yield name, *_tried(read, path)
        return
    context = multiprocessing.get_context("spawn")  # alike on every machine; none inherits a card
    with ProcessPoolExecutor(min(jobs, len(clips)), context, signal, (SIGINT, SIG_IGN)) as pool:
        ahead: deque = deque()
        try:
            for name, path in clips.items():
                ahead.append((name, pool.submit(_tried, read, path)))
                if len(ahead) >= 4 * jobs:
                    yield ahead[0][0], *ahead[0][1].result()
                    ahead.popleft()
            while ahead:
                yield ahead[0][0], *ahead[0][1].result()
                ahead.popleft()
        except BrokenProcessPool as error:  # of a result, or of the next clip that is given
            first = clips[ahead[0][0]] if ahead else "a clip"
            raise FileError(
                f"{first} or a clip behind it: the process that read it died, most often because memory ran out. Give "
                "--jobs 1; what is done is kept"
            ) from error


def _tried(read: Callable, path: Path) -> tuple:
    """(what `read` makes of a file, "") or (None, its fault)."""
    try:
        return read(path), ""
    except UserError as error:
        return None, str(error)


def reported(faults: Mapping[str, str], others: Iterable[Path]) -> list[str]:
    """A line for each clip that was left out, and one for files that are no clips."""
    names = [path.name for path in others]
    lines = [f"left out: {fault}" for fault in faults.values()]
    if names:
        lines.append(f"not read: {', '.join(names[:5])}{' ...' * (len(names) > 5)}, files of another kind")
    return lines
