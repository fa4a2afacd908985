"""Instructions with pictures are one sequence an example with the same vectors, in training, scoring and writing.

    python -m pytest tests/promises/test_parity_of_pictures.py

The sequences are written out by hand, as in test_parity_of_vectors.py: the text in front of a picture, its
placeholders, the text behind them. Allowed is float32's rounding.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from filmed import embedded
from helpers import with_adapter
from one_sequence import gradient_difference, gradients

from utils.config import Config
from utils.data.features import Stream
from utils.data.templates import Template
from utils.engine.inference import score_row
from utils.engine.prefix_tree import TreeEncoder, model_inputs, pack, render, rooted
from utils.engine.settings import InferenceSettings, Writing
from utils.engine.vectors import measured
from utils.engine.weights import separated, weighted_inputs, weighted_loss
from utils.models.projector import attach, fresh, without_adapter
from utils.models.virtual import virtual_tokens
from utils.tasks.instruction import lessons
from utils.tasks.instruction_scores import choices, right_answers
from utils.tasks.instruction_writing import streamed, written
from utils.tasks.senses import sensing

TOLERANCE, TOKENS = 1e-5, 2
COLOURS = ["red", "green"]
EXAMPLES = [
    {"instruction": "Which colour is it?", "input": "", "image": "pictures/a.png", "output": "red", "choices": COLOURS},
    {"instruction": "Which colour is it?", "input": "", "image": "pictures/b.png", "output": "green"},
    {"instruction": "Which colour is it?", "input": "", "output": "None can be seen."},
    {"instruction": "What is he doing?", "input": "He waves.", "image": "b", "output": "He says so."},
    {"instruction": "What is he doing?", "input": "He laughs.", "image": "pictures/a.png", "output": "He says so."},
    {"instruction": "Name a fruit.", "input": "", "image": "nowhere.png", "output": "A plum."},
]
EXAMPLES = [{"example_ID": k, **one} for k, one in enumerate(EXAMPLES)]
VECTORS = {
    name: np.random.default_rng(k).normal(3, 2, (k + 1, 3)).astype(np.float32) for k, name in enumerate(["a", "b"])
}
STREAM = Stream("clip", "clip.npz", VECTORS)
INPUTS = pytest.mark.parametrize("train_on_inputs", [False, True], ids=["answers", "inputs too"])


def task_of(found=(STREAM,), **more):
    config = Config(streams=["clip"], stream_tokens=TOKENS, template="alpaca_short", **more)
    return sensing(config.task("instruction"), {one.name: one for one in found})


def seeing(folder, tokenizer, quantization="none", random=True, method="lora"):
    """The tiny model with a small adapter and a projector, whose weights are random, or zero as before training."""
    model, encoder = with_adapter(folder, quantization, std=0.5, method=method), TreeEncoder(tokenizer)
    rows = [encoder(task_of().tree(one), train=False) for one in EXAMPLES]
    projector = fresh(measured((row.vectors for row in rows), TOKENS), model.get_input_embeddings().embedding_dim, 0.0)
    generator = torch.Generator().manual_seed(3)
    for parameter in projector.parameters() if random else ():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    attach(model, projector)
    return model.eval()


def sequence(tokenizer, example):
    """An example by hand: tokens, with (stream, slot, numbers or None) in place of placeholders, and the index of the
    first of its answer."""
    text = f"### Instruction:\n{example['instruction']}"
    text += "\n\n### Input:\n" * bool(example["input"])
    array = VECTORS.get(example.get("image", "").removeprefix("pictures/").removesuffix(".png"))
    seen = [(0, 0), (0, 0)] if array is None or len(array) == 1 else [(0, 0), (1, 1)]
    ids = tokenizer("").input_ids + tokenizer(text, add_special_tokens=False).input_ids
    for slot in range(TOKENS):
        placeholder = tokenizer(" *", add_special_tokens=False).input_ids
        ids += [*placeholder[:-1], ("clip", slot, None if array is None else array[seen[slot][0]])]
    prompt = ids + tokenizer(f"{example['input']}\n\n### Response:\n", add_special_tokens=False).input_ids
    text = f"{example['input']}\n\n### Response:\n{example['output']}"
    return ids + tokenizer(text, add_special_tokens=False).input_ids + [tokenizer.eos_token_id], len(prompt)


def logits_of(model, tokenizer, ids):
    given = embedded(model, tokenizer, ids)
    if virtual_tokens(model):
        given = torch.cat([model.prompt_encoder["default"].embedding.weight, given])
    return model.get_base_model()(inputs_embeds=given[None], use_cache=False).logits[0, virtual_tokens(model) :].float()


def plain(model, tokenizer, train_on_inputs=False):
    """(loss, gradients) of the mean over all learnt tokens, an ordinary causal sequence an example."""
    sequences = [sequence(tokenizer, one) for one in EXAMPLES]
    sequences = [(ids, 1 if train_on_inputs else first) for ids, first in sequences]
    count, loss, star = sum(len(ids) - first for ids, first in sequences), 0.0, tokenizer(" *").input_ids[-1]
    model.zero_grad()
    for ids, first in sequences:
        labels = torch.tensor([star if isinstance(one, tuple) else one for one in ids[first:]])
        logits = logits_of(model, tokenizer, ids)[first - 1 : -1]
        part = torch.nn.functional.cross_entropy(logits, labels, reduction="sum") / count
        part.backward()
        loss += part.item()
    return loss, gradients(model)


# ---- the tests -----------------------------------------------------------------------------------------------------


@INPUTS
@pytest.mark.parametrize("variant", ["none", "nf4", "checkpointing", "prompt_tuning"])
def test_loss_and_gradients_are_those_of_one_sequence_an_example(
    tiny_model_folder, tokenizer, variant, train_on_inputs
):
    method = variant if variant == "prompt_tuning" else "lora"
    model = seeing(tiny_model_folder, tokenizer, "nf4" if variant == "nf4" else "none", method=method)
    task, encoder = task_of(train_on_inputs=train_on_inputs), TreeEncoder(tokenizer)
    wanted_loss, wanted = plain(model, tokenizer, train_on_inputs)
    assert len([name for name in wanted if "projectors" in name]) == 3, "the projector learns, too"
    items = lessons(EXAMPLES, seed=1)
    row = pack([encoder(task.tree(item, train=True), True) for item in items])
    assert len(row) < sum(len(sequence(tokenizer, one)[0]) - 1 for one in EXAMPLES), "something is shared"
    row = rooted(row, virtual_tokens(model))
    if variant == "checkpointing":
        model.gradient_checkpointing_enable()
        model.train()
    inputs, target = separated(weighted_inputs(row))
    model.zero_grad()
    loss = weighted_loss(model(**inputs, use_cache=False).logits, target, 0.0) / target["weights"].sum()
    loss.backward()
    assert loss.item() == pytest.approx(wanted_loss, rel=TOLERANCE)
    assert gradient_difference(gradients(model), wanted) < 20 * TOLERANCE


@pytest.mark.parametrize("budget", [1, 4096], ids=["a tree a row", "packed"])
def test_right_answers_are_as_likely_as_in_sequences_of_their_own(tiny_model_folder, tokenizer, budget):
    model = seeing(tiny_model_folder, tokenizer)
    found = right_answers(task_of(), model, tokenizer, EXAMPLES, InferenceSettings(token_budget=budget))
    for one, (logp, count) in zip(EXAMPLES, found, strict=True):
        ids, first = sequence(tokenizer, one)
        with torch.no_grad():
            logs = logits_of(model, tokenizer, ids).log_softmax(-1)
        wanted = sum(logs[k - 1, ids[k]].item() for k in range(first, len(ids)))
        assert (logp, count) == (pytest.approx(wanted, rel=10 * TOLERANCE), len(ids) - first), one["example_ID"]
    (table,) = choices(task_of(), model, tokenizer, EXAMPLES[:1], InferenceSettings())
    (other,) = choices(task_of(without="clip"), model, tokenizer, EXAMPLES[:1], InferenceSettings())
    (absent,) = choices(task_of(()), model, tokenizer, EXAMPLES[:1], InferenceSettings())
    assert other == absent != table, "a stream that is left out is absent"


@pytest.mark.parametrize("method", ["lora", "prompt_tuning"])
def test_what_is_written_is_the_models_own_continuation(tiny_model_folder, tokenizer, method):
    """Prompts of several lengths are padded together, and each sees its own picture."""
    model, task = seeing(tiny_model_folder, tokenizer, method=method), task_of()
    found = written(task, model, tokenizer, EXAMPLES, Writing(new_tokens=6), batch_size=4)
    for one, text in zip(EXAMPLES, found, strict=True):
        ids, first = sequence(tokenizer, one)
        seen = ids[:first]
        for _ in range(6):
            with torch.no_grad():
                seen.append(logits_of(model, tokenizer, seen)[-1].argmax().item())
            if seen[-1] == tokenizer.eos_token_id:
                break
        assert text == task.template.answer_in(tokenizer.decode(seen[first:], skip_special_tokens=True))
        assert [*streamed(task, model, tokenizer, one, Writing(new_tokens=6))][-1] == text
    assert found[0] != written(task_of(()), model, tokenizer, EXAMPLES[:1], Writing(new_tokens=6))[0]
    beams = Writing(beams=3, new_tokens=5)
    together = written(task, model, tokenizer, EXAMPLES, beams)
    assert together == [written(task, model, tokenizer, [one], beams)[0] for one in EXAMPLES]
    if method == "lora":
        ids, first = sequence(tokenizer, EXAMPLES[1])
        given = embedded(model, tokenizer, ids[:first])[None]
        with torch.no_grad():
            best = model.get_base_model().generate(
                inputs_embeds=given, num_beams=3, do_sample=False, max_new_tokens=5, pad_token_id=0
            )
        assert together[1] == task.template.answer_in(tokenizer.decode(best[0], skip_special_tokens=True))


@pytest.mark.parametrize("method", ["lora", "prompt_tuning"])
def test_a_projector_that_adds_nothing_is_the_text_model(tiny_model_folder, tokenizer, method):
    """To the last bit; and the base model beside an adapter is the base model alone."""
    model, encoder = seeing(tiny_model_folder, tokenizer, random=False, method=method), TreeEncoder(tokenizer)
    text, how = with_adapter(tiny_model_folder, std=0.5, method=method).eval(), Writing(new_tokens=6)
    rows = [encoder(task.tree(EXAMPLES[1]), train=False) for task in (task_of(), task_of(()))]
    assert rows[0].input_ids == rows[1].input_ids and rows[0].vectors != rows[1].vectors
    assert score_row(model, rows[0]) == score_row(model, rows[1]) == score_row(text, rows[0])
    settings, texts = InferenceSettings(), written(task_of(()), text, tokenizer, EXAMPLES, how)
    for task in (task_of(), task_of(())):
        assert written(task, model, tokenizer, EXAMPLES, how) == texts
    base = text.unload() if method == "lora" else text.get_base_model()
    random = seeing(tiny_model_folder, tokenizer, method=method)
    with without_adapter(random):
        assert written(task_of(), random, tokenizer, EXAMPLES, how) == written(
            task_of(), base, tokenizer, EXAMPLES, how
        )
        found = right_answers(task_of(), random, tokenizer, EXAMPLES, settings)
    assert found == right_answers(task_of(), base, tokenizer, EXAMPLES, settings)
    assert right_answers(task_of(), random, tokenizer, EXAMPLES, settings) != found, "the adapter is there again"


def test_a_picture_stands_behind_its_instruction_and_is_shared_with_nobody_else(tokenizer):
    (lesson,) = [item for item in lessons(EXAMPLES, seed=1) if len(item.get("examples", [])) == 3]
    tree, encoder = task_of().tree(lesson, train=True), TreeEncoder(tokenizer)
    assert tree.text == "### Instruction:\nWhich colour is it?" and len(tree.children) == 3
    assert " <clip> <clip>\n\n### Response:\n\u00abred\u00bb" in render(tree)
    assert " <no clip> <no clip>\n\n### Response:\n\u00abNone" in render(tree)
    assert len(encoder(tree, train=True).vectors) == 3 * TOKENS
    same = {"example_ID": 1, "examples": [{**EXAMPLES[0], "output": colour} for colour in COLOURS]}
    assert len(encoder(task_of().tree(same, train=True), train=True).vectors) == TOKENS, "one picture is read once"
    alone = task_of().tree(EXAMPLES[3], train=True)
    assert render(alone).endswith(
        "doing?\n\n### Input:\n <clip> <clip>He waves.\n\n### Response:\n\u00abHe says so.\u00bb"
    )


def test_a_chat_template_reads_its_special_tokens_around_a_picture(tokenizer):
    marks = {"closing": "<|im_end|>", "special": ("<|im_start|>", "<|im_end|>")}
    turn = "<|im_start|>user\n{instruction}", "<|im_end|>\n<|im_start|>assistant\n"
    chat = Template("", f"{turn[0]}\n\n{{input}}{turn[1]}", "".join(turn), turn[1].strip(), **marks)
    row = TreeEncoder(tokenizer)(replace(task_of(), template=chat).tree(EXAMPLES[5], train=True), train=True)
    before, behind = f"{turn[0].format(instruction='Name a fruit.')}", f"{turn[1]}A plum.<|im_end|>"
    ids = [tokenizer(text, add_special_tokens=False).input_ids for text in (before, behind)]
    star = tokenizer(" *", add_special_tokens=False).input_ids
    assert row.input_ids == [*ids[0], *star * TOKENS, *ids[1]][:-1]
    assert [index for index, _ in row.vectors] == [len(ids[0]) + len(star) * (k + 1) - 1 for k in range(TOKENS)]
    inputs = model_inputs(row, row.targets)
    assert inputs["vectors"]["clip"]["present"].tolist() == [False, False]
