"""Trees that are read as whole texts: every text is tokenized at once, and what several begin with alike is read once.

    ids, first = text_tokens(tokenizer, start, "### Response:\\n", "A plum.", Whole())    # answers begin at ids[first]
    tokens, parents, places = trie([ids, ...])

A tokenizer may join the end of a prompt and the beginning of an answer. Pieces that are tokenized one by one then are
other tokens than those of the text, which a model reads when it writes. Where an answer begins, the offsets say. Only
where vectors stand in a prompt it is two texts, one in front of them and one behind.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from utils.engine.vectors import PLACEHOLDER, Vector
from utils.system.errors import ModelError

# A prompt: its text; or texts, with the vectors that stand between them.
Pieces = tuple[str | Vector, ...]
Token = TypeVar("Token", bound=Hashable)


@dataclass(frozen=True)
class Whole:
    """How the texts of a tree (utils/engine/prefix_tree.py) are read.

    end      whether the end-of-sequence token stands behind every answer
    prompts  whether training learns the text in front of an answer, too
    special  whether special tokens that stand in a text are read as such; else they are plain text
    """

    end: bool = False
    prompts: bool = False
    special: bool = False


def asked(root: Any) -> Iterator[tuple[Pieces, Any]]:
    """(what stands from the root of a tree to a question, the question) of each question, depth first."""
    waiting: list[tuple[Any, Pieces]] = [(root, ())]
    while waiting:
        node, before = waiting.pop()
        here = (*before, *node.vectors)
        if here and isinstance(here[-1], str):
            here = (*here[:-1], here[-1] + node.text)
        else:
            here = (*here, node.text)
        if node.question is not None:
            yield here, node.question
        waiting += [(child, here) for child in reversed(node.children)]


def prompt_tokens(tokenizer, prompt: str | Pieces, special: bool = False) -> list[Any]:
    """The token ids of a prompt as a sequence of its own. A placeholder's last token is there as the vector that it
    stands for. special: whether special tokens that stand in the text are read as such, and none is added."""
    how = {"split_special_tokens": not special, "add_special_tokens": not special}
    if isinstance(prompt, str):
        return tokenizer(prompt, **how).input_ids
    found = [] if special else [*tokenizer("").input_ids]
    for piece in prompt:
        text = PLACEHOLDER if isinstance(piece, Vector) else piece
        found += tokenizer(text, add_special_tokens=False, split_special_tokens=not special).input_ids
        found[-1:] = [piece] if isinstance(piece, Vector) else found[-1:]
    return found


def text_tokens(tokenizer, start: list[int], before: str | Pieces, answer: str, whole: Whole) -> tuple[list[Any], int]:
    """(token ids of the text `before` + `answer`, the index of the first token that holds a part of the answer). Where
    vectors stand before the answer they are among the ids, as in `prompt_tokens`, and a text is behind them.

    start  the tokens that a sequence begins with; where special tokens are read, the text has them itself

    Raises ValueError for an answer without a token and for a text without one in front of it, ModelError for a
    tokenizer that knows no offsets.
    """
    if not tokenizer.is_fast:
        raise ModelError(f"tokenizer {type(tokenizer).__name__} knows no offsets: give a model with a fast tokenizer")
    how = {"add_special_tokens": False, "split_special_tokens": not whole.special}
    *pieces, last = (before,) if isinstance(before, str) else before
    assert isinstance(last, str)
    encoded = tokenizer(last + answer, return_offsets_mapping=True, **how)
    first = next((k for k, (_, end) in enumerate(encoded.offset_mapping) if end > len(last)), None)
    begun = prompt_tokens(tokenizer, tuple(pieces), whole.special) if pieces else [] if whole.special else start
    if first is None:
        raise ValueError("an answer needs at least one token of text")
    if len(begun) + first == 0:
        raise ValueError("an answer needs a token in front of it")
    return [*begun, *encoded.input_ids] + [tokenizer.eos_token_id] * whole.end, len(begun) + first


def trie(sequences: Sequence[Sequence[Token]]) -> tuple[list[Token], list[int], list[list[int]]]:
    """Sequences of token ids as one tree, depth first: what they begin with alike is there once.

    Returns (tokens, parents, places): the token ids; the index of each one's parent, -1 where there is none; and for
    each sequence the indices of its tokens.
    """
    ids, children, walks = list[Any]([None]), [dict[Token, int]()], []
    for sequence in sequences:
        here, walk = 0, []
        for token in sequence:
            if token not in children[here]:
                children[here][token] = len(ids)
                ids.append(token)
                children.append({})
            here = children[here][token]
            walk.append(here)
        walks.append(walk)
    tokens, parents, index = [], [], {0: -1}
    waiting = [(child, 0) for child in reversed(children[0].values())]
    while waiting:
        node, above = waiting.pop()
        index[node] = len(tokens)
        tokens.append(ids[node])
        parents.append(index[above])
        waiting += [(child, node) for child in reversed(children[node].values())]
    return tokens, parents, [[index[node] for node in walk] for walk in walks]


def last_descendants(parents: list[int]) -> list[int]:
    """The index of each token's last descendant, its own for a leaf; from the index of its parent, -1 for none. Parents
    stand in front of their children."""
    last = list(range(len(parents)))
    for index in range(len(parents) - 1, 0, -1):
        if parents[index] >= 0:
            last[parents[index]] = max(last[parents[index]], last[index])
    return last
