"""The opinion task: what a text thinks of topics, by phrases that are scored.

    task = Opinions({"new-stadium": topic}, "regression")
    task.tree(text)                    the text, and behind it a branch a topic and question
    read(text, scores, ...)            log-probabilities -> the text with its opinions, and the probabilities

    binary                      does the text hold an opinion on the topic?
    regression                  how strongly is it against or for it? The score is the expectation over the phrases
    regression_with_relevance   both, in one pass
    stance                      is it in favor, against, or neither?

A text and its opinions are as utils/data/opinions.py has them; utils/tasks/opinion_head.py asks the same of a head.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from utils.data.labels import LabelSet
from utils.data.opinions import IRRELEVANT, RELEVANT, STANCES, Opinion, Text, stance_of
from utils.data.topics import Topic
from utils.engine.prefix_tree import Node, Question
from utils.system.errors import ConfigError, ModelError, shown
from utils.system.files import read_object
from utils.tasks.imbalance import Balance
from utils.tasks.task import OneRound, TaskDefaults, probabilities


@dataclass(frozen=True)
class Part:
    """One question about a text and a topic.

    question  what is asked; {about} is the topic's
    answers   the topic's answers, in the order of every table of probabilities
    target    what an opinion says: the number of the right answer, or a score; None where it does not say it
    read      (probabilities, or the one number of a head; topic) -> what the opinion gets
    scored    whether the answers are points of a scale
    """

    question: str
    answers: Callable[[Topic], tuple[str, ...]]
    target: Callable[[Opinion], int | float | None]
    read: Callable[[list[float], Topic], Opinion]
    scored: bool = False

    def gold(self, opinion: Opinion, topic: Topic) -> str | dict[str, float] | None:
        """The right answer, or {answer: weight} of a score (`phrase_weights`); None where the opinion does not say
        it."""
        target = self.target(opinion)
        if target is None:
            return None
        return phrase_weights(target, topic) if self.scored else self.answers(topic)[int(target)]


def _relevance(opinion: Opinion) -> int | None:
    relevant = opinion.get("relevant")
    return None if relevant is None else int(relevant)


def _stance(opinion: Opinion) -> int | None:
    stance = stance_of(opinion)
    return None if stance is None else STANCES.index(stance)


def phrase_weights(score: float, topic: Topic) -> dict[str, float]:
    """{phrase: weight} with the expectation `score`: the phrase that scores it, or the two next to it by their
    distance."""
    phrases = list(topic.phrases.items())
    for (low, lower), (high, higher) in zip(phrases, phrases[1:]):
        if lower <= score <= higher:
            share = (score - lower) / (higher - lower)
            return {phrase: weight for phrase, weight in ((low, 1 - share), (high, share)) if weight > 0}
    raise ValueError(f"the score {score} is not on the scale of {topic.name}")


def expectation(table: list[float], topic: Topic) -> float:
    """The score that a table of probabilities, one a phrase, gives: its expectation. A head's one number is the score
    itself."""
    return table[0] if len(table) == 1 else sum(p * score for p, score in zip(table, topic.scores, strict=True))


def nearest(score: float, topic: Topic) -> float:
    """The score of the phrase that is nearest to `score`, the lower one of two."""
    return float(min(topic.scores, key=lambda one: (abs(one - score), one)))


PARTS = {
    "relevance": Part(
        "Does the writer hold an opinion on {about}?",
        lambda topic: (topic.no_opinion, topic.opinion),
        _relevance,
        lambda table, topic: {"relevant": table[1] >= 0.5},
    ),
    "score": Part(
        "What does the writer think of {about}?",
        lambda topic: tuple(topic.phrases),
        lambda opinion: opinion.get("score"),
        lambda table, topic: {"score": expectation(table, topic)},
        scored=True,
    ),
    "stance": Part(
        "Is the writer for or against {about}?",
        lambda topic: (topic.against, topic.no_opinion, topic.favor),  # in the order of STANCES
        _stance,
        lambda table, topic: {"stance": STANCES[table.index(max(table))]},
    ),
}
ASKED = {  # of each type of task: its parts
    "binary": ("relevance",),
    "regression": ("score",),
    "regression_with_relevance": ("relevance", "score"),
    "stance": ("stance",),
}


def line(text: Text) -> str:
    """A text as one line. White space is made single, so that no text can imitate a question."""
    return " ".join(text["text"].split())


def labels_of(task_type: str, topics: Mapping[str, Topic]) -> LabelSet:
    """What records call the labels of this type of task: of a score those on the topics' scale, as words."""
    scores = tuple(f"{score:g}" for score in next(iter(topics.values())).scores)
    words = {
        "binary": (IRRELEVANT, RELEVANT),
        "regression": scores,
        "regression_with_relevance": (IRRELEVANT, *scores),
        "stance": STANCES,
    }
    return LabelSet(f"opinion-{task_type}", words[task_type], "none" if task_type == "stance" else None)


def label_of(opinion: Mapping[str, Any], task_type: str, topic: Topic) -> str | None:
    """The label, one of `labels_of`, of an opinion: of a score the nearest on the scale. None where it has none."""
    if task_type == "stance":
        return stance_of(opinion)  # pyright: ignore[reportArgumentType] (an opinion that was read)
    if "relevance" in ASKED[task_type] and "relevant" in opinion and not opinion["relevant"]:
        return IRRELEVANT
    if task_type == "binary":
        return RELEVANT if opinion.get("relevant") else None
    return f"{nearest(opinion['score'], topic):g}" if "score" in opinion else None


