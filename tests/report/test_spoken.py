"""A labelled conversation in the terminal: what is named stands beside its utterance, and no text moves the cursor.

python -m pytest tests/report/test_spoken.py
"""

from helpers import FIVE

from utils.data.conversations import pairs, with_emotions
from utils.data.labels import ECF
from utils.report.spoken import SHOWN, WIDE, spoken


def test_each_utterance_has_its_emotion_and_the_utterances_that_caused_it():
    first, *lines = spoken(FIVE, ECF).split("\n")
    assert first == f"conversation {FIVE['conversation_ID']}:" and len(lines) == len(FIVE["conversation"])
    for u, one in zip(FIVE["conversation"], lines):
        causes = [str(cause) for of, _, cause in pairs(FIVE, ECF) if of == u["utterance_ID"]]
        end = f"  {u['emotion']}" + (f" <- {', '.join(causes)}" if causes else "")
        assert one.startswith(f"  {u['utterance_ID']} {u['speaker']}: ") and one.endswith(end)
    without = {name: one for name, one in FIVE.items() if name != "emotion-cause_pairs"}
    assert "<-" in spoken(FIVE, ECF) and "<-" not in spoken(without, ECF), "an adapter of emotions alone"


def test_long_and_hostile_texts_stay_a_line():
    utterances = [{"utterance_ID": k, "speaker": "A", "text": "\x1b[2J\u202ex" * 30} for k in range(1, SHOWN + 3)]
    long = with_emotions({"conversation_ID": 1, "conversation": utterances}, ["joy"] * len(utterances))
    _, *lines, last = spoken(long, ECF).split("\n")
    assert len(lines) == SHOWN and last == "  ... 2 more"
    assert all(one.isprintable() and len(one) < WIDE + 20 for one in lines)
