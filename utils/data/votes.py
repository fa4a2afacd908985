"""What an utterance counts as carrying where several annotators labelled it, or where it may carry several labels.

utterance = {"emotion": "joy", "votes": {"joy": 3, "surprise": 2}, ...}
several(utterance, labels)         # ["joy", "surprise"]
distribution(utterance, labels)    # {"joy": 0.6, "surprise": 0.4}
"""

from utils.data.conversations import Utterance, emotions_of
from utils.data.labels import LabelSet

AGREED = 2  # so many votes make a label one of an utterance's several labels


def votes_of(utterance: Utterance, labels: LabelSet) -> dict[str, float]:
    """The votes for labels of the set, in its order; {} where there are none."""
    given = utterance.get("votes", {})
    return {label: given[label] for label in labels if label in given}


def several(utterance: Utterance, labels: LabelSet) -> list[str]:
    """The labels that the utterance carries where it may carry several: those of a `multi` set; else those with at
    least AGREED votes; where none has as many, its one label; [] where it has none."""
    agreed = [] if labels.multi else [one for one, count in votes_of(utterance, labels).items() if count >= AGREED]
    return agreed or emotions_of(utterance)


def distribution(utterance: Utterance, labels: LabelSet) -> dict[str, float]:
    """{label: its share of the votes}; without votes all on its label, or evenly on its several; {} without a label."""
    counted = votes_of(utterance, labels) or dict.fromkeys(emotions_of(utterance), 1.0)
    return {label: count / sum(counted.values()) for label, count in counted.items()}
