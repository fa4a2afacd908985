"""From trees of text to rows of tokens: encoded, refused where too long, several in a row.

for group in row_plan(rows, token_budget):          # which trees share a row
    row = in_one_row([rows[i] for i in group])      # behind each other, or what they begin with alike read once
"""

import random
from bisect import bisect_left, insort
from collections import defaultdict

from utils.engine.prefix_tree import Node, Row, TreeEncoder, encode, pack
from utils.engine.whole_texts import last_descendants, trie
from utils.system.errors import TooLong, TrainingError

SHARES = 4  # a row is so many times its trunk: longer ones spare little, and attention grows with the square


def encode_trees(trees: list[Node], names: list[str], tokenizer, max_row_tokens: int, train: bool) -> list[Row]:
    """The row of each tree.

    Raises TooLong for trees of more than `max_row_tokens` tokens, naming all of them (`names`): nothing is cut.
    """
    encode = TreeEncoder(tokenizer)
    rows = [encode(tree, train) for tree in trees]
    _refuse_longer(rows, names, max_row_tokens, " with its questions")
    return rows


def longest_row(trees: list[Node], names: list[str], tokenizer, max_row_tokens: int, train: bool = False) -> int:
    """How many tokens the longest row of these trees has; 0 without trees. Raises TooLong as `encode_trees` does."""
    return max(map(len, encode_trees(trees, names, tokenizer, max_row_tokens, train)), default=0)


def _refuse_longer(rows, names, max_row_tokens, what):
    tokens = {name: len(row) for row, name in zip(rows, names, strict=True) if len(row) > max_row_tokens}
    if tokens:
        raise TooLong(tokens, max_row_tokens, what)


def check_positions(rows: list[Row], names: list[str], positions: int | None, virtual: int = 0) -> None:
    """Raises TrainingError for a row in which a path from the root, with so many `virtual` tokens in front, has more
    tokens than the model has `positions` (utils.models.attention.positions_of; None: no limit)."""
    for row, name in zip(rows, names, strict=True):
        last = virtual + max(row.positions, default=-1)
        if positions and last >= positions:
            raise TrainingError(
                f"{name}: a question stands behind up to {last} tokens, and the model has {positions} positions. Leave "
                "the conversation out, or take another model"
            )


def pack_rows(rows: list[Row], token_budget: int, seed: int) -> list[Row]:
    """Rows packed up to `token_budget` tokens, in a seeded order."""
    packed = [in_one_row([rows[i] for i in group]) for group in row_plan(rows, token_budget)]
    random.Random(seed).shuffle(packed)
    return packed


def plan_rows(lengths: list[int], token_budget: int) -> list[list[int]]:
    """Which trees share a row: lists of indices, each row at most `token_budget` tokens long (best fit, longest
    first). A tree longer than the budget gets a row to itself: nothing is ever cut."""
    rows: list[list[int]] = []
    open_rows: list[tuple[int, int]] = []  # (room left, number of the row), sorted
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        best = bisect_left(open_rows, (lengths[index], -1))
        if best < len(open_rows):
            room, number = open_rows.pop(best)
            rows[number].append(index)
        else:
            room, number = token_budget, len(rows)
            rows.append([index])
        if room > lengths[index]:
            insort(open_rows, (room - lengths[index], number))
    return rows


def row_plan(rows: list[Row], token_budget: int) -> list[list[int]]:
    """Which trees share a row, as `plan_rows` says it of those without a shared trunk.

    What trees with one trunk begin with is read once a row, so a long trunk gets rows of SHARES times its length. Rows
    that are not full then hold trees of several trunks."""
    by_trunk: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_trunk[row.trunk].append(index)
    alone = by_trunk.pop((), [])
    groups, lengths = [], []
    for trunk, its in by_trunk.items():
        own = {index: len(rows[index]) - len(trunk) for index in its}
        room = max(token_budget, SHARES * len(trunk)) - len(trunk)
        groups += (here := [[its[k] for k in group] for group in plan_rows([*own.values()], room)])
        lengths += [len(trunk) + sum(own[index] for index in group) for group in here]
    together = [[index for k in some for index in groups[k]] for some in plan_rows(lengths, token_budget)]
    return [[alone[k] for k in group] for group in plan_rows([len(rows[i]) for i in alone], token_budget)] + together


def in_one_row(rows: list[Row]) -> Row:
    """Several rows of `row_plan` as one, no tree of which sees another: `joined` where they have a trunk, else behind
    each other."""
    return joined(rows) if rows[0].trunk else pack(rows)


def joined(rows: list[Row]) -> Row:
    """Several rows as one in which tokens with the same path from the root stand once: the trees' common beginnings,
    which every tree then sees as its own. Targets that fall together count as often as before. Raises ValueError for
    rows with vectors: their placeholders are one token, and stand for different things."""
    if any(row.vectors for row in rows):
        raise ValueError("rows with vectors cannot be joined: their trees share no trunk")
    paths = [(number, path) for number, row in enumerate(rows) for path in _paths(row)]
    tokens, parents, places = trie([[rows[number].input_ids[k] for k in path] for number, path in paths])
    index: list[dict[int, int]] = [{} for _ in rows]  # {index of a token in its row: in the new one}
    for (number, path), place in zip(paths, places):
        index[number].update(zip(path, place))
    found = Row(tokens, last=last_descendants(parents))
    for parent in parents:
        found.positions.append(found.positions[parent] + 1 if parent >= 0 else 0)
    for row, here in zip(rows, index):
        found.targets += [(here[k], token) for k, token in row.targets]
        found.weights += row.weights
        found.answers += [[[(here[k], token) for k, token in answer] for answer in one] for one in row.answers]
    return found


def _paths(row: Row) -> list[list[int]]:
    """The indices from the root to each leaf."""
    found, above = [], list[int]()
    for index, last in enumerate(row.last):
        while above and row.last[above[-1]] < index:
            above.pop()
        above.append(index)
        if last == index:
            found.append([*above])
    return found


def text_rows(texts: list[str], names: list[str], tokenizer, max_row_tokens: int) -> list[Row]:
    """The row of each text, every token of which predicts the next: what a language model is pretrained on.

    Raises TooLong for texts of more than `max_row_tokens` tokens, naming them (`names`).
    """
    rows = []
    for text in texts:
        tokens = list(tokenizer("").input_ids) + encode(tokenizer, text)
        end = len(tokens) - 1
        targets = list(enumerate(tokens[1:]))
        rows.append(Row(tokens, list(range(end + 1)), [end] * (end + 1), targets, [1.0] * len(targets)))
    _refuse_longer(rows, names, max_row_tokens, "")
    return rows
