"""Work that is shared: the files for accelerate and SLURM, training by a command, inference in parts that get lost.

python -m pytest tests/test_many_machines.py
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from test_parity import randomize
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from utils import predict, train
from utils.config import Config
from utils.data.conversations import without_labels
from utils.models.adapters import add_lora, gather_adapter, save_adapter
from utils.models.load import load_model
from utils.predict import part_of, write_part
from utils.record import adapter
from utils.record.run import open_run
from utils.record.stages import NOTEBOOKS, parameter_names
from utils.system import files, hardware
from utils.system.errors import ConversationError
from utils.system.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "configs/accelerate").glob("*.yaml"))
SCRIPTS = sorted((ROOT / "configs/slurm").glob("*.sbatch"))

# ---- files for accelerate and SLURM -----------------------------------------------------------------------------


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_accelerate_takes_every_configuration(file):
    config = load_config_from_file(str(file))  # refuses names that it does not know
    assert config.num_processes == 2
    command = re.search(r"^#   accelerate launch (.+)$", file.read_text(encoding="utf-8"), re.M)[1].split()
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(command))
    assert (arguments.num_processes, arguments.num_machines, arguments.use_cpu) == (2, 1, False)
    kinds = {"ddp": "multi_gpu", "fsdp2-qlora": "use_fsdp", "deepspeed-zero2": "use_deepspeed"}
    on = {kind for kind in kinds.values() if getattr(arguments, kind)}
    assert on == {kinds[file.stem]}
    if file.stem == "fsdp2-qlora":
        assert (arguments.fsdp_version, arguments.fsdp_state_dict_type) == (2, "FULL_STATE_DICT")
    # what it starts is a command of ours, with a parameter file that is there
    assert arguments.module and arguments.training_script == "utils.train"
    task, parameters = arguments.training_script_args
    assert task in train.TASKS and (ROOT / parameters).is_file()


def test_there_are_these_configurations():
    assert [file.stem for file in CONFIGS] == ["ddp", "deepspeed-zero2", "fsdp2-qlora"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_slurm_scripts_are_sound_and_start_what_is_there(script):
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    text = script.read_text(encoding="utf-8")
    for file in re.findall(r"configs/[\w./-]+", text):
        assert (ROOT / file).is_file(), file
    for module in re.findall(r"-m utils\.(\w+)", text):
        assert (ROOT / f"utils/{module}.py").is_file(), module


def test_a_slurm_job_starts_accelerate_on_every_machine(tmp_path):
    """With srun, scontrol and accelerate imitated: what each of two machines would start."""
    for name, text in {
        "srun": 'for SLURM_NODEID in 0 1; do export SLURM_NODEID; "$@"; done',
        "scontrol": "echo first; seq 30000",  # many machines: more than a pipe holds
        "accelerate": 'echo "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_GPUS_ON_NODE": "4",
        "SLURM_JOB_NODELIST": "[first-second]",
    }
    done = subprocess.run(
        ["bash", ROOT / "configs/slurm/train.sbatch", "configs/llama-2-13b.yaml"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    started = [launch_command_parser().parse_args(line.split()[1:]) for line in done.stdout.splitlines()]
    assert [(one.machine_rank, one.training_script_args[0]) for one in started] == [
        (0, "emotion"),
        (1, "emotion"),
        (0, "cause"),
        (1, "cause"),
    ]
    assert {(one.num_machines, one.num_processes, one.main_process_ip, one.main_process_port) for one in started} == {
        (2, 8, "first", 29500)
    }


# ---- training by a command ----------------------------------------------------------------------------------------


def test_the_command_trains_as_the_notebook_does(tiny_model_folder, conversations, tmp_path, monkeypatch, capsys):
    """The run that it leaves is the notebook's: opened with the notebook's parameters, its adapter is finished."""
    monkeypatch.setattr("utils.places.ROOT", tmp_path)
    monkeypatch.setattr("utils.runs.ROOT", tmp_path)
    for split in ("train", "val"):
        write_json(conversations, tmp_path / "input" / split / "conversations.json")
    settings = [
        "-p",
        "model",
        tiny_model_folder,
        "-p",
        "precision",
        "float32",
        "-p",
        "token_budget",
        "1",
        "-p",
        "emotion_epochs",
        "2",
        "-p",
        "cause_epochs",
        "3",
    ]
    for task in train.TASKS:
        assert train.main([task, str(ROOT / "configs/sample.yaml"), *settings]) == 0, capsys.readouterr().err
        adapter = tmp_path / "results_train/sample/adapters" / task
        assert f"{task} adapter: {adapter}" in capsys.readouterr().out
        assert (adapter / "training.json").is_file()
    record = read_json(tmp_path / "results_train/sample/config.json")
    assert list(record) == list(train.TASKS.values())
    assert "cause_epochs" not in record[train.TASKS["emotion"]]["parameters"]
    assert record[train.TASKS["cause"]]["parameters"]["cause_epochs"] == 3
    # the notebook that comes next opens the same run
    values = {name: Config().as_dict()[name] for name in parameter_names(NOTEBOOKS[1])}
    values |= {"model": tiny_model_folder, "precision": "float32", "token_budget": 1}
    assert open_run(values, NOTEBOOKS[1])[1].finished_adapter("cause") == adapter


def test_the_command_refuses_in_one_message(tmp_path, capsys):
    for arguments, says in (
        (["-p", "emotion_epoch", "2"], "did you mean emotion_epochs"),
        (
            ["-p", "model", str(tmp_path / "nowhere"), "-p", "run_name", "refused", "-p", "input_dir", str(tmp_path)],
            "conversations.json is missing: run generate_input.py first",
        ),
    ):
        assert train.main(["emotion", str(ROOT / "configs/sample.yaml"), *arguments]) == 2
        said = capsys.readouterr().err
        assert said.startswith("utils.train: ") and says in said and "Traceback" not in said
    shutil.rmtree(ROOT / "results_train/refused", ignore_errors=True)
    shutil.rmtree(ROOT / "results_test/refused", ignore_errors=True)


@pytest.mark.slow
def test_accelerate_starts_the_command_in_two_processes(tiny_model_folder, conversations, tmp_path):
    """configs/accelerate/ddp.yaml, for real but for the cards: it starts two processes on a CPU as well."""
    for part in ("utils", "notebooks", "configs"):
        shutil.copytree(ROOT / part, tmp_path / part)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for split in ("train", "val"):
        write_json(conversations, tmp_path / "input" / split / "conversations.json")
    started = (tmp_path / "configs/accelerate/ddp.yaml").read_text(encoding="utf-8").partition("#   accelerate ")[2]
    command = started.splitlines()[0].split() + [
        "-p",
        "model",
        tiny_model_folder,
        "-p",
        "precision",
        "float32",
        "-p",
        "compile",
        "false",
        "-p",
        "input_dir",
        "input",
        "-p",
        "token_budget",
        "1",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.accelerate_cli", *command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    adapter = tmp_path / "results_train/smollm2-135m-ecf/adapters/emotion"
    assert done.stdout.count(f"emotion adapter: {adapter}") == 2
    assert (adapter / "training.json").is_file() and (adapter / "adapter_model.safetensors").is_file()


# ---- a model that is divided among cards ------------------------------------------------------------------------


def test_a_divided_adapter_is_saved_whole(tiny_model_folder, tmp_path):
    """FSDP2's division itself, here of one process on a CPU."""
    model, _ = load_model(tiny_model_folder, precision="float32")
    model = add_lora(model, r=4, alpha=8, dropout=0.0, targets="all-linear")
    before = {}
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
        if parameter.requires_grad:
            before[name] = parameter.detach().clone()
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        for layer in model.get_base_model().model.layers:
            fully_shard(layer)
        assert any(isinstance(p, DTensor) for p in model.parameters() if p.requires_grad)
        gather_adapter(model)
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        assert trained.keys() == before.keys() and not any(isinstance(p, DTensor) for p in trained.values())
        assert all(torch.equal(trained[name], before[name]) for name in before)
        save_adapter(model, tmp_path / "adapter", tiny_model_folder)
    finally:
        torch.distributed.destroy_process_group()
    assert (tmp_path / "adapter/adapter_model.safetensors").stat().st_size > 1024


