"""The runs of a study: their names, parameters and conversations.

for cell in cells_of(study, root): cell.run, cell.row, cell.seed, cell.fold, cell.parameters
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from utils.config import Config
from utils.data.conversations import Conversation, load_conversations
from utils.data.folds import absent, folds
from utils.data.labels import LABELS_FILE, LabelSet, labels_in
from utils.data.validation import PAIRS
from utils.record.inputs import find_input
from utils.record.provenance import fingerprints
from utils.record.stages import STAGES, TRAINED_BY
from utils.record.study_file import Study, slug
from utils.system.errors import ConfigError, RunError
from utils.system.files import to_json, write_set

# The parts of what a study scores: the input's test, the folds that are held out, and test by a row's folds together.
TEST, HELD_OUT, AVERAGED = "test", "held-out folds", "test, folds averaged"


@dataclass(frozen=True)
class Cell:
    """One run of a study.

    run         its run_name
    row         the row of the table that it belongs to
    seed, fold  which of the row's runs it is; fold counts from 1, None without folds
    parameters  all that differ from the defaults, as its notebooks get them
    folds       how many there are, and by what; "" without
    source      the fingerprints of the input that its conversations are from
    """

    run: str
    row: str
    seed: int
    fold: int | None
    parameters: dict[str, Any]
    folds: str = ""
    source: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Source:
    """An input of a study: its folder, fingerprints, label set and splits."""

    folder: Path
    prints: dict[str, str]
    labels: LabelSet
    splits: dict[str, list[Conversation]]


class Inputs:
    """The inputs of a study's rows, each read once; and the splits of folds, which are written below the study."""

    def __init__(self, study: Study, root: Path):
        self.study, self.root = study, root
        self.folder = root / "results_train" / study.name
        self.sources: dict[str, Source] = {}
        self.notes: list[str] = []
        for parameters in study.rows.values():
            self.source(parameters)

    def source(self, parameters: dict) -> Source:
        """The input that these parameters name. Raises RunError where it has no train split."""
        name = parameters.get("input_dir", Config.input_dir)
        if name not in self.sources:
            folder = find_input(name, self.root, {})
            labels, splits = labels_in(folder), {}
            if not (folder / "train" / "conversations.json").is_file():
                raise RunError(
                    f"{folder}/train/conversations.json is missing: run generate_input.py --out {name} first"
                )
            for split in ("train", "val", "test"):
                path = folder / split / "conversations.json"
                some = path.is_file()
                splits[split] = load_conversations(path, True, split != "train", labels=labels) if some else []
            if not splits["test"] and self.study.folds < 2:
                raise RunError(
                    f"{folder}/test holds no conversation, so nothing is scored; give folds, or another input"
                )
            self.sources[name] = Source(folder, fingerprints(folder), labels, splits)
        return self.sources[name]

    def tasks(self) -> tuple[str, ...]:
        """What is trained: the study's tasks, or all that every row's data and parameters allow."""
        if self.study.tasks:
            return self.study.tasks
        return tuple(TRAINED_BY) if all(map(self._has_causes, self.study.rows.values())) else (next(iter(TRAINED_BY)),)

    def _has_causes(self, parameters) -> bool:
        source = self.source(parameters)
        try:
            for name in TRAINED_BY:
                Config.of(parameters).task(name, source.labels)
        except ConfigError:
            return False
        return any(PAIRS in c for c in source.splits["train"])

    def parts(self, parameters: dict) -> list[list[Conversation]]:
        """The folds of the input's train split. Raises ConversationError where it cannot be split so."""
        source = self.source(parameters)
        return folds(source.splits["train"], self.study.folds, self.study.group, source=source.folder / "train")

    def write_folds(self) -> None:
        """Writes the conversations of each fold: train without its part, val as it is, and to test its part before the
        input's test. What a fold lacks is noted in `notes`."""
        for name, source in self.sources.items() if self.study.folds > 1 else ():
            parts = self.parts({"input_dir": name})
            for k, part in enumerate(parts, 1):
                train = [c for other in parts if other is not part for c in other]
                self._note_absent(name, k, train, part, source.labels)
                splits = {"train": train, "val": source.splits["val"], "test": part + source.splits["test"]}
                texts = {f"{split}/conversations.json": to_json(some) for split, some in splits.items()}
                if (source.folder / LABELS_FILE).is_file():
                    texts[LABELS_FILE] = to_json(source.labels.as_dict())
                write_set(self.root / self.fold_input(name, k), texts)

    def _note_absent(self, name, k, train, part, labels):
        for what, some in (("training", train), ("held-out", part)):
            if missing := absent(some, labels):
                where = f"{name}, fold {k}" if len(self.sources) > 1 else f"fold {k}"
                self.notes.append(f"{where}: no {what} utterance carries {', '.join(missing)}")

    def fold_input(self, name: str, k: int) -> str:
        """The input_dir of fold k of the input `name`."""
        return f"results_train/{self.study.name}/folds/{slug(name)}-{k}"

    def cells(self) -> list[Cell]:
        """Every run of the study: row by row, and in it seed by seed."""
        found, study = [], self.study
        split_by = f"{study.folds} by {study.group}" if study.folds > 1 else ""
        for row, parameters in study.rows.items():
            for seed in study.seeds:
                for fold in range(1, study.folds + 1):
                    own = {**parameters, "seed": seed}
                    name = f"{study.name}-{slug(row)}"
                    if study.folds > 1:
                        name += f"-fold-{fold}"
                        own["input_dir"] = self.fold_input(parameters.get("input_dir", Config.input_dir), fold)
                    name += f"-seed-{seed}" if len(study.seeds) > 1 else ""
                    prints = self.source(parameters).prints
                    # what is to be labelled changes no score
                    prints = {split: one for split, one in prints.items() if split in ("train", "val", "test")}
                    number = fold if study.folds > 1 else None
                    found.append(Cell(name, row, seed, number, {**own, "run_name": name}, split_by, prints))
        return found


def notebooks_of(tasks: tuple[str, ...]) -> list[str]:
    """The notebooks of the chain that these tasks need, in order."""
    return [stage.notebook for stage in STAGES if stage.task in tasks]
