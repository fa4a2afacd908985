"""Two processes do what one does, on one machine or two: the same loss and weights from the same rows a step, the same
file of predictions.

python -m pytest tests/engine/test_processes.py
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT
from safetensors.torch import load_file

from utils.engine.processes import divided, processes
from utils.system.files import write_json

# A row holds one conversation, so that a step of two rows is the same step for one process and for two.
TRAINING = """
import sys
from pathlib import Path
from utils.models.load import load_model
from utils.record.fit import fit
from utils.record.run import open_run

folder, rows_a_step = Path(sys.argv[1]), int(sys.argv[2])
parameters = {"run_name": "run", "input_dir": "input", "model": sys.argv[3], "precision": "float32", "lora_r": 4,
              "token_budget": 1, "emotion_epochs": 2.0, "cause_epochs": 2.0, "gradient_accumulation": rows_a_step}
for task, notebook in (("emotion", "1_emotion_recognition_training"), ("cause", "3_cause_prediction_training")):
    config, run = open_run(parameters, notebook, folder)
    model, tokenizer = load_model(config.model, precision=config.precision)
    conversations = run.conversations("train", labelled=True)
    fit(run, config.task(task), model, tokenizer, conversations, conversations[:2])
"""
# On machines without a GPU, --multi_gpu starts the processes all the same, and --cpu would start a single one.
LAUNCH = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --mixed_precision no --dynamo_backend no".split()
PROCESSES = "--num_machines 1 --main_process_port 0".split()
MACHINES = "--num_machines 2 --main_process_ip 127.0.0.1".split()
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def started(*arguments, folder, together=False):
    """What a Python process prints, or two that are started together."""
    command = [sys.executable, *([*LAUNCH, *PROCESSES] if together else ()), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def on_two_machines(*arguments, folder):
    """Runs a process on each of two machines of a cluster; here both are this one, and talk by TCP, over gloo."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, *LAUNCH, *MACHINES, "--main_process_port", port]
    machines = [
        subprocess.Popen(
            [*command, "--machine_rank", str(rank), *map(str, arguments)],
            cwd=folder,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        for one in machines:
            said = one.communicate(timeout=600)[0]
            assert one.returncode == 0, said[-6000:]
    finally:
        for one in machines:
            one.kill()


def test_one_process_does_all():
    here = processes()
    assert (here.num_processes, here.process_index, here.is_main_process) == (1, 0, True)
    assert divided([3, 1, 2], lambda task: task * 10) == [30, 10, 20]
    assert divided([], str) == []


@pytest.mark.slow
def test_two_machines_train_and_two_processes_predict_what_one_does(tiny_model_folder, conversations, tmp_path):
    taught = [{**c, "conversation_ID": number} for number, c in enumerate((*conversations, conversations[0]))]
    (tmp_path / "train.py").write_text(TRAINING, encoding="utf-8")
    for name, train, rows_a_step in (("one", started, 2), ("two", on_two_machines, 1)):
        write_json(taught, tmp_path / name / "input" / "train" / "conversations.json")
        train(tmp_path / "train.py", tmp_path / name, rows_a_step, tiny_model_folder, folder=tmp_path)

    adapters = {name: tmp_path / name / "results_train" / "run" / "adapters" for name in ("one", "two")}
    for task in ("emotion", "cause"):
        one, two = (
            json.loads((adapters[name] / task / "training.json").read_text("utf-8"))["history"]
            for name in ("one", "two")
        )
        for key in ("loss", "grad_norm", "eval_loss"):
            steps = [[entry[key] for entry in history if key in entry] for history in (one, two)]
            assert len(steps[0]) == (3 if key == "eval_loss" else 4)
            assert steps[1] == pytest.approx(steps[0], rel=1e-4), (task, key)
        weights = [load_file(adapters[name] / task / "adapter_model.safetensors") for name in ("one", "two")]
        assert weights[0].keys() == weights[1].keys()
        assert max((weights[0][n].float() - weights[1][n].float()).abs().max() for n in weights[0]) < 1e-4

    for together in (False, True):
        out = tmp_path / f"{together}.json"
        started(
            "-m",
            "utils.predict",
            tmp_path / "one" / "input" / "train",
            "--out",
            out,
            "--emotion-adapter",
            adapters["one"] / "emotion",
            "--cause-adapter",
            adapters["one"] / "cause",
            folder=ROOT,
            together=together,
        )
        assert not Path(f"{out}.unfinished.jsonl").exists()
    assert (tmp_path / "True.json").read_bytes() == (tmp_path / "False.json").read_bytes()


@pytest.mark.slow
def test_every_process_gets_all_results_of_the_work_that_they_share(tmp_path):
    # a file each: what two processes print may mingle
    (tmp_path / "share.py").write_text(
        "from pathlib import Path\n"
        "from utils.engine.processes import divided, processes\n"
        "done = []\n"
        "results = divided(list(range(5)), lambda task: done.append(task) or task * task)\n"
        "Path(f'process {processes().process_index}').write_text(f'{results} {done}')\n",
        encoding="utf-8",
    )
    started(tmp_path / "share.py", folder=tmp_path, together=True)
    assert {path.name: path.read_text("utf-8") for path in tmp_path.glob("process *")} == {
        "process 0": "[0, 1, 4, 9, 16] [0, 2, 4]",
        "process 1": "[0, 1, 4, 9, 16] [1, 3]",
    }
