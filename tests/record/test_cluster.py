"""Parts of a file, labelled by the workers of a Ray cluster: the same bytes whoever does them, and nothing lost with a
worker or a machine. Ray is real here, its machines are processes.

python -m pytest tests/record/test_cluster.py
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from helpers import called, with_adapter

from utils import predict
from utils.config import Config
from utils.data.given import each_given
from utils.data.labels import ECF
from utils.models.adapters import save_adapter
from utils.record.cluster import label_on_cluster, label_part, parts_of
from utils.system.errors import ConversationError, EngineError, FileError
from utils.system.files import read_object, write_json


@pytest.fixture
def many(conversations, tmp_path):
    """A file of 12 conversations, a line each."""
    path = tmp_path / "many.jsonl"
    lines = [{**conversations[k % 3], "conversation_ID": f"{k}"} for k in range(12)]
    for one in lines:
        one.pop("emotion-cause_pairs", None)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def adapters(tiny_model_folder, tmp_path_factory):
    """An emotion and a cause adapter of a run that was not trained."""
    folder = tmp_path_factory.mktemp("run") / "adapters"
    parameters = Config(model=tiny_model_folder, precision="float32", lora_r=4).as_dict()
    for number, task in enumerate(("emotion", "cause")):
        save_adapter(with_adapter(tiny_model_folder, seed=number), folder / task, tiny_model_folder)
        record = {"task": task, "parameters": parameters, "emotions": {label: 9 for label in ECF}}
        write_json(record, folder / task / "training.json")
    return folder / "emotion", folder / "cause"


def wanted(many, adapters, size):
    """{name: bytes} of the parts, by one process without Ray."""
    found = {}
    for number, part in parts_of(each_given(many), size):
        labelled = label_part(part, adapters, None, (), False)["labelled"]
        lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in labelled)
        found[f"part-{number:06d}.jsonl"] = lines.encode()
    return found


def parts_in(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*"))}


def test_a_file_is_read_bit_by_bit_and_cut_into_parts(many, tmp_path):
    whole = [*each_given(many)]
    assert [one["conversation_ID"] for one in whole] == [f"{k}" for k in range(12)]
    assert [(k, len(part)) for k, part in parts_of(iter(whole), 5)] == [(0, 5), (1, 5), (2, 2)]
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(whole), tmp_path / "many.parquet")
    assert [*each_given(tmp_path / "many.parquet")] == whole
    lines = many.read_text().splitlines()
    (tmp_path / "twice.jsonl").write_text("\n".join([*lines, lines[3]]))
    with pytest.raises(ConversationError, match=r"twice.jsonl, line 13: conversation_ID '3' was there before"):
        list(each_given(tmp_path / "twice.jsonl"))
    (tmp_path / "bad.jsonl").write_text("\n".join([*lines, "{"]))
    with pytest.raises(FileError, match=r"bad.jsonl, line 13"):
        list(each_given(tmp_path / "bad.jsonl"))
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(FileError, match="cannot be read as Parquet"):
        list(each_given(tmp_path / "bad.parquet"))


def test_what_is_too_long_is_refused_by_name_or_left_out(many, adapters):
    part = [*each_given(many)]
    refused = label_part(part, adapters, 120, (), False)["refused"]
    assert "conversation 1 " in refused or "conversation 1:" in refused or "'1'" in refused, refused
    found = label_part(part, adapters, 120, (), True)
    assert found["skipped"] and len(found["labelled"]) == 12 - len(found["skipped"])


@pytest.mark.parametrize("task", ["opinion", "instruction"])
def test_a_cluster_labels_conversations_alone(many, tmp_path, capsys, task):
    with pytest.raises(SystemExit):
        predict.main(["--task", task, "--engine", "ray", str(many), "--out", str(tmp_path / "out")])
    assert "--engine ray labels conversations" in capsys.readouterr().err


def test_without_ray_it_is_said(many, adapters, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(EngineError, match="the package ray is missing: pip install ray"):
        label_on_cluster(many, tmp_path / "out", adapters)


@pytest.mark.timeout(300)
def test_two_workers_of_which_one_is_killed_write_what_one_process_writes(many, adapters, tmp_path):
    pytest.importorskip("ray")
    out, killed = tmp_path / "out", []

    def kill():
        """A worker, once the first part is written."""
        end = time.monotonic() + 120
        while not killed and time.monotonic() < end:
            for process in Path("/proc").glob("[0-9]*") if parts_in(out) else ():
                if process.joinpath("cmdline").read_bytes().startswith(b"ray::label_part"):
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(process.name)
                    break
            time.sleep(0.01)

    (thread := threading.Thread(target=kill)).start()
    command = ["--engine", "ray", many, "--out", out, "--size", 1, "--workers", 2]
    named = ["--emotion-adapter", adapters[0], "--cause-adapter", adapters[1]]
    status, said = called(predict.main, *command, *named)
    thread.join()
    assert status == 0, said
    assert killed and parts_in(out) == wanted(many, adapters, 1)
    record = read_object(out / "record.json")
    assert record["conversations"] == record["parts"] == 12
    assert sum(one["conversations"] for one in record["workers"].values()) == 12, "nothing twice"
    (out / "part-000003.jsonl").unlink()  # as if it had been stopped before
    assert called(predict.main, *command, *named)[0] == 0
    again = read_object(out / "record.json")
    assert again["conversations"] == 12 and sum(one["parts"] for one in again["workers"].values()) == 1
    assert parts_in(out) == wanted(many, adapters, 1)
    status, said = called(predict.main, *command, *named, "-p", "cause_threshold", 0.3)
    assert status == 2 and "holds parts of other conversations, adapters or parameters" in said


def machine(*options):
    """A process that is a machine of a Ray cluster, until it is `lost`."""
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", *options]
    return subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def lost(process):
    """Ends a machine with all its processes, as a cut cable does."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)


@pytest.mark.slow
def test_a_machine_that_is_added_and_one_that_is_lost(many, adapters, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # a token in the home folder is not for this cluster
    with socket.socket() as free:
        free.bind(("", 0))
        address = f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"
    out, seen = tmp_path / "out", []
    machines = [machine("--head", f"--port={address.split(':')[1]}", "--include-dashboard=false")]

    def change():
        while len(parts_in(out)) < 1:
            time.sleep(0.05)
        machines.append(machine(f"--address={address}"))
        while len(parts_in(out)) < 30:
            time.sleep(0.05)
        lost(machines[1])
        seen.append(len(parts_in(out)))

    lines = many.read_text().splitlines()
    more = [
        json.dumps({**json.loads(one), "conversation_ID": f"{k}-{n}"}) for k in range(5) for n, one in enumerate(lines)
    ]
    many.write_text("\n".join(more))
    try:
        for _ in range(60):
            with contextlib.suppress(OSError), socket.create_connection(address.split(":"), timeout=1):
                break
            time.sleep(1)
        (thread := threading.Thread(target=change, daemon=True)).start()
        record = label_on_cluster(many, out, adapters, size=1, address=address, progress=False)
        thread.join(timeout=60)
    finally:
        for one in machines:
            if one.poll() is None:
                lost(one)
    assert seen and seen[0] < 60 and record["conversations"] == 60 and parts_in(out) == wanted(many, adapters, 1)
