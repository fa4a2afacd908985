"""Which form of a task the parameters choose: TASKS["emotion"](config, labels).

A new task gets an entry in TASKS; `Config.task` asks for it by its name.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from utils.data.labels import LabelSet
from utils.data.templates import Template
from utils.data.topics import Topic
from utils.system.errors import ConfigError, ModelError, shown
from utils.system.files import intact, read_object
from utils.tasks.cause import Cause
from utils.tasks.cause_list import CauseList
from utils.tasks.emotion import Emotion
from utils.tasks.emotion_multi import EmotionMulti
from utils.tasks.imbalance import Balance
from utils.tasks.instruction import Instructions
from utils.tasks.instruction_template import CHAT, find_template
from utils.tasks.opinion import ASKED, Opinions
from utils.tasks.opinion_head import OpinionsOfHead
from utils.tasks.pool import Pool, read_pool
from utils.tasks.senses import senses_of
from utils.tasks.task import Task


def _pool(config: Any, task: str) -> Pool | None:
    return read_pool(config.prompts, task, config.prompt, config.seed) if config.prompts else None


def _balance(config: Any) -> Balance:
    return Balance(config.class_weights, config.effective_beta, config.sampling)


def _emotion(config: Any, labels: LabelSet) -> Task:
    if labels.multi and config.targets != "multi":
        problem = f"label set {labels.name} has several labels an utterance: give multi"
        raise ConfigError(f"parameter targets is {config.targets}; {problem}")
    how = {"balance": _balance(config), "pool": _pool(config, "emotion"), "senses": senses_of(config)}
    if config.targets == "multi":
        return EmotionMulti(labels, **how)
    return Emotion(labels, config.logit_adjustment, votes=config.targets == "votes", **how)


def _cause(config: Any, labels: LabelSet) -> Task:
    if config.targets == "multi" and not labels.multi:  # such a set has a message of its own
        raise ConfigError("parameter targets is multi; a cause belongs to one emotion: give single or votes")
    if config.cause_form == "candidates":
        return Cause(labels, config.cause_threshold, pool=_pool(config, "cause"), senses=senses_of(config))
    if config.prompts:
        problem = "its answer, a list, has one wording: give candidates, or no prompts"
        raise ConfigError(f"parameter cause_form is {config.cause_form}; {problem}")
    return CauseList(labels, senses_of(config))


_ALIKE = Balance()
# How a model says an opinion: by phrases that are scored, by a head, by phrases behind learnt virtual tokens.
STRATEGIES: dict[str, Callable[..., Opinions]] = {
    "generation": Opinions,
    "sequence": OpinionsOfHead,
    "prompt": Opinions,
}


def opinion_task(
    topics: Mapping[str, Topic], task_type: str, strategy: str = "generation", balance: Balance = _ALIKE
) -> Opinions:
    """The opinion task of one type (a key of ASKED) on topics, {name: topic}, by one of STRATEGIES. Raises ConfigError
    for topics with different scales, and for class weights of a number."""
    return STRATEGIES[strategy](topics, task_type, strategy, balance)


def recorded_opinions(adapter: str | Path) -> Opinions:
    """The opinion task that the adapter in this folder was trained on: its topics, task type and strategy, which its
    training.json has. Raises ModelError for an adapter of another task, FileError for a record that is damaged."""
    path, record = _finished(adapter, Opinions.name, "opinions")
    with intact(path, "Restore the file, or train the adapter again"):
        topics = {name: Topic.from_dict(one, f"{path}, {name}") for name, one in record["topics"].items()}
        if record["task_type"] not in ASKED:
            raise ValueError(f"task_type {shown(record['task_type'])}")
        return opinion_task(topics, record["task_type"], record["strategy"])


def recorded_instructions(adapter: str | Path) -> Instructions:
    """The instruction task that the adapter in this folder was trained on: its template, and whether its answers end.
    Raises ModelError for an adapter of another task, FileError for a record that is damaged."""
    path, record = _finished(adapter, Instructions.name, "instructions")
    with intact(path, "Restore the file, or train the adapter again"):
        template = Template(**{**record["template"], "special": tuple(record["template"]["special"])})
        return Instructions(template, add_eos_token=bool(record["add_eos_token"]))


def _finished(adapter: str | Path, task: str, about: str) -> tuple[Path, dict[str, Any]]:
    """(training.json of the adapter in this folder, what it holds). Raises ModelError where there is none, and for an
    adapter of another task than `task`, which is `about` what a message says."""
    path = Path(adapter) / "training.json"
    if not path.is_file():
        raise ModelError(f"{adapter}: no finished adapter here (training.json is missing). Give a folder of adapters/")
    record = read_object(path)
    if record.get("task") != task:
        raise ModelError(f"{adapter} is an adapter of the task {shown(record.get('task'))}, not of {about}")
    return path, record


def recorded_outputs(adapter: str | Path) -> tuple[str, ...]:
    """The names of the outputs of the head that an adapter has (`Task.outputs`); () for one without a head."""
    path = Path(adapter) / "training.json"
    of_opinions = path.is_file() and read_object(path).get("task") == Opinions.name
    return recorded_opinions(adapter).outputs if of_opinions else ()


def _opinion(config: Any, topics: Mapping[str, Topic]) -> Task:
    return opinion_task(topics, config.task_type, config.strategy, _balance(config))


def _instruction(config: Any, labels: Any = None) -> Task:
    tokenizer = None
    if config.template == CHAT:
        from utils.models.load import load_tokenizer  # here, so that other templates do not wait for transformers

        tokenizer = load_tokenizer(config.model)
    template, senses = find_template(config.template, tokenizer), senses_of(config)
    return Instructions(template, config.train_on_inputs, config.add_eos_token, senses)


# {name: the task with these parameters (utils.config.Config), of items with these labels, or of texts on these topics}.
# All raise ConfigError for what does not go together.
TASKS: dict[str, Callable[[Any, Any], Task]] = {
    "emotion": _emotion,
    "cause": _cause,
    "opinion": _opinion,
    "instruction": _instruction,
}
