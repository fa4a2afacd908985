"""How many conversations does training need? Subsets of train that contain each other, and as many steps on each.

some = nested(train, 100, seed=42)                  # a part of nested(train, 200, seed=42)
equal_steps(parameters, tasks, some, most, labels)  # {"emotion_epochs": ...}: as many steps as on `most`
"""

import math
import random
from collections.abc import Sequence
from typing import Any

from utils.config import Config
from utils.data.conversations import Conversation
from utils.data.labels import LabelSet
from utils.data.splits import by_id
from utils.system.errors import ConfigError


def nested(conversations: Sequence[Conversation], size: int, seed: int, source: object = "train") -> list[Conversation]:
    """The first `size` of the conversations in the order of `seed`, by id. Raises ConfigError where there are fewer."""
    if size > len(conversations):
        raise ConfigError(f"samples is {size}, and {source} has {len(conversations)} conversations: give at most that")
    order = by_id(conversations)
    random.Random(seed).shuffle(order)
    return by_id(order[:size])


def updates(config: Config, name: str, conversations: Sequence[Conversation], labels: LabelSet, tokenizer) -> int:
    """The optimizer's steps in an epoch of the task `name` on these conversations, as the trainer counts them."""
    from utils.record.fit import examples  # here, as it loads torch

    rows = len(examples(config.task(name, labels), conversations, tokenizer, config))
    return max(math.ceil(math.ceil(rows / config.batch_size) / config.gradient_accumulation), 1)


def equal_steps(
    parameters: dict[str, Any],
    tasks: Sequence[str],
    some: Sequence[Conversation],
    most: Sequence[Conversation],
    labels: LabelSet,
) -> dict[str, float]:
    """{"<task>_epochs": how many on `some` are as many steps as the parameters' epochs on `most`}, for each of `tasks`.

    The trainer takes ceil(epochs x updates) steps, so the epochs are a hundredth of a step short."""
    from utils.models.load import load_tokenizer  # here, as it loads transformers

    config, found = Config.of(parameters), {}
    tokenizer = load_tokenizer(config.model)
    for name in tasks:
        epochs = getattr(config, f"{name}_epochs")
        steps = math.ceil(epochs * updates(config, name, most, labels, tokenizer))
        found[f"{name}_epochs"] = round((steps - 0.01) / updates(config, name, some, labels, tokenizer), 6)
    return found
