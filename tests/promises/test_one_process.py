"""A run's folder has one process at a time, or the processes of one launch.

python -m pytest tests/promises/test_one_process.py
"""

import os
import re
import subprocess
import sys

import pytest
from helpers import ROOT, called, files

from utils import chain
from utils.config import Config
from utils.record import lock
from utils.record.lock import check_free, hold, release
from utils.record.run import Run
from utils.system import places
from utils.system.errors import RunError
from utils.system.files import write_json

NOTEBOOK = "1_emotion_recognition_training"
# Holds the folder argv[1] until its input ends.
HOLDER = """
import sys
from pathlib import Path
from utils.record.lock import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
# Opens a run with the seed argv[2] below argv[1]; what it checks waits for a line of its input.
OPENER = """
import sys
from pathlib import Path
from utils.config import Config
from utils.record import run
from utils.system.errors import RunError
check = run.refuse_another
def waiting(folder, *more):
    check(folder, *more)
    if folder.parent.name == "results_train":
        print("checked", flush=True)
        sys.stdin.readline()
run.refuse_another = waiting
try:
    run.Run(Config(run_name="one", seed=int(sys.argv[2])), "n", ["seed"], root=Path(sys.argv[1]))
except RunError as error:
    print("refused", error, flush=True)
else:
    print("opened", flush=True)
"""


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(lock, "_held", {})


@pytest.fixture
def process():
    """Starts `python -c code arguments`, whose input and output are pipes; ends what is left of them."""
    started = []

    def start(code, *arguments):
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", code, *map(str, arguments)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.communicate(timeout=60)


def test_of_two_that_open_a_run_at_once_with_other_parameters_one_is_refused(tmp_path, process):
    """Both would find nothing recorded, if they checked before they hold the folder."""
    (tmp_path / "input").mkdir()
    first = process(OPENER, tmp_path, 1)
    assert first.stdout.readline() == "checked\n"
    second = process(OPENER, tmp_path, 2)
    said = second.stdout.readline()
    assert said.startswith("refused another process works in"), said
    first.stdin.write("\n")
    first.stdin.flush()
    assert first.stdout.readline() == "opened\n"
    first.wait(timeout=60)
    again = process(OPENER, tmp_path, 2)  # the first has done its work by now
    assert (
        again.stdout.readline().startswith("refused")
        and "seed" in files(tmp_path / "results_train/one")["config.json"].decode()
    )


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"RANK": "1"},
        {"RANK": "1", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"},
        {"RANK": "1", "WORLD_SIZE": "2"},
        {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "", "MASTER_PORT": "1"},
        {"RANK": "one", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"},
        {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"},
    ],
)
def test_only_the_later_processes_of_one_launch_go_in_beside_the_first(tmp_path, process, monkeypatch, environment):
    assert process(HOLDER, tmp_path / "run").stdout.readline() == "held\n"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match="another process works in"):
        hold(tmp_path / "run")
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.setenv(name, "2" if name == "WORLD_SIZE" else "1")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    assert hold(tmp_path / "run") is False


def test_a_run_that_is_refused_is_free_for_others_and_leaves_nothing(tmp_path, process):
    (tmp_path / "input").mkdir()
    Run(Config(run_name="one", seed=1), "n", ["seed"], root=tmp_path)
    release(tmp_path / "results_train" / "one")
    before = files(tmp_path)
    with pytest.raises(RunError, match="already holds another run"):
        Run(Config(run_name="one", seed=2), "n", ["seed"], root=tmp_path)
    assert files(tmp_path) == before
    assert process(HOLDER, tmp_path / "results_train" / "one").stdout.readline() == "held\n"
    (tmp_path / "results_test" / "two").mkdir(parents=True)
    write_json({"n": {"parameters": {"seed": 1}}}, tmp_path / "results_test" / "two" / "config.json")
    with pytest.raises(RunError, match="already holds another run"):
        Run(Config(run_name="two", seed=2), "n", ["seed"], root=tmp_path)
    assert not (tmp_path / "results_train" / "two").exists()


def test_a_run_that_was_open_already_stays_held_after_a_refusal(tmp_path, process):
    (tmp_path / "input").mkdir()
    Run(Config(run_name="one", seed=1), "n", ["seed"], root=tmp_path)
    with pytest.raises(RunError):
        Run(Config(run_name="one", seed=2), "n", ["seed"], root=tmp_path)
    check = (
        "import sys; from pathlib import Path; from utils.record.lock import check_free; check_free(Path(sys.argv[1]))"
    )
    path = tmp_path / "results_train" / "one"
    done = subprocess.run([sys.executable, "-c", check, path], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "another process works in" in done.stderr


def test_asking_whether_a_folder_is_free_writes_nothing(tmp_path):
    check_free(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
    hold(tmp_path / "one")
    check_free(tmp_path / "one")  # one's own
    release(tmp_path / "one")
    check_free(tmp_path / "one")
    assert hold(tmp_path / "one") is True


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """The chain in tmp_path, whose notebooks only say that they ran."""
    ran = []
    monkeypatch.setattr(places, "ROOT", tmp_path)
    monkeypatch.setattr(places, "find", lambda: places.Place("here", tmp_path))
    monkeypatch.setattr(chain, "check_names", lambda *anything: None)
    monkeypatch.setattr(chain, "check_work", lambda *anything: None)
    monkeypatch.setattr(chain, "run_notebook", lambda notebook, *anything: ran.append(notebook))
    monkeypatch.setattr(chain, "results_table", lambda folder: "")
    return ran


@pytest.mark.parametrize("held", ["", "notebooks"])
def test_a_chain_on_a_run_where_another_process_works_writes_nothing(tmp_path, process, notebooks, held):
    """A notebook, or another chain between two of its notebooks."""
    folder = tmp_path / "results_train" / "sample"
    folder.mkdir(parents=True)
    kept = folder / "notebooks" / f"{NOTEBOOK}.failed.ipynb"
    kept.parent.mkdir()
    kept.write_text("the other's")
    other = process(HOLDER, folder / held)
    assert other.stdout.readline() == "held\n"
    before = files(folder)
    code, said = called(chain.main, ROOT / "configs" / "sample.yaml")
    assert code == 2 and re.match("utils.chain: another process works in", said) and len(said.splitlines()) == 1
    assert notebooks == [] and files(folder) == before
    other.communicate(timeout=120)
    assert called(chain.main, ROOT / "configs" / "sample.yaml") == (0, "")
    assert len(notebooks) == 4
    check_free(folder / "notebooks")
    assert not lock._held, "given back at the end"


def test_a_chain_stops_before_a_notebook_whose_run_was_opened_elsewhere(tmp_path, process, notebooks, monkeypatch):
    folder, others = tmp_path / "results_train" / "sample", []

    def run_notebook(notebook, *anything):
        notebooks.append(notebook)
        others.append(process(HOLDER, folder))
        assert others[-1].stdout.readline() == "held\n"

    monkeypatch.setattr(chain, "run_notebook", run_notebook)
    code, said = called(chain.main, ROOT / "configs" / "sample.yaml")
    assert code == 2 and "another process works in" in said and notebooks == [NOTEBOOK]


def test_a_disk_that_knows_no_locks_stops_nobody(tmp_path, monkeypatch):
    def acquire(*anything, **more):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(lock.FileLock, "acquire", acquire)
    hold(tmp_path / "one")
    check_free(tmp_path / "one")
    release(tmp_path / "one")
    assert os.listdir(tmp_path) == ["one"]
