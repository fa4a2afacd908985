"""What a parameter is: a field of a dataclass with its default, its bounds and one sentence about it.

    rate: float = parameter("How it learns", 1e-3, "the learning rate", above=0)
    problem(field, value)                 # why it cannot have this value, in words; None where it can
    read_mapping(path)                    # {name: value} of a YAML file, as text that a person wrote

utils/config.py declares the parameters of a run with it.
"""

import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import Field, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml

from utils.system.errors import ConfigError, shown

_LONGEST = 20_000  # characters of a parameter file; YAML is read slowly
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, marks of direction, half characters, line breaks
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def parameter(group: str, default, help: str, **facts) -> Any:
    """A field of Config with all that is known about it: its group, its default, and what it does.

    facts  choices: all its values; above, minimum, below: its bounds (the first and the last are excluded); noun:
           what a message calls it
    """
    return field(default=default, metadata={"group": group, "help": help, **facts})


def as_declared(f: Field, value):
    """`value` as the parameter `f` takes it: a whole number, or text such as 1e-3, which YAML leaves text, as a float
    where one is wanted. Else `value` itself."""
    if type(f.default) is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            if isinstance(value, int) or _NUMBER.fullmatch(value):
                return float(value)
        except (ValueError, OverflowError):
            pass
    return value


def problem(f: Field, value) -> str | None:
    """Why the parameter `f` cannot be `value`, in words that follow on its value; None where it can."""
    kind, facts = type(f.default), f.metadata
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if list in get_args(f.type) and isinstance(value, list):
        fits = bool(value) and all(isinstance(one, str) for one in value)
    if not fits:
        return f"it must be of type {kind.__name__}"
    # It stands in commands, cards and names of files.
    texts = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    if any(unicodedata.category(character) in _UNSEEN for text in texts for character in text):
        return "it must be whole characters of one line that can be seen"
    if "choices" in facts and value not in facts["choices"]:
        return f"choose one of {', '.join(facts['choices'])}"
    if isinstance(value, float) and not math.isfinite(value):
        return "it must be a finite number"
    above, minimum, below = (facts.get(bound) for bound in ("above", "minimum", "below"))
    if above is not None and value <= above:
        return f"it must be above {above or 'zero'}"
    if minimum is not None and below is not None and not minimum <= value < below:
        return f"it must lie from {minimum} to below {number(below)}"
    if minimum is not None and value < minimum:
        return f"it must not be below {minimum or 'zero'}"
    if below is not None and value >= below:
        return f"{facts.get('noun', 'it')} must lie below {number(below)}"
    return None


def name_problem(name: str) -> str | None:
    """Why a text cannot name a folder on every system, stand in commands and in papermill's parameters, which fill {},
    in words that follow on it; None where it can."""
    plain = Path(name).name == name and not set("{}\\") & set(name)
    if plain and name.strip() and name[0] not in ".-" and len(name) <= 100:
        return None
    return (
        "it must be one plain folder name of up to 100 characters, without braces and backslashes, and not begin with "
        "a dot or a dash"
    )


def number(bound: int) -> str:
    """A bound as text: 1, or 2**32."""
    return str(bound) if bound < 2**16 else f"2**{bound.bit_length() - 1}"


def read_mapping(path) -> dict:
    """{name: value} of a YAML file.

    Raises ConfigError for a file that is missing or no mapping, and for a name that is there twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > _LONGEST:
            raise ValueError(f"{len(text):,} characters where {_LONGEST:,} are plenty")
        values = yaml.safe_load(text)
        names = _twice(yaml.compose(text, yaml.SafeLoader)) if isinstance(values, dict) else []
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file. Give a file of configs/, or one like them") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # PyYAML lets ValueError, KeyError, AttributeError and more out of odd values
        why = " ".join(f"{error!s:.500}".split())
        raise ConfigError(f"{path}: cannot be read as YAML ({why})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must be a mapping of parameter names to values")
    for name in names:
        raise ConfigError(f"{path}: parameter {shown(name)} is there twice")
    return values


def _twice(node, seen: set | None = None) -> list[str]:
    """The keys that a mapping of YAML has twice, or one within it; a node that aliases mean is looked at once."""
    seen = set() if seen is None else seen
    if id(node) in seen:
        return []
    seen.add(id(node))
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    keys = [str(key.value) for key, _ in pairs]
    within = node.value if isinstance(node, yaml.SequenceNode) else [value for _, value in pairs]
    return [key for key in keys if keys.count(key) > 1] + [key for one in within for key in _twice(one, seen)]


def names_in(value: str | list) -> tuple[str, ...]:
    """The names that a parameter holds, of those that are text or a list of names: none for empty text."""
    return tuple(name for name in ([value] if isinstance(value, str) else value) if name)


def check_known(values: Iterable, known: list[str], source) -> None:
    """Raises ConfigError for one of `values` that is none of the names `known`, with the nearest of them."""
    for name in values:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{source}: unknown parameter {shown(name)}; {hint}")


def parse(name: str, text: str, text_wanted: bool):
    """The value of the parameter `name` on the command line, read as YAML; with `text_wanted` it stays text (7, no or
    2026-11-30 as the name of a run). Raises ConfigError for text that is no YAML."""
    try:
        if len(text) > _LONGEST:
            raise yaml.YAMLError("it is too long")
        value = yaml.safe_load(text)
    except Exception as error:  # as in read_mapping
        if text_wanted and isinstance(error, ValueError):  # a date that does not exist
            return text
        raise ConfigError(f"parameter {name} is {shown(text)}, which cannot be read as YAML") from error
    return text if text_wanted and not isinstance(value, str | list | dict) else value
