"""One tree is the same function as one sequence a question: loss, gradients and log-probabilities are equal.

    python -m pytest tests/promises/test_parity.py

The sequences are written out by hand (tests/one_sequence.py), piece by piece, and go through the same model as
ordinary causal sequences, without masks, positions or packing. Both sides are float32, and every allowed difference is
rounding: TOLERANCE is relative, to the value for losses and log-probabilities, to the largest entry for
gradient tensors (measured: 2e-7, 4e-7 and 2e-6). With NF4 both sides read the same dequantized weights, so
the same tolerance holds: 4 bits cost accuracy, not parity.
"""

import functools
import math
from itertools import combinations

import pytest
import torch
from helpers import with_adapter
from one_sequence import (
    INSTRUCTIONS,
    gradient_difference,
    gradients,
    measure_parity,
    plain_scores,
    plain_step,
    questions_of,
    score_difference,
    tokens_of,
    trees_of,
)

from utils.data.conversations import names_of, pairs
from utils.data.labels import ECF
from utils.engine.inference import generate_published, score_row, score_trees
from utils.engine.prefix_tree import Node, Question, TreeEncoder, encode, model_inputs, pack
from utils.engine.rows import text_rows
from utils.engine.settings import InferenceSettings, TrainingSettings, Writing
from utils.engine.trainer import train
from utils.models import attention
from utils.models.load import compile_layers
from utils.tasks import cause, cause_list, emotion
from utils.tasks.ask import predict
from utils.tasks.cause_list import CauseList

TOLERANCE = 1e-5
TASKS = ("emotion", "candidates", "list")


# ---- the tasks' trees --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapted(tiny_model_folder):
    """Models by quantization, made once."""
    return functools.cache(functools.partial(with_adapter, tiny_model_folder))


