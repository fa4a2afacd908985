"""How good are several labels an utterance, and probabilities beside the votes of annotators?

    found = emotion_figures(gold, predicted, tables, labels)
    found["accuracy"]                             # of the likeliest label alone: emotion_scores
    found["multi"]["jaccard"], found["votes"]["js"]     # only where there are several labels, or votes

The figures are those of scikit-learn and SciPy, which the tests compare with.
"""

from typing import Any

import numpy as np

from utils.data.conversations import Conversation, emotions_of
from utils.data.labels import ECF, LabelSet
from utils.data.votes import distribution, several, votes_of
from utils.report.metrics import aligned, emotion_scores, per_label, utterances_of

LEAST = 1e-6  # a predicted probability of zero counts as this in the divergence, which would be infinite
_CELLS = {"true_positive": (1, 1), "false_positive": (0, 1), "false_negative": (1, 0), "true_negative": (0, 0)}
DIGITS = 4  # of probabilities in predictions.jsonl, from which the scores can be computed again


def emotion_figures(
    gold: list[Conversation], predicted: list[Conversation], tables: list | None = None, labels: LabelSet = ECF
) -> dict:
    """A system's scores: emotion_scores of its likeliest labels (`one_label`), and `label_scores`. The arguments are
    those of `label_scores`. Raises ScoringError as emotion_scores does."""
    alone = emotion_scores(*one_label(gold, predicted, tables, labels), labels)
    return {**alone, **label_scores(gold, predicted, tables, labels)}


def headline(figures: dict) -> dict[str, float]:
    """The figures of `emotion_figures` that stand in a table, as {name: number}."""
    found = {name: figures[name] for name in ("accuracy", "weighted_f1", "macro_f1")}
    for part in ("multi", "votes"):
        found |= {f"{part}: {name}": one for name, one in figures.get(part, {}).items() if isinstance(one, float)}
    return found


def label_scores(
    gold: list[Conversation], predicted: list[Conversation], tables: list | None = None, labels: LabelSet = ECF
) -> dict:
    """What the scores of a system add to emotion_scores where utterances carry several labels, or votes.

    gold       conversations with `emotion` and maybe `votes`; utterances without a label are not counted
    predicted  the same conversations, `emotion` a label or a list of labels
    tables     for each of `predicted` utterances x labels, probabilities; None: no figures that need them

    Returns {} where gold has one label an utterance and no votes. Else {"multi": `set_scores`, for each label
    "per_emotion" and "confusion" ({"true_positive", ...}), and "utterances"}, gold labels as
    utils.data.votes.several has them; and, with `tables`, {"votes": `vote_scores` of the utterances that have votes,
    and "utterances"}; independent probabilities are divided by their sum for that.
    """
    rows = _rows(gold, predicted, tables)
    voted = [(u, p) for u, _, p in rows if votes_of(u, labels)]
    if not voted and not any(isinstance(u.get("emotion"), list) for pair in rows for u in pair[:2]):
        return {}
    counted = [(several(u, labels), emotions_of(found), p) for u, found, p in rows]
    counted = [one for one in counted if one[0]]
    right, chosen = (np.array([[label in one[k] for label in labels] for one in counted]) for k in (0, 1))
    p = np.array([one[2] for one in counted]) if tables else None
    found: dict[str, Any] = {"multi": set_scores(right, chosen, p)}
    table = np.array([[~right & ~chosen, ~right & chosen], [right & ~chosen, right & chosen]]).sum(2)
    found["multi"]["per_emotion"] = per_label(labels, table[1, 1], chosen.sum(0), right.sum(0))
    found["multi"]["confusion"] = {
        label: {name: int(table[at][k]) for name, at in _CELLS.items()} for k, label in enumerate(labels)
    }
    found["multi"]["utterances"] = len(counted)
    if voted and tables:
        shares = [distribution(u, labels) for u, _ in voted]
        votes = np.array([[one.get(label, 0.0) for label in labels] for one in shares])
        p = np.array([one for _, one in voted])
        p = p / np.maximum(p.sum(1, keepdims=True), LEAST)
        found["votes"] = {**vote_scores(votes, p), "utterances": len(voted)}
    return found


def label_counts(
    gold: list[Conversation], predicted: list[Conversation], tables: list | None = None, labels: LabelSet = ECF
) -> np.ndarray:
    """(conversations of `gold`, 3, labels): hits, predicted and gold utterances of each label. The arguments are those
    of `label_scores`. In a label set with several labels an utterance they are of sets, else of the likeliest label."""
    if not labels.multi:
        gold, predicted = one_label(gold, predicted, tables, labels)
    counts = np.zeros((len(gold), 3, len(labels)))
    for place, (key, right, other) in enumerate(aligned(gold, predicted)):
        numbered = utterances_of(key, other, "pred")
        for number, u in utterances_of(key, right, "gold").items():
            carried, named = emotions_of(u), emotions_of(numbered.get(number, {}))
            for label in {*carried, *named} if carried else ():
                counts[place, :, labels.index(label)] += (
                    label in carried and label in named,
                    label in named,
                    label in carried,
                )
    return counts


