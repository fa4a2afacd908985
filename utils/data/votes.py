"""What an utterance counts as carrying where several annotators labelled it, or where it may carry several labels.

utterance = {"emotion": "joy", "votes": {"joy": 3, "surprise": 2}, ...}
several(utterance, labels)         # ["joy", "surprise"]
distribution(utterance, labels)    # {"joy": 0.6, "surprise": 0.4}
with_votes(conversations, votes_by_words(others, labels))      # votes of another release of the same talks
"""

import re
from collections import defaultdict

from utils.data.conversations import Conversation, Utterance, emotions_of
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


def words_of(text: str) -> str:
    """What two transcripts of the same words share: letters and digits, without case."""
    return re.sub(r"[\W_]", "", text.lower())


def votes_by_words(conversations: list[Conversation], labels: LabelSet) -> dict[str, dict[str, float]]:
    """{`words_of` an utterance: {label: its mean share of the annotators' votes}}, over all utterances with these words
    that have votes for labels of the set."""
    found = defaultdict(list)
    for c in conversations:
        for u in c["conversation"]:
            if votes_of(u, labels):
                found[words_of(u["text"])].append(distribution(u, labels))
    return {
        words: {one: sum(share.get(one, 0.0) for share in shares) / len(shares) for one in labels}
        for words, shares in found.items()
    }


def with_votes(conversations: list[Conversation], votes: dict[str, dict[str, float]]) -> tuple[list[Conversation], int]:
    """(copies whose utterances have the `votes` for their words, where there are some; how many have)."""
    count, copies = 0, []
    for c in conversations:
        utterances = []
        for u in c["conversation"]:
            given = votes.get(words_of(u["text"]))
            count += given is not None
            utterances.append(
                u if given is None else {**u, "votes": {one: share for one, share in given.items() if share}}
            )
        copies.append({**c, "conversation": utterances})
    return copies, count
