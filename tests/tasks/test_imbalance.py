"""Rare labels: their weights are those of the papers and of torch's loss, and what is drawn is more even.

python -m pytest tests/tasks/test_imbalance.py
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import FIVE, conversation, questions, with_adapter, with_votes
from sklearn.utils.class_weight import compute_class_weight

from utils.config import Config
from utils.data.labels import ECF, LabelSet
from utils.engine.prefix_tree import TreeEncoder, encode, model_inputs, pack
from utils.engine.settings import TrainingSettings
from utils.engine.trainer import train
from utils.engine.weights import separated, weighted_inputs, weighted_loss
from utils.system.errors import ConfigError, RunError
from utils.system.files import write_json
from utils.tasks import emotion
from utils.tasks.emotion import Emotion
from utils.tasks.emotion_multi import EmotionMulti
from utils.tasks.imbalance import Balance

SEEN = {"neutral": 60, "joy": 30, "fear": 6, "disgust": 0}
WORDS = ["neutral", "neutral", "joy", "neutral", "fear"]


def with_labels(texts, *emotions):
    plain = conversation(list(texts))
    named = [{**u, "emotion": label} for u, label in zip(plain["conversation"], emotions, strict=True)]
    return {**plain, "conversation": named}


def of_one(label):
    return with_labels("x", label)


def test_inverse_weights_are_scikit_learns_balanced_ones():
    found = Balance("inverse").weighed(SEEN)
    examples = [label for label, count in SEEN.items() for _ in range(count)]
    names = sorted(found)
    wanted = compute_class_weight("balanced", classes=np.array(names), y=examples)
    assert [found[name] for name in names] == pytest.approx(list(wanted)) and "disgust" not in found
    assert Balance().weighed(SEEN) == {} and Balance("inverse").weighed({"joy": 0}) == {}


@pytest.mark.parametrize("beta", [0.9, 0.999])
def test_effective_weights_are_those_of_the_paper_up_to_their_scale(beta):
    found = Balance("effective", beta).weighed(SEEN)
    paper = {label: (1 - beta) / (1 - beta**n) for label, n in SEEN.items() if n}
    ratios = [found[label] / paper[label] for label in paper]
    assert ratios == pytest.approx([ratios[0]] * 3)
    assert sum(found[label] * SEEN[label] for label in found) == pytest.approx(96), "one on the mean of the examples"


def test_effective_weights_lie_between_equal_and_inverse_ones():
    inverse = Balance("inverse").weighed(SEEN)
    assert Balance("effective", 0.0).weighed(SEEN) == pytest.approx(dict.fromkeys(inverse, 1.0))
    assert Balance("effective", 1 - 1e-9).weighed(SEEN) == pytest.approx(inverse, rel=1e-4)


# ---- the loss -------------------------------------------------------------------------------------------------------


def one_token_labels(tokenizer):
    """A label set whose answers are a token each, which differ, so that weights of labels are weights of tokens."""
    words, tokens = [], set()
    for word in ("a", "b", "c", "d", "e", "the", "it", "is", "on"):
        found = encode(tokenizer, f" {word}")
        if len(found) == 1 and found[0] not in tokens:
            words.append(word)
            tokens.add(found[0])
    return LabelSet("words", tuple(words[:3]), words[0])


@pytest.mark.parametrize("kind", ["inverse", "effective"])
def test_the_loss_is_torchs_weighted_cross_entropy(tiny_model_folder, tokenizer, tmp_path, kind):
    """With its normalisation: the mean over targets, divided by the sum of their weights; over several rows in a step
    that of all rows together, as if they were one batch."""
    labels = one_token_labels(tokenizer)
    assert len(labels) == 3
    first, second, third = labels
    items = [with_labels("pqrst", first, first, second, first, third), with_labels("u", third)]
    task, drawn = Emotion(labels, balance=Balance(kind)).taught(items, 42)
    assert drawn == items and len({*task.weights.values()}) == 3
    model = with_adapter(tiny_model_folder).eval()
    rows = [TreeEncoder(tokenizer)(task.tree(one, train=True), train=True) for one in items]
    packed = pack(rows)
    logits = model(**model_inputs(packed, packed.targets), use_cache=False).logits[0].float()
    by_token = torch.ones(logits.shape[-1])
    for label, weight in task.weights.items():
        by_token[encode(tokenizer, f" {label}")[0]] = weight
    tokens = torch.tensor([token for _, token in packed.targets])
    wanted = torch.nn.functional.cross_entropy(logits, tokens, weight=by_token).item()
    given, target = separated(weighted_inputs(packed))
    ours = weighted_loss(model(**given, use_cache=False).logits, target, 0.0) / target["weights"].sum()
    assert ours.item() == pytest.approx(wanted, rel=1e-5)
    settings = TrainingSettings(learning_rate=1e-3, gradient_accumulation=2, optimizer="sgd")
    history = train(with_adapter(tiny_model_folder), tokenizer, rows, settings, tmp_path)
    assert history[0]["loss"] == pytest.approx(wanted, rel=1e-5)


def test_a_target_counts_as_its_label_and_evaluations_count_all_alike():
    task, _ = Emotion(balance=Balance("inverse")).taught([FIVE], 1)
    right = [question.gold for question in questions(task.tree(FIVE, train=True))]
    assert right == [{" joy": 1.25}, {" neutral": 0.625}, {" anger": 1.25}, {" fear": 1.25}, {" neutral": 0.625}]
    assert {question.gold for question in questions(task.tree(FIVE))} == {None}
    assert questions(Emotion(balance=Balance("inverse")).tree(FIVE, train=True))[0].gold == " joy"


def test_votes_count_as_their_shares_times_the_labels_weight():
    voted = with_votes(FIVE)
    task, _ = Emotion(votes=True, balance=Balance("inverse")).taught([voted], 1)
    counted = task.counts([voted])
    assert sum(task.weights[label] * counted[label] for label in task.weights) == pytest.approx(5)
    third = questions(task.tree(voted, train=True))[2].gold
    assert third == {" sadness": 0.8 * task.weights["sadness"], " surprise": 0.2 * task.weights["surprise"]}


def test_with_several_labels_yes_and_no_are_weighed_for_each_label():
    task, _ = EmotionMulti(balance=Balance("inverse")).taught([FIVE], 1)
    asked = questions(task.tree(FIVE, train=True))
    assert asked[ECF.index("joy")].gold == {" yes": 2.5} and asked[7 + ECF.index("joy")].gold == {" no": 0.625}
    assert asked[ECF.index("disgust")].gold == {" no": 1.0}, "nobody carries it"
    assert asked[7 + ECF.index("neutral")].gold == {" yes": 1.25}
    assert questions(EmotionMulti().taught([FIVE], 1)[0].tree(FIVE, train=True))[0].gold == " no"


# ---- sampling -------------------------------------------------------------------------------------------------------


def test_single_utterances_are_drawn_so_that_labels_are_equal_but_for_chance():
    items = [of_one("neutral")] * 900 + [of_one("joy")] * 90 + [of_one("fear")] * 10
    task = Emotion(balance=Balance(sampling="balanced"))
    _, drawn = task.taught(items, 7)
    found = task.counts(drawn)
    assert len(drawn) == 1000 and all(280 <= found[label] <= 390 for label in ("neutral", "joy", "fear")), found
    assert task.taught(items, 7)[1] == drawn and task.taught(items, 8)[1] != drawn


def test_conversations_become_more_even_and_unlabelled_ones_are_not_drawn():
    items = [conversation(list("abcde"), WORDS)] + [conversation(list("abc"), ["neutral"] * 3)] * 30
    items += [{**FIVE, "conversation": [{**u, "emotion": None} for u in FIVE["conversation"]]}]
    task = Emotion(balance=Balance(sampling="balanced"))
    _, drawn = task.taught(items, 3)
    before, after = task.counts(items), task.counts(drawn)
    assert after["fear"] > 10 * before["fear"] and after["joy"] == after["fear"] and len(drawn) == len(items)
    assert items[-1] not in drawn and after["neutral"] > after["fear"]
    assert Emotion().taught(items, 3)[1] is items


def test_where_no_item_has_a_label_all_stay():
    bare = {**FIVE, "conversation": [{**u, "emotion": None} for u in FIVE["conversation"]]}
    assert EmotionMulti(balance=Balance(sampling="balanced")).taught([bare], 3)[1] == [bare]


# ---- the record -----------------------------------------------------------------------------------------------------


def test_the_logit_adjustment_takes_off_what_the_weights_leave(tmp_path):
    """Training with inverse weights shows the model all labels alike: nothing is left to adjust."""
    task, drawn = Emotion(adjustment=1.0, balance=Balance("inverse")).taught([FIVE], 1)
    assert Emotion().decided([], list) == {}
    record = {"labels": ECF.as_dict(), "emotions": task.counts(drawn), **task.decided([], list)}
    write_json(record, tmp_path / "training.json")
    prior = dict(zip(ECF, Emotion(adjustment=1.0).trained(tmp_path).prior))
    assert prior["joy"] == pytest.approx(prior["neutral"]) and prior["disgust"] < prior["joy"]
    plain = {name: value for name, value in record.items() if name != "weights"}
    write_json(plain, tmp_path / "training.json")
    assert Emotion(adjustment=1.0).trained(tmp_path).prior == emotion.prior_scores(record["emotions"], 1.0)
    for wrong in ({"joy": "x"}, {"joy": -1.0}, {"joy": None}):
        write_json({**record, "weights": wrong}, tmp_path / "training.json")
        with pytest.raises(RunError, match='training.json: "weights" are no numbers.*train the adapter again'):
            Emotion().trained(tmp_path)


def test_parameters_reach_the_tasks_and_the_published_recipe_has_none():
    config = Config.of({"class_weights": "effective", "effective_beta": 0.99, "sampling": "balanced"})
    wanted = Balance("effective", 0.99, "balanced")
    assert config.task("emotion").balance == wanted
    assert replace(config, targets="votes").task("emotion").balance == wanted
    assert replace(config, targets="multi").task("emotion").balance == wanted
    for name, value in (("class_weights", "inverse"), ("sampling", "balanced")):
        with pytest.raises(ConfigError, match=f"parameter {name} is {value}; recipe published has .* alone"):
            Config.of({name: value, "recipe": "published"})
