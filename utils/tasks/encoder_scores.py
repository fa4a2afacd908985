"""Encoders with heads beside an adapter: what all of them say of a conversation is averaged.

    beside = load_encoders([folder], labels)
    task = with_encoder(task, beside)       # utils.tasks.emotion.Emotion and utils.tasks.cause.Cause ask it

The encoders' emotions are `combine.SHARE` of the average, their log-odds of causes half (docs/results.md).
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
    """Trained encoders, each with its tokenizer, and the label set of their heads."""

    encoders: list[tuple[Any, Any]]
    labels: LabelSet = ECF

    def emotions(self, conversation: Conversation) -> np.ndarray:
        """The encoders' mean probabilities, utterances x labels."""
        return np.mean([np.exp(one) for one in self._scores(conversation, "emotion")], 0)

    def causes(self, conversation: Conversation) -> list[float]:
        """For each question of `candidates.asked` the encoders' mean log-odds of yes; the conversation must carry
        emotions."""
        return np.mean(self._scores(conversation, "cause"), 0).tolist()

    def with_emotions(self, conversation: Conversation, scores: list[list[float]]) -> list[list[float]]:
        """An adapter's log-probabilities of the labels, for each utterance, averaged with the encoders'."""
        others = np.array([probabilities(one) for one in scores])
        return np.log(mixed([self.emotions(conversation)], [others])[0]).tolist()

    def _scores(self, conversation, head) -> list[np.ndarray]:
        return [
            heads.scores(encoder, encoder_input.example(tokenizer, conversation, labels=self.labels), head)
            for encoder, tokenizer in self.encoders
        ]


def load_encoders(folders: list[Path], labels: LabelSet = ECF) -> EncoderScores:
    """The encoders that `utils.train encoder` kept in these folders. Raises ModelError where there is none, and where
    the base model of one is not here."""
    return EncoderScores([heads.load(folder, encoder_input.sizes(labels)) for folder in folders], labels)
