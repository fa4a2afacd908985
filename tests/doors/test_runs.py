"""Run folders: one run each, inputs that name the step to run first, outputs that hold no text.

python -m pytest tests/doors/test_runs.py
"""

import json
import math
import re
import shutil
import subprocess
import sys

import pytest
from helpers import ROOT, tables_of

import generate_input
from utils.config import Config
from utils.data.conversations import with_pairs, without_labels
from utils.data.labels import ECF
from utils.record.predictions import write_predictions
from utils.record.provenance import revision, versions
from utils.record.run import Run
from utils.record.run import open_run as open_notebook
from utils.record.verify import is_equal, verify
from utils.runs import main
from utils.system.errors import ConfigError, ConversationError, RunError, UserError
from utils.system.files import read_json, write_json
from utils.tasks.baselines import rule
from utils.tasks.emotion import Emotion

NAMES = ["model", "seed", "emotion_learning_rate"]
TRAINING, INFERENCE = "1_emotion_recognition_training", "2_emotion_inference"


def open_run(root, notebook=TRAINING, names=NAMES, **parameters):
    return Run(Config(run_name="mine", **parameters), notebook, names, root=root)


def trained(run, task="emotion"):
    """The run, in which an adapter was trained: its name is taken."""
    run.finish_adapter(task, [], {})
    return run


def test_a_run_records_what_it_is_in_both_folders(tmp_path):
    run = open_run(tmp_path, seed=7)
    for folder in (tmp_path / "results_train" / "mine", tmp_path / "results_test" / "mine"):
        record = read_json(folder / "config.json")[TRAINING]
        assert record["parameters"] == {"model": run.config.model, "seed": 7, "emotion_learning_rate": 1e-3}
        assert record["revision"] == revision() and record["versions"] == versions()
    assert versions()["torch"] != "absent"


def test_the_same_run_opens_again_and_other_notebooks_add_to_it(tmp_path):
    trained(open_run(tmp_path))
    open_run(tmp_path, token_budget=99)  # not among this notebook's parameters
    run = open_run(tmp_path, INFERENCE, ["token_budget"], token_budget=99)
    record = read_json(run.train_dir / "config.json")
    assert set(record) == {TRAINING, INFERENCE} and record[INFERENCE]["parameters"] == {"token_budget": 99}


def test_another_runs_folder_is_refused_with_the_difference_and_stays_as_it_is(tmp_path):
    run = trained(open_run(tmp_path))
    before = [(folder / "config.json").read_bytes() for folder in (run.train_dir, run.test_dir)]
    with pytest.raises(RunError, match="already holds another run .seed 42 there, 43 here.*another run_name"):
        open_run(tmp_path, seed=43)
    with pytest.raises(
        RunError, match="model 'smollm2-135m-instruct' there, 'other/model' here, seed 42 there, 1 here"
    ):
        open_run(tmp_path, seed=1, model="other/model")
    assert [(folder / "config.json").read_bytes() for folder in (run.train_dir, run.test_dir)] == before


def test_a_parameter_that_came_after_the_run_counts_as_its_default(tmp_path):
    run = trained(open_run(tmp_path))
    record = read_json(run.train_dir / "config.json")
    assert record[TRAINING]["parameters"].pop("seed") == 42
    write_json(record, run.train_dir / "config.json")
    with pytest.raises(RunError, match="already holds another run .seed 42 there, 43 here"):
        open_run(tmp_path, seed=43)
    assert read_json(open_run(tmp_path).train_dir / "config.json")[TRAINING]["parameters"]["seed"] == 42


def test_a_run_is_bound_to_its_input(tmp_path, conversations):
    for split in ("train", "val"):
        write_json(conversations, tmp_path / "input" / split / "conversations.json")
    run = trained(open_run(tmp_path))
    assert set(read_json(run.train_dir / "config.json")[TRAINING]["input"]) == {"train", "val"}
    open_run(tmp_path)
    write_json(conversations[:2], tmp_path / "input" / "val" / "conversations.json")
    with pytest.raises(RunError, match="already holds another run .other val conv"):
        open_run(tmp_path)


