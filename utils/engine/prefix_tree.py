"""One conversation, one forward pass: a prefix and its questions as one row of tokens with a tree mask.

    row       = prefix + question 1 + answer 1 + question 2 + answer 2 + ...   (several trees may share a row)
    positions = count on from the parent's end in every branch
    mask      = a token sees its ancestors and the earlier tokens of its own branch, nothing else
    targets   = answer tokens, each predicted at the token before it on its own path

Every path from the root to a leaf sees exactly what it would see as a sequence of its own, so loss, gradients
and log-probabilities are those of the one-sequence-a-question form, to rounding; `paths` gives that form, and
tests/promises/test_parity.py holds the two equal. Nothing here knows of emotions or causes.

A row stores its tokens in depth-first order, so the descendants of a token are the ones right behind it, and
the whole mask follows from one number a token: the index of its last descendant.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from utils.engine.vectors import PLACEHOLDER, Placed, Vector, vector_inputs
from utils.engine.whole_texts import Whole, asked, last_descendants, text_tokens, trie
from utils.system.errors import TrainingError


@dataclass
class Question:
    """What is asked behind a node's text: the answers that are allowed, and (in training) the right one.

    gold  an answer; or {answer: weight}, several of them or one that counts more: the loss is the sum of weight times
          -log P(answer)

    Without answers it is a head's (utils/engine/head.py), and gold is {output: value}.
    """

    answers: tuple[str, ...]
    gold: str | dict[str, float] | dict[int, float] | None = None


@dataclass
class Node:
    """A piece of text, at most one question behind it, and what branches off behind it.

    whole    of a root: every text from it to an answer is tokenized as one; None: each piece by itself, which is faster
    vectors  what placeholders in front of the text stand for; none in front of a root
    shared   whether other trees have this piece, and what is above it, too: a row reads it once (utils/engine/rows.py)
    """

    text: str
    question: Question | None = None
    children: list["Node"] = field(default_factory=list)
    whole: Whole | None = None
    vectors: tuple[Vector, ...] = ()
    shared: bool = False


def chain(
    instruction: str, lines: list[str], branches: dict[int, list[Node]], vectors: Sequence[tuple[Vector, ...]] = ()
) -> Node:
    """A tree whose trunk is `lines` behind `instruction`, a line each; `branches[k]` branch off behind line k
    (from 0). Lines behind the last branch are left out: no question would see them. `vectors` stand behind lines."""
    root = end = Node(instruction)
    for number in range(max(branches, default=-1) + 1):
        for here in [Node(f"\n{lines[number]}")] + [Node("", vectors=v) for v in vectors[number : number + 1] if v]:
            end.children.append(here)
            end = here
        end.children += branches.get(number, [])
    return root


@dataclass
class Row:
    """A tree, or several, as tokens. Lists are as long as the row, but for targets, weights and answers.

    input_ids  token ids
    positions  position of each token on its path, from 0
    last       index of each token's last descendant (its own index for a leaf)
    targets    (index, token id): the token at `index` must predict `token id`
    weights    how much each target counts in the loss, one a target
    answers    for each question, for each allowed answer, its [(index, token id), ...]; empty in training
    vectors    (index, what the token there stands for), of the placeholders
    trunk      of one tree: the tokens of its `shared` nodes
    """

    input_ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    targets: list[tuple[int, int]] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    answers: list[list[list[tuple[int, int]]]] = field(default_factory=list)
    vectors: Placed = field(default_factory=list)
    trunk: tuple[int, ...] = ()

    def __len__(self):
        return len(self.input_ids)


def encode(tokenizer, text: str) -> list[int]:
    """Token ids of `text` alone. Text that looks like a special token (`<|im_end|>`) stays plain text."""
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids


def answer_tokens(tokenizer, answers) -> list[list[int]]:
    """Token ids of each answer.

    Raises ValueError where one answer's tokens begin another's: their probabilities could not be compared.
    """
    encoded = [encode(tokenizer, answer) for answer in answers]
    _check_beginnings(answers, encoded)
    return encoded


def _check_beginnings(answers, encoded: list[list[int]]) -> None:
    for i, one in enumerate(encoded):
        for j, other in enumerate(encoded):
            if i != j and other[: len(one)] == one:
                raise TrainingError(f"answer {answers[i]!r} begins answer {answers[j]!r}; choose other answer words")


class TreeEncoder:
    """Turns trees of text into rows; remembers the token ids of answers, which come again and again."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.start = list(tokenizer("").input_ids)  # the begin-of-sequence token, where the model wants one
        self._answers, self._placeholder = {}, encode(tokenizer, PLACEHOLDER)

    def __call__(self, root: Node, train: bool) -> Row:
        """The row of one tree. In training the gold answers are targets, otherwise every allowed answer is.

        Raises ValueError for a node without a token, for a gold answer that is not allowed, and for weights that are
        not above zero.
        """
        if root.whole:
            return self._whole(root, root.whole, train)
        row, parents, waiting = Row(), [], [(root, -1)]
        while waiting:  # depth first, without recursion: a chain is as deep as a conversation is long
            node, parent = waiting.pop()
            tokens = encode(self.tokenizer, node.text)
            if parent < 0:
                tokens = self.start + tokens
            if not tokens and not node.vectors:
                raise ValueError("a node of a prefix tree needs at least one token of text, or a vector")
            for vector in node.vectors:
                parent = _append(row, parents, self._placeholder, parent)
                row.vectors.append((parent, vector))
            end = _append(row, parents, tokens, parent)
            row.trunk += tuple(tokens) if node.shared else ()
            if node.question is not None and not node.question.answers:
                _append_head(row, node.question, end, train)
            elif node.question is not None:
                encoded = self._tokens(node.question.answers)
                if train:
                    _append_gold(row, parents, encoded, node.question, end)
                else:
                    row.answers.append(_append_answers(row, parents, encoded, end))
            waiting += [(child, end) for child in reversed(node.children)]
        row.last = last_descendants(parents)
        return row

    def _whole(self, root: Node, how: Whole, train: bool) -> Row:
        """The row of a tree whose texts are tokenized as one. Where the answers to a question begin with other tokens,
        since the tokenizer joins them with the text in front, they are compared from the first of these on."""
        questions = list(asked(root))
        answers = [_gold(one) if train else dict.fromkeys(one.answers, 1.0) for _, one in questions]
        texts = [
            [text_tokens(self.tokenizer, self.start, before, answer, how) for answer in its]
            for (before, _), its in zip(questions, answers)
        ]
        tokens, parents, places = trie([ids[:-1] for its in texts for ids, _ in its])
        row, weights, walks = Row(self._ids(tokens)), dict[tuple[int, int], float](), iter(places)
        row.last = last_descendants(parents)
        row.vectors = [(index, token) for index, token in enumerate(tokens) if isinstance(token, Vector)]
        for parent in parents:
            row.positions.append(row.positions[parent] + 1 if parent >= 0 else 0)
        for its, gold in zip(texts, answers):
            first = 1 if train and how.prompts else min(first for _, first in its)
            sequences = zip((self._ids(ids) for ids, _ in its), walks)
            found = [[(walk[k - 1], ids[k]) for k in range(first, len(ids))] for ids, walk in sequences]
            if train:
                _add_weights(weights, found, gold.values())
            else:
                _check_beginnings([*gold], [self._ids(ids[first:]) for ids, _ in its])
                row.answers.append(found)
        row.targets, row.weights = [*weights], [*weights.values()]
        return row

    def _ids(self, tokens: Sequence[int | Vector]) -> list[int]:
        return [self._placeholder[-1] if isinstance(one, Vector) else one for one in tokens]

    def _tokens(self, answers):
        if answers not in self._answers:
            self._answers[answers] = answer_tokens(self.tokenizer, answers)
        return self._answers[answers]


