"""The scores equal those of the reference scorer, and behave as precision and recall must.

python -m pytest tests/report/test_scorer_properties.py     (make soak: thousands of cases)
"""

import random
from string import punctuation

import pytest
from helpers import amounts, try_all
from hypothesis import strategies as st
from reference_scorer import SIX, reference_scores

from utils.report.metrics import pair_scores

# Every word once, so that a span of text is one range of tokens.
WORDS = "the red kite is back again".split()
NOT_SAID = "green"


# ---- random gold and predictions ---------------------------------------------------------------------------
# A pair is (conversation, emotion utterance, emotion, cause utterance, start, end); Subtask 2 has no range.


def pairs_of(subtask, least=0, emotions=(*SIX, "neutral"), empty=False):
    """Strategy: pairs in few places, so that many agree in part; half of the lists crowd their spans into two places.

    empty: whether a span may be the empty range 0 to 0.
    """
    spans = st.tuples(st.integers(0, len(WORDS) - 1), st.integers(1, len(WORDS))).filter(lambda span: span[0] < span[1])
    if empty:
        spans = st.one_of(spans, spans, spans, st.just((0, 0)))

    def lists(numbers, emotions):
        number = st.sampled_from(numbers)
        pair = st.tuples(number, number, st.sampled_from(emotions), number)
        if subtask == 1:
            pair = st.builds(lambda pair, span: (*pair, *span), pair, spans)
        return st.lists(pair, min_size=least, max_size=12)

    return st.one_of(lists((1, 2, 3), emotions), lists((1,), emotions[:2]))


def files(gold, pred, subtask, order=None):
    """Both lists of pairs as the files write them, conversations and pairs in the order of a random generator."""

    def written(pair, spans_as_words):
        cause = f"{pair[3]}"
        if subtask == 1:
            start, end = pair[4:]
            cause += f"_{' '.join(WORDS[start:end]) or NOT_SAID}" if spans_as_words else f"_{start}_{end}"
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
def test_equal_to_the_reference_scorer(subtask, amount):
    def check(gold, pred):
        expected = reference_scores(*files(gold, pred, subtask), subtask)
        assert scores(gold, pred, subtask) == pytest.approx({k: float(v) for k, v in expected.items()}, rel=0, abs=1e-9)

    try_all(200 * amount, check, pairs_of(subtask, empty=True), pairs_of(subtask, empty=True))


@amounts
def test_order_and_repetition_change_nothing(subtask, amount):
    def check(gold, pred, seed):
        order = random.Random(seed)
        repeated = [side + order.choices(side, k=3) if side else [] for side in (gold, pred)]
        shuffled = pair_scores(*files(*repeated, subtask, order), subtask)
        assert shuffled == scores(gold, pred, subtask)

    pairs = pairs_of(subtask, empty=True)
    try_all(150 * amount, check, pairs, pairs, st.integers(0, 99))


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
def test_no_figure_leaves_0_to_1(subtask, amount):
    def check(gold, pred):
        assert all(0 <= figure <= 1 for figure in scores(gold, pred, subtask).values())

    try_all(150 * amount, check, pairs_of(subtask, empty=True), pairs_of(subtask, empty=True))


@amounts
def test_perfect_is_1_and_nothing_is_0(subtask, amount):
    """Also where gold spans of one place overlap or lie in one another."""

    def check(gold):
        figures = scores(gold, gold, subtask)
        assert all(0 <= figure <= 1 for figure in figures.values())
        assert figures == pytest.approx(dict.fromkeys(figures, 1), abs=1e-6)
        assert set(scores(gold, [], subtask).values()) == {0.0}

    try_all(150 * amount, check, pairs_of(subtask, 1, SIX))


@amounts
def test_perfect_is_1_where_gold_spans_lie_in_one_another(amount):
    """Two ends for each of several nested spans of one place: sorted, the first and the last are the outermost."""

    def check(ends):
        ends = sorted(ends)
        gold = [(1, 1, "joy", 1, ends[i], ends[-1 - i]) for i in range(len(ends) // 2)]
        figures = scores(gold, gold, 1)
        assert figures == pytest.approx(dict.fromkeys(figures, 1), abs=1e-6)

    try_all(50 * amount, check, st.sets(st.integers(0, len(WORDS)), min_size=4))


@amounts
def test_white_space_and_outer_punctuation_of_a_gold_span_change_nothing(amount):
    white = "\t\n\x1f \u00a0\u2003\u3000"
    margin = st.text(alphabet=punctuation + white, max_size=4)

    def check(span, before, after, between):
        start, end = sorted(span)
        gold, pred = files([(1, 1, "joy", 1, start, end)], [(1, 1, "joy", 1, start, end)], 1)
        gold[0]["emotion-cause_pairs"] = [["1_joy", f"1_{before}{between.join(WORDS[start:end])}{after}"]]
        gold[0]["conversation"] = [{"utterance_ID": 1, "text": between.join(WORDS)}]
        figures = pair_scores(gold, pred, 1)
        assert figures == pytest.approx(dict.fromkeys(figures, 1), abs=1e-6)

    spans = st.sets(st.integers(0, len(WORDS)), min_size=2, max_size=2)
    try_all(150 * amount, check, spans, margin, margin, st.text(alphabet=white, min_size=1, max_size=2))
