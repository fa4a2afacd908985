"""generate_input.py writes the splits that were asked for, and nothing at all where the input is bad.

python -m pytest tests/doors/test_generate_input.py
"""

import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
from helpers import ROOT, copy_code

import generate_input
from utils.data.conversations import load_conversations, without_labels
from utils.data.label_sets import SETS
from utils.data.labels import ECF as LABELS
from utils.data.labels import labels_in
from utils.data.splits import describe
from utils.system import places
from utils.system.files import read_json, write_json

ECF = ROOT.parent / "shared" / "ecf"
needs_ecf = pytest.mark.skipif(not ECF.is_dir(), reason="ECF is not part of the repository")


def talks(*numbers, labelled=True):
    """Small conversations with a field that nothing knows."""
    lines = [
        {"utterance_ID": i, "text": f"Line {i}", "speaker": "Bo", "emotion": emotion, "video_source": f"S{i}"}
        for i, emotion in ((1, "joy"), (2, "neutral"))
    ]
    full = [
        {"conversation_ID": n, "note": "kept", "conversation": lines, "emotion-cause_pairs": [["1_joy", "1"]]}
        for n in numbers
    ]
    return full if labelled else [without_labels(talk) for talk in full]


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder laid out as data/sample is, which is also where the command runs, and where runs would be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "ROOT", tmp_path)
    folder = tmp_path / "data" / "sample"
    write_json(talks(*range(1, 21)), folder / "conversations.json")
    write_json(talks(30, 31, labelled=False), folder / "unlabelled.json")
    return folder


def run(*arguments):
    return generate_input.main([str(argument) for argument in arguments])


def written(out="input"):
    """{split: its ids}, after checking what was written."""
    result = {}
    for path in sorted(Path(out).glob("*/conversations.json")):
        labelled = path.parent.name != "unlabelled"
        read = load_conversations(path, labelled=labelled, allow_empty=True)
        for talk in read:  # fields that nothing knows survive
            assert talk["note"] == "kept" and talk["conversation"][1]["video_source"] == "S2"
        assert labelled or not any("emotion" in str(talk) for talk in read)
        result[path.parent.name] = [talk["conversation_ID"] for talk in read]
    return result


def test_the_default_is_the_sample(data, capsys):
    assert run() == 0
    parts = written()
    assert [len(parts[name]) for name in ("train", "val", "test")] == [16, 2, 2]
    assert parts["unlabelled"] == [30, 31]
    assert sorted(parts["train"] + parts["val"] + parts["test"]) == list(range(1, 21))
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["conversations", "utterances", "emotional", "pairs", *LABELS]
    assert rows[0].split() == ["train", "16", "32", "16", "16", "0", "0", "0", "16", "0", "0", "16"]
    assert rows[3].split()[:4] == ["unlabelled", "2", "4", "0"]


def test_seeds(data):
    assert run("--out", "a") == run("--out", "b", "--seed", 42) == run("--out", "c", "--seed", 1) == 0
    assert written("a") == written("b") != written("c")


def test_fractions(data):
    assert run("--data", data / "conversations.json", "--fractions", 0.5, 0.5, 0) == 0
    parts = written()
    assert [len(parts[name]) for name in ("train", "val", "test")] == [10, 10, 0]


def test_all_train(data):
    assert run("--all-train") == 0
    assert written() == {"train": list(range(1, 21)), "val": [], "test": [], "unlabelled": [30, 31]}


@pytest.mark.parametrize(
    "arguments,message",
    [
        (("--task", "instruction", "--all-train"), "--all-train says nothing with --task instruction"),
        (("--task", "instruction", "--format", "meld"), "--format says nothing with --task instruction"),
        (("--task", "opinion", "--skip-invalid"), "--skip-invalid says nothing with --task opinion"),
        (("--task-type", "binary"), "--task-type says nothing with --task emotion"),
    ],
)
def test_what_a_task_does_not_read_is_refused(data, capsys, arguments, message):
    with pytest.raises(SystemExit):
        run(*arguments)
    assert message in capsys.readouterr().err and not Path("input").exists()


