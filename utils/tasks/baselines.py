"""Baselines without a model: the most frequent emotion, and the rule for causes."""

import numpy as np

from utils.data.conversations import Conversation, emotions_of, with_emotions, with_pairs
from utils.data.labels import ECF, LabelSet
from utils.tasks.candidates import emotional
from utils.tasks.emotion import counts


def majority(conversations: list[Conversation], labels: LabelSet = ECF) -> str:
    """The most frequent emotion of labelled conversations; the neutral label (or the first) where there are none."""
    counted = counts(conversations, labels)
    return max(labels, key=counted.__getitem__) if any(counted.values()) else labels.neutral or labels.labels[0]


def with_majority(
    conversations: list[Conversation], training: list[Conversation], labels: LabelSet = ECF
) -> list[Conversation]:
    """`conversations` with the most frequent emotion of `training` on every utterance (as a list in a `multi` set)."""
    most = majority(training, labels)
    emotion = [most] if labels.multi else most
    return [with_emotions(c, [emotion] * len(c["conversation"]), labels) for c in conversations]


def shares(
    conversations: list[Conversation], training: list[Conversation], labels: LabelSet = ECF
) -> list[list[list[float]]]:
    """The probabilities of `with_majority`, for each conversation utterances x labels: how often `training` has each
    label, the same for every utterance."""
    counted = counts(training, labels)
    row = [counted[label] / max(sum(counted.values()), 1) for label in labels]
    return [[row] * len(c["conversation"]) for c in conversations]


def neighbours(
    conversations: list[Conversation], training: list[Conversation], labels: LabelSet = ECF, count: int = 20
) -> tuple[list[Conversation], list[list[list[float]]]]:
    """(`conversations` with the likeliest emotion of similar utterances of `training`, for each conversation utterances
    x labels): the `count` nearest utterances by the cosine of their TF-IDF vectors of words and pairs of words, each
    with the weight of its cosine. An utterance without a known word gets the shares of `training`."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # here, as loading it takes a second

    known = [u for c in training for u in c["conversation"] if emotions_of(u)]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    vectors = words.fit_transform(u["text"] for u in known)
    carried = np.array([[label in emotions_of(u) for label in labels] for u in known], dtype=float)
    carried /= carried.sum(1, keepdims=True)
    prior = carried.mean(0)
    found, tables = [], []
    for c in conversations:
        near = (words.transform(u["text"] for u in c["conversation"]) @ vectors.T).toarray()
        table = []
        for row in near:
            best = row.argsort(kind="stable")[::-1][:count]
            mass = row[best] @ carried[best]
            table.append((mass / mass.sum() if mass.sum() else prior).tolist())
        likeliest = [labels.labels[row.index(max(row))] for row in table]
        found.append(with_emotions(c, [[one] if labels.multi else one for one in likeliest], labels))
        tables.append(table)
    return found, tables


def rule(conversation: Conversation, labels: LabelSet = ECF) -> Conversation:
    """The conversation with the rule's pairs: every emotional utterance is its own cause, and so is the previous
    utterance where another speaker said it."""
    utterances, triples = conversation["conversation"], []
    for position in emotional(conversation, labels):
        u = utterances[position]
        triples.append((u["utterance_ID"], u["emotion"], u["utterance_ID"]))
        if position and utterances[position - 1]["speaker"] != u["speaker"]:
            triples.append((u["utterance_ID"], u["emotion"], utterances[position - 1]["utterance_ID"]))
    return with_pairs(conversation, triples)