def one_label(
    gold: list[Conversation], predicted: list[Conversation], tables: list | None = None, labels: LabelSet = ECF
) -> tuple[list[Conversation], list[Conversation]]:
    """(gold, predicted) with one label an utterance, so that emotion_scores can compare any two systems: of predicted
    labels the likeliest (without `tables` the first), of gold ones the only one; null where there are several."""

    def likeliest(c, table):
        emotions = []
        for k, u in enumerate(c["conversation"]):
            named = emotions_of(u)
            if len(named) > 1 and table:
                p = dict(zip(labels, np.round(table[k], DIGITS)))
                named.sort(key=p.__getitem__, reverse=True)
            emotions.append(named[0] if named else None)
        return _with_one(c, emotions)

    def only(c):
        """A missing emotion stays missing, which is a fault."""
        named = [emotions_of(u) for u in c["conversation"]]
        return _with_one(c, [one[0] if len(one) == 1 else None for one in named])

    return [only(c) for c in gold], [likeliest(c, t) for c, t in zip(predicted, tables or [None] * len(predicted))]


def _with_one(conversation: Conversation, emotions: list) -> Any:
    utterances = [
        {**u, "emotion": one} if "emotion" in u else u for u, one in zip(conversation["conversation"], emotions)
    ]
    return {**conversation, "conversation": utterances}


def _rows(gold, predicted, tables):
    """[(gold utterance, predicted utterance, probabilities or None)], probabilities as predictions.jsonl has them."""
    beside = {}
    for c, table in zip(predicted, tables or []):
        rounded = np.round(table, DIGITS)
        beside |= {(c["conversation_ID"], u["utterance_ID"]): p for u, p in zip(c["conversation"], rounded)}
    found = []
    for key, right, other in aligned(gold, predicted):
        numbered = utterances_of(key, other, "pred")
        for number, u in utterances_of(key, right, "gold").items():
            found.append((u, numbered.get(number, {}), beside.get((other["conversation_ID"], number))))
    return found


def set_scores(gold, chosen, p=None) -> dict:
    """Scores of sets of labels.

    gold, chosen  (utterances, labels) of 0 and 1
    p             (utterances, labels) probabilities; None: without lrap

    Returns {
    "subset_accuracy": the share of utterances with exactly the right labels,
    "jaccard": the mean over utterances of the shared labels among all of gold and predicted (the accuracy of
               SemEval-2018 Task 1 E-c, Mohammad et al. 2018); 1 where both are empty,
    "micro_f1", "macro_f1", "weighted_f1": over all decisions, and the mean over labels, plain and by their support,
    "lrap": label ranking average precision (Tsoumakas et al. 2010), by the probabilities alone,
    "labels_an_utterance": {"gold": mean, "predicted": mean}}.
    """
    gold, chosen = np.asarray(gold, dtype=bool), np.asarray(chosen, dtype=bool)
    both, either = gold & chosen, gold | chosen
    hits, predicted, support = both.sum(0), chosen.sum(0), gold.sum(0)
    f1 = 2 * hits / np.maximum(predicted + support, 1)
    shared = np.where(either.any(1), both.sum(1) / np.maximum(either.sum(1), 1), 1.0)
    return {
        "subset_accuracy": float((gold == chosen).all(1).mean()),
        "jaccard": float(shared.mean()),
        "micro_f1": float(2 * hits.sum() / max(predicted.sum() + support.sum(), 1)),
        "macro_f1": float(f1.mean()),
        "weighted_f1": float(f1 @ support / max(support.sum(), 1)),
        **({} if p is None else {"lrap": label_ranking_precision(gold, np.asarray(p))}),
        "labels_an_utterance": {"gold": float(gold.sum(1).mean()), "predicted": float(chosen.sum(1).mean())},
    }


def label_ranking_precision(gold, p) -> float:
    """The mean over utterances, and over their gold labels, of the share of gold labels among those that are at least
    as probable as this one; 1 for an utterance that has no gold label, or all of them."""
    found = []
    for right, one in zip(gold, p):
        if right.all() or not right.any():
            found.append(1.0)
            continue
        as_probable = one[None, :] >= one[right][:, None]  # gold labels x labels
        found.append((as_probable[:, right].sum(1) / as_probable.sum(1)).mean())
    return float(np.mean(found))


def vote_scores(votes, p) -> dict:
    """How far probabilities are from the annotators' votes, in nats, means over utterances.

    votes, p  (utterances, labels), whose rows sum to one

    Returns {"kl": the Kullback-Leibler divergence of `p` from `votes` (a probability below 1e-6 counts as that),
    "js": the Jensen-Shannon divergence (Lin 1991), which is at most log 2}.
    """
    votes, p = np.asarray(votes, dtype=float), np.asarray(p, dtype=float)
    middle = (votes + p) / 2
    return {
        "kl": float(_divergence(votes, np.maximum(p, LEAST)).mean()),
        "js": float((_divergence(votes, middle) + _divergence(p, middle)).mean() / 2),
    }


def _divergence(one, other):
    """(utterances,): the sum of one x log(one / other), 0 where `one` is 0."""
    return np.where(one > 0, one * np.log(np.where(one > 0, one, 1) / np.where(one > 0, other, 1)), 0).sum(-1)
