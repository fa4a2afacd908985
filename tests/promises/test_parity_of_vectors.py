"""Rows with vectors are one sequence a question with the same vectors; and a projector that adds nothing reads text.

    python -m pytest tests/promises/test_parity_of_vectors.py

The sequences are written out by hand: the embedding of each token, and at a placeholder W (v - mean) / std + b, or what
stands for an absent vector, added by plain products. They go through the same model as ordinary causal sequences.
Allowed is float32's rounding.
"""

import math

import pytest
import torch
from filmed import embedded, filmed, made_stream
from helpers import with_adapter
from one_sequence import gradient_difference, gradients, questions_of, score_difference

from utils.config import Config
from utils.engine.inference import score_row, score_trees
from utils.engine.prefix_tree import TreeEncoder, encode, model_inputs, pack, paths, rooted
from utils.engine.settings import TrainingSettings
from utils.engine.trainer import split_batch, train
from utils.engine.vectors import measured
from utils.models.adapting import TITLES
from utils.models.projector import attach, fresh
from utils.models.virtual import virtual_tokens
from utils.tasks.ask import predict
from utils.tasks.senses import sensing

TOLERANCE = 1e-5
TOKENS = 2
TASKS = {"emotion": ("emotion", {}), "candidates": ("cause", {}), "list": ("cause", {"cause_form": "list"})}


@pytest.fixture(scope="module")
def items(conversations):
    return [filmed({**c, "conversation_ID": number}) for number, c in enumerate(conversations)]


@pytest.fixture(scope="module")
def streams(items):
    """Of three numbers, one vector an utterance; of five, up to three vectors."""
    return {"voice": made_stream("voice", items, 3), "face": made_stream("face", items, 5, most=3, seed=1)}


def task_of(kind, streams, **more):
    name, parameters = TASKS[kind]
    config = Config(streams=["voice", "face"], stream_tokens=TOKENS, **parameters, **more)
    return sensing(config.task(name), streams)


def seeing(folder, items, streams, quantization="none", random=True, method="lora"):
    """The tiny model with a small adapter and a projector, whose weights are random, or zero as before training."""
    model = with_adapter(folder, quantization, method=method)
    encoder = TreeEncoder(tokenizer_of(folder))
    rows = [encoder(task_of("emotion", streams).tree(c), train=False) for c in items]
    width = model.get_input_embeddings().embedding_dim
    projector = fresh(measured((row.vectors for row in rows), TOKENS), width, dropout=0.0)
    generator = torch.Generator().manual_seed(3)
    for parameter in projector.parameters() if random else ():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    attach(model, projector)
    return model


def tokenizer_of(folder):
    from utils.models.load import load_tokenizer

    return load_tokenizer(folder)


# ---- by hand -------------------------------------------------------------------------------------------------------


def pooled(array, slot):
    """The part of an utterance's vectors that the first or the second of two placeholders stands for."""
    ends = {1: ([0], [0]), 2: ([0], [1]), 3: ([0, 1], [1, 2])}[len(array)]
    return torch.tensor(array)[list(ends[slot])].double().mean(0).float()


def with_vectors(pieces, utterances, streams):
    """The pieces of a question with its vectors: (stream, slot, numbers or None) behind every line."""
    found, number = [], 0
    for piece in pieces:
        found.append(piece)
        if piece.startswith("\n"):
            u = utterances[number % len(utterances)]
            number += 1
            for name, stream in streams.items():
                array = stream.vectors.get(u.get("video_name", "").removesuffix(".mp4"))
                found += [(name, slot, None if array is None else pooled(array, slot)) for slot in range(TOKENS)]
    return found


def plain_logp(model, tokenizer, pieces, answer):
    tokens, ids = encode(tokenizer, answer), list(tokenizer("").input_ids)
    for piece in [*pieces, answer]:
        ids += encode(tokenizer, piece) if isinstance(piece, str) else [*encode(tokenizer, " *")[:-1], piece]
    given = embedded(model, tokenizer, ids)
    if virtual_tokens(model):
        given = torch.cat([model.prompt_encoder["default"].embedding.weight, given])
    logits = model.get_base_model()(inputs_embeds=given[None], use_cache=False).logits[0].float()
    return logits[-len(tokens) - 1 : -1].log_softmax(-1).gather(-1, torch.tensor(tokens)[:, None])[:, 0]


