"""Pools of wordings: the same question put in several ways, in a file that a person writes.

pool = read_pool("twelve", "emotion", trains="drawn", seed=42)    # configs/prompts/twelve.yaml; or a file's path
pool.named(conversation, train=True)              # the name of the wording that is asked
pool.put(name, speaker="Leila")                   # the question as text

The tasks put the question behind what it is about, and `opening` in front of the conversation, so that all wordings of
one conversation share its text (utils/tasks/wordings.py). docs/prompts.md is for people who write a pool.
"""

import random
import string
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from utils.system.errors import ConfigError, FileError, ModelError, shown
from utils.system.files import read_object
from utils.system.parameters import read_mapping
from utils.system.places import ROOT

DRAWN = "drawn"  # the value of the parameter `prompt` with which training draws a wording for each conversation
FOLDER = ROOT / "configs" / "prompts"
# {task: (placeholders that its opening must have, that a wording must have, that a wording may have besides)}
PLACEHOLDERS = {
    "emotion": (("labels",), ("speaker",), ("labels",)),
    "cause": ((), ("emotion", "cause"), ("label",)),
}


@dataclass(frozen=True)
class Pool:
    """A task's wordings.

    opening   what stands in front of the conversation
    wordings  {name: the question, with placeholders}
    held_out  names that training never draws
    trains    the name that training and inference ask with; DRAWN: training draws one for each conversation, inference
              asks with the first that is not held out
    seed      of the draw
    """

    opening: str
    wordings: dict[str, str]
    held_out: tuple[str, ...] = ()
    trains: str = DRAWN
    seed: int = 42

    @property
    def learnt(self) -> list[str]:
        """The names of the wordings that training asks with."""
        drawn = [name for name in self.wordings if name not in self.held_out]
        return drawn if self.trains == DRAWN else [self.trains]

    def named(self, item: Any, train: bool = False) -> str:
        """The name of the wording that this item is asked with; the draw follows from the seed and its id alone."""
        if train and self.trains == DRAWN:
            return random.Random(f"{self.seed} {item['conversation_ID']}").choice(self.learnt)
        return self.learnt[0]

    def put(self, name: str, **values) -> str:
        """The wording `name` with its placeholders filled, as it stands behind a line. White space is made single."""
        return " " + " ".join(self.wordings[name].format(**values).split())

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_pool(source: str, task: str, trains: str = DRAWN, seed: int = 42) -> Pool:
    """The wordings of the task `task`, a key of PLACEHOLDERS, in a pool.

    source  a file's path, or the name of one in configs/prompts

    Raises ConfigError, with the fix, for a file that is missing or no pool, for a placeholder that is missing or
    unknown, and for a wording to train with that is not there or held out.
    """
    path = Path(source) if Path(source).suffix else FOLDER / f"{source}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in FOLDER.glob("*.yaml")))
        raise ConfigError(f"parameter prompts is {shown(source)}; {path} is no file. Give the path of one, or {known}")
    section = read_mapping(path).get(task)
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: it has no wordings for the task {task}. Write {task}: with opening and wordings")
    pool = _checked(section, task, f"{path}: {task}")
    if trains != DRAWN and trains not in pool.wordings:
        known = ", ".join(pool.wordings)
        raise ConfigError(f"parameter prompt is {shown(trains)}; {path} has {known}. Give one of them, or {DRAWN}")
    if trains in pool.held_out:
        raise ConfigError(f"parameter prompt is {trains}; {path} holds it out of training. Give another, or {DRAWN}")
    return Pool(pool.opening, pool.wordings, pool.held_out, trains, seed)


def _checked(section: dict, task: str, where: str) -> Pool:
    """The wordings of a section of a file. Raises ConfigError."""
    if unknown := {*section} - {"opening", "wordings", "held_out"}:
        raise ConfigError(f"{where}: {shown(min(map(str, unknown)))} is unknown. Write opening, wordings and held_out")
    opening, wordings, held_out = section.get("opening"), section.get("wordings"), section.get("held_out", [])
    first, needed, more = PLACEHOLDERS[task]
    opening = _text(opening, first, (), f"{where}: opening")
    if not isinstance(wordings, dict) or not wordings:
        raise ConfigError(f"{where}: wordings are {shown(wordings)}. Write a name and a text for each")
    for name, text in wordings.items():
        if not isinstance(name, str) or not name.isprintable() or not name.strip() or name == DRAWN:
            raise ConfigError(f"{where}: a wording is called {shown(name)}. Give it another name, a text in quotes")
        _text(text, needed, more, f"{where}: wording {name}")
    texts = [" ".join(text.split()) for text in wordings.values()]
    if len({*texts}) < len(texts):
        raise ConfigError(f"{where}: two wordings are alike. Remove one")
    if not isinstance(held_out, list) or not all(name in wordings for name in held_out):
        raise ConfigError(f"{where}: held_out is {shown(held_out)}. Write a list of names of wordings")
    if {*held_out} >= {*wordings}:
        raise ConfigError(f"{where}: held_out holds every wording out. Leave one for training")
    return Pool(opening, wordings, tuple(held_out))


def _text(text: Any, needed: tuple, more: tuple, where: str) -> str:
    """`text`, one line with the placeholders `needed`, and maybe `more`. Raises ConfigError for what is none."""
    if not isinstance(text, str) or not text.strip() or not text.isprintable():
        raise ConfigError(f"{where} is {shown(text)}. Write a text of one line, in quotes")
    allowed = ", ".join(f"{{{name}}}" for name in (*needed, *more)) or "none"
    try:
        parts = [(name, spec, kind) for _, name, spec, kind in string.Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise ConfigError(
            f"{where}: {shown(text)} has a brace alone ({error}). Write {{{{ or }}}} for a brace"
        ) from error
    for name, spec, kind in parts:
        if name not in (*needed, *more) or spec or kind:
            raise ConfigError(f"{where}: {shown(text)} has the placeholder {{{name}}}. Possible are {allowed}")
    for name in needed:
        if name not in [one for one, *_ in parts]:
            raise ConfigError(f"{where}: {shown(text)} lacks its placeholder. Write {{{name}}} into it")
    return text


def recorded(pool: Pool | None, adapter: Path) -> Pool | None:
    """The pool that the adapter in this folder was trained with, from its training.json; None where it had none.

    pool  the one that is asked for; None: whatever was recorded

    Raises ModelError for an adapter that was trained with others, FileError for a damaged record.
    """
    path = Path(adapter) / "training.json"
    found = read_object(path).get("prompts")
    try:
        there = None if found is None else Pool(**{**found, "held_out": tuple(found["held_out"])})
        if there:
            there.put(there.learnt[0], labels="", speaker="", label="", emotion=1, cause=1)
            there.opening.format(labels="")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise FileError(f'{path}: "prompts" is damaged ({error!r}). Restore the file, or train again') from error
    if pool is not None and (there is None or replace(there, seed=pool.seed) != pool):
        raise ModelError(
            f"{adapter}: it was trained with other wordings than those of the parameters prompts and prompt. Put "
            "the pool's file back, or train again under another run_name"
        )
    return there
