"""Any task through `predict` equals one sequence a question, whatever its labels and however often it asks.

    python -m pytest tests/promises/test_parity_of_tasks.py

Two toy tasks with label sets of their own: one asks for labels that are not neutral or not, and again about those that
are; one has several labels an item. The sequences are written out by hand, and go through the same model as ordinary
causal sequences. Allowed is float32's rounding.
"""

import math
from dataclasses import dataclass

import pytest
import torch
from helpers import with_adapter
from one_sequence import plain_scores, plain_step

from utils.config import Config
from utils.data.labels import LabelSet
from utils.engine.inference import Journal
from utils.engine.prefix_tree import Node, Question, chain
from utils.engine.settings import InferenceSettings, TrainingSettings
from utils.engine.trainer import train
from utils.record.fit import examples
from utils.tasks.ask import predict
from utils.tasks.task import OneRound, probabilities

TOLERANCE = 1e-5
MOODS = LabelSet("moods", ("calm", "cross", "glad", "sorry", "sorrowful"), neutral="calm")
TOPICS = LabelSet("topics", ("food", "work", "family"), multi=True)
YES_NO = (" no", " yes")


@dataclass(frozen=True)
class Topics:
    """Several labels an item: a yes/no question a label, all behind the item's text."""

    labels: LabelSet = TOPICS
    threshold: float = 0.5
    name = "topic"
    on_emotions = False

    def tree(self, item, train=False):
        answers = {topic: YES_NO[topic in item["topics"]] if train else None for topic in self.labels}
        return Node(item["text"], None, [Node(f" {t}?", Question(YES_NO, answer)) for t, answer in answers.items()])

    def ask(self, item):
        return OneRound(self.tree(item), lambda scores: self.read(item, scores))

    def read(self, item, scores):
        table = {topic: probabilities(one)[1] for topic, one in zip(self.labels, scores, strict=True)}
        return {**item, "topics": [topic for topic, p in table.items() if p >= self.threshold]}, table

    def questions(self, item):
        """The same by hand: (pieces of text before the answer, allowed answers, right answer)."""
        return [([item["text"], f" {t}?"], YES_NO, YES_NO[t in item["topics"]]) for t in self.labels]


class MoodSearch:
    """First the mood of every line, then, behind the lines whose mood is not the neutral one, how sure that is."""

    def __init__(self, task, item):
        self.task, self.item, self.moods, self.sure = task, item, None, None

    def tree(self):
        if self.moods is None:
            return self.task.tree(self.item)
        if self.sure is None and (named := self.named()):
            branches = {i: [Node(f" {mood}?", Question(YES_NO))] for i, mood in named.items()}
            return chain("Lines.", self.item["lines"], branches)
        return None

    def named(self):
        labels = self.task.labels
        found = [labels.labels[max(range(len(labels)), key=one.__getitem__)] for one in self.moods]
        return {i: mood for i, mood in enumerate(found) if mood != labels.neutral}

    def update(self, scores):
        if self.moods is None:
            self.moods = scores
        else:
            self.sure = scores

    def read(self):
        sure = dict(zip(self.named(), self.sure or [], strict=True))
        return {**self.item, "moods": list(self.named().items())}, (self.moods, sure)


@dataclass(frozen=True)
class Moods:
    """One label a line, of several tokens, and a second round about the lines that are not neutral."""

    labels: LabelSet = MOODS
    name = "mood"
    on_emotions = False

    def tree(self, item, train=False):
        answers = tuple(f" {mood}" for mood in self.labels)
        gold = [f" {mood}" if train else None for mood in item["moods"]]
        questions = {i: [Node(" ->", Question(answers, one))] for i, one in enumerate(gold)}
        return chain("Lines.", item["lines"], questions)

    def ask(self, item):
        return MoodSearch(self, item)

    def questions(self, item):
        answers, lines = tuple(f" {mood}" for mood in self.labels), [f"\n{line}" for line in item["lines"]]
        return [(["Lines.", *lines[: i + 1], " ->"], answers, f" {mood}") for i, mood in enumerate(item["moods"])]


TEXTS = ("The soup is cold.", "My brother has lost his job!", "Who has eaten the bread of my aunt?", "So.")
ABOUT_TOPICS = [
    {"conversation_ID": i, "text": text, "topics": topics}
    for i, (text, topics) in enumerate(zip(TEXTS, (["food"], ["work", "family"], ["food", "family"], [])))
]
ABOUT_MOODS = [
    {
        "conversation_ID": i,
        "lines": list(TEXTS[i:]),
        "moods": [MOODS.labels[(i + k) % 5] for k in range(len(TEXTS) - i)],
    }
    for i in range(len(TEXTS))
]
BOTH = pytest.mark.parametrize(
    ("task", "items"), [(Topics(), ABOUT_TOPICS), (Moods(), ABOUT_MOODS)], ids=["topics", "moods"]
)


