"""Conversations in, emotions and their causes out, with adapters that are given or found; or texts in, opinions out.

    python -m utils.predict CONVERSATIONS.json --out PRED.json [--emotion-adapter DIR --cause-adapter DIR]
    python -m utils.predict CONVERSATIONS.json --out PRED.json --probabilities
    python -m utils.predict CONVERSATIONS.json --out PRED.json -p cause_threshold 0.3
    python -m utils.predict - --out PRED.json < talk.txt                      # Speaker: text, a line an utterance
    python -m utils.predict CONVERSATIONS.json --out PRED.json --part 3/8     # on eight machines: 1/8 to 8/8
    python -m utils.predict --task opinion TEXTS.csv --out PRED.csv --run NAME     # docs/opinions.md; in Python:
    from utils.predict import OpinionPredict

Conversations are JSON, JSON lines or text (utils/data/given.py). PRED.record.json says which adapters and which code
labelled them; with --probabilities PRED.probabilities.jsonl has a line a conversation, as a run's predictions.jsonl.
In Python: `Predictor().named(conversations)`, or `predict(conversations, emotion_adapter, cause_adapter)`. Until
PRED.json is written, finished work stands beside it in PRED.json.unfinished.jsonl, from which the same command goes on.
Several processes share the work:

    accelerate launch --multi_gpu --num_processes 2 -m utils.predict CONVERSATIONS.json --out PRED.json
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from utils.config import Config, parse_value
from utils.data.captions import check_captions
from utils.data.conversations import Conversation, names_of, pairs, without_labels
from utils.data.features import Stream, check_video_names, read_stream
from utils.data.formats.opinions import COLUMNS
from utils.data.given import SPOKEN, inputs_of, read_given
from utils.data.labels import LabelSet
from utils.data.opinions import TASK_TYPES
from utils.data.validation import validate_conversations
from utils.engine.rows import longest_row
from utils.models.adapting import adapter_method
from utils.record.adapter import LABELS_BY, choose_adapters, configs_of, labels_of, said_of
from utils.record.labelled import PROBABILITIES, RECORD, beside, labelling
from utils.record.opinion_file import label_file
from utils.record.opinion_predict import OpinionPredict
from utils.record.parts import job_of, part_of, write_part
from utils.record.predictions import lines_of, run_folder, text_of
from utils.report.spoken import spoken
from utils.system.command import add_adapters, add_columns, add_longest, add_parameter, add_run, command
from utils.system.errors import ConfigError, TooLong
from utils.system.files import check_output, to_json, write_texts
from utils.system.parameters import names_in
from utils.tasks.senses import sensing

__all__ = ["OpinionPredict", "Predictor", "main", "predict"]  # OpinionPredict is from utils.record


def _longest(trees, names, config):
    """Tokens of the longest row of these trees. Raises TooLong for those that are too long."""
    from utils.models.load import load_tokenizer

    return longest_row(trees, names, load_tokenizer(config.model), config.max_row_tokens) if trees else 0


class Predictor:
    """An emotion and a cause adapter, or the first alone, loaded once: `predictor(conversations)`. One base model of
    both is there once."""

    def __init__(
        self,
        emotion_adapter=None,
        cause_adapter=None,
        max_row_tokens: int | None = None,
        conversations: Sequence[Conversation] = (),
        parameters: Mapping[str, Any] | None = None,
        features: str | Path | None = None,
    ):
        """The folders are ones that notebooks 1 and 3 wrote. Where one is missing, it is the other one's sibling; where
        both are, those that ship (utils.record.adapter.choose_adapters). An emotion adapter without a
        sibling names emotions, and no causes. max_row_tokens: instead of the adapters' own, for longer conversations.
        conversations: what the line about memory counts the longest row of. parameters: of LABELS_BY, {name: value}, in
        place of what the adapters' runs used. features: the folder of the streams of vectors that the adapters read;
        None: they are absent.

        Raises RunError or ModelError for adapters and models that cannot be used, NotEnoughMemory for too large ones,
        ConfigError for parameters that these adapters do not read, FileError for streams that cannot be read.
        """
        from utils.models.adapters import load_adapter
        from utils.models.fits import check_memory
        from utils.models.load import load_model

        adapters = choose_adapters(emotion_adapter, cause_adapter)
        self.configs = configs_of(adapters, max_row_tokens, parameters)
        check_asked(conversations, "conversations", self.configs)
        streams = streams_read(self.configs, features)
        self.tasks, self.models, bases = {}, {}, {}
        labels = labels_of(adapters[0])
        for (name, config), adapter in zip(self.configs.items(), filter(None, adapters)):
            self.tasks[name] = config.task(name, labels).trained(adapter)
            if streams:
                self.tasks[name] = sensing(self.tasks[name], streams)
            how = config.model, config.quantization, config.precision, config.offload
            base = *how, adapter_method(config)  # adapters of two kinds do not go on one model
            if base not in bases:
                # Causes are asked about emotions that are not known yet; their rows are shorter.
                read = conversations if config.recipe == "one_pass" and not self.tasks[name].on_emotions else ()
                trees = [self.tasks[name].tree(without_labels(c)) for c in read]
                check_memory(config, longest=partial(_longest, trees, names_of(read), config))
                bases[base] = load_model(*how)
            model, tokenizer = bases[base]
            bases[base] = self.models[name] = load_adapter(model, adapter, config.model, name=name), tokenizer

    @property
    def labels(self) -> LabelSet:
        """The label set of the emotions that it names."""
        return self.tasks["emotion"].labels

    def _answer(self, task, conversations, journal):
        from utils.tasks.ask import predict as predict_task

        model, tokenizer = self.models[task.name]
        model.set_adapter(task.name)
        return predict_task(task, model, tokenizer, conversations, self.configs[task.name].inference(), journal)

    def __call__(self, conversations: list[Conversation], journal=None):
        """(conversations with `emotion` and `emotion-cause_pairs`, emotion probabilities, cause probabilities), the
        last two as utils.tasks.ask.predict returns them; labels that the conversations carry are not read.

        Raises ConversationError, before any work, for what is no list of conversations; TrainingError for one that is
        too long, DoesNotFit for one that memory does not suffice for.
        """
        check_asked(checked(conversations), "conversations", self.configs)
        unlabelled = [without_labels(c) for c in conversations]
        labelled, emotions = self._answer(self.tasks["emotion"], unlabelled, journal)
        if "cause" not in self.tasks:
            return labelled, emotions, [{} for _ in labelled]
        task = self.tasks["cause"].given_emotions(labelled, emotions)
        paired, causes = self._answer(task, labelled, journal)
        return paired, emotions, causes

    def named(self, conversations: list[Conversation], journal=None) -> list[dict]:
        """The same with names, an entry a conversation: {"conversation_ID", "utterances": [{"utterance_ID", "emotion",
        "probabilities": {label: P}}], "pairs": [{"emotion_utterance", "emotion", "cause_utterance", "probability":
        P(emotion) x P(cause)}]}. Raises what a call of the predictor raises."""
        return [named(*one, self.labels) for one in zip(*self(conversations, journal), strict=True)]


def checked(conversations: Any) -> list[Conversation]:
    """`conversations`, which must be what a file may hold. Raises ConversationError, as the command does for a file."""
    return validate_conversations(conversations, labels=None, allow_empty=True)


def check_asked(conversations: Iterable[Conversation], source: str | Path, configs: Mapping[str, Config]) -> None:
    """Raises ConversationError for captions that are no text and names of videos that are none, where adapters with
    these parameters read them. source: what messages call the conversations."""
    for config in configs.values():
        check_captions(conversations, source, names_in(config.captions))
        check_video_names(conversations if config.streams else (), source)


def streams_read(configs: Mapping[str, Config], features: str | Path | None) -> dict[str, Stream]:
    """{name: stream} of what adapters with these parameters read, from the folder `features`; {} without one. Raises
    FileError."""
    names = dict.fromkeys(name for config in configs.values() for name in names_in(config.streams))
    return {name: read_stream(Path(features), name) for name in names} if features else {}


def named(conversation: Conversation, table: list, causes: dict, labels: LabelSet) -> dict:
    """An entry of `Predictor.named`, from a labelled conversation, its emotions' probabilities (utterances x labels)
    and its causes' ({utterance id: {candidate id: P}})."""
    utterances, likely = [], {}
    for u, row in zip(conversation["conversation"], table, strict=True):
        probabilities = dict(zip(labels, row, strict=True))
        utterances.append(
            {"utterance_ID": u["utterance_ID"], "emotion": u.get("emotion"), "probabilities": probabilities}
        )
        likely[u["utterance_ID"]] = probabilities
    found = [
        {
            "emotion_utterance": i,
            "emotion": emotion,
            "cause_utterance": k,
            "probability": likely[i][emotion] * causes[i][k],
        }
        for i, emotion, k in pairs(conversation, labels)
    ]
    return {"conversation_ID": conversation["conversation_ID"], "utterances": utterances, "pairs": found}


