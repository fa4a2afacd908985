"""What a card says other programs can do with an adapter or an exported model, done: without this repository, without a
network, from a folder. It gives the probabilities that the repository computes.

python -m pytest tests/record/test_card_use.py
"""

import ast
import json
import os
import re
import shutil
import socket
import subprocess
import sys

import pytest
from helpers import ROOT, with_adapter

from utils.config import Config
from utils.data.conversations import names_of
from utils.data.labels import ECF
from utils.data.templates import Template
from utils.data.topics import Topic
from utils.engine.inference import score_trees
from utils.engine.settings import Writing
from utils.export import export
from utils.models.adapters import load_adapter, save_adapter
from utils.models.adapting import TITLES
from utils.models.hub import hub_id
from utils.models.load import EMBEDDED, embedded_model, load_model
from utils.record.adapter import trained_with
from utils.record.card import card, write_cards
from utils.record.card_use import EXAMPLE, INSTRUCTION, about_text
from utils.record.instruction_predict import InstructionPredict
from utils.record.opinion_predict import OpinionPredict
from utils.system.files import read_json, write_json
from utils.tasks.forms import opinion_task
from utils.tasks.instruction import Instructions
from utils.tasks.task import probabilities

SHIPPED = ROOT / "results_train" / "smollm2-135m-ecf" / "adapters"


@pytest.fixture(scope="module")
def run(tiny_model_folder, tmp_path_factory):
    """A run's folder with two adapters of the tiny model, with random weights, and their cards."""
    folder = tmp_path_factory.mktemp("runs") / "results_train" / "mine"
    parameters = Config(model=tiny_model_folder, quantization="none", precision="float32").as_dict()
    for seed, task in enumerate(("emotion", "cause")):
        adapter = folder / "adapters" / task
        save_adapter(with_adapter(tiny_model_folder, seed=seed, std=0.5), adapter, tiny_model_folder)
        record = {"parameters": parameters, "revision": "abc", "emotions": {}, "history": []}
        write_json(record, adapter / "training.json")
    record = {"parameters": parameters, "input": {}, "revision": "abc", "versions": {}}
    write_json(
        dict.fromkeys(("1_emotion_recognition_training", "3_cause_prediction_training"), record), folder / "config.json"
    )
    write_cards(folder)
    return folder


def printed(text, folder):
    """What the Python code of a card prints, with FOLDER filled in, in a process that finds neither this repository nor
    the hub."""
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    code = code.replace('FOLDER = "FOLDER"', f"FOLDER = {str(folder)!r}")
    away = ("PYTHONPATH", "HF_TOKEN")
    environment = {name: value for name, value in os.environ.items() if name not in away}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout)