def test_four_bit_weights_are_stored_as_numbers_that_fsdp_divides(tiny_model_folder, monkeypatch):
    def storages():
        model, _ = load_model(tiny_model_folder, "nf4", "float32")
        return {p.dtype for p in model.parameters() if type(p).__name__ == "Params4bit"}

    assert storages() == {torch.uint8}
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert hardware.sharded() and storages() == {torch.float32}


# ---- inference in parts -------------------------------------------------------------------------------------------


def test_parts_are_named_by_number_and_count():
    assert part_of("3/8") == (3, 8) and part_of("1/1") == (1, 1)
    for text in ("0/8", "9/8", "3", "3/", "/8", "-1/8", "a/b", "1/0", "1/2/3", ""):
        with pytest.raises(Exception, match="it must be like 3/8"):
            part_of(text)


@pytest.mark.parametrize("count", [1, 2, 7, 9])
def test_parts_in_any_order_become_the_whole_in_the_inputs_order(tmp_path, count):
    everything = [{"conversation_ID": number} for number in range(count)]
    out = tmp_path / "pred.json"
    for number in (2, 3, 1):
        assert not out.exists()
        write_part(everything[number - 1 :: 3], out, number, 3, "job")
    assert read_json(out) == everything and list(tmp_path.iterdir()) == [out]


