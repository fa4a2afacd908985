"""Conversations in SemEval-2024 Task 3's JSON: read, check, split, label, count and write them.

    python -c "from utils.conversations import *; print(describe(load_conversations('data/sample')))"

A conversation stays the plain dictionary that the file holds, so fields that nothing here knows
(`video_source`, `video_caption`, ...) survive the whole chain. No function changes what it is given. Bad
input raises `ConversationError`, whose one message says where the fault is and how to mend it.
"""

import contextlib
import copy
import json
import math
import os
import random
import re
import reprlib
import uuid
from collections import Counter
from pathlib import Path

EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
NEUTRAL = "neutral"
PAIRS = "emotion-cause_pairs"
SPLITS = ("train", "val", "test")

# Nine digits are plenty, and keep int() away from strings of thousands of them.
_NUMBER = r"[1-9][0-9]{0,8}"

_DEEPEST = 100  # levels of nesting; copying and writing recurse, and Python's stack ends at some hundreds

_REPR = reprlib.Repr()
_REPR.maxlevel = 2
shown = _REPR.repr  # a value for messages, which stay short whatever it holds


class ConversationError(ValueError):
    """Input that cannot be used: says which file, conversation, utterance and field, and how to mend it."""


def _error(where, field, problem, mend):
    return ConversationError(f"{where}, field {field!r}: {problem}. {mend}.")


# ---- files -------------------------------------------------------------------------------------------------


