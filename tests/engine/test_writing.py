"""How a model writes: by sampling or by beams, up to a mark, and seen while it is written.

python -m pytest tests/engine/test_writing.py
"""

import threading

import pytest
import torch
from helpers import with_adapter

from utils.engine.inference import generate_published
from utils.engine.settings import Writing
from utils.engine.streaming import streaming
from utils.models.load import load_model
from utils.system.errors import ConfigError

PROMPT = "Where are you?"


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return with_adapter(tiny_model_folder, std=0.5).eval()


@pytest.fixture(scope="module")
def written(model, tokenizer):
    def written(how, prompts=(PROMPT,), **options):
        torch.manual_seed(1)
        return generate_published(model, tokenizer, [(one, one) for one in prompts], how, 8, "texts", **options)

    return written


def test_nothing_is_sampled_at_temperature_zero_and_something_above(model, tokenizer, written):
    greedy = Writing(new_tokens=12)
    seen = tokenizer(PROMPT, return_tensors="pt").input_ids
    for _ in range(12):
        with torch.no_grad():
            seen = torch.cat([seen, model(input_ids=seen).logits[:, -1:].argmax(-1)], 1)
    wanted = tokenizer.decode(seen[0, len(tokenizer(PROMPT).input_ids) :], skip_special_tokens=True)
    assert written(greedy) == [wanted] == written(greedy)
    hot = [("a", PROMPT)], Writing(5.0, new_tokens=12), 1, "texts"
    texts = {generate_published(model, tokenizer, *hot)[0] for _ in range(4)}
    assert len(texts) > 1, "it is sampled"
    assert written(Writing(5.0, top_k=1, new_tokens=12)) == written(Writing(5.0, 1e-6, new_tokens=12)) == [wanted]


def test_beams_are_those_of_generate(model, tokenizer, written):
    given = tokenizer(PROMPT, return_tensors="pt")
    ids = model.generate(**given, num_beams=4, do_sample=False, max_new_tokens=6)
    text = tokenizer.decode(ids[0, given["input_ids"].shape[1] :], skip_special_tokens=True)
    assert written(Writing(beams=4, new_tokens=6)) == [text] != written(Writing(new_tokens=6))
    assert "temperature" not in Writing(beams=4).options() and Writing(0.5, beams=4).options()["temperature"] == 0.5


def test_a_text_ends_at_a_mark_and_others_go_on(written):
    prompts = (PROMPT, "Hello")
    whole = written(Writing(new_tokens=20), prompts)
    mark = whole[0][3:6]
    ended = written(Writing(new_tokens=20), prompts, stops=[mark])
    for before, after in zip(whole, ended):
        at = before.find(mark)
        assert before.startswith(after) and (after == before if at < 0 else at + len(mark) <= len(after) < len(before))


def test_what_is_seen_while_it_is_written_is_what_is_written(model, tokenizer, written):
    how = Writing(new_tokens=20)
    (whole,) = written(how)
    texts = list(streaming(model, tokenizer, PROMPT, how))
    assert texts[-1] == whole and len(texts) > 3
    assert all(after.startswith(before) for before, after in zip(texts, texts[1:]))
    mark = whole[3:6]
    assert [*streaming(model, tokenizer, PROMPT, how, [mark])][-1] == written(how, stops=[mark])[0]


def test_writing_ends_when_nobody_reads_on_and_an_error_is_raised_where_it_is_read(model, tokenizer, monkeypatch):
    before = threading.active_count()
    texts = streaming(model, tokenizer, PROMPT, Writing(new_tokens=2000))
    next(texts)
    texts.close()
    assert threading.active_count() == before

    def fails(**given):
        raise RuntimeError("no memory")

    monkeypatch.setattr(model, "generate", fails)
    with pytest.raises(RuntimeError, match="no memory"):
        list(streaming(model, tokenizer, PROMPT, Writing()))


@pytest.mark.parametrize(
    "how,says",
    [
        ({"temperature": -0.1}, "temperature is -0.1; it must lie from 0 to 10"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"top_k": -1}, "top_k is -1"),
        ({"beams": 0}, "beams is 0"),
        ({"new_tokens": 0}, "new_tokens is 0; it must lie from 1 to 1,000,000"),
        ({"new_tokens": "many"}, "new_tokens is 'many'"),
        ({"beams": 2}, "beams is 2, and the text is to be seen while it is written"),
    ],
)
def test_settings_that_cannot_be_are_named(model, tokenizer, how, says):
    with pytest.raises(ConfigError, match=says):
        next(streaming(model, tokenizer, PROMPT, Writing(**how)))
    if how == {"beams": 2}:
        Writing(**how).check()


def test_eight_bits_need_a_card(tiny_model_folder):
    if torch.cuda.is_available():
        assert load_model(tiny_model_folder, "int8")[0].is_loaded_in_8bit
    else:
        with pytest.raises(Exception, match="8 bits need an NVIDIA card, and this model goes to the cpu"):
            load_model(tiny_model_folder, "int8")
