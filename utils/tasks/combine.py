"""Several answers to the same questions as one: probabilities averaged, recorded answers read again.

A cause task takes whatever has `log_odds(conversation)` as its `structure`: `MeanStructure` and `Recorded` do.
"""

import math
import statistics
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from utils.data.conversations import Conversation, with_emotions, with_pairs
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


def runs_averaged(
    conversations: list[Conversation], members: list[list[dict]], threshold: float, labels: LabelSet = ECF
) -> tuple[list[Conversation], list]:
    """(conversations as several runs' predictions name them together, their tables of mean emotion probabilities).

    members    for each run its lines of predictions.jsonl, in the order of `conversations`
    threshold  a pair is named from this mean P(emotion) x mean P(cause) on, over the runs that asked for the cause

    An utterance gets its likeliest label; where runs name several, those that at least half of the runs name.
    """
    found, tables = [], []
    for c, lines in zip(conversations, zip(*members, strict=True), strict=True):
        table = np.mean([line["emotion_probabilities"] for line in lines], axis=0)
        likeliest = [labels.labels[k] for k in table.argmax(1)]
        if isinstance(lines[0]["emotions"][0], list):
            named = [[e for one in every for e in one] for every in zip(*(line["emotions"] for line in lines))]
            chosen = [[e for e in labels if 2 * one.count(e) >= len(lines)] for one in named]
            emotions = [some or [best] for some, best in zip(chosen, likeliest)]
            labelled = with_emotions(c, emotions, replace(labels, multi=True))
        else:
            labelled = with_emotions(c, likeliest, labels)
            if all("cause_probabilities" in line for line in lines):
                labelled = with_pairs(labelled, _pairs(labelled, lines, table, threshold, labels))
        found.append(labelled)
        tables.append(table.tolist())
    return found, tables


def _pairs(conversation, lines, table, threshold, labels):
    """(emotion utterance, emotion, cause utterance) for every pair that several runs name together."""
    for u, p in zip(conversation["conversation"], table.max(1)):
        number, emotion = u["utterance_ID"], u["emotion"]
        asked_by = [line["cause_probabilities"].get(str(number)) for line in lines]
        asked_by = [one for one in asked_by if one is not None]
        for cause in {key for one in asked_by for key in one} if emotion != labels.neutral else ():
            if p * statistics.mean(one.get(cause, 0.0) for one in asked_by) >= threshold:
                yield number, emotion, int(cause)


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
