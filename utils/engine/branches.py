"""Several trees about one item as one tree: what they begin with alike is read once, the rest is branches.

tree, places = merged([tree_of(wording) for wording in wordings])
scores = apart(score(tree), places, len(wordings))       # for each of the trees, the scores of its questions
shared(trees, encode, max_row_tokens)                    # the same, where one row would be too long to be fast

The questions of one tree do not see those of another one, so each is answered as in its own tree, to rounding;
tests/promises/test_parity_of_wordings.py holds the two equal.
"""

from utils.engine.prefix_tree import Node, TreeEncoder

# Attention costs a token as much as everything else does where it sees so many others. With SmolLM2-135M on a CPU it is
# about 2,900 (benchmarks/speed/wordings.py: seconds of a row of 4,200 tokens and of one of 790), and more with larger
# models.
EVEN = 3000


def merged(trees: list[Node]) -> tuple[Node, list[list[tuple[int, int]]]]:
    """(the tree, for each of its questions, in its order, the places that it answers).

    A place is (number of the tree, number of the question in it), both from 0. Nodes merge where all texts from the
    root on are equal, and the questions and vectors there. Raises ValueError for trees whose roots differ.
    """
    numbered = [_numbered(tree) for tree in trees]
    first = trees[0]
    if any((*_here(tree), tree.whole) != (*_here(first), first.whole) for tree in trees):
        raise ValueError("trees that do not begin alike cannot be merged")
    root = Node(trees[0].text, trees[0].question, whole=trees[0].whole)
    places: list[list[tuple[int, int]]] = []
    waiting = [(root, list(enumerate(trees)))]
    while waiting:  # depth first, as rows are encoded
        node, sources = waiting.pop()
        if node.question is not None:
            places.append([(number, numbered[number][id(source)]) for number, source in sources])
        below: list[tuple[Node, list[tuple[int, Node]]]] = []
        for number, source in sources:
            for child in source.children:
                same = [(one, of) for one, of in below if _here(one) == _here(child)]
                # Of one tree no two nodes merge: their questions are two.
                same = [(one, of) for one, of in same if all(other != number for other, _ in of)]
                if not same:
                    same = [(Node(child.text, child.question, vectors=child.vectors), [])]
                    below += same
                same[0][1].append((number, child))
        node.children = [one for one, _ in below]
        waiting += reversed(below)
    return root, places


def _here(node: Node) -> tuple:
    """What a node has of its own: nodes merge where it is equal."""
    return node.text, node.question, node.vectors


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


def shared(trees: list[Node], encode: TreeEncoder, limit: int) -> list[tuple[list[int], Node, list]]:
    """The trees as few merged ones: (numbers of the trees, `merged` of these) for each.

    All are one, unless its row would have more than `limit` tokens, or be so long that its attention takes longer than
    reading the common beginning several times: every token of a row sees up to all others, so the time grows with the
    square. Then they are shared out evenly. A tree alone may be longer than `limit`.
    """
    count = len(trees)
    whole = len(encode(merged(trees)[0], False))
    alone = sum(len(encode(tree, False)) for tree in trees)
    common = (alone - whole) / max(count - 1, 1)

    def seconds(groups):
        tokens = common + (whole - common) / groups
        return groups * tokens * (1 + tokens / EVEN)

    possible = [n for n in range(1, count + 1) if common + (whole - common) / n <= limit]
    groups = min(possible, key=seconds, default=count)
    while True:
        starts = [count * n // groups for n in range(groups + 1)]
        parts = [[*range(start, end)] for start, end in zip(starts, starts[1:])]
        found = [(numbers, *merged([trees[number] for number in numbers])) for numbers in parts]
        # Wordings are not equally long, so an even share may still be too long.
        if groups == count or all(len(encode(tree, False)) <= limit for _, tree, _ in found):
            return found
        groups += 1
