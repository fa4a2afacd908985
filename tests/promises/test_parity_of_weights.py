"""Targets that do not count alike are the same function too: distributions over answers, weights, the focal loss.

    python -m pytest tests/promises/test_parity_of_weights.py

One sequence a right answer, times its weight, written out by hand (tests/one_sequence.py). Allowed is float32's
rounding, as in test_parity.py.
"""

import functools
import math
from dataclasses import replace

import pytest
import torch
from helpers import with_adapter, with_votes
from one_sequence import INSTRUCTIONS, gradient_difference, gradients, plain_scores, plain_step, score_difference

from utils.data.labels import ECF
from utils.engine.inference import score_row
from utils.engine.prefix_tree import Node, Question, TreeEncoder, encode, model_inputs, pack
from utils.engine.rows import text_rows
from utils.engine.settings import TrainingSettings
from utils.engine.trainer import split_batch, train
from utils.engine.weights import separated, weighted_inputs, weighted_loss
from utils.tasks import emotion, emotion_multi

TOLERANCE = 1e-5
ALL = "anger, disgust, fear, joy, sadness, surprise, neutral."


@pytest.fixture(scope="module")
def adapted(tiny_model_folder):
    return functools.cache(functools.partial(with_adapter, tiny_model_folder))


@pytest.fixture(scope="module")
def voted(conversations):
    """The conversations with votes, but for one utterance in each."""
    return [with_votes(c) for c in conversations]


def of_votes(conversation):
    """(pieces before the answer, allowed answers, {answer: weight}) of each utterance."""
    utterances, result = conversation["conversation"], []
    lines = [f"\n{u['speaker']}: {u['text']}" for u in utterances]
    for i, u in enumerate(utterances):
        counted = u.get("votes", {u["emotion"]: 1})
        right = {f" {label}": count / sum(counted.values()) for label, count in counted.items()}
        seen = [INSTRUCTIONS["emotion"], *lines, *lines[: i + 1], " Emotion:"]
        result.append((seen, tuple(f" {label}" for label in ECF), right))
    return result


def of_labels(conversation):
    """The same with a question a label."""
    utterances, result = conversation["conversation"], []
    lines = [f"\n{u['speaker']}: {u['text']}" for u in utterances]
    for i, u in enumerate(utterances):
        yes = {label for label, count in u.get("votes", {}).items() if count >= 2} or {u["emotion"]}
        for label in ECF:
            seen = [f"Name all emotions of every utterance: {ALL}", *lines, *lines[: i + 1], " Emotions:", f" {label}?"]
            result.append((seen, (" no", " yes"), " yes" if label in yes else " no"))
    return result


def trees(task, conversation):
    """(training tree, inference tree)"""
    if task == "votes":
        return emotion.tree(conversation, train=True, votes=True), emotion.tree(conversation)
    return emotion_multi.tree(conversation, train=True), emotion_multi.tree(conversation)


BY_HAND = {"votes": of_votes, "labels": of_labels}


def loss_of(model, row, gamma=0.0):
    given, target = separated(weighted_inputs(row, model.device))
    return weighted_loss(model(**given, use_cache=False).logits, target, gamma) / target["weights"].sum()


@pytest.mark.parametrize("count", [1, 3], ids=["one", "packed"])
@pytest.mark.parametrize("task", BY_HAND)
@pytest.mark.parametrize("variant", ["none", "nf4", "checkpointing", "fused attention"])
def test_a_tree_equals_one_sequence_an_answer(adapted, tokenizer, voted, task, count, variant):
    model = adapted("nf4" if variant == "nf4" else "none").eval()
    questions = [question for c in voted[:count] for question in BY_HAND[task](c)]
    learn, score = (
        pack([TreeEncoder(tokenizer)(trees(task, c)[k], train=not k) for c in voted[:count]]) for k in (0, 1)
    )
    assert score_difference(score_row(model, score), plain_scores(model, tokenizer, questions)) < TOLERANCE
    loss, wanted = plain_step(model, tokenizer, questions)
    model.zero_grad()
    try:
        if variant == "fused attention":
            model.set_attn_implementation("sdpa")
        if variant == "checkpointing":
            model.gradient_checkpointing_enable()
            model.train()
        ours = loss_of(model, learn)
        ours.backward()
    finally:
        model.gradient_checkpointing_disable()
        model.set_attn_implementation("plain")
    assert ours.item() == pytest.approx(loss, rel=TOLERANCE)
    assert gradient_difference(gradients(model), wanted) < TOLERANCE


