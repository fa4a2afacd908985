"""The benchmark of very many conversations: what it gives to the cluster, and what it calculates.

python -m pytest tests/benchmarks/test_many.py
"""

import pytest

from benchmarks.speed.many import calculated, figure, renamed, small_adapters
from utils.data.validation import validate_conversations
from utils.predict import Predictor


def test_the_sample_is_repeated_with_other_names(sample):
    many = list(renamed(sample[:2], 5))
    validate_conversations(many, labels=None)
    assert [c["conversation_ID"] for c in many] == [1, 2, 3, 4, 5]
    texts = [[u["text"] for u in c["conversation"]] for c in many]
    assert texts[0] == texts[2] == texts[4] != texts[1]
    names = [{u["speaker"] for u in c["conversation"]} for c in many]
    assert not names[0] & names[2] and not names[2] & names[4]


def test_its_small_adapters_label(sample, tmp_path):
    emotion, cause = small_adapters(tmp_path, sample[:10])
    labelled, *_ = Predictor(emotion, cause)(list(renamed(sample[:2], 3)))
    assert len(labelled) == 3 and all("emotion" in u for c in labelled for u in c["conversation"])


def test_workers_help_until_reading_and_writing_decide():
    found = calculated(own=0.01, label=0.1)
    assert found[2] == pytest.approx(20) and found[8] == pytest.approx(80)
    assert found[16] == found[64] == pytest.approx(100)


def test_the_figure_has_time_and_memory():
    points = [{"seconds": 5.0 * k, "conversations": 256 * k, "bytes": {"command": 2**30, "Ray": 0}} for k in range(3)]
    left, right = figure({"conversations": 512, "revision": "none", "points": points}).axes
    assert list(left.lines[0].get_ydata()) == [0, 256, 512] and len(right.lines) == 2
