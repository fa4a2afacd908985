"""Draws docs/one_pass.png: a small conversation as one row of tokens, with its positions and its mask.

    python docs/draw_one_pass.py

The row is a real one: the embedded model's tokenizer and `utils.engine.prefix_tree` make it.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from transformers import AutoTokenizer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from utils.engine.prefix_tree import Node, Question, Row, TreeEncoder, chain, encode, mask, paths
from utils.models.load import embedded_model

NO_YES = (" no", " yes")
# Colours of the Okabe-Ito palette, as in utils/report/plots.py.
TRUNK, BRANCHES, HIDDEN = "#9A9A9A", ("#0072B2", "#E69F00", "#009E73", "#CC79A7"), "#F6F6F6"
INK = "#24292F"


def small_tree() -> Node:
    """Two utterances and the questions for their causes, as the cause task asks them."""
    of_ana = Node(" <= #", children=[Node("1", Question(NO_YES, " yes"))])
    of_ben = Node(" <= #", children=[Node("1", Question(NO_YES, " yes")), Node("2", Question(NO_YES, " no"))])
    back = Node(" => #", children=[Node("1", Question(NO_YES, " no"))])
    lines = ["Ana joy: We got the flat! #1", "Ben surprise: Really? #2"]
    return chain("Causes?", lines, {0: [of_ana], 1: [of_ben, back]})


def branches(row: Row, own: int) -> list[int]:
    """For each token of the row 0 on the trunk, else the number (from 1) of the question that its branch asks; what
    several questions of a branch share counts to the first. `own`: tokens of the last question's branch."""
    paths = [[j for j in range(end + 1) if end <= row.last[j]] for end, _ in row.targets]
    trunk = set(paths[-1][:-own])
    numbers = [0] * len(row)
    for number, path in reversed(list(enumerate(paths, start=1))):
        for j in set(path) - trunk:
            numbers[j] = number
    return numbers


def draw(row: Row, numbers: list[int], word) -> plt.Figure:
    """The tokens with their positions on the left of the row's mask, what must be predicted on its right.

    numbers  from `branches`
    word     how a token id is written
    """
    length, words = len(row), [word(token) for token in row.input_ids]
    sees = mask(torch.tensor([row.last]))[0, 0].numpy()
    colours = ListedColormap([HIDDEN, TRUNK, *BRANCHES])
    picture = np.where(sees, 1 + np.array(numbers)[:, None], 0)
    figure, axes = plt.subplots(figsize=(10.5, 9.4), dpi=110)
    axes.imshow(picture, cmap=colours, vmin=0, vmax=1 + len(BRANCHES), interpolation="none")
    axes.set_xticks(np.arange(-0.5, length), minor=True)
    axes.set_yticks(np.arange(-0.5, length), minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    font = {"family": "monospace", "fontsize": 9}
    axes.set_yticks(range(length), [f"{one}  {row.positions[k]:>2}" for k, one in enumerate(words)], **font)
    axes.set_xticks(range(length), words, rotation=90, **font)
    axes.xaxis.tick_top()
    ink = [(INK, *BRANCHES)[number] for number in numbers]
    for labels in (axes.get_yticklabels(), axes.get_xticklabels()):
        for label, colour in zip(labels, ink, strict=True):
            label.set_color(colour)
    for index, target in row.targets:
        axes.text(length, index, f"must predict {word(target)}", va="center", color=ink[index], **font)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_xlabel("which tokens the token on the left sees (filled)", color=INK, labelpad=10)
    axes.set_ylabel("the row, from top to bottom: token and position", color=INK, labelpad=10)
    return figure


def main():
    tokenizer = AutoTokenizer.from_pretrained(embedded_model())
    row = TreeEncoder(tokenizer)(small_tree(), train=True)
    own = len(encode(tokenizer, " => #")) + len(encode(tokenizer, "1"))
    shown = {"\n": "\\n", " ": "\u00b7"}  # a line break and a space, so that both can be seen
    figure = draw(row, branches(row, own), lambda token: "".join(shown.get(c, c) for c in tokenizer.decode([token])))
    path = ROOT / "docs" / "one_pass.png"
    figure.savefig(path, bbox_inches="tight", facecolor="white", metadata={"Software": None})
    separate = sum(len(seen) for seen, _ in paths(row, row.targets))
    print(f"{path}: {len(row)} tokens in one row, {separate} in one sequence a question")


if __name__ == "__main__":
    main()
