"""The emotion task: its questions, its targets, and how answers become labels.

    tree(conversation)                 what the model reads, as a tree of text (utils/engine/prefix_tree.py)
    text(conversation)                 its words alone, for training on text before labels
    read(conversation, scores)         log-probabilities -> labelled conversation and probabilities
    published_prompts(conversation)    the published recipe: one prompt an utterance
    Emotion(labels, prior)             these four as a Task

Twin of utils/tasks/cause.py: one question an utterance here, one question a candidate cause there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from utils.data.conversations import Conversation, Utterance, emotions_of, with_emotions
from utils.data.labels import ECF, LabelSet
from utils.data.votes import distribution
from utils.engine.prefix_tree import Node, Question, chain
from utils.system.errors import RunError
from utils.system.files import read_object
from utils.tasks.imbalance import Balance
from utils.tasks.pool import Pool, recorded
from utils.tasks.senses import WORDS, Senses
from utils.tasks.task import Beside, OneRound, TaskDefaults, check_labels, probabilities


def line(utterance: Utterance, emotion: str | None = None, senses: Senses = WORDS) -> str:
    """One utterance as one line, with what `senses` add. White space is made single, so that no text can imitate a line
    of its own."""
    speaker, text = " ".join(utterance["speaker"].split()), " ".join(utterance["text"].split())
    return f"{speaker}{f' {emotion}' if emotion else ''}: {text}{senses.beside(utterance)}"


def text(conversation: Conversation, senses: Senses = WORDS) -> str:
    """The conversation's lines alone, as the tree has them: what is read before any question is asked."""
    return "\n".join(line(u, senses=senses) for u in conversation["conversation"])


def answers(labels: LabelSet) -> tuple[str, ...]:
    """The allowed answers, a label each. Where a label begins another one, the end of the line ends each: otherwise the
    longer answer's probability would be part of the shorter one's."""
    begins = any(one != other and other.startswith(one) for one in labels for other in labels)
    return tuple(f" {label}{chr(10) * begins}" for label in labels)


def wording(
    conversation: Conversation, train: bool, labels: LabelSet, pool: Pool | None, how: str, question: str
) -> tuple[str, list[str]]:
    """(what stands in front of the conversation, the question behind each utterance): those of `pool`, or without
    them "Name `how` of every utterance" and `question`."""
    utterances = conversation["conversation"]
    if pool is None:
        return f"Name {how} of every utterance: {labels}.", [question] * len(utterances)
    speakers, name = [" ".join(u["speaker"].split()) for u in utterances], pool.named(conversation, train)
    asked = [pool.put(name, speaker=speaker, labels=labels) for speaker in speakers]
    return pool.opening.format(labels=labels), asked


def tree(
    conversation: Conversation,
    train: bool = False,
    labels: LabelSet = ECF,
    votes: bool = False,
    weights: dict[str, float] | None = None,
    pool: Pool | None = None,
    senses: Senses = WORDS,
) -> Node:
    """The conversation line by line, then once more, and behind each line of the second reading, as a branch, the
    question for its emotion.

    So a question has just read its utterance, and what came after it before that. It beats a single reading trained
    for as many tokens, and an utterance repeated in its branch (LOG.md). With `train` the gold emotions are the
    targets, or with `votes` the annotators' distribution, and nothing is asked about an utterance that has none. Where
    there are `weights`, {label: weight}, a target counts as much. `pool` words the questions. `senses` add to
    the lines.
    """
    utterances = conversation["conversation"]
    lines = [line(u, senses=senses) for u in utterances]
    allowed = answers(labels)
    opening, asked = wording(conversation, train, labels, pool, "the emotion", " Emotion:")
    gold = [_gold(u, labels, votes, weights) if train else None for u in utterances]
    questions = {
        len(lines) + k: [Node(asked[k], Question(allowed, right))] for k, right in enumerate(gold) if right or not train
    }
    return chain(opening, lines + lines, questions, [senses.vectors(u) for u in utterances] * 2)


