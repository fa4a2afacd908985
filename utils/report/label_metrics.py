"""How good are several labels an utterance, and probabilities beside the votes of annotators?

    set_scores(gold, chosen, p)       # all (utterances, labels): 0 or 1, 0 or 1, probabilities or None
    vote_scores(votes, p)             # both (utterances, labels), rows that sum to one
    emotion_figures(gold, pred, tables, labels)    # what metrics.json holds of a system's emotions

The figures are those of scikit-learn and SciPy, which the tests compare with.
"""

import numpy as np

LEAST = 1e-6  # a predicted probability of zero counts as this in the divergence, which would be infinite


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