def test_the_votes_have_several_answers_which_begin_alike(tokenizer, voted):
    """Otherwise the tests here would hold the easy case only."""
    row = TreeEncoder(tokenizer)(trees("votes", voted[0])[0], train=True)
    assert any(0 < weight < 1 for weight in row.weights)
    assert len({index for index, _ in row.targets}) < len(row.targets), "several targets at one position"
    answers = (" surprise", " sadness", " no")
    both = TreeEncoder(tokenizer)(Node("x", Question(answers, {" surprise": 0.25, " sadness": 0.5})), train=True)
    assert both.weights[0] == 0.75, "they share their first token"
    lengths = [len(encode(tokenizer, answer)) for answer in answers]
    assert sum(both.weights) == 0.25 * lengths[0] + 0.5 * lengths[1]


def test_weights_of_one_are_the_models_own_loss(adapted, tokenizer, conversations):
    model = adapted("none").eval()
    row = pack([TreeEncoder(tokenizer)(emotion.tree(c, train=True), train=True) for c in conversations])
    own = model(**model_inputs(row, row.targets, model.device), use_cache=False).loss
    assert set(row.weights) == {1.0} and loss_of(model, row).item() == pytest.approx(own.item(), rel=TOLERANCE)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(("batch_size", "accumulation"), [(1, 2), (2, 1)], ids=["accumulated", "batched"])
def test_a_training_step_is_the_plain_one(
    tiny_model_folder, tokenizer, voted, tmp_path, batch_size, accumulation, gamma
):
    """Logged loss, gradient norm and every weight after a step of plain gradient descent; the rows' weights differ in
    their sums."""
    questions = [question for c in voted[:2] for question in of_votes(c)]
    loss, wanted = plain_step(with_adapter(tiny_model_folder), tokenizer, questions, gamma)
    rows = [TreeEncoder(tokenizer)(trees("votes", c)[0], train=True) for c in voted[:2]]
    model = with_adapter(tiny_model_folder)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    settings = TrainingSettings(
        learning_rate=1.0,
        batch_size=batch_size,
        gradient_accumulation=accumulation,
        scheduler="constant",
        warmup_ratio=0.0,
        optimizer="sgd",
        focal_gamma=gamma,
    )
    first = train(model, tokenizer, rows, settings, tmp_path)[0]
    norm = math.sqrt(sum(g.square().sum().item() for g in wanted.values()))
    assert first["loss"] == pytest.approx(loss, rel=TOLERANCE)
    assert first["grad_norm"] == pytest.approx(norm, rel=TOLERANCE)
    steps = {name: before[name] - p.detach() for name, p in model.named_parameters() if p.requires_grad}
    clipped = {name: g * min(1, 0.3 / norm) for name, g in wanted.items()}
    assert gradient_difference(steps, clipped) < 10 * TOLERANCE


def test_the_evaluation_has_the_cross_entropy_and_no_focus(tiny_model_folder, tokenizer, voted, tmp_path):
    model = with_adapter(tiny_model_folder)
    losses = [plain_step(model, tokenizer, of_votes(c))[0] for c in voted]
    model.zero_grad()
    rows = [TreeEncoder(tokenizer)(trees("votes", c)[0], train=True) for c in voted]
    settings = TrainingSettings(learning_rate=1e-12, optimizer="sgd", gradient_accumulation=1, focal_gamma=2.0)
    history = train(model, tokenizer, rows[:1], settings, tmp_path, validation=rows)
    found = [one["eval_loss"] for one in history if "eval_loss" in one]
    assert found == pytest.approx([sum(losses) / len(losses)] * 2, rel=TOLERANCE)


def test_the_trees_of_a_packed_row_come_apart_again(tokenizer, voted):
    rows = [TreeEncoder(tokenizer)(trees("votes", c)[0], train=True) for c in voted]
    words = text_rows(["one two", "three four"], ["a", "b"], tokenizer, 100)  # a tree's first token has a target too
    words = [replace(row, weights=[0.5] * len(row.targets)) for row in words]
    for some in (rows, words, [words[0], *rows, words[1]]):
        for row, part in zip(some, split_batch(weighted_inputs(pack(some))), strict=True):
            alone = weighted_inputs(row)
            assert alone.keys() == part.keys() and all(torch.equal(alone[name], part[name]) for name in alone)


def test_weights_that_cannot_be_are_refused(tokenizer):
    for gold in ({}, {" no": 0.0}, {" no": 1.0, " yes": -1.0}):
        with pytest.raises(ValueError, match="above zero"):
            TreeEncoder(tokenizer)(Node("x", Question((" no", " yes"), gold)), train=True)
