"""Corpora of conversations that are published as JSON or text: EmoryNLP, EmotionLines, DailyDialog, RECCON.

    emorynlp(path)      emotion-detection-trn.json (Zahiri and Choi 2018): seasons of episodes of scenes
    emotionlines(path)  friends_train.json (Chen et al. 2018): lists of utterances, with five annotators' votes
    dailydialog(path)   validation.zip, or the folder in it (Li et al. 2017): a line a dialogue, labels as numbers
    reccon(path)        dailydialog_valid.json (Poria et al. 2021): dialogues with the turns that caused an emotion

Each returns conversations that are not checked yet. Raises FileError for a file that is not in its format.
"""

import zipfile
from itertools import zip_longest
from pathlib import Path

from utils.data.formats.talks import lines_of, talk, text_of, unfit
from utils.data.label_sets import SETS
from utils.data.validation import PAIRS
from utils.system.files import read_json

ACTS = ("inform", "question", "directive", "commissive")  # DailyDialog's dialogue acts, 1 to 4
VOTES = ("neutral", "joy", "sadness", "fear", "anger", "surprise", "disgust")  # EmotionLines' order of `annotation`


def emorynlp(path: Path) -> list[dict]:
    """A conversation a scene, called after it, with its episode."""
    try:
        return [
            talk(
                scene["scene_id"],
                [
                    {
                        "text": one["transcript"],
                        "speaker": ", ".join(one["speakers"]),
                        "emotion": one["emotion"],
                    }
                    for one in scene["utterances"]
                ],
                episode=episode["episode_id"],
            )
            for episode in read_json(path)["episodes"]
            for scene in episode["scenes"]
        ]
    except (KeyError, TypeError) as error:
        raise unfit(path, "EmoryNLP", repr(error)) from error


def emotionlines(path: Path) -> list[dict]:
    """A conversation a list, numbered from 1. `annotation` is how many of five chose each of VOTES; the label
    "non-neutral" means that no emotion won."""
    try:
        return [
            talk(
                number,
                [
                    {
                        "text": one["utterance"],
                        "speaker": one["speaker"],
                        "emotion": one["emotion"],
                        "votes": {label: int(n) for label, n in zip(VOTES, one["annotation"], strict=True) if n != "0"},
                    }
                    for one in dialogue
                ],
            )
            for number, dialogue in enumerate(read_json(path), 1)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise unfit(path, "EmotionLines", repr(error)) from error


def reccon(path: Path) -> list[dict]:
    """A conversation a dialogue, with its pairs: the evidence of an emotion that is an utterance itself; the evidence
    "b", outside of the conversation, is none."""
    found = []
    try:
        for key, (dialogue, *_) in read_json(path).items():
            pairs = {
                (one["turn"], one["emotion"], cause)
                for one in dialogue
                for cause in one.get("expanded emotion cause evidence", [])
                if isinstance(cause, int)
            }
            utterances = [
                {
                    "utterance_ID": one["turn"],
                    "text": one["utterance"],
                    "speaker": one["speaker"],
                    "emotion": one["emotion"],
                }
                for one in dialogue
            ]
            written = [[f"{turn}_{emotion}", str(cause)] for turn, emotion, cause in sorted(pairs)]
            found.append({**talk(key, utterances), PAIRS: written})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise unfit(path, "RECCON", repr(error)) from error
    return found


def dailydialog(path: Path) -> list[dict]:
    """A conversation a line, numbered from 1; its two speakers take turns. `act` is the dialogue act.

    Where a line has more texts than labels, or fewer, the conversation lacks them, and validation refuses it."""
    texts, emotions, acts = _dailydialog_texts(path)
    labels, found = SETS["dailydialog7"].labels, []
    lines = zip_longest(*([line for _, line in lines_of(one)] for one in (texts, emotions, acts)), fillvalue="")
    for number, (line, its_emotions, its_acts) in enumerate(lines, 1):
        said = [one.strip() for one in line.split("__eou__")]
        utterances = []
        for place, (text, emotion, act) in enumerate(
            zip_longest(said[:-1] if not said[-1] else said, its_emotions.split(), its_acts.split())
        ):
            one = {"speaker": "AB"[place % 2]} | ({} if text is None else {"text": text})
            try:
                one |= {} if emotion is None else {"emotion": labels[int(emotion)]}
                one |= {} if act is None else {"act": ACTS[int(act) - 1]}
            except (IndexError, ValueError) as error:
                raise unfit(path, "DailyDialog", f"line {number}: {error}") from error
            utterances.append(one)
        found.append(talk(number, utterances))
    return found


def _dailydialog_texts(path: Path) -> list[str]:
    """The texts of its three files: what is said, the emotions, the acts."""
    if path.is_dir():
        files = {file.name: file for file in path.glob("dialogues*.txt")}
        read = {name: text_of(file) for name, file in files.items()}
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if Path(name).match("dialogues*.txt")]
                read = {Path(name).name: archive.read(name).decode("utf-8-sig") for name in names}
        except (OSError, RuntimeError, UnicodeDecodeError, zipfile.BadZipFile) as error:
            raise unfit(path, "DailyDialog", error) from error
    kinds = {"emotion": [], "act": [], "text": []}
    for name, text in read.items():
        kind = next((kind for kind in ("emotion", "act") if f"_{kind}" in name), "text")
        if name != "dialogues_topic.txt":
            kinds[kind].append(text)
    if [len(kinds[kind]) for kind in ("text", "emotion", "act")] != [1, 1, 1]:
        raise unfit(path, "DailyDialog", f"found {', '.join(sorted(read)) or 'no dialogues*.txt'}")
    return [kinds[kind][0] for kind in ("text", "emotion", "act")]
