"""Trees whose texts are tokenized as one: every path is its text's own tokens, and what texts share is there once.

python -m pytest tests/engine/test_whole_texts.py
"""

import random

import pytest

from utils.engine.prefix_tree import Node, Question, TreeEncoder, encode, paths
from utils.engine.whole_texts import Whole, text_tokens, trie

ANSWERS = ("ame", " joy", "ul answer, with é 123")


def joined(tokenizer):
    """Two pieces whose tokens alone are others than those of their text."""
    for before in ("His n", "The c", "I th", "We w", "It is s"):
        for answer in ("ame", "ing", "ink", "ould", "he"):
            apart = encode(tokenizer, before) + encode(tokenizer, answer)
            if apart != encode(tokenizer, before + answer):
                return before, answer
    raise AssertionError("the tokenizer joins nothing")


def test_a_trie_keeps_every_sequence_and_shares_beginnings():
    rng = random.Random(3)
    for _ in range(200):
        sequences = [rng.choices(range(3), k=rng.randint(1, 6)) for _ in range(rng.randint(1, 8))]
        tokens, parents, places = trie(sequences)
        beginnings = {tuple(one[:end]) for one in sequences for end in range(1, len(one) + 1)}
        assert len(tokens) == len(beginnings), "each beginning is there once"
        for sequence, walk in zip(sequences, places, strict=True):
            assert [tokens[k] for k in walk] == sequence
            assert [parents[k] for k in walk] == [-1, *walk[:-1]]
        assert all(parent < index for index, parent in enumerate(parents))


def test_the_tokens_are_those_of_the_whole_text(tokenizer):
    before, answer = joined(tokenizer)
    ids, first = text_tokens(tokenizer, [1], before, answer, Whole(end=True))
    assert ids == [1, *encode(tokenizer, before + answer), tokenizer.eos_token_id]
    seen = tokenizer.decode(ids[1:first])
    assert before.startswith(seen) and len(seen) < len(before), "the token that holds both is the answer's first"


def test_special_tokens_are_read_where_that_is_asked(tokenizer):
    text, mark = "<|im_start|>a", tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert mark not in text_tokens(tokenizer, [0], text, " b", Whole())[0]
    ids, first = text_tokens(tokenizer, [1], text, " b<|im_end|>", Whole(special=True))
    assert ids[0] == mark and ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids[first:]) == " b<|im_end|>"


@pytest.mark.parametrize("end", [False, True], ids=["open", "ended"])
def test_every_path_of_a_tree_is_its_text(tokenizer, end):
    before, answer = joined(tokenizer)
    answers = (answer, " joy", f"{answer}x y" if end else "other words")  # one may begin another where it ends
    tree = Node("", None, [Node(before, Question(answers[1:])), Node("Some others\n", Question(answers))], Whole(end))
    row = TreeEncoder(tokenizer)(tree, train=False)
    start = tokenizer("").input_ids
    for text, allowed, targets in zip((before, "Some others\n"), (answers[1:], answers), row.answers, strict=True):
        begins = []
        for one, its in zip(allowed, targets, strict=True):
            whole = start + encode(tokenizer, text + one) + [tokenizer.eos_token_id] * end
            found = paths(row, its)
            begins.append(len(found[0][0]))
            assert found == [(whole[:k], whole[k]) for k in range(begins[-1], len(whole))]
        assert len({*begins}) == 1, "answers are compared from one place on"


def test_what_training_learns(tokenizer):
    texts = [("The question\n", " joy"), ("The question\n", " fear"), ("The other\n", " joy")]
    start = tokenizer("").input_ids
    for prompts in (False, True):
        tree = Node("The ", None, whole=Whole(True, prompts))
        tree.children = [Node(before[4:], Question((answer,), answer)) for before, answer in texts]
        row = TreeEncoder(tokenizer)(tree, train=True)
        wanted: dict[tuple, float] = {}
        for before, answer in texts:
            whole = start + encode(tokenizer, before + answer) + [tokenizer.eos_token_id]
            first = 1 if prompts else len(start) + len(encode(tokenizer, before))
            for k in range(first, len(whole)):
                key = tuple(whole[:k]), whole[k]
                wanted[key] = wanted.get(key, 0.0) + 1
        found = [(tuple(seen), token) for seen, token in paths(row, row.targets)]
        assert dict(zip(found, row.weights, strict=True)) == wanted and len({*found}) == len(found)


def test_what_cannot_be_asked_is_refused(tokenizer):
    for tree, message in (
        (Node("a", Question(("",)), whole=Whole()), "at least one token of text"),
        (Node("", Question(("a",)), whole=Whole(special=True)), "needs a token in front"),
        (Node("a\n", Question(("1", "12")), whole=Whole()), "begins answer"),
    ):
        with pytest.raises(ValueError, match=message):
            TreeEncoder(tokenizer)(tree, train=False)
    ended = Node("a\n", Question(("1", "12")), whole=Whole(end=True))
    assert len(TreeEncoder(tokenizer)(ended, train=False).answers) == 1
    assert len(TreeEncoder(tokenizer)(Node("a\n", whole=Whole()), train=False)) == 0, "nothing is asked"
