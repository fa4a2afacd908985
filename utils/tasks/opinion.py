"""The opinion task: what a text thinks of topics, by phrases that are scored.

    task = Opinions({"new-stadium": topic}, "regression")
    task.tree(text)                    the questions about a topic, and behind them the text and the answers
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
from utils.tasks.task import TaskDefaults, probabilities


@dataclass(frozen=True)
class Part:
    """One question about a text and a topic.

    title     what the question and its answer are called
    question  what is asked; {about} is the topic's
    answers   the topic's answers, in the order of every table of probabilities
    target    what an opinion says: the number of the right answer, or a score; None where it does not say it
    read      (probabilities, or the one number of a head; topic) -> what the opinion gets
    scored    whether the answers are points of a scale
    """

    title: str
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
        "Opinion",
        "Does the writer hold an opinion on {about}?",
        lambda topic: (topic.no_opinion, topic.opinion),
        _relevance,
        lambda table, topic: {"relevant": table[1] >= 0.5},
    ),
    "score": Part(
        "Attitude",
        "What does the writer think of {about}?",
        lambda topic: tuple(topic.phrases),
        lambda opinion: opinion.get("score"),
        lambda table, topic: {"score": expectation(table, topic)},
        scored=True,
    ),
    "stance": Part(
        "Stance",
        "Is the writer for or against {about}?",
        lambda topic: (topic.against, topic.no_opinion, topic.favor),  # in the order of STANCES
        _stance,
        lambda table, topic: {"stance": STANCES[table.index(max(table))]},
    ),
}
BEGINNING = "What does the writer of a text think?"
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
        """Of each topic the questions, with the answers to choose from, which the trees of other texts share; then the
        text, and behind it, as branches, the answers. With `train` those that its opinions give."""
        topics = []
        for name, opinion in item["opinions"].items():
            answers = self.branches(self.topics[name], opinion if train else None)
            if answers:
                asked = self.asked(self.topics[name])
                topics.append(Node(asked, None, [Node(f"\nText: {line(item)}", None, answers)], shared=True))
        return Node(BEGINNING, None, topics, shared=True)

    def asked(self, topic: Topic) -> str:
        """The questions about a topic, a line each."""
        parts = [PARTS[key] for key in ASKED[self.task_type]]
        lines = [f"{p.title}: {p.question.format(about=topic.about)} Choose one: " for p in parts]
        return "".join(f"\n{asked}{'; '.join(part.answers(topic))}." for asked, part in zip(lines, parts))

    def branches(self, topic: Topic, opinion: Opinion | None) -> list[Node]:
        """What stands behind a text: a question each; with an `opinion` those that it answers, with the answer."""
        found = []
        for part in (PARTS[key] for key in ASKED[self.task_type]):
            gold = None if opinion is None else part.gold(opinion, topic)
            if opinion is not None and gold is None:
                continue
            spaced = gold and f" {gold}"
            if opinion is not None and (isinstance(gold, dict) or gold and self.weights):
                counts, shares = self.weight(opinion, topic), gold if isinstance(gold, dict) else {gold: 1.0}
                spaced = {f" {one}": share * counts for one, share in shares.items()}
            found.append(Node(f"\n{part.title}:", Question(tuple(f" {one}" for one in part.answers(topic)), spaced)))
        return found

    def ask(self, item: Text) -> "Rounds":
        return Rounds(self, item)

    def tables(self, scores: list[list[float]]) -> list[list[float]]:
        """A table a question, of what was found for each branch."""
        return [probabilities(one) for one in scores]

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


class Rounds:
    """A search that asks about one topic a round: all texts are then behind the same question, which is read once."""

    def __init__(self, task: Opinions, item: Text):
        self._task, self._item, self._left = task, item, list(item["opinions"])
        self._tables: list[list[float]] = []

    def tree(self) -> Node | None:
        if not self._left:
            return None
        name = self._left[0]
        return self._task.tree({**self._item, "opinions": {name: self._item["opinions"][name]}})

    def update(self, scores: list[list[float]]) -> None:
        self._tables += self._task.tables(scores)
        del self._left[0]

    def read(self) -> tuple[Text, dict[str, dict[str, list[float]]]]:
        return self._task.read(self._item, self._tables)
