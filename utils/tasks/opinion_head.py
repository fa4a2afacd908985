"""The opinion task, answered by a head: one branch a topic, at whose end the head gives all numbers of the task type.

    task = OpinionsOfHead(topics, "regression")
    model, tokenizer = load_model(name, outputs=task.outputs)

Twin of utils/tasks/opinion.py, where phrases are scored. A score is a number as the head gives it: it may lie outside
the scale, and is not rounded.
"""

from dataclasses import dataclass

from utils.data.opinions import STANCES, Opinion
from utils.data.topics import Topic
from utils.engine.prefix_tree import Node, Question
from utils.system.errors import ConfigError
from utils.tasks.opinion import ASKED, PARTS, Opinions
from utils.tasks.task import probabilities

NAMES = {  # of each part: what the head's outputs are called (utils/models/head.py)
    "relevance": ("relevance: no opinion", "relevance: opinion"),
    "score": ("score",),
    "stance": tuple(f"stance: {stance}" for stance in STANCES),
}


@dataclass(frozen=True)
class OpinionsOfHead(Opinions):
    """The task of one type on these topics, for a model with a head; the fields are those of Opinions."""

    strategy: str = "sequence"

    def __post_init__(self):
        super().__post_init__()
        if self.balance.weights != "none" and any(PARTS[part].scored for part in ASKED[self.task_type]):
            raise ConfigError(
                f"parameter class_weights is {self.balance.weights}; the number that strategy sequence learns has no "
                "classes: give none, or sampling balanced"
            )

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(name for part in ASKED[self.task_type] for name in NAMES[part])

    def asked(self, topic: Topic) -> str:
        return f"\n{PARTS['score'].question.format(about=topic.about)}"

    def branches(self, topic: Topic, opinion: Opinion | None) -> list[Node]:
        gold: dict[int, float] = {}
        if opinion is None:
            return [Node("\nAnswer:", Question(()))]
        for key in ASKED[self.task_type]:
            part, start = PARTS[key], self.outputs.index(NAMES[key][0])
            target = part.target(opinion)
            if target is not None:
                counts = self.weight(opinion, topic)
                gold |= {start: float(target)} if part.scored else {start + int(target): counts}
        return [Node("\nAnswer:", Question((), gold))] if gold else []

    def tables(self, scores: list[list[float]]) -> list[list[float]]:
        return [table for one in scores for table in self._tables(one)]

    def _tables(self, found: list[float]) -> list[list[float]]:
        """A table a part, of what the head gave for one topic."""
        tables = []
        for part in ASKED[self.task_type]:
            start = self.outputs.index(NAMES[part][0])
            table = found[start : start + len(NAMES[part])]
            tables.append(table if PARTS[part].scored else probabilities(table))
        return tables
