"""The encoder reads what it says: every utterance where its place is, the gold labels as targets.

python -m pytest tests/tasks/test_encoder_input.py
"""

import pytest

from utils.data.conversations import causes_of, without_labels
from utils.data.labels import ECF
from utils.tasks import emotion
from utils.tasks.encoder_input import ROW, example, sizes


def said(reader, one):
    """The text that each utterance's place holds."""
    return [reader.decode(one["rows"][row][start:end]) for row, start, end in one["where"]]


def test_every_utterance_is_where_it_says_also_in_long_conversations(reader, sample, conversations):
    long = {"conversation": [u for c in sample[:20] for u in c["conversation"]]}
    for c in (*conversations, long):
        one = example(reader, without_labels(c))
        assert said(reader, one) == [f"{emotion.line(u)}<|im_end|>" for u in c["conversation"]]
        assert all(row[0] == reader.cls_token_id and len(row) <= ROW for row in one["rows"])
        assert one["pairs"] == [] and one["known"].shape == (0, sizes().known)
    assert len(one["rows"]) > 2
    # a row that goes on has context: the line before its first new one
    starts = [start for row, start, _ in one["where"] if row == 1]
    assert starts[0] > 1 and one["rows"][1][1 : starts[0]] == one["rows"][0][-(starts[0] - 1) :]


def test_targets_are_the_gold_labels(reader, conversations):
    for c in conversations:
        one = example(reader, c, gold=True)
        assert [ECF.labels[k] for k in one["emotions"]] == [u["emotion"] for u in c["conversation"]]
        ids = [u["utterance_ID"] for u in c["conversation"]]
        found = {(ids[i], ids[j]) for (i, j), y in zip(one["pairs"], one["causes"], strict=True) if y}
        assert found == {(i, j) for i, causes in causes_of(c).items() for j in causes}
        assert len(one["known"]) == len(one["pairs"])


def test_votes_are_a_part_of_the_target(reader, conversations):
    first, second, *others = ({**u, "votes": {}} for u in conversations[0]["conversation"])
    voted = {**first, "votes": {"joy": 3, "sadness": 1}}
    c = {**conversations[0], "conversation": [voted, {**second, "emotion": None}, *others]}
    c.pop("emotion-cause_pairs", None)
    shares = [dict(zip(ECF, one, strict=True)) for one in example(reader, c, True, votes=0.4)["emotions"]]
    wanted = dict.fromkeys(ECF, 0.0) | {"joy": 0.3, "sadness": 0.1}
    wanted[first["emotion"]] += 0.6
    assert shares[0] == pytest.approx(wanted)
    assert sum(shares[1].values()) == 0, "without a label, nothing"
    assert all(one == {label: float(label == u["emotion"]) for label in ECF} for one, u in zip(shares[2:], others))
