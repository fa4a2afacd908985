"""What stands in an utterance's line beside its words: captions and vectors behind them (docs/senses.md).

senses = senses_of(config)
senses.beside(utterance)            # " [video caption: she laughs]", behind the words
senses.vectors(utterance)           # what the placeholders behind the line stand for
senses.vectors(example, "image")    # the same of what names its file in another field
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from utils.data.captions import TAKEN, captioned
from utils.data.conversations import Utterance
from utils.data.features import NAME, Stream
from utils.engine.vectors import Vector, slots
from utils.system.errors import ConfigError, shown
from utils.system.parameters import names_in


@dataclass(frozen=True)
class Senses:
    """captions  the fields of an utterance that are texts beside its words, in the order of the line
    streams   the names of the streams of vectors, in the order of the line
    tokens    how many placeholders each stream has in a line
    without   the streams that are taken for absent
    found     {name: stream} of those that were read; the others are absent
    """

    captions: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    tokens: int = 1
    without: tuple[str, ...] = ()
    found: Mapping[str, Stream] = field(default_factory=dict)

    def beside(self, utterance: Utterance) -> str:
        """What stands behind the words of the utterance's line; "" for words alone."""
        return captioned(utterance, self.captions)

    def vectors(self, item: Mapping[str, Any], field: str = "video_name") -> tuple[Vector, ...]:
        """What the placeholders of an utterance, or of what names its file in another `field`, stand for; () without
        streams."""
        there = {name: self.found[name] for name in self.streams if name in self.found and name not in self.without}
        arrays = ((name, there[name].of(item, field) if name in there else None) for name in self.streams)
        return tuple(vector for name, array in arrays for vector in slots(array, name, self.tokens))


WORDS = Senses()


def senses_of(config: Any) -> Senses:
    """What these parameters (utils.config.Config) add to the words; no stream is read yet (`sensing`). Raises
    ConfigError for fields that cannot be captions, since the conversation has them for words and labels; for names that
    no stream can have; for one that is named twice; for a stream to be left out that is not there."""
    captions, streams, without = map(names_in, (config.captions, config.streams, config.without))
    for parameter, names in (("captions", captions), ("streams", streams)):
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"parameter {parameter} names {shown(name)} twice. Name it once")
    for name in captions:
        if name in TAKEN:
            raise ConfigError(f"parameter captions names {shown(name)}, no text beside the words. Name another field")
    for name in streams:
        if not NAME.fullmatch(name):
            what = "up to 40 letters, digits, _ and -, a letter first"
            raise ConfigError(f"parameter streams names {shown(name)}, and a stream's name is {what}")
    for name in without:
        if name not in streams:
            known = ", ".join(streams) or "none"
            raise ConfigError(f"parameter without names {shown(name)}; the streams are: {known}. Name one of them")
    return Senses(captions, streams, config.stream_tokens, without)


def sensing(task: Any, found: Mapping[str, Stream]) -> Any:
    """A task of conversations or of instructions, with the streams that were read."""
    return replace(task, senses=replace(task.senses, found=found))
