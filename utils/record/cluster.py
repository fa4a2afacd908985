"""Conversations labelled by the machines of a Ray cluster: a part of the file at a time, by whoever is free.

    label_on_cluster("many.jsonl", Path("labelled"), adapters, workers=2)

FOLDER/part-000000.jsonl, part-000001.jsonl, ... hold the labelled conversations in the input's order, so many a part;
record.json, written last, says who labelled them. A part is what one predictor makes of its conversations, so its bytes
do not depend on how many workers there are, or which of them is lost. Finished parts are kept: the same call goes on.
Every machine must see the repository and the adapters under the same path.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from utils.data.conversations import Conversation, names_of
from utils.data.given import each_given, inputs_of
from utils.record.labelled import labelling
from utils.record.parts import job_of
from utils.record.predictor import Predictor
from utils.system.errors import EngineError, FileError, RunError, TooLong, UserError
from utils.system.files import read_object, write_json, write_text
from utils.system.places import ROOT

RECORD, JOB = "record.json", "job.json"
FORMS = ("jsonl", "parquet")
LOST = 20  # times that a part may be lost with its worker: then it is the part's fault
WAITING = 2  # parts that wait for each that is worked on


@lru_cache(maxsize=1)
def _predictor(adapters: tuple, max_row_tokens: int | None, parameters: tuple) -> Predictor:
    emotion, cause = adapters
    return Predictor(emotion, cause, max_row_tokens, parameters=dict(parameters))


def label_part(
    conversations: list[Conversation], adapters: tuple, max_row_tokens: int | None, parameters: tuple, skip: bool
) -> dict:
    """What a worker does, which keeps its models from one part to the next.

    Returns {"labelled": conversations, "skipped": {name: tokens} of those that are too long, "seconds", "by": the
    worker}, or {"refused": the message} for what cannot be labelled. skip: whether too long ones are left out."""
    started, skipped, by = time.monotonic(), {}, f"{platform.node()}:{os.getpid()}"
    try:
        predictor = _predictor(adapters, max_row_tokens, parameters)
        while True:
            given = [c for c, name in zip(conversations, names_of(conversations)) if name not in skipped]
            try:
                labelled = predictor(given)[0] if given else []
                return {"labelled": labelled, "skipped": skipped, "seconds": time.monotonic() - started, "by": by}
            except TooLong as error:
                if not skip:
                    raise
                skipped |= error.tokens
    except UserError as error:  # a kind of its own may not survive the way to the other process
        return {"refused": str(error)}


def parts_of(conversations: Iterator[Conversation], size: int) -> Iterator[tuple[int, list[Conversation]]]:
    """(number from 0, its conversations) of every part of `size` conversations; the last one may be shorter."""
    number, part = 0, []
    for one in conversations:
        part.append(one)
        if len(part) == size:
            yield number, part
            number, part = number + 1, []
    if part:
        yield number, part


def label_on_cluster(
    source: str | Path,
    out: Path,
    adapters: tuple,
    size: int = 256,
    workers: int | None = None,
    address: str | None = None,
    suffix: str = "jsonl",
    max_row_tokens: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    skip: bool = False,
    progress: bool = True,
) -> dict:
    """Labels the conversations of a file (`each_given`) into the folder `out`; returns what record.json then holds:
    `labelling`, with "parts", "skipped", "seconds" and "workers" ({worker: its parts, conversations and seconds}) of
    this call.

    size        conversations a part
    workers     on this machine; None: one a core, or one a GPU. Each has the models in memory
    address     of a Ray cluster that runs, or "auto": its machines work, and `workers` is not read
    parameters  see Predictor

    Raises RunError for a folder with parts of another job, EngineError where Ray cannot be had or a part is lost with
    its worker LOST times; what a Predictor raises, as RunError that names the part.
    """
    record = {"size": size, "suffix": suffix, "job": _job(source, adapters, max_row_tokens, parameters, skip)}
    if (out / JOB).is_file() and read_object(out / JOB) != record:
        raise RunError(f"{out} holds parts of other conversations, adapters or parameters: choose another folder")
    write_json(record, out / JOB)
    ray, begun = _connected(address, workers), time.monotonic()
    gpus = ray.cluster_resources().get("GPU", 0)
    found_in = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    work = ray.remote(label_part).options(
        num_cpus=1,
        num_gpus=1 if gpus else 0,
        max_retries=LOST,
        runtime_env={"env_vars": {"PYTHONPATH": found_in, "TQDM_DISABLE": "1"}},
    )
    how = adapters, max_row_tokens, tuple(sorted((parameters or {}).items())), skip
    pending, found = {}, {"parts": 0, "skipped": {}, "workers": {}, "conversations": 0}
    bar = tqdm(unit=" conversations", disable=not progress, desc="labelled")
    try:
        for number, part in parts_of(each_given(source), size):
            found["parts"] = number + 1
            if (path := out / f"part-{number:06d}.{suffix}").is_file():
                found["conversations"] += (count := _count(path, suffix))
                bar.update(count)
                continue
            while len(pending) >= (1 + WAITING) * max(1, int(gpus or ray.cluster_resources().get("CPU", 1))):
                _collect(ray, pending, found, suffix, bar)
            pending[work.remote(part, *how)] = path
        while pending:
            _collect(ray, pending, found, suffix, bar)
    finally:
        bar.close()
        ray.shutdown()
    done = {"seconds": round(time.monotonic() - begun, 1), **found}
    record = labelling(adapters, done.pop("conversations"), parameters) | done
    write_json(record, out / RECORD)
    return record


def _job(source, adapters, max_row_tokens, parameters, skip) -> str:
    """A hash of what the labels follow from: the file, and what `job_of` takes of the adapters."""
    digest = hashlib.sha256()
    for path in inputs_of(source):
        with path.open("rb") as file:
            while block := file.read(1 << 24):
                digest.update(block)
    digest.update(f"{job_of([], adapters, parameters)} {max_row_tokens} {skip}".encode())
    return digest.hexdigest()


def _connected(address: str | None, workers: int | None):
    """The module `ray`, connected to the cluster at `address`, or to one of this machine."""
    try:
        import ray
    except ImportError as error:
        raise EngineError("the package ray is missing: pip install ray") from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    local: dict[str, Any] = {} if address else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address=address or "local", **local, **quiet)  # a cluster that runs is used where it is named
    except (ConnectionError, RuntimeError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EngineError(
            f"the Ray cluster at {address or 'this machine'} cannot be reached ({first}). Start it by ray start; "
            "where it asks for a token, set RAY_AUTH_MODE=token"
        ) from error
    return ray


def _collect(ray, pending: dict, found: dict, suffix: str, bar) -> None:
    """Waits for one of the `pending` parts, and writes it."""
    (task,), _ = ray.wait(list(pending), num_returns=1)
    path = pending.pop(task)
    try:
        result = ray.get(task)
    except ray.exceptions.RayError as error:
        why = " ".join(str(error).split())[:300]
        raise EngineError(
            f"{path.name}: its worker was lost {LOST + 1} times, most often because memory ran out: give fewer workers "
            f"or smaller parts. The same command goes on behind the finished parts. Ray says: {why}"
        ) from error
    if "refused" in result:
        raise RunError(f"{path.stem}: {result['refused']}")
    _write(result["labelled"], path, suffix)
    count = len(result["labelled"])
    mine = found["workers"].setdefault(result["by"], {"parts": 0, "conversations": 0, "seconds": 0.0})
    mine["parts"] += 1
    mine["conversations"] += count
    mine["seconds"] = round(mine["seconds"] + result["seconds"], 3)
    found["conversations"] += count
    found["skipped"] |= result["skipped"]
    bar.update(count)


def _write(labelled: list[Conversation], path: Path, suffix: str) -> None:
    if suffix == "jsonl":
        write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in labelled), path)
        return
    import pyarrow
    import pyarrow.parquet

    try:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([*labelled]), content := BytesIO())
    except pyarrow.ArrowException as error:  # such as a conversation_ID that is a number here, and a text there
        why = " ".join(str(error).split())[:200]
        raise FileError(f"{path}: Parquet cannot hold these conversations ({why}). Write --format jsonl") from error
    write_text(content.getvalue(), path)


def _count(path: Path, suffix: str) -> int:
    """The conversations of a finished part."""
    if suffix == "jsonl":
        with path.open("rb") as file:
            return sum(1 for _ in file)
    import pyarrow.parquet

    return pyarrow.parquet.read_metadata(path).num_rows
