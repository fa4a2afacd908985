"""The door writes an input that the notebooks read, whole or not at all.

python -m pytest tests/doors/test_synthesize.py
"""

import json

import pytest
from helpers import called, files

from utils.config import Config
from utils.data.conversations import load_conversations
from utils.data.labels import LABELS_FILE, LabelSet, labels_in
from utils.data.seeds import Rules
from utils.record.inputs import Conversations
from utils.record.synthesis import REJECTED_FILE, REPORT_FILE, report_table
from utils.synthesize import main
from utils.system.files import read_json, write_json
from utils.tasks import synthesis

TWO = LabelSet("two", ("calm", "upset"), "calm")
SEEDS = {
    "opening": "People who are {feeling}:",
    "labels": {
        label: {"feeling": label, "named": [label], "sentences": [f"It is {label} one.", f"It is {label} two."]}
        for label in TWO
    },
}


@pytest.fixture
def source(tmp_path):
    """An input of texts with two labels."""
    folder = tmp_path / "input"
    for split in ("train", "val", "test"):
        some = [synthesis.alone(f"{split}-{k}", f"Text {k} of {split}.", TWO.labels[k % 2]) for k in range(4)]
        write_json(some, folder / split / "conversations.json")
    write_json(TWO.as_dict(), folder / LABELS_FILE)
    write_json(SEEDS, tmp_path / "seeds.json")
    return folder


@pytest.fixture
def command(source, tmp_path, tiny_model_folder):
    given = {"--input": source, "--out": tmp_path / "made", "--seeds": tmp_path / "seeds.json", "--count": 2}
    given["--model"] = tiny_model_folder

    def command(**changed):
        words = {**given, **{f"--{name}": value for name, value in changed.items()}}
        return [str(one) for pair in words.items() for one in pair]

    return command


@pytest.fixture
def writer(monkeypatch):
    """Prompts are answered with the next numbers; each third sentence is cut off. Its last digit is its likelihood."""
    left = iter(range(10**6))

    def write(model, tokenizer, prompts, how, batch_size, progress, **options):
        numbers = [next(left) for _ in prompts]
        return [f" It is one or two, {k} {k + 7} {k * 3} {k % 5}{'.' if k % 3 else ''}\n" for k in numbers]

    def score(task, model, tokenizer, items, *given, **options):
        texts = [one["conversation"][0]["text"] for one in items]
        return items, [[[float(text[-2])] * len(task.labels)] for text in texts]

    monkeypatch.setattr(synthesis, "generate_published", write)
    monkeypatch.setattr(synthesis, "predict", score)


def test_the_input_is_whole_and_can_be_trained_on(command, source, tmp_path, writer, capsys):
    assert main(command()) == 0
    out = tmp_path / "made"
    said = capsys.readouterr().out
    report = read_json(out / REPORT_FILE)
    assert report_table(report) in said and str(out) in said
    assert report["kept"] == {"calm": 2, "upset": 2} and report["seed"] == 42 and report["seeds"].startswith("seeds ")
    rejected = [json.loads(line) for line in (out / REJECTED_FILE).read_text(encoding="utf-8").splitlines()]
    assert len(rejected) == sum(report["rejected"].values()) == report["written"] - 4
    assert {"label", "text", "reason"} <= {*rejected[0]} and report["rejected"]["cut off"] > 0
    for split in ("val", "test"):
        assert (out / split / "conversations.json").read_bytes() == (source / split / "conversations.json").read_bytes()
    train = load_conversations(out / "train", labelled=True, labels=labels_in(out))
    numbers = [int(c["conversation_ID"].removeprefix("made-")) for c in train]
    assert sorted(numbers + [row["number"] for row in rejected]) == [*range(1, report["written"] + 1)]
    assert sorted(c["conversation"][0]["emotion"] for c in train) == ["calm", "calm", "upset", "upset"]
    given = Conversations(out, Config())
    assert given.tasks() == ("emotion",) and len(given.items("train", labelled=True)) == 4
    assert not [path for path in tmp_path.iterdir() if "unfinished" in path.name]
    assert str(tmp_path) not in (out / REPORT_FILE).read_text(encoding="utf-8"), "no path of this machine"


def test_what_is_there_is_not_replaced(command, tmp_path, writer, monkeypatch, capsys):
    assert main(command()) == 0
    before, said = files(tmp_path / "made"), capsys.readouterr().out
    monkeypatch.setattr("utils.models.load.load_model", lambda *given, **more: pytest.fail("the model was loaded"))
    assert main(command()) == 0 and report_table(read_json(tmp_path / "made" / REPORT_FILE)) in capsys.readouterr().out
    assert "| calm | 2 |" in said
    status, said = called(main, *command(seed=43))
    assert status == 2 and "is there already" in said and files(tmp_path / "made") == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"temperature": 0}, "temperature is 0, and the same sentence"),
        ({"temperature": -1}, "temperature is -1.0; it must lie from 0 to 10"),
        ({"top-p": 2}, "top_p is 2.0"),
        ({"input": "nowhere"}, "nowhere"),
        ({"seeds": "none"}, "none"),
    ],
)
def test_what_cannot_be_is_said_before_a_model_is_loaded(command, tmp_path, monkeypatch, changed, message):
    monkeypatch.setattr("utils.models.load.load_model", lambda *given, **more: pytest.fail("the model was loaded"))
    status, said = called(main, *command(**changed))
    assert status == 2 and message in said and said.count("\n") == 1 and not (tmp_path / "made").exists()


def test_an_input_with_several_labels_is_refused(command, source):
    write_json({**TWO.as_dict(), "multi": True}, source / LABELS_FILE)
    status, said = called(main, *command())
    assert status == 2 and "a text has several labels (two)" in said


def test_a_model_that_cannot_write_leaves_no_input(command, tmp_path, monkeypatch):
    monkeypatch.setattr(synthesis, "TRIES", 4)
    monkeypatch.setattr(Rules, "fault", lambda *given: "cut off")
    status, said = called(main, *command())
    assert status == 2 and "calm: 0 of 2 sentences after" in said and "cut off" in said
    assert not (tmp_path / "made").exists()
