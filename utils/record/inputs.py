"""What a run is on: conversations, texts with opinions, or instructions with answers; where they are, and the sample
where a person gave none.

given = input_of_notebook("opinion_training")(folder, config)
given.labels, given.items("train", labelled=True), given.task("opinion")
"""

import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

from utils.config import Config
from utils.data.captions import check_captions, check_there
from utils.data.conversations import load_conversations, without_labels
from utils.data.features import FOLDER, Stream, check_streams, check_video_names, read_stream, utterances_of
from utils.data.instruction_input import SAMPLE as SAMPLE_EXAMPLES
from utils.data.instruction_input import count_table as example_table
from utils.data.instruction_input import make_input as make_examples
from utils.data.instructions import EXAMPLES_FILE, check_images, load_examples
from utils.data.labels import LabelSet, labels_in
from utils.data.opinion_input import make_sample
from utils.data.opinion_splits import count_table as opinion_table
from utils.data.opinions import TEXTS_FILE, load_texts, on_topics, topics_in, without_opinions
from utils.data.sources import overlap, write_splits
from utils.data.splits import count_table
from utils.data.topics import TOPICS_FILE
from utils.data.validation import PAIRS
from utils.record.provenance import fingerprints, read_records
from utils.record.stages import CONVERSATIONS, EMOTION_TASKS, EXAMPLES, FIRST, TEXTS, Stage
from utils.system import places
from utils.system.errors import ConfigError, RunError, shown
from utils.system.files import write_set
from utils.system.parameters import names_in
from utils.system.places import ROOT
from utils.tasks.instruction import within
from utils.tasks.opinion import unanswered
from utils.tasks.senses import senses_of, sensing
from utils.tasks.task import Task

TEXTS_DIR, EXAMPLES_DIR = "input/opinions", "input/instructions"  # where generate_input.py writes these


class Conversations:
    """The input of the notebooks 1 to 4, as `config` asks for it: the splits in `folder`, and its label set."""

    file, called = "conversations.json", "conversations"

    def __init__(self, folder: Path, config: Config):
        self.folder, self.config = folder, config
        self.labels: LabelSet = labels_in(folder)

    def items(self, split: str, labelled: bool) -> list[Any]:
        """The conversations of a split, or [] where the split is empty or (but for train) absent. Raises RunError for
        a train split that is not there, ConversationError for one that cannot be used."""
        path = self.folder / split / self.file
        if not path.is_file():
            return _absent(path, split)
        found = load_conversations(path, labelled=labelled, allow_empty=split != "train", labels=self.labels)
        check_captions(found, path, names_in(self.config.captions))
        check_video_names(found if names_in(self.config.streams) else (), path)
        return found

    def task(self, name: str) -> Task:
        """The task `name`, a key of TASKS, with the streams that it reads. Raises ConfigError for a label set that it
        cannot be asked of and for captions and streams that train has none of, FileError for a stream that cannot be
        read, RunError for causes where the input has none."""
        task = self.config.task(name, self.labels)
        if captions := senses_of(self.config).captions:
            check_there(self.items("train", labelled=True), self.folder / "train", captions)
        if self._streams:
            task = sensing(task, self._streams)
        if task.on_emotions and name not in self.tasks():
            raise RunError(
                f"{self.folder}: the conversations have emotions and no causes, so notebooks 1 and 2 are all there "
                "is. For causes give conversations with emotion-cause_pairs"
            )
        return task

    def tasks(self) -> tuple[str, ...]:
        """The tasks that the input can teach."""
        caused = any(PAIRS in one for one in self.items("train", labelled=True))
        return EMOTION_TASKS if caused else EMOTION_TASKS[:1]

    @cached_property
    def _streams(self) -> dict[str, Stream]:
        streams = _streams_in(self.folder, self.config)
        if streams:
            said = utterances_of(self.items("train", labelled=True))
            check_streams(said, self.folder / "train", streams.values())
        return streams

    blind = staticmethod(without_labels)