def test_another_notebook_of_the_run_is_bound_to_the_same_input_and_parameters(tmp_path, conversations):
    """Otherwise conversations could move from training to test between two notebooks."""
    write_json(conversations, tmp_path / "input" / "train" / "conversations.json")
    trained(open_notebook({"run_name": "one", "recipe": "one_pass"}, TRAINING, tmp_path)[1])
    with pytest.raises(RunError, match="recipe 'one_pass' there, 'published' here"):
        open_notebook({"run_name": "one", "recipe": "published", "cause_form": "list"}, "2_emotion_inference", tmp_path)
    write_json(conversations[:2], tmp_path / "input" / "train" / "conversations.json")
    with pytest.raises(RunError, match="already holds another run .other train conversations"):
        open_notebook({"run_name": "one"}, "2_emotion_inference", tmp_path)


def test_a_notebooks_globals_open_its_run(tmp_path):
    config, run = open_notebook({"run_name": "mine", "seed": 3, "pd": pytest}, TRAINING, tmp_path)
    assert (config.seed, run.notebook, run.train_dir) == (3, TRAINING, tmp_path / "results_train" / "mine")
    assert read_json(run.train_dir / "config.json")[TRAINING]["parameters"] == {"run_name": "mine", "seed": 3}
    with pytest.raises(ConfigError):
        open_notebook({"run_name": "other", "seed": "3"}, TRAINING, tmp_path)
    assert not (tmp_path / "results_train" / "other").exists(), "nothing is written before the parameters are checked"


def test_a_refused_run_writes_to_neither_folder(tmp_path):
    """Where only results_test holds another run, nothing may be written to results_train first."""
    run = trained(open_run(tmp_path))
    (run.train_dir / "config.json").unlink()
    with pytest.raises(RunError, match="already holds another run"):
        open_run(tmp_path, seed=43)
    assert not (run.train_dir / "config.json").exists()


# ---- inputs ------------------------------------------------------------------------------------------------


def test_missing_inputs_name_the_step_to_run_first(tmp_path, conversations):
    run = open_run(tmp_path)
    with pytest.raises(RunError, match="missing: run generate_input.py first"):
        run.conversations("train", labelled=True)
    assert run.conversations("val", labelled=True) == [] and run.emotion_labelled(run.train_dir, "val") == []

    write_json(conversations, tmp_path / "input" / "val" / "conversations.json")
    assert run.conversations("val", labelled=True) == conversations
    with pytest.raises(RunError, match="emotion_labelled_data.json is missing: run notebook 2_emotion_inference first"):
        run.emotion_labelled(run.train_dir, "val")
    write_json(conversations, run.train_dir / "emotion_labelled_data.json")
    with pytest.raises(RunError, match="data_probabilities.json is missing: run notebook 2_emotion_inference first"):
        run.emotion_labelled(run.train_dir, "val")
    run.save_emotions(run.train_dir, conversations, [[[1.0]] * len(c["conversation"]) for c in conversations])
    write_json([without_labels(c) for c in conversations], run.train_dir / "emotion_labelled_data.json")
    with pytest.raises(RunError, match="conversation 2 lacks emotions: run notebook 2_emotion_inference again"):
        run.emotion_labelled(run.train_dir, "val")
    run.save_emotions(run.train_dir, conversations, [[[1.0]] * len(c["conversation"]) for c in conversations])
    assert run.emotion_labelled(run.train_dir, "val") == conversations

    for task, notebook in (
        ("emotion", "1_emotion_recognition_training"),
        ("cause", "3_cause_prediction_training"),
    ):
        with pytest.raises(RunError, match=f"no finished adapter: run notebook {notebook} first"):
            run.finished_adapter(task)


