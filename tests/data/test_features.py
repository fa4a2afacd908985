"""Streams of vectors: read from a file or a folder, and every fault has one message that names its place.

python -m pytest tests/data/test_features.py
"""

import numpy as np
import pytest
from helpers import FIVE

from utils.data.features import check_streams, check_video_names, fingerprint, read_stream, streams_in
from utils.system.errors import ConfigError, ConversationError, FileError

ONE, MORE = np.arange(4.0), np.ones((3, 4), np.int16)


def npz(folder, name="voice", **arrays):
    np.savez(folder / f"{name}.npz", **arrays)


def npy(folder, name="voice", **arrays):
    (folder / name).mkdir(exist_ok=True)
    for key, array in arrays.items():
        np.save(folder / name / f"{key}.npy", array)


@pytest.mark.parametrize("write", [npz, npy])
def test_vectors_are_read_by_the_name_of_the_video_with_or_without_its_ending(tmp_path, write):
    write(tmp_path, **{"dia1utt1": ONE, "dia1utt2": MORE})
    stream = read_stream(tmp_path, "voice")
    found = stream.of({"video_name": "dia1utt1.mp4"})
    assert found.dtype == np.float32 and found.tolist() == [ONE.tolist()]
    assert stream.of({"video_name": "dia1utt2"}).shape == (3, 4)
    assert stream.of({"video_name": "dia1utt3.mp4"}) is None and stream.of({}) is None
    assert streams_in(tmp_path) == ["voice"]


def test_a_name_in_full_comes_before_one_without_its_ending(tmp_path):
    npz(tmp_path, **{"a.mp4": ONE, "a": ONE + 1})
    stream = read_stream(tmp_path, "voice")
    assert stream.of({"video_name": "a.mp4"})[0, 0] == 0 and stream.of({"video_name": "a.wav"})[0, 0] == 1


BAD = {  # what is wrong: (arrays, pieces of the message)
    "text": ({"b": np.array(["x"])}, "b", "an array of <U1"),
    "true": ({"b": np.array([True])}, "b", "an array of bool"),
    "three axes": ({"b": np.ones((1, 2, 2))}, "b", r"of shape \(1, 2, 2\)"),
    "a number": ({"b": np.array(1.0)}, "b", r"of shape \(\)"),
    "nothing": ({"b": np.ones((0, 4))}, "b", r"of shape \(0, 4\)"),
    "NaN": ({"b": np.array([1.0, np.nan, 1.0, 1.0])}, "b", "NaN or a number without end"),
    "infinite": ({"b": np.array([1.0, np.inf, 1.0, 1.0])}, "b", "NaN or a number without end"),
    "too large for float32": ({"b": np.array([1e300] * 4)}, "b", "NaN or a number without end"),
    "complex": ({"b": np.ones(4, complex)}, "b", "an array of complex"),
    "objects": ({"b": np.array([{}], object)}, "b", "cannot be read"),
    "another width": ({"b": np.ones(5)}, "b", "a vector of 5 numbers, and .*a(.npy)? has 4"),
}


@pytest.mark.parametrize("write", [npz, npy])
@pytest.mark.parametrize("kind", BAD)
def test_an_array_that_is_no_vector_is_refused_by_file_and_name(tmp_path, write, kind):
    arrays, key, message = BAD[kind]
    write(tmp_path, a=ONE, **arrays)
    where = rf"voice\.npz, {key}: " if write is npz else rf"voice/{key}\.npy: "
    with pytest.raises(FileError, match=where + f"(.*){message}") as caught:
        read_stream(tmp_path, "voice")
    assert len(str(caught.value)) < 700


