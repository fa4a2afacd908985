"""What the cell of a label column says, for each type of task.

label = read_label("-2", "regression", topic, where)     # -2.0; a stance, "relevant" or "irrelevant" elsewhere
opinion_of(label, "regression")                          # {"score": -2.0}; None for a text that is left out
"""

from typing import Any

from utils.data.agreement import Label
from utils.data.opinions import IRRELEVANT, RELEVANT, Opinion, check_score
from utils.data.topics import Topic
from utils.system.errors import OpinionError, shown

_BINARY = {
    **dict.fromkeys(("1", "1.0", "true", "yes", RELEVANT), RELEVANT),
    **dict.fromkeys(("0", "0.0", "false", "no", IRRELEVANT), IRRELEVANT),
}
_STANCE = {
    **dict.fromkeys(("favor", "favour", "in favor", "for"), "favor"),
    **dict.fromkeys(("against",), "against"),
    **dict.fromkeys(("none", "neither", "neutral", IRRELEVANT), "none"),
}
_NO_SCORE = ("-9", "-9.0", "none", IRRELEVANT)  # what tables write for a text without an opinion


def read_label(value: Any, task_type: str, topic: Topic, where: str) -> Label:
    """The label that a cell holds; None for an empty one.

    Raises OpinionError for a cell that is no label of this type of task, or off the topic's scale."""
    if value is None:
        return None
    word = str(value).strip().lower()
    if task_type in ("binary", "stance"):
        known = _BINARY if task_type == "binary" else _STANCE
        if word not in known:
            words = "1 or 0" if task_type == "binary" else "favor, against or none"
            raise OpinionError(f"{where}: {shown(value)} is no label of the task type {task_type}. Write {words}")
        return known[word]
    if word in _NO_SCORE:
        return IRRELEVANT
    try:
        score = float(word)
    except ValueError:
        raise OpinionError(
            f"{where}: {shown(value)} is no score. Write a number from {topic.scores[0]:g} to {topic.scores[-1]:g}, or "
            f"{IRRELEVANT} for a text that holds no opinion"
        ) from None
    return check_score(score, where, topic)


def opinion_of(label: Label, task_type: str) -> Opinion | None:
    """The opinion that a label says; None for a text without an opinion in a regression, which has no score."""
    if isinstance(label, float):
        return {"relevant": True, "score": label} if task_type == "regression_with_relevance" else {"score": label}
    if task_type == "stance":
        return {"stance": str(label)}
    if task_type == "regression":
        return None
    return {"relevant": label == RELEVANT}
