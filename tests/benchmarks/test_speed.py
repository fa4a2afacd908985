"""The speed table compares what it says: systems ask the same questions, costs are counted as torch counts them, and
the whole of it runs, on the CPU and with a tiny model.

python -m pytest tests/benchmarks/test_speed.py
"""

import json
import math
from dataclasses import replace

import pytest
import torch
from helpers import beginning, called, randomize
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed import __main__ as speed
from benchmarks.speed import bench, equal_data, gpu
from benchmarks.speed.limit import doubled, growth_figure, long_conversation, measure_growth, multiply_adds
from benchmarks.speed.measure import Clock
from benchmarks.speed.systems import DoneWell, LlamaCpp, OnePass, Published, asked_alone
from utils.config import Config
from utils.data.conversations import pairs
from utils.data.labels import ECF
from utils.engine.prefix_tree import TreeEncoder, model_inputs, pack, paths
from utils.models.adapters import add_lora, save_adapter
from utils.models.load import load_model
from utils.record.fit import examples
from utils.system.files import write_json
from utils.tasks import emotion
from utils.tasks.candidates import emotional

CONFIG = Config(precision="float32", lora_r=4, lora_alpha=8)
TASKS = {name: CONFIG.task(name) for name in bench.TASKS}


@pytest.fixture
def model(tiny_model_folder):
    found, _ = load_model(tiny_model_folder, precision="float32")
    torch.manual_seed(0)
    return randomize(add_lora(found, 4, 8, 0.0, "all-linear"))


# ---- the rows --------------------------------------------------------------------------------------------------


def test_stock_prompts_are_the_paths_of_the_tree(tokenizer, conversations):
    row = pack([TreeEncoder(tokenizer)(emotion.tree(c, train=True), train=True) for c in conversations])
    ours = [tokens + [target] for tokens, target in paths(row, row.targets)]
    alone = [prompt + answer for prompt, answer in asked_alone(tokenizer, TASKS["emotion"], conversations)]
    assert len(alone) == sum(len(c["conversation"]) for c in conversations)
    assert all(one in ours for one in alone)
    lists = asked_alone(tokenizer, TASKS["cause"], conversations)
    assert len(lists) == sum(len(emotional(c)) for c in conversations)
    assert all(tokenizer.decode(prompt).endswith(" <= [") for prompt, _ in lists)
    assert {tokenizer.decode(answer)[-1] for _, answer in lists} == {"]"}


def test_stock_training_on_packed_prompts_has_the_loss_of_the_one_pass(
    tiny_model_folder, tokenizer, conversations, tmp_path
):
    """So packed sequences do not see each other under torch's attention, and both rows learn the same."""
    losses = []
    for row in (DoneWell(CONFIG), OnePass(CONFIG)):
        fresh, _ = load_model(tiny_model_folder, precision="float32")
        torch.manual_seed(0)
        fresh, clock = randomize(add_lora(fresh, 4, 8, 0.0, "all-linear")), Clock()
        if row.attention:
            fresh.set_attn_implementation(row.attention)
        history = row.train(fresh, tokenizer, TASKS["emotion"], conversations, tmp_path / row.name, clock)
        losses.append([entry[key] for entry in history for key in ("loss", "grad_norm") if key in entry])
        assert clock.seconds > 0
    assert len(losses[0]) == 2 and losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_published_row_trains_on_every_token_in_one_step(model, tokenizer, conversations, tmp_path):
    row = Published(CONFIG)
    history = row.train(model, tokenizer, TASKS["emotion"], conversations, tmp_path, Clock())
    assert len([entry for entry in history if "loss" in entry]) == 1
    tokens, in_loss = row.training_tokens(tokenizer, TASKS["emotion"], conversations)
    prompts = sum(len(c["conversation"]) for c in conversations)
    assert in_loss == tokens - prompts
    assert tokens > 2 * OnePass(CONFIG).training_tokens(tokenizer, TASKS["emotion"], conversations)[0]


