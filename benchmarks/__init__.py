"""What the README claims, measured. See README.md in this folder; records go to results/."""

from pathlib import Path

import utils  # noqa: F401  (it sets the environment, which libraries read when they are imported)

RESULTS = Path(__file__).parent / "results"
