"""Writes docs/parameters.md from utils/config.py.

python -m docs.make_parameters     # `make docs` runs it
"""

from dataclasses import Field, fields
from pathlib import Path
from typing import get_args

from utils.config import GROUPS, Config
from utils.system.files import write_text
from utils.system.parameters import number

PAGE = Path(__file__).with_name("parameters.md")
HEAD = """# Parameters

Change a parameter in a notebook's parameters cell, in a file of `configs/`, or on the command line
(`python -m utils.chain CONFIG -p NAME VALUE`). A mistyped name or an impossible value is refused before anything runs.

`make docs` writes this page from `utils/config.py`; a test holds the two equal."""


def page() -> str:
    """Every parameter with its default, what it can be and what it does, as Markdown: a table for each group."""
    parts = [HEAD]
    for group in GROUPS:
        rows = [
            f"| `{f.name}` | `{_shown(f.default)}` | {_possible(f)} | {f.metadata['help']} |"
            for f in fields(Config)
            if f.metadata["group"] == group
        ]
        parts.append(
            "\n".join([f"## {group}\n", "| parameter | default | can be | what it does |", "|---|---|---|---|"])
        )
        parts[-1] += "\n" + "\n".join(rows)
    return "\n\n".join(parts) + "\n"


def _shown(value) -> str:
    """A default as a YAML file spells it."""
    return str(value).lower() if isinstance(value, bool) else str(value) or '""'


def _possible(f: Field) -> str:
    """What a parameter can be, in words."""
    if "choices" in f.metadata:
        return ", ".join(f"`{choice}`" for choice in f.metadata["choices"])
    kinds = {bool: "`true`, `false`", str: "text", int: "a whole number", float: "a number"}
    bounds = [f"{word} {number(f.metadata[word])}" for word in ("above", "below") if word in f.metadata]
    bounds[:0] = [f"{f.metadata['minimum']} or more"] if "minimum" in f.metadata else []
    words = kinds[type(f.default)] + (" or a list of names" if list in get_args(f.type) else "")
    return ", ".join([words, *bounds])


if __name__ == "__main__":
    write_text(page(), PAGE)
    print(PAGE)
