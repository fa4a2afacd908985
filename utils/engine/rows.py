"""From trees of text to rows of tokens: encoded, refused where too long, packed."""

import random

from utils.engine.prefix_tree import Node, Row, TreeEncoder, encode, pack, plan_rows, render
from utils.system.errors import TrainingError


def encode_trees(trees: list[Node], names: list[str], tokenizer, max_row_tokens: int, train: bool) -> list[Row]:
    """The row of each tree.

    Raises TrainingError for a tree of more than `max_row_tokens` tokens, naming it (`names`): nothing is cut.
    """
    encode = TreeEncoder(tokenizer)
    rows = [encode(tree, train) for tree in trees]
    _refuse_longer(rows, names, max_row_tokens, " with its questions")
    return rows


def longest_row(trees: list[Node], tokenizer, train: bool = False) -> int:
    """How many tokens the row of the longest tree (by its characters) has; 0 without trees."""
    longest = max(trees, key=lambda tree: len(render(tree)), default=None)
    return 0 if longest is None else len(TreeEncoder(tokenizer)(longest, train))


def _refuse_longer(rows, names, max_row_tokens, what):
    for row, name in zip(rows, names, strict=True):
        if len(row) > max_row_tokens:
            raise TrainingError(
                f"{name}: {len(row)} tokens{what}, and a row holds at most {max_row_tokens}. "
                f"Raise the parameter max_row_tokens to {len(row)} or more, or leave the conversation out"
            )


def check_positions(rows: list[Row], names: list[str], positions: int | None) -> None:
    """Raises TrainingError for a row in which a path from the root has more tokens than the model has `positions`
    (utils.models.attention.positions_of; None: no limit)."""
    for row, name in zip(rows, names, strict=True):
        if positions and max(row.positions, default=-1) >= positions:
            raise TrainingError(
                f"{name}: a question stands behind up to {max(row.positions)} tokens, and the model has {positions} "
                "positions. Leave the conversation out, or take another model"
            )


def pack_rows(rows: list[Row], token_budget: int, seed: int) -> list[Row]:
    """Rows packed behind each other up to `token_budget` tokens, in a seeded order."""
    packed = [pack([rows[i] for i in group]) for group in plan_rows([len(r) for r in rows], token_budget)]
    random.Random(seed).shuffle(packed)
    return packed


def text_rows(texts: list[str], names: list[str], tokenizer, max_row_tokens: int) -> list[Row]:
    """The row of each text, every token of which predicts the next: what a language model is pretrained on.

    Raises TrainingError for a text of more than `max_row_tokens` tokens, naming it (`names`).
    """
    rows = []
    for text in texts:
        tokens = list(tokenizer("").input_ids) + encode(tokenizer, text)
        end = len(tokens) - 1
        targets = list(enumerate(tokens[1:]))
        rows.append(Row(tokens, list(range(end + 1)), [end] * (end + 1), targets, [1.0] * len(targets)))
    _refuse_longer(rows, names, max_row_tokens, "")
    return rows
