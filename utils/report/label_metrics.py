"""How good are several labels an utterance, and probabilities beside the votes of annotators?

    found = emotion_figures(gold, predicted, tables, labels)
    found["accuracy"]                             # of the likeliest label alone: emotion_scores
    found["multi"]["jaccard"], found["votes"]["js"]     # only where there are several labels, or votes

The figures are those of scikit-learn and SciPy, which the tests compare with. Each follows from sums over utterances,
which a bootstrap over conversations (utils/report/bootstrap.py) draws again.
"""

from typing import Any

import numpy as np

from utils.data.conversations import Conversation, emotions_of
from utils.data.labels import ECF, LabelSet
from utils.data.votes import distribution, several, votes_of
from utils.report.metrics import aligned, emotion_scores, per_label, utterances_of

LEAST = 1e-6  # a predicted probability of zero counts as this in the divergence, which would be infinite
_CELLS = ("true_positive", "false_positive", "false_negative", "true_negative")
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

    Returns {} where gold has one label an utterance and no votes. Else {"multi": `set_measures`, "labels_an_utterance"
    {"gold": mean, "predicted": mean}, for each label "per_emotion" and "confusion" ({"true_positive", ...}), and
    "utterances"}, gold labels as utils.data.votes.several has them; and, with `tables`, {"votes": `vote_measures` of
    the utterances that have votes, and "utterances"}; independent probabilities are divided by their sum for that.
    """
    sums = {name: one.sum(0) for name, one in label_sums(gold, predicted, tables, labels).items()}
    if not sums:
        return {}
    hits, chosen, right = sums["multi"][4:].reshape(3, len(labels))
    count = int(sums["multi"][0])
    cells = np.column_stack([hits, chosen - hits, right - hits, count - chosen - right + hits])
    found: dict[str, Any] = {"multi": _floats(set_measures(sums["multi"]))}
    if not tables:
        del found["multi"]["lrap"]
    found["multi"] |= {
        "labels_an_utterance": {
            "gold": float(right.sum() / max(count, 1)),
            "predicted": float(chosen.sum() / max(count, 1)),
        },
        "per_emotion": per_label(labels, hits, chosen, right),
        "confusion": {label: dict(zip(_CELLS, map(int, row))) for label, row in zip(labels, cells, strict=True)},
        "utterances": count,
    }
    if "votes" in sums:
        found["votes"] = {**_floats(vote_measures(sums["votes"])), "utterances": int(sums["votes"][0])}
    return found


def label_sums(
    gold: list[Conversation], predicted: list[Conversation], tables: list | None = None, labels: LabelSet = ECF
) -> dict[str, np.ndarray]:
    """What `label_scores` follows from, summed over each conversation of `gold`: {"multi": (conversations, 4 + 3 x
    labels), the sums of `set_parts`, "votes": (conversations, 3), those of `vote_parts`}; {} and without "votes" where
    label_scores is. The arguments are those of `label_scores`."""
    rows = _rows(gold, predicted, tables)
    voted = [one for one in rows if votes_of(one[1], labels)]
    if not voted and not any(isinstance(u.get("emotion"), list) for _, *pair, _ in rows for u in pair):
        return {}
    counted = [(place, several(u, labels), emotions_of(found), p) for place, u, found, p in rows]
    counted = [one for one in counted if one[1]]
    carried = np.array([[[label in one[k] for label in labels] for one in counted] for k in (1, 2)], dtype=bool)
    right, chosen = carried.reshape(2, -1, len(labels))
    p = np.array([one[3] for one in counted]) if tables else None
    parts = {"multi": (counted, set_parts(right, chosen, p))}
    if voted and tables:
        shares = [distribution(u, labels) for _, u, _, _ in voted]
        votes = np.array([[one.get(label, 0.0) for label in labels] for one in shares])
        p = np.array([one for *_, one in voted])
        parts["votes"] = voted, vote_parts(votes, p / np.maximum(p.sum(1, keepdims=True), LEAST))
    found = {}
    for name, (those, values) in parts.items():
        found[name] = np.zeros((len(gold), values.shape[1]))
        np.add.at(found[name], [place for place, *_ in those], values)
    return found


def _floats(measures: dict) -> dict[str, float]:
    return {name: float(one) for name, one in measures.items()}


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
    """[(place of the conversation in `gold`, gold utterance, predicted utterance, probabilities or None)],
    probabilities as predictions.jsonl has them."""
    beside = {}
    for c, table in zip(predicted, tables or []):
        rounded = np.round(table, DIGITS)
        beside |= {(c["conversation_ID"], u["utterance_ID"]): p for u, p in zip(c["conversation"], rounded)}
    found = []
    for place, (key, right, other) in enumerate(aligned(gold, predicted)):
        numbered = utterances_of(key, other, "pred")
        for number, u in utterances_of(key, right, "gold").items():
            found.append((place, u, numbered.get(number, {}), beside.get((other["conversation_ID"], number))))
    return found


def set_parts(gold, chosen, p=None) -> np.ndarray:
    """What scores of sets of labels add up from.

    gold, chosen  (utterances, labels) of 0 and 1
    p             (utterances, labels) probabilities; None: their figure is 0

    Returns (utterances, 4 + 3 x labels): 1; whether exactly the right labels are chosen; the share of the common labels
    among all of gold and chosen, 1 where both are empty; label_ranking_precision; and for each label whether it is in
    both, in chosen, in gold.
    """
    gold, chosen = np.asarray(gold, dtype=bool), np.asarray(chosen, dtype=bool)
    both, either = gold & chosen, gold | chosen
    shared = np.where(either.any(1), both.sum(1) / np.maximum(either.sum(1), 1), 1.0)
    ranked = np.zeros(len(gold)) if p is None else label_ranking_precision(gold, np.asarray(p))
    return np.column_stack([np.ones(len(gold)), (gold == chosen).all(1), shared, ranked, both, chosen, gold])


def set_measures(sums) -> dict:
    """Scores of sets of labels from (..., 4 + 3 x labels) sums of `set_parts`: {
    "subset_accuracy": the share of utterances with exactly the right labels,
    "jaccard": the mean over utterances of the shared labels among all of gold and predicted (the accuracy of
               SemEval-2018 Task 1 E-c, Mohammad et al. 2018),
    "micro_f1", "macro_f1", "weighted_f1": over all decisions, and the mean over labels, plain and by their support,
    "lrap": label ranking average precision (Tsoumakas et al. 2010), by the probabilities alone}, each (...).
    """
    count, exact, shared, ranked = np.moveaxis(sums[..., :4], -1, 0)
    count = np.maximum(count, 1)
    hits, chosen, support = np.moveaxis(sums[..., 4:].reshape(*sums.shape[:-1], 3, -1), -2, 0)
    f1 = 2 * hits / np.maximum(chosen + support, 1)
    return {
        "subset_accuracy": exact / count,
        "jaccard": shared / count,
        "micro_f1": 2 * hits.sum(-1) / np.maximum((chosen + support).sum(-1), 1),
        "macro_f1": f1.mean(-1),
        "weighted_f1": (f1 * support).sum(-1) / np.maximum(support.sum(-1), 1),
        "lrap": ranked / count,
    }


def label_ranking_precision(gold, p) -> np.ndarray:
    """(utterances,): the mean over an utterance's gold labels of the share of gold labels among those that are at least
    as probable as this one; 1 for an utterance that has no gold label, or all of them."""
    found = []
    for right, one in zip(gold, p):
        if right.all() or not right.any():
            found.append(1.0)
            continue
        as_probable = one[None, :] >= one[right][:, None]  # gold labels x labels
        found.append((as_probable[:, right].sum(1) / as_probable.sum(1)).mean())
    return np.array(found)


def vote_parts(votes, p) -> np.ndarray:
    """How far probabilities are from the annotators' votes, in nats.

    votes, p  (utterances, labels), whose rows sum to one

    Returns (utterances, 3): 1, the Kullback-Leibler divergence of `p` from `votes` (a probability below 1e-6 counts as
    that), and the Jensen-Shannon divergence (Lin 1991), which is at most log 2.
    """
    votes, p = np.asarray(votes, dtype=float), np.asarray(p, dtype=float)
    middle = (votes + p) / 2
    kl = _divergence(votes, np.maximum(p, LEAST))
    js = (_divergence(votes, middle) + _divergence(p, middle)) / 2
    return np.column_stack([np.ones(len(votes)), kl, js])


def vote_measures(sums) -> dict:
    """{"kl", "js"}, means over utterances (...), from (..., 3) sums of `vote_parts`."""
    count, kl, js = np.moveaxis(sums, -1, 0)
    count = np.maximum(count, 1)
    return {"kl": kl / count, "js": js / count}


def _divergence(one, other):
    """(utterances,): the sum of one x log(one / other), 0 where `one` is 0."""
    return np.where(one > 0, one * np.log(np.where(one > 0, one, 1) / np.where(one > 0, other, 1)), 0).sum(-1)
