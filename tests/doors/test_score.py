"""Tests of the command that scores a file of predictions.

python -m pytest tests/doors/test_score.py
"""

import json
import re
import subprocess
import sys

import pytest
from helpers import ROOT

from utils.data.conversations import without_labels
from utils.data.labels import ECF
from utils.record.predictions import write_predictions
from utils.report.metrics import pair_scores
from utils.score import main
from utils.system.files import write_json
from utils.tasks.baselines import rule, with_majority

GOLD = [
    {
        "conversation_ID": 1,
        "conversation": [{"utterance_ID": 1, "text": "The red kite is back !"}],
        "emotion-cause_pairs": [["1_joy", "1"], ["2_anger", "1"]],
    }
]
PRED = [{"conversation_ID": 1, "emotion-cause_pairs": [["U1_joy", "1"]]}]
GOLD_SPANS = [GOLD[0] | {"emotion-cause_pairs": [["1_joy", "1_The red kite"]]}]
PRED_SPANS = [{"conversation_ID": 1, "emotion-cause_pairs": [["1_joy", "1_0_3"]]}]


@pytest.fixture
def arguments(tmp_path):
    """Writes gold and pred (text, or data for JSON; None writes nothing) and gives the command line."""

    def write(subtask, gold, pred):
        for name, content in (("gold", gold), ("pred", pred)):
            if content is not None:
                text = content if isinstance(content, str) else json.dumps(content)
                (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
        return ["--subtask", str(subtask), "--gold", str(tmp_path / "gold.json"), "--pred", str(tmp_path / "pred.json")]

    return write


@pytest.mark.parametrize("subtask, gold, pred", [(1, GOLD_SPANS, PRED_SPANS), (2, GOLD, PRED)])
def test_json_holds_the_official_figures_under_their_names(arguments, capsys, subtask, gold, pred):
    assert main([*arguments(subtask, gold, pred), "--json"]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert found.items() >= pair_scores(gold, pred, subtask).items()
    assert {*found} - {*pair_scores(gold, pred, subtask)} == ({"per_emotion"} if subtask == 2 else set())
    noted = "utterances that are not there" in output.err and output.err.count("\n") == 1
    assert noted if subtask == 2 else output.err == "", "the pair of utterance 2"


def test_json_holds_all_that_the_text_shows(arguments, capsys, sample):
    gold, pred = sample[:6], [rule(c) for c in with_majority(sample[:6], sample[1:2])]
    assert main(arguments(2, gold, pred)) == 0
    text = capsys.readouterr().out
    assert main([*arguments(2, gold, pred), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    leaves = [one for label in found["per_emotion"].values() for one in label.values()]
    leaves += [found["emotions"][name] for name in ("accuracy", "weighted_f1", "macro_f1")]
    shown = [one for one in re.findall(r"\d+\.\d{4}", text)]
    known = [f"{one:.4f}" for one in (*found.values(), *leaves) if isinstance(one, float)]
    assert len(shown) == 6 + 3 * 6 + 3 and set(shown) <= set(known)
    assert found["emotions"]["confusion"]["joy"].keys() == found["emotions"]["per_emotion"].keys()


def test_table_of_subtask_1(arguments, capsys):
    assert main(arguments(1, GOLD_SPANS, PRED_SPANS)) == 0
    names = [line[:22].strip() for line in capsys.readouterr().out.splitlines()]
    assert names == ["Subtask 1", "weighted strict", "strict", "weighted Proportional", "Proportional"]


def test_a_gold_cause_that_is_not_said_is_scored_with_a_note(arguments, capsys):
    gold = [GOLD[0] | {"emotion-cause_pairs": [["1_joy", "1_The red kite"], ["1_joy", "1_green"]]}]
    assert main([*arguments(1, gold, PRED_SPANS), "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == pair_scores(gold, PRED_SPANS, 1)
    assert output.err.count("\n") == 1
    assert "gold.json: the words of a gold cause are not in utterance 1 of conversation 1." in output.err


def test_table_of_subtask_2(arguments, capsys):
    assert main(arguments(2, GOLD, PRED)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len({len(line) for line in lines[:3]}) == len({len(line) for line in lines[4:]}) == 1
    assert lines[1].split() == ["pair", "1.0000", "0.5000", "0.6667"]
    assert lines[2].split() == ["weighted", "0.5000", "0.5000", "0.5000"]
    assert ["joy", "1.0000", "1.0000", "1.0000", "1"] in [line.split() for line in lines]


def test_emotions_of_utterances_are_scored_where_both_files_have_them(arguments, capsys):
    def told(emotions):
        utterances = [{"utterance_ID": k, "text": "Oh !", "emotion": one} for k, one in enumerate(emotions, 1)]
        return [PRED[0] | {"conversation": utterances}]

    assert main(arguments(2, told(["joy", "anger", "joy"]), told(["joy", "joy", "joy"]))) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "Utterances' emotions: accuracy 0.6667, weighted F1 0.5333, macro F1 0.1143"
    assert main(arguments(2, told(["joy"]), PRED)) == 0
    assert "Utterances" not in capsys.readouterr().out


def test_a_runs_predictions_are_scored_as_its_pairs_are(arguments, capsys, tmp_path):
    def told(emotions, *pairs):
        utterances = [
            {"utterance_ID": k, "text": "Oh !", "speaker": "Ana", "emotion": one} for k, one in enumerate(emotions, 1)
        ]
        return [{"conversation_ID": 7, "conversation": utterances, "emotion-cause_pairs": [*pairs]}]

    gold, pred = told(["joy", "anger"], ["1_joy", "1"], ["2_anger", "1"]), told(["joy", "joy"], ["1_joy", "1"])
    command = arguments(2, gold, pred)
    assert main(command) == 0
    expected = capsys.readouterr().out
    write_predictions(tmp_path, pred, [[[0.5] * 7] * 2], [{}])
    assert main([*command[:-1], str(tmp_path / "predictions.jsonl")]) == 0
    assert capsys.readouterr().out == expected
    command = arguments(2, [without_labels(gold[0]) | {"conversation_ID": 8}], pred)
    for name, reason in (("predictions.jsonl", "8 is missing"), ("absent.jsonl", "No such file")):
        assert main([*command[:-1], str(tmp_path / name)]) == 2
        assert reason in capsys.readouterr().err


def test_a_folder_stands_for_its_split_and_for_its_predictions(arguments, capsys, tmp_path):
    command = arguments(2, GOLD, PRED)
    assert main([*command, "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)

    def scored(gold, pred):
        status = main(["--subtask", "2", "--gold", str(tmp_path / gold), "--pred", str(tmp_path / pred), "--json"])
        captured = capsys.readouterr()
        return captured.err if status else json.loads(captured.out)

    write_json(GOLD, tmp_path / "input" / "test" / "conversations.json")
    write_json(PRED, tmp_path / "mine" / "theirs.json")
    assert scored("input/test", "mine") == expected
    write_json({"name": "ecf7", "labels": [*ECF], "neutral": "neutral"}, tmp_path / "input" / "labels.json")
    said = scored("input", "mine")
    assert said.count("\n") == 1 and f"Name one of {tmp_path}/input/test/conversations.json" in said
    # of a run's folder the predictions count, and no other file
    spoken = [{**GOLD[0], "conversation": [{**GOLD[0]["conversation"][0], "speaker": "Ana", "emotion": "joy"}]}]
    spoken[0]["emotion-cause_pairs"] = [["1_joy", "1"]]
    write_json(spoken, tmp_path / "gold.json")
    write_predictions(tmp_path / "mine", spoken, [[[0.5] * 7]], [{}])
    write_json([], tmp_path / "mine" / "conversations.json")
    assert scored("gold.json", "mine")["weighted_f1"] == pytest.approx(1)


@pytest.mark.parametrize(
    "gold, pred, faulty, message",
    [
        (GOLD, None, "pred.json", "no such file"),
        ("", PRED, "gold.json", "empty"),
        (GOLD, "[{", "pred.json", "not JSON"),
        (GOLD, {"conversation_ID": 1}, "pred.json", "not a list"),
        (GOLD, [{"emotion-cause_pairs": []}], "pred.json", "no conversation_ID"),
        (GOLD, PRED * 2, "pred.json", "conversation 1: its conversation_ID is there twice"),
        (GOLD, [], "pred.json", "conversation 1: it is missing"),
        (GOLD, [{"conversation_ID": 1}], "pred.json", "conversation 1: the key 'emotion-cause_pairs' is missing"),
        ([{"conversation_ID": 1}], PRED, "gold.json", "conversation 1: the key 'emotion-cause_pairs' is missing"),
        (GOLD, [PRED[0] | {"emotion-cause_pairs": [["1", "joy"]]}], "pred.json", "conversation 1: the pair"),
        (GOLD, [PRED[0] | {"emotion-cause_pairs": [["1_happy", "1"]]}], "pred.json", "unknown emotion"),
    ],
)
@pytest.mark.parametrize("options", ([], ["--json"]))
def test_refusals_are_one_line_and_status_2(arguments, capsys, gold, pred, faulty, message, options):
    assert main([*arguments(2, gold, pred), *options]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert faulty in output.err and message in output.err


def test_status_of_the_command(arguments):
    for pred, status in ((PRED, 0), ([], 2)):
        command = [sys.executable, "-m", "utils.score", *arguments(2, GOLD, pred)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == status
        assert "Traceback" not in done.stderr


def test_a_label_set_is_named_or_stands_beside_the_gold(tmp_path, capsys):
    moods = {"name": "moods", "labels": ["calm", "glad"], "neutral": "calm"}
    gold = [{**GOLD[0], "emotion-cause_pairs": [["1_glad", "1"]]}]
    for path in (tmp_path / "input" / "test" / "gold.json", tmp_path / "gold.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(gold, path)
    write_json(moods, tmp_path / "moods.json")
    command = ["--subtask", "2", "--pred", str(tmp_path / "gold.json"), "--json", "--gold"]
    assert main([*command, str(tmp_path / "gold.json")]) == 2 and "glad" in capsys.readouterr().err, "not ECF's"
    assert main([*command, str(tmp_path / "gold.json"), "--labels", str(tmp_path / "moods.json")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["weighted_f1"] == pytest.approx(1) and set(found["per_emotion"]) == {"glad"}
    (tmp_path / "moods.json").rename(tmp_path / "input" / "labels.json")
    assert main([*command, str(tmp_path / "input" / "test" / "gold.json")]) == 0
    assert json.loads(capsys.readouterr().out) == found
    assert main([*command, str(tmp_path / "gold.json"), "--labels", "mood"]) == 2
