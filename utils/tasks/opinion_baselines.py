"""Opinions without a language model: what every figure must beat.

labelled, tables = baseline("TF-IDF", task, train, texts)     # as utils.tasks.ask.predict returns them

majority            the commonest answer of training; of a score the mean
TF-IDF              words and pairs of words, weighted, into a logistic or a ridge regression
nearest neighbours  the five texts of training that share most of them
MiniLM neighbours   the five whose vectors by all-MiniLM-L6-v2 are nearest; its package is optional
"""

from collections.abc import Sequence
from typing import Any

from utils.data.opinions import Text
from utils.data.topics import Topic
from utils.models import sentences
from utils.system.errors import OpinionError
from utils.tasks.opinion import PARTS, Opinions, line

MINILM = "MiniLM neighbours"
NAMES = ("majority", "TF-IDF", "nearest neighbours", MINILM)
_NEIGHBOURS = 5


def available() -> tuple[str, ...]:
    """Those of NAMES whose packages are here."""
    return NAMES if sentences.packaged() else tuple(name for name in NAMES if name != MINILM)


def check_available(names: Sequence[str]) -> None:
    """Raises OpinionError for a baseline whose package is missing."""
    if MINILM in names and MINILM not in available():
        raise OpinionError(f"{MINILM} need a package that is not here: {sentences.INSTALL}")


def baseline(name: str, task: Opinions, train: Sequence[Text], texts: Sequence[Text]) -> tuple[list[Text], list[dict]]:
    """(texts with their opinions, for each {topic: {part: probabilities, or the score alone}}) by the baseline `name`,
    one of NAMES, fitted on `train`. Raises OpinionError where its package is missing."""
    check_available([name])
    parts = dict.fromkeys(key for text in texts for _, key in task.questions(text))
    found = {key: iter(_answers(name, key, task, train, texts)) for key in parts}
    read = [task.read(text, [next(found[key]) for _, key in task.questions(text)]) for text in texts]
    return [labelled for labelled, _ in read], [table for _, table in read]


def _answers(name: str, key: str, task: Opinions, train, texts) -> list[list[float]]:
    """The table of each question of the part `key`."""
    part, given, targets, words = PARTS[key], [], [], _sentence if name == MINILM else _words
    for text in train:
        for topic in (topic for topic, asked in task.questions(text) if asked == key):
            target = part.target(text["opinions"][topic.name])
            if target is not None:
                given.append(words(text, topic))
                targets.append(target)
    wanted = [words(text, topic) for text in texts for topic, asked in task.questions(text) if asked == key]
    some = next(topic for text in texts for topic, asked in task.questions(text) if asked == key)
    count = len(part.answers(some))
    if not given:  # nothing was learnt: every answer is as good
        return [[0.0] if part.scored else [1 / count] * count for _ in wanted]
    model = _model(name, part.scored, len(given), len({*targets}))
    model.fit(given, targets)
    if part.scored:
        return [[float(score)] for score in model.predict(wanted)]
    tables, classes = model.predict_proba(wanted), list(model.classes_)
    return [[float(row[classes.index(k)]) if k in classes else 0.0 for k in range(count)] for row in tables]


def _words(text: Text, topic: Topic) -> str:
    """What TF-IDF reads: the topic is a word of its own."""
    return f"topic{topic.name.replace('-', '').replace(' ', '')} {line(text)}"


def _sentence(text: Text, topic: Topic) -> str:
    """What a sentence encoder reads."""
    return f"{topic.name}: {line(text)}"


def _model(name: str, scored: bool, texts: int, answers: int) -> Any:
    """A model of scikit-learn for `texts` texts with so many different answers."""
    from sklearn.dummy import DummyClassifier, DummyRegressor  # here, because it takes a second
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    if name == "majority" or (answers < 2 and not scored):
        return DummyRegressor() if scored else DummyClassifier(strategy="prior")
    if name == "TF-IDF":
        last = Ridge(alpha=1.0) if scored else LogisticRegression(C=10, max_iter=1000)
    else:
        kind = KNeighborsRegressor if scored else KNeighborsClassifier
        last = kind(n_neighbors=min(_NEIGHBOURS, texts), metric="cosine")
    if name == MINILM and (folder := sentences.packaged()):
        return make_pipeline(FunctionTransformer(sentences.sentence_encoder(folder)), last)
    return make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), last)
