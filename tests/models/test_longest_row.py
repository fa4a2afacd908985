"""The line about memory counts the longest row, which is not cut.

python -m pytest tests/models/test_longest_row.py
"""

import pytest
from helpers import conversation

from utils.config import Config
from utils.engine.rows import encode_trees, longest_row
from utils.models import fits
from utils.models.fits import GIB, check_memory, estimate_memory
from utils.models.load import load_tokenizer
from utils.predict import Predictor
from utils.system.errors import ModelError, NotEnoughMemory, TooLong
from utils.tasks.emotion import Emotion

TALKS = [conversation(["Oh no !"] * count) for count in (3, 120, 40)]


@pytest.fixture
def config(tiny_model_folder):
    return Config(model=tiny_model_folder, precision="float32", quantization="none")


def test_the_longest_row_is_that_of_the_longest_tree(tokenizer):
    trees = [Emotion().tree(c) for c in TALKS]
    rows = encode_trees(trees, ["a", "b", "c"], tokenizer, 10**6, train=False)
    assert longest_row(trees, ["a", "b", "c"], tokenizer, 10**6) == max(map(len, rows)) == len(rows[1])
    assert longest_row([], [], tokenizer, 1) == 0
    lengths, limit = [*map(len, rows)], len(rows[0])
    with pytest.raises(TooLong) as error:
        longest_row(trees, ["a", "b", "c"], tokenizer, limit)
    assert str(error.value).startswith(
        f"b: {lengths[1]}, c: {lengths[2]} tokens with its questions, and a row holds at"
    )
    assert f"to {lengths[1]} or more, or leave out these conversations" in str(error.value)
    assert error.value.tokens == {"b": lengths[1], "c": lengths[2]}


def test_a_longer_row_needs_more(config, capsys):
    counts = []
    few, many = estimate_memory(config, False), estimate_memory(config, False, 4000)
    assert many.weights == few.weights and many.activations > 8 * few.activations
    assert estimate_memory(config, False, 10) == few, "rows are filled up to the budget"
    assert check_memory(config, longest=lambda: counts.append(1) or 4000) == many and counts == [1]
    assert "the most for the longest row, of 4,000 tokens; " in capsys.readouterr().out
    assert check_memory(config, longest=lambda: 10) == few and "longest" not in capsys.readouterr().out


def test_only_the_line_counts_it(config, monkeypatch, capsys):
    """Whether the model fits does not hang on one conversation, which is named when its turn comes."""
    room = estimate_memory(config, False).total + 1
    monkeypatch.setattr(fits, "free_memory", lambda: room)
    assert check_memory(config, longest=lambda: 4000).total > room
    monkeypatch.setattr(fits, "free_memory", lambda: 1)
    with pytest.raises(NotEnoughMemory, match="longest row, of 4,000 tokens"):
        check_memory(config, longest=lambda: 4000)
    assert f"{1 / GIB:.2f} GiB are free" in capsys.readouterr().out


def test_the_predictor_counts_its_conversations(tiny_model_folder, tmp_path, monkeypatch):
    from utils.system.files import write_json

    asked = []

    def stop(config, training=False, longest=None):
        asked.append(longest())
        raise ModelError("seen")

    monkeypatch.setattr(fits, "check_memory", stop)
    record = {"parameters": Config(model=tiny_model_folder).as_dict(), "emotions": dict.fromkeys(Emotion().labels, 1)}
    write_json(record, tmp_path / "emotion" / "training.json")
    for given in (TALKS, []):
        with pytest.raises(ModelError, match="seen"):
            Predictor(tmp_path / "emotion", tmp_path / "emotion", 10**6, given)
    trees, tokenizer = [Emotion().tree(c) for c in TALKS], load_tokenizer(tiny_model_folder)
    assert asked == [longest_row(trees, ["a", "b", "c"], tokenizer, 10**6), 0]