def by_hand(kind, items, streams):
    return [
        (with_vectors(pieces, c["conversation"], streams), answers, right)
        for c in items
        for pieces, answers, right in questions_of(kind, c)
    ]


def plain_step(model, tokenizer, questions):
    """(loss, gradients) of the mean over all tokens of the right answers."""
    model.zero_grad()
    count, loss = sum(len(encode(tokenizer, right)) for *_, right in questions), 0.0
    for pieces, _, right in questions:
        part = -plain_logp(model, tokenizer, pieces, right).sum() / count
        part.backward()
        loss += part.item()
    return loss, gradients(model)


# ---- the tests -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3], ids=["one", "packed"])
@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("variant", ["none", "nf4", "checkpointing"])
def test_a_tree_with_vectors_equals_one_sequence_a_question(
    tiny_model_folder, tokenizer, items, streams, kind, count, variant
):
    model = seeing(tiny_model_folder, items, streams, "nf4" if variant == "nf4" else "none").eval()
    task, questions, encoder = task_of(kind, streams), by_hand(kind, items[:count], streams), TreeEncoder(tokenizer)
    learn = pack([encoder(task.tree(c, train=True), train=True) for c in items[:count]])
    loss, wanted = plain_step(model, tokenizer, questions)
    assert len([name for name in wanted if "projectors" in name]) == 6, "the projector learns, too"
    model.zero_grad()
    if variant == "checkpointing":
        model.gradient_checkpointing_enable()
        model.train()
    ours = model(**model_inputs(learn, learn.targets), use_cache=False).loss
    ours.backward()
    assert ours.item() == pytest.approx(loss, rel=TOLERANCE)
    assert gradient_difference(gradients(model), wanted) < TOLERANCE
    if kind == "list" or variant == "checkpointing":
        return
    score = pack([encoder(task.tree(c), train=False) for c in items[:count]])
    with torch.no_grad():
        table = [
            [plain_logp(model, tokenizer, pieces, answer).sum().item() for answer in answers]
            for pieces, answers, _ in questions
        ]
    assert score_difference(score_row(model, score), table) < TOLERANCE


@pytest.mark.parametrize("method", [one for one in TITLES if one != "lora"])
def test_so_it_does_with_other_adapters(tiny_model_folder, tokenizer, items, streams, method):
    model = seeing(tiny_model_folder, items, streams, method=method).eval()
    task, encoder = task_of("emotion", streams), TreeEncoder(tokenizer)
    loss, wanted = plain_step(model, tokenizer, by_hand("emotion", items, streams))
    model.zero_grad()
    learn = rooted(pack([encoder(task.tree(c, train=True), train=True) for c in items]), virtual_tokens(model))
    ours = model(**model_inputs(learn, learn.targets), use_cache=False).loss
    ours.backward()
    assert ours.item() == pytest.approx(loss, rel=TOLERANCE)
    assert gradient_difference(gradients(model), wanted) < TOLERANCE


def test_a_training_step_with_vectors_is_the_plain_one(tiny_model_folder, tokenizer, items, streams, tmp_path):
    loss, wanted = plain_step(
        seeing(tiny_model_folder, items, streams).eval(), tokenizer, by_hand("emotion", items[:2], streams)
    )
    rows = [TreeEncoder(tokenizer)(task_of("emotion", streams).tree(c, train=True), train=True) for c in items[:2]]
    model = seeing(tiny_model_folder, items, streams)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    settings = TrainingSettings(
        learning_rate=1.0, gradient_accumulation=2, scheduler="constant", warmup_ratio=0.0, optimizer="sgd"
    )
    first = train(model, tokenizer, rows, settings, tmp_path)[0]
    norm = math.sqrt(sum(g.square().sum().item() for g in wanted.values()))
    assert first["loss"] == pytest.approx(loss, rel=TOLERANCE)
    assert first["grad_norm"] == pytest.approx(norm, rel=TOLERANCE)
    steps = {name: before[name] - p.detach() for name, p in model.named_parameters() if p.requires_grad}
    assert gradient_difference(steps, {name: g * min(1, 0.3 / norm) for name, g in wanted.items()}) < 10 * TOLERANCE


