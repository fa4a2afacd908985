"""The scores equal those of a second, slow implementation, and behave as precision and recall must.

    python -m pytest tests/report/test_scorer_properties.py     (make soak: thousands of cases)

The second implementation follows the description of SemEval-2024 Task 3 alone and shares no code with `utils`:
exact fractions, one loop over all pairs of pairs. The published 1e-8 in the denominators is the only float.
"""

import random
from fractions import Fraction

import pytest
from helpers import amounts, try_all
from hypothesis import strategies as st

from utils.report.metrics import pair_scores

SIX = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
# Every word once, so that a span of text is one range of tokens.
WORDS = "the red kite is back again".split()


# ---- the second implementation -----------------------------------------------------------------------------
# A pair is (conversation, emotion utterance, emotion, cause utterance, start, end); Subtask 2 has no range.


def harmonic(hits, predicted, gold):
    tiny = Fraction(1, 10**8)
    precision, recall = hits / (predicted + tiny), hits / (gold + tiny)
    return precision, recall, 2 * precision * recall / (precision + recall + tiny)


def averaged(count, gold):
    """Figures of the emotions by their number of gold pairs, then of all pairs together."""
    figures = {emotion: harmonic(*count(emotion)) for emotion in SIX}
    weights = {emotion: sum(pair[2] == emotion for pair in gold) for emotion in SIX}
    total = max(sum(weights.values()), 1)
    weighted = [sum(figures[emotion][i] * weights[emotion] for emotion in SIX) / total for i in range(3)]
    counts = [count(emotion) for emotion in SIX]
    return weighted, harmonic(*(sum(column) for column in zip(*counts)))


def second_opinion(gold, pred, subtask):
    """The official figures of two lists of pairs."""
    gold, pred = ({pair for pair in pairs if pair[2] != "neutral"} for pairs in (gold, pred))

    def strict(emotion):
        return [Fraction(sum(pair[2] == emotion for pair in pairs)) for pairs in (gold & pred, pred, gold)]

    def proportional(emotion):
        """Tokens shared, predicted and gold: a span counts once for each span of the other side that it touches."""
        counts = [Fraction(0)] * 3
        mine = [[pair for pair in pairs if pair[2] == emotion] for pairs in (pred, gold)]
        for p in mine[0]:
            for g in mine[1]:
                counts[0] += len(set(range(*p[4:])) & set(range(*g[4:]))) if p[:4] == g[:4] else 0
        for side in (0, 1):
            for span in mine[side]:
                touched = sum(
                    span[:4] == other[:4] and bool(set(range(*span[4:])) & set(range(*other[4:])))
                    for other in mine[1 - side]
                )
                counts[1 + side] += (span[5] - span[4]) * max(touched, 1)
        return counts

    measures = ("precision", "recall", "f1")
    weighted, pooled = averaged(strict, gold)
    if subtask == 2:
        return {
            **{f"{m}_pair": f for m, f in zip(measures, pooled)},
            **{f"weighted_{m}": f for m, f in zip(measures, weighted)},
        }
    result = {}
    for name, count in (("strict", strict), ("Proportional", proportional)):
        weighted, pooled = averaged(count, gold)
        result |= {f"weighted_{name}_{m}": f for m, f in zip(measures, weighted)}
        result |= {f"{name}_{m}": f for m, f in zip(measures, pooled)}
    return result


# ---- random gold and predictions ---------------------------------------------------------------------------


def pairs_of(subtask, least=0, emotions=(*SIX, "neutral")):
    """Strategy: pairs in few places, so that many agree in part."""
    spans = st.tuples(st.integers(0, len(WORDS) - 1), st.integers(1, len(WORDS))).filter(lambda span: span[0] < span[1])
    number = st.integers(1, 3)
    pair = st.tuples(number, number, st.sampled_from(emotions), number)
    if subtask == 1:
        pair = st.builds(lambda pair, span: (*pair, *span), pair, spans)
    return st.lists(pair, min_size=least, max_size=12)