def predict(
    conversations: list[Conversation],
    emotion_adapter=None,
    cause_adapter=None,
    journal=None,
    max_row_tokens: int | None = None,
) -> list[Conversation]:
    """The conversations with `emotion` and `emotion-cause_pairs` filled in; labels that they carry are not read.

    The adapters are as Predictor takes them. journal: an utils.engine.inference.Journal, from which an interrupted
    prediction goes on. max_row_tokens: see Predictor.

    Raises ConversationError for what is no list of conversations, RunError, ModelError, NotEnoughMemory, or
    TrainingError for a conversation that is too long.
    """
    checked(conversations)  # before the model is loaded
    return Predictor(emotion_adapter, cause_adapter, max_row_tokens, conversations)(conversations, journal)[0]


def all_but_too_long(
    adapters,
    max_row_tokens: int | None,
    conversations: list[Conversation],
    journal,
    skip: bool,
    parameters: Mapping[str, Any] | None = None,
    features: str | Path | None = None,
) -> tuple[Predictor, tuple, dict[str, int]]:
    """(the Predictor, what it returns, {name: tokens} of the conversations that are too long and were left out).

    skip        False: they are refused (TooLong) before the model is loaded, or where emotions must be known first,
                after it
    parameters, features  see Predictor
    """
    predictor, skipped = None, {}
    while True:
        given = [c for c, name in zip(conversations, names_of(conversations)) if name not in skipped]
        try:
            predictor = predictor or Predictor(*adapters, max_row_tokens, given, parameters, features)
            return predictor, predictor(given, journal), skipped
        except TooLong as error:
            if not skip:
                raise
            skipped |= error.tokens


