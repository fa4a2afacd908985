"""Conversations are read, checked, labelled and split as promised, and every fault has its own message.

python -m pytest tests/data/test_conversations.py
"""

import copy
import json
import math
import os
import random
import sys

import pytest
from helpers import ROOT
from helpers import labelled_conversation as conversation

from utils.data import conversations, labels, splits, validation
from utils.system import files
from utils.system.errors import ConversationError, FileError

ECF = ROOT.parent / "shared" / "ecf"
needs_ecf = pytest.mark.skipif(not ECF.is_dir(), reason="ECF is not part of the repository")


def changed(*path, value=None, delete=False):
    """The data of one conversation with one place changed or deleted."""
    data = [conversation()]
    place = data
    for key in path[:-1]:
        place = place[key]
    if delete:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return data


def paired(*pair):
    return changed(0, "emotion-cause_pairs", value=[["2_joy", "1"], list(pair)])


UTTERANCE = (0, "conversation", 1)
WHERE = "conversation 1, utterance 2"
BAD = {  # what is wrong: (data, pieces of the message)
    "not a list": ({"conversation_ID": 1}, "an object where a list"),
    "empty list": ([], "no conversation"),
    "conversation is no object": (["a"], "position 1: is a string"),
    "id missing": (changed(0, "conversation_ID", delete=True), "'conversation_ID': it is missing"),
    "id is true": (changed(0, "conversation_ID", value=True), "conversation_ID", "True"),
    "id is blank": (changed(0, "conversation_ID", value=" "), "conversation_ID", "no name"),
    "id is a fraction": (changed(0, "conversation_ID", value=1.5), "conversation_ID", "1.5"),
    "id doubled": ([conversation(7), conversation(7)], "position 2", "7 is there twice"),
    "id doubled as a string": ([conversation(7), conversation("7")], "7 is there twice"),
    "utterances missing": (changed(0, "conversation", delete=True), "'conversation': it is missing"),
    "utterances no list": (changed(0, "conversation", value={}), "'conversation': it is an object"),
    "utterances empty": (changed(0, "conversation", value=[]), "no utterance"),
    "utterance is no object": (changed(*UTTERANCE, value="Hi"), "utterance at position 2: is a string"),
    "utterance id missing": (changed(*UTTERANCE, "utterance_ID", delete=True), "position 2", "it is missing"),
    "utterance id doubled": (changed(*UTTERANCE, "utterance_ID", value=1), "utterance 1", "twice"),
    "utterance id a string": (changed(*UTTERANCE, "utterance_ID", value="2"), "'2' is not a positive"),
    "utterance id zero": (changed(*UTTERANCE, "utterance_ID", value=0), "0 is not a positive"),
    "utterance id true": (changed(*UTTERANCE, "utterance_ID", value=True), "True is not a positive"),
    "text missing": (changed(*UTTERANCE, "text", delete=True), WHERE, "'text': it is missing"),
    "text empty": (changed(*UTTERANCE, "text", value=""), WHERE, "'text': it is empty"),
    "text blank": (changed(*UTTERANCE, "text", value=" \n\u00a0"), WHERE, "'text': it is empty"),
    "text a number": (changed(*UTTERANCE, "text", value=5), WHERE, "a number, not a string"),
    "speaker missing": (changed(*UTTERANCE, "speaker", delete=True), WHERE, "'speaker': it is missing"),
    "speaker null": (changed(*UTTERANCE, "speaker", value=None), WHERE, "null, not a string"),
    "speaker empty": (changed(*UTTERANCE, "speaker", value=""), WHERE, "'speaker': it is empty"),
    "emotion unknown": (changed(*UTTERANCE, "emotion", value="Joy"), WHERE, "'Joy' is not", "surprise"),
    "emotion a number": (changed(*UTTERANCE, "emotion", value=0), WHERE, "0 is not"),
    "emotion a list": (changed(*UTTERANCE, "emotion", value=["joy"]), WHERE, "is not an emotion"),
    "emotion on some": (changed(*UTTERANCE, "emotion", delete=True), WHERE, "other utterances"),
    "pairs no list": (changed(0, "emotion-cause_pairs", value={}), "an object, not a list"),
    "pair a string": (changed(0, "emotion-cause_pairs", value=["2_joy,1"]), "is not an utterance"),
    "pair of three": (paired("2_joy", "1", "2"), "is not an utterance with its emotion"),
    "pair of numbers": (paired(2, 1), "is not an utterance with its emotion"),
    "pair without emotion": (paired("2", "1"), "is not an utterance with its emotion"),
    "pair with unknown emotion": (paired("2_bliss", "1"), "is not an utterance with its emotion"),
    "pair with a word": (paired("2_joy", "one"), "is not an utterance with its emotion"),
    "pair with zero": (paired("2_joy", "0"), "is not an utterance with its emotion"),
    "pair with endless digits": (paired("2_joy", "9" * 5000), "is not an utterance with its emotion"),
    "pair from outside": (paired("4_joy", "1"), "utterance 4, which is not there"),
    "pair to outside": (paired("2_joy", "9"), "utterance 9, which is not there"),
    "pair disagrees": (paired("2_fear", "1"), WHERE, "disagrees", "joy"),
    "pair of neutral": (paired("1_neutral", "1"), "utterance 1", "neutral utterance"),
    "subtask 1": (paired("2_joy", "1_some words"), "Subtask 1 file", "Subtask 2 file"),
}


