"""Texts in, what they think of topics out. utils/predict.py is its door.

OpinionPredict(topic="new-stadium", task_type="regression").predict(texts)       # the embedded model, untrained
OpinionPredict(model_path="results_train/RUN/adapters/opinion").predict(texts)   # an adapter knows the rest
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from utils.config import Config
from utils.data.opinions import TASK_TYPES, Text, check_text
from utils.data.topics import Topic
from utils.record.adapter import trained_with
from utils.system.errors import ConfigError, ModelError, OpinionError, shown
from utils.tasks.forms import STRATEGIES, opinion_task, recorded_opinions
from utils.tasks.opinion import Opinions
from utils.tasks.opinion_numbers import number_of

One = str | Path | Topic  # a name in configs/topics, a YAML file, or the topic itself
Topics = One | Sequence[One]


class OpinionPredict:
    """A model that says what texts think of one or several topics, loaded once.

    task    an Opinions: its `topics`, `task_type` and `strategy` are those that are asked
    config  the parameters that it answers with
    """

    def __init__(
        self,
        task_type: str | None = None,
        model_path: Any = None,
        model_base: str | None = None,
        strategy: str | None = None,
        topic: Topics | None = None,
        max_row_tokens: int | None = None,
    ):
        """
        task_type       one of TASK_TYPES
        model_path      the folder of an adapter that was trained on opinions; None: the base model answers, untrained
        model_base      a folder or hub id; None: the adapter's, or the embedded model
        strategy        generation, sequence or prompt; an untrained model has generation alone
        topic           a name in configs/topics, the path of a YAML file, a Topic; or several of them, which are all
                        asked
        max_row_tokens  instead of the adapter's own, for longer texts

        What an adapter was trained on may be left out. Raises ModelError for an adapter of another task type, strategy
        or topic, ConfigError for what is missing or unknown, FileError for a topic that is not there, NotEnoughMemory.
        """
        from utils.models.adapters import load_adapter
        from utils.models.fits import check_memory
        from utils.models.load import load_model

        self.task = opinions_asked(task_type, model_path, strategy, topic)
        for name in (one.name for one in self.task.topics.values() if one.is_for_all):
            raise ConfigError(f"topic {name} is for topics that data name: give Topic.read({name!r}).of('Sony')")
        config = replace(Config(), quantization="none") if model_path is None else trained_with(model_path)
        changed = {"model": model_base, "max_row_tokens": max_row_tokens}
        self.config = replace(config, **{name: value for name, value in changed.items() if value is not None})
        check_memory(self.config)
        how = self.config.quantization, self.config.precision, self.config.offload
        self._model, self._tokenizer = load_model(self.config.model, *how, outputs=self.task.outputs)
        if model_path is not None:
            self._model = load_adapter(self._model, model_path, self.config.model)

    def predict(self, texts: Iterable[str], batch: int = 16) -> np.ndarray:
        """A float for each text: (texts,); with several topics (texts, topics), in the order of `task.topics`.

        texts  a list, an array or a Series of them
        batch  how many are asked at a time; of these, short ones share a row. It changes answers by rounding alone

        binary                      the probability that the text holds an opinion; from 0.5 on it does
        regression                  the score, within the topic's scale; with strategy sequence as the head gives it,
                                    which may be beyond
        regression_with_relevance   the score; nan where the text holds no opinion
        stance                      -1 against, 0 none, 1 in favor

        Raises OpinionError for what is no text, naming its place; TrainingError for one that is too long.
        """
        items = self.asked(texts)
        labelled, tables = self.answers(items, batch)
        numbers = [
            [number_of(text["opinions"][name], table[name], self.task.task_type) for name in self.task.topics]
            for text, table in zip(labelled, tables, strict=True)
        ]
        found = np.array(numbers, dtype=float).reshape(len(items), len(self.task.topics))
        return found[:, 0] if len(self.task.topics) == 1 else found

    def asked(self, texts: Iterable[str], topics: Iterable[str] | None = None) -> list[Text]:
        """`texts`, numbered from 1, with a question about each of `topics` (names; None: all that it knows). Raises
        OpinionError for what is no text."""
        names = list(self.task.topics if topics is None else topics)
        if isinstance(texts, str | bytes):
            raise OpinionError(f"texts: {shown(texts)} is one text. Give a list of texts")
        items: list[Text] = []
        for number, text in enumerate(texts, 1):
            check_text(text, f"texts, number {number}")
            items.append({"text_ID": number, "text": str(text), "opinions": {name: {} for name in names}})
        return items

    def answers(self, items: Sequence[Text], batch: int | None = None, journal=None) -> tuple[list[Text], list[dict]]:
        """(texts with their opinions, for each {topic: {part: probabilities, or the score of a head alone}}).

        items    texts with the topics that each is asked about
        batch    how many are asked at a time, without a bar; None: all, with one
        journal  an utils.engine.inference.Journal, from which interrupted work goes on
        """
        from utils.tasks.ask import predict

        labelled: list[Text] = []
        tables: list[dict] = []
        step = batch or max(1, len(items))
        for start in range(0, len(items), step):
            some = list(items[start : start + step])
            how = self.config.inference(), journal
            found = predict(self.task, self._model, self._tokenizer, some, *how, progress=batch is None)
            labelled += found[0]
            tables += found[1]
        return labelled, tables


def opinions_asked(task_type: str | None, adapter: Any, strategy: str | None, topic: Topics | None) -> Opinions:
    """The task that these ask; the arguments are those of OpinionPredict, whose errors are raised. No model is
    loaded."""
    if task_type not in (None, *TASK_TYPES):
        raise ConfigError(f"task_type is {shown(task_type)}; choose {', '.join(TASK_TYPES)}")
    if strategy not in (None, *STRATEGIES):
        raise ConfigError(f"strategy is {shown(strategy)}; choose {', '.join(STRATEGIES)}")
    if adapter is not None:
        own = recorded_opinions(adapter)
        topics = own.topics if topic is None else _topics(topic, own.topics)
        return opinion_task(topics, task_type or own.task_type, strategy or own.strategy).trained(adapter)
    if strategy not in (None, "generation"):
        raise ModelError(f"strategy {shown(strategy)} needs a trained adapter: give its model_path, or generation")
    if task_type is None or topic is None:
        raise ConfigError("without an adapter, task_type and topic say what is asked: give both")
    return opinion_task(_topics(topic, {}), task_type)


def _topics(given: Topics, own: Mapping[Any, Topic]) -> dict[str, Topic]:
    """{name: topic}; a name in `own` is that topic."""
    found = {}
    for one in [given] if isinstance(given, One) else given:
        topic = one if isinstance(one, Topic) else own[one] if one in own else Topic.read(one)
        found[topic.name] = topic
    if not found:
        raise ConfigError("topic: none is given. Give one at least")
    return found
