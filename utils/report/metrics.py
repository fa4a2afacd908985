"""The scores: official SemEval-2024 Task 3 metrics for pairs, and accuracy and F1 for emotions.

python -c "from utils.report.metrics import *; help(pair_scores)"     (for files: python -m utils.score --help)
"""

from collections import Counter, defaultdict

import numpy as np

from utils.data.labels import ECF, LabelSet
from utils.report.matched import aligned, by_id, pairs_of, utterances_of
from utils.system.errors import ScoringError, shown

# The published evaluation adds this to every denominator, so its figures stay just below 1.
_EPSILON = 1e-8


# ---- pairs -------------------------------------------------------------------------------------------------


def pair_scores(gold, pred, subtask, labels: LabelSet = ECF):
    """The official figures of SemEval-2024 Task 3 under their official names, and nothing else.

    gold, pred: lists of conversations, matched by conversation_ID; conversations in `pred` only are ignored.
        A duplicate pair counts once, a neutral one never, and "U3_joy" means "3_joy". Ids may differ by
        white space around them and zeros in front; in Subtask 2 a cause may be 2 or " 2" as well as "2".
    subtask: 1 (causes are spans: words in `gold`, tokens "2_0_5" in `pred`) or 2 (causes are utterances). Words that
        the utterance does not say are the empty range 0 to 0 (see `spans_not_said`).
    Returns {name: figure}. "weighted" averages the six emotions by their gold pairs; the others pool them.

    From the task paper (Wang et al., 2024, SemEval-2024 Task 3: Multimodal Emotion Cause Analysis in
    Conversations) and the official evaluation in the repository NUSTM/SemEval-2024_ECAC.

    Raises ScoringError for malformed input and for a conversation of `gold` that `pred` lacks.
    """
    gold_pairs, pred_pairs = _aligned_pairs(gold, pred, subtask, labels)
    counts = _pair_counts(gold_pairs, pred_pairs, labels)
    if subtask == 2:
        names = ("{}_pair", "weighted_{}")
        return _named(names, *_pooled_and_weighted(counts, counts[2]))
    scores = {}
    for kind, kind_counts in (("strict", counts), ("Proportional", _token_counts(gold_pairs, pred_pairs, labels))):
        pooled, weighted = _pooled_and_weighted(kind_counts, counts[2])
        scores |= _named((f"weighted_{kind}_{{}}", f"{kind}_{{}}"), weighted, pooled)
    return scores


def spans_not_said(gold, labels: LabelSet = ECF):
    """[(conversation_ID, utterance_ID)] of Subtask 1's gold causes whose words are not in their utterance.

    The official evaluation counts such a cause as the empty range 0 to 0; nearly always it is a fault of the file.
    Raises ScoringError as `pair_scores` does.
    """
    return sorted(
        {
            (key, pair[3])
            for key, conversation in by_id(gold, "gold").items()
            for pair in pairs_of(key, conversation, 1, "gold", labels)
            if pair[4] == pair[5]
        }
    )


def per_emotion_pair_scores(gold, pred, labels: LabelSet = ECF):
    """{emotion: {"precision", "recall", "f1", "support"}} of Subtask 2, for the six emotions.

    These are the figures that the official weighted ones average; support is the number of gold pairs.
    Raises ScoringError as `pair_scores` does.
    """
    counts = _pair_counts(*_aligned_pairs(gold, pred, 2, labels), labels)
    precision, recall, f1 = _precision_recall_f1(counts)
    return _per_emotion(labels.emotional, precision, recall, f1, counts[2])


def pair_counts(gold, pred, labels: LabelSet = ECF):
    """(conversations of `gold`, 3, 6): the hits, predicted and gold pairs of each emotional label in Subtask 2.

    Raises ScoringError as `pair_scores` does.
    """
    return np.array(
        [
            _pair_counts(pairs_of(key, one, 2, "gold", labels), pairs_of(key, other, 2, "pred", labels), labels)
            for key, one, other in aligned(gold, pred)
        ]
    )