@pytest.mark.parametrize("count", [1, 3], ids=["one", "packed"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("variant", ["none", "nf4", "checkpointing", "fused attention"])
def test_a_tree_equals_one_sequence_a_question(adapted, tokenizer, conversations, task, count, variant):
    model = adapted("nf4" if variant == "nf4" else "none")

    def prepare():
        if variant == "fused attention":  # a GPU's
            model.set_attn_implementation("sdpa")
        if variant == "checkpointing":  # works in training mode only
            model.gradient_checkpointing_enable()
            model.train()
            assert model.is_gradient_checkpointing

    try:
        differences = measure_parity(model, tokenizer, task, conversations[:count], prepare)
    finally:
        model.gradient_checkpointing_disable()
        model.set_attn_implementation("plain")
    assert max(differences) < TOLERANCE, dict(zip(("loss", "gradients", "log-probabilities"), differences))


@pytest.mark.slow
def test_text_rows_have_the_language_models_own_loss(adapted, tokenizer, conversations):
    """A packed row of texts, and each text as transformers trains on it: a loss on every token but the first."""
    model, texts = adapted("none").eval(), [emotion.text(c) for c in conversations]
    row = pack(text_rows(texts, names_of(conversations), tokenizer, 4096))
    ours = model(**model_inputs(row, row.targets, model.device), use_cache=False).loss.item()
    losses, counts = [], []
    for text in texts:
        tokens = torch.tensor([tokenizer("").input_ids + encode(tokenizer, text)], device=model.device)
        losses.append(model(input_ids=tokens, labels=tokens).loss.item())
        counts.append(tokens.numel() - 1)
    assert len(row.targets) == sum(counts)
    assert ours == pytest.approx(sum(n * loss for n, loss in zip(counts, losses)) / sum(counts), rel=TOLERANCE)


@pytest.mark.slow
def test_a_compiled_model_is_the_same_function(tiny_model_folder, tokenizer, conversations):
    model = with_adapter(tiny_model_folder)
    differences = measure_parity(model, tokenizer, "emotion", conversations, lambda: compile_layers(model))
    assert max(differences) < TOLERANCE
    assert {name for name, _ in model.named_parameters()} == {
        name for name, _ in with_adapter(tiny_model_folder).named_parameters()
    }


@pytest.mark.parametrize("count", [1, 3], ids=["one", "packed"])
def test_long_rows_leave_the_plain_products(adapted, tokenizer, conversations, count, monkeypatch):
    def fused(module, query, key, value, mask, **more):
        trees.append(mask is not None and mask.dtype == torch.bool)
        return compute(module, query, key, value, mask, **more)

    trees, compute = [], attention.sdpa_attention_forward
    monkeypatch.setattr(attention, "PLAIN_UP_TO", 8)
    monkeypatch.setattr(attention, "sdpa_attention_forward", fused)
    assert max(measure_parity(adapted("none"), tokenizer, "emotion", conversations[:count])) < TOLERANCE
    assert any(trees), "rows of trees went through the fused attention"


def test_labels_are_several_tokens_long(tokenizer):
    """Otherwise the tests here would hold the easy case only."""
    labels = [encode(tokenizer, f" {label}") for label in ECF]
    assert max(map(len, labels)) > 2 and len({label[0] for label in labels}) < len(labels)


def test_rows_of_any_budget_give_the_same_scores(adapted, tokenizer, conversations):
    model, trees = adapted("none").eval(), [emotion.tree(c) for c in conversations]
    alone, shared = (score_trees(model, tokenizer, trees, ["a", "b", "c"], budget, 4096) for budget in (1, 4096))
    assert max(score_difference(a, b) for a, b in zip(alone, shared, strict=True)) < TOLERANCE


# ---- the search over lists ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_list_search_finds_the_likeliest_list_of_all(tiny_model_folder, tokenizer, sample, seed):
    """Every list of a short conversation is scored as sequences, with the options' probabilities at each of
    its steps made to sum to one; the search must give the likeliest, and the ids of more than one digit must
    not mislead it."""
    utterances = [
        {**u, "utterance_ID": i, "emotion": e}
        for u, i, e in zip(sample[seed]["conversation"], (8, 9, 10, 11), ("joy", "anger", "neutral", "fear"))
    ]
    conversation = {"conversation_ID": seed, "conversation": utterances}
    model = with_adapter(tiny_model_folder, seed=seed, std=0.5).eval()
    ids = [u["utterance_ID"] for u in utterances]
    lines = [f"\n{u['speaker']} {u['emotion']}: {u['text']} #{u['utterance_ID']}" for u in utterances]
    wanted, margins = [], []
    for u in utterances:
        if u["emotion"] == "neutral":
            continue

        @functools.cache
        def shares(taken, stem=f" #{u['utterance_ID']} <= ["):
            options = cause_list.list_options(ids, taken)
            pieces = [INSTRUCTIONS["cause"], *lines, stem, *(f"{i}," for i in taken)]
            scores = torch.tensor(plain_scores(model, tokenizer, [(pieces, options, None)])[0])
            return dict(zip(options, scores.log_softmax(-1).tolist()))

        lists = {}
        for taken in (one for size in range(len(ids) + 1) for one in combinations(ids, size)):
            steps = [(taken[:i], f"{taken[i]}{']' if i == len(taken) - 1 else ','}") for i in range(len(taken))]
            lists[taken] = sum(shares(before)[option] for before, option in steps or [((), "]")])
        assert math.isclose(sum(map(math.exp, lists.values())), 1, rel_tol=1e-4), "the lists are all there are"
        best, second = sorted(lists, key=lists.get, reverse=True)[:2]
        margins.append(lists[best] - lists[second])
        wanted += [(u["utterance_ID"], u["emotion"], i) for i in best]
    assert min(margins) > 1e-4, "a tie would make this test a matter of rounding; take another seed"

    (found,), (table,) = predict(CauseList(), model, tokenizer, [conversation], InferenceSettings())
    assert pairs(found) == sorted(wanted)
    assert set(table) == {8, 9, 11} and all(0 <= p <= 1 + 1e-9 for one in table.values() for p in one.values())


# ---- a step of training ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "accumulation"), [(1, 2), (2, 1)], ids=["accumulated", "batched"])
@pytest.mark.parametrize("task", TASKS)
def test_a_training_step_is_the_plain_one(
    tiny_model_folder, tokenizer, conversations, tmp_path, task, batch_size, accumulation
):
    """Logged loss, gradient norm and, by plain gradient descent, every weight after the step. The two rows
    hold different numbers of answer tokens, so a mean of the rows' means would show."""
    questions = [question for c in conversations[:2] for question in questions_of(task, c)]
    loss, wanted = plain_step(with_adapter(tiny_model_folder), tokenizer, questions)
    rows = [TreeEncoder(tokenizer)(trees_of(task, c)[0], train=True) for c in conversations[:2]]
    assert len(rows[0].targets) != len(rows[1].targets)

    model = with_adapter(tiny_model_folder)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    settings = TrainingSettings(
        learning_rate=1.0,
        batch_size=batch_size,
        gradient_accumulation=accumulation,
        scheduler="constant",
        warmup_ratio=0.0,
        optimizer="sgd",
    )
    first = train(model, tokenizer, rows, settings, tmp_path)[0]
    norm = math.sqrt(sum(g.square().sum().item() for g in wanted.values()))
    assert first["loss"] == pytest.approx(loss, rel=TOLERANCE)
    assert first["grad_norm"] == pytest.approx(norm, rel=TOLERANCE)
    steps = {name: before[name] - p.detach() for name, p in model.named_parameters() if p.requires_grad}
    clipped = {name: g * min(1, 0.3 / norm) for name, g in wanted.items()}
    # A weight's change is a small difference of float32 numbers, which takes a digit off it.
    assert gradient_difference(steps, clipped) < 10 * TOLERANCE


def test_the_evaluation_loss_is_the_mean_of_the_rows(tiny_model_folder, tokenizer, conversations, tmp_path):
    """A learning rate of nearly nothing leaves the model as it is; each row is a batch of its own there."""
    model = with_adapter(tiny_model_folder)
    losses = [plain_step(model, tokenizer, questions_of("emotion", c))[0] for c in conversations]
    model.zero_grad()
    rows = [TreeEncoder(tokenizer)(emotion.tree(c, train=True), train=True) for c in conversations]
    settings = TrainingSettings(learning_rate=1e-12, optimizer="sgd", gradient_accumulation=1)
    history = train(model, tokenizer, rows[:1], settings, tmp_path, validation=rows)
    found = [one["eval_loss"] for one in history if "eval_loss" in one]
    assert found == pytest.approx([sum(losses) / len(losses)] * 2, rel=TOLERANCE)


# ---- the published recipe ----------------------------------------------------------------------------------


def published(conversation):
    """Both tasks' prompts as (prompt, allowed completions, right completion)."""
    emotions = tuple(f"emotion :: {label}" for label in ECF)
    ids = [u["utterance_ID"] for u in conversation["conversation"]]
    lists = [list(one) for size in range(3) for one in combinations(ids, size)]
    result = [(p, emotions, right) for p, right in emotion.published_prompts(conversation)]
    for prompt, right in cause.published_prompts(conversation):
        result.append((prompt, tuple(sorted({f"utterance_ids :: {one}" for one in lists} | {right})), right))
    return result


def test_published_prompts_as_trees_equal_plain_sequences(adapted, tokenizer, conversations):
    model, prompts = adapted("none").eval(), published(conversations[2])
    trees = [Node(prompt, Question(answers, right)) for prompt, answers, right in prompts]
    scores = [score_row(model, TreeEncoder(tokenizer)(tree, train=False))[0] for tree in trees]
    questions = [([prompt], answers, right) for prompt, answers, right in prompts]
    assert score_difference(scores, plain_scores(model, tokenizer, questions)) < TOLERANCE

    loss, wanted = plain_step(model, tokenizer, questions)
    model.zero_grad()
    row = pack([TreeEncoder(tokenizer)(tree, train=True) for tree in trees])
    ours = model(**model_inputs(row, row.targets, model.device), use_cache=False).loss
    ours.backward()
    assert ours.item() == pytest.approx(loss, rel=TOLERANCE)
    assert gradient_difference(gradients(model), wanted) < TOLERANCE


def test_published_generation_begins_with_the_likeliest_token(adapted, tokenizer, conversations):
    """In left-padded batches of prompts of different lengths, one of which imitates special tokens."""
    model = adapted("none").eval()
    prompts = [prompt for c in conversations[:2] for prompt, _, _ in published(c)][:-1] + [
        "short <|im_end|><|im_start|>"
    ]
    named = [(f"prompt {number}", prompt) for number, prompt in enumerate(prompts)]
    written = generate_published(model, tokenizer, named, Writing(new_tokens=1), batch_size=3, progress="test")
    with torch.no_grad():
        logits = [
            model(input_ids=torch.tensor([tokens_of(tokenizer, [p])], device=model.device)).logits[0, -1]
            for p in prompts
        ]
    wanted = [tokenizer.decode([one.argmax().item()], skip_special_tokens=True) for one in logits]
    assert written == wanted and len(set(wanted)) > 1
