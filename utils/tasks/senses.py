"""What stands in an utterance's line beside its words: captions (docs/senses.md).

senses = senses_of(config)
senses.beside(utterance)        # " [video caption: she laughs]", behind the words
"""

from dataclasses import dataclass
from typing import Any

from utils.data.captions import TAKEN, captioned
from utils.data.conversations import Utterance
from utils.system.errors import ConfigError, shown
from utils.system.parameters import names_in


@dataclass(frozen=True)
class Senses:
    """captions  the fields of an utterance that are texts beside its words, in the order of the line"""

    captions: tuple[str, ...] = ()

    def beside(self, utterance: Utterance) -> str:
        """What stands behind the words of the utterance's line; "" for words alone."""
        return captioned(utterance, self.captions)


WORDS = Senses()


def senses_of(config: Any) -> Senses:
    """What these parameters (utils.config.Config) add to the words. Raises ConfigError for fields that cannot be
    captions: those that the conversation has for words and labels, and one that is named twice."""
    captions = names_in(config.captions)
    for name in captions:
        if name in TAKEN or captions.count(name) > 1:
            why = "twice" if captions.count(name) > 1 else "which is no text beside the words"
            raise ConfigError(f"parameter captions names {shown(name)}, {why}. Name other fields, each once")
    return Senses(captions)
