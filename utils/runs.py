"""Run folders: what a run was (config.json), what it scored (metrics.json), what it predicted (predictions.jsonl).

    config, run = open_run(globals(), "1_emotion_recognition_training")
    run.conversations("train", labelled=True); run.adapter("emotion"); run.train_dir; run.test_dir

    python -m utils.runs verify results_train/smollm2-135m-ecf     # are the scores those of the predictions?

results_train/<run_name>/ holds the adapters and inference on labelled conversations held out of training;
results_test/<run_name>/ inference on unlabelled ones. Nothing is written outside the two.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from filelock import FileLock, Timeout

from utils import places
from utils.command import command
from utils.config import Config
from utils.conversations import (
    EMOTIONS,
    ConversationError,
    load_conversations,
    pairs,
    read_json,
    with_emotions,
    with_pairs,
    write_json,
    write_text,
)
from utils.emotion import prior_scores

ROOT = places.ROOT
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "datasets", "scikit-learn")
FIRST = {
    "train": "generate_input.py",
    "emotion adapter": "notebook 1_emotion_recognition_training",
    "emotion labels": "notebook 2_emotion_inference",
    "cause adapter": "notebook 3_cause_prediction_training",
}


class RunError(RuntimeError):
    """A run folder that cannot be used, or an input that an earlier step has not written yet."""


def revision() -> str:
    """The code's revision: the commit, with "+changes" where the working tree differs; "unknown" without git."""

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--", "utils", "notebooks", "generate_input.py")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if changed else "")


def emotion_prior(adapter: Path, adjustment: float) -> list[float]:
    """What utils.emotion.read takes off the seven log-probabilities of this emotion adapter (emotion.prior_scores).

    Raises RunError where the adapter's training.json does not say how often training saw each emotion.
    """
    path = Path(adapter) / "training.json"
    seen = read_json(path).get("emotions")
    if not isinstance(seen, dict) or not all(isinstance(seen.get(label), int) for label in EMOTIONS):
        raise RunError(f'{path} lacks "emotions", how often training saw each of the seven: train the adapter again')
    return prior_scores(seen, adjustment)


def versions() -> dict[str, str]:
    """The installed versions of the packages that results depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def open_run(values: dict, notebook: str, root: Path | None = None) -> tuple[Config, "Run"]:
    """The checked parameters among a notebook's globals(), and the run's folders opened for this notebook, below
    `root` (default: where the place keeps results). Where the default input is missing, the sample is split.

    Raises ConfigError for a parameter that cannot be, RunError for folders that hold another run.
    """
    config = Config.of(values)
    root = root or places.find().results
    path = root / "results_train" / config.run_name / "config.json"
    records = read_json(path) if path.is_file() else {}
    _found_input(config.input_dir, root, next((one["input"] for one in records.values() if one.get("input")), {}))
    return config, Run(config, notebook, [name for name in config.as_dict() if name in values], root)


def _found_input(input_dir: str, root: Path, recorded: dict[str, str]) -> Path:
    """The folder of a run's input. Where the default one is missing, the sample is split into it, unless the run's
    records (`recorded`: its fingerprints) are of other conversations."""
    folder = places.find().find_input(input_dir, root)
    if input_dir == Config.input_dir and not folder.exists():
        import generate_input  # here, because it is no part of utils

        sample = ["--data", str(ROOT / "data" / "sample"), "--out"]
        with tempfile.TemporaryDirectory() as place:
            generate_input.generate(generate_input.parse_arguments([*sample, place]))
            is_sample = recorded.items() <= fingerprints(Path(place)).items()
        if is_sample:
            generate_input.main([*sample, str(folder)])
    return folder


def other_adapter(records: dict, notebook: str, adapter: Path) -> bool:
    """Whether a run's config.json (`records`) says that `notebook` worked with other weights than are in the folder
    `adapter`, which was then trained again."""
    made_by = records.get(notebook, {}).get("adapter")
    return bool(made_by) and (adapter / "adapter_model.safetensors").is_file() and made_by != weights_of(adapter)


def weights_of(adapter: Path) -> str:
    """The beginning of the SHA-256 of an adapter's weights."""
    return hashlib.sha256((Path(adapter) / "adapter_model.safetensors").read_bytes()).hexdigest()[:16]