class Texts:
    """The input of the opinion notebooks, as `config` asks for it: the texts on its topics, and how opinions are
    asked."""

    file, called = TEXTS_FILE, "texts"

    def __init__(self, folder: Path, config: Config):
        """Raises RunError for a folder that holds no texts, ConfigError for a topic that they are not on."""
        self.folder, self.config = folder, config
        if not (folder / TOPICS_FILE).is_file():
            raise RunError(f"{folder / TOPICS_FILE} is missing: run {FIRST['train']} --task opinion first")
        self._known = topics_in(folder)
        names = names_in(config.topic) or [*self._known]
        for name in names:
            if name not in self._known:
                known = ", ".join(self._known)
                raise ConfigError(f"parameter topic: {folder} has no texts on {shown(name)}, but on {known}")
        topics = {name: self._known[name] for name in names}
        self.asked: Any = config.task(TEXTS[0].task, topics)  # whether train answers it, `task` says
        self.labels: LabelSet = self.asked.labels

    def items(self, split: str, labelled: bool) -> list[Any]:
        """The texts of a split on the topics of the run, or [] as for conversations. Raises RunError and
        OpinionError."""
        path = self.folder / split / self.file
        if not path.is_file():
            return _absent(path, split)
        return on_topics(load_texts(path, self._known, labelled), self.asked.topics)

    def task(self, name: str) -> Task:
        """The task of opinions. Raises ConfigError for a type of task that no text of train answers."""
        if part := unanswered(self.asked, self.items("train", labelled=True)):
            raise ConfigError(
                f"parameter task_type is {self.config.task_type}; no text of {self.folder / 'train'} has a {part}. "
                "Give the task_type of the data (docs/opinions.md)"
            )
        return self.asked

    def tasks(self) -> tuple[str, ...]:
        return (TEXTS[0].task,)

    blind = staticmethod(without_opinions)


class Examples:
    """The input of the instruction notebooks, as `config` asks for it: instructions with answers, in its template."""

    file, called = EXAMPLES_FILE, "examples"

    def __init__(self, folder: Path, config: Config):
        """Raises RunError for a folder that holds no examples, FileError and ModelError for a template that cannot be
        used."""
        self.folder, self.config = folder, config
        if chain_on(folder) != EXAMPLES:
            raise RunError(
                f"{folder / 'train' / self.file} is missing: run {FIRST['train']} --task {EXAMPLES[0].task} first"
            )
        self.asked: Any = config.task(EXAMPLES[0].task)
        self.labels: LabelSet = self.asked.labels
        self._read: dict[str, list[Any]] = {}

    def items(self, split: str, labelled: bool) -> list[Any]:
        """The examples of a split, or [] as for conversations; of train and val those within `cutoff_len`, and a line
        says how many are not. Raises RunError, InstructionError, and TrainingError for examples that are too long."""
        if split not in self._read:
            path = self.folder / split / self.file
            found = load_examples(path, labelled) if path.is_file() else _absent(path, split)
            if split in ("train", "val") and found:
                found = self._within(split, found)
            self._read[split] = found
        return self._read[split]

    def _within(self, split: str, examples: list[Any]) -> list[Any]:
        from utils.models.load import load_tokenizer  # here, so that other runs open without loading transformers

        limits = self.config.cutoff_len, self.config.too_long
        found, longer = within(self.asked, examples, load_tokenizer(self.config.model), *limits)
        if longer:
            print(f"{split}: {len(longer):,} of {len(examples):,} examples are longer than cutoff_len, and left out")
        return found

    def task(self, name: str) -> Task:
        """The task of instructions, with the streams that it reads. Raises ConfigError for a stream that train has none
        of, FileError for one that cannot be read, InstructionError for two pictures of one name."""
        return sensing(self.asked, self._streams) if self._streams else self.asked

    @cached_property
    def _streams(self) -> dict[str, Stream]:
        streams = _streams_in(self.folder, self.config)
        if streams:
            train = self.items("train", labelled=True)
            check_streams(train, self.folder / "train", streams.values(), "example", "image")
            others = [one for split in ("val", "test") for one in self.items(split, labelled=True)]
            check_images([*train, *others, *self.items("unlabelled", labelled=False)], self.folder)
        return streams

    def tasks(self) -> tuple[str, ...]:
        return (EXAMPLES[0].task,)

    @staticmethod
    def blind(example: Any) -> Any:
        """What inference reads: the answer too, whose probability is a figure."""
        return example


