"""Splits of whole conversations: by seeded fractions or by a file of ids; and their counts."""

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from utils.data.conversations import Conversation, emotions_of, is_emotional, pairs
from utils.data.labels import ECF, LabelSet
from utils.data.validation import NUMBER, is_id
from utils.system.errors import ConversationError, SplitError, shown

SPLITS = ("train", "val", "test")
# {what the name of a file says: the split that it holds}
SPLIT_WORDS = {
    "train": "train",
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "devtest"), "test"),
}
Item = TypeVar("Item")


# ---- splits and counts -------------------------------------------------------------------------------------


def _order(key):
    """Sorts ids as people do: numbers by size, 9 before 10 whether numbers or strings, and then names."""
    key = str(key)
    return (0, int(key), key) if re.fullmatch(NUMBER, key) else (1, 0, key)


def by_id(conversations: Iterable[Conversation]) -> list[Conversation]:
    return sorted(conversations, key=lambda conversation: _order(conversation["conversation_ID"]))


def split_conversations(
    conversations: Sequence[Conversation], fractions: Sequence[float], seed: int
) -> dict[str, list[Conversation]]:
    """{"train": [...], "val": [...], "test": [...]}: whole conversations, dealt by `seed`.

    The order of `conversations` does not matter; each split is in order of id. A fraction above 0 gets at
    least one conversation.

    Raises ConversationError unless `fractions` are three shares adding up to 1, or for too few conversations.
    """
    fractions = [float(fraction) for fraction in fractions]
    if len(fractions) != 3 or not all(0 <= f <= 1 for f in fractions) or not math.isclose(sum(fractions), 1):
        raise ConversationError(
            f"fractions {fractions}: not three shares that add up to 1. "
            "Give those of train, val and test, such as 0.8 0.1 0.1."
        )
    wanted = sum(fraction > 0 for fraction in fractions)
    if len(conversations) < wanted:
        raise ConversationError(
            f"fractions {fractions}: need {wanted} conversations or more, and there are "
            f"{len(conversations)}. Add conversations, or set a fraction to 0."
        )
    shuffled = by_id(conversations)
    random.Random(seed).shuffle(shuffled)

    # Whole numbers nearest to the shares: round down, then hand what is left to the largest remainders.
    shares = [fraction * len(shuffled) for fraction in fractions]
    sizes = [math.floor(share) for share in shares]
    by_remainder = sorted(range(3), key=lambda i: sizes[i] - shares[i])
    for i in by_remainder[: len(shuffled) - sum(sizes)]:
        sizes[i] += 1
    for i, fraction in enumerate(fractions):
        if fraction > 0 and sizes[i] == 0:
            sizes[sizes.index(max(sizes))] -= 1
            sizes[i] = 1

    result, start = {}, 0
    for name, size in zip(SPLITS, sizes):
        result[name] = by_id(shuffled[start : start + size])
        start += size
    return result


def deal(
    items: Sequence[Item],
    group: Callable[[Item], str],
    stratum: Callable[[Item], str],
    fractions: Sequence[float],
    seed: int,
) -> dict[str, list[Item]]:
    """{"train", "val", "test"}: dealt by `seed`, every stratum in each split by its share as far as whole groups allow.
    The order of `items` does not matter, but for that within a split.

    group    what items of one split have in common, such as their text: those that repeat each other stay together
    stratum  what should be in each split by its share, such as the label

    Systematic sampling: the groups in the order of their strata, within a stratum shuffled, go one after another to the
    split that lacks most of its share so far.

    Raises SplitError for fractions that are not three shares, and for too few groups."""
    shares = [float(one) for one in fractions]
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise SplitError(f"fractions {shares}: not three shares that add up to 1. Give such as 0.8 0.1 0.1")
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[group(item)].append(item)
    keys = sorted(groups)
    if len(keys) < sum(share > 0 for share in shares):
        raise SplitError(f"fractions {shares}: {len(keys)} different texts are too few. Give more texts")
    random.Random(seed).shuffle(keys)
    keys.sort(key=lambda key: stratum(groups[key][0]))
    sizes, done, chosen = [0, 0, 0], 0, {}
    for key in keys:
        done += len(groups[key])
        lack = [share * done - size if share else -1.0 * len(items) for share, size in zip(shares, sizes)]
        split = max(range(3), key=lack.__getitem__)
        sizes[split] += len(groups[key])
        chosen[key] = SPLITS[split]
    for split, share in zip(SPLITS, shares):  # very few items: one at least where there is to be any
        if share and split not in chosen.values():
            largest = Counter(chosen.values()).most_common(1)[0][0]
            chosen[next(key for key in keys if chosen[key] == largest)] = split
    return {name: [item for item in items if chosen[group(item)] == name] for name in SPLITS}


