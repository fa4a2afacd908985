"""Clips: sound and pictures come out as they were written, and what cannot be used is named.

python -m pytest tests/data/test_clips.py
"""

import importlib.util

import numpy as np
import pytest
from made_clips import RATE, plain, tone, write_film, write_picture, write_wav

from utils.data.clips import SIGHT, SOUND, check_decoder, clips_in, frames, sound, spread
from utils.system.errors import FileError, PlaceError

needs_decoder = pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="PyAV is optional")


@needs_decoder
@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_of_any_rate_and_channels_is_the_same_sound(tmp_path, rate, channels):
    path = write_wav(tmp_path / "a.wav", tone(220, rate=rate, harmonics=3), rate, channels)
    found, wanted = sound(path), tone(220, harmonics=3)
    assert found.dtype == np.float32 and abs(len(found) - RATE) < RATE * 0.005
    middle = slice(2000, 14000)
    assert min(np.abs(found[middle] - wanted[2000 + k : 14000 + k]).max() for k in range(-20, 21)) < 0.03


@needs_decoder
def test_the_sound_of_a_film_is_heard(tmp_path):
    path = write_film(tmp_path / "a.mp4", [plain(9, 9, 9)] * 10, sound=tone(200))
    spectrum = np.abs(np.fft.rfft(sound(path)[2000:14000]))
    assert np.argmax(spectrum) * RATE / 12000 == pytest.approx(200, abs=2)


@needs_decoder
def test_pictures_of_a_film_are_spread_over_it(tmp_path):
    greys = [int(level) for level in np.linspace(20, 230, 43)]
    path = write_film(tmp_path / "a.mp4", [plain(g, g, g) for g in greys])
    found = [picture.mean() for picture in frames(path, most=4)]
    wanted = [greys[number] for number in (5, 16, 27, 37)]
    assert found == pytest.approx(wanted, abs=22) and len(found) == 4
    few = frames(write_film(tmp_path / "b.mp4", [plain(g, g, g) for g in greys[:3]]), most=4)
    assert len(few) == 3 and few[0].shape == (48, 64, 3)


@needs_decoder
def test_a_picture_is_read_whatever_its_ending_says_and_made_smaller(tmp_path):
    picture = write_picture(tmp_path / "a.png", plain(250, 10, 60, 300, 900))
    (small,) = frames(picture, 4, side=90)
    assert small.shape == (30, 90, 3) and small.reshape(-1, 3).mean(0) == pytest.approx([250, 10, 60], abs=4)
    named = picture.rename(tmp_path / "b.mp4")
    assert len(frames(named, 4)) == 1
    with pytest.raises(FileError, match="b.mp4: holds no sound"):
        sound(named)


BAD = {  # what is wrong: (the bytes or the samples, a piece of the message)
    "empty": (b"", "empty"),
    "no sound file": (b"not a sound " * 50, "cannot be decoded"),
    "half a header": (b"RIFF\x24\x08\x00\x00WAVEfmt ", "cannot be decoded|holds no sound|shorter"),
    "silent": (np.zeros(RATE), "silent"),
    "a constant": (np.full(RATE, 0.5), "silent"),
    "short": (tone(200, 0.05), "shorter than 0.1"),
    "nothing": (np.zeros(0), "shorter than 0.1|cannot be decoded|no sound"),
    "long": (np.tile(tone(200), 30), "longer than 20"),
}


@needs_decoder
@pytest.mark.parametrize("kind", BAD)
def test_a_sound_that_cannot_be_used_is_named(tmp_path, kind, monkeypatch):
    content, message = BAD[kind]
    path = tmp_path / "dia1utt1.wav"
    path.write_bytes(content) if isinstance(content, bytes) else write_wav(path, content)
    monkeypatch.setattr("utils.data.clips.LONGEST", 20)
    with pytest.raises(FileError, match=f"dia1utt1.wav: .*({message})") as caught:
        sound(path)
    assert len(str(caught.value)) < 400


@needs_decoder
def test_samples_that_are_no_numbers_are_refused(tmp_path):
    """A wav file of 32-bit floats, which the standard library does not write."""
    samples = np.append(tone(200), np.nan).astype("<f4").tobytes()
    head = np.array([16, 3 | 1 << 16, RATE, RATE * 4, 4 | 32 << 16], "<u4").tobytes()
    size = np.array([len(samples)], "<u4").tobytes()
    whole = np.array([len(samples) + 36], "<u4").tobytes()
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + whole + b"WAVEfmt " + head + b"data" + size + samples)
    with pytest.raises(FileError, match="a.wav: holds NaN"):
        sound(path)


@needs_decoder
def test_films_and_pictures_that_cannot_be_used_are_named(tmp_path, monkeypatch):
    broken = tmp_path / "a.mp4"
    broken.write_bytes(b"\x00\x00\x00 ftypisom" + bytes(500))
    with pytest.raises(FileError, match="a.mp4: cannot be decoded"):
        frames(broken, 4)
    with pytest.raises(FileError, match="b.wav: holds no picture"):
        frames(write_wav(tmp_path / "b.wav", tone(200)), 4)
    monkeypatch.setattr("utils.data.clips.LARGEST", 1000)
    with pytest.raises(FileError, match="c.png: a picture of 64 x 48"):
        frames(write_picture(tmp_path / "c.png", plain(1, 2, 3)), 4)


@needs_decoder
def test_a_link_that_leaves_the_folder_is_refused(tmp_path):
    write_wav(tmp_path / "outside.wav", tone(200))
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.wav").symlink_to(tmp_path / "outside.wav")
    with pytest.raises(FileError, match="a.wav: a link that leaves the folder"):
        sound(tmp_path / "clips" / "a.wav")


def test_clips_are_found_by_their_endings(tmp_path):
    for name in ("b.WAV", "a.mp4", "c.jpg", "notes.txt"):
        (tmp_path / name).touch()
    assert [*clips_in(tmp_path, SOUND)] == ["a", "b"] and [*clips_in(tmp_path, SIGHT)] == ["a", "c"]
    (tmp_path / "a.wav").touch()
    with pytest.raises(FileError, match="a.mp4 and a.wav are one clip"):
        clips_in(tmp_path, SOUND)
    (tmp_path / "none").mkdir()
    for folder, message in (("none", "holds no file that ends with"), ("nowhere", "no such folder")):
        with pytest.raises(FileError, match=message):
            clips_in(tmp_path / folder, SOUND)


def test_indices_are_spread_over_a_list():
    assert spread(8, 4) == [1, 3, 5, 7] and spread(4, 4) == [0, 1, 2, 3] and spread(2, 4) == [0, 0, 1, 1]


def test_a_missing_decoder_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PlaceError, match="pip install -c constraints.txt av"):
        check_decoder()