def read_json(path):
    """What the JSON file at `path` holds. A byte-order mark is accepted.

    Raises ConversationError for a file that is missing, unreadable, empty, not UTF-8 or not JSON, and for JSON that
    would not survive: a key twice in one object, NaN, infinity, half characters, nesting without end.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConversationError(f"{path}: no such file. Check the path, or write the file first.") from None
    except OSError as error:
        raise ConversationError(f"{path}: cannot be read ({error.strerror}). Give another file.") from error
    except UnicodeDecodeError as error:
        raise ConversationError(f"{path}: not UTF-8 (byte {error.start}). Save the file as UTF-8.") from error
    return parse_json(text, path)


def parse_json(text, path):
    """What the JSON `text` holds, under the same conditions; `path` is what messages call it."""
    if not text.strip():
        raise ConversationError(f"{path}: the file is empty. It must hold JSON; write it again.")
    try:
        data = json.loads(text, object_pairs_hook=_object, parse_float=_finite, parse_constant=_finite)
        if _is_deep(data):
            raise ValueError(f"nested deeper than {_DEEPEST} levels")
        # JSON can spell half a character (\ud83d alone), which no UTF-8 file and no tokenizer can hold.
        if re.search(r"\\u[dD][89a-fA-F]", text):
            json.dumps(data, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ConversationError(
            f"{path}: holds half a character ({half!r}, a lone surrogate). Write the whole one, or remove it."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConversationError(
            f"{path}: not JSON that can be used ({error}). Mend the file or write it again."
        ) from error
    return data


def _object(members):
    """An object of JSON, whose parser keeps the last of two equal keys and says nothing."""
    result = dict(members)
    if len(result) < len(members):
        twice = Counter(key for key, _ in members).most_common(1)[0][0]
        raise ValueError(f"the key {shown(twice)} is there twice in one object")
    return result


def _finite(text):
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{shown(text)} is no finite number")
    return number


def _is_deep(data):
    level = [[data]]
    for _ in range(_DEEPEST + 1):
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)
                 if isinstance(inner, (dict, list))]
    return bool(level)


@contextlib.contextmanager
def naming(path):
    """A full disk's OSError names no file; here it names `path`."""
    try:
        yield
    except OSError as error:
        if error.filename or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_texts(texts):
    """Writes {path: text, or bytes} as UTF-8, all of them or none, and creates the folders above them.

    Raises OSError where a file cannot be written; what stood at the paths is then still there.
    """
    temporaries = {}
    try:
        for path, text in texts.items():
            path = Path(path).resolve()  # through a link to its file, so that the link survives
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():  # the rename would find out too late
                raise IsADirectoryError(f"{path}: a folder stands where a file is to be written")
            # In the same folder, because a rename is atomic only within one file system. Not by tempfile, whose
            # files nobody else may read.
            temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
            temporaries[temporary] = path
            with naming(path), open(temporary, "xb") as file:
                file.write(text if isinstance(text, bytes) else text.encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
        for temporary, path in temporaries.items():
            os.replace(temporary, path)
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


def write_text(text, path):
    """Writes `text` to `path`, whole or not at all (see `write_texts`)."""
    write_texts({path: text})


def to_json(data):
    """`data` as readable JSON. Raises TypeError for what JSON cannot hold."""
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def write_json(data, path):
    """Writes `data` to `path` as readable JSON, whole or not at all (see `write_texts`).

    Raises TypeError for what JSON cannot hold, OSError where the file cannot be written.
    """
    write_text(to_json(data), path)


def load_conversations(path, labelled=None, allow_empty=False, faults=None):
    """The validated conversations of a file, or of the one obvious file of a folder.

    Obvious is `conversations.json`, else the only JSON file, else ECF's `Subtask_2_train.json`.
    `labelled`, `allow_empty` and `faults` are those of `validate_conversations`.

    Raises ConversationError where no file is obvious, and for what `validate_conversations` refuses.
    """
    path = Path(path)
    if path.is_dir():
        path = _only_file(path)
    return validate_conversations(read_json(path), path, labelled, allow_empty, faults)


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


def validate_conversations(data, source="conversations", labelled=None, allow_empty=False, faults=None):
    """`data`, once it is known to be a list of sound conversations.

    source: what messages call the data, usually its file.
    labelled: True requires emotions and pairs; False and None do not. Labels that are there are always
        checked, and a conversation has an emotion on all of its utterances or on none. Emotions without pairs
        (what notebook 2 writes) are sound unless `labelled` is True.
    allow_empty: whether the list may be empty, as a split may be.
    faults: a list that gets (conversation_ID or None, message) of every conversation that is not sound, which is
        then left out; one sound conversation must be left.

    Raises ConversationError, for the first fault found.
    """
    if not isinstance(data, list):
        raise ConversationError(f"{source}: holds {_kind(data)} where a list of conversations belongs. "
                                'Wrap it as [{"conversation_ID": ..., "conversation": [...]}, ...].')
    if not data and not allow_empty:
        raise ConversationError(f"{source}: holds no conversation. Give at least one.")
    sound = {}
    for position, conversation in enumerate(data, 1):
        where = f"{source}, conversation at position {position}"
        key = None
        try:
            key = _checked_id(conversation, where)
            if key in sound:
                raise _error(where, "conversation_ID", f"{key} is there twice", "Give each conversation its own")
            _check_conversation(conversation, f"{source}, conversation {key}", labelled)
        except ConversationError as error:
            if faults is None:
                raise
            faults.append((key, str(error)))
        else:
            sound[key] = conversation
    if data and not sound:
        first = faults[-len(data)][1]
        raise ConversationError(f"{source}: none of {len(data):,} conversations is sound. The first: {first}")
    return list(sound.values())


def _kind(value):
    """What JSON calls a value, for messages."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def is_id(value):
    """Whether a value may be a conversation's id: a whole number, or a string that is not blank.

    Ids stand in messages and in names of videos, so they have 100 characters at most, none of them a control.
    """
    if isinstance(value, str):
        return bool(value.strip()) and len(value) <= 100 and not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**99


def _checked_id(conversation, where):
    if not isinstance(conversation, dict):
        raise ConversationError(f"{where}: is {_kind(conversation)}, not an object. "
                                'Write {"conversation_ID": ..., "conversation": [...]}.')
    mend = "Give the conversation a number or a name"
    if "conversation_ID" not in conversation:
        raise _error(where, "conversation_ID", "it is missing", mend)
    value = conversation["conversation_ID"]
    if not is_id(value):
        raise _error(where, "conversation_ID", f"{shown(value)} is no number and no name", mend)
    return str(value)


def _check_conversation(conversation, where, labelled):
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
            raise _error(f"{where}, utterance {number}", "utterance_ID", f"{number} is there twice",
                         "Number the utterances 1, 2, 3, ...")
        emotions[number] = _check_words_and_emotion(utterance, f"{where}, utterance {number}")

    bare = [number for number, emotion in emotions.items() if emotion is None]
    if bare and (labelled or len(bare) < len(emotions)):
        why = "labels are needed here" if labelled else "other utterances of the conversation have one"
        raise _error(f"{where}, utterance {bare[0]}", "emotion", f"it is missing, and {why}",
                     f"Label every utterance with one of {', '.join(EMOTIONS)}"
                     + ("" if labelled else ", or none of them"))
    if PAIRS in conversation:
        _check_pairs(conversation[PAIRS], emotions, where)
    elif labelled:
        raise _error(where, PAIRS, "it is missing, and labels are needed here",
                     'Write pairs such as ["3_surprise", "1"], or [] where there are none')


def _check_utterance(utterance, where):
    """The utterance's number, once it is known to be one."""
    if not isinstance(utterance, dict):
        raise ConversationError(f"{where}: is {_kind(utterance)}, not an object. "
                                'Write {"utterance_ID": 1, "text": "...", "speaker": "..."}.')
    mend = "Number the utterances 1, 2, 3, ..., because pairs point to these numbers"
    if "utterance_ID" not in utterance:
        raise _error(where, "utterance_ID", "it is missing", mend)
    number = utterance["utterance_ID"]
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number < 10**9:
        raise _error(where, "utterance_ID", f"{shown(number)} is not a positive whole number of up to 9 digits", mend)
    return number


def _check_words_and_emotion(utterance, where):
    """The utterance's emotion, or None where it has none."""
    mends = {"text": "Write what is said, or leave the utterance out", "speaker": "Write who speaks"}
    for field, mend in mends.items():
        if field not in utterance:
            raise _error(where, field, "it is missing", mend)
        if not isinstance(utterance[field], str):
            raise _error(where, field, f"it is {_kind(utterance[field])}, not a string", mend)
        if not utterance[field].strip():
            raise _error(where, field, "it is empty", mend)
    if "emotion" not in utterance:
        return None
    if utterance["emotion"] not in EMOTIONS:
        raise _error(where, "emotion", f"{shown(utterance['emotion'])} is not an emotion of this task",
                     f"Write one of {', '.join(EMOTIONS)}, or leave the field out of unlabelled data")
    return utterance["emotion"]


def _check_pairs(written, emotions, where):
    """Checks the pairs of a conversation whose utterances have `emotions` ({number: emotion or None})."""
    if not isinstance(written, list):
        raise _error(where, PAIRS, f"it is {_kind(written)}, not a list", 'Write [["3_surprise", "1"], ...]')
    for pair in written:
        number, emotion, cause = _parse_pair(pair, where)
        for end in (number, cause):
            if end not in emotions:
                raise _error(where, PAIRS, f"the pair {pair} points to utterance {end}, which is not there",
                             "Point to utterance_IDs of this conversation")
        there = f"{where}, utterance {number}"
        if emotion == NEUTRAL:
            raise _error(there, PAIRS, f"the pair {pair} gives a neutral utterance a cause",
                         "Remove the pair, or correct the emotion")
        # A pair written twice is no fault. Without emotions there is nothing to disagree with.
        if emotions[number] not in (None, emotion):
            problem = f"the pair {pair} disagrees with the utterance's emotion, {emotions[number]}"
            raise _error(there, PAIRS, problem, "Correct one of the two")


def _parse_pair(pair, where):
    """(emotion utterance, emotion, cause utterance) of a pair in the official form, ["3_surprise", "1"]."""
    whole = isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(end, str) for end in pair)
    if whole and re.match(f"{_NUMBER}_", pair[1]):
        problem = f"the cause {shown(pair[1])} is a span of text, so this is a Subtask 1 file"
        raise _error(where, PAIRS, problem, "Pass the Subtask 2 file, whose causes are utterances")
    ends = whole and re.fullmatch(f"({_NUMBER})_({'|'.join(EMOTIONS)})", pair[0])
    if not ends or not re.fullmatch(_NUMBER, pair[1]):
        raise _error(where, PAIRS, f"{shown(pair)} is not an utterance with its emotion and a cause",
                     f'Write pairs such as ["3_surprise", "1"], with one of {", ".join(EMOTIONS)}')
    return int(ends[1]), ends[2], int(pair[1])