def _gold(
    utterance: Utterance, labels: LabelSet, votes: bool, weights: dict[str, float] | None
) -> str | dict[str, float] | None:
    """The right answer about an utterance: its label's, or with `votes` or `weights` {answer: share x weight}; None
    where it has none."""
    answer = dict(zip(labels, answers(labels), strict=True))
    if votes or weights:
        shares = _shares(utterance, labels, votes)
        return {answer[one]: share * (weights[one] if weights else 1.0) for one, share in shares.items()} or None
    return None if utterance["emotion"] is None else answer[utterance["emotion"]]


def _shares(utterance: Utterance, labels: LabelSet, votes: bool) -> dict[str, float]:
    """{label: share} of an utterance: one for its label, or with `votes` the annotators' distribution."""
    return distribution(utterance, labels) if votes else dict.fromkeys(emotions_of(utterance), 1.0)


def counts(conversations: list[Conversation], labels: LabelSet = ECF, votes: bool = False) -> dict[str, float]:
    """How many utterances carry each label; with `votes` the sum of its shares."""
    utterances = [u for c in conversations for u in c["conversation"]]
    if votes:
        shares = [distribution(u, labels) for u in utterances]
        return {label: round(sum(one.get(label, 0.0) for one in shares), 4) for label in labels}
    emotions = [label for u in utterances for label in emotions_of(u)]
    return {label: emotions.count(label) for label in labels}


def prior_scores(counted: dict[str, float], adjustment: float, labels: LabelSet = ECF) -> list[float]:
    """For each label, `adjustment` times the logarithm of its share among the training utterances (`counted`, as
    `counts` returns it): the post-hoc logit adjustment of Menon et al. (ICLR 2021), their tau. Taken off the
    log-probabilities it has rare emotions named more often. A label never seen counts as seen once."""
    total = sum(max(counted[label], 1) for label in labels)
    return [adjustment * math.log(max(counted[label], 1) / total) for label in labels]


def read(
    conversation: Conversation, scores: list[list[float]], prior: list[float] | None = None, labels: LabelSet = ECF
) -> tuple[Conversation, list[list[float]]]:
    """The conversation with the most probable `emotion` on every utterance, and the probabilities, utterances x labels.

    scores  for each utterance the log-probability of each label, in the order of `labels`
    prior   what is subtracted from them first, from `prior_scores`; None: nothing
    """
    prior = prior or [0.0] * len(labels)
    table = [probabilities([score - off for score, off in zip(one, prior, strict=True)]) for one in scores]
    emotions = [labels.labels[max(range(len(labels)), key=one.__getitem__)] for one in table]
    return with_emotions(conversation, emotions, labels), table


# ---- the published recipe: one prompt an utterance, the whole conversation in each ---------------------------


def published_prompts(conversation: Conversation, labels: LabelSet = ECF) -> list[tuple[str, str | None]]:
    """(prompt, completion) for every utterance; the completion is None where there is no gold emotion."""
    turns = "\n".join(
        f"utterance_id :: {u['utterance_ID']}, speaker :: {' '.join(u['speaker'].split())}, "
        f"text :: {' '.join(u['text'].split())}"
        for u in conversation["conversation"]
    )
    result = []
    for u in conversation["conversation"]:
        prompt = (
            "Below is a conversation, followed by one of its utterances. Your task is to name the emotion which "
            f"that utterance carries. Choose exactly one of: {labels}.\n\n### Conversation:\n{turns}\n\n"
            f"### Utterance:\nutterance_id :: {u['utterance_ID']}, speaker :: {' '.join(u['speaker'].split())}, "
            f"text :: {' '.join(u['text'].split())}\n\n### Emotion:\n"
        )
        emotion = u.get("emotion")
        result.append((prompt, None if emotion is None else f"emotion :: {emotion}"))
    return result


