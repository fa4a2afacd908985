"""What a task is: a tree of questions about an item, and how their scores become an answer.

    task = Emotion()                            # utils/tasks/emotion.py; its twin is utils/tasks/cause.py
    task.tree(conversation, train=True)         # what training reads
    search = task.ask(conversation)             # what inference asks: tree(), update(scores), read()

docs/adding_a_task.md adds one in five steps. An item is a conversation, or whatever a task asks about.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from utils.data.labels import LabelSet, recorded_labels
from utils.engine.prefix_tree import Node
from utils.system.errors import ModelError
from utils.system.files import read_object


class Search(Protocol):
    """The questions about one item, in one round or in several."""

    def tree(self) -> Node | None:
        """The questions of the next round, or None when there is nothing more to ask."""
        ...

    def update(self, scores: list[list[float]]) -> None:
        """`scores`: for each question of `tree`, in its order, the log-probability of each allowed answer."""
        ...

    def read(self) -> tuple[Any, Any]:
        """(the labelled item, its table of probabilities)."""
        ...


class Task(Protocol):
    """What is asked about an item.

    name        its adapter is adapters/<name>; its parameters are <name>_epochs and <name>_learning_rate
    labels      the label set of its items
    new_tokens  how many tokens the published recipe may write for an answer
    unparsed    what a text that names no answer counts as
    on_emotions whether the items must carry emotions
    counted     what is counted by `counts`, as a record calls it
    outputs     the names of what a head in place of the vocabulary gives; () for a task that scores words
    opening     the sentence that virtual tokens begin as, where an adapter learns some
    """

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> LabelSet: ...
    @property
    def new_tokens(self) -> int: ...
    @property
    def unparsed(self) -> str: ...
    @property
    def on_emotions(self) -> bool: ...
    @property
    def counted(self) -> str: ...
    @property
    def outputs(self) -> tuple[str, ...]: ...
    @property
    def opening(self) -> str: ...

    def tree(self, item: Any, train: bool = False) -> Node:
        """What the model reads, as a tree of text. With `train` the gold answers are the targets."""
        ...

    def prompts(self, item: Any) -> list[tuple[str, str | None]]:
        """The published recipe's (prompt, completion) pairs; a completion is None where the item has no gold answer.
        [] for a task without that recipe."""
        ...

    def ask(self, item: Any) -> Search:
        """The questions of inference."""
        ...

    def parse(self, item: Any, texts: list[str]) -> tuple[Any, Any, int]:
        """(the labelled item, its table, how many texts name no answer) from what the published recipe wrote behind
        each of `prompts`."""
        ...

    def taught(self, items: list, seed: int) -> tuple["Task", list]:
        """(the task as it asks in training, the items that training reads) for these labelled items: what rare labels
        count, or which items are drawn, follows from them."""
        ...

    def beside(self, items: list, seed: int) -> Any:
        """What is learnt from labelled items without the model and saved beside its adapter; None for nothing."""
        ...

    def counts(self, items: list) -> dict[str, float]:
        """How often each label is the right answer in these items, votes as shares; recorded with the adapter."""
        ...

    def decided(self, items: list, tables: Callable[[], list]) -> dict[str, Any]:
        """What the training.json of a `taught` task must hold beside its counts, for `trained` to find it, such as what
        the trained model decides on items held out; {} for nothing. `tables()`: the items' tables of probabilities."""
        ...

    def trained(self, adapter: Path) -> "Task":
        """The task as the finished adapter in this folder answers it: with what training recorded there.

        Raises RunError or ModelError for a folder that lacks it, and for an adapter of another label set.
        """
        ...


class TaskDefaults:
    """What a Task answers that only learns weights: nothing beside them."""

    counted = "emotions"
    opening = "Read the text, and answer the questions about it."

    @property
    def outputs(self) -> tuple[str, ...]:
        return ()

    def prompts(self, item: Any) -> list[tuple[str, str | None]]:
        return []

    def parse(self, item: Any, texts: list[str]) -> tuple[Any, Any, int]:
        raise NotImplementedError("a task without the published recipe has no texts to parse")

    def taught(self, items: list, seed: int) -> tuple[Any, list]:
        return self, items

    def beside(self, items: list, seed: int) -> Any:
        return None

    def counts(self, items: list) -> dict[str, float]:
        return {}

    def decided(self, items: list, tables: Callable[[], list]) -> dict[str, Any]:
        return {}


class Beside(Protocol):
    """What answers the questions about a conversation beside the adapter (utils.tasks.encoder_scores)."""

    def with_emotions(self, conversation: Any, scores: list[list[float]]) -> list[list[float]]:
        """An adapter's log-probabilities of the labels, for each utterance, averaged with its own."""
        ...

    def causes(self, conversation: Any) -> list[float]:
        """For each question about a candidate (`candidates.asked`) its log-odds of yes."""
        ...


def with_encoder(task: Any, encoder: Beside) -> Any:
    """A task of conversations, with what answers beside its adapter."""
    return replace(task, encoder=encoder)


class OneRound:
    """A search that asks once: `tree`, and `read(scores)` gives the answer."""

    def __init__(self, tree: Node, read: Callable[[list[list[float]]], tuple[Any, Any]]):
        self._tree, self._read = tree, read
        self._scores: list[list[float]] | None = None

    def tree(self) -> Node | None:
        return self._tree if self._scores is None else None

    def update(self, scores: list[list[float]]) -> None:
        self._scores = scores

    def read(self) -> tuple[Any, Any]:
        return self._read(self._scores or [])


def check_labels(labels: LabelSet, adapter: Path) -> None:
    """Raises ModelError for an adapter, a folder with training.json, that was trained on another set than `labels`."""
    path = Path(adapter) / "training.json"
    its = recorded_labels(read_object(path), path)
    if its != labels:
        raise ModelError(
            f"{adapter}: it was trained on the label set {its.name} ({_described(its)}), and the labels here are those "
            f"of {labels.name} ({_described(labels)}). Give an adapter that was trained on {labels.name}, or train one"
        )


def _described(labels: LabelSet) -> str:
    return f"{labels}{'; several an utterance' * labels.multi}"


def probabilities(scores: list[float]) -> list[float]:
    """Log-probabilities of the allowed answers, made to sum to one over them."""
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    return [weight / sum(weights) for weight in weights]