def test_labels_of_an_adapter_that_was_trained_again_are_refused(tmp_path, conversations):
    write_json(conversations, tmp_path / "input" / "val" / "conversations.json")
    run = Run(Config(), "2_emotion_inference", [], root=tmp_path)
    weights = run.adapter("emotion") / "adapter_model.safetensors"
    run.finish_adapter("emotion", [], {})
    weights.write_bytes(b"first")
    run.finished_adapter("emotion")
    run.save_emotions(run.train_dir, conversations, [[[1.0]] * len(c["conversation"]) for c in conversations])
    run.finish()
    last = Run(Config(), "4_cause_inference", [], root=tmp_path)
    assert last.emotion_labelled(run.train_dir, "val") == conversations
    weights.write_bytes(b"second")
    refused = "trained again since: run notebook 2_emotion_inference first"
    write_json(conversations, tmp_path / "input" / "val" / "conversations.json")
    other = Run(Config(run_name="cut"), "2_emotion_inference", [], root=tmp_path)  # interrupted before its end
    shutil.copytree(run.adapter("emotion"), other.adapter("emotion"))
    (other.adapter("emotion") / "adapter_model.safetensors").write_bytes(b"first")
    other.finished_adapter("emotion")
    other.save_emotions(other.train_dir, conversations, [[[1.0]] * len(c["conversation"]) for c in conversations])
    (other.adapter("emotion") / "adapter_model.safetensors").write_bytes(b"second")
    with pytest.raises(RunError, match=refused):
        Run(Config(run_name="cut"), "4_cause_inference", [], root=tmp_path).emotion_labelled(other.train_dir, "val")
    with pytest.raises(RunError, match=refused):
        last.emotion_labelled(run.train_dir, "val")
    run = Run(Config(), "2_emotion_inference", [], root=tmp_path)  # begun again, and interrupted
    run.finished_adapter("emotion")
    with pytest.raises(RunError, match=refused):
        last.emotion_labelled(run.train_dir, "val")
    run.finish()
    assert last.emotion_labelled(run.train_dir, "val") == conversations


def test_limits_may_be_raised_and_inference_may_use_other_rows(tmp_path):
    training, inference = "1_emotion_recognition_training", "2_emotion_inference"
    names = ["max_row_tokens", "token_budget", "model"]
    trained(Run(Config(), training, names, root=tmp_path))
    Run(Config(max_row_tokens=5000, token_budget=128), inference, names, root=tmp_path)
    for notebook in (training, inference, "3_cause_prediction_training"):
        Run(Config(max_row_tokens=6000), notebook, names, root=tmp_path)
    with pytest.raises(RunError, match="token_budget 256 there, 128 here, in 1_emotion_recognition_training"):
        Run(Config(token_budget=128), training, names, root=tmp_path)


def test_a_run_whose_input_is_not_here_is_not_another_run(tmp_path, conversations):
    write_json(conversations, tmp_path / "input/train/conversations.json")
    trained(open_notebook({"run_name": "mine"}, TRAINING, tmp_path)[1])
    shutil.rmtree(tmp_path / "input")
    for _ in range(2):
        with pytest.raises(RunError, match="input, which this run is on, is not here: make it again"):
            open_notebook({"run_name": "mine"}, TRAINING, tmp_path)
        assert not (tmp_path / "input").exists()
    trained(open_notebook({"run_name": "on the sample"}, TRAINING, tmp_path)[1])
    shutil.rmtree(tmp_path / "input")
    open_notebook({"run_name": "on the sample"}, INFERENCE, tmp_path)
    assert (tmp_path / "input/train").is_dir()


def test_a_run_that_was_handed_over_may_be_opened_by_another_process(tmp_path):
    program = f"""
from pathlib import Path
from utils.config import Config
from utils.record.run import Run
Run(Config(run_name="mine"), "1_emotion_recognition_training", [], root=Path({str(tmp_path)!r}))"""
    run = open_run(tmp_path, names=[])
    for expected in ("another process works in .*its kernel is shut down", ""):
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert bool(done.returncode) == bool(expected) and re.search(expected, done.stderr)
        run.hand_over()
    open_run(tmp_path, names=[])


def test_unlabelled_training_data_are_refused(tmp_path, conversations):
    write_json([without_labels(c) for c in conversations], tmp_path / "input" / "train" / "conversations.json")
    with pytest.raises(ConversationError, match="labels are needed"):
        open_run(tmp_path).conversations("train", labelled=True)
    assert len(open_run(tmp_path).conversations("train", labelled=False)) == len(conversations)