def unanswered(task: "Opinions", texts: Sequence[Text]) -> str | None:
    """A part that the task asks and that no opinion of these texts answers, as PARTS calls it; None where there is
    none, and without texts."""
    opinions = [one for text in texts for one in text["opinions"].values()]
    parts = ASKED[task.task_type] if opinions else ()
    return next((key for key in parts if all(PARTS[key].target(one) is None for one in opinions)), None)


@dataclass(frozen=True)
class Opinions(TaskDefaults):
    """The task of one type on these topics.

    topics     {name: topic}; all with one scale
    task_type  a key of ASKED
    strategy   how it was asked in training; an adapter of another one is refused
    balance    what is done in training about rare labels
    weights    {label: how much an opinion with it counts in training} of a `taught` task; {}: all alike
    """

    topics: Mapping[str, Topic]
    task_type: str
    strategy: str = "generation"
    balance: Balance = Balance()
    weights: dict[str, float] = field(default_factory=dict)
    name = "opinion"
    new_tokens = 0  # without the published recipe
    unparsed = ""
    on_emotions = False
    counted = "opinions"
    opening = "Does the writer hold an opinion on the topic, and is it for or against it?"

    def __post_init__(self):
        scales = {topic.scores: name for name, topic in self.topics.items()}
        if len(scales) > 1:
            raise ConfigError(
                f"parameter topic: {' and '.join(scales.values())} have different scales: give topics with one scale"
            )

    @property
    def labels(self) -> LabelSet:
        return labels_of(self.task_type, self.topics)

    def questions(self, text: Text) -> list[tuple[Topic, str]]:
        """(topic, key of PARTS) of every question about a text, in the order of its tree."""
        return [(self.topics[name], part) for name in text["opinions"] for part in ASKED[self.task_type]]

    def tree(self, item: Text, train: bool = False) -> Node:
        """The text; behind it, as branches, its questions, with the answers to choose from. With `train` those that
        its opinions answer."""
        branches = []
        for topic, key in self.questions(item):
            part = PARTS[key]
            answers = part.answers(topic)
            opinion = item["opinions"][topic.name]
            gold = part.gold(opinion, topic) if train else None
            if train and gold is None:
                continue
            spaced = gold and f" {gold}"
            if isinstance(gold, dict) or gold and self.weights:
                counts, shares = self.weight(opinion, topic), gold if isinstance(gold, dict) else {gold: 1.0}
                spaced = {f" {one}": share * counts for one, share in shares.items()}
            asked = f"\n{part.question.format(about=topic.about)} Choose one: {'; '.join(answers)}.\nAnswer:"
            branches.append(Node(asked, Question(tuple(f" {one}" for one in answers), spaced)))
        return Node(f"Text: {line(item)}", None, branches)

    def ask(self, item: Text) -> OneRound:
        return OneRound(self.tree(item), lambda scores: self.read(item, [probabilities(one) for one in scores]))

    def read(self, item: Text, tables: list[list[float]]) -> tuple[Text, dict[str, dict[str, list[float]]]]:
        """(the text with its opinions, {topic: {part: probabilities}}) from a table a question. A text that holds no
        opinion has no score; the table of its score is there."""
        found: dict[str, Any] = {name: {} for name in item["opinions"]}
        read: dict[str, Any] = {name: {} for name in item["opinions"]}
        for (topic, key), table in zip(self.questions(item), tables, strict=True):
            read[topic.name][key] = table
            if found[topic.name].get("relevant", True):
                found[topic.name] |= PARTS[key].read(table, topic)
        return {**item, "opinions": found}, read

    def weight(self, opinion: Opinion, topic: Topic) -> float:
        """How much an opinion counts in training, by its label."""
        return self.weights.get(label_of(opinion, self.task_type, topic) or "", 1.0)

    def taught(self, items: list[Text], seed: int) -> tuple["Opinions", list[Text]]:
        drawn = self.balance.drawn(items, lambda text: [{label: 1.0} for label in self._labels_in(text)], seed)
        return replace(self, weights=self.balance.weighed(self.counts(drawn))), drawn

    def counts(self, items: list[Text]) -> dict[str, float]:
        """How often each label is the right answer."""
        labels = [label for item in items for label in self._labels_in(item)]
        return {label: labels.count(label) for label in self.labels}

    def _labels_in(self, text: Text) -> list[str]:
        """The labels of a text's opinions, of those that have one."""
        found = [label_of(one, self.task_type, self.topics[name]) for name, one in text["opinions"].items()]
        return [label for label in found if label is not None]

    def decided(self, items: list, tables: Callable[[], list]) -> dict[str, Any]:
        """How it was asked, for `trained` to compare, and what opinions counted: nothing is decided on val."""
        topics = {name: topic.as_dict() for name, topic in self.topics.items()}
        weights = {"weights": self.weights} if self.weights else {}
        return {"task_type": self.task_type, "strategy": self.strategy, "topics": topics, **weights}

    def trained(self, adapter: Path) -> "Opinions":
        """Raises ModelError for an adapter of another strategy, task type or topic."""
        path = Path(adapter) / "training.json"
        record = read_object(path)
        for name in ("task_type", "strategy"):
            if record.get(name) != getattr(self, name):
                raise ModelError(
                    f"{adapter}: it was trained with {name} {shown(record.get(name))}, not {getattr(self, name)!r}. "
                    f"Give that {name}, or another adapter"
                )
        its = record.get("topics")
        its = its if isinstance(its, dict) else {}
        for name, topic in self.topics.items():
            if name not in its:
                raise ModelError(
                    f"{adapter}: it was trained on {', '.join(its)}, not on {name}. Give one of its topics"
                )
            if Topic.from_dict(its[name], path) != topic:
                raise ModelError(
                    f"{adapter}: the topic {name} had other words in its training. Give the topic file of that time, "
                    "or train an adapter"
                )
        return self
