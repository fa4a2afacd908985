"""Sets the repository's public address everywhere: badges, the notebooks' set-up cells, cards, pyproject, CITATION.

make address URL=https://github.com/me/repository     # python -m docs.set_address URL

It needs no package. Until it has run, a line stands where the badges will be, and cards name the repository without a
link. `make address URL=https://github.com/OWNER/emotion-cause-pairs` takes the address away again.
"""

import re
import sys
from pathlib import Path

from utils.system.command import command
from utils.system.errors import ConfigError
from utils.system.files import write_texts
from utils.system.places import ROOT, UNSET, address, mention

# Where the address stands as it is. The others hold a block of badges, or a card's sentence.
FILES = ("pyproject.toml", "CITATION.cff", "README.md", "notebooks/*", "results_train/*/adapters/*/README.md")
BLOCK = re.compile(r"(<!-- badges: (.+) -->\n).*?\n(<!-- end of badges -->)", re.S)
CARD = re.compile(r"(?<=^It is used by )(?:\[emotion-cause-pairs\]\([^)]*\)|emotion-cause-pairs)(?=,)", re.M)
NONE_YET = "*Badges for Colab and Kaggle: none before `make address URL=https://github.com/ACCOUNT/REPOSITORY`.*"


def badges(names: list[str], url: str | None) -> str:
    """A line a notebook, with the badges that open it in Colab and in Kaggle; without an address NONE_YET."""
    if url is None:
        return NONE_YET
    colab = url.replace("https://github.com/", "https://colab.research.google.com/github/")
    return "\n".join(
        f"- `{name}`:"
        f" [![Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab}/blob/main/notebooks/{name}.ipynb)"
        f" [![Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)]"
        f"(https://kaggle.com/kernels/welcome?src={url}/blob/main/notebooks/{name}.ipynb)"
        for name in names
    )


def with_address(text: str, old: str, new: str) -> str:
    """A file's text with the address `new` where `old` stands, and with badges and a card's sentence as they follow
    from it."""
    url = None if new == UNSET else new
    text = text.replace(old, new)
    text = BLOCK.sub(lambda block: f"{block[1]}{badges(block[2].split(), url)}\n{block[3]}", text)
    return CARD.sub(mention(url), text)


def set_address(new: str, root: Path = ROOT) -> list[Path]:
    """Writes the address `new` into all files below `root` that hold it; the changed ones, all of them or none.

    Raises ConfigError for an address that is none of GitHub's.
    """
    new = re.sub(r"(\.git)?/*$", "", new.strip())
    if not re.fullmatch(r"https://github\.com/[A-Za-z0-9-]+/[\w.-]+", new):
        raise ConfigError(
            f"{new!r} is no address of a repository on GitHub, where Colab and Kaggle open notebooks from. Give it as "
            "URL=https://github.com/ACCOUNT/REPOSITORY"
        )
    old = address(root) or UNSET
    texts = {
        path: path.read_text("utf-8") for pattern in FILES for path in sorted(root.glob(pattern)) if path.is_file()
    }
    changed = {path: after for path, text in texts.items() if (after := with_address(text, old, new)) != text}
    write_texts(changed)
    return list(changed)


@command("docs.set_address")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for an address that cannot be."""
    given = sys.argv[1:] if argv is None else argv
    for path in set_address("".join(given)):
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