@pytest.mark.parametrize("task", ["emotion", "cause"])
@pytest.mark.parametrize("row", [Published(CONFIG), DoneWell(CONFIG), OnePass(CONFIG)], ids=lambda row: row.name)
def test_every_row_labels(model, tokenizer, conversations, row, task):
    model.eval().set_attn_implementation(row.attention or "plain")
    labelled = row.label(model, tokenizer, TASKS[task], conversations[:1])
    if task == "emotion":
        assert {u["emotion"] for u in labelled[0]["conversation"]} <= set(ECF)
    else:
        ids = {u["utterance_ID"] for u in conversations[0]["conversation"]}
        assert {i for number, _, other in pairs(labelled[0]) for i in (number, other)} <= ids
    assert row.inference_tokens(tokenizer, TASKS[task], conversations[:1]) > 0


class Engine:
    """What llama_cpp.Llama does for `generate`, by a model of transformers and without a cache."""

    def __init__(self, model):
        self.model = model

    def generate(self, tokens, temp, logits_processor):
        with torch.no_grad():
            scores = self.model(input_ids=torch.tensor([tokens])).logits[0, -1].float().numpy()
        for processor in logits_processor:
            scores = processor(tokens, scores)
        while True:
            yield int(scores.argmax())


@pytest.mark.slow
@pytest.mark.parametrize("task", ["emotion", "cause"])
def test_one_constrained_token_gives_the_labels_of_the_one_pass(conversations, task):
    """SmolLM2's answers are one token each."""
    embedded, tokenizer = load_model(precision="float32")
    short = [beginning(c, length) for c, length in zip(conversations, (4, 3))]
    prior = emotion.prior_scores({label: 1 + number for number, label in enumerate(ECF)}, 1.0)
    asked = replace(TASKS[task], **({"prior": prior} if task == "emotion" else {"threshold": 0.45}))
    ours = OnePass(CONFIG).label(embedded, tokenizer, asked, short)
    theirs = LlamaCpp(CONFIG, lambda task: Engine(embedded)).label(None, tokenizer, asked, short)
    assert speed.same_labels(task, ours, theirs)[0] == speed.same_labels(task, ours, theirs)[1]
    assert ours == theirs


def test_answers_that_begin_alike_are_refused(tokenizer, conversations):
    with pytest.raises(ValueError, match="begin with the same token"):
        LlamaCpp(CONFIG, lambda task: None).label(None, tokenizer, TASKS["emotion"], conversations)


# ---- what is counted -------------------------------------------------------------------------------------------


def test_multiply_adds_are_those_that_torch_counts(model, tokenizer, conversations):
    (row,) = examples(TASKS["emotion"], conversations[:1], tokenizer, CONFIG)
    kept = len({index for index, _ in row.targets})
    assert kept == len(row.targets)
    inputs = model_inputs(row, row.targets)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        model(**inputs, use_cache=False)
    with FlopCounterMode(display=False) as both:
        model(**inputs, use_cache=False).loss.backward()
    needed, trained = (multiply_adds(model.config, [len(row)], kept, 4, training) for training in (False, True))
    assert forward.get_total_flops() == 2 * sum(needed.values())
    # Nothing asks for the gradient of what goes into the first layer, and this model has but two.
    assert 0.85 < both.get_total_flops() / (2 * sum(trained.values())) <= 1


def test_conversations_are_spread_over_their_lengths(sample):
    chosen = bench.spread(sample, 3)
    lengths = [len(c["conversation"]) for c in chosen]
    assert lengths == sorted(lengths) and len(set(lengths)) > 1 and all(emotional(c) for c in chosen)
    assert len(bench.spread(sample[:2], 9)) <= 2


def test_long_conversations_are_made_of_the_given_utterances(conversations):
    made = long_conversation(conversations, 30)
    assert [u["utterance_ID"] for u in made["conversation"]] == list(range(1, 31))
    assert {u["text"] for u in made["conversation"]} == {u["text"] for c in conversations for u in c["conversation"]}


