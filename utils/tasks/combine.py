"""Several answers to the same questions as one: probabilities averaged, recorded answers read again.

A cause task takes whatever has `log_odds(conversation)` as its `structure`: `MeanStructure` and `Recorded` do.
"""

import math
import statistics
from typing import NamedTuple

import numpy as np

from utils.data.conversations import Conversation
from utils.data.labels import ECF, LabelSet
from utils.tasks.candidates import asked
from utils.tasks.cause_structure import Structure
from utils.tasks.task import probabilities

SHARE = 1 / 3  # of encoders in the emotions' average; chosen on val and on other episodes (LOG.md)
LEAST = 5e-5  # predictions.jsonl has four digits: a recorded 0 or 1 is this far from them


def averaged(members: list[list]) -> list:
    """The members' scores as one: conversations x questions x answers of log-probabilities, each question's
    probabilities (over the allowed answers) averaged."""
    return [
        [
            [math.log(sum(column) / len(column)) for column in zip(*map(probabilities, question))]
            for question in zip(*conversation, strict=True)
        ]
        for conversation in zip(*members, strict=True)
    ]


def mixed(tables: list[np.ndarray], others: list[np.ndarray], share: float = SHARE) -> list[np.ndarray]:
    """For each conversation `share` of its probabilities in `tables` (utterances x labels) and the rest of `others`."""
    return [(1 - share) * other + share * one for one, other in zip(tables, others, strict=True)]


def mean_log_odds(grown: list[Structure], conversation: Conversation) -> list[float] | None:
    """The mean of the runs' log-odds (Structure.log_odds); None without any."""
    return [statistics.mean(one) for one in zip(*(s.log_odds(conversation) for s in grown))] if grown else None


class MeanStructure(NamedTuple):
    """Several runs' boosted trees as one, at least one."""

    grown: list[Structure]

    def log_odds(self, conversation: Conversation) -> list[float]:
        """`mean_log_odds` of the trees."""
        return mean_log_odds(self.grown, conversation) or []


# ---- recorded answers ------------------------------------------------------------------------------------------


def moved(table: list[list[float]], prior: list[float]) -> list[list[float]]:
    """One conversation's recorded emotion probabilities, after `prior` (emotion.prior_scores) was taken off, as
    log-probabilities before it."""
    return [[math.log(max(p, LEAST)) + off for p, off in zip(one, prior, strict=True)] for one in table]


def unadjusted(table: list[list[float]], prior: list[float]) -> np.ndarray:
    """`moved` as probabilities that sum to one, utterances x labels."""
    weights = np.exp(moved(table, prior))
    return weights / weights.sum(1, keepdims=True)


def recorded_log_odds(
    conversation: Conversation, recorded: dict, others: list[float], labels: LabelSet = ECF
) -> list[float]:
    """For each question of `candidates.asked` the log-odds of the recorded answer; where there is none, because the
    utterance was neutral then, those of `others`.

    recorded  {utterance id: {candidate id: P}} with ids as text, "cause_probabilities" of predictions.jsonl
    """
    ids, found = [u["utterance_ID"] for u in conversation["conversation"]], []
    for (i, j), odds in zip(asked(conversation, labels), others, strict=True):
        p = recorded.get(str(ids[i]), {}).get(str(ids[j]))
        p = None if p is None else min(max(p, LEAST), 1 - LEAST)
        found.append(odds if p is None else math.log(p) - math.log(1 - p))
    return found


class Recorded(NamedTuple):
    """Recorded answers about causes ({conversation_ID: "cause_probabilities"}), and boosted trees for questions that
    were not asked then."""

    answers: dict
    trees: Structure

    def log_odds(self, conversation: Conversation) -> list[float]:
        """`recorded_log_odds` of the conversation."""
        recorded = self.answers[conversation["conversation_ID"]]
        return recorded_log_odds(conversation, recorded, self.trees.log_odds(conversation), self.trees.labels)