def test_instructions_are_replaced_on_request(data, capsys):
    tasks = [{"instruction": f"Say {k}.", "output": f"{k}!"} for k in range(20)]
    write_json([*tasks, {"instruction": "Sing.", "output": ""}], Path("tasks.json"))
    how = ("--task", "instruction", "--data", "tasks.json")
    assert run(*how) == 0
    printed = capsys.readouterr().out
    assert "left out, no answer: 1 examples" in printed
    assert "written to input/instructions/{train,val,test}/examples.json" in printed
    files = {path: path.read_bytes() for path in Path("input").rglob("*.json")}
    assert len(files) == 4 and read_json("input/instructions/report.json")["splits"]["train"] == 16
    assert run(*how) == 0, "the same input may be written again"
    assert run(*how, "--seed", 1) == 2
    assert "input/instructions holds another input: give --dataset-update" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path("input").rglob("*.json")} == files
    assert run(*how, "--seed", 1, "--dataset-update", "--fractions", 0.5, 0.25, 0.25) == 0
    assert read_json("input/instructions/report.json")["splits"] == {"train": 10, "val": 5, "test": 5}
    assert run("--task", "instruction", "--data", "tasks.json", "--out", "tasks.json") == 2


def test_split_file_beside_the_data(data, capsys):
    write_json({"train": [3, "1"], "dev": [2], "test": []}, data / "splits.json")
    assert run("--data", data, "--splits", "splits.json") == 0
    assert written() == {"train": [1, 3], "val": [2], "test": [], "unlabelled": [30, 31]}
    assert "17 conversations that are in no split" in capsys.readouterr().out


def test_unlabelled_loses_its_labels(data):
    write_json(talks(50), data / "more.json")
    assert run("--unlabelled", "more.json") == 0
    assert written()["unlabelled"] == [50]


def test_the_labelled_file_is_not_the_unlabelled_one_too(data):
    write_json(talks(*range(1, 11)), data / "unlabelled.json")
    assert run("--data", data / "unlabelled.json") == 0
    assert set(written()) == {"train", "val", "test"}


def test_without_unlabelled(data, capsys):
    run()
    (data / "unlabelled.json").unlink()
    assert run("--out", "other") == 0
    assert set(written("other")) == {"train", "val", "test"}
    assert "earlier run" not in capsys.readouterr().out
    assert run() == 0
    assert "from an earlier run" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [
    ["--data", "missing.json"],
    ["--data", "bad.json"],
    ["--data", "unlabelled"],
    ["--splits", "missing.json"],
    ["--splits", "overlap.json"],
    ["--fractions", "0.8", "0.3", "0.1"],
    ["--unlabelled", "missing.json"],
    ["--unlabelled", "bad.json"],
])  # fmt: skip
def test_bad_input_leaves_earlier_input(data, capsys, arguments):
    run()
    before = written()
    write_json([{"conversation_ID": 1}], "bad.json")
    write_json({"train": [1], "test": [1]}, "overlap.json")
    write_json(talks(1, 2, 3, labelled=False), "unlabelled/conversations.json")
    capsys.readouterr()
    assert run(*arguments) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith("generate_input.py: ") and output.err.count("\n") == 1
    assert written() == before