def test_words_that_are_held_out_are_not_read_before_the_labels(tmp_path, conversations, capsys):
    given = {"train": conversations[:1], "val": conversations[1:2], "test": conversations[2:3]}
    given["unlabelled"] = [{**without_labels(c), "conversation_ID": 70 + k} for k, c in enumerate(conversations)]
    added = {"utterance_ID": 90, "text": "Bye.", "speaker": "Nobody"}
    given["unlabelled"][2]["conversation"].append(added)
    for split, some in given.items():
        write_json(some, tmp_path / "input" / split / "conversations.json")
    run = Run(Config(run_name="with", text_epochs=1.0), "n", [], root=tmp_path)
    ids = [c["conversation_ID"] for c in run.unlabelled_words()]
    assert ids == [70 + k for k in range(len(conversations)) if k not in (1, 2)]
    assert f"2 of {len(conversations)} unlabelled conversations also stand in val or test" in capsys.readouterr().out
    assert Run(Config(run_name="without"), "n", [], root=tmp_path).unlabelled_words() == []


def test_the_prior_of_an_adapter_comes_from_what_its_training_saw(tmp_path):
    run = open_run(tmp_path)
    task, seen = Emotion(adjustment=0.5), dict.fromkeys(ECF, 2)
    run.finish_adapter("emotion", [], seen)
    assert task.trained(run.adapter("emotion")).prior == pytest.approx([0.5 * math.log(1 / 7)] * 7)
    for wrong in ({**seen, "joy": "2"}, {"joy": 2}, None):
        run.finish_adapter("emotion", [], wrong)
        with pytest.raises(RunError, match="training.json.*emotions.*train the adapter again"):
            task.trained(run.adapter("emotion"))


