"""The files of an input belong together: all of one split, or the folder is refused; and what is held out of training
but stands in it is never silent.

python -m pytest tests/promises/test_sets_of_files.py
"""

import os
import subprocess
import sys
import time

import pytest
from helpers import ROOT, called, files, labelled_conversation

import generate_input
from utils.data.sources import write_splits
from utils.record.inputs import tell_overlap
from utils.record.predictions import gold_of
from utils.record.provenance import record_of
from utils.record.run import open_run
from utils.system.errors import FileError
from utils.system.files import INCOMPLETE, check_set, read_json, write_json, write_set, write_texts

AGAIN = "Run generate_input.py again"

# Runs generate_input.py, which is killed as `kill -9` does it at its renaming number N.
KILLED = """
import os, signal, sys
import generate_input
left, replace = [int(sys.argv[1])], os.replace
def counted(*paths):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)
os.replace = counted
sys.exit(generate_input.main(sys.argv[2:]))
"""


def generated(out, seed):
    code, said = called(generate_input.main, "--seed", seed, "--out", out)
    assert (code, said) == (0, "")
    return files(out)


def ids(out, split):
    return {c["conversation_ID"] for c in read_json(out / split / "conversations.json")}


@pytest.mark.parametrize("rename", [1, 2, 3, 4])
def test_a_kill_between_two_renames_marks_the_folder_and_the_same_command_mends_it(tmp_path, monkeypatch, rename):
    monkeypatch.chdir(ROOT)
    wanted, mine = generated(tmp_path / "wanted", 2), tmp_path / "root" / "input"
    before = generated(mine, 1)
    command = [sys.executable, "-c", KILLED, str(rename), "--seed", "2", "--out", str(mine)]
    done = subprocess.run(command, cwd=ROOT, timeout=120)
    assert done.returncode == -9
    if rename > 1:
        assert ids(mine, "train") & ids(mine, "test") or rename == 4, "what the mark is for"
    else:
        assert {name: there for name, there in files(mine).items() if name in before} == before
    for refused in (
        lambda: check_set(mine),
        lambda: open_run({"run_name": "one"}, "1_emotion_recognition_training", mine.parent),
        lambda: record_of({}, mine),  # an encoder's, an ensemble's
    ):
        with pytest.raises(FileError, match=f"{mine}: .*interrupted.*{AGAIN}"):
            refused()
    assert not (mine.parent / "results_train" / "one").exists(), "a refused run leaves no folder"
    assert generated(mine, 2).items() >= wanted.items() and not (mine / INCOMPLETE).exists()
    open_run({"run_name": "one"}, "1_emotion_recognition_training", mine.parent)


def test_scores_are_not_compared_with_a_mixed_input(tmp_path, conversations):
    for split in ("train", "test"):
        write_json(conversations, tmp_path / "input" / split / "conversations.json")
    record = record_of({"input_dir": str(tmp_path / "input")}, tmp_path / "input")
    write_json({"4_cause_inference": record}, tmp_path / "run" / "config.json")
    write_json({}, tmp_path / "run" / "metrics.json")
    assert gold_of(tmp_path / "run", tmp_path) == conversations
    (tmp_path / "input" / INCOMPLETE).touch()
    with pytest.raises(FileError, match=AGAIN):
        gold_of(tmp_path / "run", tmp_path)


def busy(monkeypatch, name):
    """The file of this name cannot be replaced, as one that Docker has mounted."""
    replace = os.replace

    def refuse(source, target):
        if str(target).endswith(name):
            raise OSError(16, "Device or resource busy", str(source), None, str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)


@pytest.mark.parametrize(("name", "replaced"), [("train/conversations.json", 0), ("val/conversations.json", 1)])
def test_a_file_that_cannot_be_replaced_is_named_and_what_is_mixed_is_marked(tmp_path, monkeypatch, name, replaced):
    monkeypatch.chdir(ROOT)
    before = generated(tmp_path / "input", 1)
    with monkeypatch.context() as patch:
        busy(patch, name)
        code, said = called(generate_input.main, "--seed", "2", "--out", tmp_path / "input")
    assert code == 2 and len(said.splitlines()) == 1
    assert said.strip() == f"generate_input.py: [Errno 16] Device or resource busy: '{tmp_path / 'input' / name}'"
    now = files(tmp_path / "input")
    assert [path for path in before if now[path] != before[path]] == ["train/conversations.json"] * replaced
    assert now.keys() - before.keys() == ({INCOMPLETE} if replaced else set())
    generated(tmp_path / "input", 2)
    check_set(tmp_path / "input")


