"""The emotion task: its labels, its prefix and questions, its targets, and how answers become JSON.

    tree(conversation)                 what the model reads, as a tree of text (utils/prefix_tree.py)
    text(conversation)                 its words alone, for training on text before labels
    read(conversation, scores)         log-probabilities -> labelled conversation and probabilities
    published_prompts(conversation)    the published recipe: one prompt an utterance

Twin of utils/cause.py: one question an utterance here, one question a candidate cause there.
"""

import math

from utils.conversations import EMOTIONS, NEUTRAL, with_emotions
from utils.prefix_tree import Node, Question, chain

LABELS = EMOTIONS
ANSWERS = tuple(f" {label}" for label in LABELS)
INSTRUCTION = f"Name the emotion of every utterance: {', '.join(LABELS)}."


def line(utterance: dict, emotion: str | None = None) -> str:
    """One utterance as one line. White space is made single, so that no text can imitate a line of its own."""
    speaker, text = " ".join(utterance["speaker"].split()), " ".join(utterance["text"].split())
    return f"{speaker}{f' {emotion}' if emotion else ''}: {text}"


def text(conversation: dict) -> str:
    """The conversation's lines alone, as the tree has them: what is read before any question is asked."""
    return "\n".join(line(u) for u in conversation["conversation"])


def tree(conversation: dict, train: bool = False) -> Node:
    """The conversation line by line, then once more, and behind each line of the second reading, as a branch, the
    question for its emotion.

    So a question has just read its utterance, and what came after it before that. It beats a single reading trained
    for as many tokens, and an utterance repeated in its branch (LOG.md). With `train` the gold emotions are the
    targets, and every utterance must carry one.
    """
    utterances = conversation["conversation"]
    lines = [line(u) for u in utterances]
    gold = [f" {u['emotion']}" if train else None for u in utterances]
    questions = {len(lines) + k: [Node(" Emotion:", Question(ANSWERS, answer))] for k, answer in enumerate(gold)}
    return chain(INSTRUCTION, lines + lines, questions)


def probabilities(scores: list[float]) -> list[float]:
    """Log-probabilities of the allowed answers, made to sum to one over them."""
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    return [weight / sum(weights) for weight in weights]


def counts(conversations: list[dict]) -> dict[str, int]:
    """How many utterances carry each of LABELS."""
    emotions = [u["emotion"] for c in conversations for u in c["conversation"]]
    return {label: emotions.count(label) for label in LABELS}


def prior_scores(counted: dict[str, int], adjustment: float) -> list[float]:
    """For each of LABELS, `adjustment` times the logarithm of its share among the training utterances (`counted`, as
    `counts` returns it): the post-hoc logit adjustment of Menon et al. (ICLR 2021), their tau. Taken off the
    log-probabilities it has rare emotions named more often. A label never seen counts as seen once."""
    total = sum(max(counted[label], 1) for label in LABELS)
    return [adjustment * math.log(max(counted[label], 1) / total) for label in LABELS]


def read(conversation: dict, scores: list[list[float]], prior=(0,) * 7) -> tuple[dict, list[list[float]]]:
    """`scores`: for each utterance the log-probability of each of the 7 labels; `prior`: what is taken off them, from
    `prior_scores`. Returns the conversation with the then likeliest `emotion` on every utterance, and the
    probabilities after that (utterances x 7, in the order of LABELS)."""
    table = [probabilities([score - off for score, off in zip(one, prior, strict=True)]) for one in scores]
    emotions = [LABELS[max(range(len(LABELS)), key=one.__getitem__)] for one in table]
    return with_emotions(conversation, emotions), table


# ---- the published recipe: one prompt an utterance, the whole conversation in each ---------------------------


def published_prompts(conversation: dict) -> list[tuple[str, str | None]]:
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
            f"that utterance carries. Choose exactly one of: {', '.join(LABELS)}.\n\n### Conversation:\n{turns}\n\n"
            f"### Utterance:\nutterance_id :: {u['utterance_ID']}, speaker :: {' '.join(u['speaker'].split())}, "
            f"text :: {' '.join(u['text'].split())}\n\n### Emotion:\n"
        )
        emotion = u.get("emotion")
        result.append((prompt, None if emotion is None else f"emotion :: {emotion}"))
    return result


def parse_published(text: str) -> str | None:
    """The label that a generated text names first; None where it names none (counted, and read as neutral)."""
    found = [(text.lower().find(label), label) for label in LABELS if label in text.lower()]
    return min(found)[1] if found else None


def majority(conversations: list[dict]) -> str:
    """The commonest emotion of labelled conversations; neutral where there are none."""
    counted = counts(conversations)
    return max(LABELS, key=counted.get) if any(counted.values()) else NEUTRAL
