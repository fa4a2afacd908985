"""Texts with words replaced: which words, how they are chosen, what is marked.

python -m pytest tests/tasks/test_augment.py
"""

import re

import pytest

from utils.data.opinion_splits import normal
from utils.data.topics import Topic
from utils.models.load import load_model
from utils.tasks.augment import SHARE, augmented

STADIUM = Topic.read("new-stadium")


def texts(*said):
    opinion = {STADIUM.name: {"relevant": True, "score": 1.0, "given": {"ana": 1.0}}}
    return [{"text_ID": k, "text": text, "opinions": opinion} for k, text in enumerate(said, 1)]


SAID = texts(
    'The new stadium never brought "joy" to people here, and nobody wants another one; think about money!',
    "Where should children play their games\n when winter comes round again?",
    "No, no. I am at it.",
)


@pytest.fixture(scope="module")
def tiny(tiny_model_folder):
    return load_model(tiny_model_folder, precision="float32")


def made(tiny, sources, known=SAID, seed=42):
    return augmented(sources, known, [STADIUM], *tiny, seed)


def test_some_words_are_replaced_and_the_rest_stays(tiny):
    variants, without = made(tiny, [SAID[0], SAID[1], SAID[1], SAID[2]])
    assert without == [SAID[2]], "none of its words has four letters"
    assert [one["augmented"]["from"] for one in variants] == [1, 2, 2]
    assert [one["text_ID"] for one in variants] == ["1+1", "2+1", "2+2"]
    for one in variants:
        source = SAID[one["augmented"]["from"] - 1]
        old, new = source["text"].split(), one["text"].split()
        changed = [[a, b] for a, b in zip(old, new, strict=True) if a != b]
        bare = [[re.sub(r"\W", "", word) for word in pair] for pair in changed]
        assert bare == one["augmented"]["replaced"] and 1 <= len(bare) <= -(-len(old) // SHARE)
        for before, after in bare:
            assert len(before) >= 4 <= len(after) and before.lower() not in ("never", "nobody", "stadium")
            assert before[0].isupper() == after[0].isupper() and before.lower() != after.lower()
        assert one["opinions"] == {STADIUM.name: {"relevant": True, "score": 1.0}}, "annotators said it of the original"


def test_variants_are_new_and_the_same_again(tiny):
    many = [SAID[1]] * 15
    variants, without = made(tiny, many)
    words = [normal(one["text"]) for one in variants]
    assert len({*words}) == len(words) and normal(SAID[1]["text"]) not in words
    assert len(variants) + len(without) == 15 and len(variants) > 5
    assert made(tiny, many) == (variants, without) and made(tiny, many, seed=7)[0] != variants
    known = [*SAID, *variants]
    again, _ = made(tiny, many, known)
    assert not {normal(one["text"]) for one in again} & {*words}, "of no text of any split"
    assert not {one["text_ID"] for one in again} & {one["text_ID"] for one in known}


def test_the_word_is_one_of_the_three_likeliest_with_what_follows(tiny, tokenizer):
    """Of the replaced word, the whole text's probability beats that of most other proposals."""
    import torch

    model = tiny[0]
    (variant,), _ = made(tiny, [SAID[1]])
    old, new = variant["augmented"]["replaced"][0]

    def likely(text):
        ids = tokenizer(f"Text: {text}\n", return_tensors="pt").input_ids
        with torch.no_grad():
            logs = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        return logs.gather(1, ids[0, 1:, None]).sum().item()

    first = " ".join(SAID[1]["text"].split()).replace(old, new, 1)
    others = [first.replace(new, word, 1) for word in ("that", "what", "this", "with", "your", "have", "just", "know")]
    assert sum(likely(first) >= likely(other) for other in others) >= 4
