"""Seed sentences, from which a model writes more of their kind; and the rules for what it writes.

    seeds = Seeds.read("emotions", ECF)      # data/seeds/emotions.json; or the path of a file of yours
    seeds.prompt("joy", draw)                # the opening, a few sentences of the label, and the place of the next
    rules = Rules(seeds, held_out)
    rules.fault("joy", text)                 # why it is left out, or None; one that is kept is then known

cut off            it does not end as a sentence does
length             fewer or more words than WORDS
label named        a word begins as one that names the label
language           of its words fewer than LANGUAGE stand in any seed
copy of a seed, near-duplicate, in val or test
                   it shares ALIKE of its words with a seed, with one that was kept, or with a text of val or test
"""

import random
import re
import string
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.data.labels import LabelSet
from utils.data.opinion_splits import normal
from utils.system.errors import FileError, shown
from utils.system.files import read_object, ready_or_own
from utils.system.places import ROOT

FOLDER = ROOT / "data" / "seeds"
SHOWN = 3  # sentences in a prompt
WORDS = (4, 30)
LANGUAGE = 0.25  # a share of words
ALIKE = 0.7  # Jaccard's index of two sets of words
FAULTS = (
    "cut off",
    "length",
    "label named",
    "language",
    "copy of a seed",
    "near-duplicate",
    "in val or test",
)
_FIELDS = {"feeling": str, "named": list, "sentences": list}


@dataclass(frozen=True)
class Seed:
    """The label in words, how words begin that name it, and sentences of it."""

    feeling: str
    named: tuple[str, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Seeds:
    """What is shown to the model: `opening` with the place {feeling}, and a Seed for each label."""

    opening: str
    labels: Mapping[str, Seed]

    def prompt(self, label: str, draw: random.Random) -> str:
        """The opening, sentences of the label that are drawn, a line each, and the beginning of the next line."""
        seed = self.labels[label]
        some = draw.sample(seed.sentences, min(SHOWN, len(seed.sentences)))
        return "\n".join([self.opening.format(feeling=seed.feeling), *[f"- {one}" for one in some], "-"])

    @classmethod
    def read(cls, name: str | Path, labels: LabelSet) -> "Seeds":
        """The seeds of these labels in data/seeds/<name>.json, or in the JSON file at this path; it may have others.

        Raises FileError for a file that is not there, and for what is missing in it, naming the field and the fix."""
        path = ready_or_own(name, FOLDER, (".json",), "file of seeds")
        data = read_object(path)
        opening, given = data.get("opening"), data.get("labels")
        if not isinstance(opening, str) or _places(opening) != ["feeling"]:
            raise FileError(f"{path}, field 'opening': {shown(opening)}. Write a line that holds {{feeling}} once")
        if not isinstance(given, dict):
            raise FileError(f"{path}, field 'labels': {shown(given)}. Write {{label: its feeling, named, sentences}}")
        if lacking := [label for label in labels if label not in given]:
            raise FileError(f"{path}: no seeds of the label {', '.join(lacking)}. Add them, or give other --seeds")
        return cls(opening, {label: _seed(given[label], f"{path}, {label}") for label in labels})


def _places(opening: str) -> list[str]:
    try:
        return [name for _, name, form, kind in string.Formatter().parse(opening) if name is not None]
    except ValueError:
        return []


def _seed(data: Any, where: str) -> Seed:
    """One label's. Raises FileError."""
    for field, kind in _FIELDS.items():
        value = data.get(field) if isinstance(data, dict) else None
        texts = value if isinstance(value, list) else [value]
        if not isinstance(value, kind) or not all(isinstance(one, str) and one.strip() for one in texts):
            raise FileError(f"{where}, field {field!r}: {shown(value)}. Write {'a text' if kind is str else 'texts'}")
        if any("\n" in str(one) for one in texts):
            raise FileError(f"{where}, field {field!r}: a text of two lines. Write one line each")
    if len(data["sentences"]) < 2:
        raise FileError(f"{where}, field 'sentences': a model needs two examples or more. Write more")
    return Seed(data["feeling"], tuple(one.lower() for one in data["named"]), tuple(data["sentences"]))


# ---- what was written ----------------------------------------------------------------------------------------------


def tidy(written: str) -> str:
    """The sentence in what a model wrote behind a prompt: its first line, without marks of a list and quotation."""
    line = next((one for one in written.split("\n") if one.strip()), "")
    bare = re.sub(r"^\s*(?:[-*•]|\d+[.)])\s*", "", line)
    return bare.strip().strip('"“”').strip()


class _Known:
    """Texts, and whether another one is alike: by the words of both, those in any order."""

    def __init__(self, texts: Iterable[str] = ()):
        self._words: list[frozenset[str]] = []
        self._with: dict[str, list[int]] = defaultdict(list)  # {word: which texts have it}
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        words = frozenset(normal(text).split())
        for word in words:
            self._with[word].append(len(self._words))
        self._words.append(words)

    def has(self, text: str) -> bool:
        words = frozenset(normal(text).split())
        near = {number for word in words for number in self._with.get(word, ())}
        return any(len(words & self._words[k]) >= ALIKE * len(words | self._words[k]) for k in near)


class Rules:
    """What may be wrong with a sentence; those that were `keep`t are known to it."""

    def __init__(self, seeds: Seeds, held_out: Iterable[str]):
        """held_out: the texts of val and test."""
        sentences = [text for seed in seeds.labels.values() for text in seed.sentences]
        self._seeds = seeds
        self._words = {word for text in sentences for word in normal(text).split()}
        self._of_seeds, self._kept, self._held_out = _Known(sentences), _Known(), _Known(held_out)

    def fault(self, label: str, text: str) -> str | None:
        """The first of FAULTS that a sentence of this label has, or None."""
        words = normal(text).split()
        if not re.search(r"""[.!?…]["'”)]*$""", text):
            return "cut off"
        if not WORDS[0] <= len(words) <= WORDS[1]:
            return "length"
        if any(word.startswith(self._seeds.labels[label].named) for word in words):
            return "label named"
        if sum(word in self._words for word in words) < LANGUAGE * len(words):
            return "language"
        known = {"copy of a seed": self._of_seeds, "near-duplicate": self._kept, "in val or test": self._held_out}
        return next((name for name, texts in known.items() if texts.has(text)), None)

    def keep(self, text: str) -> None:
        """From now on another one like it is a near-duplicate."""
        self._kept.add(text)


def balanced(lacking: Mapping[str, int], size: int) -> list[str]:
    """`size` labels to write next, each time one that lacks most; lacking: {label: how many it lacks}."""
    left, found = {label: count for label, count in lacking.items() if count > 0}, []
    for _ in range(size):
        label = max(left, key=left.__getitem__)
        found.append(label)
        left[label] -= 1
    return found
