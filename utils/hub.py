"""The Hugging Face hub: models and adapters from it (utils/download.py), adapters and merged models to it.

    HF_TOKEN=... python -m utils.hub emotion OWNER/NAME --run sample [--public]
    HF_TOKEN=... python -m utils.hub exported/emotion OWNER/NAME                  # what utils.export wrote

The token is read by huggingface_hub (HF_TOKEN, or `hf auth login`) and stands in no message. HF_ENDPOINT names another
hub.
"""

import argparse
import os
import sys

from utils.models.hub import push
from utils.record.adapter import adapter_folder
from utils.system.command import add_run, command


@command("utils.hub")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.hub", description="Push an adapter or an exported model, with its card, to the hub."
    )
    parser.add_argument("adapter", help="a task, such as emotion, of the run; or a folder, also one of utils.export")
    parser.add_argument("name", help="OWNER/NAME")
    add_run(parser)
    parser.add_argument("--public", action="store_true", help="let everybody see it; read the card's licence first")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    print(push(adapter_folder(arguments.adapter, arguments.run), arguments.name, arguments.public))
    return 0


if __name__ == "__main__":
    sys.exit(main())
