"""Conversations in SemEval-2024 Task 3's JSON: read, check, split, label, count and write them.

    python -c "from utils.data.conversations import *; print(names_of(load_conversations('data/sample')))"

A conversation stays the plain dictionary that the file holds (its type, `Conversation`, is a TypedDict), so fields that
nothing here knows (`video_source`, `video_caption`, ...) survive the whole chain. No function changes what it is given.
Bad input raises `ConversationError`, whose one message says where the fault is and how to fix it.
"""

import copy
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NotRequired, TypedDict

from utils.data.labels import ECF, LabelSet
from utils.system.errors import ConversationError, shown
from utils.system.files import read_json

PAIRS: Final = "emotion-cause_pairs"
# Nine digits are plenty, and keep int() away from strings of thousands of them.
NUMBER = r"[1-9][0-9]{0,8}"


class Utterance(TypedDict):
    """One utterance. Emotions are absent in unlabelled data; further fields of a file are kept."""

    utterance_ID: int
    text: str
    speaker: str
    emotion: NotRequired[str]
    video_name: NotRequired[str]


Conversation = TypedDict(
    "Conversation",
    {
        "conversation_ID": int | str,
        "conversation": list[Utterance],
        "emotion-cause_pairs": NotRequired[list[list[str]]],  # [["3_surprise", "1"], ...]; absent in unlabelled data
    },
)


def _error(where, field, problem, mend):
    return ConversationError(f"{where}, field {field!r}: {problem}. {mend}.")


def load_conversations(
    path: str | Path,
    labelled: bool | None = None,
    allow_empty: bool = False,
    faults: list[tuple[str | None, str]] | None = None,
    labels: LabelSet = ECF,
) -> list[Conversation]:
    """The validated conversations of a file, or of the one obvious file of a folder.

    Obvious is `conversations.json`, else the only JSON file, else ECF's `Subtask_2_train.json`.
    `labelled`, `allow_empty`, `faults` and `labels` are those of `validate_conversations`.

    Raises ConversationError where no file is obvious, and for what `validate_conversations` refuses.
    """
    path = Path(path)
    if path.is_dir():
        path = _only_file(path)
    return validate_conversations(read_json(path), path, labelled, allow_empty, faults, labels)


def _only_file(folder):
    names = sorted(file.name for file in folder.glob("*.json") if not file.name.startswith("."))
    if "conversations.json" in names:
        return folder / "conversations.json"
    if len(names) == 1:
        return folder / names[0]
    if "Subtask_2_train.json" in names:
        return folder / "Subtask_2_train.json"
    found = ", ".join(names) if names else "no JSON file"
    raise ConversationError(f"{folder}: cannot tell which file to read (found {found}). Name the file.")


# ---- validation --------------------------------------------------------------------------------------------


def validate_conversations(
    data: Any,
    source: str | Path = "conversations",
    labelled: bool | None = None,
    allow_empty: bool = False,
    faults: list[tuple[str | None, str]] | None = None,
    labels: LabelSet = ECF,
) -> list[Conversation]:
    """`data`, once it is known to be a list of sound conversations.

    source: what messages call the data, usually its file.
    labelled: True requires emotions and pairs; False and None do not. Labels that are there are always
        checked, and a conversation has an emotion on all of its utterances or on none. Emotions without pairs
        (what notebook 2 writes) are sound unless `labelled` is True.
    allow_empty: whether the list may be empty, as a split may be.
    faults: a list that gets (conversation_ID or None, message) of every conversation that is not sound, which is
        then left out; one sound conversation must be left.
    labels: the label set that emotions and pairs must be of.

    Raises ConversationError, for the first fault found.
    """
    if not isinstance(data, list):
        raise ConversationError(
            f"{source}: holds {_kind(data)} where a list of conversations belongs. "
            'Wrap it as [{"conversation_ID": ..., "conversation": [...]}, ...].'
        )
    if not data and not allow_empty:
        raise ConversationError(f"{source}: holds no conversation. Give at least one.")
    sound = {}
    for position, conversation in enumerate(data, 1):
        where = f"{source}, conversation at position {position}"
        key = None
        try:
            key = _checked_id(conversation, where)
            if same_id(key) in sound:
                other = str(sound[same_id(key)]["conversation_ID"])
                problem = f"{key} is there twice" if key == other else f"{key!r} and {other!r} are one id"
                raise _error(where, "conversation_ID", problem, "Give each conversation its own")
            _check_conversation(conversation, f"{source}, conversation {key}", labelled, labels)
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


def is_id(value: object) -> bool:
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


def _is_blank(text):
    """Whether nothing in `text` can be seen: white space, controls and characters without a width."""
    return not any(unicodedata.category(character)[0] not in "CZ" for character in text)


