"""The files for accelerate, SLURM and studies: sound, and what they start is there.

python -m pytest tests/repository/test_configs.py
"""

import json
import os
import re
import shutil
import subprocess

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from helpers import ROOT, shipped

from utils.config import Config, load_config
from utils.data.topics import Topic
from utils.record.stages import TRAINED_BY
from utils.record.study_file import read_study
from utils.report.study import study_table

STUDIES = sorted((ROOT / "configs/studies").glob("*.yaml"))
CONFIGS = sorted((ROOT / "configs/accelerate").glob("*.yaml"))
SCRIPTS = sorted((ROOT / "configs/slurm").glob("*.sbatch"))


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
    assert task in TRAINED_BY and (ROOT / parameters).is_file()


def test_there_are_these_configurations():
    assert [file.stem for file in CONFIGS] == ["ddp", "deepspeed-zero2", "fsdp2-qlora"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_slurm_scripts_are_sound_and_start_what_is_there(script):
    subprocess.run(["bash", "-n", script], check=True, timeout=60)
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", script], capture_output=True, text=True, timeout=60)
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
        timeout=60,
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


@pytest.mark.parametrize("file", sorted((ROOT / "configs/opinions").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_parameters_of_a_topic_name_it_and_say_how_they_are_used(file):
    config, text = Config.of(load_config(file)), file.read_text(encoding="utf-8")
    assert config.topic == config.run_name == file.stem == Topic.read(file.stem).name
    assert config.input_dir == f"input/{file.stem}" and f"--out {config.input_dir}" in text
    assert f"--topic {file.stem} --task-type {config.task_type}" in text
    assert f"python -m utils.chain configs/opinions/{file.name}" in text


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_a_study_can_be_read_and_says_how_it_is_run(file, monkeypatch):
    monkeypatch.chdir(ROOT)
    study = read_study(file)
    assert study.rows and f"python -m utils.study configs/studies/{file.name}" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", shipped("results_train/*/study.json"), ids=lambda file: file.parent.name)
def test_the_table_of_a_study_is_made_from_its_record(file):
    record = json.loads(file.read_text(encoding="utf-8"))
    assert file.with_name("table.md").read_text(encoding="utf-8") == study_table(record)
    assert "+" not in record["revision"] and file.with_name("plot.png").is_file()
