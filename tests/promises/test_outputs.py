"""What is written is there whole or not at all, and never in the place of something else: exported models, files,
and what goes to standard output.

python -m pytest tests/promises/test_outputs.py
"""

import os
import re
import stat
import subprocess
import sys

import pytest
from helpers import ROOT, called, full_disk, labelled_conversation, with_lora

import generate_input
from utils import export, predict, runs
from utils.config import Config
from utils.models.adapters import save_adapter
from utils.models.load import load_model
from utils.system.errors import FileError, RunError
from utils.system.files import check_output, write_json, write_texts

resource = pytest.importorskip("resource", reason="limits on files need Unix")


# ---- exported models ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapter(tiny_model_folder, tmp_path_factory):
    """The emotion adapter of a run."""
    run = tmp_path_factory.mktemp("run") / "results_train" / "mine"
    folder = run / "adapters" / "emotion"
    save_adapter(with_lora(load_model(tiny_model_folder, precision="float32")[0]), folder, tiny_model_folder)
    parameters = Config(model=tiny_model_folder, quantization="none", precision="float32").as_dict()
    write_json({"parameters": parameters, "revision": "abc", "emotions": {}, "history": []}, folder / "training.json")
    record = {"parameters": parameters, "input": {}, "revision": "abc", "versions": {}}
    write_json({"1_emotion_recognition_training": record}, run / "config.json")
    return folder


@pytest.fixture(scope="module")
def merged(adapter):
    return export.merge(adapter)


# The tokenizer, or the weights, meet the end of the disk.
@pytest.mark.parametrize("room", [1_000, 100_000])
@pytest.mark.parametrize("form", export.FORMATS)
def test_an_export_on_a_full_disk_is_one_message(adapter, merged, tmp_path, monkeypatch, form, room):
    monkeypatch.setattr(export, "merge", lambda _: merged)
    out = tmp_path / "out"
    with full_disk(room):
        code, said = called(export.main, adapter, "--out", out, "--to", form)
    *bars, last = said.splitlines()
    assert code == 2 and all(not bar or "Writing model shards" in bar for bar in bars), said
    assert last.startswith(f"utils.export: {out} cannot be written (") and "Make room there" in last
    assert list(tmp_path.iterdir()) == []
    assert called(export.main, adapter, "--out", out, "--to", form)[0] == 0


# Writes the folder argv[1] in two steps; between them it says that it has begun, and waits for the file argv[3].
WRITER = """
import sys, time
from pathlib import Path
from utils.system.errors import FileError
from utils.system.files import new_folder
folder, me, awaited = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
try:
    with new_folder(folder) as partial:
        (partial / "first").write_text(me)
        print("begun", flush=True)
        while not awaited.exists():
            time.sleep(0.01)
        (partial / "second").write_text(me)
except FileError as error:
    sys.exit(str(error))
"""


def test_of_two_that_write_one_folder_one_wins_whole_and_the_other_is_told(tmp_path):
    """The second begins while the first writes, and ends after it."""
    out, go_on = tmp_path / "place" / "out", [tmp_path / "one", tmp_path / "two"]
    out.parent.mkdir()
    both = []
    for name, awaited in zip("ab", go_on):
        command = [sys.executable, "-c", WRITER, str(out), name, str(awaited)]
        both.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        assert both[-1].stdout.readline() == "begun\n"
    said = []
    for process, awaited in zip(both, go_on):
        awaited.touch()
        said.append(process.communicate(timeout=60)[1])
    assert [process.returncode for process in both] == [0, 1], said
    assert {path.name: path.read_text() for path in out.iterdir()} == {"first": "a", "second": "a"}
    assert list(out.parent.iterdir()) == [out]
    assert said == ["", f"{out} is there already: remove it, or give another name\n"]


def test_an_adapter_that_is_of_no_run_is_refused_before_it_is_merged(adapter, tmp_path, monkeypatch):
    def merge(_):
        raise AssertionError("the work has begun")

    monkeypatch.setattr(export, "merge", merge)
    alone = tmp_path / "alone"
    alone.mkdir()
    for path in adapter.iterdir():
        (alone / path.name).write_bytes(path.read_bytes())
    with pytest.raises(RunError, match=re.escape(str(alone))):
        export.export(alone, tmp_path / "out")
    (tmp_path / "file").write_text("a file")
    for out, message in ((tmp_path, "is there already"), (tmp_path / "file" / "out", "takes no folder")):
        with pytest.raises(FileError, match=message):
            export.export(adapter, out)
    assert {path.name for path in tmp_path.iterdir()} == {"alone", "file"}


# ---- files --------------------------------------------------------------------------------------------------------


