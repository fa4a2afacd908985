"""Where memory runs out, the same work is done in parts, with the same result, and this is said.

    python -m pytest tests/promises/test_memory.py

A model that raises the libraries' errors above a number of tokens stands for a small memory; the last test takes
real memory away.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import ROOT, small_memory

from utils.config import Config
from utils.data.conversations import names_of, without_labels
from utils.engine import inference
from utils.engine.inference import Journal
from utils.engine.memory import InParts
from utils.engine.prefix_tree import model_inputs, pack, rooted
from utils.engine.rows import encode_trees
from utils.engine.settings import InferenceSettings, TrainingSettings
from utils.engine.trainer import split_batch, train
from utils.models.adapters import add_lora
from utils.models.load import load_model
from utils.record.fit import fit
from utils.record.run import Run
from utils.system.errors import DoesNotFit, TrainingError
from utils.system.files import write_json
from utils.tasks import emotion
from utils.tasks.ask import predict
from utils.tasks.cause import Cause
from utils.tasks.cause_list import CauseList
from utils.tasks.emotion import Emotion

ERRORS = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
)
SPLIT = "from here on, as many are done in parts"


def adapted(folder):
    torch.manual_seed(3)
    model, tokenizer = load_model(folder, precision="float32")
    return add_lora(model, r=4, alpha=8, dropout=0.0, targets="all-linear"), tokenizer


def row_lengths(conversations, tokenizer, train=False):
    trees = [emotion.tree(c, train=train) for c in conversations]
    return [len(row) for row in encode_trees(trees, names_of(conversations), tokenizer, 4096, train=train)]


def test_what_ran_out_of_memory_is_not_tried_at_once_again(capsys):
    in_parts, tried = InParts(), []

    def step(some):
        tried.append(some)
        if len(some) > 1:
            raise ERRORS[0]
        return some[0]

    for _ in range(2):
        assert in_parts(step, ["a", "b"], list, [3, 4], ["a", "b"]) == ["a", "b"]
    assert tried.count(["a", "b"]) == 1 and capsys.readouterr().out.count(SPLIT) == 1


# ---- inference ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ERRORS, ids=["GPU", "CPU"])
@pytest.mark.parametrize("what", ["emotions", "candidates", "list", "published"])
def test_rows_that_do_not_fit_are_scored_one_by_one(
    tiny_model_folder, conversations, tmp_path, capsys, monkeypatch, what, error
):
    model, tokenizer = adapted(tiny_model_folder)
    settings = InferenceSettings("published" if what == "published" else "one_pass", token_budget=10_000)
    task = {"candidates": Cause(), "list": CauseList()}.get(what, Emotion())
    given = conversations if task.on_emotions else [without_labels(c) for c in conversations]

    def predicted(journal=None):
        return predict(task, model, tokenizer, given, settings, journal)

    labelled, probabilities = predicted()
    assert SPLIT not in capsys.readouterr().out
    if what == "published":  # a batch of prompts, of which each has at most so many
        generate = model.generate

        def small(**given):
            if len(given["input_ids"]) > 1:
                raise error
            return generate(**given)

        monkeypatch.setattr(model, "generate", small)
    else:
        score, sizes = inference.score_row, []

        def small(model, row):
            sizes.append(row.positions.count(0))  # trees in the row
            if sizes[-1] > 1:
                raise error
            return score(model, row)

        monkeypatch.setattr(inference, "score_row", small)
    again, others = predicted(Journal(tmp_path / "unfinished.jsonl"))
    assert again == labelled
    assert flat(others) == pytest.approx(flat(probabilities), abs=1e-5)
    said = capsys.readouterr().out
    assert SPLIT in said and (what in ("list", "published") or said.count(SPLIT) == 1)
    monkeypatch.undo()
    assert predicted(Journal(tmp_path / "unfinished.jsonl"))[0] == labelled


def flat(table):
    if isinstance(table, dict):
        table = [part for pair in table.items() for part in pair]
    return [number for part in table for number in flat(part)] if isinstance(table, list) else [table]


def test_what_did_not_fit_once_is_not_tried_again(tiny_model_folder, conversations, capsys):
    """The first row holds all of the three, the second one alone; later rows of that size go straight to parts."""
    model, tokenizer = adapted(tiny_model_folder)
    lengths = row_lengths(conversations, tokenizer)
    many = [{**c, "conversation_ID": 10 * i + k} for i in range(3) for k, c in enumerate(conversations)]
    settings = InferenceSettings(token_budget=sum(lengths))
    wanted = predict(Emotion(), model, tokenizer, many, settings)
    seen = small_memory(model, max(lengths))
    found = predict(Emotion(), model, tokenizer, many, settings)
    assert found[0] == wanted[0] and capsys.readouterr().out.count(SPLIT) <= 2
    assert sum(count > max(lengths) for count in seen) <= 2 and sorted(c for c in seen if c <= max(lengths)) == sorted(
        lengths * 3
    )


def test_a_conversation_that_does_not_fit_is_named(tiny_model_folder, conversations):
    model, tokenizer = adapted(tiny_model_folder)
    lengths = row_lengths(conversations, tokenizer)
    longest = conversations[lengths.index(max(lengths))]["conversation_ID"]
    small_memory(model, max(lengths) - 1)
    message = rf"memory ran out on conversation {longest} \({max(lengths)} tokens.*Leave it out, give a smaller model"
    with pytest.raises(DoesNotFit, match=message):
        predict(Emotion(), model, tokenizer, conversations, InferenceSettings(token_budget=10_000))


def test_other_errors_are_not_hidden(tiny_model_folder, conversations):
    model, tokenizer = adapted(tiny_model_folder)
    small_memory(model, 1, RuntimeError("a fault of another kind"))
    with pytest.raises(RuntimeError, match="another kind"):
        predict(Emotion(), model, tokenizer, conversations, InferenceSettings(token_budget=10_000))


# ---- training ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("virtual", [0, 3])
def test_the_trees_of_a_packed_row_come_apart_again(tokenizer, conversations, virtual):
    trees = [emotion.tree(c, train=True) for c in conversations]
    rows = encode_trees(trees, names_of(conversations), tokenizer, 4096, train=True)
    whole = rooted(pack(rows), virtual)
    for row, part in zip(rows, split_batch(model_inputs(whole, whole.targets), virtual), strict=True):
        alone = model_inputs(rooted(row, virtual), rooted(row, virtual).targets)
        assert alone.keys() == part.keys() and all(torch.equal(alone[name], part[name]) for name in alone)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["one_pass", "published"])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_a_step_that_does_not_fit_is_the_same_step(
    tiny_model_folder, conversations, tmp_path, capsys, recipe, backward
):
    def run(folder, room):
        model, tokenizer = adapted(tiny_model_folder)
        settings = TrainingSettings(learning_rate=1e-2, epochs=3, gradient_accumulation=2, batch_size=3)
        if recipe == "published":
            rows = [pair for c in conversations for pair in emotion.published_prompts(c)][:6]
            largest = max(len(tokenizer(prompt + completion).input_ids) for prompt, completion in rows) + 1
        else:
            trees = [emotion.tree(c, train=True) for c in conversations]
            rows = encode_trees(trees, names_of(conversations), tokenizer, 4096, train=True)
            largest, rows = max(map(len, rows)), rows * 2
        seen = small_memory(model, largest if room == "small" else 10**9, backward=backward)
        history = train(model, tokenizer, rows, settings, folder, rows[:3], recipe)
        weights = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
        tried = sum(count > largest for count in seen)
        return weights, [one[key] for one in history for key in ("loss", "eval_loss") if key in one], tried

    weights, losses, tried = run(tmp_path / "large", "large")
    assert tried and SPLIT not in capsys.readouterr().out
    parted, again, failed = run(tmp_path / "small", "small")
    assert SPLIT in capsys.readouterr().out and failed < tried
    assert [float(loss) for loss in again] == pytest.approx([float(loss) for loss in losses], abs=2e-3)
    first = run_distance(weights, run(tmp_path / "other", "large")[0])
    assert first == 0, "without trouble training repeats itself exactly"
    assert run_distance(weights, parted) < 1e-3
    start, _ = adapted(tiny_model_folder)
    moved = run_distance(weights, {n: p for n, p in start.named_parameters() if p.requires_grad})
    assert moved > 1e-2, "the training did something"


def run_distance(one, other):
    return max((one[name] - other[name]).abs().max().item() for name in one)


def test_training_names_the_conversation_that_does_not_fit(tiny_model_folder, conversations, tmp_path):
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    lengths = row_lengths(conversations, tokenizer, train=True)
    longest = conversations[lengths.index(max(lengths))]["conversation_ID"]
    run = Run(Config(run_name="small", model=tiny_model_folder, token_budget=10_000), "n", [], root=tmp_path)
    small_memory(model, max(lengths) - 1)
    with pytest.raises(DoesNotFit, match=rf"conversation {longest} \({max(lengths)} tokens.*gradient_checkpointing"):
        fit(run, Emotion(), model, tokenizer, conversations)
    assert not isinstance(DoesNotFit("a", 1), TrainingError) and run.history("emotion") is None


def test_words_that_do_not_fit_are_named_too(tiny_model_folder, conversations, tmp_path):
    """Of the unlabelled ones, which are asked nothing."""
    lines = [line for c in conversations for line in c["conversation"]] * 9
    long = {"conversation_ID": 999, "conversation": [{**one, "utterance_ID": i} for i, one in enumerate(lines, 1)]}
    long = without_labels(long)
    for limit, error in ((500, TrainingError), (4096, DoesNotFit)):
        model, tokenizer = load_model(tiny_model_folder, precision="float32")
        tokens = len(tokenizer(emotion.text(long)).input_ids)
        config = Config(run_name=f"of{limit}", model=tiny_model_folder, text_epochs=1.0, max_row_tokens=limit)
        run = Run(config, "n", [], root=tmp_path)
        small_memory(model, 500)
        with pytest.raises(error, match=rf"conversation 999\W+{tokens} tokens"):
            fit(run, Emotion(), model, tokenizer, conversations, unlabelled=[long])


# ---- memory that is really taken away ----------------------------------------------------------------------

LIMITED = """
import json, resource, sys
from utils.data.conversations import load_conversations
from utils.engine.settings import InferenceSettings
from utils.models.load import load_model
from utils.tasks.ask import predict
from utils.tasks.emotion import Emotion
folder, given, megabytes = sys.argv[1:]
conversations = load_conversations(given)
model, tokenizer = load_model(folder, precision="float32")
predict(Emotion(), model, tokenizer, conversations[:1], InferenceSettings())
used = int(next(l for l in open("/proc/self/status") if l.startswith("VmSize")).split()[1]) * 1024
if megabytes != "0":
    resource.setrlimit(resource.RLIMIT_AS, (used + int(megabytes) * 2**20,) * 2)
labelled, _ = predict(Emotion(), model, tokenizer, conversations, InferenceSettings(token_budget=12_000))
print(json.dumps([[u["emotion"] for u in one["conversation"]] for one in labelled]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_process_whose_memory_is_limited(tiny_model_folder, sample, tmp_path):
    """A row of 12,000 tokens has a mask of 144 million places, and float scores of it."""
    given = [{**without_labels(c), "conversation_ID": i} for i, c in enumerate((sample * 3)[:30])]
    write_json(given, tmp_path / "given.json")

    def run(megabytes):
        command = [sys.executable, "-c", LIMITED, tiny_model_folder, tmp_path / "given.json", str(megabytes)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            list(map(str, command)), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )

    limited, free = run(150), run(0)
    assert limited.returncode == 0, limited.stderr[-2000:]
    assert SPLIT in limited.stdout and SPLIT not in free.stdout
    assert limited.stdout.splitlines()[-1] == free.stdout.splitlines()[-1]
