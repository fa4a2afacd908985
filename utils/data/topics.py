"""Topics that texts hold opinions on, as data: what is asked, which phrases answer, and what each phrase scores.

    topic = Topic.read("abortion")               # configs/topics/abortion.yaml; or the path of a file of yours
    topic.phrases                                # {"strongly against ...": -2, ..., "strongly for ...": 2}
    Topic.read("any").of("Sony")                 # a file with {topic} is for every topic that the data name

docs/opinions.md has every field of a topic file.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from utils.system.errors import FileError, shown
from utils.system.files import ready_or_own
from utils.system.parameters import read_mapping
from utils.system.places import ROOT

FOLDER = ROOT / "configs" / "topics"
TOPICS_FILE = "topics.json"  # beside the splits of an input
PLACE = "{topic}"  # in a file for every topic: where the topic's name stands
_REQUIRED = ("name", "about", "direction", "phrases", "opinion", "no_opinion", "favor", "against")


@dataclass(frozen=True)
class Topic:
    """What an opinion can be on. Two are equal where everything is.

    name        what data, parameters and records call it
    about       what the question is about: "What does the writer think of <about>?"
    direction   what a high score means, in words
    phrases     {phrase: its score}, from strongly against to strongly for
    opinion     the answer "the text holds an opinion"
    no_opinion  the answer "it holds none"
    favor       the answers of the stance, beside `no_opinion`
    against
    called      other names for it in data
    """

    name: str
    about: str
    direction: str
    phrases: Mapping[str, float]
    opinion: str
    no_opinion: str
    favor: str
    against: str
    called: tuple[str, ...] = ()

    @property
    def scores(self) -> tuple[float, ...]:
        """The scores of the phrases, in their order: from the lowest to the highest."""
        return tuple(self.phrases.values())

    @property
    def is_for_all(self) -> bool:
        """Whether its words hold {topic}, the place of a topic that the data name."""
        return PLACE in self.about

    def of(self, name: str) -> "Topic":
        """This topic, which is for all, as that of `name`."""
        fill = {f.name: getattr(self, f.name).replace(PLACE, name) for f in fields(self) if f.type is str}
        phrases = {phrase.replace(PLACE, name): score for phrase, score in self.phrases.items()}
        return replace(self, **{**fill, "name": name, "phrases": phrases})

    def as_dict(self) -> dict[str, Any]:
        """The topic as JSON holds it."""
        return {**asdict(self), "phrases": dict(self.phrases), "called": list(self.called)}

    @classmethod
    def read(cls, name: str | Path) -> "Topic":
        """The topic of this name in configs/topics, or in the YAML file at this path.

        Raises FileError for a topic that is not there, and for a file that is none."""
        path = ready_or_own(name, FOLDER, (".yaml", ".yml"), "topic")
        return cls.from_dict(read_mapping(path), path)

    @classmethod
    def from_dict(cls, data: Any, source: str | Path) -> "Topic":
        """The topic that `as_dict` wrote, or that a person did in a file that messages call `source`.

        Raises FileError for what is no topic."""
        known = [f.name for f in fields(cls)]
        given = data if isinstance(data, dict) else {}
        for name in _REQUIRED:
            if name not in given:
                raise FileError(f"{source}: field {name!r} is missing. A topic has {', '.join(known)}")
        for name, value in given.items():
            if name not in known:
                raise FileError(f"{source}: field {shown(name)} is unknown. A topic has {', '.join(known)}")
            if name not in ("phrases", "called") and not _is_line(value):
                raise FileError(f"{source}: field {name!r} is {shown(value)}. Write words of one line")
        called = given.get("called", [])
        if not isinstance(called, list) or not all(map(_is_line, called)):
            raise FileError(f"{source}: field 'called' is {shown(called)}. Write a list of names")
        _check_phrases(given["phrases"], source)
        stance = [given[name] for name in ("against", "favor", "no_opinion")]
        for answers in (list(given["phrases"]), stance, [given["opinion"], given["no_opinion"]]):
            _check_apart(answers, source)
        return cls(**{**given, "phrases": dict(given["phrases"]), "called": tuple(called)})


def topic_names() -> list[str]:
    """The topics that ship."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def _is_line(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and " ".join(value.split()) == value and 0 < len(value) <= 200


def _check_phrases(phrases, source):
    """Raises FileError unless `phrases` is {phrase: score} with rising scores."""
    if not isinstance(phrases, dict) or len(phrases) < 2:
        raise FileError(
            f"{source}: field 'phrases' is {shown(phrases)}. Write two phrases or more, each with its score"
        )
    before = -math.inf
    for phrase, score in phrases.items():
        if not _is_line(phrase):
            raise FileError(f"{source}: the phrase {shown(phrase)} must be words of one line")
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise FileError(f"{source}: the phrase {phrase!r} has no score ({shown(score)}). Write a number behind it")
        if score <= before:
            raise FileError(
                f"{source}: the phrase {phrase!r} scores {score:g}, the one before it {before:g}. Write the phrases "
                "from the lowest score to the highest"
            )
        before = score


def _check_apart(answers, source):
    """Raises FileError where one of several answers begins another: its probability would be part of the other's."""
    for one in answers:
        for other in answers:
            if one is not other and other.startswith(one):
                raise FileError(
                    f"{source}: {one!r} begins {other!r}, so their probabilities cannot be compared. Use other words"
                )
