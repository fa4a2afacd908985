"""The scores: official SemEval-2024 Task 3 metrics for pairs, and accuracy and F1 for emotions.

python -c "from utils.report.metrics import *; help(pair_scores)"     (for files: python -m utils.score --help)
"""

import re
import string
from collections import Counter, defaultdict

import numpy as np

from utils.data.labels import ECF, LabelSet
from utils.data.validation import PAIRS, is_id, same_id
from utils.system.errors import ScoringError, shown

# The published evaluation adds this to every denominator, so its figures stay just below 1.
_EPSILON = 1e-8
# (subtask, side): the form of a pair's cause, and an example of the pair. Nine digits keep int() quick.
_NUMBER = "([0-9]{1,9})"
_CAUSE_FORMS = {
    (1, "gold"): (f"U?{_NUMBER}_(.*)", '["3_joy", "2_the words of the cause"]'),
    (1, "pred"): (
        f"U?{_NUMBER}_{_NUMBER}_{_NUMBER}",
        '["3_joy", "2_0_5"]: the cause is a range of tokens (its end exclusive), not the words',
    ),
    (2, "gold"): (f"U?{_NUMBER}", '["3_joy", "2"]'),
    (2, "pred"): (f"U?{_NUMBER}", '["3_joy", "2"]'),
}


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
            for key, conversation in _by_id(gold, "gold").items()
            for pair in _pairs(key, conversation, 1, "gold", labels)
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
            _pair_counts(_pairs(key, one, 2, "gold", labels), _pairs(key, other, 2, "pred", labels), labels)
            for key, one, other in aligned(gold, pred)
        ]
    )


def weighted_f1(counts):
    """(...): the official weighted F1 of pairs from their counts (..., 3, 6), as `pair_counts` gives them or summed
    over conversations; what `pair_scores` calls weighted_f1."""
    counts = np.moveaxis(counts, -2, 0)
    return (_precision_recall_f1(counts)[2] * counts[2]).sum(-1) / np.maximum(counts[2].sum(-1), 1)


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


# ---- reading -----------------------------------------------------------------------------------------------


def aligned(gold, pred):
    """[(key, gold conversation, predicted conversation)] for every conversation of `gold`."""
    gold, pred = _by_id(gold, "gold"), _by_id(pred, "pred")
    if not gold:
        raise ScoringError("gold", "", "it holds no conversation", "Give at least one")
    for key in gold:
        if key not in pred:
            raise ScoringError("pred", key, "it is missing", "Write every conversation of gold")
    return [(key, conversation, pred[key]) for key, conversation in gold.items()]


def _by_id(conversations, side):
    if not isinstance(conversations, list) or not all(isinstance(each, dict) for each in conversations):
        raise ScoringError(side, "", "it is not a list of conversations", "Write [{...}, {...}]")
    result = {}
    for position, conversation in enumerate(conversations, 1):
        key = conversation.get("conversation_ID")
        if not is_id(key):
            raise ScoringError(
                side, f"at position {position}", "it has no conversation_ID, a number or name", "Give it that of gold"
            )
        if same_id(key) in result:
            raise ScoringError(side, key, "its conversation_ID is there twice", "Keep one of the two")
        result[same_id(key)] = conversation
    return result


def _aligned_pairs(gold, pred, subtask, labels):
    """Two sets of (conversation, emotion utterance, emotion, cause utterance[, start, end in Subtask 1])."""
    if subtask not in (1, 2):
        raise ValueError(f"subtask {subtask!r}: there is no such subtask. Give 1 or 2.")
    gold_pairs, pred_pairs = set(), set()
    for key, gold_conversation, pred_conversation in aligned(gold, pred):
        gold_pairs |= _pairs(key, gold_conversation, subtask, "gold", labels)
        pred_pairs |= _pairs(key, pred_conversation, subtask, "pred", labels)
    return gold_pairs, pred_pairs


