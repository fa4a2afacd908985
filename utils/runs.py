"""Finished runs: are the scores in metrics.json those of the predictions?

python -m utils.runs verify results_train/smollm2-135m-ecf
"""

import argparse
import sys
from pathlib import Path

from utils.record.predictions import verify
from utils.system.command import command


@command("utils.runs")
def main(argv=None) -> int:
    """Exit status 0 where every figure is equal, 1 where one differs, 2 where nothing can be compared."""
    parser = argparse.ArgumentParser(description="Compute the scores of a run again from its predictions.")
    parser.add_argument("command", choices=["verify"])
    parser.add_argument("folder", type=Path, help="a folder of results_train")
    arguments = parser.parse_args(argv)
    figures = verify(arguments.folder)
    wrong = {
        name: (there, computed)
        for name, (there, computed) in figures.items()
        if not (isinstance(there, (int, float)) and abs(there - computed) < 1e-9)
    }
    for name, (there, computed) in wrong.items():
        print(f"{name}: {there} in metrics.json, {computed} from the predictions")
    print(f"{arguments.folder}: {len(figures) - len(wrong)} of {len(figures)} figures are those of the predictions")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
