"""python -m utils.features: a folder of clips becomes streams that the adapters read.

python -m pytest tests/doors/test_features_door.py
"""

import importlib.util

import numpy as np
import pytest
from drawn_face import drawn_face
from helpers import called
from made_clips import plain, tone, write_film, write_picture, write_wav

from utils import features
from utils.data.face import NUMBERS
from utils.data.features import read_stream
from utils.system.files import read_json

pytest.importorskip("av")


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    for number, hertz in enumerate((110, 220, 330)):
        write_wav(folder / f"w{number}.wav", tone(hertz), 22_050)
    write_film(folder / "film.mp4", [plain(0, 0, 9 * k) for k in range(12)], sound=tone(165))
    write_picture(folder / "still.jpg", plain(200, 30, 30))
    (folder / "broken.wav").write_bytes(b"RIFF no sound")
    (folder / "notes.txt").write_text("about the films")
    return folder


def test_streams_are_read_and_faults_named(films, tmp_path, capsys):
    out = tmp_path / "features"
    assert features.main([str(films), "--out", str(out), "--streams", "voice", "frame", "--jobs", "1"]) == 0
    said = capsys.readouterr().out
    assert f"left out: {films / 'broken.wav'}: cannot be decoded" in said and "not read: notes.txt" in said
    assert "4 clips read now, 0 before, 1 left out" in said and "2 clips read now, 0 before, 0 left out" in said
    voice, frame = read_stream(out, "voice"), read_stream(out, "frame")
    assert {*voice.vectors} == {"w0", "w1", "w2", "film"} and {*frame.vectors} == {"film", "still"}
    assert np.diff([voice.of({"video_name": f"w{k}.wav"})[0, 2] for k in (0, 1)]) == pytest.approx(12, abs=0.2)
    assert features.main([str(films), "--out", str(out), "--jobs", "1"]) == 0
    assert "0 clips read now, 4 before, 1 left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--streams", "faces"], "--streams faces: ready are voice, frame, face. For another give its --model"),
        (["--streams", "../x"], "--streams '../x': give up to 40 letters"),
        (["--model", "m"], "--model m: name its stream"),
        (["--model", "m", "--streams", "a", "b"], "--model m: name its stream"),
    ],
)
def test_names_that_cannot_be_are_refused(films, tmp_path, arguments, message):
    status, said = called(features.main, films, "--out", tmp_path / "features", *arguments)
    assert status == 2 and message in said and not (tmp_path / "features").exists()


def test_a_folder_of_which_nothing_can_be_used_is_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no")
    status, said = called(features.main, tmp_path, "--out", tmp_path / "features", "--jobs", "1")
    assert status == 2 and "none of its 1 clips can be used for voice" in said


@pytest.mark.parametrize(
    ("library", "stream", "message"),
    [
        ("av", "frame", "PyAV, which decodes sound and film, is missing: pip install -c constraints.txt av"),
        ("cv2", "face", "OpenCV, which finds faces, is missing: pip install -c constraints.txt opencv-python-headless"),
    ],
)
def test_without_a_library_nothing_begins(films, tmp_path, monkeypatch, library, stream, message):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else find(name))
    status, said = called(features.main, films, "--out", tmp_path / "features", "--streams", "voice", stream)
    assert (status, said) == (2, f"utils.features: {message}\n") and not (tmp_path / "features").exists()


def test_faces_are_found_and_clips_without_one_named(films, tmp_path, capsys):
    pytest.importorskip("cv2")
    write_picture(films / "she.png", drawn_face())
    write_film(films / "he.mp4", [drawn_face(gape=0.1 * (k % 3)) for k in range(8)])
    out = tmp_path / "features"
    assert features.main([str(films), "--out", str(out), "--streams", "face", "--jobs", "2"]) == 0
    said = capsys.readouterr().out
    assert "2 clips read now, 0 before, 2 left out" in said and f"left out: {films / 'film.mp4'}: no face is" in said
    assert [*read_json(out / "face" / "made_by.json")["numbers"]] == [*NUMBERS]
    stream = read_stream(out, "face")
    assert {name: rows.shape for name, rows in stream.vectors.items()} == {"he": (1, 17), "she": (1, 17)}
