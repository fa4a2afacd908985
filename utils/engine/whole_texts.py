"""Trees that are read as whole texts: every text is tokenized at once, and what several begin with alike is read once.

    ids, first = text_tokens(tokenizer, start, "### Response:\\n", "A plum.", Whole())    # answers begin at ids[first]
    tokens, parents, places = trie([ids, ...])

A tokenizer may join the end of a prompt and the beginning of an answer. Pieces that are tokenized one by one then are
other tokens than those of the text, which a model reads when it writes. Where an answer begins, the offsets say.
"""

from dataclasses import dataclass

from utils.system.errors import ModelError


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


def text_tokens(tokenizer, start: list[int], before: str, answer: str, whole: Whole) -> tuple[list[int], int]:
    """(token ids of the text `before` + `answer`, the index of the first token that holds a part of the answer).

    start  the tokens that a sequence begins with; where special tokens are read, the text has them itself

    Raises ValueError for an answer without a token and for a text without one in front of it, ModelError for a
    tokenizer that knows no offsets.
    """
    if not tokenizer.is_fast:
        raise ModelError(f"tokenizer {type(tokenizer).__name__} knows no offsets: give a model with a fast tokenizer")
    how = {"add_special_tokens": False, "split_special_tokens": not whole.special}
    encoded = tokenizer(before + answer, return_offsets_mapping=True, **how)
    first = next((k for k, (_, end) in enumerate(encoded.offset_mapping) if end > len(before)), None)
    start = [] if whole.special else start
    if first is None:
        raise ValueError("an answer needs at least one token of text")
    if len(start) + first == 0:
        raise ValueError("an answer needs a token in front of it")
    return start + encoded.input_ids + [tokenizer.eos_token_id] * whole.end, len(start) + first


def trie(sequences: list[list[int]]) -> tuple[list[int], list[int], list[list[int]]]:
    """Sequences of token ids as one tree, depth first: what they begin with alike is there once.

    Returns (tokens, parents, places): the token ids; the index of each one's parent, -1 where there is none; and for
    each sequence the indices of its tokens.
    """
    ids, children, walks = [-1], [dict[int, int]()], []
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
