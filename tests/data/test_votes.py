"""Votes of another release: they come to the utterances with the same words.

python -m pytest tests/data/test_votes.py
"""

import pytest
from helpers import conversation

from utils.data.labels import ECF
from utils.data.votes import distribution, votes_by_words, with_votes


def voted(*utterances):
    """A conversation of (text, votes)."""
    found = conversation([text for text, _ in utterances])
    return {**found, "conversation": [{**u, "votes": v} for u, (_, v) in zip(found["conversation"], utterances)]}


def test_votes_come_to_the_same_words_in_another_spelling():
    others = [
        voted(("Oh , you 're here !", {"joy": 3, "surprise": 2}), ("No .", {"anger": 1}), ("No", {"neutral": 3})),
        voted(("Hm.", {"non-neutral": 5})),  # no label of the set
    ]
    votes = votes_by_words(others, ECF)
    given = [conversation(["Oh, you're here!", "NO!", "Hm.", "Something else."])]
    (found,), count = with_votes(given, votes)
    shares = [distribution(u, ECF) if "votes" in u else None for u in found["conversation"]]
    assert count == 2 and shares[2:] == [None, None]
    assert shares[0] == pytest.approx({"joy": 0.6, "surprise": 0.4})
    assert shares[1] == pytest.approx({"anger": 0.5, "neutral": 0.5}), "the mean of two utterances with these words"
    assert "votes" not in given[0]["conversation"][0], "copies"
