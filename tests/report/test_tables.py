"""Several systems' figures as one.

python -m pytest tests/report/test_tables.py
"""

import pytest

from utils.report.tables import mean_and_spread


def test_the_spread_is_the_deviation_of_a_sample():
    members = [{"causes by": "a", "pairs": {"weighted_f1": f1, "support": 3}} for f1 in (0.1, 0.2, 0.6)]
    found = mean_and_spread(members)
    assert found == {"pairs": {"weighted_f1": pytest.approx([0.3, 0.07**0.5])}}