def split_by_file(
    conversations: list[Conversation], splits: Any, source: str | Path = "splits", skipped: Iterable[str] = ()
) -> dict[str, list[Conversation]]:
    """{"train": [...], "val": [...], "test": [...]} after `splits`, lists of ids (val may be "dev").

    Ids match whether written as numbers or strings. A missing split is empty, a conversation in no split is
    left out, and each list keeps the order of `conversations`. source: what messages call the splits.
    skipped: ids, as strings, that the splits may name although there are no such conversations.

    Raises ConversationError, naming the ids, where one is in two splits, twice in one, or of no conversation.
    """
    names = {"train": "train", "dev": "val", "val": "val", "test": "test"}
    given = list(splits) if isinstance(splits, dict) else []
    if not given or not names.keys() >= set(given) or {"dev", "val"} <= set(given):
        found = ", ".join(map(shown, given[:9])) or "none"
        raise ConversationError(
            f'{source}: these are not splits (found {found}). Write {{"train": [ids], "dev": [ids], "test": [ids]}}.'
        )

    known = {str(conversation["conversation_ID"]) for conversation in conversations} | set(skipped)
    split_of = {}
    for name, ids in splits.items():
        if not isinstance(ids, list) or not all(is_id(key) for key in ids):
            raise ConversationError(f"{source}, {name}: not a list of conversation_IDs. Write such a list.")
        counts = Counter(map(str, ids))
        for faulty, problem in (
            (counts.keys() - known, "unknown to the data. Remove them, or pass the data they belong to"),
            (counts.keys() & split_of.keys(), "in another split too. Keep each in one, or scores are void"),
            ({key for key in counts if counts[key] > 1}, "there twice. Write each once"),
        ):
            if faulty:
                raise ConversationError(f"{source}, {name}: ids {_listed(faulty)} are {problem}.")
        split_of.update(dict.fromkeys(counts, names[name]))

    result = {name: [] for name in SPLITS}
    for conversation in conversations:
        name = split_of.get(str(conversation["conversation_ID"]))
        if name:
            result[name].append(conversation)
    return result


def _listed(keys, most=20):
    """Ids for a message, in order, and how many more there are."""
    keys = sorted(keys, key=_order)
    return ", ".join(keys[:most]) + (f" and {len(keys) - most} more" if len(keys) > most else "")


def describe(conversations: list[Conversation], labels: LabelSet = ECF) -> dict[str, int]:
    """Counts: conversations, utterances, emotional (not neutral), pairs, and each emotion by its name."""
    utterances = [utterance for conversation in conversations for utterance in conversation["conversation"]]
    emotions = Counter(label for utterance in utterances for label in emotions_of(utterance))
    return {
        "conversations": len(conversations),
        "utterances": len(utterances),
        "emotional": sum(is_emotional(utterance, labels) for utterance in utterances),
        "pairs": sum(len(pairs(conversation, labels)) for conversation in conversations),
        **{emotion: emotions[emotion] for emotion in labels},
    }


def count_table(parts: dict[str, list[Conversation]], labels: LabelSet = ECF) -> str:
    """Counts as text, a row for every {name: conversations}."""
    counts = {name: describe(conversations, labels) for name, conversations in parts.items()}
    rows = [["", *next(iter(counts.values()))]]
    rows += [[name, *(f"{count:,}" for count in row.values())] for name, row in counts.items()]
    first, *others = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, others))])
        for name, *cells in rows
    )