def weighted_f1(counts):
    """(...): the official weighted F1 of pairs from their counts (..., 3, 6), as `pair_counts` gives them or summed
    over conversations; what `pair_scores` calls weighted_f1."""
    counts = np.moveaxis(counts, -2, 0)
    return _mean(_precision_recall_f1(counts)[2], counts[2])


def pair_measures(counts) -> dict:
    """{"weighted_f1", "f1_pair": (...)} of `pair_scores`, from counts (..., 3, 6) as `pair_counts` gives them."""
    return {"weighted_f1": weighted_f1(counts), "f1_pair": _precision_recall_f1(np.moveaxis(counts.sum(-1), -1, 0))[2]}


def _aligned_pairs(gold, pred, subtask, labels):
    """Two sets of (conversation, emotion utterance, emotion, cause utterance[, start, end in Subtask 1])."""
    if subtask not in (1, 2):
        raise ValueError(f"subtask {subtask!r}: there is no such subtask. Give 1 or 2.")
    gold_pairs, pred_pairs = set(), set()
    for key, gold_conversation, pred_conversation in aligned(gold, pred):
        gold_pairs |= pairs_of(key, gold_conversation, subtask, "gold", labels)
        pred_pairs |= pairs_of(key, pred_conversation, subtask, "pred", labels)
    return gold_pairs, pred_pairs


def _named(names, *triples):
    measures = ("precision", "recall", "f1")
    return {
        name.format(measure): float(value)
        for name, triple in zip(names, triples)
        for measure, value in zip(measures, triple)
    }


def _per_emotion(emotions, precision, recall, f1, support):
    """{emotion: {measure: number}} from arrays with one number an emotion."""
    return {
        emotion: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for emotion, p, r, f, n in zip(emotions, precision, recall, f1, support)
    }


def _precision_recall_f1(counts):
    """(3, ...) from counts of hits, predictions and gold (3, ...)."""
    hits, predicted, gold = counts
    precision, recall = hits / (predicted + _EPSILON), hits / (gold + _EPSILON)
    return np.array([precision, recall, 2 * precision * recall / (precision + recall + _EPSILON)])


def _pooled_and_weighted(counts, support):
    """Precision, recall and F1 (3,) of emotions pooled, and averaged by `support` (6,); counts: (3, 6)."""
    pooled = _precision_recall_f1(counts.sum(axis=1))
    return pooled, _precision_recall_f1(counts) @ support / max(support.sum(), 1)


def _pair_counts(gold_pairs, pred_pairs, labels):
    """(3, 6): hits, predicted and gold pairs of each emotion."""
    sets = (gold_pairs & pred_pairs, pred_pairs, gold_pairs)
    counters = [Counter(pair[2] for pair in pairs) for pairs in sets]
    return np.array([[counter[emotion] for emotion in labels.emotional] for counter in counters])


def _token_counts(gold_pairs, pred_pairs, labels):
    """(3, 6): tokens in overlaps, predicted spans and gold spans of each emotion.

    Each prediction is matched to one gold span of its place or to none. A matched gold span counts once for every
    prediction matched to it, an unmatched one once. Only the overlap with the matched span is a hit.
    """
    places = defaultdict(lambda: ([], []))
    for side, pairs in enumerate((gold_pairs, pred_pairs)):
        for *place, start, end in sorted(pairs):  # sorted, so that the order of a file's pairs changes no figure
            places[tuple(place)][side].append((start, end))
    counts = np.zeros((3, len(labels.emotional)))
    for place, (gold, pred) in places.items():
        matches = [_match(span, gold) for span in pred]
        matched = [(span, match) for span, match in zip(pred, matches) if match]
        counts[:, labels.emotional.index(place[2])] += (
            sum(_overlap(span, match) for span, match in matched),
            _tokens(pred),
            _tokens(match for _, match in matched) + _tokens(set(gold) - set(matches)),
        )
    return counts


def _match(span, gold):
    """The gold span that a predicted one counts for, None where it overlaps none: the one of which it covers the
    largest share; at an equal share the one with the longer overlap; else the first. A span is (start, end)."""

    def rank(other):
        overlap = _overlap(span, other)
        return overlap / max(other[1] - other[0], 1), overlap

    best = max(gold, key=rank, default=None)
    return best if best and _overlap(span, best) else None