@pytest.mark.parametrize("virtual", [0, 4])
def test_a_row_in_parts_has_the_vectors_of_each_part(tokenizer, items, streams, virtual):
    rows = [TreeEncoder(tokenizer)(task_of("emotion", streams).tree(c, train=True), train=True) for c in items]
    packed = rooted(pack(rows), virtual)
    for part, row in zip(split_batch(model_inputs(packed, packed.targets), virtual), rows, strict=True):
        alone = rooted(row, virtual)
        alone = model_inputs(alone, alone.targets)["vectors"]
        assert part["vectors"].keys() == alone.keys()
        for name, one in alone.items():
            assert all(torch.equal(part["vectors"][name][key], value) for key, value in one.items())


@pytest.mark.parametrize("kind", TASKS)
def test_a_projector_that_adds_nothing_is_the_text_model(tiny_model_folder, tokenizer, items, streams, kind):
    """To the last bit, of the text in which a placeholder is the text that it is, with and without vectors."""
    model, encoder = seeing(tiny_model_folder, items, streams, random=False).eval(), TreeEncoder(tokenizer)
    text = with_adapter(tiny_model_folder).eval()
    for c in items:
        seen, blind = (task_of(kind, found).tree(c, train=True) for found in (streams, {}))
        rows = [encoder(tree, train=True) for tree in (seen, blind)]
        assert rows[0].input_ids == rows[1].input_ids and rows[0].vectors != rows[1].vectors
        given = [model_inputs(row, row.targets) for row in rows]
        of_text = {name: value for name, value in given[0].items() if name != "vectors"}
        with torch.no_grad():
            logits = [model(**one, use_cache=False).logits for one in given]
            wanted = text(**of_text, use_cache=False).logits
        assert torch.equal(logits[0], wanted) and torch.equal(logits[1], wanted)
        pieces = with_vectors(questions_of(kind, c)[0][0], c["conversation"], streams)
        written = [piece if isinstance(piece, str) else " *" for piece in pieces]
        tokens = tokenizer("").input_ids + [token for piece in written for token in encode(tokenizer, piece)]
        assert tokens == paths(rows[0], rows[0].targets[:1])[0][0]


def test_a_model_without_a_projector_reads_the_placeholders_as_text(tiny_model_folder, tokenizer, items, streams):
    text, encoder = with_adapter(tiny_model_folder).eval(), TreeEncoder(tokenizer)
    seen, blind = (encoder(task_of("emotion", found).tree(items[0]), train=False) for found in (streams, {}))
    assert score_row(text, seen) == score_row(text, blind)


def test_rows_of_any_budget_give_the_same_scores(tiny_model_folder, tokenizer, items, streams):
    model, task = seeing(tiny_model_folder, items, streams).eval(), task_of("emotion", streams)
    trees = [task.tree(c) for c in items]
    alone, shared = (score_trees(model, tokenizer, trees, list("abc"), budget, 4096) for budget in (1, 4096))
    assert max(score_difference(a, b) for a, b in zip(alone, shared, strict=True)) < TOLERANCE


@pytest.mark.parametrize("gone", [["voice"], ["face"], ["voice", "face"]], ids="+".join)
def test_without_a_stream_is_as_if_no_utterance_had_it(tiny_model_folder, tokenizer, items, streams, gone):
    model, settings = seeing(tiny_model_folder, items, streams).eval(), Config().inference()
    without = task_of("emotion", streams, without=gone)
    absent = task_of("emotion", {name: one for name, one in streams.items() if name not in gone})
    found = [predict(task, model, tokenizer, items, settings) for task in (without, absent)]
    assert found[0] == found[1] != predict(task_of("emotion", streams), model, tokenizer, items, settings)
