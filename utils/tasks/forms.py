"""Which form of a task the parameters choose: TASKS["emotion"](config, labels).

A new task gets an entry in TASKS; `Config.task` asks for it by its name.
"""

from collections.abc import Callable
from typing import Any

from utils.data.labels import LabelSet
from utils.system.errors import ConfigError
from utils.tasks.cause import Cause
from utils.tasks.cause_list import CauseList
from utils.tasks.emotion import Emotion
from utils.tasks.emotion_multi import EmotionMulti
from utils.tasks.imbalance import Balance
from utils.tasks.pool import Pool, read_pool
from utils.tasks.task import Task


def _pool(config: Any, task: str) -> Pool | None:
    return read_pool(config.prompts, task, config.prompt, config.seed) if config.prompts else None


def _emotion(config: Any, labels: LabelSet) -> Task:
    if labels.multi and config.targets != "multi":
        problem = f"label set {labels.name} has several labels an utterance: give multi"
        raise ConfigError(f"parameter targets is {config.targets}; {problem}")
    balance = Balance(config.class_weights, config.effective_beta, config.sampling)
    pool = _pool(config, "emotion")
    if config.targets == "multi":
        return EmotionMulti(labels, balance=balance, pool=pool)
    return Emotion(labels, config.logit_adjustment, votes=config.targets == "votes", balance=balance, pool=pool)


def _cause(config: Any, labels: LabelSet) -> Task:
    if config.targets == "multi" and not labels.multi:  # such a set has a message of its own
        raise ConfigError("parameter targets is multi; a cause belongs to one emotion: give single or votes")
    if config.cause_form == "candidates":
        return Cause(labels, config.cause_threshold, pool=_pool(config, "cause"))
    if config.prompts:
        problem = "its answer, a list, has one wording: give candidates, or no prompts"
        raise ConfigError(f"parameter cause_form is {config.cause_form}; {problem}")
    return CauseList(labels)


# {name: the task with these parameters (utils.config.Config), of items with these labels}. Both raise ConfigError for
# what does not go together.
TASKS: dict[str, Callable[[Any, LabelSet], Task]] = {"emotion": _emotion, "cause": _cause}
