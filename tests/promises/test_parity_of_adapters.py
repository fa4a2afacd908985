"""Whatever the adapter, one tree is the same function as one sequence a question; and a fresh one changes nothing.

    python -m pytest tests/promises/test_parity_of_adapters.py

The sequences go through PEFT's own forward pass, without masks, positions or packing; PEFT itself puts virtual tokens
in front of them. Allowed is float32's rounding, as in test_parity.py.
"""

import functools
import math

import pytest
import torch
from helpers import small_adapter, with_adapter
from one_sequence import (
    gradient_difference,
    gradients,
    measure_parity,
    pefts_own,
    plain_logp,
    plain_step,
    questions_of,
    score_difference,
    tokens_of,
    trees_of,
)
from transformers import AutoModelForCausalLM, MistralConfig

from utils.data.templates import Template
from utils.data.topics import Topic
from utils.engine.inference import generate_published, score_row, score_trees
from utils.engine.prefix_tree import TreeEncoder, model_inputs, pack, paths, rooted
from utils.engine.settings import TrainingSettings, Writing
from utils.engine.trainer import train
from utils.models.adapting import TITLES
from utils.models.load import compile_layers, load_model
from utils.models.virtual import virtual_tokens
from utils.tasks import emotion
from utils.tasks.instruction import Instructions
from utils.tasks.opinion import Opinions

TOLERANCE = 1e-5
METHODS = tuple(TITLES)
INNER = tuple(method for method in METHODS if method != "prompt_tuning")  # those that change layers
ALL = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(scope="module")
def adapted(tiny_model_folder):
    """(method, quantization) -> a model with such an adapter, made once."""
    return functools.cache(
        lambda method, quantization="none": with_adapter(tiny_model_folder, quantization, method=method)
    )


@pytest.mark.parametrize("task", ["emotion", "candidates", "list"])
@ALL
def test_packed_trees_equal_one_sequence_a_question(adapted, tokenizer, conversations, method, task):
    differences = measure_parity(adapted(method), tokenizer, task, conversations)
    assert max(differences) < TOLERANCE, dict(zip(("loss", "gradients", "log-probabilities"), differences))


@pytest.mark.parametrize("variant", ["nf4", "checkpointing", "fused attention"])
@pytest.mark.parametrize("method", METHODS[1:])  # of the first, test_parity.py has them
def test_so_they_do_with_what_machines_need(adapted, tokenizer, conversations, method, variant):
    model = adapted(method, "nf4" if variant == "nf4" else "none")

    def prepare():
        if variant == "fused attention":
            model.set_attn_implementation("sdpa")
        if variant == "checkpointing":
            model.gradient_checkpointing_enable()
            model.train()

    try:
        assert max(measure_parity(model, tokenizer, "emotion", conversations, prepare)) < TOLERANCE
    finally:
        model.gradient_checkpointing_disable()
        model.set_attn_implementation("plain")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dora", "llama_adapter"])  # those that change a layer's code most
def test_so_they_do_compiled(tiny_model_folder, tokenizer, conversations, method):
    model = with_adapter(tiny_model_folder, method=method)
    assert max(measure_parity(model, tokenizer, "emotion", conversations, lambda: compile_layers(model))) < TOLERANCE


TOPIC = Topic.read("new-stadium")
OPINION = {"text_ID": 1, "text": "No, not that.", "opinions": {TOPIC.name: {"relevant": True, "score": -2.0}}}
EXAMPLE = {"example_ID": 1, "instruction": "Name a fruit.", "input": "It is red.", "output": "An apple."}
OTHERS = {
    "opinion": (Opinions({TOPIC.name: TOPIC}, "regression_with_relevance"), OPINION),
    "instruction": (Instructions(Template.read("alpaca")), EXAMPLE),
}


@pytest.mark.parametrize("task", OTHERS)
@ALL
def test_opinions_and_instructions_equal_one_sequence_a_question(adapted, tokenizer, method, task):
    asks, item = OTHERS[task]
    model, encoder = adapted(method).eval(), TreeEncoder(tokenizer)
    learn, score = encoder(asks.tree(item, train=True), train=True), encoder(asks.tree(item), train=False)
    model.zero_grad()
    with pefts_own(model):
        wanted = [[_of_paths(model, score, answer).sum().item() for answer in one] for one in score.answers]
        loss = -_of_paths(model, learn, learn.targets).mean()
        loss.backward()
        plain = gradients(model)
    model.zero_grad()
    assert score_difference(score_row(model, score), wanted) < TOLERANCE
    row = rooted(learn, virtual_tokens(model))
    ours = model(**model_inputs(row, row.targets), use_cache=False).loss
    ours.backward()
    assert ours.item() == pytest.approx(loss.item(), rel=TOLERANCE)
    assert gradient_difference(gradients(model), plain) < TOLERANCE


def _of_paths(model, row, targets):
    """The log-probability of each target, behind its own path."""
    return torch.cat([plain_logp(model, seen, [token]) for seen, token in paths(row, targets)])