def fingerprints(input_dir: Path) -> dict[str, str]:
    """The beginning of the SHA-256 of each split's file: a run is a run on these data."""
    files = sorted(input_dir.glob("*/conversations.json"))
    return {file.parent.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}


_held = {}  # this process's locks: a notebook may open its run again


def _hold(folder: Path):
    """Keep other processes out of a run folder as long as this one lives. Raises RunError where one is in. Processes
    that were started together are held by the first of them."""
    if os.environ.get("RANK", "0") != "0":
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = _held.setdefault(folder, FileLock(folder / ".lock"))
    try:
        if not lock.is_locked:
            lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(f"another process works in {folder}: let it end (a notebook that was stopped keeps it until its "
                       "kernel is shut down), or choose another run_name") from error
    except (OSError, NotImplementedError):  # a disk that knows no locks, such as a mounted drive
        pass


INFERENCE = ("2_emotion_inference", "4_cause_inference")
# What may be another: the first refuses long conversations and changes nothing else; the others change inference by
# rounding alone.
LIMITS, OF_INFERENCE = {"max_row_tokens"}, {"token_budget", "offload"}


class Run:
    """The folders of one run, opened for one notebook.

    config.json gathers, notebook by notebook, the parameters, fingerprints of the input, the code's revision and the
    package versions. Opening refuses (RunError) a folder in which this or another notebook ran with other
    parameters or on other data: nothing written is lost, and no conversation moves from training to test.
    """

    def __init__(self, config: Config, notebook: str, names: list[str], root: Path = ROOT):
        """`names`: the parameters that this notebook uses; only they are recorded and compared."""
        self.config, self.notebook, self.root = config, notebook, Path(root)
        self.train_dir = self.root / "results_train" / config.run_name
        self.test_dir = self.root / "results_test" / config.run_name
        self.input_dir = places.find().find_input(config.input_dir, self.root)
        self._adapter_used = None
        parameters = {name: value for name, value in config.as_dict().items() if name in names}
        record = {"parameters": parameters, "input": fingerprints(self.input_dir)}
        record |= {"revision": revision(), "versions": versions()}
        for path in self._records():
            self._check(path, record)
        _hold(self.train_dir)
        for path in self._records():
            before = read_json(path) if path.is_file() else {}
            made_by = before.get(notebook, {}).get("adapter")  # whose outputs are there, until `finish`
            write_json({**before, notebook: record | ({"adapter": made_by} if made_by else {})}, path)

    def _check(self, path, record):
        here, defaults = {**record["parameters"], **record["input"]}, Config().as_dict()
        for notebook, before in (read_json(path) if path.is_file() else {}).items():
            if before.get("input") and not record["input"]:
                raise RunError(f"{self.input_dir}, whose conversations this run is on, is not here: make it again with "
                               f"{FIRST['train']}, or choose another run_name")
            there = {**before["parameters"], **before.get("input", record["input"])}
            names = {*there, *here} if notebook == self.notebook else {*there} & {*here} | {*record["input"]}
            names -= LIMITS | (OF_INFERENCE if {self.notebook, notebook} & {*INFERENCE} else set())
            # A parameter that came after the run has a default which leaves all as it was.
            values = {n: [one.get(n, defaults.get(n)) for one in (there, here)] for n in sorted(names)}
            changed = {n: both for n, both in values.items() if both[0] != both[1]}
            if changed:
                difference = ", ".join(f"{n} {one!r} there, {other!r} here" for n, (one, other) in changed.items())
                raise RunError(
                    f"{path.parent} already holds another run ({difference}, in {notebook}). Choose another "
                    "run_name, or remove that folder first"
                )

    def _records(self) -> list[Path]:
        """The files that record the run's parameters."""
        return [folder / "config.json" for folder in (self.train_dir, self.test_dir)]

    # ---- inputs ----------------------------------------------------------------------------------------------

    def conversations(self, split: str, labelled: bool) -> list[dict]:
        """The conversations of a split of `input_dir`, or [] where the split is empty or (but for train) absent."""
        path = self.input_dir / split / "conversations.json"
        if not path.is_file():
            if split == "train":
                raise RunError(f"{path} is missing: run {FIRST['train']} first")
            return []
        return load_conversations(path, labelled=labelled, allow_empty=split != "train")

    def unlabelled_words(self) -> list[dict]:
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
            print(f"{len(given) - len(kept)} of {len(given)} unlabelled conversations also stand in val or test: "
                  "their words are not read before the labels")
        return kept

    def emotion_labelled(self, folder: Path, split: str, name: str = "emotion_labelled_data") -> list[dict]:
        """Notebook 2's output for a split, or [] where the split has no conversations."""
        if not self.conversations(split, labelled=split != "unlabelled"):
            return []
        path = folder / f"{name}.json"
        for file in (path, folder / f"{name}_probabilities.json"):
            if not file.is_file():
                raise RunError(f"{file} is missing: run {FIRST['emotion labels']} first{places.find().or_bring}")
        if other_adapter(read_json(folder / "config.json"), "2_emotion_inference", self.adapter("emotion")):
            raise RunError(f"{path} is of an emotion adapter that was trained again since: run "
                           f"{FIRST['emotion labels']} first")
        conversations = load_conversations(path)
        lengths = [len(one) for one in read_json(folder / f"{name}_probabilities.json")]
        if lengths != [len(c["conversation"]) for c in conversations]:
            raise RunError(f"{path}: it has other utterances than {name}_probabilities.json beside it: run "
                           f"{FIRST['emotion labels']} again")
        for c in conversations:
            if any("emotion" not in u for u in c["conversation"]):
                raise RunError(f"{path}: conversation {c['conversation_ID']} lacks emotions: run "
                               f"{FIRST['emotion labels']} again")
        return conversations

    def adapter(self, task: str) -> Path:
        """Folder of the adapter of `task`, "emotion" or "cause"."""
        return self.train_dir / "adapters" / task

    def finished_adapter(self, task: str) -> Path:
        """The same, once it has been trained; otherwise RunError names the notebook to run first."""
        folder = self.adapter(task)
        if not (folder / "training.json").is_file():
            raise RunError(f"{folder} holds no finished adapter: run {FIRST[f'{task} adapter']} first"
                           f"{places.find().or_bring}")
        if (folder / "adapter_model.safetensors").is_file():
            self._adapter_used = weights_of(folder)
            self._record_adapter(only_first=True)
        return folder

    def _record_adapter(self, only_first=False):
        """Record whose outputs this notebook writes; `only_first`: not in place of another's, whose outputs may still
        be there."""
        for path in (self._records() if self._adapter_used else []):
            records = read_json(path)
            if not (only_first and "adapter" in records[self.notebook]):
                records[self.notebook]["adapter"] = self._adapter_used
                write_json(records, path)

    def finish_adapter(self, task: str, history: list[dict], emotions: dict[str, int], of_text: list[dict] = (),
                       structure: bool = False):
        """Mark the adapter as finished: every parameter, the code's revision, how often training saw each emotion
        (`emotions`) and the trainer's log, of the words too where they came first (`of_text`), and whether
        utils/structure.py has its file there, stand in its training.json. Its checkpoints are removed."""
        folder = self.adapter(task)
        record = {"parameters": self.config.as_dict(), "revision": revision(), "emotions": emotions, "history": history}
        record |= {"text_history": of_text} if of_text else {}
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
        return read_json(path)["history"] if path.is_file() else None

    # ---- outputs ---------------------------------------------------------------------------------------------

    def inference(self) -> dict:
        """The keyword arguments that both prediction functions take, with the journal from which they go on."""
        from utils.inference import Journal  # here, so that results are read without loading torch

        return {**self.config.inference(), "journal": Journal(self.train_dir / "unfinished.jsonl")}

    def finish(self):
        """The notebook's outputs are written: forget the journal, and record the adapter that made them. The adapters'
        cards take the scores in."""
        from utils.card import write_cards  # here, because it reads runs

        self._record_adapter()
        (self.train_dir / "unfinished.jsonl").unlink(missing_ok=True)
        write_cards(self.train_dir)

    def hand_over(self):
        """Ends a notebook: the results go where a person finds them (places.Place.hand_over), and another process, such
        as the next notebook's kernel, may open the run."""
        try:  # to where the run was opened, also where a Drive was mounted since
            replace(places.find(), results=self.root).hand_over(self.train_dir, self.test_dir)
        finally:
            if lock := _held.pop(self.train_dir, None):
                lock.release()

    def add_metrics(self, section: str, values: dict):
        """Set one section of the run's metrics.json, leaving the others as they are."""
        path = self.train_dir / "metrics.json"
        metrics = read_json(path) if path.is_file() else {}
        metrics[section] = values
        write_json(metrics, path)

    def save_emotions(self, folder: Path, conversations: list[dict], probabilities: list, name="emotion_labelled_data"):
        """Notebook 2's output: the conversations with their emotions, and the probabilities beside them."""
        write_json(conversations, folder / f"{name}.json")
        write_json(probabilities, folder / f"{name}_probabilities.json")

    def emotion_probabilities(self, folder: Path, name="emotion_labelled_data") -> list:
        """The probabilities that `save_emotions` wrote: for each conversation utterances x 7."""
        path = folder / f"{name}_probabilities.json"
        return read_json(path) if path.is_file() else []