@pytest.fixture(scope="module")
def adapted(tiny_model_folder):
    return with_adapter(tiny_model_folder, std=0.5).eval()


@pytest.mark.parametrize("budget", [1, 4096], ids=["a tree a row", "packed"])
def test_several_labels_an_item_equal_one_sequence_a_question(adapted, tokenizer, budget):
    settings = InferenceSettings(token_budget=budget)
    _, tables = predict(Topics(), adapted, tokenizer, ABOUT_TOPICS, settings)
    middle = sorted(p for table in tables for p in table.values())[5:7]
    task = Topics(threshold=sum(middle) / 2)
    labelled, tables = predict(task, adapted, tokenizer, ABOUT_TOPICS, settings)
    for item, found, table in zip(ABOUT_TOPICS, labelled, tables, strict=True):
        wanted = {}
        for topic, (no, yes) in zip(TOPICS, plain_scores(adapted, tokenizer, Topics().questions(item)), strict=True):
            wanted[topic] = 1 / (1 + math.exp(no - yes))
        assert table == pytest.approx(wanted, rel=10 * TOLERANCE)
        assert found == {**item, "topics": [topic for topic, p in wanted.items() if p >= task.threshold]}
    assert sum(len(one["topics"]) for one in labelled) == 6, "half of the answers are yes"


@pytest.mark.parametrize("budget", [1, 4096], ids=["a tree a row", "packed"])
def test_two_rounds_equal_one_sequence_a_question(adapted, tokenizer, tmp_path, budget):
    journal = Journal(tmp_path / "unfinished.jsonl")
    settings = InferenceSettings(token_budget=budget)
    labelled, tables = predict(Moods(), adapted, tokenizer, ABOUT_MOODS, settings, journal)
    rounds = 0
    for item, found, (moods, sure) in zip(ABOUT_MOODS, labelled, tables, strict=True):
        first = plain_scores(adapted, tokenizer, Moods().questions(item))
        assert [value for one in moods for value in one] == pytest.approx(
            [value for one in first for value in one], rel=TOLERANCE
        )
        likeliest = [MOODS.labels[torch.tensor(one).argmax().item()] for one in first]
        named = [(i, mood) for i, mood in enumerate(likeliest) if mood != "calm"]
        assert found["moods"] == named
        lines = [f"\n{line}" for line in item["lines"]]
        again = [(["Lines.", *lines[: i + 1], f" {mood}?"], YES_NO, None) for i, mood in named]
        for (i, _), one in zip(named, plain_scores(adapted, tokenizer, again), strict=True):
            assert sure[i] == pytest.approx(one, rel=TOLERANCE)
        assert len(sure) == len(named)
        rounds += bool(named)
    assert rounds, "some item is asked about twice"
    kept = len(journal.results)
    assert predict(Moods(), adapted, tokenizer, ABOUT_MOODS, settings, journal) == (labelled, tables)
    assert len(journal.results) == kept, "both rounds are in the journal"


@BOTH
def test_a_training_step_on_any_task_is_the_plain_one(tiny_model_folder, tokenizer, tmp_path, task, items):
    questions = [question for item in items for question in task.questions(item)]
    loss, wanted = plain_step(with_adapter(tiny_model_folder), tokenizer, questions)
    rows = examples(task, items, tokenizer, Config(token_budget=4096))
    assert len(rows) == 1, "all items share a row"
    settings = TrainingSettings(
        learning_rate=1.0, gradient_accumulation=1, scheduler="constant", warmup_ratio=0.0, optimizer="sgd"
    )
    first = train(with_adapter(tiny_model_folder), tokenizer, rows, settings, tmp_path)[0]
    norm = math.sqrt(sum(gradient.square().sum().item() for gradient in wanted.values()))
    assert first["loss"] == pytest.approx(loss, rel=TOLERANCE)
    assert first["grad_norm"] == pytest.approx(norm, rel=TOLERANCE)


@BOTH
def test_nothing_is_asked_about_no_items(adapted, tokenizer, task, items):
    assert predict(task, adapted, tokenizer, [], InferenceSettings()) == ([], [])
    assert len(predict(task, adapted, tokenizer, items, InferenceSettings())[0]) == len(items)
