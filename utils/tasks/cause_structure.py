"""Causes by structure: who speaks where, with which emotion, how far apart and how long. No word is read.

    structure = learn(conversations, seed)   gradient-boosted trees on gold pairs, in seconds
    structure.log_odds(conversation)         for each question of cause.candidates_tree
    save(structure, folder); load(folder)    structure.json, beside the cause adapter's weights

A small language model learns little of this, and late (LOG.md); so its answers are averaged with these
(cause.read_candidates). The trees are scikit-learn's, kept as arrays: what reads them does not need it.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from utils.data.conversations import Conversation, causes_of
from utils.data.labels import ECF, LabelSet
from utils.system.errors import ModelError
from utils.system.files import read_object, write_text
from utils.tasks.candidates import asked

FILE = "structure.json"
DEPTH = 5


def feature_names(labels: LabelSet = ECF) -> tuple[str, ...]:
    """What `features` holds, column by column. "its" is the emotional utterance's; every question is about one of these
    and one candidate."""
    return (
        "distance", "same speaker", "same emotion",
        *(f"emotion {label}" for label in labels.emotional), *(f"candidate {label}" for label in labels),
        "its emotion before it", "neutral before it", "its emotion two before it", "its emotion after it",
        "candidate's emotion before the candidate", "its emotion before the candidate",
        "candidate's emotion after the candidate", "its emotion after the candidate",
        "emotional between", "its emotion between", "its speaker between", "candidate's speaker between",
        "words", "candidate's words", "words between",
        "speaker goes on", "speaker follows the candidate's",
        "question marks", "exclamation marks", "candidate's question marks", "candidate's exclamation marks",
    )  # fmt: skip


def features(conversation: Conversation, labels: LabelSet = ECF) -> np.ndarray:
    """What is known of each question of `candidates.asked`, in its order: questions x `feature_names`, whole numbers as
    float32. The conversation must carry emotions."""
    utterances = conversation["conversation"]
    emotions, speakers = [u.get("emotion") for u in utterances], [u["speaker"] for u in utterances]
    words = [len(u["text"].split()) for u in utterances]
    marks = [[u["text"].count(mark) for mark in "?!"] for u in utterances]
    around = ["", "", *emotions, ""]  # around[k + 2] is that of the utterance at position k

    def row(i, j):
        its, other = emotions[i], emotions[j]
        between = range(min(i, j) + 1, max(i, j))
        return [
            j - i,
            speakers[i] == speakers[j],
            its == other,
            *(its == label for label in labels.emotional),
            *(other == label for label in labels),
            around[i + 1] == its,
            around[i + 1] == labels.neutral,
            around[i] == its,
            around[i + 3] == its,
            around[j + 1] == other,
            around[j + 1] == its,
            around[j + 3] == other,
            around[j + 3] == its,
            sum(emotions[k] not in (None, labels.neutral) for k in between),
            sum(emotions[k] == its for k in between),
            sum(speakers[k] == speakers[i] for k in between),
            sum(speakers[k] == speakers[j] for k in between),
            words[i],
            words[j],
            sum(words[k] for k in between),
            i > 0 and speakers[i - 1] == speakers[i],
            i > 0 and speakers[i - 1] == speakers[j],
            *marks[i],
            *marks[j],
        ]

    rows = [row(i, j) for i, j in asked(conversation, labels)]
    return np.array(rows, np.float32).reshape(-1, len(feature_names(labels)))


@dataclass(frozen=True)
class Structure:
    """Boosted trees. Each is a dictionary of lists, an entry a node, the root first: at a node of which `left` is
    another one, `feature` (a number in `feature_names`) decides, up to `threshold` for `left`, above it for `right`; a
    leaf is its own `left` and `right`, and adds its `value` to the log-odds, which begin at `start`."""

    start: float
    trees: list[dict[str, list]]
    labels: LabelSet = ECF

    def log_odds(self, conversation: Conversation) -> list[float]:
        """For each question of `cause.candidates_tree`, in its order: ln(P / (1 - P)), where P is the probability that
        the candidate is a cause. The conversation must carry emotions."""
        rows = features(conversation, self.labels)
        if not self.trees:
            return [self.start] * len(rows)
        every, roots, table = np.arange(len(rows)), *self._table
        node = np.repeat(roots[:, None], len(rows), axis=1)  # trees x questions
        for _ in range(DEPTH):
            left = rows[every, table["feature"][node]] <= table["threshold"][node]
            node = np.where(left, table["left"][node], table["right"][node])
        values = np.vstack([np.full(len(rows), self.start), table["value"][node]])
        return values.cumsum(axis=0)[-1].tolist()  # one tree after the other, however many there are

    @cached_property
    def _table(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """(the roots of all trees, their nodes one tree behind the other)."""
        ends = np.cumsum([0, *(len(tree["value"]) for tree in self.trees)])
        table = {}
        for name in _ARRAYS:
            moved = ends[:-1] if name in ("left", "right") else np.zeros(len(self.trees), int)
            table[name] = np.concatenate([np.array(tree[name]) + by for tree, by in zip(self.trees, moved)])
        return ends[:-1], table


_ARRAYS = ("feature", "threshold", "left", "right", "value")


def learn(conversations: list[Conversation], seed: int = 42, labels: LabelSet = ECF) -> Structure | None:
    """Trees that tell causes from other candidates in labelled conversations (stochastic gradient boosting, Friedman
    2002); None where there is nothing to tell, because no candidate, or every one, is a cause."""
    from sklearn.ensemble import GradientBoostingClassifier

    gold = []
    for c in conversations:
        ids, causes = [u["utterance_ID"] for u in c["conversation"]], causes_of(c, labels)
        gold += [ids[j] in causes[ids[i]] for i, j in asked(c, labels)]
    if len(set(gold)) < 2:
        return None
    # Chosen on conversations of other episodes than those of training (LOG.md)
    found = GradientBoostingClassifier(
        n_estimators=200,
        learning_rate=0.05,
        max_depth=DEPTH,
        subsample=0.5,
        max_features=0.3,
        min_samples_leaf=20,
        random_state=seed,
    ).fit(np.concatenate([features(c, labels) for c in conversations]), gold)
    share = found.init_.class_prior_[1]  # pyright: ignore[reportAttributeAccessIssue] (of its DummyClassifier)
    grown = [_arrays(one.tree_, 0.05) for (one,) in found.estimators_]
    return Structure(float(np.log(share / (1 - share))), grown, labels)


def _arrays(tree, rate: float) -> dict[str, list]:
    """A tree of scikit-learn as Structure has it."""
    leaf, nodes = tree.children_left < 0, np.arange(tree.node_count)
    return {
        "feature": np.where(leaf, 0, tree.feature).tolist(),
        "threshold": np.where(leaf, 0, tree.threshold).tolist(),
        "left": np.where(leaf, nodes, tree.children_left).tolist(),
        "right": np.where(leaf, nodes, tree.children_right).tolist(),
        "value": [round(value, 6) for value in np.where(leaf, rate * tree.value[:, 0, 0], 0).tolist()],
    }


def save(structure: Structure, folder):
    """Writes structure.json: the features' names, the start, and a line a tree."""
    trees = ",\n".join(json.dumps(tree, separators=(",", ":")) for tree in structure.trees)
    head = f'"features": {json.dumps(feature_names(structure.labels))},\n"start": {structure.start}'
    write_text(f'{{\n{head},\n"trees": [\n{trees}\n]\n}}\n', Path(folder) / FILE)