def label_conversations(argv: list[str]) -> int:
    """The command for conversations. argv: without --task."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.predict",
        description="Label conversations with emotions and their causes.",
        epilog="Texts with opinions: --task opinion.",
    )
    parser.add_argument(
        "conversations",
        help="file of JSON, JSON lines, lines of Speaker: text, or a table; its folder; - for stdin",
    )
    parser.add_argument("--out", required=True, metavar="PRED.json", help="where the labelled conversations go")
    parser.add_argument(
        "--part",
        type=part_of,
        default=(1, 1),
        metavar="K/N",
        help="label only every N-th conversation from the K-th on; the last of the N parts that ends writes PRED.json",
    )
    parser.add_argument("--probabilities", action="store_true", help="also write PRED.probabilities.jsonl")
    parser.add_argument("--skip-too-long", action="store_true", help="leave out what a row cannot hold, and say so")
    add_columns(parser, SPOKEN)
    parser.add_argument("--features", metavar="DIR", help="where the streams are that the adapters read")
    add_parameter(parser, f"another value of {' or '.join(LABELS_BY)} than the run's", "cause_threshold 0.3")
    add_adapters(parser)
    arguments = parser.parse_args(argv)
    number, parts = arguments.part
    others = [beside(arguments.out, RECORD), *[beside(arguments.out, PROBABILITIES)] * arguments.probabilities]
    for out in (arguments.out, *others):
        check_output(out, *inputs_of(arguments.conversations))
    conversations = read_given(arguments.conversations, dict(arguments.columns or ()))
    adapters = choose_adapters(arguments.emotion_adapter, arguments.cause_adapter, arguments.run)
    parameters = {name: parse_value(name, value) for name, value in arguments.parameter}
    configs = configs_of(adapters, parameters=parameters)  # refuses what these adapters do not read
    check_asked(conversations, arguments.conversations, configs)
    streams = dict.fromkeys(name for config in configs.values() for name in names_in(config.streams))
    if arguments.features and not streams:
        raise ConfigError("--features: these adapters read words alone. Leave it out")
    if streams and not arguments.features:
        print(f"no --features: the adapters also read {', '.join(streams)}, which are absent here")
    from utils.engine.inference import Journal  # seconds of torch, after what is checked without it
    from utils.engine.processes import processes

    suffix = f".part-{number}-of-{parts}" if parts > 1 else ""
    journal = Journal(f"{arguments.out}{suffix}.unfinished.jsonl")
    if processes().is_main_process:
        print(said_of(adapters), flush=True)
    share = conversations[number - 1 :: parts]
    limit, skip = arguments.max_row_tokens, arguments.skip_too_long
    found = all_but_too_long(adapters, limit, share, journal, skip, parameters, arguments.features)
    predictor, (paired, emotions, causes), skipped = found
    if not processes().is_main_process:
        return 0
    asked = causes if "cause" in predictor.tasks else None
    lines = lines_of(paired, emotions, asked, predictor.labels) if arguments.probabilities else None
    labelled_by = labelling(adapters, len(conversations) - len(skipped), parameters, arguments.features)
    record = {beside(arguments.out, RECORD): to_json(labelled_by)}
    if parts > 1:
        written = write_part(paired, arguments.out, number, parts, job_of(conversations, adapters, parameters), lines)
        write_texts(record)
    else:
        written = Path(arguments.out)
        more = {} if lines is None else {beside(written, PROBABILITIES): text_of(lines)}
        write_texts({written: to_json(paired)} | more | record)
    journal.path.unlink(missing_ok=True)
    for name, tokens in skipped.items():
        print(f"skipped: {name}, {tokens} tokens; --max-row-tokens {tokens} would hold it")
    if skipped:
        print(f"skipped: {len(skipped)} of {len(share)} conversations, which are not in {written}")
    if paired and parts == 1:
        print(spoken(paired[0], predictor.labels))
    print(f"{len(paired)} conversation{'s' * (len(paired) != 1)} labelled: {written}")
    return 0


def label_texts(argv: list[str]) -> int:
    """The command for texts with opinions. argv: without --task."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.predict --task opinion",
        description="Label texts with opinions on topics: docs/opinions.md.",
    )
    parser.add_argument("texts", help="table: .csv, .tsv, .json or .jsonl; or the texts.json of an input")
    parser.add_argument("--out", required=True, metavar="PRED", help="the table with labels, in one of these formats")
    which = parser.add_mutually_exclusive_group()
    add_run(which, "none, and the base model answers untrained")
    which.add_argument("--adapter", type=Path, metavar="DIR", help="the folder of an adapter, in place of a run")
    parser.add_argument("--model", help="the base model; default: the adapter's, or the embedded one")
    parser.add_argument("--topic", nargs="+", metavar="TOPIC", help="names or YAML files; default: the adapter's")
    parser.add_argument("--task-type", choices=TASK_TYPES, help="default: the adapter's")
    parser.add_argument("--strategy", help="default: the adapter's; another one is refused")
    add_columns(parser, tuple(COLUMNS))
    parser.add_argument("--score", action="store_true", help="compare with the labels of the file: PRED.metrics.json")
    parser.add_argument("--train", type=Path, metavar="FILE", help="labelled texts for the baselines of --score")
    add_longest(parser)
    arguments = parser.parse_args(argv)
    if arguments.train and not arguments.score:
        parser.error("--train is for the baselines of --score: give both")
    if arguments.run:
        arguments.adapter = run_folder(arguments.run) / "adapters" / "opinion"
    for line in label_file(**{name: one for name, one in vars(arguments).items() if name != "run"}):
        print(line, flush=True)
    return 0


LABELLERS = {"emotion": label_conversations, "opinion": label_texts}


@command("utils.predict")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for input, adapters or models that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m utils.predict", add_help=False, allow_abbrev=False)
    parser.add_argument("--task", choices=tuple(LABELLERS), default="emotion")
    chosen, others = parser.parse_known_args(argv)
    return LABELLERS[chosen.task](others)


if __name__ == "__main__":
    sys.exit(main())
