"""A labelled conversation as lines that a terminal shows.

print(spoken(conversation, labels))
"""

from typing import Any

from utils.data.conversations import Conversation, emotions_of, pairs
from utils.data.labels import LabelSet
from utils.data.validation import PAIRS
from utils.tasks.emotion import line

SHOWN = 10  # utterances of the conversation that the command prints, and
WIDE = 60  # letters of each


def spoken(conversation: Conversation, labels: LabelSet) -> str:
    """The first lines of a labelled conversation, to be read at once: an utterance a line, its emotion, and behind an
    arrow the utterances that caused it."""
    causes: dict[Any, list[str]] = {}
    for of, _, cause in pairs(conversation, labels) if PAIRS in conversation else ():
        causes.setdefault(of, []).append(str(cause))
    lines = [f"conversation {conversation['conversation_ID']}:"]
    for u in conversation["conversation"][:SHOWN]:
        text = "".join(one if one.isprintable() else "\ufffd" for one in f"{u['utterance_ID']} {line(u)}")
        text = text if len(text) <= WIDE else f"{text[: WIDE - 3]}..."
        its = causes.get(u["utterance_ID"])
        lines.append(f"  {text:<{WIDE}}  {', '.join(emotions_of(u))}{' <- ' + ', '.join(its) if its else ''}")
    more = len(conversation["conversation"]) - SHOWN
    return "\n".join([*lines, *([f"  ... {more} more"] if more > 0 else [])])
