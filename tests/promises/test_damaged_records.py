"""Whatever a record, a journal or a file of predictions holds, one message names the file: no traceback.

python -m pytest tests/promises/test_damaged_records.py     (make soak: thousands of damaged files)
"""

import json
import os
import random
import re
import shutil
import stat

import pytest
from helpers import ROOT, amounts, damaged, tables_of

from utils import card, runs, score
from utils.config import Config
from utils.data.labels import ECF
from utils.engine.inference import Journal
from utils.record.adapter import trained_with
from utils.record.parts import write_part
from utils.record.predictions import lines_of, write_predictions
from utils.record.run import Run
from utils.report.tables import results_table
from utils.system.errors import FileError, UserError
from utils.system.files import read_json, read_json_lines, write_json
from utils.tasks import cause_structure
from utils.tasks.baselines import rule
from utils.tasks.emotion import Emotion

SHIPPED = ROOT / "results_train" / "smollm2-135m-ecf"


def fails(capsys, command, *arguments):
    """The message of a command that ends with status 2: one line."""
    assert command([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and len(captured.err) < 1500, captured.err
    return captured.err


def survives(capsys, command, *arguments):
    """A command ends with a status of its own, at most one line on stderr behind notes, and never with a traceback."""
    assert command([str(argument) for argument in arguments]) in (0, 1, 2)
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "in the official evaluation" not in line]) <= 1, lines


@pytest.fixture
def run(tmp_path, sample):
    """A scored run with the records of both adapters."""
    gold = sample[:6]
    write_json(gold, tmp_path / "input" / "test" / "conversations.json")
    config = Config(run_name="mine", input_dir=str(tmp_path / "input"))
    run = Run(config, "4_cause_inference", ["input_dir", "cause_threshold"], root=tmp_path)
    predicted = [rule(c) for c in gold]
    write_predictions(run.train_dir, predicted, *tables_of(predicted))
    run.score_emotions(gold, {"fine-tuned": (predicted, tables_of(predicted)[0])})
    run.score_pairs(
        gold,
        {
            "fine-tuned emotions + rule": ("fine-tuned", predicted),
            "fine-tuned emotions and causes": ("fine-tuned", predicted),
            "gold emotions + rule": ("gold", predicted),
        },
    )
    for task in ("emotion", "cause"):
        run.finish_adapter(task, [], dict.fromkeys(ECF, 3), structure=task == "cause")
    shutil.copy(SHIPPED / "adapters" / "cause" / "structure.json", run.adapter("cause"))
    return run


# ---- predictions ---------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(tmp_path, sample):
    """(gold file, predictions file, its lines)"""
    gold = sample[:3]
    write_json(gold, tmp_path / "gold.json")
    lines = lines_of(gold, *tables_of(gold))
    path = tmp_path / "pred.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "gold.json", path, lines


def score_fails(capsys, gold, pred):
    return fails(capsys, score.main, "--subtask", 2, "--gold", gold, "--pred", pred)


@pytest.mark.parametrize(
    "content, says",
    [
        ("[" * 100_000, "line 1: not JSON that can be used"),
        ('{"conversation_ID": 1, "conversation_ID": 2}', "the key 'conversation_ID' is there twice"),
        ('{"conversation_ID": NaN}', "no finite number"),
        ("[]", "holds .* where an object belongs"),
        ("\xff", "not UTF-8"),
        ('{"conversation_ID": true}', "True is no conversation_ID"),
        ('{"conversation_ID": 1.0}', "1.0 is no conversation_ID"),
        ("{}", "None is no conversation_ID"),
        ("", "is missing: write a line"),
    ],
)
def test_predictions_that_are_no_lines_are_refused(scored, capsys, content, says):
    gold, pred, _ = scored
    pred.write_text(content, encoding="latin-1")
    message = score_fails(capsys, gold, pred)
    assert str(pred) in message
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(message)


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda lines: lines + lines[:1], "is there twice"),
        (lambda lines: lines[1:], "is missing"),
        (
            lambda lines: [{**one, "emotion-cause_pairs": [["99_joy", "1"]]} for one in lines],
            "utterance that is not there",
        ),
        (lambda lines: [{**one, "emotion-cause_pairs": 3} for one in lines], "cannot be read as predictions"),
        (lambda lines: [{**one, "emotions": None} for one in lines], "cannot be read as predictions"),
        (lambda lines: [{k: v for k, v in one.items() if k != "emotions"} for one in lines], "has no 'emotions'"),
        (
            lambda lines: [{**one, "emotions": ["neutral"] * len(one["emotions"])} for one in lines],
            "disagrees with the emotion",
        ),
    ],
)
def test_predictions_of_something_else_are_refused(scored, capsys, change, says):
    gold, pred, lines = scored
    pred.write_text("\n".join(map(json.dumps, change(lines))))
    message = score_fails(capsys, gold, pred)
    assert str(pred) in message and says in message


