"""Is this a conversation? Checks of what a file holds, with one message that says where the fault is and how to fix it.

validate_conversations(data, "my.json", labelled=True)
"""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeGuard

from utils.data.labels import ECF, LabelSet
from utils.system.errors import ConversationError, UserError, shown

PAIRS: Final = "emotion-cause_pairs"
# Nine digits are plenty, and keep int() away from strings of thousands of them.
NUMBER = r"[1-9][0-9]{0,8}"


def fault(where: str, field: str, problem: str, fix: str) -> ConversationError:
    """The error for a `field` of the file, conversation or utterance that `where` names."""
    return ConversationError(f"{where}, field {field!r}: {problem}. {fix}.")


class Placed(dict):
    """A conversation or an utterance that knows where its file has it, such as "row 7", for messages alone."""

    def __init__(self, fields: dict, where: str):
        super().__init__(fields)
        self.where = where


def placed_as(fields: dict, other: Any) -> dict:
    """`fields`, which come from where `other` does."""
    return Placed(fields, other.where) if isinstance(other, Placed) else fields


def _place(one: Any) -> str:
    return f", {one.where}" if isinstance(one, Placed) else ""


def validate_conversations(
    data: Any,
    source: str | Path = "conversations",
    labelled: bool | None = None,
    allow_empty: bool = False,
    faults: list[tuple[str | None, str]] | None = None,
    labels: LabelSet | None = ECF,
) -> list:
    """`data`, once it is known to be a list of sound conversations.

    source: what messages call the data, usually its file.
    labelled: True requires emotions, and pairs unless none of the conversations has any (a corpus without causes);
        False and None do not. Labels that are there are always checked, and a conversation has an emotion on all of
        its utterances or on none; null says that an utterance of a labelled conversation carries none. Emotions
        without pairs (what notebook 2 writes) are sound.
    allow_empty: whether the list may be empty, as a split may be.
    faults: a list that gets (conversation_ID or None, message) of every conversation that is not sound, which is
        then left out; one sound conversation must be left.
    labels: the label set that emotions, votes and pairs must be of; None: what labels there are is not looked at.

    Raises ConversationError, for the first fault found.
    """
    if not isinstance(data, list):
        raise ConversationError(
            f"{source}: holds {_kind(data)} where a list of conversations belongs. "
            'Wrap it as [{"conversation_ID": ..., "conversation": [...]}, ...].'
        )
    if not data and not allow_empty:
        raise ConversationError(f"{source}: holds no conversation. Give at least one.")
    sound, paired = {}, any(isinstance(one, dict) and PAIRS in one for one in data)
    for position, conversation in enumerate(data, 1):
        where = f"{source}, conversation at position {position}{_place(conversation)}"
        key = None
        try:
            key = _checked_id(conversation, where)
            if same_id(key) in sound:
                other = str(sound[same_id(key)]["conversation_ID"])
                problem = f"{key} is there twice" if key == other else f"{key!r} and {other!r} are one id"
                raise fault(where, "conversation_ID", problem, "Give each conversation its own")
            where = f"{source}, conversation {key}"
            _check_conversation(conversation, where, labelled, labelled and paired, labels)
        except ConversationError as error:
            if faults is None:
                raise
            faults.append((key, str(error)))
        else:
            sound[same_id(key)] = conversation
    if faults and data and not sound:
        first = faults[-len(data)][1]
        raise ConversationError(f"{source}: none of {len(data):,} conversations is sound. The first: {first}")
    return list(sound.values())


