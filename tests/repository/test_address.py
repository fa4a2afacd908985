"""The repository's public address: no dead badge before it is set, and `make address` sets it everywhere.

python -m pytest tests/repository/test_address.py
"""

import re
import shutil
import subprocess
import sys

import pytest
from helpers import ROOT, copy_code, files, run_in

from docs.set_address import BLOCK, NONE_YET, badges, set_address
from utils.system.errors import ConfigError
from utils.system.places import UNSET, address

NEW = "https://github.com/some-body/mecpe.one"
PARTS = ("utils", "notebooks", "docs", "configs", "results_train", "pyproject.toml", "CITATION.cff", "README.md")


@pytest.fixture
def repository(tmp_path):
    """A copy of the repository without an address, whatever this one has."""
    copy_code(tmp_path, PARTS)
    set_address(UNSET, tmp_path)
    return tmp_path


def pages(folder):
    """The texts of the files that a reader opens or that name the address."""
    found = {
        name: content for name, content in files(folder).items() if name.endswith((".md", ".ipynb", ".toml", ".cff"))
    }
    return {name: content.decode("utf-8") for name, content in found.items()}


def test_badges_are_those_of_the_address():
    """Of this repository, whether its address is set or not."""
    for page in ("README.md", "notebooks/README.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        (block,) = BLOCK.findall(text)
        wanted = badges(block[1].split(), address())
        assert f"{block[0]}{wanted}\n{block[2]}" in text, "make address URL=..."
    named = {one for block in BLOCK.findall(text) for one in block[1].split()}
    assert named == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}


def test_without_an_address_no_badge_is_shown_and_one_line_says_so(repository):
    assert address(repository) is None
    for page in ("README.md", "notebooks/README.md"):
        text = (repository / page).read_text(encoding="utf-8")
        assert NONE_YET in text and "\n" not in NONE_YET and "make address URL=" in NONE_YET
        assert "colab.research.google.com" not in text and "kaggle.com" not in text
    for page, text in pages(repository).items():
        links = re.findall(r"\]\((https://github\.com/OWNER[^)]*)\)", text)
        assert not links, f"{page} has dead links: {links}"


def test_make_address_sets_it_everywhere_and_takes_it_back(repository):
    before = files(repository)
    assert {str(path.relative_to(repository)) for path in set_address(f"{NEW}.git/", repository)} >= {
        "pyproject.toml", "CITATION.cff", "README.md", "notebooks/README.md", "notebooks/0_try_it.ipynb",
        "results_train/smollm2-135m-ecf/adapters/emotion/README.md",
    }  # fmt: skip
    assert address(repository) == NEW
    texts = pages(repository)
    assert not [page for page, text in texts.items() if UNSET in text]
    for name in ("0_try_it", "all_in_one", "1_emotion_recognition_training"):
        assert (
            f"https://colab.research.google.com/github/some-body/mecpe.one/blob/main/notebooks/{name}.ipynb"
            in (texts["notebooks/README.md"])
        )
        assert (
            f"https://kaggle.com/kernels/welcome?src={NEW}/blob/main/notebooks/{name}.ipynb"
            in (texts["notebooks/README.md"])
        )
        assert f'REPOSITORY = \\"{NEW}\\"' in texts[f"notebooks/{name}.ipynb"]
    assert len(texts["README.md"]) <= 10_000
    other = set_address("https://github.com/another/place", repository)
    assert other and NEW not in "".join(pages(repository).values())
    set_address(UNSET, repository)
    assert files(repository) == before


def test_cards_written_after_it_are_those_that_it_changed(repository):
    set_address(NEW, repository)
    adapters = repository / "results_train/smollm2-135m-ecf/adapters"
    changed = files(adapters)
    assert f"[emotion-cause-pairs]({NEW})" in changed["emotion/README.md"].decode()
    done = run_in(repository, "-m", "utils.card", adapters.parent)
    assert done.returncode == 0 and files(adapters) == changed, done.stderr


@pytest.mark.parametrize("wrong", ["", "me/repo", "http://github.com/me/repo", "https://gitlab.com/me/one", f"{NEW}/a"])
def test_another_address_is_refused_in_one_message_and_nothing_changes(repository, wrong):
    before = files(repository)
    with pytest.raises(ConfigError, match="URL=https://github.com/ACCOUNT/REPOSITORY"):
        set_address(wrong, repository)
    assert files(repository) == before


def test_make_address_needs_no_package(repository):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shutil.copy(ROOT / "Makefile", repository)
    command = ["make", "-s", "address", f"PYTHON={sys.executable} -S -E"]
    done = subprocess.run([*command, f"URL={NEW}"], cwd=repository, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "README.md" in done.stdout and address(repository) == NEW, done.stderr
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60)
    assert done.returncode and "URL=https://github.com/ACCOUNT/REPOSITORY" in done.stderr
    assert "Traceback" not in done.stderr
