"""Conversations spoken aloud by a synthesiser: a sample with sound, to try the way from wav to scores.

    pip install -c constraints.txt espeakng-loader
    python -m utils.speak data/sample --out input/spoken

writes input/spoken/clips/c1u1.wav ... and input/spoken/spoken.json, the conversations with their clips' `video_name`.
How an utterance is said follows its emotion, so a model can hear it: what that gains says nothing about real voices.
"""

import argparse
import io
import random
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from utils.data.conversations import Conversation, emotions_of, load_conversations, names_of
from utils.data.features import check_video_names
from utils.models.speech import MANNERS, VOICES, Speaker
from utils.system.command import command
from utils.system.errors import ConversationError, ModelError
from utils.system.files import check_output, to_json, write_texts

CLIPS, FILE = "clips", "spoken.json"


def with_clips(conversations: list[Conversation], source: str | Path) -> list[Conversation]:
    """The conversations with a video_name for each utterance: its own with the ending .wav, else c1u1.wav, by the
    numbers of conversation and utterance in the file. Raises ConversationError for a name that is a path, or is there
    twice."""
    check_video_names(conversations, source)
    found, seen = [], {}
    for number, (c, called) in enumerate(zip(conversations, names_of(conversations)), 1):
        utterances = []
        for k, u in enumerate(c["conversation"], 1):
            name = Path(u.get("video_name") or f"c{number}u{k}.wav").stem + ".wav"
            where = f"{called}, utterance {u['utterance_ID']}"
            if name in seen:
                raise ConversationError(f"{source}, {where}, video_name: {name} is also of {seen[name]}. Name one anew")
            seen[name] = where
            utterances.append({**u, "video_name": name})
        found.append({**c, "conversation": utterances})
    return found


def spoken(
    conversations: list[Conversation], speaker: Speaker, source: str | Path
) -> Iterator[tuple[str, bytes | None, str]]:
    """(video_name, a wav file or None, why there is none or "") of each utterance of conversations `with_clips`. Each
    speaker of a conversation has a voice, each utterance the manner of its first emotion (MANNERS), a little varied,
    by its video_name; one without an emotion is said as neutral. Raises ConversationError for an emotion that has no
    manner."""
    for c, called in zip(conversations, names_of(conversations)):
        speakers = list(dict.fromkeys(u["speaker"] for u in c["conversation"]))
        for u in c["conversation"]:
            emotion, name = next(iter(emotions_of(u)), "neutral"), u["video_name"]
            if emotion not in MANNERS:
                known = ", ".join(MANNERS)
                where = f"{source}, {called}, utterance {u['utterance_ID']}, emotion"
                raise ConversationError(f"{where}: {emotion!r} is said in no known manner. Known are {known}")
            manner = MANNERS[emotion].varied(random.Random(name))
            voice = VOICES[speakers.index(u["speaker"]) % len(VOICES)]
            try:
                yield name, _wav(speaker.say(u["text"], manner, voice), speaker.rate), ""
            except ModelError as error:
                yield name, None, f"{called}, utterance {u['utterance_ID']}: {error}"


def _wav(samples: np.ndarray, rate: int) -> bytes:
    """Samples of 16 bits as a wav file."""
    whole = io.BytesIO()
    with wave.open(whole, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return whole.getvalue()


@command("utils.speak")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.speak", description="Conversations spoken aloud by eSpeak NG: a wav file an utterance."
    )
    parser.add_argument("conversations", type=Path, help="a file of conversations, or its folder")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help=f"for {CLIPS}/ and {FILE}")
    arguments = parser.parse_args(argv)
    conversations = with_clips(load_conversations(arguments.conversations), arguments.conversations)
    check_output(arguments.out / FILE)
    place, size, count = arguments.out / CLIPS, 0, 0
    for name, file, fault in spoken(conversations, Speaker(), arguments.conversations):
        if file is None:
            print(f"without a clip: {fault}")
        else:
            write_texts({place / name: file})
            size, count = size + len(file), count + 1
    write_texts({arguments.out / FILE: to_json(conversations)})
    print(f"{count} clips in {place}, {size / 1e6:,.0f} MB; {arguments.out / FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
