"""An encoder with heads beside an adapter: what both say of a conversation is averaged.

    beside = load_encoder(folder, labels)
    task = replace(task, encoder=beside)    # utils.tasks.emotion.Emotion and utils.tasks.cause.Cause ask it

The encoder's emotions are `combine.SHARE` of the average, its log-odds of causes half (docs/results.md).
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.data.conversations import Conversation
from utils.data.labels import ECF, LabelSet
from utils.engine import heads
from utils.tasks import encoder_input
from utils.tasks.combine import mixed
from utils.tasks.task import probabilities


class EncoderScores(NamedTuple):
    """A trained encoder, its tokenizer, and the label set of its head."""

    encoder: Any
    tokenizer: Any
    labels: LabelSet = ECF

    def emotions(self, conversation: Conversation) -> np.ndarray:
        """Log-probabilities, utterances x labels."""
        return heads.scores(self.encoder, self._example(conversation), "emotion")

    def causes(self, conversation: Conversation) -> list[float]:
        """For each question of `candidates.asked` the log-odds of yes; the conversation must carry emotions."""
        return heads.scores(self.encoder, self._example(conversation), "cause").tolist()

    def with_emotions(self, conversation: Conversation, scores: list[list[float]]) -> list[list[float]]:
        """An adapter's log-probabilities of the labels, for each utterance, averaged with the encoder's."""
        others = np.array([probabilities(one) for one in scores])
        return np.log(mixed([np.exp(self.emotions(conversation))], [others])[0]).tolist()

    def _example(self, conversation):
        return encoder_input.example(self.tokenizer, conversation, labels=self.labels)


def load_encoder(folder: Path, labels: LabelSet = ECF) -> EncoderScores:
    """The encoder that `utils.train encoder` kept in `folder`. Raises ModelError where there is none, and where its
    base model is not here."""
    return EncoderScores(*heads.load(folder, encoder_input.sizes(labels)), labels)