def _append(row, parents, tokens, parent):
    """Append a run of tokens behind the token at index `parent` (-1: none); the index of its last token."""
    for token in tokens:
        row.input_ids.append(token)
        row.positions.append(row.positions[parent] + 1 if parent >= 0 else 0)
        parents.append(parent)
        parent = len(row) - 1
    return parent


def _append_answers(row, parents, encoded, end):
    """Put answers behind token `end` as a trie, so that equal beginnings are computed once, and without the answers'
    last tokens, which predict nothing. Returns each answer's [(index, token id), ...]."""
    found = [[(end, tokens[0])] for tokens in encoded]
    groups = {}
    for number, tokens in enumerate(encoded):
        if len(tokens) > 1:
            groups.setdefault(tokens[0], []).append(number)
    for token, numbers in groups.items():
        index = _append(row, parents, [token], end)
        rest = _append_answers(row, parents, [encoded[number][1:] for number in numbers], index)
        for number, targets in zip(numbers, rest):
            found[number] += targets
    return found


def _append_gold(row, parents, encoded, question, end):
    """Put the gold answers behind token `end` and note their targets."""
    gold = _gold(question)
    tokens = [encoded[question.answers.index(answer)] for answer in gold]
    weights: dict[tuple[int, int], float] = {}
    _add_weights(weights, _append_answers(row, parents, tokens, end), gold.values())
    row.targets += weights
    row.weights += weights.values()


