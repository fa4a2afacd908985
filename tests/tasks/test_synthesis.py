"""What a model writes itself: balanced, checked, scored by the one pass, drawn by the seed, and continued after a kill.

python -m pytest tests/tasks/test_synthesis.py
"""

import re
from statistics import median

import pytest
import torch

from utils.data.labels import ECF
from utils.data.opinion_splits import normal
from utils.data.seeds import Rules, Seeds
from utils.engine.inference import Journal, generate_published
from utils.engine.settings import InferenceSettings, Writing
from utils.models.load import load_model
from utils.system.errors import SynthesisError
from utils.tasks import synthesis
from utils.tasks.ask import predict
from utils.tasks.emotion import Emotion
from utils.tasks.synthesis import ENOUGH, REASONS, TOGETHER, UNLIKELY, alone, written_by

HOW = Writing(temperature=1.0, top_p=0.9, new_tokens=12)
TASK = Emotion(ECF)


@pytest.fixture(scope="module")
def loaded(tiny_model_folder):
    return load_model(tiny_model_folder, precision="float32")


@pytest.fixture(scope="module")
def seeds():
    return Seeds.read("emotions", ECF)


@pytest.fixture
def writer(seeds, monkeypatch):
    """In place of `generate_published`: sentences of the seeds' words, drawn by torch; a fifth of them is cut off.
    Returns the prompts of each batch."""
    words = sorted({word for seed in seeds.labels.values() for text in seed.sentences for word in normal(text).split()})
    plain = [word for word in words if not word.startswith(tuple("ags"))]  # none names a label
    asked = []

    def write(model, tokenizer, prompts, how, batch_size, progress, **options):
        assert options == {"stops": ("\n",)} and batch_size == len(prompts)
        asked.append(prompts)
        drawn = torch.randint(len(plain), (len(prompts), 9)).tolist()
        return [f" {' '.join(plain[k] for k in row)}{'.' * (row[0] % 5 > 0)}\n- more" for row in drawn]

    monkeypatch.setattr(synthesis, "generate_published", write)
    return asked


def made(loaded, seeds, count=3, seed=42, held_out=(), journal=None):
    return written_by(TASK, *loaded, seeds, Rules(seeds, held_out), count, seed, HOW, journal=journal)


def test_each_label_has_its_count_and_nothing_is_lost(loaded, seeds, writer):
    found = made(loaded, seeds)
    assert {label: found.count(label) for label in ECF} == dict.fromkeys(ECF, 3)
    assert len(found.kept) + len(found.rejected) == sum(map(len, writer)) == TOGETHER * len(writer)
    assert {row["reason"] for row in found.rejected} <= {*REASONS} and found.reasons()["cut off"] > 0
    assert sum(found.reasons("joy").values()) == sum(row["label"] == "joy" for row in found.rejected)
    prompts = [text for batch in writer for _, text in batch]
    assert prompts[0].startswith("Sentences of people who feel ") and prompts[0].endswith("\n-")


def test_a_sentence_is_kept_where_its_label_is_likelier_than_usual(loaded, seeds, writer):
    """By the probabilities that `predict` gives: for it, and for the sentences up to the end of its batch."""

    def likely(texts):
        items = [alone(k, text) for k, text in enumerate(texts)]
        _, tables = predict(TASK, *loaded, items, InferenceSettings(), progress=False)
        return [dict(zip(ECF, table[0])) for table in tables]

    found = made(loaded, seeds)
    scored = [row for row in [*found.kept, *found.rejected] if "probability" in row]
    again = likely([row["text"] for row in scored])
    for row, table in zip(scored, again, strict=True):
        assert row["probability"] == pytest.approx(table[row["label"]], rel=1e-3)
        end = -(-row["number"] // TOGETHER) * TOGETHER
        before = [other[row["label"]] for one, other in zip(scored, again) if one["number"] <= end]
        passes = row["probability"] > median(before) * (1 + 1e-3)
        assert passes == (row.get("reason") in (None, ENOUGH, "near-duplicate"))
    assert {row["reason"] for row in found.rejected if "probability" in row} >= {UNLIKELY, ENOUGH}


def test_the_seed_draws_the_sentences(loaded, seeds, writer):
    torch.manual_seed(5)
    first = made(loaded, seeds)
    torch.manual_seed(6)
    assert made(loaded, seeds) == first != made(loaded, seeds, seed=43)


def test_what_stands_in_val_or_test_is_not_kept(loaded, seeds, writer):
    text = made(loaded, seeds).kept[0]["text"]
    found = made(loaded, seeds, held_out=[text.upper()])
    assert text not in [row["text"] for row in found.kept]
    assert found.reasons()["in val or test"] == 1


@pytest.mark.parametrize("batch", [1, 2])
def test_an_interrupted_work_ends_as_an_undisturbed_one(loaded, seeds, writer, monkeypatch, tmp_path, batch):
    wanted, write = made(loaded, seeds), synthesis.generate_published
    assert len(writer) > 2
    writer.clear()

    def killed(*given, **options):
        if len(writer) == batch:
            raise KeyboardInterrupt
        return write(*given, **options)

    path = tmp_path / "out.unfinished.jsonl"
    monkeypatch.setattr(synthesis, "generate_published", killed)
    with pytest.raises(KeyboardInterrupt):
        made(loaded, seeds, journal=Journal(path))
    monkeypatch.setattr(synthesis, "generate_published", write)
    before = len(writer)
    assert made(loaded, seeds, journal=Journal(path)) == wanted
    whole = len(writer)
    assert before == batch and made(loaded, seeds, journal=Journal(path)) == wanted and len(writer) == whole


def test_a_model_that_cannot_write_ends_in_one_message_with_the_reasons(loaded, seeds, monkeypatch):
    """The tiny model knows no word; this is `generate` itself, at its full width."""
    monkeypatch.setattr(synthesis, "TRIES", 8)
    monkeypatch.setattr(synthesis, "generate_published", generate_published)
    with pytest.raises(SynthesisError) as seen:
        made(loaded, seeds, count=1)
    message = str(seen.value)
    assert re.search(r"anger: 0 of 1 sentences after \d+ tries \(\d+ ", message)
    assert "lower count" in message and "\n" not in message
