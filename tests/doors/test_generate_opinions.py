"""generate_input.py --task opinion: how many texts of a label training gets, and what a second run does.

python -m pytest tests/doors/test_generate_opinions.py
"""

from collections import Counter

import pytest
from helpers import called

import generate_input
from utils.models import load
from utils.system import places
from utils.system.files import read_json

MORE = "text,label\nwhat about those people with trains,favor\nnothing like that should happen here again,against\n"


@pytest.fixture
def data(tmp_path, tiny_model_folder, monkeypatch):
    """Twenty texts, 15 of them in favor; and the tiny model in place of the embedded one."""
    monkeypatch.setattr(places, "ROOT", tmp_path)  # where runs would be
    real = load.load_model
    monkeypatch.setattr(load, "load_model", lambda **how: real(tiny_model_folder, **how))
    words = "what they said about that plan could have been better when people look around".split()
    rows = [f"{' '.join(words[k % 7 :])} {k},{'against' if k % 4 == 0 else 'favor'}" for k in range(20)]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows, ""]))
    (tmp_path / "more.csv").write_text(MORE)
    return tmp_path


def made(folder, *options):
    """(status, messages) of the command, its input in folder/input."""
    start = "--task", "opinion", "--data", folder / "data.csv", "--topic", "new-stadium", "--task-type", "stance"
    return called(generate_input.main, *start, "--out", folder / "input", *options)


def counts(folder, split="train"):
    texts = read_json(folder / "input" / split / "texts.json")
    return Counter(text["opinions"]["new-stadium"]["stance"] for text in texts)


def test_training_gets_as_many_texts_of_a_label_as_is_asked_for(data):
    how = "--undersample", 8, "--augment", 8, "--train-only", data / "more.csv"
    assert made(data, *how)[0] == 0
    assert counts(data) == {"favor": 8, "against": 8}
    train = read_json(data / "input/train/texts.json")
    marked = [text for text in train if "augmented" in text]
    known = {text["text_ID"]: text["text"] for text in train if "augmented" not in text}
    assert marked and all(known[text["augmented"]["from"]] != text["text"] for text in marked)
    for split in ("val", "test"):
        assert not any("augmented" in text for text in read_json(data / "input" / split / "texts.json"))
        assert counts(data, split).total() == 2, "held-out texts are those of the data"
    before = {path: path.read_bytes() for path in (data / "input").rglob("*.json")}
    assert made(data, *how)[0] == 0, "a second run adds nothing"
    assert {path: path.read_bytes() for path in (data / "input").rglob("*.json")} == before


def test_another_size_is_another_input(data):
    assert made(data)[0] == 0 and counts(data)["favor"] > 8
    status, said = made(data, "--undersample", 8)
    assert status == 2 and "holds another input: give --dataset-update" in said and counts(data)["favor"] > 8
    assert made(data, "--undersample", 8, "--dataset-update")[0] == 0 and counts(data)["favor"] == 8
