"""Several trees about one item as one tree: what they begin with alike is read once, the rest is branches.

tree, places = merged([tree_of(wording) for wording in wordings])
scores = apart(score(tree), places, len(wordings))       # for each of the trees, the scores of its questions

The questions of one tree do not see those of another one, so each is answered as in its own tree, to rounding;
tests/promises/test_parity_of_wordings.py holds the two equal.
"""

from utils.engine.prefix_tree import Node


def merged(trees: list[Node]) -> tuple[Node, list[list[tuple[int, int]]]]:
    """(the tree, for each of its questions, in its order, the places that it answers).

    A place is (number of the tree, number of the question in it), both from 0. Nodes merge where all texts from the
    root on are equal, and the questions behind them. Raises ValueError for trees whose roots differ.
    """
    numbered = [_numbered(tree) for tree in trees]
    if any((tree.text, tree.question) != (trees[0].text, trees[0].question) for tree in trees):
        raise ValueError("trees that do not begin alike cannot be merged")
    root = Node(trees[0].text, trees[0].question)
    places: list[list[tuple[int, int]]] = []
    waiting = [(root, list(enumerate(trees)))]
    while waiting:  # depth first, as rows are encoded
        node, sources = waiting.pop()
        if node.question is not None:
            places.append([(number, numbered[number][id(source)]) for number, source in sources])
        below: list[tuple[Node, list[tuple[int, Node]]]] = []
        for number, source in sources:
            for child in source.children:
                same = [(one, of) for one, of in below if (one.text, one.question) == (child.text, child.question)]
                # Of one tree no two nodes merge: their questions are two.
                same = [(one, of) for one, of in same if all(other != number for other, _ in of)]
                if not same:
                    same = [(Node(child.text, child.question), [])]
                    below += same
                same[0][1].append((number, child))
        node.children = [one for one, _ in below]
        waiting += reversed(below)
    return root, places


def _numbered(tree: Node) -> dict[int, int]:
    """{id of a node: number of its question}, depth first."""
    found, waiting = {}, [tree]
    while waiting:
        node = waiting.pop()
        if node.question is not None:
            found[id(node)] = len(found)
        waiting += reversed(node.children)
    return found


def apart(scores: list, places: list[list[tuple[int, int]]], count: int) -> list[list]:
    """For each of `count` trees what the questions of the merged one found, in the order of its own."""
    found: list[dict] = [{} for _ in range(count)]
    for one, answered in zip(scores, places, strict=True):
        for number, question in answered:
            found[number][question] = one
    return [[of[question] for question in sorted(of)] for of in found]
