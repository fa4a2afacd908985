"""Vectors in a row: a placeholder, an ordinary token, stands for each, and its embedding gets something added.

    Vector("voice", 0, values)                     # in Node.vectors, in front of the node's text
    vector_inputs(row.vectors)                     # what a model with a projector takes (utils/models/projector.py)

A row without what is added is a row of text, in which the placeholders are read as the text that they are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.system.errors import TrainingError

# The text of a placeholder, tokenized by itself; its last token is the one whose embedding changes.
PLACEHOLDER = " *"


@dataclass(frozen=True)
class Vector:
    """What a placeholder stands for.

    stream  its name
    slot    which of the stream's tokens about an utterance it is, from 0
    values  float32 numbers as bytes, whose repr, unlike an array's, is whole; None: the utterance has none
    """

    stream: str
    slot: int
    values: bytes | None


Placed = list[tuple[int, Vector]]  # (the index of the token in its row, what it stands for)


def slots(array: np.ndarray | None, stream: str, count: int) -> tuple[Vector, ...]:
    """The `count` placeholders of a stream about one utterance, from its vectors (n, width); None: it has none.

    Where there are more vectors, each placeholder stands for the mean of its part of them, in their order; where there
    are fewer, some share one (adaptive average pooling).
    """
    if array is None:
        return tuple(Vector(stream, slot, None) for slot in range(count))
    starts = [slot * len(array) // count for slot in range(count)]
    ends = [-(-(slot + 1) * len(array) // count) for slot in range(count)]
    means = [array[start:end].mean(0, dtype=np.float64) for start, end in zip(starts, ends)]
    return tuple(Vector(stream, slot, mean.astype("<f4").tobytes()) for slot, mean in enumerate(means))


def values_of(vectors: list[Vector]) -> np.ndarray:
    """(those that are there, width) of vectors of one stream."""
    there = [one.values for one in vectors if one.values is not None]
    return np.frombuffer(b"".join(there), "<f4").reshape(len(there), -1) if there else np.zeros((0, 0), np.float32)


def measured(placed: Iterable[Placed], tokens: int) -> dict[str, tuple]:
    """{stream: (mean, standard deviation, tokens)} of the vectors that rows have; a number that never changes has a
    deviation of 1. Raises TrainingError for a stream of which no vector is there."""
    by_stream: dict[str, list[Vector]] = {}
    for row in placed:
        for _, vector in row:
            by_stream.setdefault(vector.stream, []).append(vector)
    found = {}
    for stream, vectors in by_stream.items():
        values = values_of(vectors).astype(np.float64)
        if not len(values):
            raise TrainingError(f"no conversation that is trained on has a vector of stream {stream}. Leave it out")
        std = values.std(0)
        found[stream] = values.mean(0).astype(np.float32), np.where(std > 0, std, 1).astype(np.float32), tokens
    return found


def answered(rows: Iterable[Any]) -> dict[tuple[str, int], tuple[np.ndarray, list[dict[int, float]]]]:
    """{(stream, slot): (values (n, width), n times {token: its share of the answers behind})} of rows of training.

    Behind a vector are the answers whose next placeholder above, of that stream and slot, is its. Vectors without an
    answer behind them, and absent ones, are left out.
    """
    found: dict[tuple[str, int], list[tuple[Vector, dict[int, float]]]] = {}
    for row in rows:
        behind: dict[int, dict[int, float]] = {}
        for (index, token), weight in zip(row.targets, row.weights, strict=True):
            above = {(one.stream, one.slot): at for at, one in row.vectors if at <= index <= row.last[at]}
            for at in above.values():
                shares = behind.setdefault(at, {})
                shares[token] = shares.get(token, 0.0) + weight
        for at, one in row.vectors:
            if at in behind and one.values is not None:
                total = sum(behind[at].values())
                shares = {token: weight / total for token, weight in behind[at].items()}
                found.setdefault((one.stream, one.slot), []).append((one, shares))
    return {key: (values_of([one for one, _ in pairs]), [s for _, s in pairs]) for key, pairs in found.items()}


def vector_inputs(placed: Placed, device: Any = "cpu") -> dict[str, dict]:
    """{stream: what a projector takes} of a row's vectors:

    index    (n,) the index of the placeholder
    slot     (n,) which of the stream's it is
    present  (n,) whether the utterance has vectors
    values   (those that are present, width)
    """
    import torch  # here: commands read trees of text long before they need tensors

    found = {}
    for stream in dict.fromkeys(vector.stream for _, vector in placed):
        mine = [(index, vector) for index, vector in placed if vector.stream == stream]
        found[stream] = {
            "index": torch.tensor([index for index, _ in mine], device=device),
            "slot": torch.tensor([vector.slot for _, vector in mine], device=device),
            "present": torch.tensor([vector.values is not None for _, vector in mine], device=device),
            "values": torch.tensor(values_of([vector for _, vector in mine]), device=device),
        }
    return found


def vectors_between(inputs: dict[str, dict], start: int, end: int, virtual: int) -> dict[str, dict]:
    """`vector_inputs` of the tokens from `start` to below `end` alone, behind `virtual` tokens."""
    found = {}
    for stream, one in inputs.items():
        mine = (start <= one["index"]) & (one["index"] < end)
        found[stream] = {
            "index": one["index"][mine] - start + virtual,
            "slot": one["slot"][mine],
            "present": one["present"][mine],
            "values": one["values"][mine[one["present"]]],
        }
    return found


def in_batch(prompts: list[list[Any]], rows: int, length: int, device: Any) -> dict[str, dict]:
    """`vector_inputs` of a batch of prompts, which end together (left-padded); indices count through all its tokens.

    prompts  of each its tokens, and in place of a placeholder's the vector
    rows     of the batch: a multiple of the prompts, where several texts are written behind each
    """
    places = [[(k - len(ids), one) for k, one in enumerate(ids) if isinstance(one, Vector)] for ids in prompts]
    each = rows // len(prompts)
    return vector_inputs(
        [((row + 1) * length + index, one) for row in range(rows) for index, one in places[row // each]], device
    )


def as_column(placed: Placed) -> list[dict]:
    """A row's vectors as a dataset of trl's trainer holds them."""
    return [{"index": i, "stream": v.stream, "slot": v.slot, "values": v.values} for i, v in placed]


def from_column(column: list[dict]) -> Placed:
    """The reverse of `as_column`."""
    return [(one["index"], Vector(one["stream"], one["slot"], one["values"])) for one in column]