def _gold(question: Question) -> dict:
    """{gold answer: its weight}. Raises ValueError for weights that are not above zero."""
    gold = question.gold if isinstance(question.gold, dict) else {question.gold: 1.0}
    if not gold or min(gold.values()) <= 0:
        raise ValueError(f"the weights of gold answers must be above zero, and are {gold}")
    return gold


def _add_weights(weights: dict, answers, counts) -> None:
    """Add the targets of answers, which count so much, to {target: weight}. What several begin with is one target, with
    the sum of their weights: log P(answer) is the sum over its tokens, so that is the sum over answers."""
    for targets, weight in zip(answers, counts):
        for target in targets:
            weights[target] = weights.get(target, 0.0) + weight


def _append_head(row, question, end, train):
    """Note token `end` as the place of a head's question, and in training its targets."""
    if train:
        row.targets += [(end, output) for output in question.gold]
        row.weights += question.gold.values()
    else:
        row.answers.append([[(end, 0)]])


def render(root: Node) -> str:
    """A tree as text, in the order of its row, the gold answers in guillemets, with their weights where they have some:
    what training reads."""
    parts, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        parts += [f" <{'no ' * (vector.values is None)}{vector.stream}>" for vector in node.vectors]
        parts.append(node.text)
        if node.question is not None:
            gold = node.question.gold
            told = ",".join(f"{one} {weight:.2g}" for one, weight in gold.items()) if isinstance(gold, dict) else gold
            parts.append(f"\u00ab{told}\u00bb")
        waiting += reversed(node.children)
    return "".join(parts)


def pack(rows: list[Row]) -> Row:
    """Several rows behind each other in one; no tree sees another."""
    packed = Row()
    for row in rows:
        shift = len(packed)
        packed.input_ids += row.input_ids
        packed.positions += row.positions
        packed.last += [index + shift for index in row.last]
        packed.targets += [(index + shift, token) for index, token in row.targets]
        packed.weights += row.weights
        packed.answers += [
            [[(index + shift, token) for index, token in answer] for answer in question] for question in row.answers
        ]
        packed.vectors += [(index + shift, vector) for index, vector in row.vectors]
    return packed


def rooted(row: Row, count: int) -> Row:
    """The row behind `count` virtual tokens, the root of all its trees (utils.models.virtual.virtual_tokens). Token 0
    stands in their places."""
    if not count:
        return row
    end = len(row) + count - 1
    return Row(
        [0] * count + row.input_ids,
        [*range(count), *(position + count for position in row.positions)],
        [end] * count + [index + count for index in row.last],
        [(index + count, token) for index, token in row.targets],
        list(row.weights),
        [[[(index + count, token) for index, token in answer] for answer in question] for question in row.answers],
        [(index + count, vector) for index, vector in row.vectors],
    )


def mask(last):
    """The tree mask. `last`: tensor (batch, length), index of each token's last descendant. Returns booleans
    (batch, 1, length, length): query i sees key j where j <= i <= last[j]."""
    import torch  # here and below: commands read trees of text long before they need tensors, or without

    index = torch.arange(last.shape[1], device=last.device)
    earlier = index[None, :] <= index[:, None]
    return (earlier & (index[:, None] <= last[:, None, :]))[:, None]


def model_inputs(row: Row, targets: list[tuple[int, int]], device: Any = "cpu") -> dict:
    """What a causal language model of transformers takes to score `targets` in `row` (batch of one).

    Only the positions that predict something go through the language-model head (`logits_to_keep`), and
    `shift_labels` holds, already shifted, what each of them must predict: (1, number of targets). `vectors` is there
    for a row that has some, and for a model with a projector (utils/models/projector.py).
    """
    import torch

    indices = torch.tensor([index for index, _ in targets], dtype=torch.long, device=device)
    tokens = torch.tensor([[token for _, token in targets]], dtype=torch.long, device=device)
    last = torch.tensor([row.last], device=device)
    return {
        "input_ids": torch.tensor([row.input_ids], device=device),
        "position_ids": torch.tensor([row.positions], device=device),
        "attention_mask": mask(last),
        "logits_to_keep": indices,
        "labels": tokens,
        "shift_labels": tokens,
        **({"vectors": vector_inputs(row.vectors, device)} if row.vectors else {}),
    }


def paths(row: Row, targets: list[tuple[int, int]]) -> list[tuple[list[int], int]]:
    """The one-sequence form: for each target, the token ids of its whole path and the token to predict next."""
    result = []
    for index, token in targets:
        seen = [row.input_ids[j] for j in range(index + 1) if index <= row.last[j]]
        result.append((seen, token))
    return result