@pytest.mark.parametrize("labelled", [None, True, False])
@pytest.mark.parametrize("fault", BAD)
def test_bad_conversations(tmp_path, fault, labelled):
    data, *pieces = BAD[fault]
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ConversationError) as caught:
        conversations.load_conversations(path, labelled)
    message = str(caught.value)
    if not (fault == "emotion on some" and labelled):
        assert all(piece in message for piece in pieces), message
    assert message.startswith(str(path)) and "\n" not in message and len(message) < 400


def test_a_pair_of_an_utterance_that_is_neutral_disagrees():
    with pytest.raises(ConversationError, match="utterance 1, .*disagrees with the utterance's emotion, neutral"):
        conversations.validate_conversations([conversation(pairs=[("1_joy", "1")])])


def test_labels_as_asked_for():
    full = conversation()
    bare = conversations.without_labels(full)
    emotions_only = conversations.with_emotions(full, ["joy", "joy", "neutral"])
    pairs_only = {**bare, "emotion-cause_pairs": [["2_joy", "1"]]}
    twice = {**full, "emotion-cause_pairs": [["2_joy", "1"], ["2_joy", "1"]]}
    for labelled in (None, False):
        for sound in (full, bare, emotions_only, pairs_only, twice):
            assert conversations.validate_conversations([sound], labelled=labelled) == [sound]
    for sound in (full, twice, {**full, "emotion-cause_pairs": []}, emotions_only):
        conversations.validate_conversations([sound], labelled=True)
    for unsound in (bare, pairs_only):
        with pytest.raises(ConversationError, match="field 'emotion': it is missing, and labels are needed"):
            conversations.validate_conversations([unsound], labelled=True)
    with pytest.raises(ConversationError, match="conversation 9, .*pairs': it is missing, and other conversations"):
        conversations.validate_conversations([full, {**emotions_only, "conversation_ID": 9}], labelled=True)


def test_where_no_conversation_is_sound_the_first_fault_is_this_files():
    faults = [("3", "train.json, conversation 3: of a file before")]
    with pytest.raises(ConversationError, match="^dev.json: none of 1 .* The first: dev.json, conversation 7, field"):
        validation.validate_conversations([{"conversation_ID": 7}], "dev.json", faults=faults)


def test_empty_only_where_allowed(tmp_path):
    files.write_json([], tmp_path / "empty.json")
    assert conversations.load_conversations(tmp_path / "empty.json", labelled=True, allow_empty=True) == []