def test_an_adapter_is_finished_once_its_log_is_written(tmp_path):
    run = open_run(tmp_path)
    assert run.history("emotion") is None
    (run.adapter("emotion") / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    run.finish_adapter("emotion", [{"loss": 1.5, "step": 1}], {"joy": 3})
    record = read_json(run.adapter("emotion") / "training.json")
    assert record["parameters"] == run.config.as_dict() and record["revision"] == revision()
    assert (
        run.history("emotion") == [{"loss": 1.5, "step": 1}] and not (run.adapter("emotion") / "checkpoints").exists()
    )
    assert run.finished_adapter("emotion") == run.adapter("emotion") and run.history("cause") is None


# ---- outputs -----------------------------------------------------------------------------------------------


def test_emotions_and_their_probabilities_stand_beside_each_other(tmp_path, conversations):
    run = open_run(tmp_path)
    assert run.emotion_probabilities(run.test_dir) == []
    run.save_emotions(run.test_dir, conversations, [[[0.25]], [], []])
    assert read_json(run.test_dir / "emotion_labelled_data.json") == conversations
    assert run.emotion_probabilities(run.test_dir) == [[[0.25]], [], []]


def test_predictions_hold_labels_and_probabilities_but_no_text(tmp_path, conversations):
    emotions = [[[0.123456] + [0.14] * 6 for _ in c["conversation"]] for c in conversations]
    causes = [{1: {1: 0.98765432, 2: 0.5}}, {}, {3: {2: 1.0}}]
    write_predictions(tmp_path, conversations, emotions, causes)
    text = (tmp_path / "predictions.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == len(conversations)
    for line, c in zip(lines, conversations):
        assert list(line) == [
            "conversation_ID",
            "emotions",
            "emotion_probabilities",
            "emotion-cause_pairs",
            "cause_probabilities",
        ]
        assert line["emotions"] == [u["emotion"] for u in c["conversation"]]
        assert sorted(line["emotion-cause_pairs"]) == sorted(c["emotion-cause_pairs"])
        assert not any(u["text"] in text or u["speaker"] in text for u in c["conversation"])
    assert lines[0]["emotion_probabilities"][0][0] == 0.1235
    assert lines[0]["cause_probabilities"] == {"1": {"1": 0.9877, "2": 0.5}} and lines[1]["cause_probabilities"] == {}


def test_predictions_of_other_lengths_are_refused_and_nothing_is_written(tmp_path, conversations):
    with pytest.raises(ValueError):
        write_predictions(tmp_path, conversations, [[]], [{}] * 3)
    assert not list(tmp_path.iterdir())
    write_predictions(tmp_path, [], [], [])
    assert (tmp_path / "predictions.jsonl").read_text() == ""
    calm = with_pairs(conversations[0], [])
    write_predictions(tmp_path, [calm], [[]], [{}])
    assert json.loads((tmp_path / "predictions.jsonl").read_text())["emotion-cause_pairs"] == []


def test_a_second_process_is_refused_as_long_as_the_first_lives(tmp_path):
    opening = (
        "import sys; from utils.config import Config; from utils.record.run import Run; from pathlib import Path; "
    )
    opening += f"Run(Config(run_name='mine'), 'n', [], root=Path({str(tmp_path)!r})); print('open', flush=True); "
    first = [sys.executable, "-c", opening + "sys.stdin.read()"]
    with subprocess.Popen(first, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(RunError, match="another process works in .*mine: let it end .* or choose another"):
            open_run(tmp_path)
        process.kill()
    open_run(tmp_path)
    open_run(tmp_path, INFERENCE)


# ---- verify ------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(tmp_path, sample):
    """(folder, gold) of a run that has predictions and scores, some of them wrong ones."""
    gold = sample[:20]
    write_json(gold, tmp_path / "input" / "test" / "conversations.json")
    run = open_run(tmp_path, "4_cause_inference", ["input_dir"])
    predicted = [rule(c) for c in gold[:15]] + [with_pairs(c, []) for c in gold[15:]]
    write_predictions(run.train_dir, predicted, *tables_of(predicted))
    run.score_emotions(gold, {"fine-tuned": (predicted, tables_of(predicted)[0])})
    systems = {
        "fine-tuned emotions + rule": [rule(c) for c in predicted],
        "fine-tuned emotions and causes": predicted,
        "gold emotions + rule": [rule(c) for c in gold],
    }
    run.score_pairs(gold, {name: (name.split()[0], pairs) for name, pairs in systems.items()})
    return run.train_dir, gold


def test_verify_computes_every_figure_again(tmp_path, scored, capsys):
    folder, gold = scored
    figures, *_ = verify(folder, tmp_path)
    assert len(figures) > 100 and all(is_equal(*both) for both in figures.values())
    assert "pairs / fine-tuned emotions and causes / scores / weighted_f1" in figures

    metrics = read_json(folder / "metrics.json")
    metrics["emotions"]["fine-tuned"]["accuracy"] += 1e-6
    del metrics["pairs"]["gold emotions + rule"]
    write_json(metrics, folder / "metrics.json")
    figures, *_ = verify(folder, tmp_path)
    changed = {name for name, both in figures.items() if not is_equal(*both)}
    assert "emotions / fine-tuned / accuracy" in changed
    assert {name.split(" / ")[1] for name in changed} == {"fine-tuned", "gold emotions + rule"}

    write_json(gold[:19], tmp_path / "input" / "test" / "conversations.json")
    with pytest.raises(RunError, match="test is not what this run was scored on.*generate_input"):
        verify(folder, tmp_path)
    shutil.rmtree(tmp_path / "input" / "test")
    with pytest.raises(RunError, match="test, which this run was scored on, is not here.*generate_input"):
        verify(folder, tmp_path)


def test_a_run_that_held_nothing_out_was_not_scored(tmp_path, conversations):
    write_json(conversations, tmp_path / "input/train/conversations.json")
    write_json([], tmp_path / "input/test/conversations.json")
    run = open_run(tmp_path, "4_cause_inference", ["input_dir"])
    run.score_emotions([], {})
    with pytest.raises(RunError, match="test is empty: nothing was held out of this run's training"):
        verify(run.train_dir, tmp_path)


def test_predictions_that_are_not_the_runs_are_refused(tmp_path, scored):
    folder, _ = scored
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    for bad in ("", "[]", lines[0][:30], "\n".join(lines[1:]), "\n".join(lines).replace("_joy", "_envy")):
        (folder / "predictions.jsonl").write_text(bad)
        with pytest.raises(UserError, match="predictions.jsonl.*(cannot be read as predictions|not JSON|an object)"):
            verify(folder, tmp_path)


def test_the_committed_scores_are_those_of_the_committed_predictions(tmp_path, shared, capsys):
    data = ["--data", str(shared / "ecf"), "--splits", "ecf1_splits.json", "--out", str(tmp_path / "input" / "ecf")]
    generate_input.main(data)
    figures, *_ = verify(ROOT / "results_train" / "smollm2-135m-ecf", tmp_path)
    assert len(figures) > 100 and all(is_equal(*both) for both in figures.values())


def test_verify_from_the_command_line(tmp_path, capsys):
    assert main(["verify", str(tmp_path)]) == 2
    assert "no metrics.json and config.json here" in capsys.readouterr().err
