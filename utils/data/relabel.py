"""Which label set is a corpus in, and its conversations in the words of that set: labels merged or left out.

    labels = choose_labels([data], "mine")        # data: a list of conversations as JSON has them, not yet checked
    placed, became = relabelled(data, labels)     # became: Counter, for `told`

Conversations that are not sound pass through as they are: utils/data/validation.py refuses them by name.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from utils.data.label_sets import SETS
from utils.data.labels import ECF, LabelSet
from utils.data.validation import PAIRS, placed_as
from utils.system.errors import ConversationError, shown

NEUTRAL = ("neutral", "no emotion", "none")  # what corpora call it, whatever the case


def utterances_in(data: Any) -> Iterator[dict]:
    """The utterances in a list of conversations; what has another form is passed over."""
    for conversation in data if isinstance(data, list) else ():
        there = conversation.get("conversation") if isinstance(conversation, dict) else None
        yield from (u for u in there if isinstance(u, dict)) if isinstance(there, list) else ()


def labels_used(files: Iterable[Any]) -> tuple[Counter, bool]:
    """(how often each label stands on an utterance of these files, whether utterances carry lists of them)."""
    counted, lists = Counter(), False
    for data in files:
        for utterance in utterances_in(data):
            emotion = utterance.get("emotion")
            lists = lists or isinstance(emotion, list)
            counted.update(one for one in (emotion if isinstance(emotion, list) else [emotion]) if type(one) is str)
    return counted, lists


def choose_labels(files: list, name: str, wanted: LabelSet | None = None, strict: bool = False) -> LabelSet:
    """The label set of a corpus, whose `files` hold lists of conversations.

    wanted   the set that was asked for; a ready-made one takes several labels an utterance where the corpus does
    name     what a set is called that is taken from the data
    strict   labels beside some of ECF's are slips, which validation is to name, and no other set; else they are where
             most labels are ECF's

    Without `wanted`: ECF's, if all labels are of it; else the ready-made set of exactly these labels; else the corpus'
    labels themselves (`labels_of_data`).
    """
    counted, lists = labels_used(files)
    if wanted:
        return replace(wanted, multi=True) if lists and wanted == SETS.get(wanted.name) else wanted
    if {*counted} <= {*ECF} and not lists:
        return ECF
    for one in SETS.values():
        if {*counted} == {*one} and lists == one.multi:
            return one
    shared, others = {*counted} & {*ECF}, {*counted} - {*ECF}
    slips = not lists and shared and (strict or len(others) < len(shared))
    return ECF if slips else labels_of_data(files, name)


def labels_of_data(files: list, name: str) -> LabelSet:
    """The labels of a corpus as they are, the most frequent first; the neutral one is known by its name (NEUTRAL).
    Labels that stand in votes alone, and on no utterance, are left out.

    Raises ConversationError for a corpus without labels, and for labels that cannot be."""
    counted, lists = labels_used(files)
    labels = tuple(sorted(counted, key=lambda label: (-counted[label], label)))
    neutral = next((label for label in labels if label.lower() in NEUTRAL), None)
    votes = [u["votes"] for data in files for u in utterances_in(data) if isinstance(u.get("votes"), dict)]
    others = tuple(sorted({label for one in votes for label in one} - {*labels}))
    try:
        return LabelSet(name, labels, neutral, lists, leave_out=others, source="taken from the data")
    except ValueError as error:
        raise ConversationError(f"{name}: its labels make no label set ({error}). Label the utterances") from error


def relabelled(data: Any, labels: LabelSet) -> tuple[Any, Counter]:
    """(`data` in the words of `labels`, how often which label was merged or left out: {(whether of votes, label, the
    label that stands for it or None): count}).

    An utterance whose labels are all left out carries null; so are its votes and pairs gone. In a `multi` set a single
    label becomes a list of one; in another set a list of one becomes its label.
    """
    became: Counter = Counter()
    lists = any(isinstance(u.get("emotion"), list) != labels.multi for u in utterances_in(data) if u.get("emotion"))
    if not (labels.merge or labels.leave_out or lists) or not isinstance(data, list):
        return data, became
    return [_placed(one, labels, became) for one in data], became


def _placed(conversation, labels, became):
    if not isinstance(conversation, dict) or not isinstance(conversation.get("conversation"), list):
        return conversation
    utterances = [_placed_utterance(u, labels, became) for u in conversation["conversation"]]
    result = placed_as({**conversation, "conversation": utterances}, conversation)
    if isinstance(conversation.get(PAIRS), list):
        result[PAIRS] = [pair for one in conversation[PAIRS] for pair in _placed_pair(one, labels)]
    return result


def _placed_utterance(utterance, labels, became):
    if not isinstance(utterance, dict):
        return utterance
    result, emotion = placed_as(dict(utterance), utterance), utterance.get("emotion")
    if isinstance(emotion, str | list) and emotion:
        given = emotion if isinstance(emotion, list) else [emotion]
        if not all(isinstance(one, str) for one in given):
            return utterance
        became.update(
            (False, one, labels.merge.get(one)) for one in given if one in labels.merge or one in labels.leave_out
        )
        kept = list(dict.fromkeys(labels.merge.get(one, one) for one in given if one not in labels.leave_out))
        one = kept[0] if len(kept) == 1 else kept
        result["emotion"] = None if not kept else kept if labels.multi else one
    votes = utterance.get("votes")
    if isinstance(votes, dict):
        placed: dict = {}
        for label, count in votes.items():
            if label in labels.leave_out:
                became[True, label, None] += 1
            else:
                target = labels.merge.get(label, label)
                number = isinstance(count, int | float) and isinstance(placed.get(target, 0), int | float)
                placed[target] = placed.get(target, 0) + count if number else count
        result["votes"] = placed
        if votes and not placed:
            del result["votes"]
    return result


def _placed_pair(pair, labels):
    """The pair with its label in the words of the set, in a list; no pair where the label is left out."""
    if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
        return [pair]
    number, _, label = pair[0].partition("_")
    if label in labels.leave_out:
        return []
    return [[f"{number}_{labels.merge[label]}", pair[1]] if label in labels.merge else pair]


def told(became: Counter) -> list[str]:
    """What `relabelled` did, a line a label."""
    lines = [
        f"merged: {shown(label)} into {shown(target)}, {count:,} times"
        if target
        else f"left out: {shown(label)}, {count:,} times"
        for (of_votes, label, target), count in sorted(became.items())
        if not of_votes
    ]
    votes = sorted(label for of_votes, label, _ in became if of_votes)
    return lines + (
        [f"left out: the votes for {', '.join(map(shown, votes[:9]))}{', ...' * (len(votes) > 9)}"] * bool(votes)
    )