def _kind(value):
    """What JSON calls a value, for messages."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def is_id(value: object) -> TypeGuard[int | str]:
    """Whether a value may be a conversation's id: a whole number, or a string that is not blank.

    Ids stand in messages and in names of videos, so they have 100 characters at most, none of them a control.
    """
    if isinstance(value, str):
        return bool(value.strip()) and len(value) <= 100 and not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**99


def same_id(value: int | str) -> str:
    """An id as ids are compared: without white space around it and without zeros in front of a number."""
    text = str(value).strip()
    return text.lstrip("0") or "0" if re.fullmatch("[0-9]+", text) else text


def is_blank(text: str) -> bool:
    """Whether nothing in `text` can be seen: white space, controls, characters without a width, and the variation
    selectors that are left where an emoji was taken out."""
    return all(
        unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Zs") or "\ufe00" <= character <= "\ufe0f"
        for character in text
    )


def _checked_id(conversation, where):
    if not isinstance(conversation, dict):
        raise ConversationError(
            f"{where}: is {_kind(conversation)}, not an object. "
            'Write {"conversation_ID": ..., "conversation": [...]}.'
        )
    fix = "Give the conversation a number or a name"
    if "conversation_ID" not in conversation:
        raise fault(where, "conversation_ID", "it is missing", fix)
    value = conversation["conversation_ID"]
    if not is_id(value):
        raise fault(where, "conversation_ID", f"{shown(value)} is no number and no name", fix)
    return str(value)


def _check_conversation(conversation, where, labelled, paired, labels):
    """`labelled`: emotions must be there; `paired`: pairs must."""
    if re.fullmatch("-[0-9]+", str(conversation["conversation_ID"]).strip()):
        raise fault(where, "conversation_ID", "it is below 0", "Number the conversations 1, 2, 3, ..., or name them")
    utterances = conversation.get("conversation")
    if not isinstance(utterances, list):
        problem = f"it is {_kind(utterances)}" if "conversation" in conversation else "it is missing"
        raise fault(where, "conversation", problem, "Write the list of the conversation's utterances")
    if not utterances:
        raise fault(where, "conversation", "it has no utterance", "Add some or leave the conversation out")
    emotions = {}
    for position, utterance in enumerate(utterances, 1):
        number = _check_utterance(utterance, f"{where}, utterance at position {position}{_place(utterance)}")
        its = f"{where}, utterance {number}{_place(utterance)}"
        if number in emotions:
            raise fault(
                its,
                "utterance_ID",
                f"{number} is there twice",
                "Number the utterances 1, 2, 3, ...",
            )
        _check_words(utterance, its)
        if labels:
            _check_labels(utterance, its, labels)
        emotions[number] = utterance.get("emotion")

    if labels is None:
        return
    bare = [u["utterance_ID"] for u in utterances if "emotion" not in u]
    if bare and (labelled or len(bare) < len(emotions)):
        why = "labels are needed here" if labelled else "other utterances of the conversation have one"
        raise fault(
            f"{where}, utterance {bare[0]}",
            "emotion",
            f"it is missing, and {why}",
            f"Label every utterance with one of {labels}, or null" + ("" if labelled else ", or none of them"),
        )
    if PAIRS in conversation:
        _check_pairs(conversation[PAIRS], emotions, where, labels)
    elif paired:
        raise fault(
            where,
            PAIRS,
            "it is missing, and other conversations have pairs",
            'Write pairs such as ["3_surprise", "1"], or [] where there are none',
        )


def _check_utterance(utterance, where):
    """The utterance's number, once it is known to be one."""
    if not isinstance(utterance, dict):
        raise ConversationError(
            f"{where}: is {_kind(utterance)}, not an object. "
            'Write {"utterance_ID": 1, "text": "...", "speaker": "..."}.'
        )
    fix = "Number the utterances 1, 2, 3, ..., because pairs point to these numbers"
    if "utterance_ID" not in utterance:
        raise fault(where, "utterance_ID", "it is missing", fix)
    number = utterance["utterance_ID"]
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number < 10**9:
        raise fault(where, "utterance_ID", f"{shown(number)} is not a positive whole number of up to 9 digits", fix)
    return number


def _check_words(utterance, where):
    fixes = {"text": "Write what is said, or leave the utterance out", "speaker": "Write who speaks"}
    for field, fix in fixes.items():
        if field not in utterance:
            raise fault(where, field, "it is missing", fix)
        if not isinstance(utterance[field], str):
            raise fault(where, field, f"it is {_kind(utterance[field])}, not a string", fix)
        if is_blank(utterance[field]):
            raise fault(where, field, "it is empty", fix)


def _check_labels(utterance, where, labels):
    problem = emotion_problem(utterance.get("emotion"), labels)
    if problem:
        what = "a list of some of" if labels.multi else "one of"
        fix = f"Write {what} {labels}, or leave the field out of unlabelled data"
        fix += " (other labels: generate_input.py --labels data)"
        raise fault(where, "emotion", problem, fix)
    if "votes" in utterance:
        problem = votes_problem(utterance["votes"], labels)
        if problem:
            raise fault(where, "votes", problem, 'Write them as {"label": how many chose it}, or leave the field out')


