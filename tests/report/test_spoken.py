"""A labelled conversation in the terminal: what is named stands beside its utterance, and no text moves the cursor.

python -m pytest tests/report/test_spoken.py
"""

from helpers import FIVE

from utils.data.conversations import pairs, with_emotions, with_pairs
from utils.data.labels import ECF
from utils.report.spoken import SHOWN, WIDE, spoken


def test_each_utterance_has_its_emotion_and_the_utterances_that_caused_it():
    given = with_pairs(FIVE, [(1, "joy", 1), (4, "fear", 1), (4, "fear", 2)])
    first, *lines = spoken(given, ECF).split("\n")
    assert first == f"conversation {given['conversation_ID']}:" and len(lines) == len(given["conversation"])
    for u, one in zip(given["conversation"], lines):
        causes = [str(cause) for of, _, cause in pairs(given, ECF) if of == u["utterance_ID"]]
        end = f"  {u['emotion']}" + (f" <- {', '.join(causes)}" if causes else "")
        assert one.startswith(f"  {u['utterance_ID']} {u['speaker']}: ") and one.endswith(end)
    without = {name: one for name, one in given.items() if name != "emotion-cause_pairs"}
    assert "fear <- 1, 2" in spoken(given, ECF) and "<-" not in spoken(without, ECF), "an adapter of emotions alone"


def test_long_and_hostile_texts_stay_a_line():
    utterances = [{"utterance_ID": k, "speaker": "A", "text": "\x1b[2J\u202ex" * 30} for k in range(1, SHOWN + 3)]
    long = with_emotions({"conversation_ID": 1, "conversation": utterances}, ["joy"] * len(utterances))
    _, *lines, last = spoken(long, ECF).split("\n")
    assert len(lines) == SHOWN and last == "  ... 2 more"
    assert all(one.isprintable() and len(one) < WIDE + 20 for one in lines)
