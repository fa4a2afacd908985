"""From trees of text to rows of tokens: encoded, refused where too long, packed."""

import random
from bisect import bisect_left, insort

from utils.engine.prefix_tree import Node, Row, TreeEncoder, encode, pack
from utils.system.errors import TooLong, TrainingError


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


def pack_rows(rows: list[Row], token_budget: int, seed: int) -> list[Row]:
    """Rows packed behind each other up to `token_budget` tokens, in a seeded order."""
    packed = [pack([rows[i] for i in group]) for group in plan_rows([len(r) for r in rows], token_budget)]
    random.Random(seed).shuffle(packed)
    return packed


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
