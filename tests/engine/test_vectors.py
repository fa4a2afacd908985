"""Vectors in rows: which answers stand behind each.

python -m pytest tests/engine/test_vectors.py
"""

import numpy as np
from filmed import filmed, made_stream

from utils.config import Config
from utils.engine.prefix_tree import TreeEncoder, encode
from utils.engine.vectors import answered
from utils.tasks.senses import sensing


def test_behind_a_vector_stand_the_answers_about_its_line(conversations, tokenizer):
    items = [filmed({**c, "conversation_ID": number}) for number, c in enumerate(conversations)]
    voice = made_stream("voice", items, 3, most=3)
    task = sensing(Config(streams="voice", stream_tokens=2).task("emotion"), {"voice": voice})
    found = answered([TreeEncoder(tokenizer)(task.tree(c, train=True), train=True) for c in items])
    assert [*found] == [("voice", 0), ("voice", 1)]
    there = [(voice.of(u), u["emotion"]) for c in items for u in c["conversation"]]
    there = [(array, emotion) for array, emotion in there if array is not None]
    for slot, end in ((0, lambda rows: rows[: -(-len(rows) // 2)]), (1, lambda rows: rows[len(rows) // 2 :])):
        values, shares = found["voice", slot]
        assert np.allclose(values, [end(array).mean(0) for array, _ in there], atol=1e-6)
        for one, (_, emotion) in zip(shares, there, strict=True):
            tokens = encode(tokenizer, f" {emotion}")
            assert {*one} == {*tokens} and abs(sum(one.values()) - 1) < 1e-9


def test_a_causes_vector_has_all_answers_about_its_line(conversations, tokenizer):
    item = filmed({**conversations[0], "conversation_ID": 0})
    voice = made_stream("voice", [item], 3)
    task = sensing(Config(streams="voice").task("cause"), {"voice": voice})
    row = TreeEncoder(tokenizer)(task.tree(item, train=True), train=True)
    _, shares = answered([row])["voice", 0]
    assert 0 < len(shares) <= len(voice.vectors)
    answers = {*encode(tokenizer, " yes"), *encode(tokenizer, " no")}
    assert all({*one} <= answers and abs(sum(one.values()) - 1) < 1e-9 for one in shares)
