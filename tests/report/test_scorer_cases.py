"""The scores equal those that the task's published evaluation gave, on every case of `../shared/scorer_cases`.

python -m pytest tests/report/test_scorer_cases.py     (skipped where ../shared is absent)
"""

import json

import pytest

from utils.report.metrics import pair_scores
from utils.system.errors import ScoringError


@pytest.mark.parametrize("name", ("subtask_1", "subtask_2"))
def test_official_figures_on_every_case(shared, name):
    lines = (shared / "scorer_cases" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines
    for number, line in enumerate(lines, 1):
        case = json.loads(line)
        if "error" in case["official"]:
            with pytest.raises(ScoringError):
                pair_scores(case["gold"], case["pred"], case["subtask"])
        else:
            scores = pair_scores(case["gold"], case["pred"], case["subtask"])
            assert list(scores) == list(case["official"])
            assert scores == pytest.approx(case["official"], rel=0, abs=1e-9), f"line {number}"