def test_skip_invalid(data, capsys):
    bad = {**talks(21)[0], "emotion-cause_pairs": [["1_joy", "9"]]}
    write_json([*talks(1, 2), bad, "no conversation", *talks(2, 3, labelled=False)], data / "conversations.json")
    write_json([*talks(30, labelled=False), {"conversation_ID": 31}], data / "unlabelled.json")
    write_json({"train": [1, 21], "test": [2]}, data / "splits.json")
    assert run("--splits", "splits.json") == 2
    assert run("--splits", "splits.json", "--skip-invalid") == 0
    assert written() == {"train": [1], "val": [], "test": [2], "unlabelled": [30]}
    output = capsys.readouterr()
    assert "skipped: 5 conversations" in output.out
    faults = [line for line in output.err.splitlines() if line.startswith("skipped: ")]
    pieces = ("conversation 21", "position 4: is a string", "2 is there twice", "conversation 3", "conversation 31")
    assert len(faults) == 5 and all(piece in fault for piece, fault in zip(pieces, faults))

    before = written()
    write_json({"train": [1, 22]}, data / "splits.json")
    assert run("--splits", "splits.json", "--skip-invalid") == 2  # 22 was never there
    for name, content in (("conversations.json", "["), ("conversations.json", "[1, 2]"), ("unlabelled.json", "[1]")):
        write_json(talks(1, 2, 3), data / "conversations.json")
        (data / name).write_text(content)
        capsys.readouterr()
        assert run("--skip-invalid") == 2
        assert capsys.readouterr().err.count("\n") == 1 and written() == before


def test_out_is_a_file(data, capsys):
    Path("taken").write_text("mine")
    assert run("--out", "taken") == 2
    assert capsys.readouterr().err.count("\n") == 1 and Path("taken").read_text() == "mine"


