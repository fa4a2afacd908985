"""Streams of vectors: what was heard and seen in an utterance, as other programs put it into numbers.

    input/features/voice.npz              arrays by video_name: {"dia1utt1": one vector (width,), or several (n, width)}
    input/features/face/dia1utt1.npy      or a folder, a file an utterance

    stream = read_stream(Path("input/features"), "voice")
    stream.of(utterance)                  # (n, width), float32; None where it has none

Vectors go by an utterance's `video_name` or an example's `image`, a path of which the file's name counts; with or
without its ending. No name in a file is opened as a path: the files of the folder are listed, and names are looked up.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.data.conversations import Conversation, names_of
from utils.data.validation import fault
from utils.system.errors import ConfigError, FileError, shown

FOLDER = "features"  # in an input's folder
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")  # of a stream


@dataclass(frozen=True, eq=False)
class Stream:
    """One stream.

    name     what the parameter `streams` calls it
    source   its file or folder
    vectors  {name: (n, width), float32}
    """

    name: str
    source: Path
    vectors: dict[str, np.ndarray]

    def of(self, item: Mapping[str, Any], field: str = "video_name") -> np.ndarray | None:
        """(n, width): the vectors of an utterance, or of what names its file in another `field`; None where it has
        none."""
        name = item.get(field) or ""
        return self.vectors.get(name, self.vectors.get(Path(name).stem))


def read_stream(folder: Path, name: str) -> Stream:
    """The stream `name` in a folder of features: NAME.npz, or a folder NAME of .npy files.

    Raises FileError for a stream that is not there, there twice or empty, for a file that cannot be read, and for an
    array that is no finite vector, or has another width than the first.
    """
    file, place = folder / f"{name}.npz", folder / name
    if file.is_file() and place.is_dir():
        raise FileError(
            f"{folder}: stream {name} is there twice, as {file.name} and as a folder. Remove one of the two"
        )
    if not file.is_file() and not place.is_dir():
        there = ", ".join(streams_in(folder)) or "no stream"
        raise FileError(f"{folder}: no stream {name} ({file.name}, or a folder {name} of .npy files). It has {there}")
    source, vectors, first = (file if file.is_file() else place), {}, None
    for where, key, array in _arrays(file) if file.is_file() else _files(place):
        vectors[key] = _vectors(array, where)
        width, first = vectors[key].shape[1], first or (vectors[key].shape[1], where)
        if width != first[0]:
            raise FileError(f"{where}: a vector of {width} numbers, and {first[1]} has {first[0]}. Give all one width")
    if not vectors:
        raise FileError(f"{source}: holds no vector. Give an array for each utterance, by its video_name")
    return Stream(name, source, vectors)


def streams_in(folder: Path) -> list[str]:
    """The names of the streams in a folder of features."""
    files = [path.stem for path in folder.glob("*.npz")]
    return sorted({*files, *(path.name for path in folder.glob("*") if path.is_dir() and any(path.glob("*.npy")))})


def _arrays(file: Path) -> Iterator[tuple[str, str, Any]]:
    """(what messages call it, its name, the array) of every array in a file of numpy's."""
    with _read(file, file):
        found = np.load(file, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise ValueError("a single array, which belongs in a folder of .npy files")
    with found:
        for key in found.files:
            with _read(file, f"{file}, {key}"):
                array = found[key]
            yield f"{file}, {key}", key, array


def _files(place: Path) -> Iterator[tuple[str, str, Any]]:
    """The same of a folder with a file an array."""
    inside = place.resolve()
    for path in sorted(place.glob("*.npy")):
        if path.resolve().parent != inside:
            raise FileError(f"{path}: it is a link that leaves the folder. Put the file itself there")
        with _read(path, path):
            array = np.load(path, allow_pickle=False)
            if not isinstance(array, np.ndarray):
                raise ValueError("it is an archive, not an array")
        yield str(path), path.stem, array


class _read:
    """Raises FileError for whatever numpy raises inside about a file: it has no kinds of its own."""

    def __init__(self, file: Path, where: str | Path):
        self.file, self.where = file, where

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, Exception):
            reason = "it is empty" if not self.file.stat().st_size else str(error)[:200] or type(error).__name__
            raise FileError(f"{self.where}: cannot be read ({reason}). Write it again, by numpy") from error


def _vectors(array: np.ndarray, where: str) -> np.ndarray:
    """An array as (n, width) in float32. Raises FileError."""
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2) or not array.size:
        kind = f"an array of {array.dtype} and of shape {array.shape}"
        raise FileError(f"{where}: {kind}. Give numbers, one vector (width,) or several (n, width)")
    with np.errstate(over="ignore"):
        found = np.atleast_2d(array).astype(np.float32)
    if not np.isfinite(found).all():
        raise FileError(f"{where}: holds NaN or a number without end. Leave such a vector out: it is then absent")
    return found


def utterances_of(conversations: Iterable[Conversation]) -> list[Any]:
    """The utterances of all conversations."""
    return [u for c in conversations for u in c["conversation"]]


def check_streams(
    items: Iterable[Mapping[str, Any]],
    source: str | Path,
    streams: Iterable[Stream],
    what: str = "utterance",
    field: str = "video_name",
) -> None:
    """Raises ConfigError for a stream that no item has a vector of. source, what: what messages call all items, and
    one."""
    given = list(items)
    for stream in streams:
        if not any(stream.of(one, field) is not None for one in given):
            theirs = next((one[field] for one in given if field in one), None)
            raise ConfigError(
                f"parameter streams: no {what} of {source} has a vector of {stream.name}. {stream.source} calls its "
                f"first {shown(next(iter(stream.vectors)))}, and the first {field} is {shown(theirs)}"
            )


def check_video_names(conversations: Iterable[Conversation], source: str | Path) -> None:
    """Raises ConversationError for the first video_name that is no text, or a path that may lead elsewhere."""
    given = list(conversations)
    for c, called in zip(given, names_of(given)):
        for u in c["conversation"]:
            where, name = f"{source}, {called}, utterance {u['utterance_ID']}", u.get("video_name") or ""
            if not isinstance(name, str):
                raise fault(where, "video_name", f"{shown(name)} is no text", "Write a name, or leave it out")
            if name in (".", "..") or re.search(r"[/\\\x00]", name):
                raise fault(where, "video_name", f"{shown(name)} is a path, no name", "Write the file's name alone")


def fingerprint(folder: Path, name: str) -> str:
    """The beginning of the SHA-256 of a stream's files, with their names."""
    digest, file = hashlib.sha256(), folder / f"{name}.npz"
    for path in [file] if file.is_file() else sorted((folder / name).glob("*.npy")):
        digest.update(path.name.encode("utf-8", "surrogatepass"))
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