@pytest.mark.parametrize(("content", "message"), [
    (None, "no such file"),
    (b"", "the file is empty"),
    (b" \n", "the file is empty"),
    (b"[1,", "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b"9" * 5000, "not JSON"),
    ('["é"]'.encode("latin-1"), "not UTF-8"),
    (rb'["\ud83d"]', "half a character"),
    (b'[{"id": 1, "text": 2, "text": 2}]', "the key 'text' is there twice"),
    (b"[NaN]", "'NaN' is no finite number"),
    (b"[-1e999]", "'-1e999' is no finite number"),
    (b"[" * 200 + b"]" * 200, "nested deeper than 100 levels"),
])  # fmt: skip
def test_unreadable_files(tmp_path, content, message):
    path = tmp_path / "data.json"
    if content is not None:
        path.write_bytes(content)
    if content == b"9" * 5000 and not hasattr(sys, "set_int_max_str_digits"):
        pytest.skip("this Python reads numbers of any length")
    with pytest.raises(FileError, match=message) as caught:
        files.read_json(path)
    assert str(path) in str(caught.value)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(FileError, match="cannot be read"):
        files.read_json(tmp_path)


def test_byte_order_mark_and_whole_characters(tmp_path):
    path = tmp_path / "data.json"
    path.write_bytes(b"\xef\xbb\xbf" + rb'["\ud83d\ude00"]')
    assert files.read_json(path) == ["😀"]


def test_folder_leads_to_the_obvious_file(tmp_path):
    def load():
        return conversations.load_conversations(tmp_path)[0]["conversation_ID"]

    with pytest.raises(ConversationError, match="found no JSON file"):
        load()
    given = tmp_path / "input"
    files.write_json({"name": "moods", "labels": ["calm", "glad"]}, given / "labels.json")
    files.write_json([conversation(9)], given / "test" / "conversations.json")
    with pytest.raises(ConversationError, match=r"found no JSON file\). Name one of .*test/conversations.json"):
        conversations.load_conversations(given)
    files.write_json([conversation(1)], tmp_path / "a.json")
    assert load() == 1
    files.write_json([conversation(2)], tmp_path / "b.json")
    with pytest.raises(ConversationError, match=r"found a.json, b.json\). Name the file"):
        load()
    files.write_json([conversation(3)], tmp_path / "Subtask_2_train.json")
    assert load() == 3
    files.write_json([conversation(4)], tmp_path / "conversations.json")
    assert load() == 4


def test_writing_is_readable_and_whole(tmp_path, monkeypatch):
    path = tmp_path / "new" / "folder" / "data.json"
    files.write_json([conversation()], path)
    assert conversations.load_conversations(path, labelled=True) == [conversation()]
    text = path.read_text(encoding="utf-8")
    assert "né" in text and "\n  {" in text and text.endswith("\n")

    def full_disk(file):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="disk full"):
        files.write_json([], path)
    with pytest.raises(TypeError):
        files.write_json([object()], path)
    assert path.read_text(encoding="utf-8") == text
    assert [file.name for file in path.parent.iterdir()] == ["data.json"]  # no temporary file stays


def test_pairs_and_causes():
    unordered = [["10_fear", "9"], ["2_joy", "10"], ["2_joy", "1"], ["2_joy", "1"]]
    emotions = ["neutral", "joy", *["neutral"] * 6, "sadness", "fear"]
    talk = conversation(emotions=emotions, pairs=unordered)
    assert conversations.pairs(talk) == [(2, "joy", 1), (2, "joy", 10), (10, "fear", 9)]
    assert conversations.causes_of(talk) == {2: [1, 10], 9: [], 10: [9]}
    bare = conversations.without_labels(talk)
    assert conversations.pairs(bare) == []
    with pytest.raises(ConversationError, match="conversation 1, utterance 1, field 'emotion'"):
        conversations.causes_of(bare)


def test_labelling_copies_and_keeps_other_fields():
    talk = conversation()
    before = copy.deepcopy(talk)
    bare = conversations.without_labels(talk)
    assert "emotion-cause_pairs" not in bare and all("emotion" not in line for line in bare["conversation"])
    labelled = conversations.with_emotions(bare, ["fear", "joy", "neutral"])
    assert [line["emotion"] for line in labelled["conversation"]] == ["fear", "joy", "neutral"]
    full = conversations.with_pairs(labelled, [(2, "joy", 10), (2, "joy", 1), (1, "fear", 1), (2, "joy", 1)])
    assert full["emotion-cause_pairs"] == [["1_fear", "1"], ["2_joy", "1"], ["2_joy", "10"]]
    assert "emotion-cause_pairs" not in conversations.with_emotions(full, ["joy"] * 3)  # they named other emotions
    full["conversation"][0]["video_caption"].append("changed")
    assert talk == before and "emotion" not in bare["conversation"][0]
    assert full["season"] == 3 and full["conversation"][1]["video_caption"] == [2]


@pytest.mark.parametrize(("emotions", "message"), [
    (["joy"], "1 emotions for 3 utterances"),
    (["joy", "joy", "x"], "utterance 3, .*'x' is not"),
])  # fmt: skip
def test_wrong_emotions(emotions, message):
    with pytest.raises(ConversationError, match=message):
        conversations.with_emotions(conversation(), emotions)


def ids(parts):
    return {name: [talk["conversation_ID"] for talk in part] for name, part in parts.items()}


