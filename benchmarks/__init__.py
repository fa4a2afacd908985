"""What the README claims, measured. See README.md in this folder; records go to results/."""

from pathlib import Path

RESULTS = Path(__file__).parent / "results"
