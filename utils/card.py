"""The model card of an adapter: its data and their licence, its scores, and the command that makes it again.

    python -m utils.card results_train/smollm2-135m-ecf     # writes README.md into the folders of both adapters

A card is made from what the run recorded (training.json, config.json, metrics.json) and from nothing else. Training and
inference write it; it needs no network.
"""

import argparse
import sys
from pathlib import Path

from utils.record.card import write_cards
from utils.system.command import command
from utils.system.errors import RunError


@command("utils.card")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for a folder without adapters."""
    parser = argparse.ArgumentParser(description="Write the model cards of a run's adapters.")
    parser.add_argument("run", type=Path, help="a folder of results_train")
    arguments = parser.parse_args(argv)
    written = write_cards(arguments.run)
    if not written:
        raise RunError(f"{arguments.run}: no finished adapter here; give a folder of results_train")
    print("\n".join(map(str, written)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
