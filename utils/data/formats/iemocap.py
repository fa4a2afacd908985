"""IEMOCAP (Busso et al. 2008): its own release, and a list of records as multimodal systems keep it.

    release(path)     the folder with Session1 to Session5
    records(path)     JSON or a pickle (read without running it): id, emotion, emo_evo, emo_hard_label, transcription

The emotions are neutral, happy, sad, angry, excited, frustrated, fearful, surprised, disgusted and other. A
conversation keeps its `session` and an utterance its speaker ("Ses01_F"), to split by; neither returns checked
conversations. Raises FileError for what is not in the format.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from utils.data.formats.talks import lines_of, talk, text_of, unfit
from utils.data.formats.unpickled import unpickled
from utils.system.files import read_json

CODES = {
    "neu": "neutral",
    "hap": "happy",
    "sad": "sad",
    "ang": "angry",
    "exc": "excited",
    "fru": "frustrated",
    "fea": "fearful",
    "sur": "surprised",
    "dis": "disgusted",
    "oth": "other",
}
NO_MAJORITY = "xxx"
# What annotators write, in lower case.
CATEGORIES = {
    "neutral": "neutral",
    "neutral state": "neutral",
    "happiness": "happy",
    "sadness": "sad",
    "anger": "angry",
    "excited": "excited",
    "frustration": "frustrated",
    "fear": "fearful",
    "surprise": "surprised",
    "disgust": "disgusted",
    "other": "other",
}
# The order of `emo_evo` and `emo_hard_label` is documented nowhere; this one is that in which they agree most often
# with `emotion`.
SHARES = ("angry", "excited", "neutral", "sad", "happy", "frustrated", "fearful", "surprised", "disgusted", "other")

_NUMBER = r"(\d+\.?\d*)"
_SPOKEN = re.compile(rf"(Ses\w+)\s+\[{_NUMBER}\s*-\s*{_NUMBER}\]:\s*(.*)")
_RATED = re.compile(rf"\[{_NUMBER}\s*-\s*{_NUMBER}\]\t(\w+)\t(\w+)\t\[{_NUMBER},\s*{_NUMBER},\s*{_NUMBER}\]\s*")
_CHOSEN = re.compile(r"C-([EFM])\w*:\t([^\t]*)(?:\t.*)?")
_SESSION = re.compile(r"Ses(\d+)[FM]")
_TURN = re.compile(r"(Ses\d+)[FM]_\w+?_([FM])\w*")  # Ses01F_impro01_M003: the last letter is the speaker's


# ---- the release ---------------------------------------------------------------------------------------------------


def release(path: Path) -> list[dict]:
    """A conversation a dialogue, its utterances by their times. `emotion` is what most annotators chose, null where
    there is no such label ("xxx") or no evaluation; `votes` counts every category that an annotator chose, one
    or several; `self_report` are the categories that the actors chose for themselves; `valence`, `activation`
    and `dominance` are the annotators' means, from 1 to 5; `start` and `end` are seconds."""
    files = sorted(path.glob("Session*/dialog/transcriptions/[!.]*.txt"))
    if not files:
        raise unfit(path, "IEMOCAP", "no Session1/dialog/transcriptions/*.txt")
    found = []
    for file in files:
        rated_file = file.parents[1] / "EmoEvaluation" / file.name
        if not rated_file.is_file():
            raise unfit(path, "IEMOCAP", f"{rated_file.relative_to(path)} is missing")
        rated, utterances = _rated(rated_file), []
        for _, line in lines_of(text_of(file)):
            # Other lines are of what nobody rated: noises, and words of the partner's that were cut off.
            if spoken := _SPOKEN.fullmatch(line.strip()):
                turn, start, end, text = spoken.groups()
                one = {"text": text, "speaker": speaker_of(turn), "turn": turn}
                one |= {"start": float(start), "end": float(end), "emotion": None}
                utterances.append(one | rated.pop(turn, {}))
        if rated:
            raise unfit(path, "IEMOCAP", f"{file.relative_to(path)}: {next(iter(rated))} is rated and not transcribed")
        utterances.sort(key=lambda one: one["start"])
        found.append(talk(file.stem, utterances, session=file.parents[2].name))
    return found