def files(gold, pred, subtask, order=None):
    """Both lists of pairs as the files write them, conversations and pairs in the order of a random generator."""

    def written(pair, spans_as_words):
        cause = f"{pair[3]}"
        if subtask == 1:
            start, end = pair[4:]
            cause += f"_{' '.join(WORDS[start:end])}" if spans_as_words else f"_{start}_{end}"
        return [f"{pair[1]}_{pair[2]}", cause]

    utterances = [{"utterance_ID": number, "text": " ".join(WORDS)} for number in (1, 2, 3)]
    both = []
    for side, spans_as_words in ((gold, True), (pred, False)):
        talks = []
        for key in (1, 2, 3):
            pairs = [written(pair, spans_as_words) for pair in side if pair[0] == key]
            if order:
                order.shuffle(pairs)
            talks.append({"conversation_ID": key, "conversation": utterances, "emotion-cause_pairs": pairs})
        if order:
            order.shuffle(talks)
        both.append(talks)
    return both


def scores(gold, pred, subtask):
    return pair_scores(*files(gold, pred, subtask), subtask)


@pytest.fixture(params=[1, 2], ids=["subtask_1", "subtask_2"])
def subtask(request):
    return request.param


# ---- the properties ----------------------------------------------------------------------------------------


@amounts
def test_equal_to_the_second_implementation(subtask, amount):
    def check(gold, pred):
        expected = second_opinion(gold, pred, subtask)
        assert scores(gold, pred, subtask) == pytest.approx({k: float(v) for k, v in expected.items()}, rel=0, abs=1e-9)

    try_all(150 * amount, check, pairs_of(subtask), pairs_of(subtask))


@amounts
def test_order_and_repetition_change_nothing(subtask, amount):
    def check(gold, pred, seed):
        order = random.Random(seed)
        repeated = [side + order.choices(side, k=3) if side else [] for side in (gold, pred)]
        shuffled = pair_scores(*files(*repeated, subtask, order), subtask)
        assert shuffled == pytest.approx(scores(gold, pred, subtask), rel=0, abs=1e-12)

    try_all(150 * amount, check, pairs_of(subtask), pairs_of(subtask), st.integers(0, 99))


@amounts
def test_right_pairs_lift_recall_and_wrong_pairs_cost_precision(subtask, amount):
    def check(gold, pred, chosen):
        before = scores(gold, pred, subtask)
        right = gold[chosen % len(gold)]
        after = scores(gold, [*pred, right], subtask)
        wrong = [pair for pair in pred if not touches(pair, gold)]
        without = scores(gold, [pair for pair in pred if pair not in wrong[:1]], subtask)
        for name in before:
            # Proportional figures count a gold span again for each prediction on it, so they need not rise.
            if name.endswith("recall") and "Proportional" not in name:
                assert after[name] >= before[name] - 1e-12
            if name.endswith("precision"):
                assert without[name] >= before[name] - 1e-12

    def touches(pair, gold):
        return any(pair[:4] == g[:4] and (subtask == 2 or set(range(*pair[4:])) & set(range(*g[4:]))) for g in gold)

    try_all(150 * amount, check, pairs_of(subtask, 1, SIX), pairs_of(subtask), st.integers(0, 11))


@amounts
def test_perfect_is_1_and_nothing_is_0(subtask, amount):
    def check(gold):
        figures = scores(gold, gold, subtask)
        assert all(0 <= figure <= 1 for figure in figures.values())
        assert figures == pytest.approx(dict.fromkeys(figures, 1), abs=1e-6)
        assert set(scores(gold, [], subtask).values()) == {0.0}

    # Spans that overlap each other in one place count more than once in the proportional figures.
    one_span_a_place = pairs_of(subtask, 1, SIX).map(lambda pairs: list({pair[:4]: pair for pair in pairs}.values()))
    try_all(150 * amount, check, one_span_a_place)
