"""The scores of wordings: one row each, the average, and mean and spread of those that training asked with or not.

python -m pytest tests/report/test_scores_of_wordings.py
"""

import statistics

import jsonschema
import pytest
from helpers import ROOT, labelled_conversation

from utils.data.conversations import with_emotions, with_pairs
from utils.report.metrics import emotion_scores, pair_scores
from utils.report.wordings import wordings_of_causes, wordings_of_emotions, wordings_rows
from utils.system.files import read_json
from utils.tasks.pool import Pool

GOLD = labelled_conversation()
POOL = Pool("{labels}", {"a": "{speaker} a", "b": "{speaker} b", "c": "{speaker} c"}, ("c",))
CALM = with_emotions(GOLD, ["neutral"] * 3)
EMOTIONS = {"a": GOLD, "b": with_emotions(GOLD, ["neutral", "joy", "joy"]), "c": CALM, "average": GOLD}
PAIRS = {name: with_pairs(GOLD, [(2, "joy", cause)]) for name, cause in (("a", 1), ("b", 2), ("c", 1), ("average", 1))}


def checked(section):
    """A section of metrics.json is as its schema says."""
    schema = read_json(ROOT / "docs" / "metrics.schema.json")
    jsonschema.validate(section, {"$ref": "#/$defs/wordings", "$defs": schema["$defs"]})


def test_every_wording_has_the_scores_of_its_answers():
    found = wordings_of_emotions([GOLD], {name: ([c], None) for name, c in EMOTIONS.items()}, POOL)
    for name in "abc":
        one, wanted = found["wordings"][name], emotion_scores([GOLD], [EMOTIONS[name]])
        assert {part: one[part] for part in ("accuracy", "weighted_f1", "macro_f1")} == {
            part: wanted[part] for part in ("accuracy", "weighted_f1", "macro_f1")
        }
        assert one["f1"]["joy"] == wanted["per_emotion"]["joy"]["f1"]
        assert (one["text"], one["trained"]) == (POOL.wordings[name], name != "c")
    assert found["average"]["accuracy"] == 1.0 and "text" not in found["average"]
    checked(found)
    causes = wordings_of_causes([GOLD], {name: ([c], None) for name, c in PAIRS.items()}, POOL)
    checked(causes)
    for name in "abc":
        wanted = pair_scores([GOLD], [PAIRS[name]], 2)
        assert {part: causes["wordings"][name][part] for part in wanted} == wanted


def test_the_spread_is_over_the_wordings_of_a_group():
    found = wordings_of_emotions([GOLD], {name: ([c], None) for name, c in EMOTIONS.items()}, POOL)
    a, b, c = (found["wordings"][name]["macro_f1"] for name in "abc")
    assert found["spread"]["trained"]["macro_f1"] == {
        "wordings": 2,
        "mean": pytest.approx((a + b) / 2),
        "deviation": pytest.approx(statistics.stdev([a, b])),
        "lowest": min(a, b),
        "highest": max(a, b),
    }
    assert found["spread"]["not trained"]["macro_f1"]["deviation"] is None
    alone = Pool("{labels}", POOL.wordings, (), trains="b")
    found = wordings_of_emotions([GOLD], {name: ([c], None) for name, c in EMOTIONS.items()}, alone)
    assert found["spread"]["not trained"]["macro_f1"]["mean"] == pytest.approx((a + c) / 2)


def test_the_table_has_a_row_a_wording_and_f1_of_every_label():
    rows = wordings_rows(wordings_of_emotions([GOLD], {name: ([c], None) for name, c in EMOTIONS.items()}, POOL))
    assert [*rows] == ["a", "b", "c *", "average of all"] + [
        f"{part}, {group}" for group in ("trained", "not trained") for part in ("mean", "deviation")
    ]
    assert rows["a"]["F1 joy"] == 1.0 and rows["c *"]["F1 joy"] == 0.0