def _streams_in(folder: Path, config: Config) -> dict[str, Stream]:
    """{name: stream} of those that the parameters name. Raises FileError for one that cannot be read."""
    return {name: read_stream(folder / FOLDER, name) for name in senses_of(config).streams}


def _absent(path: Path, split: str) -> list:
    if split == "train":
        raise RunError(f"{path} is missing: run {FIRST['train']} first")
    return []


def input_of_notebook(notebook: str) -> type[Conversations | Texts | Examples]:
    """What a notebook reads; conversations, for one that is in no chain."""
    kinds = {TEXTS: Texts, EXAMPLES: Examples}
    return next((kind for chain, kind in kinds.items() if notebook in [one.notebook for one in chain]), Conversations)


def chain_on(folder: Path) -> tuple[Stage, ...]:
    """The notebooks for the input in this folder."""
    if any(folder.glob(f"*/{EXAMPLES_FILE}")):
        return EXAMPLES
    return TEXTS if (folder / TOPICS_FILE).is_file() else CONVERSATIONS


# ---- the samples ---------------------------------------------------------------------------------------------------


def _sample_conversations(folder: Path) -> tuple[str, str]:
    parts = write_splits(ROOT / "data" / "sample", folder).parts
    return count_table(parts), f"{{{','.join(parts)}}}/{Conversations.file}"


def _sample_texts(folder: Path) -> tuple[str, str]:
    made = make_sample(ROOT)
    write_set(folder, made.files)
    return opinion_table(made.parts), f"{{{','.join(made.parts)}}}/{Texts.file}"


def _sample_examples(folder: Path) -> tuple[str, str]:
    made = make_examples(ROOT / SAMPLE_EXAMPLES)
    write_set(folder, made.files)
    return example_table(made.parts), f"{{{','.join(made.parts)}}}/{Examples.file}"


# {an input_dir that a person gets without naming one: what writes the sample there, and returns a table of counts and
# the files}
_SAMPLES = {Config.input_dir: _sample_conversations, TEXTS_DIR: _sample_texts, EXAMPLES_DIR: _sample_examples}


def find_input(input_dir: str, root: Path, recorded: dict[str, str]) -> Path:
    """The folder of a run's input.

    input_dir  the parameter of this name
    root       the folder of results_train/ and results_test/
    recorded   the fingerprints of the input that the run's records name; {} for a new run

    Where a default input is missing, the sample is split into it, unless the run is on other data.
    """
    folder = places.find().find_input(input_dir, root)
    if input_dir in _SAMPLES and not folder.exists():
        write = _SAMPLES[input_dir]
        with tempfile.TemporaryDirectory() as place:
            write(Path(place))
            is_sample = recorded.items() <= fingerprints(Path(place)).items()
        if is_sample:
            table, files = write(folder)
            print(table)
            print(f"the sample, written to {folder}/{files}")
    return folder


def tell_overlap(folder: Path) -> None:
    """Prints a line where conversations of a run's input that are held out are in train too."""
    paths = {name: folder / name / "conversations.json" for name in ("train", "val", "test")}
    paths, labels = {name: path for name, path in paths.items() if path.is_file()}, labels_in(folder)
    if note := overlap({name: load_conversations(p, allow_empty=True, labels=labels) for name, p in paths.items()}):
        print(note)


def runs_on(folder: Path) -> list[str]:
    """The names of the runs in results_train/ whose records name the files of this input as they are now."""
    here = fingerprints(folder)
    records = {
        path.parent: read_records(path.parent)
        for path in (places.find().results / "results_train").glob("*/config.json")
    }
    return sorted(run.name for run, found in records.items() if any(one.get("input") == here for one in found.values()))
