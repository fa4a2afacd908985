"""python -m utils.speak: conversations become clips, and the clips a stream of every utterance.

python -m pytest tests/doors/test_speak.py
"""

import copy
import json

import pytest
from helpers import called

from utils import features, speak
from utils.data.conversations import load_conversations
from utils.data.features import check_streams, read_stream, utterances_of
from utils.data.voice import NUMBERS
from utils.system.files import read_json


@pytest.fixture
def mine(conversations):
    return copy.deepcopy(conversations)


def written(folder, conversations):
    (folder / "given.json").write_text(json.dumps(conversations), encoding="utf-8")
    return folder / "given.json"


def test_from_conversations_to_a_voice_for_every_utterance(mine, tmp_path):
    pytest.importorskip("espeakng_loader")
    pytest.importorskip("av")
    mine[0]["conversation"][0]["video_name"] = "first.mp4"
    given, out = written(tmp_path, mine), tmp_path / "spoken"
    assert called(speak.main, given, "--out", out)[0] == 0
    found = load_conversations(out / "spoken.json", labelled=True)
    names = [u["video_name"] for c in found for u in c["conversation"]]
    assert names[:2] == ["first.wav", "c1u2.wav"] and {path.name for path in (out / "clips").iterdir()} == {*names}
    bare = [{**c, "conversation": [{**u, "video_name": ""} for u in c["conversation"]]} for c in found]
    assert bare == [{**c, "conversation": [{**u, "video_name": ""} for u in c["conversation"]]} for c in mine]
    assert called(features.main, out / "clips", "--out", out / "features", "--jobs", 1)[0] == 0
    stream = read_stream(out / "features", "voice")
    check_streams(utterances_of(found), "found", [stream])
    assert all(stream.of(u).shape == (1, len(NUMBERS)) for c in found for u in c["conversation"])


def test_one_speaker_has_one_voice_and_the_manner_is_the_emotions(mine):
    class Heard:
        rate = 8000

        def say(self, text, manner, voice):
            asked.append((text, manner, voice))
            return speak.np.zeros(800)

    asked, named = [], speak.with_clips(mine, "given")
    assert all(file[:4] == b"RIFF" and not fault for _, file, fault in speak.spoken(named, Heard(), "given"))
    utterances = [(k, u) for k, c in enumerate(named) for u in c["conversation"]]
    voices = {}
    for (k, u), (text, manner, voice) in zip(utterances, asked, strict=True):
        assert text == u["text"] and abs(manner.pitch - speak.MANNERS[u["emotion"]].pitch) < 35
        assert voices.setdefault((k, u["speaker"]), voice) == voice
    assert len({*voices.values()}) > 1


def test_what_cannot_be_spoken_is_named(mine, tmp_path, monkeypatch):
    class Mute:
        rate = 8000

        def say(self, text, manner, voice):
            raise speak.ModelError("eSpeak NG says nothing for it")

    monkeypatch.setattr(speak, "Speaker", Mute)
    one = mine[0]["conversation"]
    one[0]["video_name"], one[1]["video_name"] = "a.mp4", "a.wav"
    status, said = called(speak.main, written(tmp_path, mine), "--out", tmp_path / "out")
    assert status == 2 and "utterance 2, video_name: a.wav is also of" in said and not (tmp_path / "out").exists()
    one[1]["video_name"] = "../a.wav"
    status, said = called(speak.main, written(tmp_path, mine), "--out", tmp_path / "out")
    assert status == 2 and "is a path, no name" in said
    one[1]["video_name"] = "b"
    assert called(speak.main, written(tmp_path, mine), "--out", tmp_path / "out")[0] == 0
    assert read_json(tmp_path / "out/spoken.json") and not (tmp_path / "out/clips").exists()
    (*faults,) = speak.spoken([{**mine[0], "conversation": [{**one[0], "emotion": None}]}], Mute(), "given")
    assert [(name, file) for name, file, _ in faults] == [("a.mp4", None)] and "utterance 1: eSpeak" in faults[0][2]
    with pytest.raises(speak.ConversationError, match="emotion: 'awe' is said in no known manner"):
        list(speak.spoken([{**mine[0], "conversation": [{**one[0], "emotion": "awe"}]}], Mute(), "given"))