def speaker_of(turn: str) -> str:
    """Who says the turn: "Ses01_M" for Ses01F_impro01_M003; a session has one woman and one man."""
    found = _TURN.fullmatch(turn)
    return f"{found[1]}_{found[2]}" if found else turn


def _rated(path: Path) -> dict[str, dict]:
    """{turn: what annotators say of it} of a file of EmoEvaluation."""
    found: dict[str, dict] = {}
    here: dict[str, Any] = {}
    for number, line in lines_of(text_of(path)):
        if rated := _RATED.fullmatch(line):
            *_, turn, code, valence, activation, dominance = rated.groups()
            if code not in CODES and code != NO_MAJORITY:
                raise unfit(path, "IEMOCAP", f"line {number}: the emotion {code!r}")
            here = found[turn] = {"emotion": CODES.get(code)}
            here |= {"valence": float(valence), "activation": float(activation), "dominance": float(dominance)}
        elif line.startswith("["):
            raise unfit(path, "IEMOCAP", f"line {number}: {line[:60]!r}")
        elif chosen := _CHOSEN.fullmatch(line):
            labels = [_category(path, number, one) for one in chosen[2].split(";") if one.strip()]
            if chosen[1] == "E":
                here["votes"] = dict(Counter(here.get("votes", {})) + Counter(labels))
            else:
                here["self_report"] = labels
    return found


def _category(path: Path, number: int, written: str) -> str:
    label = CATEGORIES.get(written.strip().lower())
    if label is None:
        raise unfit(path, "IEMOCAP", f"line {number}: the category {written.strip()!r}")
    return label


# ---- a list of records ---------------------------------------------------------------------------------------------


def records(path: Path) -> list[dict]:
    """A conversation a dialogue, its utterances by their times. `emotion` is the record's; `votes` are the shares
    `emo_evo`, and `hard_labels` the labels of `emo_hard_label`, one or several, both in the order SHARES."""
    given = unpickled(path) if path.suffix in (".pkl", ".pickle") else read_json(path)
    talks: dict[str, list[dict]] = {}
    try:
        for one in given:
            code, turn = one["emotion"], one["id"]
            if code not in CODES and code != NO_MAJORITY:
                raise ValueError(f"{turn}: the emotion {code!r}")
            known = {
                "text": one["transcription"],
                "speaker": speaker_of(turn),
                "turn": turn,
                "emotion": CODES.get(code),
            }
            known |= _optional(one)
            talks.setdefault(turn.rpartition("_")[0], []).append(known)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise unfit(path, "a list of IEMOCAP's records", repr(error)) from error
    for utterances in talks.values():
        utterances.sort(key=lambda one: (one.get("start", 0), one["turn"]))
    return [
        talk(key, utterances, **({"session": f"Session{int(known[1])}"} if (known := _SESSION.match(key)) else {}))
        for key, utterances in talks.items()
    ]


def _optional(one: dict) -> dict[str, Any]:
    """What a record may hold, in the words of `release`."""
    names = {"start": "start", "end": "end", "v": "valence", "a": "activation", "d": "dominance"}
    found: dict[str, Any] = {names[name]: float(one[name]) for name in names if one.get(name) is not None}
    if one.get("emo_evo") is not None:
        votes = {label: share for label, share in zip(SHARES, one["emo_evo"], strict=True) if share > 0}
        found |= {"votes": votes} if votes else {}
    if one.get("emo_hard_label") is not None:
        found["hard_labels"] = [label for vector in one["emo_hard_label"] for label in _hot(vector)]
    return found


def _hot(vector: Iterable) -> list[str]:
    return [label for label, there in zip(SHARES, vector, strict=True) if there]
