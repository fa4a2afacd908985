"""Several trees as one: what begins alike is there once, and every question finds its way back.

python -m pytest tests/engine/test_branches.py
"""

import random

import pytest
from helpers import nodes, questions

from utils.engine.branches import apart, merged
from utils.engine.prefix_tree import Node, Question, chain

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