def _pairs(key, conversation, subtask, side, labels):
    written = conversation.get(PAIRS)
    if not isinstance(written, list):
        problem = f"{PAIRS!r} is not a list" if PAIRS in conversation else f"the key {PAIRS!r} is missing"
        raise ScoringError(side, key, problem, "Write the pairs, or [] where there are none")
    texts = {}
    if written and (subtask, side) == (1, "gold"):  # once: a conversation may have thousands of pairs and words
        for number, utterance in utterances_of(key, conversation, side).items():
            if isinstance(utterance.get("text"), str):
                texts[number] = f" {' '.join(utterance['text'].split())} "
    cause_form, example = _CAUSE_FORMS[subtask, side]
    result = set()
    for pair in written:
        if subtask == 2 and isinstance(pair, list) and len(pair) == 2:  # as lenient as int() in the official script
            pair = [pair[0], str(pair[1]).strip() if type(pair[1]) in (int, str) else pair[1]]
        whole = isinstance(pair, list) and len(pair) == 2 and all(isinstance(end, str) for end in pair)
        end = whole and re.fullmatch(f"U?{_NUMBER}_(.*)", pair[0], re.DOTALL)
        cause = whole and re.fullmatch(cause_form, pair[1], re.DOTALL)
        if not end or not cause:
            raise ScoringError(side, key, f"the pair {shown(pair)} is malformed", f"Write {example}")
        number, emotion = int(end[1]), end[2]
        if emotion not in labels:
            raise ScoringError(side, key, f"the pair {shown(pair)} has an unknown emotion", f"Write one of {labels}")
        span = ()
        if (subtask, side) == (1, "gold"):
            text = texts.get(int(cause[1]))
            if text is None:
                problem = f"the pair {shown(pair)} needs the text of utterance {int(cause[1])}, which is not there"
                raise ScoringError(side, key, problem, "Number the utterances and give each its text")
            span = _locate(cause[2], text)
        elif subtask == 1:
            span = int(cause[2]), int(cause[3])
            if span[0] > span[1]:
                raise ScoringError(side, key, f"the range of {pair} ends too early", f"Write {example}")
        if emotion != labels.neutral:
            result.add((key, number, emotion, int(cause[1]), *span))
    return result


def _locate(words, text):
    """(start, end) in tokens of a gold cause, the first time that the utterance says it; (0, 0) where it does not.

    text: the utterance's tokens between single spaces, one more at either end. Tokens are what any white space
    separates, also a non-breaking space.
    """
    # As in the task: outer punctuation is no part of a span, whether the annotators marked it or not.
    words = " ".join(words.split()).strip(string.punctuation + " ")
    at = text.find(f" {words} ") if words else -1
    if at < 0:
        return 0, 0
    start = text.count(" ", 0, at)
    return start, start + words.count(" ") + 1


def utterances_of(key, conversation, side):
    """{utterance_ID: utterance}"""
    utterances = conversation.get("conversation")
    if not isinstance(utterances, list) or not all(isinstance(each, dict) for each in utterances):
        raise ScoringError(side, key, "'conversation' is not a list of utterances", "Write [{...}, {...}]")
    numbers = [utterance.get("utterance_ID") for utterance in utterances]
    if not all(type(number) is int for number in numbers) or len(set(numbers)) < len(numbers):
        raise ScoringError(
            side, key, "an utterance_ID is missing, no number or there twice", "Number the utterances 1, 2, 3, ..."
        )
    return dict(zip(numbers, utterances))


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
    confusion = np.zeros((len(labels), len(labels)), dtype=int)
    for key, gold_conversation, pred_conversation in aligned(gold, pred):
        predicted = utterances_of(key, pred_conversation, "pred")
        for number, utterance in utterances_of(key, gold_conversation, "gold").items():
            if utterance.get("emotion", "") is None:  # it says that it carries none
                continue
            row = _emotion_index(key, number, utterance, "gold", labels)
            confusion[row, _emotion_index(key, number, predicted.get(number, {}), "pred", labels)] += 1

    hits, predicted, support = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)
    f1 = 2 * hits / np.maximum(predicted + support, 1)
    six = [labels.index(emotion) for emotion in labels.emotional]
    return {
        "accuracy": float(hits.sum() / max(support.sum(), 1)),
        "weighted_f1": float(f1 @ support / max(support.sum(), 1)),
        "macro_f1": float(f1.mean()),
        "weighted_f1_six": float(f1[six] @ support[six] / max(support[six].sum(), 1)),
        "per_emotion": per_label(labels, hits, predicted, support),
        "confusion": confusion.tolist(),
    }


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