def wanted(adapter, base, task):
    """{answer: probability} of the first question behind the whole example, as the repository computes it."""
    model, tokenizer = load_model(base, precision="float32")
    tree = trained_with(adapter).task(task).tree(EXAMPLE)
    model = load_adapter(model, adapter, base)
    scores = score_trees(model, tokenizer, [tree], names_of([EXAMPLE]), 512, 4096)[0]
    number = 1  # emotions of 1 and 2; or 1 <= 1, 2 <= 1, 2 <= 2, 1 <= 2
    answers = [f" {label}" for label in ("no", "yes")] if task == "cause" else [f" {label}" for label in ECF]
    return dict(zip(answers, probabilities(scores[number]), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["emotion", "cause"])
def test_plain_peft_gives_the_repositorys_probabilities(run, tiny_model_folder, task):
    adapter = run / "adapters" / task
    found = printed((adapter / "README.md").read_text(encoding="utf-8"), adapter)
    expected = wanted(adapter, tiny_model_folder, task)
    assert found == pytest.approx(expected, abs=1e-4) and list(found) == list(expected)
    assert 0.01 < max(found.values()) < 0.999, "neither chance nor certain"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dora", "ia3", "prompt_tuning", "llama_adapter"])
def test_so_it_does_with_every_kind_of_adapter(run, tiny_model_folder, tmp_path, method):
    folder = shutil.copytree(run, tmp_path / "results_train" / "other")
    adapter = folder / "adapters" / "emotion"
    save_adapter(with_adapter(tiny_model_folder, std=0.5, method=method), adapter, tiny_model_folder)
    for file in (folder / "config.json", adapter / "training.json"):
        text = file.read_text(encoding="utf-8")
        assert '"adapter": "lora"' in text
        file.write_text(text.replace('"adapter": "lora"', f'"adapter": "{method}"'), encoding="utf-8")
    text = card(adapter)
    assert f"{TITLES[method]} for" in text and f"- {method}\n" in text
    assert printed(text, adapter) == pytest.approx(wanted(adapter, tiny_model_folder, "emotion"), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["safetensors", "state_dict"])
def test_so_does_an_exported_model_with_transformers_alone(run, tiny_model_folder, tmp_path, form):
    folder = export(run / "adapters" / "emotion", tmp_path / "out", form)
    found = printed((folder / "README.md").read_text(encoding="utf-8"), folder)
    assert found == pytest.approx(wanted(run / "adapters" / "emotion", tiny_model_folder, "emotion"), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["emotion", "cause"])
def test_so_do_the_adapters_that_ship(tmp_path, task):
    """Their base has the hub's id. Without a network the embedded model's folder stands in for it: the same weights in
    4 bits, unpacked."""
    adapter = shutil.copytree(SHIPPED / task, tmp_path / task)
    record = read_json(adapter / "adapter_config.json")
    assert record["base_model_name_or_path"] == hub_id(EMBEDDED) == "HuggingFaceTB/SmolLM2-135M-Instruct"
    write_json({**record, "base_model_name_or_path": str(embedded_model())}, adapter / "adapter_config.json")
    found = printed((SHIPPED / task / "README.md").read_text(encoding="utf-8"), adapter)
    assert found == pytest.approx(wanted(SHIPPED / task, EMBEDDED, task), abs=1e-3)


@pytest.fixture
def trained(tiny_model_folder, tmp_path):
    """An adapter of a run of a task, with random weights and its records."""

    def trained(task, record, **parameters):
        config = Config(model=tiny_model_folder, quantization="none", precision="float32", **parameters)
        adapter = tmp_path / "results_train" / task / "adapters" / task
        save_adapter(with_adapter(tiny_model_folder, std=0.5), adapter, tiny_model_folder)
        made = {"task": task, "parameters": config.as_dict(), "revision": "abc", "history": [], **record}
        write_json(made, adapter / "training.json")
        used = {"parameters": {"model": config.model}, "input": {}, "revision": "abc", "versions": {}}
        write_json({f"{task}_training": used}, adapter.parents[1] / "config.json")
        return adapter

    return trained


def run_here(text, folder, capsys):
    """What the Python code of a card prints, in this process."""
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    capsys.readouterr()
    exec(code.replace('FOLDER = "FOLDER"', f"FOLDER = {str(folder)!r}"), {})
    return capsys.readouterr().out


@pytest.mark.parametrize("template", ["alpaca", "deutsch"])
def test_plain_peft_writes_the_repositorys_answer(trained, template, capsys):
    decided = Instructions(Template.read(template)).decided([], list)
    adapter = trained("instruction", decided, template=template)
    asked = {"instruction": INSTRUCTION["instruction"], "how": Writing()}
    answer = next(InstructionPredict(adapter).answers(**asked))["trained"]
    assert answer and run_here(card(adapter), adapter, capsys) == f"{answer}\n"


def test_plain_peft_gives_the_repositorys_probabilities_of_an_opinion(trained, capsys):
    topic = Topic.read("new-stadium")
    task = opinion_task({topic.name: topic}, "regression")
    adapter = trained("opinion", task.decided([], list), task_type="regression")
    predictor = OpinionPredict(model_path=adapter)
    _, (table,) = predictor.answers([about_text(predictor.task)])
    found = ast.literal_eval(run_here(card(adapter), adapter, capsys))
    assert [*found.values()] == pytest.approx(table[topic.name]["score"], abs=1e-4)
    assert 0.01 < max(found.values()) < 0.999


def test_a_gguf_card_sends_one_question_and_its_answers(run):
    text = card(run / "adapters" / "cause", merged="gguf")
    (request,) = re.findall(r"--data '(.+)'$", text, re.M)
    request = json.loads(request)
    assert request["prompt"].startswith("Which utterances cause an emotion?\nMia sadness: ")
    assert request["prompt"].endswith("Tom surprise: What? He promised us another year! #2 <= #1")
    assert request["grammar"] == 'root ::= " no" | " yes"'
    assert "FOLDER" not in text.partition("## Use")[2]


@pytest.mark.parametrize(
    ("task", "usual", "other"),
    [
        ("emotion", '"recipe": "one_pass"', '"recipe": "published"'),
        ("cause", '"cause_form": "candidates"', '"cause_form": "list"'),
    ],
)
def test_without_one_question_to_show_a_card_names_the_file_that_asks(run, tmp_path, task, usual, other):
    folder = shutil.copytree(run, tmp_path / "results_train" / "other")
    for file in (folder / "config.json", folder / f"adapters/{task}/training.json"):
        text = file.read_text(encoding="utf-8")
        assert usual in text
        file.write_text(text.replace(usual, other), encoding="utf-8")
    text = card(folder / "adapters" / task)
    assert "```python" not in text and f"utils/tasks/{task}.py" in text


def test_the_cards_that_ship_are_those_that_are_written_now(tmp_path):
    for task in ("emotion", "cause"):
        assert (SHIPPED / task / "README.md").read_text(encoding="utf-8") == card(SHIPPED / task)


def test_the_example_of_llama_cpp_in_the_docs_sends_the_cards_request(run, tmp_path):
    """Its lines behind the export are run as they stand, with programs in place of llama-server and curl that write
    down what they are given."""
    text = (ROOT / "docs" / "doors.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```bash\n(python -m utils.export \S+[^\n]+\nllama-server.*?)^```", text, re.S | re.M)
    exported, *others = block.splitlines()
    assert "emotion --out exported/emotion --to gguf --weights q8_0" in exported
    written = card(run / "adapters" / "emotion", merged="gguf")
    (tmp_path / "exported" / "emotion").mkdir(parents=True)
    (tmp_path / "exported" / "emotion" / "README.md").write_text(written, encoding="utf-8")
    for name in ("llama-server", "curl"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f'#!/bin/sh\nfor one; do printf "%s\\n" "$one"; done > {tmp_path}/{name}.txt\n', encoding="utf-8"
        )
        program.chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    script = "set -e\n" + "\n".join(others) + "\nwait"
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, check=True, timeout=60)
    served, asked = ((tmp_path / f"{name}.txt").read_text("utf-8").splitlines() for name in ("llama-server", "curl"))
    (request,) = re.findall(r"--data '(.+)'$", written, re.M)
    address = next(word for word in asked if word.startswith("http"))
    assert json.loads(asked[-1]) == json.loads(request) and address in written
    assert served == ["--model", "exported/emotion/model-q8_0.gguf", "--port", address.split(":")[-1].split("/")[0]]


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("llama-server") and shutil.which("curl")), reason="needs llama.cpp and curl")
@pytest.mark.parametrize("task", ["emotion", "cause"])
def test_llama_cpps_server_gives_the_likeliest_answer(tmp_path, task):
    """The card's two commands as they stand, on a free port."""
    folder = export(SHIPPED / task, tmp_path / "out", "gguf", "q8_0")
    (block,) = re.findall(r"^```bash\n(llama-server.*?)^```", (folder / "README.md").read_text("utf-8"), re.S | re.M)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    serve, ask = block.replace("8080", port).replace("MODEL.gguf", "model-q8_0.gguf").splitlines()
    server = subprocess.Popen(
        ["bash", "-c", f"exec {serve.partition(' &')[0]}"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        curl = ["curl", "--silent", "--fail", "--retry", "60", "--retry-delay", "1", "--retry-all-errors"]
        subprocess.run([*curl, f"http://127.0.0.1:{port}/health"], check=True, capture_output=True, timeout=120)
        done = subprocess.run(["bash", "-c", ask], cwd=folder, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
    finally:
        server.terminate()
        server.wait(timeout=60)
    expected = wanted(SHIPPED / task, EMBEDDED, task)
    assert json.loads(done.stdout)["content"] == max(expected, key=expected.get)
