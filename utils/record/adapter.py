"""A run's adapters on disk: find them, and read what they were trained with."""

from dataclasses import replace
from pathlib import Path

from utils.config import Config
from utils.data.labels import LabelSet, recorded_labels
from utils.record.provenance import read_records, weights_of
from utils.record.stages import INFERENCE
from utils.system import places
from utils.system.errors import ConfigError, ModelError, RunError
from utils.system.files import read_object


def other_adapter(records: dict, notebook: str, adapter: Path) -> bool:
    """Whether a run's config.json (`records`) says that `notebook` worked with other weights than are in the folder
    `adapter`, which was then trained again."""
    made_by = records.get(notebook, {}).get("adapter")
    return bool(made_by) and (adapter / "adapter_model.safetensors").is_file() and made_by != weights_of(adapter)


def find_adapters(root: Path | None = None) -> tuple[Path, Path]:
    """The emotion and the cause adapter of the run in results_train/ whose cause training ended last.

    root  the folder of results_train/ (default: where the place keeps results, and the repository)

    Raises RunError where no run has both.
    """
    roots = [Path(root)] if root else sorted({places.find().results, places.ROOT})
    runs = [
        path.parents[1]
        for root in roots
        for path in root.glob("results_train/*/adapters/cause/training.json")
        if (path.parents[1] / "emotion" / "training.json").is_file()
    ]
    if not runs:
        raise RunError(
            f"no run in {roots[0] / 'results_train'} holds both adapters: run notebooks 1 and 3 first "
            "(make run does), or give --emotion-adapter and --cause-adapter"
        )

    def ended(adapters):
        """A clone gives the files that ship its own time; what was trained here says when."""
        path = adapters / "cause" / "training.json"
        return str(read_object(path).get("ended", "")), path.stat().st_mtime

    newest = max(runs, key=ended)
    return newest / "emotion", newest / "cause"


def labels_of(adapter) -> LabelSet:
    """The label set that the adapter in this folder was trained on. Raises FileError and ModelError as `trained_with`
    does."""
    path = _training(adapter)
    return recorded_labels(read_object(path), path)


def _training(adapter) -> Path:
    path = Path(adapter) / "training.json"
    if not path.is_file():
        raise ModelError(
            f"{adapter}: no finished adapter here (training.json is missing). Give a folder that notebook 1 or 3 wrote"
        )
    return path


def trained_with(adapter, max_row_tokens: int | None = None) -> Config:
    """The parameters that the adapter in this folder was trained with, and its run's inference used; max_row_tokens
    where it is given.

    Raises ModelError for a folder without an adapter's training.json, or without parameters in it.
    """
    path = _training(adapter)
    run = Path(adapter).absolute().parent.parent / "config.json"
    try:
        parameters = read_object(path)["parameters"]
        records = read_records(run.parent)  # its inference may have used another logit_adjustment and cause_threshold
        for notebook in INFERENCE:
            parameters = parameters | records.get(notebook, {}).get("parameters", {})
        config = Config.of(parameters)
        if config.quantization == "auto":  # a run records what it was; records from before the parameter mean none
            config = replace(config, quantization="none")
        return config if max_row_tokens is None else replace(config, max_row_tokens=max_row_tokens)
    except (AttributeError, ConfigError, KeyError, TypeError) as error:
        raise ModelError(
            f"{adapter}: the parameters in {path.name} or {run} cannot be used ({error}). Train it again"
        ) from error