def test_predictions_that_cannot_be_opened_are_named(scored, capsys, tmp_path):
    gold, pred, _ = scored
    assert "File name too long" in score_fails(capsys, gold, tmp_path / ("x" * 300 + ".jsonl"))
    if os.getuid():
        pred.parent.chmod(stat.S_IRUSR)
        try:
            assert "Permission denied" in score_fails(capsys, gold, pred)
        finally:
            pred.parent.chmod(stat.S_IRWXU)


def test_lines_are_read_whole(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a": "one\u2028line"}\n\n  \n{"b": 1}\n', encoding="utf-8")
    assert [data for _, data in read_json_lines(path)] == [{"a": "one\u2028line"}, {"b": 1}]
    assert [where for where, _ in read_json_lines(path)] == [f"{path}, line 1", f"{path}, line 4"]
    path.write_text("")
    assert read_json_lines(path) == []


# ---- records -------------------------------------------------------------------------------------------------------


def rewrite(path, change):
    data = read_json(path)
    path.write_text(json.dumps(change(data)))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: {**s, "trees": [dict.fromkeys(("feature", "threshold", "left", "right", "value"), [])]},
        lambda s: {**s, "trees": [{**s["trees"][0], "value": [10**30] * len(s["trees"][0]["value"])}]},
        lambda s: {**s, "trees": [{**s["trees"][0], "left": [True] * len(s["trees"][0]["left"])}]},
        lambda s: {**s, "start": 10**400},
        lambda s: {**s, "start": True},
        lambda s: {**s, "trees": {"a": 1}},
        lambda s: {**s, "trees": [3]},
        lambda s: {**s, "features": 5},
        lambda s: [],
    ],
)
def test_a_damaged_structure_is_refused(run, change):
    rewrite(run.adapter("cause") / "structure.json", change)
    with pytest.raises(UserError, match="structure.json: (cannot be used|holds)"):
        cause_structure.load(run.adapter("cause"))


@pytest.mark.parametrize("count", [10**400, -1, 1.5, True, "3", None])
def test_counts_that_cannot_be_are_refused(run, count):
    rewrite(run.adapter("emotion") / "training.json", lambda r: {**r, "emotions": {**r["emotions"], "joy": count}})
    with pytest.raises(UserError, match='training.json lacks "emotions"'):
        Emotion(adjustment=0.5).trained(run.adapter("emotion"))


def test_records_that_are_no_objects_are_named(run, capsys):
    path = run.train_dir / "config.json"
    for content in ("[]", "3", '{"a": []}', '{"a": {"parameters": 1}}', '{"a": {"parameters": {}, "input": {"x": 1}}}'):
        path.write_text(content)
        for command in (lambda: runs.main(["verify", str(run.train_dir)]), lambda: card.main([str(run.train_dir)])):
            assert command() == 2
            assert str(path) in capsys.readouterr().err
        with pytest.raises(FileError, match="config.json"):
            Run(run.config, "4_cause_inference", [], root=run.root)
        with pytest.raises(UserError, match="config.json"):
            trained_with(run.adapter("emotion"))


def test_a_card_of_a_bad_parameter_names_the_records(run, capsys):
    for bad in ({"seed": "x"}, {"seed": []}, {"lora_targets": [1]}, {"cause_threshold": 10**400}):
        for name in ("emotion", "cause"):
            sound = {**read_json(run.adapter(name) / "training.json"), "parameters": Config().as_dict() | bad}
            (run.adapter(name) / "training.json").write_text(json.dumps(sound))
        message = fails(capsys, card.main, run.train_dir)
        assert "training.json" in message and next(iter(bad)) in message and "Restore" in message
    rewrite(run.adapter("emotion") / "training.json", lambda r: {**r, "emotions": {"joy": "x"}})
    assert "training.json" in fails(capsys, card.main, run.train_dir)


@amounts
def test_damaged_records(run, capsys, amount):
    """Every reader of a run's records, on records damaged at random places."""
    files = {
        "config.json": run.train_dir / "config.json",
        "metrics.json": run.train_dir / "metrics.json",
        "emotion": run.adapter("emotion") / "training.json",
        "cause": run.adapter("cause") / "training.json",
        "structure.json": run.adapter("cause") / "structure.json",
    }
    rewrite(files["structure.json"], lambda s: {**s, "trees": s["trees"][:3]})
    sound = {name: path.read_bytes() for name, path in files.items()}
    talk = read_json(run.root / "input" / "test" / "conversations.json")[0]

    def structured():
        if found := cause_structure.load(run.adapter("cause")):
            found.log_odds(talk)

    readers = [
        lambda: trained_with(run.adapter("emotion")),
        lambda: Emotion(adjustment=0.5).trained(run.adapter("emotion")),
        structured,
        lambda: results_table(run.train_dir),
        lambda: Run(run.config, "4_cause_inference", ["input_dir"], root=run.root),
    ]
    chance = random.Random(amount)
    for number in range(40 if amount == 1 else 2000):
        name = chance.choice([*files])
        files[name].write_bytes(damaged(json.loads(sound[name]), chance))
        survives(capsys, runs.main, "verify", run.train_dir)
        survives(capsys, card.main, run.train_dir)
        for reader in readers:
            try:
                reader()
            except (UserError, OSError) as error:
                assert "\n" not in str(error) and len(str(error)) < 2000, number
        for one, content in sound.items():
            files[one].write_bytes(content)
    capsys.readouterr()


