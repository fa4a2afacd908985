"""Captions: texts beside an utterance's words, in fields of its own, such as `video_caption`.

captioned(utterance, ("video_caption",))        # " [video caption: she laughs]"; "" where there is none
check_captions(conversations, "mine.json", ("video_caption",))
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from utils.data.conversations import Conversation, Utterance, names_of
from utils.data.validation import fault, is_blank
from utils.system.errors import ConfigError, shown

# What an utterance's own fields say is asked or said already: no caption.
TAKEN = tuple(Utterance.__annotations__)


def captioned(utterance: Utterance, fields: Sequence[str]) -> str:
    """What stands behind the words of the line: for each of `fields`, in their order, its name with spaces for
    underscores and its text, in brackets. White space is made single. A field that is absent, null or blank leaves no
    trace. The fields are texts (`check_captions`)."""
    texts = [(name.replace("_", " "), utterance.get(name)) for name in fields]
    return "".join(f" [{name}: {' '.join(text.split())}]" for name, text in texts if text and not is_blank(text))


def check_captions(conversations: Iterable[Conversation], source: str | Path, fields: Sequence[str]) -> None:
    """Raises ConversationError for the first of `fields` that an utterance has and that is no text. source: what
    messages call the conversations, usually their file."""
    given = list(conversations)
    for c, name in zip(given, names_of(given)):
        for u in c["conversation"]:
            for field in fields:
                if not isinstance(u.get(field), str | None):
                    where, fix = f"{source}, {name}, utterance {u['utterance_ID']}", "Write a text, or leave it out"
                    raise fault(where, field, f"{shown(u.get(field))} is no text", fix)


def check_there(conversations: Iterable[Conversation], source: str | Path, fields: Sequence[str]) -> None:
    """Raises ConfigError for a name among `fields` that no utterance has: it may be mistyped."""
    there = {field for c in conversations for u in c["conversation"] for field in u}
    for field in fields:
        if field not in there:
            others = sorted(there.difference(TAKEN))
            found = f"they have {', '.join(map(shown, others))}" if others else "they have no fields beside the words"
            raise ConfigError(f"parameter captions: no utterance of {source} has the field {shown(field)}; {found}")
