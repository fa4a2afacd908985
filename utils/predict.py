"""Conversations in, emotions and their causes out, with adapters that are given or found.

    python -m utils.predict CONVERSATIONS.json --out PRED.json [--emotion-adapter DIR --cause-adapter DIR]
    python -m utils.predict CONVERSATIONS.json --out PRED.json --part 3/8     # on eight machines: 1/8 to 8/8

In Python: `predict(conversations, emotion_adapter, cause_adapter)`. Until PRED.json is written, finished work stands
beside it in PRED.json.unfinished.jsonl, from which the same command goes on. Several processes share the work:

    accelerate launch --multi_gpu --num_processes 2 -m utils.predict CONVERSATIONS.json --out PRED.json
"""

import argparse
import hashlib
import re
import sys
from dataclasses import replace
from pathlib import Path

from utils import places, structure
from utils.command import command
from utils.config import Config, ConfigError
from utils.conversations import ConversationError, load_conversations, read_json, to_json, without_labels, write_json
from utils.runs import RunError, emotion_prior


def find_adapters(root: Path | None = None) -> tuple[Path, Path]:
    """The emotion and the cause adapter of the run in results_train/ whose cause training ended last.

    root  the folder of results_train/ (default: where the place keeps results, and the repository)

    Raises RunError where no run has both.
    """
    roots = [Path(root)] if root else sorted({places.find().results, places.ROOT})
    runs = [
        path.parents[1] for root in roots for path in root.glob("results_train/*/adapters/cause/training.json")
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
        return read_json(path).get("ended", ""), path.stat().st_mtime

    newest = max(runs, key=ended)
    return newest / "emotion", newest / "cause"


def trained_with(adapter, max_row_tokens: int | None = None) -> Config:
    """The parameters that the adapter in this folder was trained with, and its run's inference used; max_row_tokens
    where it is given.

    Raises ModelError for a folder without an adapter's training.json, or without parameters in it.
    """
    from utils.modeling import ModelError

    path = Path(adapter) / "training.json"
    if not path.is_file():
        raise ModelError(
            f"{adapter}: no finished adapter here (training.json is missing). Give a folder that notebook 1 or 3 wrote"
        )
    run = Path(adapter).absolute().parent.parent / "config.json"
    try:
        parameters = read_json(path)["parameters"]
        if run.is_file():  # its inference may have used another logit_adjustment and cause_threshold
            for notebook in ("2_emotion_inference", "4_cause_inference"):
                parameters = parameters | read_json(run).get(notebook, {}).get("parameters", {})
        config = Config.of(parameters)
        return config if max_row_tokens is None else replace(config, max_row_tokens=max_row_tokens)
    except (AttributeError, ConfigError, KeyError, TypeError) as error:
        raise ModelError(
            f"{adapter}: the parameters in {path.name} or {run} cannot be used ({error}). Train it again"
        ) from error


class Predictor:
    """An emotion and a cause adapter, loaded once: `predictor(conversations)`. One base model of both is there once."""

    def __init__(self, emotion_adapter=None, cause_adapter=None, max_row_tokens: int | None = None):
        """The folders are ones that notebooks 1 and 3 wrote; without them the newest pair in results_train/ is taken.
        max_row_tokens: instead of the adapters' own, for longer conversations.

        Raises RunError or ModelError for adapters and models that cannot be used, NotEnoughMemory for too large ones.
        """
        from utils.fits import check_memory
        from utils.modeling import load_adapter, load_model

        if emotion_adapter is None or cause_adapter is None:
            found = find_adapters()
            emotion_adapter, cause_adapter = emotion_adapter or found[0], cause_adapter or found[1]
        self.configs, self.models, bases = {}, {}, {}
        self.structure = structure.load(cause_adapter)
        for task, adapter in (("emotion", emotion_adapter), ("cause", cause_adapter)):
            config = self.configs[task] = trained_with(adapter, max_row_tokens)
            if task == "emotion":
                self.prior = emotion_prior(adapter, config.logit_adjustment)
            base = config.model, config.quantization, config.precision, config.offload
            if base not in bases:
                check_memory(config)
                bases[base] = load_model(*base)
            model, tokenizer = bases[base]
            bases[base] = self.models[task] = load_adapter(model, adapter, config.model, name=task), tokenizer

    def _ready(self, task: str):
        model, tokenizer = self.models[task]
        model.set_adapter(task)
        return model, tokenizer

    def __call__(self, conversations: list[dict], journal=None):
        """(conversations with `emotion` and `emotion-cause_pairs`, emotion probabilities, cause probabilities), the
        last two as utils.inference's functions return them; labels that the conversations carry are not read.

        Raises TrainingError for a conversation that is too long, DoesNotFit for one that memory does not suffice for.
        """
        from utils.inference import predict_causes, predict_emotions

        config = self.configs["emotion"]
        labelled, emotions = predict_emotions(
            *self._ready("emotion"), [without_labels(c) for c in conversations], journal=journal, prior=self.prior,
            **config.inference(),
        )
        config = self.configs["cause"]
        paired, causes = predict_causes(
            *self._ready("cause"), labelled, config.cause_form, config.cause_threshold, journal=journal,
            structure=self.structure, emotions=emotions, **config.inference(),
        )
        return paired, emotions, causes


def predict(conversations: list[dict], emotion_adapter=None, cause_adapter=None, journal=None,
            max_row_tokens: int | None = None) -> list[dict]:
    """The conversations with `emotion` and `emotion-cause_pairs` filled in; labels that they carry are not read.

    The adapters are folders that notebooks 1 and 3 wrote; without them the newest pair in results_train/ is taken.
    journal: an utils.inference.Journal, from which an interrupted prediction goes on. max_row_tokens: see Predictor.

    Raises RunError, ModelError, NotEnoughMemory, or TrainingError for a conversation that is too long.
    """
    return Predictor(emotion_adapter, cause_adapter, max_row_tokens)(conversations, journal)[0]


def positive(text: str) -> int:
    """A whole number above 0. Raises argparse.ArgumentTypeError for other text."""
    if not re.fullmatch("0*[1-9][0-9]{0,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r}; it must be a whole number above 0")
    return int(text)


def part_of(text: str) -> tuple[int, int]:
    """(3, 8) for "3/8". Raises argparse.ArgumentTypeError for other text."""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    number, parts = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= parts:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be like 3/8: the third of eight parts")
    return number, parts


def job_of(conversations: list[dict], adapters) -> str:
    """What all parts of one job share: a hash of the conversations, of the adapters' weights and parameters, and of
    what else their answers are read with."""
    digest = hashlib.sha256(to_json([without_labels(c) for c in conversations]).encode("utf-8", "surrogatepass"))
    for adapter in adapters:
        digest.update((Path(adapter) / "adapter_model.safetensors").read_bytes())
        digest.update(repr(trained_with(adapter)).encode())
        seen = read_json(Path(adapter) / "training.json").get("emotions")
        digest.update(repr((seen, structure.load(adapter))).encode())
    return digest.hexdigest()


def write_part(paired: list[dict], out, number: int, parts: int, job: str) -> Path:
    """Writes the part `number` of `parts` (every so many-th conversation) of a job (`job_of`) beside `out`; where all
    others are there, the whole file `out`, in the order of the input, in place of the parts. Returns what was written.

    Raises ConversationError for a part of another job."""
    files = [Path(f"{out}.part-{one}-of-{parts}.json") for one in range(1, parts + 1)]
    write_json({"job": job, "conversations": paired}, files[number - 1])
    if not all(file.is_file() for file in files):
        return files[number - 1]
    try:
        shares = [read_json(file) for file in files]
    except ConversationError:
        if all(file.is_file() for file in files):
            raise
        return Path(out)  # two parts ended at once, and the other one has written it
    for file, share in zip(files, shares):
        if not isinstance(share, dict) or share.get("job") != job:
            raise ConversationError(f"{file} is a part of other conversations or by other adapters than "
                                    f"{files[number - 1]}: remove it, and label that part again")
    shares = [share["conversations"] for share in shares]
    whole = [share[place] for place in range(len(shares[0])) for share in shares if place < len(share)]
    write_json(whole, out)
    for file in files:
        file.unlink(missing_ok=True)
    return Path(out)


@command("utils.predict")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for input, adapters or models that cannot be used."""
    parser = argparse.ArgumentParser(description="Label conversations with emotions and their causes.")
    parser.add_argument("conversations", help="JSON file, or the folder that holds it")
    parser.add_argument("--out", required=True, metavar="PRED.json", help="where the labelled conversations go")
    parser.add_argument("--part", type=part_of, default=(1, 1), metavar="K/N",
                        help="label only every N-th conversation from the K-th on; the last of the N parts that ends "
                        "writes PRED.json")
    parser.add_argument("--emotion-adapter", metavar="DIR", help="default: of the newest run in results_train/")
    parser.add_argument("--cause-adapter", metavar="DIR", help="default: of the newest run in results_train/")
    parser.add_argument("--max-row-tokens", type=positive, metavar="N",
                        help="for long conversations; default: the adapters'")
    arguments = parser.parse_args(argv)
    from utils.fits import NotEnoughMemory
    from utils.inference import Journal
    from utils.memory import DoesNotFit
    from utils.modeling import ModelError
    from utils.processes import processes
    from utils.rows import TrainingError

    try:
        number, parts = arguments.part
        conversations = load_conversations(arguments.conversations)
        suffix = f".part-{number}-of-{parts}" if parts > 1 else ""
        journal = Journal(f"{arguments.out}{suffix}.unfinished.jsonl")
        adapters = arguments.emotion_adapter, arguments.cause_adapter
        if None in adapters:
            adapters = [given or found for given, found in zip(adapters, find_adapters())]
        paired = predict(conversations[number - 1 :: parts], *adapters, journal, arguments.max_row_tokens)
        if not processes().is_main_process:
            return 0
        if parts > 1:
            written = write_part(paired, arguments.out, number, parts, job_of(conversations, adapters))
        else:
            write_json(paired, written := Path(arguments.out))
        journal.path.unlink(missing_ok=True)
    except (ConversationError, DoesNotFit, ModelError, NotEnoughMemory, RunError, TrainingError, OSError) as error:
        print(f"utils.predict: {error}", file=sys.stderr)
        return 2
    print(f"{len(paired)} conversations labelled by {' and '.join(map(str, adapters))}: {written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
