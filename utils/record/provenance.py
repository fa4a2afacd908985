"""Where a result comes from: code revision, package versions, hashes of input and weights."""

import hashlib
import subprocess
from importlib import metadata
from pathlib import Path

from utils.system.places import ROOT

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "datasets", "scikit-learn")


def revision() -> str:
    """The code's revision: the commit, with "+changes" where the working tree differs; "unknown" without git."""

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--", "utils", "notebooks", "generate_input.py")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if changed else "")


def versions() -> dict[str, str]:
    """The installed versions of the packages that results depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def weights_of(adapter: Path) -> str:
    """The beginning of the SHA-256 of an adapter's weights."""
    return hashlib.sha256((Path(adapter) / "adapter_model.safetensors").read_bytes()).hexdigest()[:16]


def fingerprints(input_dir: Path) -> dict[str, str]:
    """The beginning of the SHA-256 of each split's file: a run is a run on these data."""
    files = sorted(input_dir.glob("*/conversations.json"))
    return {file.parent.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}