# ---- labels ------------------------------------------------------------------------------------------------


def pairs(conversation):
    """The distinct pairs as sorted (emotion utterance, emotion, cause utterance); none without labels.

    Raises ConversationError for a malformed pair.
    """
    where = f"conversation {conversation.get('conversation_ID')}"
    return sorted({_parse_pair(pair, where) for pair in conversation.get(PAIRS, [])})


def causes_of(conversation):
    """{utterance_ID: its causes, sorted and maybe none} for every utterance that is not neutral, in order.

    Raises ConversationError for an utterance without an emotion and for a malformed pair.
    """
    where = f"conversation {conversation.get('conversation_ID')}"
    causes = {}
    for utterance in conversation["conversation"]:
        if "emotion" not in utterance:
            raise _error(f"{where}, utterance {utterance['utterance_ID']}", "emotion",
                         "it is missing, and causes belong to emotions", "Label every utterance first")
        if utterance["emotion"] != NEUTRAL:
            causes[utterance["utterance_ID"]] = []
    for number, _, cause in pairs(conversation):
        if number in causes:
            causes[number].append(cause)
    return causes


def with_pairs(conversation, triples):
    """A copy with new pairs, (emotion utterance, emotion, cause utterance), sorted and in official form."""
    result = copy.deepcopy(conversation)
    result[PAIRS] = [[f"{number}_{emotion}", str(cause)] for number, emotion, cause in sorted(set(triples))]
    return result