def _checked_id(conversation, where):
    if not isinstance(conversation, dict):
        raise ConversationError(
            f"{where}: is {_kind(conversation)}, not an object. "
            'Write {"conversation_ID": ..., "conversation": [...]}.'
        )
    mend = "Give the conversation a number or a name"
    if "conversation_ID" not in conversation:
        raise _error(where, "conversation_ID", "it is missing", mend)
    value = conversation["conversation_ID"]
    if not is_id(value):
        raise _error(where, "conversation_ID", f"{shown(value)} is no number and no name", mend)
    return str(value)


def _check_conversation(conversation, where, labelled, labels):
    utterances = conversation.get("conversation")
    if not isinstance(utterances, list):
        problem = f"it is {_kind(utterances)}" if "conversation" in conversation else "it is missing"
        raise _error(where, "conversation", problem, "Write the list of the conversation's utterances")
    if not utterances:
        raise _error(where, "conversation", "it has no utterance", "Add some or leave the conversation out")
    emotions = {}
    for position, utterance in enumerate(utterances, 1):
        number = _check_utterance(utterance, f"{where}, utterance at position {position}")
        if number in emotions:
            raise _error(
                f"{where}, utterance {number}",
                "utterance_ID",
                f"{number} is there twice",
                "Number the utterances 1, 2, 3, ...",
            )
        emotions[number] = _check_words_and_emotion(utterance, f"{where}, utterance {number}", labels)

    bare = [number for number, emotion in emotions.items() if emotion is None]
    if bare and (labelled or len(bare) < len(emotions)):
        why = "labels are needed here" if labelled else "other utterances of the conversation have one"
        raise _error(
            f"{where}, utterance {bare[0]}",
            "emotion",
            f"it is missing, and {why}",
            f"Label every utterance with one of {labels}" + ("" if labelled else ", or none of them"),
        )
    if PAIRS in conversation:
        _check_pairs(conversation[PAIRS], emotions, where, labels)
    elif labelled:
        raise _error(
            where,
            PAIRS,
            "it is missing, and labels are needed here",
            'Write pairs such as ["3_surprise", "1"], or [] where there are none',
        )


def _check_utterance(utterance, where):
    """The utterance's number, once it is known to be one."""
    if not isinstance(utterance, dict):
        raise ConversationError(
            f"{where}: is {_kind(utterance)}, not an object. "
            'Write {"utterance_ID": 1, "text": "...", "speaker": "..."}.'
        )
    mend = "Number the utterances 1, 2, 3, ..., because pairs point to these numbers"
    if "utterance_ID" not in utterance:
        raise _error(where, "utterance_ID", "it is missing", mend)
    number = utterance["utterance_ID"]
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number < 10**9:
        raise _error(where, "utterance_ID", f"{shown(number)} is not a positive whole number of up to 9 digits", mend)
    return number


def _check_words_and_emotion(utterance, where, labels):
    """The utterance's emotion, or None where it has none."""
    mends = {"text": "Write what is said, or leave the utterance out", "speaker": "Write who speaks"}
    for field, mend in mends.items():
        if field not in utterance:
            raise _error(where, field, "it is missing", mend)
        if not isinstance(utterance[field], str):
            raise _error(where, field, f"it is {_kind(utterance[field])}, not a string", mend)
        if _is_blank(utterance[field]):
            raise _error(where, field, "it is empty", mend)
    if "emotion" not in utterance:
        return None
    if utterance["emotion"] not in labels:
        raise _error(
            where,
            "emotion",
            f"{shown(utterance['emotion'])} is not an emotion of this task",
            f"Write one of {labels}, or leave the field out of unlabelled data",
        )
    return utterance["emotion"]


def _check_pairs(written, emotions, where, labels):
    """Checks the pairs of a conversation whose utterances have `emotions` ({number: emotion or None})."""
    if not isinstance(written, list):
        raise _error(where, PAIRS, f"it is {_kind(written)}, not a list", 'Write [["3_surprise", "1"], ...]')
    for pair in written:
        number, emotion, cause = _parse_pair(pair, where, labels)
        for end in (number, cause):
            if end not in emotions:
                raise _error(
                    where,
                    PAIRS,
                    f"the pair {pair} points to utterance {end}, which is not there",
                    "Point to utterance_IDs of this conversation",
                )
        there = f"{where}, utterance {number}"
        if emotion == labels.neutral:
            raise _error(
                there,
                PAIRS,
                f"the pair {pair} gives a neutral utterance a cause",
                "Remove the pair, or correct the emotion",
            )
        # A pair written twice is no fault. Without emotions there is nothing to disagree with.
        if emotions[number] not in (None, emotion):
            problem = f"the pair {pair} disagrees with the utterance's emotion, {emotions[number]}"
            raise _error(there, PAIRS, problem, "Correct one of the two")


