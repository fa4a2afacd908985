"""Several trees as one: what begins alike is there once, and every question finds its way back.

python -m pytest tests/engine/test_branches.py
"""

import random

import pytest
from helpers import nodes, questions

from utils.engine.branches import apart, merged, shared
from utils.engine.prefix_tree import Node, Question, TreeEncoder, chain

YES_NO = (" no", " yes")


def asking(*texts, of=" a"):
    return chain("Root", ["one", "two"], {0: [Node(of)], 1: [Node(text, Question(YES_NO)) for text in texts]})


def test_equal_beginnings_are_there_once_and_questions_keep_their_places():
    tree, places = merged([asking(" x?", " y?"), asking(" z?"), asking(" y?", of=" b")])
    assert [node.text for node in nodes(tree)] == ["Root", "\none", " a", "\ntwo", " x?", " y?", " z?", " b"]
    assert places == [[(0, 0)], [(0, 1), (2, 0)], [(1, 0)]], "an equal question is asked once, and answers both"
    assert apart(["X", "Y", "Z"], places, 3) == [["X", "Y"], ["Z"], ["Y"]]


def test_questions_that_differ_stay_two_and_so_do_two_of_one_tree():
    one, other = (
        Node("Root", None, [Node(" x?", Question(YES_NO))]),
        Node("Root", None, [Node(" x?", Question((" a", " b")))]),
    )
    tree, places = merged([one, other])
    assert len(questions(tree)) == 2 and places == [[(0, 0)], [(1, 0)]]
    twice = Node("Root", None, [Node(" x?", Question(YES_NO)), Node(" x?", Question(YES_NO))])
    tree, places = merged([twice, twice])
    assert len(questions(tree)) == 2 and places == [[(0, 0), (1, 0)], [(0, 1), (1, 1)]]


def test_trees_that_do_not_begin_alike_are_refused():
    with pytest.raises(ValueError, match="do not begin alike"):
        merged([Node("a"), Node("b")])


@pytest.mark.parametrize("seed", range(20))
def test_every_path_of_every_tree_is_in_the_merged_one(seed):
    rng = random.Random(seed)

    def grown(depth):
        question = Question(YES_NO) if rng.random() < 0.5 else None
        return Node(rng.choice("ab"), question, [grown(depth - 1) for _ in range(rng.randint(0, 3) if depth else 0)])

    def paths(node, before=()):
        here = (*before, node.text)
        found = [here] if node.question else []
        return found + [path for child in node.children for path in paths(child, here)]

    trees = [Node("root", None, [grown(3) for _ in range(2)]) for _ in range(4)]
    tree, places = merged(trees)
    assert apart(paths(tree), places, 4) == [paths(one) for one in trees]
    assert len(paths(tree)) <= sum(len(paths(one)) for one in trees)


def test_a_deep_chain_needs_no_recursion():
    deep = [chain("Root", ["line"] * 5000, {4999: [Node(f" {name}?", Question(YES_NO))]}) for name in "xy"]
    tree, places = merged(deep)
    assert len([*nodes(tree)]) == 5003 and places == [[(0, 0)], [(1, 0)]]


# ---- how many rows ------------------------------------------------------------------------------------------------


def numbered(tokenizer, lines, questions, count):
    text = [f"line {k} of a conversation that is a little long" for k in range(lines)]
    branches = [
        {lines - 1: [Node(f" question {n} {k} in words?", Question(YES_NO)) for k in range(questions)]}
        for n in range(count)
    ]
    return [chain("Root", text, one) for one in branches], TreeEncoder(tokenizer)


@pytest.mark.parametrize(
    ("lines", "questions", "limit"), [(40, 2, 10_000), (40, 2, 300), (2, 40, 10_000), (2, 40, 500)]
)
def test_all_are_one_row_unless_that_is_too_long_or_slower_than_several(tokenizer, lines, questions, limit):
    trees, encode = numbered(tokenizer, lines, questions, 12)
    found = shared(trees, encode, limit)
    assert [number for numbers, _, _ in found for number in numbers] == [*range(12)]
    longest = max(len(encode(tree, False)) for tree in trees)
    lengths = [len(encode(tree, False)) for _, tree, _ in found]
    assert max(lengths) <= max(limit, longest)
    for numbers, tree, places in found:
        assert (tree, places) == merged([trees[number] for number in numbers])
    if (lines, limit) == (40, 10_000):
        assert len(found) == 1, "the text outweighs the questions"
    if questions == 40:
        assert len(found) > 1, "the questions outweigh the text"


def test_a_tree_that_is_too_long_alone_stays_alone(tokenizer):
    trees, encode = numbered(tokenizer, 20, 2, 3)
    assert [numbers for numbers, _, _ in shared(trees, encode, 1)] == [[0], [1], [2]]
    assert len(shared(trees[:1], encode, 1)) == 1