def load(folder, labels: LabelSet = ECF) -> Structure | None:
    """The trees beside a finished cause adapter, or None where its training.json tells of none.

    Raises ModelError where they are missing, cannot be read, or know other features than this code.
    """
    folder = Path(folder)
    if not read_object(folder / "training.json").get("structure"):
        return None
    path = folder / FILE
    if not path.is_file():
        raise ModelError(f"{path} is missing, which training.json tells of: fetch it again, or train the adapter again")
    try:
        record = read_object(path)
        if tuple(record["features"]) != feature_names(labels):
            raise ValueError("it knows other features than this revision of the code")
        if not _is_number(record["start"]) or not isinstance(record["trees"], list):
            raise ValueError("its start is no number, or its trees are no list")
        structure = Structure(float(record["start"]), record["trees"], labels)
        for tree in structure.trees:
            nodes = [len(tree[name]) for name in _ARRAYS]
            ends = {"feature": len(feature_names(labels)), "left": nodes[0], "right": nodes[0]}
            inside = all(type(k) is int and 0 <= k < end for name, end in ends.items() for k in tree[name])
            numbers = all(_is_number(k) for name in ("threshold", "value") for k in tree[name])
            if len(set(nodes)) != 1 or not nodes[0] or not inside or not numbers:
                raise ValueError("a tree is not whole")
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: cannot be used ({error}). Fetch it again, or train the adapter again") from error
    return structure


def _is_number(value) -> bool:
    return type(value) in (int, float) and abs(value) < 1e9
