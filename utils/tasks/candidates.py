"""Which utterances may have caused an emotion: the questions of the cause task, and their order."""

from utils.data.conversations import Conversation, is_emotional
from utils.data.labels import ECF, LabelSet
from utils.system.errors import ConfigError

# Candidates stand from 8 utterances before the emotion to 3 after it: 99.5 % of ECF's pairs, and the number of
# questions grows with the length of a conversation, not with its square.
WINDOW = (-8, 3)


def check_causes(labels: LabelSet) -> None:
    """Raises ConfigError for a label set whose emotions are not asked for causes: one without a neutral label, or with
    several labels an utterance."""
    if labels.multi or labels.neutral is None:
        lacks = "has several labels an utterance" if labels.multi else "has no neutral label"
        raise ConfigError(
            f"label set {labels.name} {lacks}, so nothing is asked about causes: notebooks 1 and 2 are all there is"
        )


def emotional(conversation: Conversation, labels: LabelSet = ECF) -> list[int]:
    """Positions (from 0) of the utterances that carry an emotion other than neutral."""
    return [i for i, u in enumerate(conversation["conversation"]) if is_emotional(u, labels)]


def window(conversation: Conversation, position: int) -> range:
    """Positions of the utterances that may have caused the emotion of the one at `position`."""
    return range(max(position + WINDOW[0], 0), min(position + WINDOW[1] + 1, len(conversation["conversation"])))


def candidates(conversation: Conversation, position: int) -> list[int]:
    """Ids of the utterances that may have caused the emotion of the one at `position`."""
    return [conversation["conversation"][j]["utterance_ID"] for j in window(conversation, position)]


def asked(conversation: Conversation, labels: LabelSet = ECF) -> list[tuple[int, int]]:
    """(position of the emotional utterance, position of its candidate), in the order of `cause.candidates_tree`: behind
    each utterance first the candidates for its own emotion, then the earlier emotions that it may have caused."""
    pairs = [(i, j) for i in emotional(conversation, labels) for j in window(conversation, i)]
    return sorted(pairs, key=lambda pair: (max(pair), pair[0] < pair[1], pair))
