"""Labelling files: what goes in, what comes out, and inference in parts, on several machines, some of which get lost.

python -m pytest tests/doors/test_predict.py
"""

import io
import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from helpers import ROOT, CalmPredictor, called, randomize

from utils import predict
from utils.data.conversations import load_conversations, pairs, without_labels
from utils.data.labels import ECF
from utils.models.adapters import add_lora, save_adapter
from utils.models.load import load_model
from utils.predict import Predictor
from utils.record.predictions import lines_of
from utils.record.provenance import revision, weights_of
from utils.report.metrics import pair_scores
from utils.system import files
from utils.system.errors import ConversationError
from utils.system.files import read_json, write_json


@pytest.mark.slow
def test_a_part_that_is_killed_is_done_again_and_the_others_stay(tiny_model_folder, sample, tmp_path):
    """Two processes with a part each; one is killed by kill -9 in the middle, and started again."""
    for seed, task in enumerate(("emotion", "cause")):
        model = add_lora(load_model(tiny_model_folder, precision="float32")[0], 4, 8, 0.0, "all-linear")
        save_adapter(randomize(model, seed), tmp_path / task, tiny_model_folder)
        seen = dict.fromkeys(ECF, 1)
        parameters = {"model": tiny_model_folder, "precision": "float32", "token_budget": 1}
        write_json({"parameters": parameters, "emotions": seen}, tmp_path / task / "training.json")
    write_json([without_labels(c) for c in sample[:8]], tmp_path / "given.json")

    def command(out, *part):
        return [
            sys.executable,
            "-m",
            "utils.predict",
            tmp_path / "given.json",
            "--out",
            tmp_path / out,
            "--emotion-adapter",
            tmp_path / "emotion",
            "--cause-adapter",
            tmp_path / "cause",
            *part,
        ]

    subprocess.run(command("whole.json"), cwd=ROOT, check=True, capture_output=True, timeout=300)
    lost = subprocess.Popen(
        command("pred.json", "--part", "1/2"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    journal = tmp_path / "pred.json.part-1-of-2.unfinished.jsonl"
    deadline = time.monotonic() + 300
    while not journal.is_file() or len(journal.read_text().splitlines()) < 3:
        assert lost.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "it does not get on"
        time.sleep(0.01)
    lost.send_signal(signal.SIGKILL)
    lost.wait(timeout=60)
    subprocess.run(command("pred.json", "--part", "2/2"), cwd=ROOT, check=True, capture_output=True, timeout=300)
    done = journal.read_text()
    assert done and not (tmp_path / "pred.json").exists()
    subprocess.run(command("pred.json", "--part", "1/2"), cwd=ROOT, check=True, capture_output=True, timeout=300)
    assert (tmp_path / "pred.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert not list(tmp_path.glob("pred.json.*"))


# ---- what goes in, and what comes out --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapters(tiny_model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    for seed, task in enumerate(("emotion", "cause")):
        torch.manual_seed(seed)  # of the half that `randomize` leaves
        model = add_lora(load_model(tiny_model_folder, precision="float32")[0], 4, 8, 0.0, "all-linear")
        save_adapter(randomize(model, seed), folder / task, tiny_model_folder)
        parameters = {"model": tiny_model_folder, "precision": "float32", "cause_threshold": 1e-6}
        seen = {**dict.fromkeys(ECF, 1), "neutral": 10**6}  # whose log frequency is subtracted: emotions are named
        record = {"parameters": parameters, "emotions": seen, "revision": "abc"}
        write_json(record, folder / task / "training.json")
    return folder / "emotion", folder / "cause"


@pytest.fixture(scope="module")
def predictor(adapters):
    return Predictor(*adapters)


@pytest.mark.parametrize(
    ("name", "text", "bad"),
    [
        (
            "a.jsonl",
            '{good}\n{"conversation_ID": 2\n{"conversation_ID": 3}\n',
            ["line 2: not JSON", "conversation 3, field"],
        ),
        ("a.txt", "Ana: Yes.\n\nBen\n\nAna: [laughs]\n", ["line 3: no speaker"]),
        ("a.csv", "conversation,speaker,text\n1,Ana,Yes.\n2,Ben,\n3,Ana,No.\n", ["row 3, field 'text': it is empty"]),
    ],
)
def test_conversations_with_a_fault_are_left_out_named_and_counted(tmp_path, monkeypatch, capsys, name, text, bad):
    monkeypatch.setattr("utils.record.predictor.Predictor", CalmPredictor)
    said = {"conversation_ID": 1, "conversation": [{"utterance_ID": 1, "text": "Yes.", "speaker": "Ana"}]}
    (tmp_path / name).write_text(text.replace("{good}", json.dumps(said)))
    command = [str(tmp_path / name), "--out", str(tmp_path / "pred.json")]
    assert predict.main(command) == 2 and bad[0] in capsys.readouterr().err and not (tmp_path / "pred.json").exists()
    assert predict.main([*command, "--skip-invalid"]) == 0
    printed = capsys.readouterr()
    messages = [line for line in printed.err.splitlines() if line.startswith("skipped: ")]
    assert len(messages) == len(bad) and all(one in message for one, message in zip(bad, messages))
    assert f"skipped: {len(bad)} conversations with a fault, which are not in" in printed.out
    kept = [c["conversation_ID"] for c in read_json(tmp_path / "pred.json")]
    assert kept == ([1] if name == "a.jsonl" else [1, 3]), "the numbers are those of the file"
    assert read_json(tmp_path / "pred.record.json")["conversations"] == len(kept)
    (tmp_path / "b.txt").write_text("Ana\n\nBen\n")
    assert predict.main([str(tmp_path / "b.txt"), *command[1:], "--skip-invalid"]) == 2
    assert "none of 2 conversations is sound. The first: " in capsys.readouterr().err


def test_the_record_and_the_probabilities_stand_beside_the_labels(adapters, predictor, tmp_path, monkeypatch):
    (tmp_path / "talk.txt").write_text("Ana: I lost it.\nBen: Oh no!\n\nAna: Found it!\n")
    options = ["--emotion-adapter", adapters[0], "--cause-adapter", adapters[1], "--probabilities"]
    assert called(predict.main, tmp_path / "talk.txt", "--out", tmp_path / "pred.json", *options)[0] == 0
    labelled = load_conversations(tmp_path / "pred.json")
    assert "video_name" not in labelled[0]["conversation"][0], "text has no video"
    lines = [line for _, line in files.read_json_lines(tmp_path / "pred.probabilities.jsonl")]
    assert lines == json.loads(json.dumps(lines_of(*predictor(labelled))))
    scores = pair_scores(labelled, read_json(tmp_path / "pred.json"), 2)
    assert scores["weighted_f1"] == pytest.approx(1), "the official metric reads it"
    record = read_json(tmp_path / "pred.record.json")
    assert record["labels"] == list(ECF) and record["cause_threshold"] == 1e-6 and record["conversations"] == 2
    assert record["adapters"]["cause"]["weights"] == weights_of(adapters[1])
    assert record["adapters"]["emotion"]["revision"] == "abc" and record["revision"] == revision()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "pred.json", "pred.probabilities.jsonl", "pred.record.json", "talk.txt"
    ]  # fmt: skip
    # without the option no probabilities; from standard input; in parts
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "talk.txt").read_bytes())))
    assert called(predict.main, "-", "--out", tmp_path / "again.json", *options[:-1])[0] == 0
    assert read_json(tmp_path / "again.json") == labelled and not (tmp_path / "again.probabilities.jsonl").exists()
    for part in ("2/2", "1/2"):
        done = called(predict.main, tmp_path / "talk.txt", "--out", tmp_path / "in.json", "--part", part, *options)
        assert done[0] == 0
    assert read_json(tmp_path / "in.json") == labelled
    assert (tmp_path / "in.probabilities.jsonl").read_bytes() == (tmp_path / "pred.probabilities.jsonl").read_bytes()