def _parse_pair(pair, where, labels):
    """(emotion utterance, emotion, cause utterance) of a pair in the official form, ["3_surprise", "1"]."""
    whole = isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(end, str) for end in pair)
    if whole and re.match(f"{NUMBER}_", pair[1]):
        problem = f"the cause {shown(pair[1])} is a span of text, so this is a Subtask 1 file"
        raise _error(where, PAIRS, problem, "Pass the Subtask 2 file, whose causes are utterances")
    ends = whole and re.fullmatch(f"({NUMBER})_({'|'.join(map(re.escape, labels))})", pair[0])
    if not ends or not re.fullmatch(NUMBER, pair[1]):
        raise _error(
            where,
            PAIRS,
            f"{shown(pair)} is not an utterance with its emotion and a cause",
            f'Write pairs such as ["3_surprise", "1"], with one of {labels}',
        )
    return int(ends[1]), ends[2], int(pair[1])


# ---- labels ------------------------------------------------------------------------------------------------


def pairs(conversation: Conversation, labels: LabelSet = ECF) -> list[tuple[int, str, int]]:
    """The distinct pairs as sorted (emotion utterance, emotion, cause utterance); none without labels.

    Raises ConversationError for a malformed pair.
    """
    where = f"conversation {conversation.get('conversation_ID')}"
    return sorted({_parse_pair(pair, where, labels) for pair in conversation.get(PAIRS, [])})


def causes_of(conversation: Conversation, labels: LabelSet = ECF) -> dict[int, list[int]]:
    """{utterance_ID: its causes, sorted and maybe none} for every utterance that is not neutral, in order.

    Raises ConversationError for an utterance without an emotion and for a malformed pair.
    """
    where = f"conversation {conversation.get('conversation_ID')}"
    causes = {}
    for utterance in conversation["conversation"]:
        if "emotion" not in utterance:
            raise _error(
                f"{where}, utterance {utterance['utterance_ID']}",
                "emotion",
                "it is missing, and causes belong to emotions",
                "Label every utterance first",
            )
        if utterance["emotion"] != labels.neutral:
            causes[utterance["utterance_ID"]] = []
    for number, _, cause in pairs(conversation, labels):
        if number in causes:
            causes[number].append(cause)
    return causes


def with_pairs(conversation: Conversation, triples: Iterable[tuple[int, str, int]]) -> Conversation:
    """A copy with new pairs, (emotion utterance, emotion, cause utterance), sorted and in official form."""
    result = copy.deepcopy(conversation)
    result[PAIRS] = [[f"{number}_{emotion}", str(cause)] for number, emotion, cause in sorted(set(triples))]
    return result


def with_emotions(conversation: Conversation, emotions: Iterable[str], labels: LabelSet = ECF) -> Conversation:
    """A copy with these emotions, one an utterance, in order.

    Pairs are left out of the copy: they name the emotions that are replaced, and gold pairs must not travel
    with predicted emotions. Give it pairs with `with_pairs` afterwards.

    Raises ConversationError unless there is one known emotion for every utterance.
    """
    emotions = list(emotions)
    result = copy.deepcopy(conversation)
    result.pop(PAIRS, None)
    where = f"conversation {conversation.get('conversation_ID')}"
    utterances = result["conversation"]
    if len(emotions) != len(utterances):
        problem = f"{len(emotions)} emotions for {len(utterances)} utterances"
        raise _error(where, "emotion", problem, "Give one for every utterance")
    for utterance, emotion in zip(utterances, emotions):
        if emotion not in labels:
            problem = f"{shown(emotion)} is not an emotion of this task"
            raise _error(f"{where}, utterance {utterance['utterance_ID']}", "emotion", problem, f"Give one of {labels}")
        utterance["emotion"] = emotion
    return result


def without_labels(conversation: Conversation) -> Conversation:
    """A copy without emotions and pairs."""
    result = copy.deepcopy(conversation)
    result.pop(PAIRS, None)
    for utterance in result["conversation"]:
        utterance.pop("emotion", None)
    return result


def add_video_names(conversations: list[Conversation]) -> list[Conversation]:
    """A copy in which every utterance names its video, `dia1utt1.mp4` as in ECF; given names stay."""
    result = copy.deepcopy(conversations)
    for conversation in result:
        for utterance in conversation["conversation"]:
            name = f"dia{conversation['conversation_ID']}utt{utterance['utterance_ID']}.mp4"
            utterance.setdefault("video_name", name)
    return result


def names_of(conversations: Iterable[Conversation]) -> list[str]:
    """What messages call the conversations."""
    return [f"conversation {c['conversation_ID']}" for c in conversations]
