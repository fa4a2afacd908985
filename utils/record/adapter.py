"""A run's adapters on disk: choose them, and read what they were trained with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from utils.config import Config
from utils.data.labels import LabelSet, recorded_labels
from utils.record.predictions import run_folder
from utils.record.provenance import encoder_record, read_records, weights_of, weights_of_encoder
from utils.record.stages import INFERENCE, TRAINED_BY
from utils.system.errors import ConfigError, ModelError, RunError
from utils.system.files import read_object
from utils.tasks.cause import Cause
from utils.tasks.emotion import Emotion
from utils.tasks.task import Beside

# What a person may change for adapters that are trained: {parameter: (its task, the form of the task that reads it)}.
DECIDES = {"cause_threshold": ("cause", Cause), "logit_adjustment": ("emotion", Emotion)}
LABELS_BY = (*DECIDES, "without", "encoder")  # the same where the model is asked again


def other_adapter(records: dict, notebook: str, adapter: Path) -> bool:
    """Whether a run's config.json (`records`) says that `notebook` worked with other weights than are in the folder
    `adapter`, which was then trained again."""
    made_by = records.get(notebook, {}).get("adapter")
    return bool(made_by) and (adapter / "adapter_model.safetensors").is_file() and made_by != weights_of(adapter)


def choose_adapters(emotion=None, cause=None, run: str | Path | None = None) -> tuple[Path, Path | None]:
    """The emotion and the cause adapter that label; None in place of the latter where none was named and the run has
    none: emotions alone, as of data without causes.

    emotion, cause  folders, where a person named them
    run             the run of what was not named, by its name in results_train/ or its folder. None: the other adapter
                    of the same run; where neither was named, the run that ships

    Raises RunError for a run without the emotion adapter, ModelError for a folder without one, and for an adapter of
    the other task.
    """
    given = {task: Path(one) for task, one in (("emotion", emotion), ("cause", cause)) if one is not None}
    for task, adapter in given.items():
        if (its := task_of(adapter)) not in (None, task):
            raise ModelError(f"{adapter} is an adapter of the task {its}, not {task}: give it as --{its}-adapter")
    named = next((adapter.absolute().parent for adapter in given.values()), None)
    beside = named if named and run is None else run_folder(run) / "adapters"
    found: list[Any] = []
    for task, named_one in (("emotion", emotion), ("cause", cause)):
        adapter = given.get(task, beside / task)
        if (adapter / "training.json").is_file():
            found.append(adapter)
        elif found and named_one is None:  # emotions alone
            found.append(None)
        else:
            raise RunError(
                f"{adapter}: no finished adapter here. Give --{task}-adapter DIR, or the --run NAME whose adapter it "
                "shall be"
            )
    return found[0], found[1]


def said_of(adapters: tuple[Path, Path | None]) -> str:
    """Who labels, in words."""
    emotion, cause = adapters
    return f"labelled by {emotion} " + (f"and {cause}" if cause else "alone: no cause adapter is there, so no causes")


def adapter_folder(adapter, run: str | Path | None = None) -> Path:
    """The folder of one adapter: `adapter` itself or, where it is the name of a task, that task's in `run` (as in
    choose_adapters). Raises RunError for a run that is not there, and where it is not clear what is
    meant."""
    if str(adapter) not in TRAINED_BY:
        if run is not None:
            raise RunError(f"{adapter} with --run {run}: give {' or '.join(TRAINED_BY)}, or the folder alone")
        return Path(adapter)
    if run is None and Path(adapter).is_dir():
        raise RunError(f"{adapter} is a task, and a folder here too: give ./{adapter} for the folder, or --run NAME")
    return run_folder(run) / "adapters" / adapter


def start_of(config: Config, task: str) -> Path | None:
    """The folder of the adapter with which the training of `task` begins; None for a fresh one. Raises RunError for a
    run that is not there, ModelError for one without the adapter."""
    run = getattr(config, f"{task}_start", "")
    if not run:
        return None
    folder = adapter_folder(task, run)
    _training(folder)
    return folder


def encoder_of(config: Config, labels: LabelSet, root: Path | None = None) -> tuple[Beside, str] | None:
    """(the encoder that answers beside the adapters, the beginning of the SHA-256 of its heads); None without the
    parameter `encoder`. root: as in run_folder.

    Raises RunError for a run that is not there or trained none, ModelError for one of another label set, and for one
    that is not finished or whose base model is not here.
    """
    if not config.encoder:
        return None
    folder = run_folder(config.encoder, root)
    record = encoder_record(folder)
    if record is None:
        raise RunError(f"parameter encoder: {folder} holds no encoder. Name a run of python -m utils.train encoder")
    its = recorded_labels(record, folder / "config.json")
    if its != labels:
        raise ModelError(f"{folder}: its encoder was trained on {its.name}, and the labels here are {labels.name}")
    from utils.tasks.encoder_scores import load_encoders  # here, so that records are read without loading torch

    return load_encoders([folder / "encoder"], labels), weights_of_encoder(folder / "encoder")


def task_of(adapter) -> str | None:
    """The task that the adapter in this folder was trained on. Older records lack it: then the name that runs give the
    folder says it, or nothing does (None). Raises ModelError for a folder without a finished adapter."""
    path = _training(adapter)
    folder = path.absolute().parent
    by_place = folder.name if folder.parent.name == "adapters" and folder.name in TRAINED_BY else None
    return read_object(path).get("task", by_place)


def labels_of(adapter) -> LabelSet:
    """The label set that the adapter in this folder was trained on. Raises FileError and ModelError as `trained_with`
    does."""
    path = _training(adapter)
    return recorded_labels(read_object(path), path)


def _training(adapter) -> Path:
    path = Path(adapter) / "training.json"
    if not path.is_file():
        hint = f" such as {Path(adapter) / 'adapters' / 'emotion'}" if (Path(adapter) / "adapters").is_dir() else ""
        raise ModelError(
            f"{adapter}: no finished adapter here (training.json is missing). Give a folder that notebook 1 or 3 "
            f"wrote{hint}"
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
        # Its wordings stand in training.json (Task.trained), and the pool's file may be elsewhere.
        parameters = parameters | {"prompts": Config.prompts, "prompt": Config.prompt}
        config = Config.of(parameters)
        _check_projector(Path(adapter), config)
        if config.quantization == "auto":  # a run records what it was; records from before the parameter mean none
            config = replace(config, quantization="none")
        return config if max_row_tokens is None else replace(config, max_row_tokens=max_row_tokens)
    except (AttributeError, ConfigError, KeyError, TypeError) as error:
        raise ModelError(
            f"{adapter}: the parameters in {path.name} or {run} cannot be used ({error}). Train it again"
        ) from error


def _check_projector(adapter: Path, config: Config) -> None:
    """Raises ModelError for an adapter that was trained on vectors and has lost its projector."""
    if config.streams:
        from utils.models.projector import FILE  # here, so that records are read without loading torch

        if not (adapter / FILE).is_file():
            raise ModelError(f"{adapter}: {FILE} is missing, by which it reads vectors. Bring it, or train it again")


def configs_of(
    adapters: Sequence, max_row_tokens: int | None = None, parameters: Mapping[str, Any] | None = None
) -> dict[str, Config]:
    """{task: what its adapter labels with}.

    adapters    the folders of the emotion and of the cause adapter, or None in place of the latter
    parameters  {name: value} of LABELS_BY, in place of what the adapters' runs used

    Raises ConfigError for parameters that no label of these adapters depends on; what `trained_with` raises.
    """
    folders = {task: adapter for task, adapter in zip(("emotion", "cause"), adapters) if adapter is not None}
    configs = {task: trained_with(adapter, max_row_tokens) for task, adapter in folders.items()}
    for name, value in (parameters or {}).items():
        if name not in LABELS_BY:
            raise ConfigError(f"parameter {name} is none that labelling can change: give one of {', '.join(LABELS_BY)}")
        read_by = [task for task, config in configs.items() if _reads(name, task, config, folders[task])]
        if not read_by:
            raise ConfigError(f"parameter {name}: the labels of these adapters do not depend on it. Leave it out")
        for task in read_by:
            configs[task] = replace(configs[task], **{name: value})
            configs[task].check()
            configs[task].task(task, labels_of(folders[task]))
    return configs


def _reads(name: str, task: str, config: Config, adapter) -> bool:
    """Whether the labels of an adapter depend on a parameter of LABELS_BY."""
    if name == "without":
        return bool(config.streams)
    forms = {"emotion": Emotion, "cause": Cause} if name == "encoder" else dict([DECIDES[name]])
    if task not in forms or config.recipe != "one_pass":
        return False
    return isinstance(config.task(task, labels_of(adapter)), forms[task])
