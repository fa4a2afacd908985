"""The Hugging Face hub: models and adapters from it (utils/download.py), adapters and merged models to it.

    HF_TOKEN=... python -m utils.hub results_train/sample/adapters/emotion OWNER/NAME [--public]

The token is read by huggingface_hub (HF_TOKEN, or `hf auth login`) and stands in no message. HF_ENDPOINT names another
hub.
"""

import argparse
import os
import sys
from pathlib import Path

from utils.models.hub import push
from utils.system.command import command


@command("utils.hub")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message."""
    parser = argparse.ArgumentParser(description="Push an adapter or an exported model, with its card, to the hub.")
    parser.add_argument("folder", type=Path, help="an adapter's folder, or one that utils.export wrote")
    parser.add_argument("name", help="OWNER/NAME")
    parser.add_argument("--public", action="store_true", help="let everybody see it; read the card's licence first")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    print(push(arguments.folder, arguments.name, arguments.public))
    return 0


if __name__ == "__main__":
    sys.exit(main())
