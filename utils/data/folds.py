"""Cross-validation: conversations in k parts, of which each is held out once.

    parts = folds(conversations, 5, "session", seed=42)      # [[conversations of part 1], ...]

What belongs together stays in one part, because a model that has seen half of a session, an episode or a speaker is
better at the other half than at anything new.
"""

import random
from collections import Counter
from collections.abc import Sequence

from utils.data.conversations import Conversation, emotions_of
from utils.data.labels import LabelSet
from utils.data.splits import by_id
from utils.system.errors import ConversationError, shown

ALONE, BLOCK, SPEAKER = "conversation", "block", "speaker"


def folds(
    conversations: Sequence[Conversation], count: int, group: str = ALONE, seed: int = 42, source: object = "the data"
) -> list[list[Conversation]]:
    """`conversations` in `count` parts of about as many utterances, each part in order of id.

    group   what stays together. conversation: nothing but a conversation. block: neighbours in order of id, such as the
            episodes of a series. speaker: all conversations in which a speaker takes part. Else a field that every
            conversation has, such as session, season or episode
    seed    of the order in which groups are dealt (block has none)
    source  what messages call the conversations

    Raises ConversationError where there are fewer groups than parts, or a conversation lacks the field.
    """
    ordered = by_id(conversations)
    if group in (ALONE, BLOCK):
        groups = [[c] for c in ordered]
    else:
        found: dict[object, list[Conversation]] = {}
        names = _by_speaker(ordered) if group == SPEAKER else [_name(c, group, source) for c in ordered]
        for c, name in zip(ordered, names):
            found.setdefault(name, []).append(c)
        groups = list(found.values())
    if len(groups) < count:
        what = "conversations" if group in (ALONE, BLOCK) else f"groups by {group}"
        fewer = f"folds {len(groups)} or fewer, or " if len(groups) > 1 else ""
        raise ConversationError(
            f"{source}: {len(groups)} {what} cannot be split into {count} folds. Give {fewer}another group, such as "
            "block, or more conversations"
        )
    if group == BLOCK:
        return _blocks(ordered, count)
    random.Random(seed).shuffle(groups)
    groups.sort(key=_size, reverse=True)  # the largest first, and among equals as they were shuffled
    parts: list[list[Conversation]] = [[] for _ in range(count)]
    for one in groups:
        min(parts, key=_size).extend(one)
    return [by_id(part) for part in parts]


def _size(conversations) -> int:
    return sum(len(c["conversation"]) for c in conversations)


def _blocks(ordered, count):
    """Consecutive parts: a conversation belongs to the part in which its middle utterance lies, and none is empty."""
    total, before, parts = _size(ordered), 0, [[] for _ in range(count)]
    for k, c in enumerate(ordered):
        length = len(c["conversation"])
        part = int((before + length / 2) * count / total)
        part = max(part, count - (len(ordered) - k))  # as many are left as parts to fill
        filled = sum(map(bool, parts))
        parts[min(part, filled)].append(c)
        before += length
    return parts


def _name(conversation, field, source):
    """What the conversation has as `field`. A season's episode 3 is not that of another season."""
    if field not in conversation:
        raise ConversationError(
            f"{source}, conversation {conversation['conversation_ID']}: there is no field {shown(field)} to group "
            f"folds by. Give {ALONE}, {BLOCK}, {SPEAKER}, or a field that every conversation has"
        )
    above = conversation.get("season") if field == "episode" else None
    return str(above), str(conversation[field])


def _by_speaker(conversations) -> list[str]:
    """For each conversation the name of its group: conversations that share a speaker, directly or through others."""
    leads: dict[str, str] = {}

    def first(name):
        while leads.setdefault(name, name) != name:
            name = leads[name]
        return name

    for c in conversations:
        for u in c["conversation"]:
            leads[first(u["speaker"])] = first(c["conversation"][0]["speaker"])
    return [first(c["conversation"][0]["speaker"]) for c in conversations]


def absent(conversations: Sequence[Conversation], labels: LabelSet) -> list[str]:
    """The labels that no utterance of these conversations carries, in the order of the set."""
    carried = Counter(label for c in conversations for u in c["conversation"] for label in emotions_of(u))
    return [label for label in labels if not carried[label]]
