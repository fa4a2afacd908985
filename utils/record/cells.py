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
from utils.data.topics import TOPICS_FILE
from utils.data.validation import PAIRS
from utils.record.inputs import Conversations, Texts, find_input
from utils.record.provenance import fingerprints
from utils.record.samples import equal_steps, nested
from utils.record.stages import EMOTION_TASKS, STAGES, TEXT_TASKS
from utils.record.study_file import SAMPLES, Study, slug
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
    """An input of a study: its folder, fingerprints, label set and splits, and whether it is of texts with opinions."""

    folder: Path
    prints: dict[str, str]
    labels: LabelSet
    splits: dict[str, list[Any]]
    of_texts: bool = False


class Inputs:
    """The inputs of a study's rows, each read once; and the splits of folds, which are written below the study."""

    def __init__(self, study: Study, root: Path):
        self.study, self.root = study, root
        self.folder = root / "results_train" / study.name
        self.sources: dict[str, Source] = {}
        self.notes: list[str] = []
        self._made: dict[str, tuple[Source, dict]] = {}
        for parameters in study.rows.values():
            self.source(parameters)

    def source(self, parameters: dict) -> Source:
        """The input that these parameters name. Raises RunError where it has no train split."""
        name = parameters.get("input_dir", Config.input_dir)
        if self.study.tasks == TEXT_TASKS:
            return self._texts(name, Config.of(parameters))
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

    def _texts(self, name: str, config: Config) -> Source:
        """`source` of texts with opinions, whose labels follow from the parameters too."""
        key = f"{name}, {config.task_type}, {config.topic}"
        if key not in self.sources:
            given = Texts(find_input(name, self.root, {}), config)
            given.task(TEXT_TASKS[0])  # it can be asked
            splits = {split: given.items(split, labelled=True) for split in ("train", "val", "test")}
            if not splits["test"]:
                raise RunError(f"{given.folder}/test holds no text, so nothing is scored; give another input")
            self.sources[key] = Source(given.folder, fingerprints(given.folder), given.labels, splits, of_texts=True)
        return self.sources[key]

    def prints(self, parameters: dict) -> dict[str, str]:
        """The fingerprints of the input that these parameters name, without what is to be labelled: it changes no
        score."""
        return {split: one for split, one in self.source(parameters).prints.items() if split != "unlabelled"}

    def tasks(self) -> tuple[str, ...]:
        """What is trained: the study's tasks, or all that every row's data and parameters allow."""
        if self.study.tasks:
            return self.study.tasks
        return EMOTION_TASKS if all(map(self._has_causes, self.study.rows.values())) else EMOTION_TASKS[:1]

    def _has_causes(self, parameters) -> bool:
        source = self.source(parameters)
        try:
            for name in EMOTION_TASKS:
                Config.of(parameters).task(name, source.labels)
        except ConfigError:
            return False
        return any(PAIRS in c for c in source.splits["train"])

    def parts(self, parameters: dict) -> list[list[Conversation]]:
        """The folds of the input's train split. Raises ConversationError where it cannot be split so."""
        source = self.source(parameters)
        return folds(source.splits["train"], self.study.folds, self.study.group, source=source.folder / "train")

    def write(self) -> None:
        """Writes the conversations of the folds and samples of `cells`: what training is given, val as it is, and to
        test the fold's own part before the input's test."""
        for name, (source, splits) in self._made.items():
            self._write(source, splits, name)

    def val_input(self, parameters: dict) -> str:
        """The input_dir of an input whose test is val, written where it is not there: what a search looks at."""
        source, name = self.source(parameters), self.fold_input(parameters.get("input_dir", Config.input_dir), "val")
        if not (self.root / name).is_dir():
            self._write(source, {**source.splits, "test": source.splits["val"]}, name)
        return name

    def _write(self, source: Source, splits: dict, name: str) -> None:
        file = (Texts if source.of_texts else Conversations).file
        texts = {f"{split}/{file}": to_json(some) for split, some in splits.items()}
        if (source.folder / LABELS_FILE).is_file():
            texts[LABELS_FILE] = to_json(source.labels.as_dict())
        if source.of_texts:
            texts[TOPICS_FILE] = (source.folder / TOPICS_FILE).read_text(encoding="utf-8")
        write_set(self.root / name, texts)

    def fold_input(self, name: str, k: int | str) -> str:
        """The input_dir of fold k of the input `name`, or of a part of it that is called k."""
        folder = f"results_train/{self.study.name}/folds/"
        return f"{folder}{slug(name.removeprefix(folder))}-{k}"

    def cells(self, tasks: tuple[str, ...]) -> list[Cell]:
        """Every run of the study: row by row, and in it seed by seed. What a part lacks is noted in `notes`.

        Raises ConversationError for data that cannot be split, ConfigError for more samples than there are."""
        study = self.study
        return [
            self._cell(row, seed, fold, tasks)
            for row in study.rows
            for seed in study.seeds
            for fold in (range(1, study.folds + 1) if study.folds > 1 else (None,))
        ]

    def _cell(self, row: str, seed: int, fold: int | None, tasks) -> Cell:
        study, given = self.study, self.study.rows[row]
        own = {name: value for name, value in given.items() if name != SAMPLES} | {"seed": seed}
        source, name = self.source(given), given.get("input_dir", Config.input_dir)
        run, part, train = f"{study.name}-{slug(row)}", [], source.splits["train"]
        if fold:
            run, name = f"{run}-fold-{fold}", self.fold_input(name, fold)
            parts = self.parts(given)
            part, train = parts[fold - 1], [c for other in parts if other is not parts[fold - 1] for c in other]
        if SAMPLES in given:
            most = self._most(train, source, seed)
            train = nested(train, given[SAMPLES], seed)
            own |= equal_steps(own, tasks, train, most, source.labels)
            name = self.fold_input(name, f"{given[SAMPLES]}-seed-{seed}")
        if fold or SAMPLES in given:
            splits = {"train": train, "val": source.splits["val"], "test": part + source.splits["test"]}
            if name not in self._made:
                self._note_absent(name.rsplit("/", 1)[1], train, part, source.labels)
            own["input_dir"], self._made[name] = name, (source, splits)
        run += f"-seed-{seed}" if len(study.seeds) > 1 else ""
        split_by = f"{study.folds} by {study.group}" if fold else ""
        return Cell(run, row, seed, fold, {**own, "run_name": run}, split_by, self.prints(given))

    def _most(self, train: list, source: Source, seed: int) -> list:
        """The largest sample of the study, on which all rows take as many steps: that of the first row that has it; of
        `train`, from `source`, where that row has the same input, or other labels."""
        row = max(self.study.rows.values(), key=lambda one: one.get(SAMPLES, 0))
        other = self.source(row)
        if other is not source and other.labels == source.labels:
            train, source = other.splits["train"], other
        return nested(train, row[SAMPLES], seed, source.folder / "train")

    def _note_absent(self, name, train, part, labels):
        for what, some in (("training", train), ("held-out", part)):
            if some and (missing := absent(some, labels)):
                self.notes.append(f"{name}: no {what} utterance carries {', '.join(missing)}")
        if part and 2 * len(part) * self.study.folds < len(train) + len(part):
            self.notes.append(
                f"{name}: {len(part)} of {len(train) + len(part)} conversations are held out, far from even"
            )


def notebooks_of(tasks: tuple[str, ...]) -> list[str]:
    """The notebooks of the chain that these tasks need, in order."""
    return [stage.notebook for stage in STAGES if stage.task in tasks]
