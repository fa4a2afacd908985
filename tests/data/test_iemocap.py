"""IEMOCAP's release and lists of its records are read whole, and a pickle is read without running it.

python -m pytest tests/data/test_iemocap.py

The files here are made up in the release's form.
"""

import collections
import json
import os
import pickle
import re

import numpy as np
import pytest
from corpora import RATED, SPOKEN, write_session

from utils.data.corpus import read_data
from utils.data.formats.iemocap import CODES, SHARES, records, release, speaker_of
from utils.data.formats.known import format_of
from utils.data.formats.unpickled import unpickled
from utils.data.label_sets import SETS
from utils.data.sources import write_splits
from utils.system.errors import FileError

# ---- the release ---------------------------------------------------------------------------------------------------


def test_every_annotators_categories_are_votes(tmp_path):
    (one,) = release(write_session(tmp_path))
    assert one["conversation_ID"] == "Ses01F_impro01" and one["session"] == "Session1"
    first, second, third, fourth = one["conversation"]
    assert first == {
        "utterance_ID": 1,
        "text": "Excuse me.",
        "speaker": "Ses01_F",
        "turn": "Ses01F_impro01_F000",
        "start": 6.2901,
        "end": 8.2357,
        "emotion": "neutral",
        "valence": 2.5,
        "activation": 2.5,
        "dominance": 2.5,
        "votes": {"neutral": 2, "frustrated": 2},
        "self_report": ["neutral", "other"],
    }
    assert second["speaker"] == "Ses01_M" and second["emotion"] is None, "no majority"
    assert second["votes"] == {"angry": 1, "neutral": 1, "excited": 1} and second["dominance"] == 4.5
    assert third["text"] == "Mm." and third["emotion"] is None and "votes" not in third, "nobody rated it"
    assert fourth["text"] == "Yeah; [LAUGHTER] here." and fourth["votes"] == {"happy": 1, "excited": 1}


def test_the_release_becomes_input(tmp_path):
    root = write_session(write_session(tmp_path / "IEMOCAP"), 2)
    assert format_of(root) == "iemocap" and read_data(str(root)).form == "iemocap"
    found = write_splits(root, tmp_path / "out", all_train=True)
    assert found.labels == SETS["iemocap10"] and {c["session"] for c in found.parts["train"]} == {
        "Session1",
        "Session2",
    }
    assert {u["speaker"] for c in found.parts["train"] for u in c["conversation"]} == {
        f"Ses0{number}_{who}" for number in (1, 2) for who in "FM"
    }
    four = write_splits(root, tmp_path / "four", all_train=True, labels="iemocap4")
    first, *_, last = four.parts["train"][0]["conversation"]
    assert first["votes"] == {"neutral": 2} and (last["emotion"], last["votes"]) == ("happy", {"happy": 2})
    assert four.told[:2] == [
        "merged: 'excited' into 'happy', 2 times",
        "left out: the votes for 'frustrated'",
    ]


@pytest.mark.parametrize(("turn", "speaker"), [
    ("Ses01F_impro01_M003", "Ses01_M"),
    ("Ses05M_script01_1b_F010", "Ses05_F"),
    ("Ses02F_script03_2_MXX1", "Ses02_M"),
    ("odd", "odd"),
])  # fmt: skip
def test_speakers_are_those_of_the_turn(turn, speaker):
    assert speaker_of(turn) == speaker


@pytest.mark.parametrize(("spoken", "rated", "message"), [
    (SPOKEN, RATED.replace("\tneu\t", "\tneutral\t"), "line 3: the emotion 'neutral'"),
    (SPOKEN, RATED.replace("C-E2:\tAnger;", "C-E2:\tRage;"), "line 12: the category 'Rage'"),
    (SPOKEN, RATED.replace("[2.5000, 2.5000, 2.5000]", "[2.5, 2.5]"), "line 3: '.6.2901"),
    (SPOKEN.replace("F001 [", "F009 ["), RATED, "Ses01F_impro01_F001 is rated and not transcribed"),
])  # fmt: skip
def test_a_release_that_is_not_whole(tmp_path, spoken, rated, message):
    with pytest.raises(FileError, match=f"not as IEMOCAP is published .*{message}") as caught:
        release(write_session(tmp_path, 1, spoken, rated))
    assert "\n" not in str(caught.value)


def test_files_that_are_missing(tmp_path):
    with pytest.raises(FileError, match="no Session1/dialog/transcriptions"):
        release(tmp_path)
    next(write_session(tmp_path).glob("*/dialog/EmoEvaluation/*.txt")).unlink()
    with pytest.raises(FileError, match="EmoEvaluation/Ses01F_impro01.txt is missing"):
        release(tmp_path)


# ---- a list of records ---------------------------------------------------------------------------------------------


def hot(*labels):
    return [[float(label == one) for one in SHARES] for label in labels]


def record(turn, code, start, shares=(), labels=("neutral",), array=list):
    return {
        **{"id": turn, "emotion": code, "start": start, "end": start + 1, "v": 3.0, "a": 2.0, "d": 1.0},
        "emo_evo": array([dict(shares).get(label, 0.0) for label in SHARES]),
        "emo_hard_label": [array(one) for one in hot(*labels)],
        "transcription": f"words of {turn}",
        "audio": {"path": "somewhere.wav", "n_samples": 3},
    }


def some(array=list):
    return [
        record("Ses02F_impro01_M000", "hap", 3.5, {"happy": 2, "excited": 1}, ["happy", "excited"], array),
        record("Ses02F_impro01_F000", "xxx", 1.5, {"sad": 1, "angry": 1}, ["sad", "angry"], array),
        record("Ses03F_script01_F000", "fru", 0.0, {"frustrated": 3}, ["frustrated"], array),
    ]


