"""Conversations that no row can hold: refused all at once before the model is loaded, or skipped and named.

python -m pytest tests/doors/test_too_long.py
"""

import socket

import pytest
from helpers import called, conversation, randomize

from utils import demo, predict
from utils.data.labels import ECF
from utils.models.adapters import add_lora, save_adapter
from utils.models.load import load_model
from utils.record.predictor import all_but_too_long
from utils.system.errors import TooLong
from utils.system.files import read_json, write_json

TALKS = [{**conversation(["Oh no !"] * count), "conversation_ID": count} for count in (2, 40, 3, 30)]


@pytest.fixture
def given(tiny_model_folder, tmp_path):
    """The command's arguments, with tiny adapters."""
    for task in ("emotion", "cause"):
        model = add_lora(load_model(tiny_model_folder, precision="float32")[0], 4, 8, 0.0, "all-linear")
        save_adapter(randomize(model), tmp_path / "adapters" / task, tiny_model_folder)
        parameters = {"model": tiny_model_folder, "precision": "float32"}
        record = {"parameters": parameters, "emotions": dict.fromkeys(ECF, 1), "task": task}
        write_json(record, tmp_path / "adapters" / task / "training.json")
    write_json(TALKS, tmp_path / "talks.json")
    adapter = ("--emotion-adapter", tmp_path / "adapters" / "emotion")  # the cause adapter is the one beside it
    return [tmp_path / "talks.json", "--out", tmp_path / "pred.json", *adapter, "--max-row-tokens", 300]


def test_all_of_them_are_named_before_the_model_is_loaded(given, tmp_path, monkeypatch):
    monkeypatch.setattr("utils.models.load.load_model", lambda *anything: pytest.fail("the model was loaded"))
    code, said = called(predict.main, *given)
    assert code == 2 and "conversation 40: " in said and "conversation 30: " in said and "conversation 3: " not in said
    assert "(utils.predict: --max-row-tokens)" in said and not (tmp_path / "pred.json").exists()


def test_they_are_skipped_where_that_is_asked_for(given, tmp_path, capsys):
    assert predict.main([str(one) for one in (*given, "--skip-too-long")]) == 0
    assert [c["conversation_ID"] for c in read_json(tmp_path / "pred.json")] == [2, 3]
    said = capsys.readouterr().out
    assert "skipped: conversation 40, " in said and "skipped: 2 of 4 conversations, which are not in" in said
    assert "2 conversations labelled" in said


def test_those_that_are_too_long_once_their_emotions_are_known_are_skipped_too(monkeypatch):
    made, limits = [], iter([{"conversation 40": 500}, {"conversation 30": 400}, None])

    class Late:
        def __init__(self, emotion, cause, limit, conversations, parameters, features):
            made.append(len(conversations))

        def __call__(self, conversations, journal):
            if tokens := next(limits):
                raise TooLong(tokens, 300)
            return [c["conversation_ID"] for c in conversations]

    monkeypatch.setattr("utils.record.predictor.Predictor", Late)
    _, labelled, skipped = all_but_too_long(("e", "c"), 300, TALKS, None, skip=True)
    assert labelled == [2, 3] and skipped == {"conversation 40": 500, "conversation 30": 400} and made == [4]


def test_a_port_that_is_taken_is_named_before_the_model_is_loaded(monkeypatch):
    pytest.importorskip("gradio")
    monkeypatch.setattr(demo, "Predictor", lambda *anything: pytest.fail("the model was loaded"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = called(demo.main, "--port", taken.getsockname()[1])
    assert code == 2 and "cannot be had" in said and "give another --port" in said