def test_two_parts_that_end_at_once(tmp_path, monkeypatch):
    out = tmp_path / "pred.json"
    write_part([{"conversation_ID": 1}], out, 1, 2, "job")
    read, other = files.read_json, []

    def read_late(path):
        if not other:  # the other process is faster
            other.append(1)
            assert write_part([{"conversation_ID": 2}], out, 2, 2, "job") == out
        return read(path)

    monkeypatch.setattr(predict, "read_json", read_late)
    assert write_part([{"conversation_ID": 2}], out, 2, 2, "job") == out
    assert read(out) == [{"conversation_ID": 1}, {"conversation_ID": 2}] and list(tmp_path.iterdir()) == [out]
    write_json([], tmp_path / "pred.json.part-1-of-2.json")
    (tmp_path / "pred.json.part-1-of-2.json").write_text("[")
    with pytest.raises(ConversationError, match="part-1-of-2"):  # a damaged part is no whole
        write_part([], out, 2, 2, "job")


def test_parts_of_two_jobs_are_not_mixed(tmp_path):
    out = tmp_path / "pred.json"
    old = write_part([{"conversation_ID": "old"}], out, 1, 2, "old job")
    with pytest.raises(ConversationError, match="part-1-of-2.json is a part of other conversations or by other adapt"):
        write_part([{"conversation_ID": "new"}], out, 2, 2, "new job")
    assert not out.exists() and len(list(tmp_path.iterdir())) == 2, "both parts are still there"
    old.unlink()
    assert write_part([{"conversation_ID": "newer"}], out, 1, 2, "new job") == out
    assert [c["conversation_ID"] for c in read_json(out)] == ["newer", "new"]


def test_a_job_is_its_conversations_and_adapters(tiny_model_folder, conversations, tmp_path):
    adapters = [tmp_path / name for name in "abc"]
    for seed, adapter in enumerate(adapters):
        model = add_lora(load_model(tiny_model_folder, precision="float32")[0], 4, 8, 0.0, "all-linear")
        save_adapter(randomize(model, seed), adapter, tiny_model_folder)
        write_json({"parameters": {"model": tiny_model_folder}}, adapter / "training.json")
    job = predict.job_of(conversations, adapters[:2])
    assert job == predict.job_of([without_labels(c) for c in conversations], adapters[:2])
    assert len({job, predict.job_of(conversations[1:], adapters[:2]), predict.job_of(conversations, adapters[1:])}) == 3


def test_the_newest_run_is_the_one_that_ended_last_whatever_its_files_say(tmp_path):
    runs = ("mine", "2026-11-01T10:00:00+00:00"), ("older", "2026-10-01T10:00:00+00:00"), ("cloned", None)
    for number, (run, ended) in enumerate(runs):
        for task in ("emotion", "cause"):
            path = tmp_path / "results_train" / run / "adapters" / task / "training.json"
            write_json({"ended": ended} if ended else {}, path)
            os.utime(path, (10**9 + number, 10**9 + number))
    assert adapter.find_adapters(tmp_path)[0].parts[-3] == "mine"


@pytest.mark.slow
def test_a_part_that_is_killed_is_done_again_and_the_others_stay(tiny_model_folder, sample, tmp_path):
    """Two processes with a part each; one is killed by kill -9 in the middle, and started again."""
    for seed, task in enumerate(("emotion", "cause")):
        model = add_lora(load_model(tiny_model_folder, precision="float32")[0], 4, 8, 0.0, "all-linear")
        save_adapter(randomize(model, seed), tmp_path / task, tiny_model_folder)
        seen = dict.fromkeys(("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral"), 1)
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

    subprocess.run(command("whole.json"), cwd=ROOT, check=True, capture_output=True)
    lost = subprocess.Popen(
        command("pred.json", "--part", "1/2"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    journal = tmp_path / "pred.json.part-1-of-2.unfinished.jsonl"
    while not journal.is_file() or len(journal.read_text().splitlines()) < 3:
        assert lost.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    lost.send_signal(signal.SIGKILL)
    lost.wait()
    subprocess.run(command("pred.json", "--part", "2/2"), cwd=ROOT, check=True, capture_output=True)
    done = journal.read_text()
    assert done and not (tmp_path / "pred.json").exists()
    subprocess.run(command("pred.json", "--part", "1/2"), cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "pred.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert not list(tmp_path.glob("pred.json.*"))
