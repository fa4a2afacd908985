"""Conversations in SemEval-2024 Task 3's JSON: read, check, split, label, count and write them.

    python -c "from utils.data.conversations import *; print(names_of(load_conversations('data/sample')))"

A conversation stays the plain dictionary that the file holds (its type, `Conversation`, is a TypedDict), so fields that
nothing here knows (`video_source`, `video_caption`, ...) survive the whole chain. No function changes what it is given.
Bad input raises `ConversationError`, whose one message says where the fault is and how to fix it.
"""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from utils.data.labels import ECF, LABELS_FILE, LabelSet
from utils.data.validation import PAIRS, emotion_problem, fault, parse_pair, validate_conversations
from utils.system.errors import ConversationError
from utils.system.files import read_json


class Utterance(TypedDict):
    """One utterance; further fields of a file are kept.

    emotion  a label, or in a `multi` label set a list of labels; null where an utterance of a labelled conversation
             carries none; absent in unlabelled data
    votes    how many annotators chose each label, where that is known
    """

    utterance_ID: int
    text: str
    speaker: str
    emotion: NotRequired[Any]
    votes: NotRequired[dict[str, float]]
    video_name: NotRequired[str]


Conversation = TypedDict(
    "Conversation",
    {
        "conversation_ID": int | str,
        "conversation": list[Utterance],
        "emotion-cause_pairs": NotRequired[list[list[str]]],  # [["3_surprise", "1"], ...]; absent in unlabelled data
    },
)


def load_conversations(
    path: str | Path,
    labelled: bool | None = None,
    allow_empty: bool = False,
    faults: list[tuple[str | None, str]] | None = None,
    labels: LabelSet | None = ECF,
) -> list[Conversation]:
    """The validated conversations of a file, or of the one obvious file of a folder.

    Obvious is `conversations.json`, else the only JSON file beside the label set, else ECF's `Subtask_2_train.json`.
    `labelled`, `allow_empty`, `faults` and `labels` are those of `validate_conversations`.

    Raises ConversationError where no file is obvious, and for what `validate_conversations` refuses.
    """
    path = file_in(path)
    return validate_conversations(read_json(path), path, labelled, allow_empty, faults, labels)


def file_in(path: str | Path) -> Path:
    """The file that `load_conversations` reads: `path`, or the obvious one where it is a folder.

    Raises ConversationError where none is obvious."""
    folder = Path(path)
    if not folder.is_dir():
        return folder
    names = sorted(f.name for f in folder.glob("*.json") if not f.name.startswith(".") and f.name != LABELS_FILE)
    if "conversations.json" in names:
        return folder / "conversations.json"
    if len(names) == 1:
        return folder / names[0]
    if "Subtask_2_train.json" in names:
        return folder / "Subtask_2_train.json"
    found = ", ".join(names) if names else "no JSON file"
    splits = sorted(map(str, folder.glob("*/conversations.json")))
    name = f"Name one of {', '.join(splits[:10])}." if splits else "Name the file."
    raise ConversationError(f"{folder}: cannot tell which file to read (found {found}). {name}")


def emotions_of(utterance: Utterance) -> list[str]:
    """The labels that an utterance carries: none, one, or in a `multi` label set several."""
    emotion = utterance.get("emotion")
    return emotion if isinstance(emotion, list) else [] if emotion is None else [emotion]


def is_emotional(utterance: Utterance, labels: LabelSet = ECF) -> bool:
    """Whether an utterance carries a label other than the neutral one."""
    return any(label != labels.neutral for label in emotions_of(utterance))


def pairs(conversation: Conversation, labels: LabelSet = ECF) -> list[tuple[int, str, int]]:
    """The distinct pairs as sorted (emotion utterance, emotion, cause utterance); none without labels.

    Raises ConversationError for a malformed pair.
    """
    where = f"conversation {conversation.get('conversation_ID')}"
    return sorted({parse_pair(pair, where, labels) for pair in conversation.get(PAIRS, [])})


def causes_of(conversation: Conversation, labels: LabelSet = ECF) -> dict[int, list[int]]:
    """{utterance_ID: its causes, sorted and maybe none} for every utterance with an emotion that is not neutral, in
    order.

    Raises ConversationError for an utterance without an emotion and for a malformed pair.
    """
    where = f"conversation {conversation.get('conversation_ID')}"
    causes = {}
    for utterance in conversation["conversation"]:
        if "emotion" not in utterance:
            raise fault(
                f"{where}, utterance {utterance['utterance_ID']}",
                "emotion",
                "it is missing, and causes belong to emotions",
                "Label every utterance first",
            )
        if is_emotional(utterance, labels):
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


def with_emotions(conversation: Conversation, emotions: Iterable[Any], labels: LabelSet = ECF) -> Conversation:
    """A copy with these emotions, one an utterance (a list of labels in a `multi` set), in order.

    Pairs and votes are left out of the copy: they name the emotions that are replaced, and gold labels must not travel
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
        raise fault(where, "emotion", problem, "Give one for every utterance")
    for utterance, emotion in zip(utterances, emotions):
        if problem := emotion_problem(emotion, labels):
            raise fault(f"{where}, utterance {utterance['utterance_ID']}", "emotion", problem, f"Give one of {labels}")
        utterance["emotion"] = emotion
        utterance.pop("votes", None)
    return result


def without_labels(conversation: Conversation) -> Conversation:
    """A copy without emotions, votes and pairs."""
    result = copy.deepcopy(conversation)
    result.pop(PAIRS, None)
    for utterance in result["conversation"]:
        utterance.pop("emotion", None)
        utterance.pop("votes", None)
    return result


def names_of(items: Iterable[Any]) -> list[str]:
    """What messages call the items: conversations, the texts of utils/data/opinions.py, or the examples of
    utils/data/instructions.py."""
    kinds = {"text_ID": "text", "example_ID": "example", "conversation_ID": "conversation"}
    return [next(f"{kind} {one[field]}" for field, kind in kinds.items() if field in one) for one in items]