def _tokens(spans):
    return sum(end - start for start, end in spans)


def _overlap(one, other):
    return max(min(one[1], other[1]) - max(one[0], other[0]), 0)


# ---- emotions ----------------------------------------------------------------------------------------------


def emotion_scores(gold, pred, labels: LabelSet = ECF):
    """Scores of the emotions of utterances, matched by conversation_ID and utterance_ID.

    gold, pred: lists of conversations with an `emotion` for each utterance; what `pred` alone has is ignored, and so
        are utterances whose gold emotion is null.
    Returns {"accuracy", "weighted_f1", "macro_f1" (over the seven), "weighted_f1_six" (without neutral),
    "per_emotion": {emotion: {"precision", "recall", "f1", "support"}}, "confusion": 7 x 7 counts as lists, a
    row a gold emotion, a column a predicted one, in the order of `labels`}. Without the 1e-8 of the pairs.

    Raises ScoringError for malformed input and for an utterance of `gold` that `pred` lacks.
    """
    confusion = confusions(gold, pred, labels).sum(0)
    counts = emotion_counts(confusion)
    return {
        **{name: float(one) for name, one in emotion_measures(counts, labels).items()},
        "per_emotion": per_label(labels, *counts),
        "confusion": confusion.tolist(),
    }


def confusions(gold, pred, labels: LabelSet = ECF):
    """(conversations of `gold`, labels, labels): how many utterances of each gold emotion (a row) were given each
    emotion (a column). The arguments and errors are those of `emotion_scores`."""
    both = aligned(gold, pred)
    found = np.zeros((len(both), len(labels), len(labels)), dtype=int)
    for confusion, (key, gold_conversation, pred_conversation) in zip(found, both):
        predicted = utterances_of(key, pred_conversation, "pred")
        for number, utterance in utterances_of(key, gold_conversation, "gold").items():
            if utterance.get("emotion", "") is None:  # it says that it carries none
                continue
            row = _emotion_index(key, number, utterance, "gold", labels)
            confusion[row, _emotion_index(key, number, predicted.get(number, {}), "pred", labels)] += 1
    return found


def emotion_counts(confusion):
    """(..., 3, labels): the hits, predicted and gold utterances of each label, from a confusion (..., labels,
    labels)."""
    return np.stack([np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-2), confusion.sum(-1)], axis=-2)


def emotion_measures(counts, labels: LabelSet = ECF) -> dict:
    """{"accuracy", "weighted_f1", "macro_f1", "weighted_f1_six": (...)} of `emotion_scores`, from counts (..., 3,
    labels) as `emotion_counts` gives them."""
    hits, predicted, support = np.moveaxis(counts, -2, 0)
    f1 = 2 * hits / np.maximum(predicted + support, 1)
    six = [labels.index(emotion) for emotion in labels.emotional]
    return {
        "accuracy": hits.sum(-1) / np.maximum(support.sum(-1), 1),
        "weighted_f1": _mean(f1, support),
        "macro_f1": f1.mean(-1),
        "weighted_f1_six": _mean(f1[..., six], support[..., six]),
    }


def _mean(values, weights):
    """The mean over the last axis, by the weights."""
    return (values * weights).sum(-1) / np.maximum(weights.sum(-1), 1)


def per_label(labels: LabelSet, hits, predicted, support) -> dict:
    """{label: {"precision", "recall", "f1", "support"}} from three counts a label, without the 1e-8 of the pairs."""
    f1 = 2 * hits / np.maximum(predicted + support, 1)
    return _per_emotion(labels, hits / np.maximum(predicted, 1), hits / np.maximum(support, 1), f1, support)


def _emotion_index(key, number, utterance, side, labels):
    emotion = utterance.get("emotion")
    if emotion not in labels:
        problem = f"utterance {number} has no emotion of this task ({shown(emotion)})"
        raise ScoringError(side, key, problem, f"Write one of {labels}")
    return labels.index(emotion)