def test_the_length_from_which_a_token_takes_twice_the_time():
    points = [{"tokens": n, "seconds": n * (1 + (n / 1000) ** 2)} for n in (1, 500, 900, 1100, 2000)]
    assert doubled(points) == pytest.approx(1000, rel=0.01)
    assert doubled(points[:3]) is None
    assert doubled([{"tokens": 100, "seconds": 9}, {"tokens": 200, "seconds": 2}]) is None


# ---- all of it -------------------------------------------------------------------------------------------------


@pytest.fixture
def command(tiny_model_folder, conversations, tmp_path, monkeypatch):
    """The arguments of a small run with the tiny model, without compiling."""
    for split in ("train", "test"):
        write_json(conversations, tmp_path / "data" / split / "conversations.json")
    monkeypatch.setattr(bench.shutil, "which", lambda name: None)
    monkeypatch.setattr(LlamaCpp, "available", lambda: False)
    return [
        "--data",
        str(tmp_path / "data"),
        "--model",
        tiny_model_folder,
        "--step",
        "1",
        "--conversations",
        "1",
        "--repeats",
        "1",
        "--out",
        str(tmp_path / "out"),
    ]


@pytest.mark.slow
def test_the_table_is_measured_and_written(command, tmp_path):
    parts = ["training", "inference", "accuracy", "limit"]
    assert speed.main([*command, "--profile", "--parts", *parts]) == 0
    result = json.loads((tmp_path / "out" / "speed.json").read_text("utf-8"))
    table = (tmp_path / "out" / "speed.md").read_text("utf-8")
    for phase, rows in (("training", 3), ("inference", 3)):
        for task in ("emotion", "cause"):
            assert len(result[phase][task]) == rows
            for row in result[phase][task].values():
                assert row["seconds"]["lowest"] <= row["seconds"]["median"] and row["tokens"] > 0
    ours = result["inference"]["emotion"]["one pass"]["labels_of_the_one_pass"]
    assert ours[0] == ours[1] > 0
    assert result["accuracy"] == {"emotion": {}, "cause": {}}  # no adapter, no accuracy
    assert "not measured" in table and "llama.cpp was not run" in table and table.count("| published recipe |") == 4
    assert all(0 < result["limit"][phase]["share_of_rate"] < 1 for phase in ("training", "inference"))
    assert all(0 < sum(shares.values()) <= 1.01 for shares in result["profile"].values())
    assert not (tmp_path / "out" / "speed.png").exists()


def test_adapters_are_scored(command, tiny_model_folder, tmp_path, model):
    for task in ("emotion", "cause"):
        save_adapter(model, tmp_path / "adapters" / task, tiny_model_folder)
        parameters = replace(CONFIG, model=tiny_model_folder).as_dict()
        record = {"parameters": parameters, "emotions": dict.fromkeys(ECF, 5)}
        write_json(record, tmp_path / "adapters" / task / "training.json")
    assert speed.main([*command, "--adapters", str(tmp_path / "adapters"), "--parts", "accuracy"]) == 0
    result = json.loads((tmp_path / "out" / "speed.json").read_text("utf-8"))
    assert {task: list(rows) for task, rows in result["accuracy"].items()} == {
        "emotion": ["one pass"],
        "cause": ["one pass"],
    }
    assert result["accuracy"]["emotion"]["one pass"]["conversations"] == 3