@ALL
def test_a_training_step_is_the_plain_one(tiny_model_folder, tokenizer, conversations, tmp_path, method):
    """Logged loss, gradient norm and, by plain gradient descent, every weight after the step; two rows of different
    lengths."""
    plain, questions = (
        with_adapter(tiny_model_folder, method=method),
        [question for c in conversations[:2] for question in questions_of("emotion", c)],
    )
    with pefts_own(plain):
        loss, wanted = plain_step(plain, tokenizer, questions)
    rows = [TreeEncoder(tokenizer)(trees_of("emotion", c)[0], train=True) for c in conversations[:2]]
    model = with_adapter(tiny_model_folder, method=method)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    how = {"learning_rate": 1.0, "scheduler": "constant", "warmup_ratio": 0.0, "optimizer": "sgd"}
    first = train(model, tokenizer, rows, TrainingSettings(gradient_accumulation=2, **how), tmp_path)[0]
    norm = math.sqrt(sum(g.square().sum().item() for g in wanted.values()))
    assert first["loss"] == pytest.approx(loss, rel=TOLERANCE)
    assert first["grad_norm"] == pytest.approx(norm, rel=TOLERANCE)
    steps = {name: before[name] - p.detach() for name, p in model.named_parameters() if p.requires_grad}
    clipped = {name: g * min(1, 0.3 / norm) for name, g in wanted.items()}
    assert gradient_difference(steps, clipped) < 100 * TOLERANCE  # small differences of numbers near one


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("method", INNER)
def test_a_fresh_adapter_is_the_base_model(tiny_model_folder, conversations, method, quantization):
    model, tokenizer = load_model(tiny_model_folder, quantization, "float32")
    trees, names = [emotion.tree(c) for c in conversations], ["a", "b", "c"]
    base = score_trees(model, tokenizer, trees, names, 512, 4096)
    fresh = score_trees(small_adapter(model, tiny_model_folder, method).eval(), tokenizer, trees, names, 512, 4096)
    assert max(score_difference(one, other) for one, other in zip(fresh, base, strict=True)) < TOLERANCE


@ALL
def test_what_is_written_is_the_likeliest_token_by_token(adapted, tokenizer, method):
    """By `generate`, in left-padded batches: what instructions are answered with."""
    model, prompts = adapted(method).eval(), ["It rains.", "Where have you been all day? I waited.", "So"]
    written = generate_published(model, tokenizer, [(one, one) for one in prompts], Writing(new_tokens=4), 3, "test")
    for prompt, text in zip(prompts, written, strict=True):
        tokens = tokens_of(tokenizer, [prompt])
        start = len(tokens)
        with torch.no_grad(), pefts_own(model):
            while len(tokens) < start + 4 and tokens[-1] != tokenizer.eos_token_id:
                tokens.append(model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax().item())
        assert text == tokenizer.decode(tokens[start:], skip_special_tokens=True)


@ALL
def test_an_adapter_that_is_disabled_leaves_the_base_model(tiny_model_folder, tokenizer, conversations, method):
    base, tree, prompts = load_model(tiny_model_folder, precision="float32")[0], emotion.tree(conversations[0]), ["It"]
    asked = [(one, one) for one in prompts]
    wanted = (
        score_trees(base, tokenizer, [tree], ["a"], 512, 4096),
        generate_published(base, tokenizer, asked, Writing(new_tokens=4), 1, ""),
    )
    model = with_adapter(tiny_model_folder, method=method).eval()
    with model.disable_adapter():
        found = score_trees(model, tokenizer, [tree], ["a"], 512, 4096)
        assert score_difference(found[0], wanted[0][0]) < TOLERANCE
        assert generate_published(model, tokenizer, asked, Writing(new_tokens=4), 1, "") == wanted[1]
    assert score_difference(score_trees(model, tokenizer, [tree], ["a"], 512, 4096)[0], wanted[0][0]) > TOLERANCE


def test_the_attention_of_mistral_is_adapted_too(tmp_path, tokenizer, conversations):
    torch.manual_seed(3)
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = MistralConfig(vocab_size=len(tokenizer), **sizes, num_key_value_heads=2, head_dim=16, sliding_window=None)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = with_adapter(str(tmp_path), method="llama_adapter")
    assert max(measure_parity(model, tokenizer, "emotion", conversations)) < TOLERANCE


def test_rows_of_any_budget_give_the_same_scores_behind_virtual_tokens(adapted, tokenizer, conversations):
    model, trees = adapted("prompt_tuning").eval(), [emotion.tree(c) for c in conversations]
    alone, shared = (score_trees(model, tokenizer, trees, ["a", "b", "c"], budget, 4096) for budget in (1, 4096))
    assert max(score_difference(a, b) for a, b in zip(alone, shared, strict=True)) < TOLERANCE
    rows = [TreeEncoder(tokenizer)(tree, train=False) for tree in trees]
    assert len(rooted(pack(rows), virtual_tokens(model))) == 5 + sum(map(len, rows)), "once a row"
