"""A pickle read as data: nothing in it is run.

    unpickled(path)      lists, dictionaries, texts, numbers; NumPy's numbers and arrays become numbers and lists

A pickle is a program that names functions to call. Here the only names that lead anywhere are those of bytes
and of NumPy's numbers and arrays. They lead to stand-ins of this file, which keep bytes and a type; any other name is
refused.
"""

import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from utils.system.errors import FileError

_MOST = 10_000_000  # values in all: a small pickle can name one list a million times
_DEEPEST = 30


class _Type:
    """Stands in for numpy.dtype: a plain number's type."""

    def __init__(self, name="", *_):
        self.name, self.order = name, "<"

    def __setstate__(self, state):
        self.order = state[1] if state[1] in ("<", ">") else "<"

    def read(self, raw: bytes, count: int) -> np.ndarray:
        if not isinstance(self.name, str) or not re.fullmatch("[biuf][1248]", self.name):
            raise pickle.UnpicklingError(f"an array of {self.name!r}, not of numbers")
        return np.frombuffer(raw, self.order + self.name, count)


class _Array:
    """Stands in for numpy.ndarray."""

    def __init__(self, *_):
        self.values: Any = []

    def __setstate__(self, state):
        _, shape, kind, by_column, raw = state
        flat = kind.read(raw, int(np.prod(shape, dtype=np.int64)))
        self.values = flat.reshape(shape, order="F" if by_column else "C").tolist()


def _scalar(kind: _Type, raw: bytes):
    return kind.read(raw, 1)[0].item()


def _bytes(text: str = "", encoding: str = "latin1") -> bytes:
    """How pickles of protocol 2 write bytes, none or some."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {encoding!r}")
    return text.encode(encoding)


def _reconstruct(*_):
    return _Array()


def _from_buffer(raw: bytes, kind: _Type, shape, order):
    found = _Array()
    found.__setstate__((1, shape, kind, order == "F", raw))
    return found


_NAMES = {
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _bytes,
    ("__builtin__", "bytes"): _bytes,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in _NAMES:
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}")
        return _NAMES[module_name, global_name]


def unpickled(path: Path) -> Any:
    """What a pickle holds, as JSON has it. Raises FileError for one that holds more than data, or is damaged."""
    try:
        return _plain(_Reader(io.BytesIO(path.read_bytes()), encoding="latin-1").load(), [_MOST])
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}). Give another file.") from error
    except Exception as error:  # a damaged pickle raises whatever its bytes lead to
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FileError(
            f"{path}: holds more than lists, dictionaries, texts and numbers, or is damaged ({reason}). Nothing in it "
            "was run; save it as JSON"
        ) from error


def _plain(value: Any, left: list[int], depth: int = 0) -> Any:
    left[0] -= 1
    if depth > _DEEPEST or left[0] < 0:
        raise pickle.UnpicklingError("it has no end")
    if isinstance(value, _Array):
        value = value.values
    if isinstance(value, list | tuple):
        return [_plain(one, left, depth + 1) for one in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(one, left, depth + 1) for key, one in value.items()}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise pickle.UnpicklingError(f"a value of type {type(value).__name__}")