def parse_published(text: str, labels: LabelSet = ECF) -> str | None:
    """The label that a generated text names first; None where it names none (counted, and read as neutral)."""
    places = [(text.lower().find(label.lower()), -len(label), label) for label in labels]
    found = [one for one in places if one[0] >= 0]
    return min(found)[2] if found else None  # the longer one of two that begin there


@dataclass(frozen=True)
class Emotion(TaskDefaults):
    """The task with one label an utterance.

    votes       whether the annotators' votes are the targets, where an utterance has some
    adjustment  the strength of the logit adjustment (`prior_scores`) of a `trained` task
    prior       what `read` subtracts; None: nothing
    balance     what is done in training about rare labels
    weights     {label: how much an utterance with it counts in training} of a `taught` task; {}: all alike
    pool        how the question is worded; None: as it always was
    senses      what a line has beside the words
    encoder     what is averaged with the adapter's answers; None: nothing
    """

    labels: LabelSet = ECF
    adjustment: float = 0.0
    prior: list[float] | None = None
    votes: bool = False
    balance: Balance = Balance()
    weights: dict[str, float] = field(default_factory=dict)
    pool: Pool | None = None
    senses: Senses = WORDS
    encoder: Beside | None = None
    name = "emotion"
    new_tokens = 15  # the published recipe's
    unparsed = "neutral"
    on_emotions = False
    opening = "Name the emotion of every utterance."

    def tree(self, item: Conversation, train: bool = False) -> Node:
        return tree(item, train, self.labels, self.votes, self.weights, self.pool, self.senses)

    def taught(self, items: list[Conversation], seed: int) -> tuple["Emotion", list[Conversation]]:
        def carried(c):
            return [_shares(u, self.labels, self.votes) for u in c["conversation"]]

        drawn = self.balance.drawn(items, carried, seed)
        return replace(self, weights=self.balance.weighed(counts(drawn, self.labels, self.votes))), drawn

    def prompts(self, item: Conversation) -> list[tuple[str, str | None]]:
        return published_prompts(item, self.labels)

    def ask(self, item: Conversation) -> OneRound:
        def found(scores):
            said = self.encoder.with_emotions(item, scores) if self.encoder else scores
            return read(item, said, self.prior, self.labels)

        return OneRound(self.tree(item), found)

    def parse(self, item: Conversation, texts: list[str]) -> tuple[Conversation, list[list[float]], int]:
        found = [parse_published(text, self.labels) for text in texts]
        emotions = [label or self.labels.neutral or self.labels.labels[0] for label in found]
        table = [[float(label == one) for label in self.labels] for one in emotions]
        return with_emotions(item, emotions, self.labels), table, found.count(None)

    def counts(self, items: list[Conversation]) -> dict[str, float]:
        return counts(items, self.labels, self.votes)

    def decided(self, items: list[Conversation], tables: Callable[[], list]) -> dict[str, Any]:
        """{"weights": those of a `taught` task, "prompts": its pool}, each only where there are some."""
        weights = {"weights": self.weights} if self.weights else {}
        return weights | ({"prompts": self.pool.as_dict()} if self.pool else {})

    def trained(self, adapter: Path) -> "Emotion":
        path = Path(adapter) / "training.json"
        check_labels(self.labels, adapter)
        record = read_object(path)
        seen, weights = (
            one if isinstance(one, dict) else {} for one in (record.get("emotions"), record.get("weights"))
        )
        kinds = (int, float) if self.votes else (int,)  # votes count as shares
        if not all(type(seen.get(label)) in kinds and 0 <= seen[label] < 10**12 for label in self.labels):
            raise RunError(f'{path} lacks "emotions", how often training saw each label: train the adapter again')
        if weights and not all(
            type(weights.get(label, 1.0)) is float and weights.get(label, 1.0) > 0 for label in seen
        ):
            raise RunError(f'{path}: "weights" are no numbers above zero, one a label: train the adapter again')
        counted = {label: seen[label] * weights.get(label, 1.0) for label in self.labels}
        prior = prior_scores(counted, self.adjustment, self.labels)
        return replace(self, prior=prior, pool=recorded(self.pool, adapter))
