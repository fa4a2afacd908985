"""How far a cause lies from its emotion: counted and named in one way, for every picture and table."""

from utils.data.conversations import Conversation, pairs
from utils.data.labels import ECF, LabelSet

LOW, HIGH = -8, 4  # everything beyond them is counted at them
AXIS = "cause position - emotion position (-1: the previous utterance)"


def positions(conversation: Conversation) -> dict[int, int]:
    """Map utterance ids to their indices in the conversation."""
    return {int(utterance["utterance_ID"]): i for i, utterance in enumerate(conversation["conversation"])}


def distances(conversations: list[Conversation], labels: LabelSet = ECF) -> list[int]:
    """The cause's position minus the emotion's, of every pair in the conversations. Returns (pairs,)."""
    found = []
    for conversation in conversations:
        position = positions(conversation)
        for emotional, _, cause in pairs(conversation, labels):
            if emotional in position and cause in position:
                found.append(position[cause] - position[emotional])
    return found


def pooled(distance: int) -> int:
    """A distance, or the end beyond which it lies."""
    return min(max(distance, LOW), HIGH)


def name_of(distance: int) -> str:
    """What stands below a bar: "≤ -8", "-7", ..., "0", "+1", ..., "≥ +4"."""
    end = {LOW: "≤ ", HIGH: "≥ "}.get(distance, "")
    return f"{end}{distance:+d}" if distance else "0"
