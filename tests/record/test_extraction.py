"""From clips to a stream: what is done stays, what cannot be used is named, and the rest goes on.

python -m pytest tests/record/test_extraction.py
"""

import os

import numpy as np
import pytest

from utils.data.features import read_stream
from utils.record.extraction import BY, Extractor, extract
from utils.system.errors import FileError
from utils.system.files import read_json


def length(path):
    """The length of a file and 1; a file that begins with ! cannot be read, one with # ends its process."""
    text = path.read_text()
    if text.startswith("!"):
        raise FileError(f"{path}: says no")
    if text.startswith("#"):
        os._exit(9)
    return np.array([len(text), 1])


@pytest.fixture
def made(tmp_path):
    """(clips, where their stream goes, who makes it)."""
    clips = {}
    for number in range(12):
        clips[f"c{number}"] = tmp_path / f"c{number}.wav"
        clips[f"c{number}"].write_text("x" * (number + 1))
    return clips, tmp_path / "features" / "voice", Extractor("length", (".wav",), length, numbers={"length": "bytes"})


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_clip_has_its_vector_and_faults_are_named(made, jobs):
    clips, place, extractor = made
    clips["c3"].write_text("!")
    done, faults = extract(clips, place, extractor, jobs)
    assert done == [name for name in clips if name != "c3"] and faults == {"c3": f"{clips['c3']}: says no"}
    stream = read_stream(place.parent, "voice")
    assert {name: rows[0].tolist() for name, rows in stream.vectors.items()} == {
        f"c{number}": [number + 1, 1] for number in range(12) if number != 3
    }
    assert read_json(place / BY) == {"made_by": "length", "numbers": {"length": "bytes"}}


def test_what_is_done_stays_and_a_newer_clip_is_read_again(made):
    clips, place, extractor = made
    read = []

    def counting(path):
        read.append(path.stem)
        if len(read) == 6:
            raise KeyboardInterrupt
        return length(path)

    counted = Extractor("length", (".wav",), counting)
    with pytest.raises(KeyboardInterrupt):
        extract(clips, place, counted)
    assert len(list(place.glob("*.npy"))) == 5 and not list(place.glob(".*"))
    assert extract(clips, place, counted)[0] == [*clips][5:]
    read.clear()
    assert extract(clips, place, counted) == ([], {}) and read == []
    clips["c2"].write_text("!")
    os.utime(clips["c2"], (2**31, 2**31))
    assert extract(clips, place, counted)[1].keys() == {"c2"} and not (place / "c2.npy").exists()


def test_vectors_that_are_no_numbers_are_not_written(made):
    clips, place, _ = made
    done, faults = extract(clips, place, Extractor("nan", (".wav",), length, lambda found: found / (found[0] != 4)))
    assert len(done) == 11 and faults == {"c3": f"{clips['c3']}: its vectors hold NaN or a number without end"}
    assert not (place / "c3.npy").exists()


def test_a_process_that_dies_ends_the_work_in_one_message(made):
    clips, place, extractor = made
    clips["c5"].write_text("#")
    with pytest.raises(FileError, match="the process that read it died.*--jobs 1"):
        extract(clips, place, extractor, 2)


def test_vectors_of_others_are_not_mixed(made, tmp_path):
    clips, place, extractor = made
    place.mkdir(parents=True)
    np.save(place / "mine.npy", np.ones(4))
    with pytest.raises(FileError, match="that this command did not make. Remove"):
        extract(clips, place, extractor)
    (place / "mine.npy").unlink()
    extract(clips, place, extractor)
    with pytest.raises(FileError, match="made by length, not by other"):
        extract(clips, place, Extractor("other", (".wav",), length))
    (place / BY).write_text("[]")
    with pytest.raises(FileError, match=BY):
        extract(clips, place, extractor)
    np.savez(place.with_name("face.npz"), a=np.ones(4))
    with pytest.raises(FileError, match="face.npz is there already"):
        extract(clips, place.with_name("face"), extractor)
