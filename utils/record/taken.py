"""Whose is a run's name? It is taken by what a run left: a folder in which nothing was trained or labelled is free.

records = counted_records(folders)                                        # of the notebooks that left something
refuse_another(folder, records[folder], notebook, record, input_dir)      # RunError where another run is in there
check_notebooks(config, notebooks, root)                                  # the same for notebooks that are to run
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from utils.config import Config
from utils.data.labels import recorded_labels
from utils.record.inputs import chain_on, find_input, input_of_notebook
from utils.record.provenance import features_of, fingerprints, read_records
from utils.record.stages import CHAINS, CONVERSATIONS, FIRST, INFERENCE, Stage, parameter_names
from utils.system.errors import RunError, shown
from utils.system.parameters import names_in
from utils.system.places import RESULTS

# Its default was another before: what the records of runs mean that lack the parameter.
BEFORE = {"quantization": "none"}
# What may be another. No result follows from the first: where the input is and who follows the training, and a limit
# that refuses long conversations. The others change inference by rounding alone.
NO_RESULT, OF_INFERENCE = {"input_dir", "report_to", "max_row_tokens"}, {"token_budget", "offload"}
# What the notebooks that label leave, one of them at least. A run that ships has no text.
LABELLED = {
    "emotion": ("emotion_labelled_data.json", "metrics.json", "predictions.jsonl"),
    "cause": ("Subtask_2_pred.json",),
    "opinion": ("metrics.json", "predictions.jsonl"),
    "instruction": ("metrics.json", "predictions.jsonl"),
}


def _left_something(stage: Stage, folders: list[Path]) -> bool:
    """Whether a stage left what is not to be lost: a trained adapter, a training that goes on, or labels."""
    if stage.writes == "labels":
        there = any((folder / name).is_file() for folder in folders for name in LABELLED[stage.task])
        return there or stage == CONVERSATIONS[-1] and any(map(_has_pairs, folders))
    adapters = [folder / "adapters" / stage.task for folder in folders]
    return any((one / "training.json").is_file() or any(one.glob("**/checkpoint-*")) for one in adapters)


def _has_pairs(folder: Path) -> bool:
    """Whether the labels in predictions.jsonl are of notebook 4: emotions alone are there before it."""
    path = folder / "predictions.jsonl"
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return '"emotion-cause_pairs"' in file.readline()


def counted_records(folders: list[Path]) -> dict[Path, dict[str, dict]]:
    """{folder: {notebook or command: what config.json records of it}} of a run's folders, without the notebooks behind
    the last one of their chain that left something."""
    free = set()
    for chain in CHAINS:
        left = [_left_something(stage, folders) for stage in chain]
        free |= {stage.notebook for place, stage in enumerate(chain) if not any(left[place:])}
    return {
        folder: {name: record for name, record in read_records(folder).items() if name not in free}
        for folder in folders
    }


def recorded_quantization(records: dict[Path, dict[str, dict]]) -> str | None:
    """What a run's notebooks so far were run with; None before the first of them."""
    parameters = [one["parameters"] for those in records.values() for one in those.values()]
    recorded = [one["quantization"] for one in parameters if "quantization" in one]
    return next(iter(recorded), BEFORE["quantization"] if parameters else None)


def refuse_another(folder: Path, records: dict[str, dict], notebook: str, record: dict[str, Any], input_dir: Path):
    """Raises RunError where the `records` of a run's folder are of a run with other parameters, conversations or labels
    than `record`, that of `notebook`. Parameters are compared that both have."""
    here, defaults, labels = record["parameters"], Config().as_dict() | BEFORE, recorded_labels(record, folder)
    for name, before in records.items():
        if before.get("input") and not record["input"]:
            raise RunError(
                f"{input_dir}, which this run is on, is not here: make it again with {FIRST['train']}, "
                "or choose another run_name"
            )
        there = before["parameters"]
        names = {*there, *here} if name == notebook else {*there} & {*here}
        names -= NO_RESULT | (OF_INFERENCE if {name, notebook} & {*INFERENCE} else set())
        # A parameter that came after the run has a default which leaves all as it was.
        values = {n: [one.get(n, defaults.get(n)) for one in (there, here)] for n in sorted(names)}
        changed = [f"{n} {shown(one)} there, {shown(other)} here" for n, (one, other) in values.items() if one != other]
        inputs = before.get("input", record["input"]), record["input"]
        if splits := sorted(n for n in {*inputs[0], *inputs[1]} if inputs[0].get(n) != inputs[1].get(n)):
            changed.append(f"other {' and '.join(splits)} {input_of_notebook(notebook).called}")
        features = before.get("features", {}), record.get("features", {})
        changed += [
            f"other vectors of {n}" for n in {*features[0]} & {*features[1]} if features[0][n] != features[1][n]
        ]
        if (its := recorded_labels(before, folder / "config.json")) != labels:
            changed.append(f"labels {shown(its.name)} there, {shown(labels.name)} here")
        if changed:
            raise RunError(
                f"{folder} already holds another run ({', '.join(changed)}, in {name}). Choose another run_name, or "
                "remove that folder first"
            )


def recorded_input(records: dict[Path, dict[str, dict]]) -> dict[str, str]:
    """The fingerprints of the input that a run is on; {} for a new one."""
    return next((one["input"] for those in records.values() for one in those.values() if one.get("input")), {})


def chain_of(config: Config, root: Path) -> tuple[Stage, ...]:
    """The notebooks for the input of a run below `root`; where a default input is missing, the sample is split into
    it."""
    records = counted_records([root / name / config.run_name for name in RESULTS])
    return chain_on(find_input(config.input_dir, root, recorded_input(records)))


def check_notebooks(config: Config, notebooks: Sequence[str], root: Path) -> Path:
    """Whether `notebooks`, which are to run with `config`, would be refused the run's folders below `root`: then raises
    RunError. Returns the folder of the input; where the default one is missing, the sample is split into it."""
    folders = [root / name / config.run_name for name in RESULTS]
    records = counted_records(folders)
    input_dir = find_input(config.input_dir, root, recorded_input(records))
    if config.quantization == "auto":
        config = replace(config, quantization=recorded_quantization(records) or "none")
    found = fingerprints(input_dir)
    for notebook in notebooks:
        record = {"input": found, "labels": input_of_notebook(notebook)(input_dir, config).labels.as_dict()}
        names = parameter_names(notebook)
        parameters = {name: value for name, value in config.as_dict().items() if name in names}
        record |= features_of(input_dir, names_in(config.streams))
        for folder in folders:
            refuse_another(folder, records[folder], notebook, {**record, "parameters": parameters}, input_dir)
    return input_dir
