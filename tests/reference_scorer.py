"""A second scorer, to compare `utils.report.metrics` with. It shares no code with `utils` and is written to be read.

    from reference_scorer import reference_scores

It follows the text of `../shared/scorer_cases/README.md` sentence by sentence: exact fractions, sets of token
positions, plain loops. The published 1e-8 in the denominators is the only approximation. It reads sound files only;
what must be refused is the tests' own business.
"""

from fractions import Fraction
from string import punctuation
from typing import NamedTuple

EPSILON = Fraction(1, 10**8)
SIX = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
MEASURES = ("precision", "recall", "f1")


class Pair(NamedTuple):
    """One pair of a file. `start` and `end` (exclusive) count tokens, and are 0 in Subtask 2."""

    conversation: str
    utterance: int
    emotion: str
    cause: int
    start: int = 0
    end: int = 0

    @property
    def place(self):
        return self[:4]

    @property
    def tokens(self):
        return set(range(self.start, self.end))


# ---- the files ----------------------------------------------------------------------------------------------------


def read(conversations, subtask, located):
    """The distinct pairs of a file without neutral ones. located: whether causes are words, to be found in the text."""
    found = set()
    for conversation in conversations:
        for emotion_end, cause_end in conversation["emotion-cause_pairs"]:
            number, emotion = emotion_end.removeprefix("U").split("_")
            if emotion == "neutral":
                continue
            cause, *span = cause_end.removeprefix("U").split("_", 1)
            if subtask == 1 and located:
                span = find(span[0], text_of(conversation, int(cause)))
            elif subtask == 1:
                span = map(int, span[0].split("_"))
            found.add(Pair(str(conversation["conversation_ID"]), int(number), emotion, int(cause), *span))
    return found


def text_of(conversation, number):
    [text] = [u["text"] for u in conversation["conversation"] if u["utterance_ID"] == number]
    return text


def find(words, text):
    """(start, end) of the first place where `text` has these tokens one after another; (0, 0) where it has not."""
    while words and (words[0].isspace() or words[0] in punctuation):
        words = words[1:]
    while words and (words[-1].isspace() or words[-1] in punctuation):
        words = words[:-1]
    wanted, tokens = words.split(), text.split()
    for start in range(len(tokens)):
        if wanted and tokens[start : start + len(wanted)] == wanted:
            return start, start + len(wanted)
    return 0, 0


# ---- the figures --------------------------------------------------------------------------------------------------


def reference_scores(gold, pred, subtask):
    """{official name: Fraction} of two lists of conversations as the files hold them."""
    known = {str(conversation["conversation_ID"]) for conversation in gold}
    gold, pred = read(gold, subtask, located=True), read(pred, subtask, located=False)
    pred = {pair for pair in pred if pair.conversation in known}
    if subtask == 2:
        pooled, weighted = figures(gold, pred, count_equal)
        return name("{}_pair", pooled) | name("weighted_{}", weighted)
    pooled, weighted = figures(gold, pred, count_equal)
    result = name("weighted_strict_{}", weighted) | name("strict_{}", pooled)
    pooled, weighted = figures(gold, pred, count_tokens)
    return result | name("weighted_Proportional_{}", weighted) | name("Proportional_{}", pooled)


def name(form, triple):
    return {form.format(measure): figure for measure, figure in zip(MEASURES, triple)}


def figures(gold, pred, count):
    """Precision, recall and F1 of the emotions pooled, and averaged by each emotion's gold pairs."""
    counts, weights = {}, {}
    for emotion in SIX:
        mine = [{pair for pair in pairs if pair.emotion == emotion} for pairs in (gold, pred)]
        counts[emotion], weights[emotion] = count(*mine), len(mine[0])
    pooled = harmonic(*(sum(column) for column in zip(*counts.values())))
    total = max(sum(weights.values()), 1)
    each = {emotion: harmonic(*counts[emotion]) for emotion in SIX}
    return pooled, [sum(each[emotion][i] * weights[emotion] for emotion in SIX) / total for i in range(3)]


def harmonic(hits, predicted, gold):
    precision, recall = Fraction(hits) / (predicted + EPSILON), Fraction(hits) / (gold + EPSILON)
    return precision, recall, 2 * precision * recall / (precision + recall + EPSILON)


def count_equal(gold, pred):
    return len(gold & pred), len(pred), len(gold)


def count_tokens(gold, pred):
    """Tokens that count as hit, tokens predicted, tokens of gold, of one emotion's pairs."""
    hits = predicted = gold_total = 0
    matched = set()
    for pair in pred:
        predicted += len(pair.tokens)
        match = matching(pair, gold)
        if match:
            matched.add(match)
            hits += len(pair.tokens & match.tokens)
            gold_total += len(match.tokens)
    for pair in gold - matched:
        gold_total += len(pair.tokens)
    return hits, predicted, gold_total


def matching(pair, gold):
    """The one gold span that a predicted one is matched to, None where it overlaps none of its place.

    At an equal share and an equal overlap the first: the one that begins first, so that the order of a file's pairs
    does not matter.
    """
    best, best_share, best_overlap = None, 0, 0
    for other in sorted(gold, key=lambda other: other.start):
        overlap = len(pair.tokens & other.tokens)
        if pair.place != other.place or not overlap:
            continue
        share = Fraction(overlap, len(other.tokens))
        if share > best_share or (share == best_share and overlap > best_overlap):
            best, best_share, best_overlap = other, share, overlap
    return best
