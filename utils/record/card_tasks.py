"""What model cards say beside a run's records: about each task, and about the data that this repository knows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from utils.config import Config
from utils.record.adapter import labels_of
from utils.record.card_use import about_text, about_utterances, one_answer, one_question
from utils.report.answer_metrics import answer_headline
from utils.report.opinion_metrics import headline
from utils.report.scores import RESULT
from utils.tasks.forms import recorded_instructions, recorded_opinions
from utils.tasks.task import Task

_CONVERSATIONS = (
    "*weighted F1* of emotions is over seven classes; *pairs weighted F1* and *pairs F1* are the official scores of "
    "SemEval-2024 Task 3, Subtask 2, on the test split of the same data {of}. The rule: an emotional utterance is its "
    "own cause, and so is the previous utterance where another speaker said it."
)
_GUESSES = "The labels are guesses about the words of scripted English conversations; do not judge people by them."


@dataclass(frozen=True)
class TaskCard:
    """What the card of a task's adapter says beside the run's records.

    title       what the adapter is for, behind the model's name
    purpose     what it does; {labels} is the place of its labels
    habit       what the repository does when it uses it
    asked       (its folder, the run's parameters) -> the task as it was trained
    figures_at  where its scores are in metrics.json: keys, one in the other
    figures     of what stands there, {as the card calls it: the figure}
    sections    of metrics.json that are of these weights; the last has the run's table
    remark      what stands below that table; {of} is the place of what was scored
    recorded    what training.json calls what training saw; `seen`: what the card does
    scored      what the scores are of, as metrics.json calls it where it counts them
    door        the command of the repository that uses it
    example     (task, the run's parameters, the form of a merged model) -> how other programs use it, or None
    about       what that example asks, and what the repository does with such answers
    caution     what the card ends with
    tag, kind   how the hub files it: a tag, and the kind of its pipeline
    language    of the data, where it is known
    reads_text  whether epochs over the text alone come first (text_epochs)
    """

    title: str
    purpose: str
    habit: str
    asked: Callable[[Path, Config], Task]
    figures_at: tuple[str, ...]
    figures: Callable[[Mapping[str, Any]], dict[str, Any]]
    sections: tuple[str, ...]
    remark: str
    recorded: str
    seen: str
    scored: str
    door: str
    example: Callable[[Any, Config, str | None], str | None]
    about: str
    caution: str
    tag: str
    kind: str = "text-classification"
    language: str | None = None
    reads_text: bool = False


def _named(names: Mapping[str, str], found: Mapping[str, Any]) -> dict[str, Any]:
    """The figures `names`, {as the card calls one: its key}."""
    return {name: found[key] for name, key in names.items()}


def _labelled(name: str, adapter: Path, config: Config) -> Task:
    """The task `name` on the label set that the adapter was trained on."""
    return config.task(name, labels_of(adapter))


_OF_CONVERSATIONS: dict[str, Any] = {
    "habit": "asks all questions about a conversation in one forward pass",
    "remark": _CONVERSATIONS,
    "recorded": "emotions",
    "seen": "utterances",
    "scored": "utterances",
    "example": partial(one_question, about_utterances, "two utterances"),
    "caution": _GUESSES,
    "tag": "emotion-cause-pair-extraction",
    "language": "en",
}
TASK_CARDS = {
    "emotion": TaskCard(
        title="emotions in conversations",
        purpose="names the emotion of every utterance of a conversation, one of {labels}",
        asked=partial(_labelled, "emotion"),
        figures_at=("emotions", "fine-tuned"),
        figures=partial(_named, {"accuracy": "accuracy", "weighted F1": "weighted_f1", "macro F1": "macro_f1"}),
        sections=("emotions", "pairs"),
        door="python -m utils.predict CONVERSATIONS.json --out PRED.json --emotion-adapter FOLDER",
        about="Asked is the emotion of the second utterance. Before the repository chooses, it subtracts a part of "
        "each label's log frequency (`logit_adjustment`).",
        reads_text=True,
        **_OF_CONVERSATIONS,
    ),
    "cause": TaskCard(
        title="causes in conversations",
        purpose="finds, in a conversation whose emotions are known, the utterances that caused each of them",
        asked=partial(_labelled, "cause"),
        figures_at=("pairs", RESULT, "scores"),
        figures=partial(_named, {"pairs weighted F1": "weighted_f1", "pairs F1": "f1_pair"}),
        sections=("pairs",),
        door="python -m utils.predict CONVERSATIONS.json --out PRED.json --cause-adapter FOLDER",
        about="Asked is whether utterance 1 caused the emotion of utterance 2. The repository averages the log-odds of "
        "yes with those of the boosted trees.",
        **_OF_CONVERSATIONS,
    ),
    "opinion": TaskCard(
        title="opinions of texts",
        purpose="says what a text thinks of a topic, one of {labels}",
        habit="asks all questions about a text in one forward pass",
        asked=lambda adapter, config: recorded_opinions(adapter),
        figures_at=("opinions", "fine-tuned"),
        figures=headline,
        sections=("opinions",),
        remark="On the test split of the same data {of}. *zero-shot* is the untrained model; the other rows are "
        "without a language model.",
        recorded="opinions",
        seen="opinions",
        scored="texts",
        door="python -m utils.predict --task opinion TEXTS.csv --out PRED.csv --adapter FOLDER",
        example=partial(one_question, about_text, "a text"),
        about="Asked is the first of the questions about this text.",
        caution="The opinions are guesses about words; do not judge people by them.",
        tag="opinion-mining",
    ),
    "instruction": TaskCard(
        title="answers to instructions",
        purpose="writes the answer to an instruction",
        habit="reads what prompts begin with alike once",
        asked=lambda adapter, config: recorded_instructions(adapter),
        figures_at=("instructions", "fine-tuned"),
        figures=answer_headline,
        sections=("instructions",),
        remark="On the test split of the same data {of}. *zero-shot* is the base model. *loss* is nats a token of the "
        "right answers, *perplexity* e to that. *ROUGE-L* and *exact match* compare written answers with the right "
        "ones. *right choices* are those of classifications, which are scored.",
        recorded="examples",
        seen="examples",
        scored="examples",
        door="python -m utils.demo --task instruction --adapter FOLDER",
        example=one_answer,
        about="The answer ends where a heading of the template follows.",
        caution="The answers are written by a model and may be wrong.",
        tag="instruction-tuning",
        kind="text-generation",
    ),
}


# ---- data ----------------------------------------------------------------------------------------------------------


class Data(NamedTuple):
    """Data that this repository knows: their name, hub id, and what may be done with them."""

    name: str
    hub: str | None
    licence: str
    terms: str


def _sample(what: str, called: str) -> Data:
    terms = f"The {called} are under the repository's MIT licence."
    return Data(f"{what} of the repository, invented for it", None, "mit", terms)


_ECF = "ECF (Wang et al. 2023) is for research use only, and so are weights that were trained on it."
_SAMPLE = _sample("102 sample conversations", "conversations")
# By the fingerprint of the training split (utils/record/provenance.py), as generate_input.py writes it.
KNOWN = {
    "ab2f52e8b9360788": Data("ECF 1.0, its train split of 1,001 conversations", "NUSTM/ECF", "research-use", _ECF),
    "6021333e937e80a6": Data("ECF 1.0, all 1,374 labelled conversations", "NUSTM/ECF", "research-use", _ECF),
    "24da46d5479c8575": _SAMPLE,
    "35fc7a3913001582": _SAMPLE,  # with names of videos, as earlier revisions wrote it
    "6bf5294179a82296": _sample("182 sample texts", "texts"),
    "e920cd4480f973e0": _sample("80 sample instructions with answers", "instructions"),
}
UNKNOWN = Data(
    "data that the repository does not know",
    None,
    "unknown",
    "**Their licence binds these weights: state it here before you share them.**",
)
