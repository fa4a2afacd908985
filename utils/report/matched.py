"""Gold and predicted conversations as the scores read them: matched by their ids, their pairs checked.

for key, gold_conversation, predicted in aligned(gold, pred): ...
"""

import re
import string
from typing import Any

from utils.data.labels import LabelSet
from utils.data.validation import PAIRS, is_id, same_id
from utils.system.errors import ScoringError, shown

# (subtask, side): the form of a pair's cause, and an example of the pair. Nine digits keep int() quick.
_NUMBER = "([0-9]{1,9})"
_CAUSE_FORMS = {
    (1, "gold"): (f"U?{_NUMBER}_(.*)", '["3_joy", "2_the words of the cause"]'),
    (1, "pred"): (
        f"U?{_NUMBER}_{_NUMBER}_{_NUMBER}",
        '["3_joy", "2_0_5"]: the cause is a range of tokens (its end exclusive), not the words',
    ),
    (2, "gold"): (f"U?{_NUMBER}", '["3_joy", "2"]'),
    (2, "pred"): (f"U?{_NUMBER}", '["3_joy", "2"]'),
}


def aligned(gold, pred) -> list[tuple]:
    """[(key, gold conversation, predicted conversation)] for every conversation of `gold`.

    Raises ScoringError where `gold` is empty or `pred` lacks one of its conversations, and as `by_id` does."""
    gold, pred = by_id(gold, "gold"), by_id(pred, "pred")
    if not gold:
        raise ScoringError("gold", "", "it holds no conversation", "Give at least one")
    for key in gold:
        if key not in pred:
            raise ScoringError("pred", key, "it is missing", "Write every conversation of gold")
    return [(key, conversation, pred[key]) for key, conversation in gold.items()]


def by_id(conversations, side: str) -> dict:
    """{conversation_ID as ids are compared: conversation}; side: "gold" or "pred", for messages.

    Raises ScoringError for what is no list of conversations, and for an id that is none or there twice."""
    if not isinstance(conversations, list) or not all(isinstance(each, dict) for each in conversations):
        raise ScoringError(side, "", "it is not a list of conversations", "Write [{...}, {...}]")
    result = {}
    for position, conversation in enumerate(conversations, 1):
        key = conversation.get("conversation_ID")
        if not is_id(key):
            raise ScoringError(
                side, f"at position {position}", "it has no conversation_ID, a number or name", "Give it that of gold"
            )
        if same_id(key) in result:
            raise ScoringError(side, key, "its conversation_ID is there twice", "Keep one of the two")
        result[same_id(key)] = conversation
    return result


def pairs_of(key, conversation, subtask: int, side: str, labels: LabelSet) -> set[tuple]:
    """The pairs of a conversation that are not neutral: (key, emotion utterance, emotion, cause utterance); in Subtask
    1 with start and end in tokens behind it. Raises ScoringError for a pair that is malformed or points to no text."""
    written = conversation.get(PAIRS)
    if not isinstance(written, list):
        problem = f"{PAIRS!r} is not a list" if PAIRS in conversation else f"the key {PAIRS!r} is missing"
        raise ScoringError(side, key, problem, "Write the pairs, or [] where there are none")
    texts = {}
    if written and (subtask, side) == (1, "gold"):  # once: a conversation may have thousands of pairs and words
        for number, utterance in utterances_of(key, conversation, side).items():
            if isinstance(utterance.get("text"), str):
                texts[number] = f" {' '.join(utterance['text'].split())} "
    cause_form, example = _CAUSE_FORMS[subtask, side]
    result = set()
    for pair in written:
        if subtask == 2 and isinstance(pair, list) and len(pair) == 2:  # as lenient as int() in the official script
            pair = [pair[0], str(pair[1]).strip() if type(pair[1]) in (int, str) else pair[1]]
        whole = isinstance(pair, list) and len(pair) == 2 and all(isinstance(end, str) for end in pair)
        end = whole and re.fullmatch(f"U?{_NUMBER}_(.*)", pair[0], re.DOTALL)
        cause = whole and re.fullmatch(cause_form, pair[1], re.DOTALL)
        if not end or not cause:
            raise ScoringError(side, key, f"the pair {shown(pair)} is malformed", f"Write {example}")
        number, emotion = int(end[1]), end[2]
        if emotion not in labels:
            raise ScoringError(side, key, f"the pair {shown(pair)} has an unknown emotion", f"Write one of {labels}")
        span = ()
        if (subtask, side) == (1, "gold"):
            text = texts.get(int(cause[1]))
            if text is None:
                problem = f"the pair {shown(pair)} needs the text of utterance {int(cause[1])}, which is not there"
                raise ScoringError(side, key, problem, "Number the utterances and give each its text")
            span = _locate(cause[2], text)
        elif subtask == 1:
            span = int(cause[2]), int(cause[3])
            if span[0] > span[1]:
                raise ScoringError(side, key, f"the range of {pair} ends too early", f"Write {example}")
        if emotion != labels.neutral:
            result.add((key, number, emotion, int(cause[1]), *span))
    return result


def _locate(words, text):
    """(start, end) in tokens of a gold cause, the first time that the utterance says it; (0, 0) where it does not.

    text: the utterance's tokens between single spaces, one more at either end. Tokens are what any white space
    separates, also a non-breaking space.
    """
    # As in the task: outer punctuation is no part of a span, whether the annotators marked it or not.
    words = " ".join(words.split()).strip(string.punctuation + " ")
    at = text.find(f" {words} ") if words else -1
    if at < 0:
        return 0, 0
    start = text.count(" ", 0, at)
    return start, start + words.count(" ") + 1


def utterances_of(key, conversation, side: str) -> dict[int, Any]:
    """{utterance_ID: utterance} of a conversation. Raises ScoringError where ids are missing or there twice."""
    utterances = conversation.get("conversation")
    if not isinstance(utterances, list) or not all(isinstance(each, dict) for each in utterances):
        raise ScoringError(side, key, "'conversation' is not a list of utterances", "Write [{...}, {...}]")
    numbers = [utterance.get("utterance_ID") for utterance in utterances]
    if not all(type(number) is int for number in numbers) or len(set(numbers)) < len(numbers):
        raise ScoringError(
            side, key, "an utterance_ID is missing, no number or there twice", "Number the utterances 1, 2, 3, ..."
        )
    return dict(zip(numbers, utterances))