def as_pickle(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("form", ["json", "lists", "arrays", "float32", "old protocol", "numbers of numpy"])
def test_records(tmp_path, form):
    if form == "json":
        path = tmp_path / "data.json"
        path.write_text(json.dumps(some()))
    elif form == "numbers of numpy":
        given = [{**one, "start": np.float64(one["start"]), "v": np.float32(3)} for one in some(np.array)]
        path = as_pickle(tmp_path / "data.pkl", given)
    else:
        array = {"lists": list, "float32": lambda one: np.array(one, np.float32)}.get(form, np.array)
        path = as_pickle(tmp_path / "data.pkl", some(array), 2 if form == "old protocol" else 4)
    first, second = records(path)
    assert (first["conversation_ID"], first["session"]) == ("Ses02F_impro01", "Session2") and format_of(
        path
    ) == "iemocap"
    early, late = first["conversation"]
    assert (early["start"], early["emotion"], early["votes"]) == (1.5, None, {"angry": 1, "sad": 1})
    assert late == {
        "utterance_ID": 2,
        "text": "words of Ses02F_impro01_M000",
        "speaker": "Ses02_M",
        "turn": "Ses02F_impro01_M000",
        "emotion": "happy",
        "start": 3.5,
        "end": 4.5,
        "valence": 3.0,
        "activation": 2.0,
        "dominance": 1.0,
        "votes": {"excited": 1, "happy": 2},
        "hard_labels": ["happy", "excited"],
    }
    assert second["conversation"][0]["emotion"] == "frustrated" and second["session"] == "Session3"
    written = write_splits(path, tmp_path / "out", all_train=True).parts["train"]
    assert [len(c["conversation"]) for c in written] == [2, 1]


def test_the_codes_are_the_ready_made_labels():
    assert tuple(CODES.values()) == tuple(dict.fromkeys(CODES.values())) and {*CODES.values()} == {*SETS["iemocap10"]}
    assert {*SHARES} == {*SETS["iemocap10"]}


@pytest.mark.parametrize("change", [
    {"emotion": "joy"}, {"emotion": 3}, {"emo_evo": [1, 2]}, {"emo_hard_label": [[1]]}, {"emo_hard_label": 5},
    {"v": "x"}, {"id": 3},
])  # fmt: skip
def test_records_that_are_not_whole(tmp_path, change):
    path = tmp_path / "data.json"
    path.write_text(json.dumps([{**some()[0], **change}]))
    with pytest.raises(FileError, match="not as a list of IEMOCAP's records is published"):
        records(path)


# ---- a pickle ------------------------------------------------------------------------------------------------------


class Runs:
    """Would write a file when it is unpickled."""

    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


@pytest.mark.parametrize("how", [
    lambda path: Runs(os.system, f"touch {path}"),
    lambda path: Runs(eval, f"open({str(path)!r}, 'w')"),
    lambda path: Runs(open, str(path), "w"),
    lambda path: Runs(np.save, str(path), [1]),
    lambda path: [{"id": Runs(os.mkdir, str(path))}],
])  # fmt: skip
def test_nothing_in_a_pickle_is_run(tmp_path, how):
    ran = tmp_path / "ran"
    path = as_pickle(tmp_path / "data.pkl", how(ran))
    with pytest.raises(FileError, match="holds more than lists.*it names .*Nothing in it was run; save it as JSON"):
        unpickled(path)
    assert not ran.exists()
    pickle.loads(path.read_bytes())  # which is what a reader that trusts it would do
    assert [one for one in tmp_path.iterdir() if one.name.startswith("ran")]


def test_what_a_pickle_may_hold(tmp_path):
    plain = [{"a": [1, 2.5, "x", None, True, -(10**20)], "b": (1, 2)}]
    assert unpickled(as_pickle(tmp_path / "a.pkl", plain)) == [{**plain[0], "b": [1, 2]}]
    arrays = [np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array([True, False])]
    arrays += [np.array([1.5], ">f4"), np.zeros((0, 3)), np.int16(7), np.float64(0.25), np.bool_(True)]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        found = unpickled(as_pickle(tmp_path / "b.pkl", arrays, protocol))
        assert found == [[[0, 1, 2], [3, 4, 5]]] * 2 + [[True, False], [1.5], [], 7, 0.25, True], protocol


@pytest.mark.parametrize("value", [
    np.array(["a"]), np.array([None], object), {1: 2}, {3}, b"bytes", collections.OrderedDict(a=1), re.compile("x"), 1j,
], ids=str)  # fmt: skip
def test_what_is_no_data_is_refused(tmp_path, value):
    with pytest.raises(FileError, match="holds more than lists, dictionaries, texts and numbers, or is damaged"):
        unpickled(as_pickle(tmp_path / "a.pkl", [value]))


def test_a_pickle_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("utils.data.formats.unpickled._MOST", 10_000)
    wide = [1]
    for _ in range(29):
        wide = [wide] * 10
    deep = [1]
    for _ in range(200):
        deep = [deep]
    for value in (wide, deep):
        with pytest.raises(FileError, match="it has no end"):
            unpickled(as_pickle(tmp_path / "a.pkl", value))


@pytest.mark.parametrize("content", [b"", b"x", b"\x80\x04", b"\x80\x04K\x01", b"(lp0\n", pickle.dumps([1])[:-1]])
def test_damaged_pickles(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(FileError, match="a.pkl: holds more than .* or is damaged"):
        unpickled(tmp_path / "a.pkl")
