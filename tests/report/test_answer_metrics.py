"""Loss, perplexity, ROUGE-L and exact matches, on cases that are worked out by hand.

python -m pytest tests/report/test_answer_metrics.py
"""

import math

import pytest

from utils.report.answer_metrics import choice_scores, compared, held_out_scores, rouge_l, words, written_scores


# The last column is that of the package rouge-score 0.1.2, without stemming; 3,000 random pairs were compared once.
@pytest.mark.parametrize(
    "reference,text,wanted",
    [
        ("police killed the gunman", "police kill the gunman", 0.75),  # Lin 2004, section 3.1
        ("police killed the gunman", "the gunman kill police", 0.5),
        ("the cat sat on the mat", "the cat was on the mat", 5 / 6),
        ("a_b c-d, e!", "A b C d e f", 10 / 11),
        ("a a b", "a b a b", 6 / 7),
        ("one two three four", "four three two one", 0.25),
        ("It has four words.", "four", 0.4),
        ("A plum.", "An apple.", 0.0),
        ("", "x", 0.0),
        ("x", "...", 0.0),
    ],
)
def test_rouge_l_is_that_of_the_formula(reference, text, wanted):
    assert rouge_l(reference, text) == pytest.approx(wanted) == rouge_l(text, reference)


def test_words_of_other_languages_count():
    assert words("Die Stra\u00dfe, na\u00efve e\u0301t\u00e9_2!") == [
        "die",
        "stra\u00dfe",
        "na\u00efve",
        "\u00e9t\u00e9",
        "2",
    ]
    assert rouge_l("\u043a\u043e\u0442 \u0441\u043f\u0438\u0442", "\u041a\u043e\u0442 \u0435\u0441\u0442") == 0.5


def test_loss_is_a_mean_over_tokens():
    found = held_out_scores([(-3.0, 1), (-1.0, 3)])
    assert found == {"loss": 1.0, "perplexity": pytest.approx(math.e), "answers": 2, "tokens": 4}
    assert held_out_scores([]) == {}
    assert held_out_scores([(-2000.0, 1)])["perplexity"] == math.inf, "beyond what a float holds"


def test_written_answers_and_choices():
    found = written_scores([compared("A plum.", "A  plum.\n"), compared("It has four words.", "four")])
    assert found == {"rouge_l": pytest.approx(0.7), "exact_match": 0.5, "answers": 2}
    assert compared("a", "A") == (1.0, False)
    assert choice_scores(["yes", "no", "no"], ["yes", "yes", "no"]) == {"exact_match": 2 / 3, "answers": 3}
    assert written_scores([]) == choice_scores([], []) == {}
