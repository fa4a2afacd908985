"""From trees to rows: encoded, none too long, packed. Without a trainer, so that inference need not load one."""

import random

from utils.prefix_tree import Node, Row, TreeEncoder, encode, pack, plan_rows


class TrainingError(ValueError):
    """Data that cannot be trained on or asked about: the message says which and what to do."""


def encode_trees(trees: list[Node], names: list[str], tokenizer, max_row_tokens: int, train: bool) -> list[Row]:
    """The row of each tree.

    Raises TrainingError for a tree of more than `max_row_tokens` tokens, naming it (`names`): nothing is cut.
    """
    encode = TreeEncoder(tokenizer)
    rows = []
    for tree, name in zip(trees, names, strict=True):
        row = encode(tree, train)
        if len(row) > max_row_tokens:
            raise TrainingError(
                f"{name}: {len(row)} tokens with its questions, and a row holds at most {max_row_tokens}. "
                f"Raise the parameter max_row_tokens to {len(row)} or more, or leave the conversation out"
            )
        rows.append(row)
    return rows


def pack_rows(rows: list[Row], token_budget: int, seed: int) -> list[Row]:
    """Rows packed behind each other up to `token_budget` tokens, in a seeded order."""
    packed = [pack([rows[i] for i in group]) for group in plan_rows([len(r) for r in rows], token_budget)]
    random.Random(seed).shuffle(packed)
    return packed


def text_rows(texts: list[str], tokenizer) -> list[Row]:
    """The row of each text, every token of which predicts the next: what a language model is pretrained on."""
    rows = []
    for text in texts:
        tokens = list(tokenizer("").input_ids) + encode(tokenizer, text)
        end = len(tokens) - 1
        rows.append(Row(tokens, list(range(end + 1)), [end] * (end + 1), list(enumerate(tokens[1:]))))
    return rows


def names_of(conversations: list[dict]) -> list[str]:
    """What messages call the conversations."""
    return [f"conversation {c['conversation_ID']}" for c in conversations]