def test_another_threshold_and_adjustment_decide_and_are_recorded(adapters, predictor, sample, tmp_path):
    given = sample[:3]
    write_json(given, tmp_path / "given.json")
    products = sorted(pair["probability"] for one in predictor.named(given) for pair in one["pairs"])
    middle = products[len(products) // 2]
    options = ["--emotion-adapter", adapters[0], "--cause-adapter", adapters[1], "--out", tmp_path / "pred.json"]
    changed = ["-p", "cause_threshold", middle, "-p", "logit_adjustment", 0.9]
    assert called(predict.main, tmp_path / "given.json", *options, *changed[:3])[0] == 0
    wanted = [[pair for pair in one["pairs"] if pair["probability"] >= middle] for one in predictor.named(given)]
    found = read_json(tmp_path / "pred.json")
    assert [len(c["emotion-cause_pairs"]) for c in found] == [*map(len, wanted)] and 0 < sum(map(len, wanted))
    assert sum(map(len, wanted)) < len(products)
    assert called(predict.main, tmp_path / "given.json", *options, *changed)[0] == 0
    parameters = {"cause_threshold": middle, "logit_adjustment": 0.9}
    again = Predictor(*adapters, parameters=parameters)(given)
    assert read_json(tmp_path / "pred.json") == again[0] and again[1] != predictor(given)[1]
    record = read_json(tmp_path / "pred.record.json")
    assert {name: record[name] for name in parameters} == parameters
    jobs = {predict.job_of(given, adapters), predict.job_of(given, adapters, parameters)}
    assert len(jobs) == 2, "parts by other values are of another job"
    code, said_ = called(predict.main, tmp_path / "given.json", *options, "-p", "seed", 1)
    assert code == 2 and "seed is none that labelling can change" in said_


def test_named_results_are_those_of_the_tables(predictor, conversations):
    found = predictor.named(conversations)
    labelled, emotions, causes = predictor(conversations)
    assert [one["conversation_ID"] for one in found] == [c["conversation_ID"] for c in conversations]
    assert any(one["pairs"] for one in found)
    for one, c, table, because in zip(found, labelled, emotions, causes):
        named = {u["utterance_ID"]: u for u in one["utterances"]}
        for u, row in zip(c["conversation"], table):
            p = named[u["utterance_ID"]]["probabilities"]
            assert p == dict(zip(ECF, row)) and named[u["utterance_ID"]]["emotion"] == u["emotion"] == max(p, key=p.get)
        wanted = [(i, e, k, max(table[i - 1]) * because[i][k]) for i, e, k in pairs(c)]
        assert [tuple(pair.values()) for pair in one["pairs"]] == wanted
        assert all(p >= 1e-6 for *_, p in wanted), "what the threshold was compared with"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([{"conversation": []}], "field 'conversation_ID': it is missing"),
        (
            [{"conversation_ID": 1, "conversation": [{"utterance_ID": 1, "text": "a"}]}],
            "field 'speaker': it is missing",
        ),
        ([{"conversation_ID": 1, "conversation": [{"text": "a", "speaker": "A"}]}], "field 'utterance_ID': it is miss"),
        ({"conversation_ID": 1}, "holds an object where a list of conversations belongs"),
        ("data/sample", "holds a string where a list of conversations belongs"),
    ],
)
def test_what_is_no_conversation_is_refused_as_a_file_is_before_any_work(predictor, monkeypatch, tmp_path, given, says):
    monkeypatch.setattr(predict.Predictor, "_answer", None)
    with pytest.raises(ConversationError, match=says) as error:
        predictor(given)
    write_json(given, tmp_path / "given.json")
    with pytest.raises(ConversationError) as of_file:
        load_conversations(tmp_path / "given.json", labels=None)
    assert str(of_file.value) == str(error.value).replace("conversations", str(tmp_path / "given.json"), 1)
    with pytest.raises(ConversationError, match=says):
        predict.predict(given, tmp_path / "no adapter", tmp_path / "none either")