def test_seeded_splits():
    talks = [conversation(number) for number in range(1, 31)]
    parts = ids(splits.split_conversations(talks, (0.8, 0.1, 0.1), 42))
    assert list(parts) == ["train", "val", "test"] and [len(part) for part in parts.values()] == [24, 3, 3]
    assert sorted(sum(parts.values(), [])) == list(range(1, 31))  # disjoint, and nothing is lost
    shuffled = random.Random(1).sample(talks, 30)
    assert ids(splits.split_conversations(shuffled, (0.8, 0.1, 0.1), 42)) == parts
    assert ids(splits.split_conversations(talks, (0.8, 0.1, 0.1), 43)) != parts
    assert parts["val"] == [8, 9, 24]  # as first run: a change would silently make old scores another split's


@pytest.mark.parametrize(("count", "fractions", "sizes"), [
    (3, (0.8, 0.1, 0.1), [1, 1, 1]),
    (4, (0.8, 0.1, 0.1), [2, 1, 1]),
    (3, (0, 0.5, 0.5), [0, 2, 1]),
    (5, (1, 0, 0), [5, 0, 0]),
    (7, (0.34, 0.33, 0.33), [3, 2, 2]),
])  # fmt: skip
def test_split_sizes(count, fractions, sizes):
    parts = splits.split_conversations([conversation(number) for number in range(count)], fractions, 0)
    assert [len(part) for part in parts.values()] == sizes


@pytest.mark.parametrize("fractions", [(0.8, 0.2), (0.8, 0.1, 0.2), (1.2, -0.1, -0.1), (math.nan, 0.5, 0.5)])
def test_wrong_fractions(fractions):
    with pytest.raises(ConversationError, match="add up to 1"):
        splits.split_conversations([conversation(number) for number in range(9)], fractions, 0)


def test_too_few_to_split():
    with pytest.raises(ConversationError, match="need 3 conversations or more, and there are 2"):
        splits.split_conversations([conversation(1), conversation(2)], (0.8, 0.1, 0.1), 0)


def test_split_by_file():
    talks = [conversation(number) for number in (3, 1, "x", 2)]
    assert ids(splits.split_by_file(talks, {"train": ["2", 3], "dev": ["x"]})) == {
        "train": [3, 2],
        "val": ["x"],
        "test": [],
    }
    assert ids(splits.split_by_file(talks, {"val": [1], "train": []})) == {"train": [], "val": [1], "test": []}


@pytest.mark.parametrize(("given", "message"), [
    ([1], "these are not splits"),
    ({}, "these are not splits"),
    ({"train": [1], "extra": [2]}, "found 'train', 'extra'"),
    ({"dev": [1], "val": [2]}, "found 'dev', 'val'"),
    ({"train": 1}, "train: not a list"),
    ({"train": [1.5]}, "train: not a list"),
    ({"train": [1, 2], "test": ["2", 1]}, "test: ids 1, 2 are in another split"),
    ({"train": [2, 1, "2"]}, "train: ids 2 are there twice"),
    ({"train": [1], "test": [10, 9]}, "test: ids 9, 10 are unknown"),
    ({"train": list(range(100, 200))}, "118, 119 and 80 more"),
])  # fmt: skip
def test_wrong_split_files(given, message):
    with pytest.raises(ConversationError, match=message):
        splits.split_by_file([conversation(1), conversation(2)], given)


def test_describe():
    expected = dict.fromkeys(labels.ECF, 0) | {"joy": 1, "anger": 1, "neutral": 1}
    expected |= {"conversations": 2, "utterances": 6, "emotional": 2, "pairs": 2}
    assert splits.describe([conversation(1), conversations.without_labels(conversation(2))]) == expected


@needs_ecf
def test_ecf_counts():
    talks = conversations.load_conversations(ECF, labelled=True)
    assert splits.describe(talks) == {
        "conversations": 1374, "utterances": 13619, "emotional": 7690, "pairs": 9794,
        "anger": 1615, "disgust": 414, "fear": 373, "joy": 2301, "sadness": 1147, "surprise": 1840,
        "neutral": 5929,
    }  # fmt: skip
    parts = splits.split_by_file(talks, files.read_json(ECF / "ecf1_splits.json"))
    counts = [splits.describe(part) for part in parts.values()]
    assert [count["conversations"] for count in counts] == [1001, 112, 261]
    assert [count["utterances"] for count in counts] == [9966, 1087, 2566]
    assert [count["pairs"] for count in counts] == [7055, 866, 1873]
    test = splits.describe(conversations.load_conversations(ECF / "Subtask_2_test.json", labelled=False))
    assert (test["conversations"], test["utterances"], test["pairs"]) == (341, 3101, 0)


@needs_ecf
def test_ecf_subtask_1_is_refused():
    with pytest.raises(ConversationError, match="Subtask 1 file"):
        conversations.load_conversations(ECF / "Subtask_1_train.json")