def emotion_problem(value: Any, labels: LabelSet) -> str | None:
    """What is wrong with `value` as an utterance's emotion; None where it is a label of the set, in a `multi` set a
    list of different ones, or null, no emotion."""
    if value is None:
        return None
    if not labels.multi:
        if value in labels:
            return None
        more = f": {labels.name} takes one label an utterance" if isinstance(value, list) else ""
        return f"{shown(value)} is not an emotion of this task{more}"
    if not isinstance(value, list) or not value:
        return f"{shown(value)} is not a list of labels, and {labels.name} takes several an utterance"
    unknown = [label for label in value if label not in labels]
    if unknown:
        return f"{shown(unknown[0])} is not an emotion of this task"
    return None if len(set(value)) == len(value) else f"{shown(value)} names a label twice"


def votes_problem(value: Any, labels: LabelSet) -> str | None:
    """What is wrong with `value` as an utterance's votes, {label: positive number}; None where they are sound."""
    if not isinstance(value, dict) or not value:
        return f"{shown(value)} are no votes" if value != {} else "it is empty"
    for label, count in value.items():
        if label not in labels:
            return f"{shown(label)} is not one of {labels}"
        if type(count) not in (int, float) or not 0 < count < 1e9:
            return f"{shown(count)} votes for {label}, and a number above 0 belongs there"
    return None


def _check_pairs(written, emotions, where, labels):
    """Checks the pairs of a conversation whose utterances have `emotions` ({number: emotion or None})."""
    if not isinstance(written, list):
        raise fault(where, PAIRS, f"it is {_kind(written)}, not a list", 'Write [["3_surprise", "1"], ...]')
    for pair in written:
        number, emotion, cause = parse_pair(pair, where, labels)
        for end in (number, cause):
            if end not in emotions:
                raise fault(
                    where,
                    PAIRS,
                    f"the pair {pair} points to utterance {end}, which is not there",
                    "Point to utterance_IDs of this conversation",
                )
        there = f"{where}, utterance {number}"
        if emotion == labels.neutral:
            raise fault(
                there,
                PAIRS,
                f"the pair {pair} gives a neutral utterance a cause",
                "Remove the pair, or correct the emotion",
            )
        # A pair written twice is no fault. Without emotions there is nothing to disagree with.
        its = emotions[number]
        if its is None and any(one is not None for one in emotions.values()):
            problem = f"the pair {pair} is of an utterance whose emotion is null"
            raise fault(there, PAIRS, problem, "Remove the pair, or write the emotion")
        if its is not None and emotion not in (its if labels.multi else [its]):
            problem = f"the pair {pair} disagrees with the utterance's emotion, {emotions[number]}"
            raise fault(there, PAIRS, problem, "Correct one of the two")


def parse_pair(pair, where, labels):
    """(emotion utterance, emotion, cause utterance) of a pair in the official form, ["3_surprise", "1"]."""
    whole = isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(end, str) for end in pair)
    if whole and re.match(f"{NUMBER}_", pair[1]):
        problem = f"the cause {shown(pair[1])} is a span of text, so this is a Subtask 1 file"
        raise fault(where, PAIRS, problem, "Pass the Subtask 2 file, whose causes are utterances")
    ends = whole and re.fullmatch(f"({NUMBER})_({'|'.join(map(re.escape, labels))})", pair[0])
    if not ends or not re.fullmatch(NUMBER, pair[1]):
        raise fault(
            where,
            PAIRS,
            f"{shown(pair)} is not an utterance with its emotion and a cause",
            f'Write pairs such as ["3_surprise", "1"], with one of {labels}',
        )
    return int(ends[1]), ends[2], int(pair[1])


def items_with_ids(data: Any, source: str | Path, what: str, error: type[UserError]) -> Iterator[tuple[str, dict]]:
    """(what messages call it, the item) of each object in the list `data`, whose ids are there and differ.

    what  the items' name: those called text have a text_ID

    Raises `error` for the first fault, naming the item, the field and the fix."""
    if not isinstance(data, list):
        raise error(f"{source}: holds {shown(data)} where a list of {what}s belongs. Write one")
    field, keys = f"{what}_ID", set()
    for position, one in enumerate(data, 1):
        if not isinstance(one, dict) or not is_id(one.get(field)):
            where = f"{source}, {what} at position {position}"
            raise error(f"{where}, field {field!r}: a number or a name is missing. Give each {what} its own")
        where = f"{source}, {what} {one[field]}"
        if same_id(one[field]) in keys:
            raise error(f"{where}, field {field!r}: it is there twice. Give each {what} its own")
        keys.add(same_id(one[field]))
        yield where, one