@pytest.mark.parametrize("arguments", [
    ["--all-train", "--splits", "s.json"],
    ["--seed", "x"],
    ["--fractions", "1"],
])  # fmt: skip
def test_senseless_command_lines(data, arguments):
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2 and not Path("input").exists()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Stands for the hub: a folder that downloads come from."""
    folder = tmp_path / "hub"
    folder.mkdir()

    def snapshot_download(repo_id, repo_type, **options):
        assert (repo_id, repo_type) == ("NUSTM/ECF", "dataset")
        return str(folder)

    module = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.chdir(tmp_path)
    return folder


def write_utterance_folder(folder):
    for name, numbers in {"train": (1, 2, 3), "dev": (4,), "test": (5, 6)}.items():
        write_json(talks(*numbers), folder / "utterance" / f"{name}.json")


def test_hub_prefers_the_semeval_file(hub):
    write_utterance_folder(hub)
    write_json(talks(*range(10)), hub / "SemEval-2024" / "Subtask_2_train.json")
    write_json(talks(90, labelled=False), hub / "SemEval-2024" / "Subtask_2_test.json")
    assert run("--data", "NUSTM/ECF", "--all-train") == 0
    assert written() == {"train": list(range(10)), "val": [], "test": [], "unlabelled": [90]}


@pytest.mark.parametrize("name", ["NUSTM/ECF", "hub"])  # downloaded, or a copy of it
def test_hub_splits(hub, name):
    write_utterance_folder(hub)
    assert run("--data", name) == 0
    assert written() == {"train": [1, 2, 3], "val": [4], "test": [5, 6]}
    assert run("--data", name, "--all-train") == 0
    assert written() == {"train": [1, 2, 3, 4, 5, 6], "val": [], "test": []}


def test_hub_splits_that_overlap(hub, capsys):
    write_utterance_folder(hub)
    write_json(talks(2, 4), hub / "utterance" / "dev.json")
    assert run("--data", "NUSTM/ECF") == 2
    assert "conversation 2, field 'conversation_ID': train.json has a conversation" in capsys.readouterr().err
    assert not Path("input").exists()


def test_hub_without_conversations(hub, capsys):
    assert run("--data", "NUSTM/ECF") == 2
    assert "neither Subtask_2_train.json nor" in capsys.readouterr().err


def test_hub_out_of_reach(hub, monkeypatch, capsys):
    def snapshot_download(*arguments, **options):
        raise ConnectionError("offline\nand a second line")

    monkeypatch.setattr(sys.modules["huggingface_hub"], "snapshot_download", snapshot_download)
    assert run("--data", "NUSTM/ECF") == 2
    message = capsys.readouterr().err
    assert "NUSTM/ECF" in message and "(offline)" in message and message.count("\n") == 1


def test_hub_package_missing(hub, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert run("--data", "NUSTM/ECF") == 2
    assert "huggingface_hub" in capsys.readouterr().err


def moods(*labels, number=1):
    """A conversation without causes."""
    lines = [
        {"utterance_ID": i, "text": f"Line {i}", "speaker": "Bo", "emotion": label} for i, label in enumerate(labels, 1)
    ]
    return {"conversation_ID": number, "conversation": lines}


def test_ecfs_set_leaves_no_file(data):
    assert run() == 0 and not Path("input/labels.json").exists() and labels_in("input") is LABELS


def test_other_labels_are_written_beside_the_splits(data, capsys):
    write_json([moods("calm", "glad", number=n) for n in range(1, 11)], "mine.json")
    assert run("--data", "mine.json", "--out", "mine") == 0
    found = labels_in("mine")
    assert (found.name, found.labels, found.neutral) == ("mine", ("calm", "glad"), None)
    said = capsys.readouterr().out
    assert "labels: mine, one an utterance, none of them is neutral; in mine/labels.json" in said
    assert "note: no causes here, so notebooks 1 and 2 are all there is" in said
    head, first, *_ = said.splitlines()
    assert head.split()[-2:] == ["calm", "glad"] and first.split()[-2:] == ["8", "8"]
    # The input of another corpus takes the folder's place as a whole.
    assert run("--data", data / "conversations.json", "--out", "mine") == 0 and labels_in("mine") == LABELS


def test_labels_that_are_asked_for(data, capsys):
    corpus = [moods("neutral", "excited", "other", number=n) for n in range(1, 10)]
    write_json([*corpus, moods("other", "other", number=10)], "mine.json")
    assert run("--data", "mine.json", "--labels", "iemocap4") == 0
    said = capsys.readouterr().out
    for line in (
        "labels: iemocap4, one an utterance, neutral is neutral; in input/labels.json",
        "merged: 'excited' into 'happy', 9 times",
        "left out: 'other', 11 times",
        "left out: 1 conversations in which no utterance carries a label",
    ):
        assert line in said
    assert labels_in("input") is not SETS["iemocap4"] and labels_in("input") == SETS["iemocap4"]
    kept = load_conversations("input/train", labelled=True, labels=SETS["iemocap4"])
    assert [u["emotion"] for u in kept[0]["conversation"]] == ["neutral", "happy", None]

    write_json({"name": "two", "labels": ["calm", "busy"], "merge": {"neutral": "calm", "excited": "busy"}}, "two.json")
    assert run("--data", "mine.json", "--labels", "two.json") == 2
    assert "conversation 1, utterance 3, field 'emotion': 'other' is not" in capsys.readouterr().err
    assert labels_in("input").name == "iemocap4"
    assert run("--data", "mine.json", "--labels", "data") == 0
    assert labels_in("input").labels == ("other", "excited", "neutral") and labels_in("input").neutral == "neutral"


@pytest.mark.parametrize(("labels", "message"), [
    ("emory7", "'emory7': no such label set, and no such file; did you mean emorynlp7?"),
    ("list.json", "list.json: holds [1] where an object belongs"),
    ("far.json", "data/sample/conversations.json: no utterance carries a label of far (up, down). Give another set"),
    ("goemotions28", "conversation 1, utterance 1, field 'emotion': 'bliss' is not an emotion of this task"),
])  # fmt: skip
def test_labels_that_cannot_be_used(data, capsys, labels, message):
    write_json([1], "list.json")
    write_json({"name": "far", "labels": ["up", "down"], "leave_out": ["bliss", "neutral"]}, "far.json")
    write_json([moods("bliss", "neutral", number=n) for n in (1, 2, 3)], data / "conversations.json")
    assert run("--labels", labels) == 2
    output = capsys.readouterr()
    assert message in output.err and output.err.count("\n") == 1 and not output.out and not Path("input").exists()


def test_a_slip_is_no_label_set(data, capsys):
    write_json([moods("joy", "Neutral", number=n) for n in (1, 2, 3)], data / "conversations.json")
    assert run() == 2
    message = capsys.readouterr().err
    assert "utterance 2, field 'emotion': 'Neutral' is not an emotion" in message and "--labels data" in message
    assert run("--labels", "data") == 0 and labels_in("input").labels == ("Neutral", "joy")


def test_a_slip_in_a_table_is_no_label(data, capsys):
    rows = [f"{n},A,word {n},{label}" for n, label in enumerate(["joy", "sadness", "neutral", "suprise"] * 3)]
    Path("mine.csv").write_text("\n".join(["conversation,speaker,text,label", *rows]))
    assert run("--data", "mine.csv") == 2
    message = capsys.readouterr().err
    assert "'suprise' is not an emotion" in message and "--labels data" in message
    assert run("--data", "mine.csv", "--labels", "data") == 0 and "suprise" in labels_in("input").labels


def test_a_table_without_a_column_of_labels(data, capsys):
    Path("mine.csv").write_text("speaker,text,feeling\nA,one,joy\nB,two,anger\nC,three,joy\n")
    assert run("--data", "mine.csv") == 2
    assert "mine.csv: no column is read as the label. Call it label or labels" in capsys.readouterr().err
    assert run("--data", "mine.csv", "--columns", "label=feeling") == 0


def test_the_skipped_are_named_where_too_few_are_left(data, capsys):
    bad = talks(3, 4)
    bad[0]["conversation"][0].pop("speaker")
    bad[1]["emotion-cause_pairs"] = [["9_joy", "1"]]
    write_json(talks(1, 2) + bad, data / "conversations.json")
    assert run("--skip-invalid") == 2
    first, *skipped = capsys.readouterr().err.splitlines()
    assert "need 3 conversations or more, and there are 2" in first
    assert [re.search("^skipped: .*conversation ([34]),", line)[1] for line in skipped] == ["3", "4"]


@pytest.mark.parametrize("place", [".", "notebooks"])
def test_the_sample_is_split_from_any_folder_of_the_repository(tmp_path, place):
    copy_code(tmp_path, ("utils", "data", "generate_input.py", "pyproject.toml"))
    (tmp_path / "notebooks").mkdir()
    command = [sys.executable, os.path.relpath(tmp_path / "generate_input.py", tmp_path / place)]
    done = subprocess.run(command, cwd=tmp_path / place, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "input" / "train" / "conversations.json").is_file()
    assert f"written to {os.path.relpath(tmp_path / 'input', tmp_path / place)}/{{train," in done.stdout


@needs_ecf
def test_ecf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("--data", ECF, "--splits", "ecf1_splits.json") == 0
    counts = {path.parent.name: describe(load_conversations(path)) for path in Path("input").glob("*/*.json")}
    assert {name: (count["conversations"], count["pairs"]) for name, count in counts.items()} == {
        "train": (1001, 7055),
        "val": (112, 866),
        "test": (261, 1873),
        "unlabelled": (341, 0),
    }


def test_copies_across_splits_are_told(tmp_path, capsys):
    one, other = talks(1)[0], talks(2)[0]
    other = {**other, "conversation": [{**u, "text": f"Another {u['text']}"} for u in other["conversation"]]}
    write_json([one, {**one, "conversation_ID": 3}, other], tmp_path / "data.json")
    write_json({"train": [1], "val": [2], "test": [3]}, tmp_path / "splits.json")
    arguments = [
        "--data",
        str(tmp_path / "data.json"),
        "--splits",
        str(tmp_path / "splits.json"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert generate_input.main(arguments) == 0
    said = capsys.readouterr().out
    assert "1 of 1 test conversations are in train too" in said and "1 val" not in said