def with_emotions(conversation, emotions):
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
        if emotion not in EMOTIONS:
            problem = f"{shown(emotion)} is not an emotion of this task"
            raise _error(f"{where}, utterance {utterance['utterance_ID']}", "emotion", problem,
                         f"Give one of {', '.join(EMOTIONS)}")
        utterance["emotion"] = emotion
    return result


def without_labels(conversation):
    """A copy without emotions and pairs."""
    result = copy.deepcopy(conversation)
    result.pop(PAIRS, None)
    for utterance in result["conversation"]:
        utterance.pop("emotion", None)
    return result


def add_video_names(conversations):
    """A copy in which every utterance names its video, `dia1utt1.mp4` as in ECF; given names stay."""
    result = copy.deepcopy(conversations)
    for conversation in result:
        for utterance in conversation["conversation"]:
            name = f"dia{conversation['conversation_ID']}utt{utterance['utterance_ID']}.mp4"
            utterance.setdefault("video_name", name)
    return result


# ---- splits and counts -------------------------------------------------------------------------------------


def _order(key):
    """Sorts ids as people do: numbers by size, 9 before 10 whether numbers or strings, and then names."""
    key = str(key)
    return (0, int(key), key) if re.fullmatch(_NUMBER, key) else (1, 0, key)


def _by_id(conversations):
    return sorted(conversations, key=lambda conversation: _order(conversation["conversation_ID"]))


def split_conversations(conversations, fractions, seed):
    """{"train": [...], "val": [...], "test": [...]}: whole conversations, dealt by `seed`.

    The order of `conversations` does not matter; each split is in order of id. A fraction above 0 gets at
    least one conversation.

    Raises ConversationError unless `fractions` are three shares adding up to 1, or for too few conversations.
    """
    fractions = [float(fraction) for fraction in fractions]
    if len(fractions) != 3 or not all(0 <= f <= 1 for f in fractions) or not math.isclose(sum(fractions), 1):
        raise ConversationError(f"fractions {fractions}: not three shares that add up to 1. "
                                "Give those of train, val and test, such as 0.8 0.1 0.1.")
    wanted = sum(fraction > 0 for fraction in fractions)
    if len(conversations) < wanted:
        raise ConversationError(f"fractions {fractions}: need {wanted} conversations or more, and there are "
                                f"{len(conversations)}. Add conversations, or set a fraction to 0.")
    shuffled = _by_id(conversations)
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
        result[name] = _by_id(shuffled[start : start + size])
        start += size
    return result


def split_by_file(conversations, splits, source="splits", skipped=()):
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
        raise ConversationError(f"{source}: these are not splits (found {found}). "
                                'Write {"train": [ids], "dev": [ids], "test": [ids]}.')

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


def describe(conversations):
    """Counts: conversations, utterances, emotional (not neutral), pairs, and each emotion by its name."""
    utterances = [utterance for conversation in conversations for utterance in conversation["conversation"]]
    emotions = Counter(utterance.get("emotion") for utterance in utterances)
    return {
        "conversations": len(conversations),
        "utterances": len(utterances),
        "emotional": sum(emotions[emotion] for emotion in EMOTIONS if emotion != NEUTRAL),
        "pairs": sum(len(pairs(conversation)) for conversation in conversations),
        **{emotion: emotions[emotion] for emotion in EMOTIONS},
    }
