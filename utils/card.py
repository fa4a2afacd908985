"""The model card of an adapter: its data and their licence, its scores, and the command that makes it again.

    python -m utils.card sample     # writes README.md into the folders of both adapters of this run

A card is made from what the run recorded (training.json, config.json, metrics.json) and from nothing else. Training and
inference write it; it needs no network.
"""

import argparse
import sys

from utils.record.card import write_cards
from utils.record.predictions import run_folder
from utils.system.command import add_run, command
from utils.system.errors import RunError


@command("utils.card")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for a folder without adapters."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.card", description="Write the model cards of a run's adapters."
    )
    parser.add_argument("name", nargs="?", metavar="RUN", help="the same as --run")
    add_run(parser)
    arguments = parser.parse_args(argv)
    folder = run_folder(arguments.name or arguments.run)
    written = write_cards(folder)
    if not written:
        raise RunError(f"{folder}: no finished adapter here; give a run or folder of results_train")
    print("\n".join(map(str, written)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