def test_what_cannot_be_used_ends_in_one_message(command, tmp_path, capsys):
    assert speed.main([*command, "--adapters", str(tmp_path / "nothing")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmarks.speed: ") and "nothing" in line


def test_memory_is_that_of_a_process_of_its_own(command, monkeypatch, capsys, tmp_path):
    assert speed.main([*command, "--alone", "training", "emotion", "one pass"]) == 0
    assert int(capsys.readouterr().out.split()[-1]) > 2**27  # torch alone takes as much
    asked = []

    class Done:
        returncode, stdout = 0, "something\n12345\n"

    monkeypatch.setattr(speed.subprocess, "run", lambda command, **how: asked.append(command[-4:]) or Done)
    assert speed.main([*command, "--parts", "memory"]) == 0
    alone = [tuple(one[1:]) for one in asked if one[0] == "--alone"]
    assert ("inference", "cause", "one pass") in alone and len(set(alone)) == len(alone) == 1 + 2 * 3 + 2 * 3
    result = json.loads((tmp_path / "out" / "speed.json").read_text("utf-8"))
    assert set(result["memory"]["training"]["cause"].values()) == {12345}


def test_growth_is_measured_and_drawn(command):
    found = measure_growth(bench.Bench(speed.parsed(command)), numbers=(1, 2), lengths=(2, 6), asked=(1, 2))
    assert [point["number"] for point in found["conversations"]] == [1, 2]
    assert found["conversations"][1]["tokens"] == 2 * found["conversations"][0]["tokens"]
    assert found["questions"][0]["number"] < found["questions"][1]["number"]
    axes = growth_figure(found, "a model").axes
    assert len(axes) == 3 and len({ax.get_ylim() for ax in axes}) == 1, "one meaning, one scale of seconds"
    assert math.isfinite(found["utterances"][1]["seconds"])


@pytest.mark.slow
def test_both_forms_learn_from_the_same_conversations(command, tmp_path, monkeypatch):
    given = [*command[:4], "--conversations", "2", "--published-epochs", "3", "--epochs", "2", "4"]
    given += ["--out", str(tmp_path / "kept"), "--result", str(tmp_path / "result.json")]
    assert called(equal_data.main, *given)[0] == 0
    first = json.loads((tmp_path / "result.json").read_text("utf-8"))
    assert equal_data.table(first).count("\n") == 1 + 5
    assert len(first["trained on"]) == 2 and len(first["scored on"]) == 3
    for task, ground in (("emotion", "majority"), ("cause", "rule")):
        rows = first[task]
        assert list(rows) == [ground, "published recipe, 3 epochs", "one pass, 2 epochs", "one pass, 4 epochs"]
        assert rows["one pass, 4 epochs"]["steps"] == 2 * rows["one pass, 2 epochs"]["steps"]
        assert all(0 <= row["weighted_f1"] <= 1 for row in rows.values())
    monkeypatch.setattr(equal_data, "measured", None)  # nothing is measured twice
    assert called(equal_data.main, *given)[0] == 0
    assert json.loads((tmp_path / "result.json").read_text("utf-8")) == first


# ---- for a GPU -------------------------------------------------------------------------------------------------


def test_flex_attention_sees_what_the_dense_mask_shows(model, tokenizer, conversations):
    row = pack(examples(TASKS["emotion"], conversations, tokenizer, CONFIG))
    logits = {}
    for attention in ("sdpa", "flex_attention"):
        model.eval().set_attn_implementation(attention)
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            logits[attention] = model(**gpu.inputs_for(row, attention, "cpu"), use_cache=False).logits
    assert torch.allclose(logits["sdpa"], logits["flex_attention"], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_gpus_table_runs_with_a_random_nf4_model(tokenizer, conversations):
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = gpu.random_nf4(shape, tokenizer)
    assert model.is_loaded_in_4bit
    model = add_lora(model, 4, 8, 0.0, "all-linear")
    config = replace(CONFIG, precision="auto", quantization="nf4")
    short = [beginning(conversations[0], 3)]
    found = gpu.compare(model, tokenizer, [Published(config), OnePass(config)], short, short, 1)
    assert {phase: {task: list(rows) for task, rows in tasks.items()} for phase, tasks in found.items()} == {
        phase: {task: ["published recipe", "one pass"] for task in ("emotion", "cause")}
        for phase in ("training", "inference")
    }
    trees = examples(TASKS["emotion"], conversations, tokenizer, replace(config, token_budget=1))
    with torch.compiler.set_stance("force_eager"):
        passes = gpu.attentions(model, trees, [100, 300], 1, backward=False)
    assert [one["attention"] for one in passes] == ["sdpa", "flex_attention"] * 2
    assert passes[-1]["tokens"] >= 300
