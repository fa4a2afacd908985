"""Earlier results that a person attaches: damaged archives and odd names are one message, and nothing but results is
taken.

python -m pytest tests/system/test_archives.py     (make soak: thousands of damaged archives)
"""

import random
import zipfile

import pytest
from helpers import amounts, files

from utils.system import places
from utils.system.errors import PlaceError
from utils.system.places import Place

PACKED = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bz2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}
NAME = "results_train/a/config.json"


@pytest.fixture
def place(tmp_path):
    (tmp_path / "content").mkdir()
    return Place("Colab", tmp_path / "mine", (tmp_path / "content",))


@pytest.fixture
def archive(place):
    return place.attached[0] / "mine-results.zip"


def pack(archive, members, how=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(archive, "w", how) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return archive.read_bytes()


def taken(place):
    """What is in the place's results, after asserting that nothing half is left there."""
    found = files(place.results) if place.results.exists() else {}
    assert not [name for name in found if name.endswith(".partial")]
    return found


@amounts
@pytest.mark.parametrize("how", PACKED)
def test_a_damaged_archive_is_one_message_whatever_is_damaged(place, archive, how, amount):
    """40 places of the file or more, each overwritten by other bytes: refused, or read as it was."""
    text = bytes(random.Random(1).choices(range(97, 105), k=2000))
    sound, order, refused = pack(archive, {NAME: text}, PACKED[how]), random.Random(2), 0
    places_of = [*range(0, 60, 3), *(order.randrange(len(sound)) for _ in range(20 if amount == 1 else 2500))]
    for where in places_of:
        archive.write_bytes(sound[:where] + order.randbytes(4) + sound[where + 4 :])
        try:
            place.bring_results()
        except PlaceError as error:
            refused += 1
            assert str(archive) in str(error) and "upload it again, or remove it" in str(error)
        assert taken(place) in ({}, {NAME: text})
        (place.results / NAME).unlink(missing_ok=True)
    assert refused > 10
    archive.write_bytes(sound)
    place.bring_results()
    assert taken(place) == {NAME: text}


@pytest.mark.parametrize("name", [f"results_train/{'a' * 300}/config.json", "results_train/a/" + "b" * 300 + ".json"])
def test_a_name_that_cannot_be_here_is_one_message(place, archive, name):
    pack(archive, {name: "text"})
    with pytest.raises(PlaceError, match="mine-results.zip .*upload it again, or remove it"):
        place.bring_results()
    assert taken(place) == {}


def test_a_name_that_is_a_file_and_a_folder_is_one_message(place, archive):
    pack(archive, {"results_train/a.json": "text", "results_train/a.json/config.json": "text"})
    with pytest.raises(PlaceError, match="mine-results.zip .*upload it again, or remove it"):
        place.bring_results()


def test_a_name_that_is_no_utf_8_is_one_message(place, archive):
    sound = pack(archive, {"results_train/é/config.json": "text"})
    archive.write_bytes(sound.replace("é".encode(), b"\xff\xfe"))
    with pytest.raises(PlaceError, match="mine-results.zip is damaged"):
        place.bring_results()


def test_a_file_that_is_no_archive_and_a_folder_of_that_name_are_one_message(place, archive):
    archive.write_text("no archive")
    with pytest.raises(PlaceError, match="mine-results.zip is damaged"):
        place.bring_results()
    archive.unlink()
    archive.mkdir()
    with pytest.raises(PlaceError, match="mine-results.zip is damaged"):
        place.bring_results()


KEPT = {
    "results_train/a/config.json": b"{}",
    "results_train/a/predictions.jsonl": b"{}",
    "results_train/a/adapters/emotion/adapter_model.safetensors": b"w",
    "results_train/a/adapters/emotion/README.md": b"card",
    "results_train/a/adapters/emotion/checkpoints/checkpoint-3/optimizer.pt": b"w",
    "results_train/a/adapters/emotion/tracking/events.out.tfevents.1.host.2.0": b"e",
    "results_train/a/plots/loss.png": b"p",
    "results_test/a/notebooks/2_emotion_inference.ipynb": b"{}",
}
NOT_KEPT = (
    "results_train/a/sitecustomize.py",
    "results_train/a/utils/__init__.PY",
    "results_train/a/module.pyc",
    "results_train/a/native.so",
    "results_train/a/paths.pth.py",
    "results_train/a/run.sh",
    "results_train/a/weights.pkl",
    "results_train/a/plain",
    "results_train/a/.bashrc",
    "results_train/a/line\nbreak.json",
    "results_train/a/\x1b[31m.json",
    "results_train/a/\u202egnp.json",
    "results_train",
    "results_train.json",
    "results_other/a/config.json",
    "utils/config.json",
)


@pytest.mark.parametrize("packed", [True, False])
def test_only_what_a_run_writes_is_taken(place, archive, packed):
    members = KEPT | dict.fromkeys(NOT_KEPT, b"no result")
    if packed:
        pack(archive, members)
    else:
        for name, content in members.items():
            if name != "results_train" and name.isprintable():
                path = place.attached[0] / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    place.bring_results()
    assert taken(place) == KEPT


def test_what_a_run_hands_over_is_taken_whole(tmp_path, archive, place, monkeypatch):
    monkeypatch.setattr(places, "_on_colabs_page", lambda: False)
    first = Place("Colab", tmp_path / "first")
    for name, content in KEPT.items():
        path = first.results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    first.hand_over(first.results / "results_train" / "a", first.results / "results_test" / "a")
    (first.results / "a-results.zip").rename(archive)
    place.bring_results()
    assert taken(place) == KEPT
