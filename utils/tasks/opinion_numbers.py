"""An opinion as one number, and its probabilities by the names of the answers: what files of predictions hold.

number_of(opinion, table, "regression")     # -1.2
named(table, topic)                         # {"-2": 0.1, ..., "2": 0.3}
"""

import math
from collections.abc import Callable, Mapping

from utils.data.opinions import IRRELEVANT, RELEVANT, STANCES, Opinion
from utils.data.topics import Topic

Table = Mapping[str, list[float]]  # {part: probabilities, or the one number of a head}

_NUMBERS: dict[str, Callable[[Opinion, Table], float]] = {
    "binary": lambda opinion, table: table["relevance"][1],
    "regression": lambda opinion, table: opinion["score"],
    "regression_with_relevance": lambda opinion, table: opinion.get("score", math.nan),
    "stance": lambda opinion, table: STANCES.index(opinion["stance"]) - 1,
}
_ANSWERS: dict[str, Callable[[Topic], tuple[str, ...]]] = {  # of each part, in the order of its table
    "relevance": lambda topic: (IRRELEVANT, RELEVANT),
    "score": lambda topic: tuple(f"{score:g}" for score in topic.scores),
    "stance": lambda topic: STANCES,
}


def number_of(opinion: Opinion, table: Table, task_type: str) -> float:
    """What a predicted opinion is as a number. binary: the probability that the text holds an opinion; regression: its
    score; regression_with_relevance: its score, or nan where it holds none; stance: -1 against, 0 none, 1 in favor."""
    return float(_NUMBERS[task_type](opinion, table))


def named(table: Table, topic: Topic) -> dict[str, float]:
    """{answer: probability} of all questions about a topic. A score that a head gave as a number has none."""
    return {
        name: p
        for part, row in table.items()
        if len(row) > 1
        for name, p in zip(_ANSWERS[part](topic), row, strict=True)
    }