def write_predictions(folder: Path, conversations: list[dict], emotion_probabilities: list, cause_probabilities: list):
    """predictions.jsonl: a line a conversation, without text.

    conversations           with `emotion` and `emotion-cause_pairs`
    emotion_probabilities   for each conversation utterances x 7, in the order of EMOTIONS
    cause_probabilities     for each conversation {emotional utterance id: {candidate id: P}}
    """
    lines = []
    for c, emotions, causes in zip(conversations, emotion_probabilities, cause_probabilities, strict=True):
        lines.append(json.dumps({
            "conversation_ID": c["conversation_ID"],
            "emotions": [u["emotion"] for u in c["conversation"]],
            "emotion_probabilities": [[round(p, 4) for p in one] for one in emotions],
            "emotion-cause_pairs": [[f"{i}_{emotion}", str(cause)] for i, emotion, cause in pairs(c)],
            "cause_probabilities": {
                str(i): {str(k): round(p, 4) for k, p in one.items()} for i, one in causes.items()
            },
        }, ensure_ascii=False))
    write_text("".join(line + "\n" for line in lines), folder / "predictions.jsonl")


# ---- the results table ---------------------------------------------------------------------------------------


def results_table(folder) -> str:
    """The scores of a run as a Markdown table, made from its metrics.json alone: a line a system.

    Emotions: accuracy, weighted F1 over seven classes, macro F1. Pairs: the official weighted F1 over six emotions,
    and F1 over all pairs (SemEval-2024 Task 3, Subtask 2).
    """
    path = Path(folder) / "metrics.json"
    metrics = read_json(path) if path.is_file() else {}
    if "pairs" not in metrics:
        return "no scores: the run has no labelled conversations held out of training (input test split)"
    lines = [
        "| system | emotion accuracy | weighted F1 | macro F1 | pairs weighted F1 | pairs F1 |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in metrics["pairs"].items():
        emotions = metrics["emotions"].get(row["emotions"])
        cells = ["", "", ""]
        if emotions:
            cells = [f"{emotions[key]:.3f}" for key in ("accuracy", "weighted_f1", "macro_f1")]
        cells += [f"{row['scores'][key]:.3f}" for key in ("weighted_f1", "f1_pair")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


# ---- are they the scores of these predictions? ---------------------------------------------------------------


def read_predictions(path: Path, conversations: list[dict]) -> list[dict]:
    """`conversations` with the emotions and pairs of the file `path`, or of `path`/predictions.jsonl.

    Raises RunError where the two do not belong together.
    """
    path, lines = Path(path), {}
    path = path / "predictions.jsonl" if path.is_dir() else path
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            lines[one["conversation_ID"]] = one
        labelled = [
            {**with_emotions(c, lines[c["conversation_ID"]]["emotions"]),
             "emotion-cause_pairs": lines[c["conversation_ID"]]["emotion-cause_pairs"]}
            for c in conversations
        ]
        return [with_pairs(c, pairs(c)) for c in labelled]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ConversationError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else f"{error}"
        raise RunError(f"{path}: cannot be read as predictions for these conversations ({reason})") from error


def gold_of(folder: Path, root: Path | None = None) -> list[dict]:
    """The labelled conversations that a run in results_train was scored on; `root`: see open_run.

    Raises RunError for a folder without scores, and where the input is missing, empty or not the run's.
    """
    folder = Path(folder)
    if not (folder / "metrics.json").is_file() or not (folder / "config.json").is_file():
        raise RunError(f"{folder}: no metrics.json and config.json here; give a folder of results_train, of a run that "
                       f"went through the notebooks{places.find().or_bring}")
    record = read_json(folder / "config.json").get("4_cause_inference")
    if record is None:
        raise RunError(f"{folder} has no causes yet: run 4_cause_inference first")
    input_dir = _found_input(record["parameters"]["input_dir"], root or places.find().results, record["input"])
    if not (input_dir / "test").exists():
        raise RunError(f"{input_dir}/test, which this run was scored on, is not here: make it with generate_input.py")
    if fingerprints(input_dir).get("test") != record["input"].get("test"):
        raise RunError(f"{input_dir}/test is not what this run was scored on: make it again with generate_input.py")
    gold = load_conversations(input_dir / "test", labelled=True, allow_empty=True)
    if not gold:
        raise RunError(f"{input_dir}/test is empty: nothing was held out of this run's training, so nothing was scored")
    return gold


def verify(folder: Path, root: Path | None = None) -> dict[str, tuple]:
    """Compute the scores of a run again, from its predictions.jsonl and the gold labels of its input, and compare
    them with its metrics.json: {name of a figure: (there, computed)}, for the systems that predictions.jsonl tells of
    (the fine-tuned ones, and the rule on their emotions and on gold ones).

    Raises RunError for a folder without scores, and where the input is missing or not the run's.
    """
    from utils.cause import rule
    from utils.metrics import emotion_scores, pair_scores, per_emotion_pair_scores

    folder = Path(folder)
    gold = gold_of(folder, root)
    predicted = read_predictions(folder, gold)
    there = read_json(folder / "metrics.json")
    computed = {"emotions": {"fine-tuned": emotion_scores(gold, predicted)}, "pairs": {}}
    for name, labelled in {
        "fine-tuned emotions + rule": [rule(c) for c in predicted],
        "**fine-tuned emotions and causes**": predicted,
        "gold emotions + rule": [rule(c) for c in gold],
    }.items():
        computed["pairs"][name] = {
            "scores": pair_scores(gold, labelled, 2), "per_emotion": per_emotion_pair_scores(gold, labelled)
        }
    return dict(_figures(there, json.loads(json.dumps(computed)), ""))


def _figures(there, computed, name):
    """(name, (there, computed)) for every figure in `computed`, dictionaries and lists within each other."""
    if isinstance(computed, (dict, list)):
        for key in computed if isinstance(computed, dict) else range(len(computed)):
            try:
                below = there[key]
            except (KeyError, IndexError, TypeError):
                below = None
            yield from _figures(below, computed[key], f"{name} / {key}" if name else str(key))
    else:
        yield name, (there, computed)


@command("utils.runs")
def main(argv=None) -> int:
    """Exit status 0 where every figure is equal, 1 where one differs, 2 where nothing can be compared."""
    parser = argparse.ArgumentParser(description="Compute the scores of a run again from its predictions.")
    parser.add_argument("command", choices=["verify"])
    parser.add_argument("folder", type=Path, help="a folder of results_train")
    arguments = parser.parse_args(argv)
    try:
        figures = verify(arguments.folder)
    except (RunError, ConversationError, OSError, KeyError) as error:
        print(f"utils.runs: {error}", file=sys.stderr)
        return 2
    wrong = {
        name: (there, computed) for name, (there, computed) in figures.items()
        if not (isinstance(there, (int, float)) and abs(there - computed) < 1e-9)
    }
    for name, (there, computed) in wrong.items():
        print(f"{name}: {there} in metrics.json, {computed} from the predictions")
    print(f"{arguments.folder}: {len(figures) - len(wrong)} of {len(figures)} figures are those of the predictions")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
