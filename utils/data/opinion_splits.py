"""Splits of texts with opinions: stratified and seeded, or as the data come; a repeated text stands in one split alone.

parts = split_texts(texts, (0.8, 0.1, 0.1), seed=42)
parts, lines = as_given(parts, keep=False)
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from utils.data.opinions import Text
from utils.data.splits import SPLITS, deal

_MANY = 9  # topics: more have no row each in the table of counts


def normal(text: str) -> str:
    """A text as repeated ones are compared: its words and signs that mean something, in small letters, without
    addresses, mentions and a leading RT. A text of which nothing is left is compared as it is."""
    lower = unicodedata.normalize("NFKC", text).casefold()
    bare = re.sub(r"https?://\S+|www\.\S+|@\w+|^\s*rt\b", " ", lower)
    return " ".join(re.findall(r"\w+", bare)) or " ".join(lower.split())


def repeats(texts: Sequence[Text]) -> int:
    """How many of the texts are others (`normal`)."""
    return len(texts) - len({normal(text["text"]) for text in texts})


def label_key(text: Text) -> str:
    """What a split is stratified by: the opinions as they are."""
    opinions = sorted(text["opinions"].items())
    return repr([(topic, one.get("relevant"), one.get("score"), one.get("stance")) for topic, one in opinions])


def split_texts(texts: Sequence[Text], fractions: Sequence[float], seed: int) -> dict[str, list[Text]]:
    """{"train", "val", "test"}: `deal`, by labels; repeated texts stay together. Raises SplitError."""
    return deal(texts, lambda text: normal(text["text"]), label_key, fractions, seed)


def as_given(parts: dict[str, list[Text]], keep: bool) -> tuple[dict[str, list[Text]], list[str]]:
    """(the splits without the texts of an earlier one that stand in a later one too, lines about them)."""
    lines, kept = [], dict(parts)
    for number, name in enumerate(SPLITS[:2]):
        for later in SPLITS[number + 1 :]:
            other: dict[str, list[Text]] = defaultdict(list)
            for text in kept[name]:
                other[normal(text["text"])].append(text)
            both = [text for text in parts[later] if normal(text["text"]) in other]
            if not both:
                continue
            alike = sum(any(label_key(text) == label_key(one) for one in other[normal(text["text"])]) for text in both)
            known = {normal(text["text"]) for text in both}
            became = "they stay in both" if keep else f"they were left out of {name}"
            lines.append(
                f"repeated: {len(both):,} of {len(parts[later]):,} texts of {later} stand in {name} too, {alike:,} "
                f"with the same label: {became}"
            )
            if not keep:
                kept[name] = [text for text in kept[name] if normal(text["text"]) not in known]
    for name, texts in kept.items():
        if count := repeats(texts):
            lines.append(f"repeated: {count:,} of {len(texts):,} texts of {name} are others of {name}")
    return kept, lines


def count_table(parts: Mapping[str, Sequence[Text]]) -> str:
    """How many texts of each label the splits have, as text: a row a split and topic, or of many topics a split."""
    rows: list[tuple[str, str, Counter]] = []
    for name, texts in parts.items():
        labels: dict[str, Counter] = defaultdict(Counter)
        for topic, opinion in ((topic, one) for text in texts for topic, one in text["opinions"].items()):
            labels[topic][_named(opinion)] += 1
        if len(labels) > _MANY:
            labels = {f"{len(labels)} topics": sum(labels.values(), Counter())}
        rows += [(name, topic, counted) for topic, counted in labels.items()]
    columns = sorted({label for *_, counted in rows for label in counted}, key=_order)
    table = [["", "topic", "texts", *columns]]
    table += [[name, topic, f"{c.total():,}", *(f"{c[label]:,}" for label in columns)] for name, topic, c in rows]
    widths = [max(map(len, column)) for column in zip(*table)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table)


def _named(opinion: Mapping[str, Any]) -> str:
    if "score" in opinion:
        return f"{opinion['score']:g}"
    if "relevant" in opinion:
        return "relevant" if opinion["relevant"] else "irrelevant"
    return opinion.get("stance", "unlabelled")


def _order(label: str) -> tuple:
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label
