"""The baselines without a model.

python -m pytest tests/tasks/test_baselines.py
"""

from helpers import FIVE, conversation

from utils.data.conversations import pairs
from utils.tasks import baselines


def test_majority():
    assert baselines.majority([FIVE]) == "neutral" and baselines.majority([]) == "neutral"
    assert baselines.majority([conversation("ab", ["fear", "fear"]), FIVE]) == "fear"


def test_rule():
    assert pairs(baselines.rule(FIVE)) == [
        (1, "joy", 1),
        (3, "anger", 2),
        (3, "anger", 3),
        (4, "fear", 4),  # utterances 3 and 4 are the same speaker's
    ]