def test_files_that_cannot_be_read_are_named(tmp_path):
    npz(tmp_path, a=ONE, b=np.ones(4))
    whole = (tmp_path / "voice.npz").read_bytes()
    for content, message in ((whole[:100], "cannot be read"), (b"", "it is empty"), (b"PK no zip" * 9, "cannot be")):
        (tmp_path / "voice.npz").write_bytes(content)
        with pytest.raises(FileError, match=f"voice.npz: .*{message}"):
            read_stream(tmp_path, "voice")
    damaged = bytearray(whole)
    damaged[120:140] = bytes(20)
    (tmp_path / "voice.npz").write_bytes(damaged)
    with pytest.raises(FileError, match="voice.npz"):
        read_stream(tmp_path, "voice")
    with open(tmp_path / "voice.npz", "wb") as file:
        np.save(file, ONE)
    with pytest.raises(FileError, match="a single array, which belongs in a folder"):
        read_stream(tmp_path, "voice")
    npz(tmp_path)
    with pytest.raises(FileError, match="voice.npz: holds no vector"):
        read_stream(tmp_path, "voice")
    npy(tmp_path, "face", a=ONE)
    (tmp_path / "face" / "b.npy").write_bytes(b"")
    with pytest.raises(FileError, match="face/b.npy: cannot be read .it is empty"):
        read_stream(tmp_path, "face")


def test_a_stream_that_is_not_there_or_there_twice_is_refused(tmp_path):
    npz(tmp_path, "face", a=ONE)
    with pytest.raises(FileError, match=r"no stream voice \(voice.npz, or a folder.*It has face"):
        read_stream(tmp_path, "voice")
    npy(tmp_path, "face", a=ONE)
    with pytest.raises(FileError, match="stream face is there twice"):
        read_stream(tmp_path, "face")
    with pytest.raises(FileError, match="nowhere: no stream voice .*It has no stream"):
        read_stream(tmp_path / "nowhere", "voice")


def test_a_link_that_leaves_the_folder_is_not_followed(tmp_path):
    np.save(tmp_path / "secret.npy", ONE)
    npy(tmp_path, a=ONE)
    (tmp_path / "voice" / "b.npy").symlink_to(tmp_path / "secret.npy")
    with pytest.raises(FileError, match="voice/b.npy: it is a link that leaves the folder"):
        read_stream(tmp_path, "voice")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "a\\b", "..", "a\0"])
def test_a_video_name_that_is_a_path_is_refused_by_item_and_field(name):
    bad = {**FIVE, "conversation": [{**FIVE["conversation"][0], "video_name": name}]}
    with pytest.raises(
        ConversationError, match="mine.json, conversation 5, utterance 1, field 'video_name': .* a path"
    ):
        check_video_names([bad], "mine.json")


@pytest.mark.parametrize("name", [5, True, ["a"]])
def test_a_video_name_that_is_no_text_is_refused(name):
    bad = {**FIVE, "conversation": [{**FIVE["conversation"][0], "video_name": name}]}
    with pytest.raises(ConversationError, match="utterance 1, field 'video_name': .* is no text"):
        check_video_names([bad], "mine.json")
    bad["conversation"][0]["video_name"] = None
    check_video_names([FIVE, bad], "mine.json")


def test_a_stream_that_no_utterance_has_is_refused_with_a_name_of_each_side(tmp_path):
    npz(tmp_path, **{"other1": ONE})
    seen = {**FIVE, "conversation": [{**u, "video_name": "mine1.mp4"} for u in FIVE["conversation"]]}
    stream = read_stream(tmp_path, "voice")
    with pytest.raises(ConfigError, match="no utterance of train has a vector of voice. .*'other1'.*'mine1.mp4'"):
        check_streams(seen["conversation"], "train", [stream])
    with pytest.raises(ConfigError, match="first video_name is None"):
        check_streams(FIVE["conversation"], "train", [stream])
    npz(tmp_path, **{"mine1": ONE})
    check_streams(seen["conversation"], "train", [read_stream(tmp_path, "voice")])


def test_a_fingerprint_follows_from_names_and_numbers(tmp_path):
    prints = []
    for arrays in ({"a": ONE}, {"a": ONE + 1}, {"b": ONE}):
        folder = tmp_path / str(len(prints))
        folder.mkdir()
        npy(folder, **arrays)
        prints.append(fingerprint(folder, "voice"))
    assert len({*prints}) == 3