def test_a_mark_stays_until_a_set_was_written_whole(tmp_path, monkeypatch):
    write_set(tmp_path, {"a": "1", "b": "1"})
    (tmp_path / INCOMPLETE).touch()  # of an interruption
    with monkeypatch.context() as patch, pytest.raises(OSError, match="busy"):
        busy(patch, "/a")
        write_set(tmp_path, {"a": "2", "b": "2"})
    with pytest.raises(FileError):
        check_set(tmp_path)
    write_set(tmp_path, {"a": "2", "b": "2"})
    assert files(tmp_path) == {"a": b"2", "b": b"2"}


def test_leftovers_of_a_kill_are_removed_and_what_another_process_writes_is_not(tmp_path):
    old, young = (tmp_path / f".{letter * 32}.tmp" for letter in "af")
    others = [tmp_path / name for name in (".mine.tmp", "a.tmp", f"{'a' * 32}.tmp")]
    for path in (old, young, *others):
        path.write_text("half")
    for path in (old, *others):
        os.utime(path, (time.time() - 7200,) * 2)
    write_texts({tmp_path / "a.json": "[]"})
    assert not old.exists() and all(path.exists() for path in (young, *others))


# ---- held out, and in train ---------------------------------------------------------------------------------------


def other(number):
    one = labelled_conversation(number)
    return {**one, "conversation": [{**u, "text": f"{number}: {u['text']}"} for u in one["conversation"]]}


@pytest.mark.parametrize(
    ("held_out", "note"),
    [
        ([other(3)], ""),
        ([other(3), {**other(4), "conversation_ID": 1}], "1 of 2 test conversations"),
        ([{**other(4), "conversation_ID": "1"}], "1 of 1 test conversations"),
        ([{**other(1), "conversation_ID": 9}, other(2)], "2 of 2 test conversations"),
    ],
)
def test_what_is_held_out_and_in_train_is_told_when_a_run_is_opened(tmp_path, capsys, held_out, note):
    for split, some in {"train": [other(1), other(2)], "val": [other(5)], "test": held_out}.items():
        write_json(some, tmp_path / "input" / split / "conversations.json")
    for notebook in ("1_emotion_recognition_training", "2_emotion_inference"):
        open_run({"run_name": "one"}, notebook, tmp_path)
        said = capsys.readouterr().out
        expected = (
            f"note: {note} are in train too, by their id or word for word, so scores on them flatter: leave them out"
        )
        assert said == (f"{expected}\n" if note else "")


def test_an_input_without_held_out_conversations_has_no_overlap(tmp_path, capsys):
    tell_overlap(tmp_path)
    write_json([other(1)], tmp_path / "train" / "conversations.json")
    write_json([], tmp_path / "test" / "conversations.json")
    tell_overlap(tmp_path)
    assert capsys.readouterr().out == ""


# ---- data that come split -----------------------------------------------------------------------------------------


def test_skip_invalid_keeps_the_sound_conversations_of_split_data(tmp_path):
    folder = tmp_path / "data" / "utterance"
    for name, numbers in (("train", (1, 2)), ("dev", (2, 3)), ("test", (4, 1, 5))):
        write_json([other(number) for number in numbers], folder / f"{name}.json")
    code, said = called(generate_input.main, "--data", tmp_path / "data", "--out", tmp_path / "out")
    assert code == 2 and "dev.json, conversation 2, field 'conversation_ID': train.json has" in said
    assert not (tmp_path / "out").exists()
    written = write_splits(tmp_path / "data", tmp_path / "out", skip_invalid=True)
    left_out, skipped = written.left_out, written.skipped
    kept = {split: ids(tmp_path / "out", split) for split in ("train", "val", "test")}
    assert kept == {"train": {1, 2}, "val": {3}, "test": {4, 5}} and left_out == 0
    assert [message.partition(", field")[0].split("/")[-1] for message in skipped] == [
        "dev.json, conversation 2",
        "test.json, conversation 1",
    ]
