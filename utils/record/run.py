"""Run folders: what a run was (config.json), its inputs, adapters and outputs.

    config, run = open_run(globals(), "1_emotion_recognition_training")
    run.task("emotion"); run.conversations("train", labelled=True); run.adapter("emotion"); run.train_dir; run.test_dir

results_train/<run_name>/ holds the adapters and inference on labelled conversations held out of training;
results_test/<run_name>/ inference on unlabelled ones. Nothing is written outside the two.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from utils.config import Config
from utils.data.conversations import Conversation, load_conversations
from utils.data.instructions import Example
from utils.data.opinions import Text
from utils.record.adapter import encoder_of, other_adapter
from utils.record.card import write_cards
from utils.record.inputs import find_input, input_of_notebook, tell_overlap
from utils.record.lock import opened, release
from utils.record.predictions import write_predictions
from utils.record.provenance import features_of, fingerprints, read_records, revision, versions, weights_of
from utils.record.scores import write_scores
from utils.record.stages import FIRST, LABELLED_BY
from utils.record.taken import counted_records, recorded_input, recorded_quantization, refuse_another
from utils.report.scores import emotion_rows, head, pair_rows, read_scores
from utils.report.verdict import verdict
from utils.system import places
from utils.system.errors import RunError
from utils.system.files import intact, read_json, read_object, write_json
from utils.system.parameters import names_in
from utils.system.places import ROOT
from utils.tasks.cause import with_gold_causes
from utils.tasks.task import Task, with_encoder


def open_run(values: dict, notebook: str, root: Path | None = None) -> tuple[Config, "Run"]:
    """The checked parameters among a notebook's globals(), and the run's folders opened for this notebook, below
    `root` (default: where the place keeps results). Where the default input is missing, the sample is split.

    Raises ConfigError for a parameter that cannot be, RunError for folders that hold another run.
    """
    config = Config.of(values)
    root = root or places.find().results
    records = counted_records([root / "results_train" / config.run_name])
    find_input(
        config.input_dir,
        root,
        recorded_input(records),
    )
    run = Run(config, notebook, [name for name in config.as_dict() if name in values], root)
    tell_overlap(run.input_dir)
    return run.config, run


def quantization_here(config: Config) -> str:
    """What quantization "auto" is on this machine: "nf4" or "none"."""
    if not places.gpus():
        return "none"
    from utils.models.fits import choose_quantization  # here, so that a run without a card opens without loading torch

    return choose_quantization(config)


class Run:
    """The folders of one run, opened for one notebook.

    config.json gathers, notebook by notebook, the parameters, fingerprints of the input, its label set (`labels`), the
    code's revision and the package versions. Opening refuses (RunError) a folder in which this or another notebook left
    something with other parameters or on other data (utils/record/taken.py): nothing written is lost, and no
    conversation moves from training to test.
    """

    def __init__(self, config: Config, notebook: str, names: list[str], root: Path = ROOT):
        """`names`: the parameters that this notebook uses; only they are recorded and compared.

        `run.config` is `config` with the quantization that "auto" stands for: the recorded one, in a run that has
        begun, otherwise what suits this machine. Raises ModelError for a model that cannot be found there."""
        self.notebook, self.root = notebook, Path(root)
        self.train_dir = self.root / "results_train" / config.run_name
        self.test_dir = self.root / "results_test" / config.run_name
        self.input_dir = places.find().find_input(config.input_dir, self.root)
        self._adapter_used, self._started = {}, time.monotonic()
        with opened(self.train_dir):  # first: what is checked must not change before it is written
            self._open(config, names)

    def _open(self, config, names):
        before = counted_records(self._folders)
        if config.quantization == "auto":
            config = replace(config, quantization=recorded_quantization(before) or quantization_here(config))
        self.config = config
        self.input = input_of_notebook(self.notebook)(self.input_dir, config)
        parameters = {name: value for name, value in config.as_dict().items() if name in names}
        record = {"parameters": parameters, "input": fingerprints(self.input_dir)}
        self.labels = self.input.labels
        record |= {"labels": self.labels.as_dict(), "revision": revision(), "versions": versions()}
        record |= features_of(self.input_dir, names_in(config.streams))
        for folder in self._folders:
            refuse_another(folder, before[folder], self.notebook, record, self.input_dir)
        for folder in self._folders:
            made_by = before[folder].get(self.notebook, {})  # whose outputs are there, until `finish`
            made_by = {name: made_by[name] for name in ("adapter", "thresholds", "encoder weights") if name in made_by}
            write_json({**before[folder], self.notebook: record | made_by}, folder / "config.json")

    @property
    def plots(self) -> Path:
        """The folder of the run's pictures."""
        return self.train_dir / "plots"

    @property
    def _folders(self) -> list[Path]:
        """The folders whose config.json records the run's parameters."""
        return [self.train_dir, self.test_dir]

    # ---- inputs ----------------------------------------------------------------------------------------------

    def conversations(self, split: str, labelled: bool) -> list[Conversation]:
        """The conversations of a split of `input_dir`, or [] where the split is empty or (but for train) absent."""
        return self.input.items(split, labelled)

    def texts(self, split: str, labelled: bool) -> list[Text]:
        """The same of an input of texts with opinions."""
        return self.input.items(split, labelled)

    def examples(self, split: str, labelled: bool) -> list[Example]:
        """The same of an input of instructions with answers."""
        return self.input.items(split, labelled)

    def task(self, name: str) -> Task:
        """The task `name`, a key of TASKS, with the run's parameters and what the input says.

        Raises ConfigError and RunError for what the input cannot be asked (utils/record/inputs.py)."""
        return self.input.task(name)

    def training_conversations(self, task: Task) -> list[Conversation]:
        """What `task` is trained on: the train split. With cause_emotions="predicted" a task on emotions reads what
        notebook 2 predicted, with the gold causes."""
        train = self.conversations("train", labelled=True)
        if not task.on_emotions or self.config.cause_emotions == "gold":
            return train
        predicted = self.emotion_labelled(self.train_dir, "train", name="train_emotions")
        return [with_gold_causes(one, gold, task.labels) for one, gold in zip(predicted, train, strict=True)]

    def unlabelled_words(self) -> list[Conversation]:
        """The unlabelled conversations that are read before the labels, [] without `text_epochs`. Those with three
        utterances in a row that are held out too, in val or test (or all of a shorter one's), are left out: scores must
        not gain from having read them."""
        if not self.config.text_epochs:
            return []

        def passages(c):
            texts = [" ".join(u["text"].lower().split()) for u in c["conversation"]]
            return {tuple(texts[i : i + 3]) for i in range(max(1, len(texts) - 2))}

        held_out = [c for split in ("val", "test") for c in self.conversations(split, labelled=True)]
        known = set().union(*map(passages, held_out))
        given = self.conversations("unlabelled", labelled=False)
        kept = [c for c in given if not passages(c) & known]
        if len(kept) < len(given):
            print(
                f"{len(given) - len(kept)} of {len(given)} unlabelled conversations also stand in val or test: "
                "their words are not read before the labels"
            )
        return kept

    def emotion_labelled(self, folder: Path, split: str, name: str = "emotion_labelled_data") -> list[Conversation]:
        """Notebook 2's output for a split, or [] where the split has no conversations."""
        if not self.conversations(split, labelled=split != "unlabelled"):
            return []
        path = folder / f"{name}.json"
        for file in (path, folder / f"{name}_probabilities.json"):
            if not file.is_file():
                raise RunError(f"{file} is missing: run {FIRST['emotion labels']} first{places.find().bring_hint}")
        if other_adapter(read_records(folder), LABELLED_BY["emotion"], self.adapter("emotion")):
            raise RunError(
                f"{path} is of an emotion adapter that was trained again since: run {FIRST['emotion labels']} first"
            )
        conversations = load_conversations(path, labels=self.labels)
        with intact(folder / f"{name}_probabilities.json", f"Run {FIRST['emotion labels']} again"):
            lengths = [len(one) for one in read_json(folder / f"{name}_probabilities.json")]
        if lengths != [len(c["conversation"]) for c in conversations]:
            raise RunError(
                f"{path}: it has other utterances than {name}_probabilities.json beside it: run "
                f"{FIRST['emotion labels']} again"
            )
        for c in conversations:
            if any("emotion" not in u for u in c["conversation"]):
                raise RunError(
                    f"{path}: conversation {c['conversation_ID']} lacks emotions: run {FIRST['emotion labels']} again"
                )
        return conversations

    def adapter(self, task: str) -> Path:
        """Folder of the adapter of `task`, "emotion" or "cause"."""
        return self.train_dir / "adapters" / task

    def finished_adapter(self, task: str) -> Path:
        """The same, once it has been trained; otherwise RunError names the notebook to run first."""
        folder = self.adapter(task)
        if not (folder / "training.json").is_file():
            raise RunError(
                f"{folder} holds no finished adapter: run {FIRST[f'{task} adapter']} first{places.find().bring_hint}"
            )
        if (folder / "adapter_model.safetensors").is_file():
            recorded = read_object(folder / "training.json")
            self._adapter_used = {"adapter": weights_of(folder)}
            self._adapter_used |= {"thresholds": recorded["thresholds"]} if "thresholds" in recorded else {}
            self._record_adapter(only_first=True)
        return folder

    def trained(self, task: Task) -> Task:
        """`task` as the run's adapter answers it, and beside that the encoder where the parameter names one. Raises
        what Task.trained and utils.record.adapter.encoder_of raise."""
        task = task.trained(self.finished_adapter(task.name))
        if (beside := encoder_of(self.config, self.labels, self.root)) is None:
            return task
        encoder, weights = beside
        self._adapter_used |= {"encoder weights": weights}
        return with_encoder(task, encoder)

    def _record_adapter(self, only_first=False):
        """Record whose outputs this notebook writes, and from which thresholds on several labels are named;
        `only_first`: not in place of another's, whose outputs may still be there."""
        for folder in self._folders if self._adapter_used else []:
            records = read_records(folder)
            if not (only_first and "adapter" in records[self.notebook]):
                records[self.notebook] |= self._adapter_used
                write_json(records, folder / "config.json")

    def finish_adapter(
        self,
        task: str,
        history: list[dict],
        counts: dict[str, float],
        decided: dict | None = None,
        of_text: Sequence[dict] = (),
        structure: bool = False,
        counted: str = "emotions",
        begun: dict | None = None,
    ):
        """Mark the adapter as finished: its task, every parameter, the code's revision, the label set, how often
        training saw each label (`counts`, of what is `counted`), what the task decided on val (`decided`), the
        trainer's log, of the words too where they came first (`of_text`), whether utils/tasks/cause_structure.py has
        its file there, and the adapter that it began as (`begun`) stand in its training.json. Its checkpoints are
        removed."""
        folder = self.adapter(task)
        record = {
            "task": task,
            "parameters": self.config.as_dict(),
            "revision": revision(),
            "labels": self.labels.as_dict(),
        }
        record |= {counted: counts, **(decided or {}), "history": history}
        record |= {"text_history": of_text} if of_text else {}
        record |= {"start": begun} if begun else {}
        if structure:
            record["structure"] = {"revision": revision(), "scikit-learn": versions()["scikit-learn"]}
        record["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(record, folder / "training.json")  # first: on a full disk the checkpoints are still needed
        self.drop_checkpoints(task)

    def drop_checkpoints(self, task: str):
        """Remove what only an unfinished training needs."""
        shutil.rmtree(self.adapter(task) / "checkpoints", ignore_errors=True)

    def history(self, task: str) -> list[dict] | None:
        """The trainer's log of a finished adapter, or None where it has not been trained."""
        path = self.adapter(task) / "training.json"
        return read_object(path).get("history") if path.is_file() else None

    # ---- outputs ---------------------------------------------------------------------------------------------

    def inference(self) -> tuple:
        """(settings, journal), the last arguments of utils.tasks.ask.predict: an interrupted inference continues where
        it stopped."""
        from utils.engine.inference import Journal  # here, so that results are read without loading torch

        return self.config.inference(), Journal(self.train_dir / "unfinished.jsonl")

    def finish(self):
        """The notebook's outputs are written: forget the journal, and record the adapter that made them. The adapters'
        cards take the scores in."""
        self._record_adapter()
        (self.train_dir / "unfinished.jsonl").unlink(missing_ok=True)
        write_cards(self.train_dir)

    def hand_over(self):
        """Ends a notebook: the results go where a person finds them (places.Place.hand_over), and another process, such
        as the next notebook's kernel, may open the run. Lines say what the notebook took, and before that whether the
        labels show that nothing was learnt."""
        from utils.system.hardware import spent  # here, so that results are read without loading torch

        try:  # to where the run was opened, also where a Drive was mounted since
            replace(places.find(), results=self.root).hand_over(self.train_dir, self.test_dir)
            shown = {"emotion": ["emotions"], "cause": ["emotions", "pairs"]}
            shown |= {"opinion": ["opinions"], "instruction": ["instructions"]}
            sections = {LABELLED_BY[task]: names for task, names in shown.items()}
            for line in verdict(read_scores(self.train_dir), sections.get(self.notebook, [])):
                print(line)
            print(spent(self._started))
        finally:
            release(self.train_dir)

    def score(self, gold: list[Conversation], section: str, rows: dict) -> dict:
        """Write one section of metrics.json, leaving the others as they are; returns it."""
        return self.write_section(head(gold, self.labels), section, rows)

    def write_section(self, first: dict, section: str, rows: dict) -> dict:
        """`score`, with what metrics.json says first: about the items that were scored."""
        return write_scores(self.train_dir, first, {section: rows}, self.notebook, self._started)[section]

    def score_emotions(self, gold: list[Conversation], systems: dict[str, tuple[list[Conversation], list]]) -> dict:
        """Write the section "emotions", and return it (`emotion_rows`, which says what `systems` is)."""
        return self.score(gold, "emotions", emotion_rows(gold, systems, self.labels))

    def score_pairs(self, gold: list[Conversation], systems: dict[str, tuple[str, list[Conversation]]]):
        """Write the section "pairs" (`pair_rows`, which says what `systems` is). Without `gold` nothing is written."""
        if gold:
            self.score(gold, "pairs", pair_rows(gold, systems, self.labels))

    def save_emotions(
        self, folder: Path, conversations: list[Conversation], probabilities: list, name="emotion_labelled_data"
    ):
        """Notebook 2's output: the conversations with their emotions, and the probabilities beside them. Until notebook
        4 has run, predictions.jsonl holds these emotions."""
        write_json(conversations, folder / f"{name}.json")
        write_json(probabilities, folder / f"{name}_probabilities.json")
        if name == "emotion_labelled_data" and LABELLED_BY["cause"] not in read_records(self.train_dir):
            write_predictions(folder, conversations, probabilities, None, self.labels)

    def save_pairs(self, folder: Path, conversations: list[Conversation], emotions: list, causes: list):
        """Notebook 4's output: the conversations with their pairs (Subtask_2_pred.json), and beside them a line a
        conversation with labels and probabilities, without text (predictions.jsonl).

        conversations  with `emotion` and `emotion-cause_pairs`
        emotions       for each conversation utterances x labels, the emotions' probabilities
        causes         for each conversation {emotional utterance id: {candidate id: probability}}
        """
        write_json(conversations, folder / "Subtask_2_pred.json")
        write_predictions(folder, conversations, emotions, causes, self.labels)

    def emotion_probabilities(self, folder: Path, name="emotion_labelled_data") -> list:
        """The probabilities that `save_emotions` wrote: for each conversation utterances x labels."""
        path = folder / f"{name}_probabilities.json"
        return read_json(path) if path.is_file() else []