@amounts
def test_damaged_predictions(scored, capsys, amount):
    gold, pred, lines = scored
    chance = random.Random(amount)
    for _ in range(40 if amount == 1 else 2000):
        number = chance.randrange(len(lines))
        content = [json.dumps(line).encode() for line in lines]
        content[number] = damaged(lines[number], chance)
        pred.write_bytes(b"\n".join(content))
        survives(capsys, score.main, "--subtask", 2, "--gold", gold, "--pred", pred)


# ---- journals and parts --------------------------------------------------------------------------------------------


def test_a_part_that_is_damaged_is_named(tmp_path, sample):
    files = [tmp_path / f"pred.json.part-{k}-of-2.json" for k in (1, 2)]
    for other in (
        "1",
        "null",
        '{"job": "j"}',
        '{"job": "j", "conversations": 3}',
        '{"job": "j", "conversations": [3]}',
    ):
        files[1].write_text(other)
        with pytest.raises(UserError, match="part-2-of-2.json"):
            write_part(sample[:1], tmp_path / "pred.json", 1, 2, "j")
        assert not (tmp_path / "pred.json").exists()


@pytest.mark.parametrize(
    "line", ["1", "null", '"x"', "[1, 2]", '["k", 3]', "{", "[" * 100_000, '{"k": 1}', '[["k"], []]']
)
def test_a_damaged_line_of_a_journal_is_skipped_with_a_line(tmp_path, capsys, line):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    first = journal("one", lambda: [[0.5]])
    with path.open("a") as file:
        file.write(f"\n{line}\n")
    again = Journal(path)
    assert capsys.readouterr().err == f"{path}: 1 damaged lines are skipped, and computed again\n"
    assert again("one", lambda: pytest.fail("it is known")) == first and again("two", lambda: [[1.0]]) == [[1.0]]
    assert len(Journal(path).results) == 2


def test_a_result_that_cannot_be_is_computed_again(tmp_path, capsys):
    path = tmp_path / "journal.jsonl"
    Journal(path)("one", lambda: [[0.5, 0.25]])
    path.write_text(path.read_text().replace("0.25", "null"))
    journal, made = Journal(path), []

    def fits(found):
        return found == [[0.5, 0.25]]

    for _ in range(2):
        assert journal("one", lambda: made.append(1) or [[0.5, 0.25]], fits) == [[0.5, 0.25]]
    assert made == [1] and Journal(path)("one", lambda: pytest.fail("the last line counts"), fits) == [[0.5, 0.25]]


def test_a_journal_goes_on_behind_a_line_that_was_cut_off(tmp_path):
    path, made = tmp_path / "folder" / "journal.jsonl", []
    for text in ("one", "two", "three"):
        Journal(path)(text, lambda text=text: made.append(text) or [text])
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        known = len(Journal(path).results)
        journal = Journal(path)
        assert [journal(text, lambda text=text: [text]) for text in ("one", "two", "three")] == [
            ["one"],
            ["two"],
            ["three"],
        ]
        assert len(Journal(path).results) == 3 and known <= 3


@pytest.mark.parametrize("word", ["Infinity", "NaN", "1"])
def test_scores_that_cannot_be_are_computed_again(tmp_path, tiny_model_folder, conversations, word):
    from utils.engine.settings import InferenceSettings
    from utils.models.load import load_model
    from utils.tasks.ask import predict

    given = Emotion(), *load_model(tiny_model_folder, precision="float32"), conversations, InferenceSettings()
    path = tmp_path / "journal.jsonl"
    wanted = predict(*given, Journal(path))
    text, changes = re.subn(r"-\d+\.\d+", word, path.read_text(), count=1)
    assert changes
    path.write_text(text)
    assert predict(*given, Journal(path)) == wanted


@amounts
def test_damaged_journals(tmp_path, tiny_model_folder, conversations, amount, capsys):
    """Inference on a damaged journal gives what it gives without one."""
    from utils.engine.settings import InferenceSettings
    from utils.models.load import load_model
    from utils.tasks.ask import predict

    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    path, settings = tmp_path / "journal.jsonl", InferenceSettings(token_budget=64)
    wanted = predict(Emotion(), model, tokenizer, conversations, settings, Journal(path))
    lines = [json.loads(line) for line in path.read_text().split("\n") if line]
    chance = random.Random(amount)
    for _ in range(15 if amount == 1 else 2000):
        content = [json.dumps(line).encode() for line in lines]
        content[chance.randrange(len(lines))] = changed(lines, chance)
        path.write_bytes(b"\n".join(content))
        assert predict(Emotion(), model, tokenizer, conversations, settings, Journal(path)) == wanted
    capsys.readouterr()


def changed(lines, chance):
    """A line of a journal, damaged, but for its numbers: another number is another result."""
    while True:
        content = damaged(chance.choice(lines), chance)
        try:
            key, result = json.loads(content)
            flat = [value for one in result for value in one]
            if not all(type(value) is float for value in flat):
                return content
        except (ValueError, TypeError, RecursionError):
            return content
