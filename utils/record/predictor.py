"""An emotion and a cause adapter, loaded once: conversations in, emotions and their causes out.

    predictor = Predictor(emotion_adapter, cause_adapter)
    predictor.named(conversations); predict(conversations)      # with names; as conversations

The command is utils/predict.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from utils.config import Config
from utils.data.captions import check_captions
from utils.data.conversations import Conversation, names_of, pairs, without_labels
from utils.data.features import Stream, check_video_names, read_stream
from utils.data.labels import LabelSet
from utils.data.validation import validate_conversations
from utils.engine.rows import longest_row
from utils.models.adapting import adapter_method
from utils.record.adapter import choose_adapters, configs_of, encoder_of, labels_of
from utils.system.errors import TooLong
from utils.system.parameters import names_in
from utils.tasks.senses import sensing
from utils.tasks.task import with_encoder


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
        encoders = {config.encoder: config for config in self.configs.values() if config.encoder}
        beside = {name: found[0] for name, config in encoders.items() if (found := encoder_of(config, labels))}
        for (name, config), adapter in zip(self.configs.items(), filter(None, adapters)):
            self.tasks[name] = config.task(name, labels).trained(adapter)
            if config.encoder:
                self.tasks[name] = with_encoder(self.tasks[name], beside[config.encoder])
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
