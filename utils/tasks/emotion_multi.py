"""The emotion task where an utterance may carry several emotions: a yes/no question a label, all in one pass.

    tree(conversation)                     what the model reads; twin of utils/tasks/emotion.py's
    read(conversation, scores, thresholds) log-probabilities -> conversation with lists of emotions, probabilities
    best_threshold(right, p)               the probability from which on a label is named
    EmotionMulti(labels)                   these as a Task

The labels' probabilities are independent: they do not sum to one. There is no logit adjustment: the thresholds, one a
label, are chosen on `val` and decide how often a rare label is named.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from utils.data.conversations import Conversation, with_emotions
from utils.data.labels import ECF, LabelSet
from utils.data.votes import several
from utils.engine.prefix_tree import Node, Question, chain
from utils.system.errors import RunError
from utils.system.files import read_object
from utils.tasks.emotion import line, wording
from utils.tasks.imbalance import Balance
from utils.tasks.pool import Pool, recorded
from utils.tasks.senses import WORDS, Senses
from utils.tasks.task import OneRound, TaskDefaults, check_labels, probabilities

ANSWERS = (" no", " yes")


def tree(
    conversation: Conversation,
    train: bool = False,
    labels: LabelSet = ECF,
    weights: dict[str, dict] | None = None,
    pool: Pool | None = None,
    senses: Senses = WORDS,
) -> Node:
    """The conversation line by line, then once more, and behind each line of the second reading a branch with a
    question for each label: does the utterance carry it? With `train` the labels are the targets (votes.several), and
    nothing is asked about an utterance without one. Where there are `weights`, {label: {answer: weight}}, a target
    counts as much. `pool` words what stands in front of a line's questions. `senses` add to the lines."""
    utterances = conversation["conversation"]
    lines = [line(u, senses=senses) for u in utterances]
    opening, asked = wording(conversation, train, labels, pool, "all emotions", " Emotions:")
    branches = {}
    for k, u in enumerate(utterances):
        right = several(u, labels)
        if right or not train:
            gold = [_gold(label, right, weights) if train else None for label in labels]
            below = [Node(f" {label}?", Question(ANSWERS, answer)) for label, answer in zip(labels, gold)]
            branches[len(lines) + k] = [Node(asked[k], None, below)]
    return chain(opening, lines + lines, branches, [senses.vectors(u) for u in utterances] * 2)


def _gold(label: str, carried: list[str], weights: dict[str, dict] | None) -> str | dict[str, float]:
    answer = ANSWERS[label in carried]
    return {answer: weights[label][answer]} if weights else answer


def read(
    conversation: Conversation, scores: list[list[float]], thresholds: list[float], labels: LabelSet
) -> tuple[Conversation, list[list[float]]]:
    """The conversation with a list of labels as `emotion` of every utterance, and the probabilities, utterances x
    labels.

    scores      for each utterance, for each label the log-probabilities of no and of yes
    thresholds  a label is named from this probability on; where none reaches its own, the one that comes nearest to it
                (the largest p / threshold), since every utterance carries a label
    """
    yes = [probabilities(one)[1] for one in scores]
    table = [yes[start : start + len(labels)] for start in range(0, len(yes), len(labels))]
    emotions = []
    for one in table:
        reached = [p / threshold for p, threshold in zip(one, thresholds, strict=True)]
        found = [label for label, share in zip(labels, reached) if share >= 1]
        emotions.append(found or [labels.labels[reached.index(max(reached))]])
    return with_emotions(conversation, emotions, replace(labels, multi=True)), table


def best_threshold(right: Sequence[bool], p: Sequence[float]) -> float:
    """The threshold with the best F1 for answers that are `right` where their probability is `p`: the middle between
    two neighbours among p. 0.5 where no answer is right: nothing can be learnt from them."""
    if not any(right):
        return 0.5
    order = np.argsort(p)[::-1]
    hits, values = np.cumsum(np.array(right)[order]), np.array(p)[order]
    f1 = 2 * hits / (np.arange(1, len(p) + 1) + sum(right))
    below = np.append(values[1:], 0.0)
    f1[values == below] = -1  # equal ones are named together
    best = int(f1.argmax())
    return max(float(values[best] + below[best]) / 2, 1e-6)


@dataclass(frozen=True)
class EmotionMulti(TaskDefaults):
    """The task.

    thresholds  of a `trained` task, one a label; None: 0.5 each
    balance     what is done in training about rare labels
    weights     {label: {answer: how much it counts in training}} of a `taught` task; {}: all alike. The two answers
                about a label are weighed against each other, since each label is a question of its own
    pool        how the questions are worded; None: as they always were
    senses      what a line has beside the words
    """

    labels: LabelSet = ECF
    thresholds: list[float] | None = None
    balance: Balance = Balance()
    weights: dict[str, dict[str, float]] = field(default_factory=dict)
    pool: Pool | None = None
    senses: Senses = WORDS
    name = "emotion"
    new_tokens = 0  # without the published recipe
    unparsed = ""
    on_emotions = False
    opening = "Name all emotions of every utterance."

    def tree(self, item: Conversation, train: bool = False) -> Node:
        return tree(item, train, self.labels, self.weights, self.pool, self.senses)

    def taught(self, items: list[Conversation], seed: int) -> tuple["EmotionMulti", list[Conversation]]:
        def carried(c):
            return [dict.fromkeys(several(u, self.labels), 1.0) for u in c["conversation"]]

        drawn = self.balance.drawn(items, carried, seed)
        asked = sum(bool(one) for c in drawn for one in carried(c))
        yes = self.counts(drawn)
        weights = {label: self.balance.weighed(dict(zip(ANSWERS, (asked - n, n)))) for label, n in yes.items()}
        return replace(self, weights=weights if self.balance.weights != "none" else {}), drawn

    def ask(self, item: Conversation) -> OneRound:
        thresholds = self.thresholds or [0.5] * len(self.labels)
        return OneRound(self.tree(item), lambda scores: read(item, scores, thresholds, self.labels))

    def counts(self, items: list[Conversation]) -> dict[str, float]:
        carried = [label for c in items for u in c["conversation"] for label in several(u, self.labels)]
        return {label: carried.count(label) for label in self.labels}

    def decided(self, items: list[Conversation], tables: Callable[[], list]) -> dict[str, Any]:
        """{"thresholds": {label: the best one on the labelled utterances of these items}, "prompts": the pool,
        where there is one}."""
        more = {"prompts": self.pool.as_dict()} if self.pool else {}
        p, right = [], []
        for c, table in zip(items, tables(), strict=True) if items else ():
            for u, one in zip(c["conversation"], table, strict=True):
                if carried := several(u, self.labels):
                    p.append(one)
                    right.append([label in carried for label in self.labels])
        if not p:
            print("val holds no labelled utterance: a label is named from a probability of 0.5 on")
            return {"thresholds": dict.fromkeys(self.labels, 0.5), **more}
        columns = zip(self.labels, zip(*right), zip(*p))
        return {"thresholds": {label: best_threshold(gold, values) for label, gold, values in columns}, **more}

    def trained(self, adapter: Path) -> "EmotionMulti":
        path = Path(adapter) / "training.json"
        check_labels(self.labels, adapter)
        chosen = read_object(path).get("thresholds")
        thresholds = [chosen.get(label) if isinstance(chosen, dict) else None for label in self.labels]
        if not all(type(one) is float and 0 < one <= 1 for one in thresholds):
            raise RunError(f'{path} lacks "thresholds", a probability for each label: train the adapter again')
        return replace(self, thresholds=thresholds, pool=recorded(self.pool, adapter))
