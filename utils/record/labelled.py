"""What stands beside a file of labelled conversations: which adapters and which code labelled them, and by what their
probabilities are read.

    beside("pred.json", RECORD)         # pred.record.json
    labelling(adapters, 10)             # what it holds
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from utils.config import Config
from utils.data.features import fingerprint
from utils.record.adapter import configs_of, labels_of, trained_with
from utils.record.predictions import run_folder
from utils.record.provenance import revision, versions, weights_of, weights_of_encoder
from utils.system.errors import ConfigError
from utils.system.files import read_object
from utils.system.parameters import names_in
from utils.system.places import ROOT

RECORD, PROBABILITIES, METRICS = ".record.json", ".probabilities.jsonl", ".metrics.json"


def beside(out: str | Path, suffix: str) -> Path:
    """The file beside `out` that differs in what it ends with: pred.json has pred.record.json."""
    return Path(out).with_suffix(suffix)


def made_by(adapter: str | Path) -> dict:
    """Which adapter that is: {"folder" (within the repository from its root on), "weights": the beginning of their
    SHA-256, "revision": of its training, "model"}."""
    folder = Path(adapter).resolve()
    return {
        "folder": (folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder).as_posix(),
        "weights": weights_of(Path(adapter)),
        "revision": read_object(Path(adapter) / "training.json").get("revision"),
        "model": trained_with(adapter).model,
    }


def labelling(
    adapters: tuple,
    conversations: int,
    parameters: Mapping[str, Any] | None = None,
    features: str | Path | None = None,
) -> dict:
    """Who labelled so many conversations, and how.

    adapters    the folders of the emotion and of the cause adapter, or None in place of the latter
    parameters  those in place of what the adapters' runs used (utils.record.adapter.configs_of)
    features    the folder of the streams that the adapters read; None: they were absent

    Returns {"labels" in order, "neutral", "cause_threshold" (not without a cause adapter), "logit_adjustment",
    "thresholds" (only with targets multi), "streams" (only with some: {stream: the beginning of the SHA-256 of its
    vectors, None where it was absent}), "encoder" (only with one: {"run", "weights": of its heads}), "adapters": {task:
    `made_by`}, "conversations", "revision": of the code that labelled, "versions", "ended": UTC}.
    """
    labels, tasks = labels_of(adapters[0]), ("emotion", "cause")
    used = {task: Path(adapter) for task, adapter in zip(tasks, adapters) if adapter is not None}
    configs = configs_of(adapters, parameters=parameters)
    record = read_object(used["emotion"] / "training.json")
    found = {
        "labels": list(labels),
        "neutral": labels.neutral,
        **({"cause_threshold": configs["cause"].cause_threshold} if "cause" in configs else {}),
        "logit_adjustment": configs["emotion"].logit_adjustment,
    }
    if "thresholds" in record:
        found["thresholds"] = record["thresholds"]
    found |= streams_seen(configs.values(), features)
    for name in {config.encoder for config in configs.values() if config.encoder}:
        found["encoder"] = {"run": name, "weights": weights_of_encoder(run_folder(name) / "encoder")}
    found["adapters"] = {task: made_by(adapter) for task, adapter in used.items()}
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    return found | {"conversations": conversations, "revision": revision(), "versions": versions(), "ended": ended}


def streams_seen(configs: Iterable[Config], features: str | Path | None) -> dict[str, dict[str, str | None]]:
    """What a record says of the streams that adapters with these parameters read: {"streams": {stream: the beginning of
    the SHA-256 of its vectors, None where it was absent}}; {} where they read none."""
    found = {}
    for config in configs:
        for name in names_in(config.streams):
            seen = None if features is None or name in names_in(config.without) else Path(features)
            found[name] = seen and fingerprint(seen, name)
    return {"streams": found} if found else {}


def absent_streams(configs: Iterable[Config], features: str | Path | None) -> str:
    """What a command says where adapters with these parameters read streams and it is given no --features; "" where
    nothing is absent. Raises ConfigError for --features where they read none."""
    streams = dict.fromkeys(name for config in configs for name in names_in(config.streams))
    if features and not streams:
        raise ConfigError("--features: these adapters read words alone. Leave it out")
    return (
        f"no --features: the adapters also read {', '.join(streams)}, which are absent here"
        if streams and not features
        else ""
    )