def irregular(path, kind):
    """Makes a pipe or a device, such as /dev/null is."""
    if kind == "pipe":
        os.mkfifo(path)
        return
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except OSError:
        pytest.skip("only root makes devices")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_regular_file_is_never_replaced(tmp_path, kind):
    irregular(tmp_path / "out", kind)
    (tmp_path / "link").symlink_to(tmp_path / "out")
    before = os.lstat(tmp_path / "out")
    write_json([labelled_conversation()], tmp_path / "given.json")
    for name in ("out", "link"):
        for refuse in (check_output, lambda path: write_texts({path: "text"})):
            with pytest.raises(FileError, match="no regular file, and would be replaced by one. Give another name"):
                refuse(tmp_path / name)
        code, said = called(predict.main, tmp_path / "given.json", "--out", tmp_path / name)
        assert code == 2 and len(said.splitlines()) == 1 and "no regular file" in said
    now = os.lstat(tmp_path / "out")
    assert (now.st_mode, now.st_ino) == (before.st_mode, before.st_ino)
    assert {path.name for path in tmp_path.iterdir()} == {"out", "link", "given.json"}


@pytest.fixture
def given(tmp_path, monkeypatch):
    """A file of conversations in a folder of its own; nothing may be labelled."""

    def labelled(*arguments):
        raise AssertionError("the work has begun")

    monkeypatch.setattr("utils.record.predictor.Predictor", labelled)
    path = tmp_path / "data" / "given.json"
    write_json([labelled_conversation()], path)
    return path


def test_an_output_that_cannot_be_is_refused_before_the_work(given, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "link.json").symlink_to(given)
    (tmp_path / "same.json").hardlink_to(given)
    before = given.read_bytes()
    for source, out, message in (
        (given, tmp_path / "taken", "a folder stands where a file is to be written"),
        (given, given, "the output would replace the input"),
        (given.parent, given, "the output would replace the input"),
        (given, tmp_path / "link.json", "the output would replace the input"),
        (given, tmp_path / "same.json", "the output would replace the input"),
        (given, given / "pred.json", "given.json"),
    ):
        code, said = called(predict.main, source, "--out", out)
        assert code == 2 and len(said.splitlines()) == 1 and message in said
    assert given.read_bytes() == before
    code, said = called(runs.main, "compare", "a", "b", "--out", tmp_path / "taken")
    assert code == 2 and "a folder stands" in said


def test_generate_input_never_replaces_what_it_reads(tmp_path):
    train = tmp_path / "input" / "train" / "conversations.json"
    others = tmp_path / "input" / "unlabelled" / "conversations.json"
    write_json([labelled_conversation(i) for i in range(1, 11)], train)
    write_json([labelled_conversation(11)], others)
    write_json([labelled_conversation(i) for i in range(1, 11)], tmp_path / "data.json")
    before = {path: path.read_bytes() for path in (train, others)}
    for arguments in (
        ("--data", train),
        ("--data", train.parent),
        ("--data", tmp_path / "data.json", "--unlabelled", others),
    ):
        code, said = called(generate_input.main, *arguments, "--out", tmp_path / "input")
        assert code == 2 and "the output would replace the input" in said and len(said.splitlines()) == 1
        assert {path: path.read_bytes() for path in (train, others)} == before


# ---- standard output ----------------------------------------------------------------------------------------------

# A command that prints a line, or 100,000 of them; one that fails; and one whose file meets a full disk.
PRINTS = """
import sys
from utils.system.command import command
from utils.system.errors import UserError
@command("utils.some")
def main(argv=None):
    what = sys.argv[1]
    if what == "help":
        import argparse
        argparse.ArgumentParser().parse_args(["--help"])
    for i in range(100_000 if what == "much" else 1):
        print("a line")
    if what == "fails":
        raise UserError("a problem")
    return 0
sys.exit(main())
"""


def printed(what, unbuffered, **stdout):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment |= {"PYTHONUNBUFFERED": "1"} if unbuffered else {}
    return subprocess.run(
        [sys.executable, "-c", PRINTS, what],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        **stdout,
    )


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
def test_a_full_disk_under_standard_output_is_one_line(unbuffered):
    for what in ("little", "much"):
        with open("/dev/full", "wb") as full:
            done = printed(what, unbuffered, stdout=full)
        assert done.returncode == 1, done.stderr
        wanted = "the output cannot be written (No space left on device). Make room, or write it elsewhere"
        assert done.stderr == f"utils.some: {wanted}\n"


@pytest.mark.parametrize("unbuffered", [False, True])
def test_a_pipe_that_nobody_reads_is_no_error(unbuffered):
    for what, status, said in (("little", 141, ""), ("much", 141, ""), ("help", 0, "")):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as pipe:
            done = printed(what, unbuffered, stdout=pipe)
        assert (done.returncode, done.stderr) == (status, said), what


def test_a_commands_own_failure_is_said_also_where_its_output_is_lost():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = printed("fails", False, stdout=pipe)
    assert (done.returncode, done.stderr) == (2, "utils.some: a problem\n")


def test_a_files_full_disk_is_not_taken_for_the_outputs(tmp_path, capsys):
    from utils.system.command import command

    @command("utils.some")
    def main(argv):
        with full_disk(10):
            write_texts({tmp_path / "out.json": "text" * 10})

    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("utils.some: [Errno 27]") and "out.json" in captured.err and captured.out == ""
