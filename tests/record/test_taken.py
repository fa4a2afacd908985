"""A run's name is taken by what the run left, and by nothing else.

python -m pytest tests/record/test_taken.py
"""

import shutil

import pytest
from helpers import tables_of

from utils.config import Config
from utils.data.conversations import without_labels
from utils.record.fit import fit
from utils.record.predictions import write_predictions
from utils.record.run import open_run
from utils.record.stages import NOTEBOOKS
from utils.record.taken import check_notebooks
from utils.system.errors import ModelError, RunError
from utils.system.files import read_json, write_json

FIRST, SECOND, THIRD, LAST = NOTEBOOKS


def opened(root, notebook=FIRST, **parameters):
    return open_run({"run_name": "one", **parameters}, notebook, root)[1]


@pytest.fixture
def root(tmp_path, conversations):
    for split in ("train", "val", "test"):
        write_json(conversations, tmp_path / "input" / split / "conversations.json")
    return tmp_path


def trained(run, task):
    run.finish_adapter(task, [], {})


def labelled(run, conversations):
    run.save_emotions(run.train_dir, conversations, tables_of(conversations)[0])


def test_a_folder_in_which_nothing_was_trained_is_free(root, conversations):
    opened(root, input_dir="input/nosuch", seed=1)  # the mistake of a first start
    opened(root, seed=1)
    run = opened(root, seed=2)
    for folder in (run.train_dir, run.test_dir):
        record = read_json(folder / "config.json")
        assert {*record} == {FIRST} and record[FIRST]["parameters"]["seed"] == 2
    opened(root, THIRD, cause_epochs=0.1)  # before there is anything, in any order
    assert {*read_json(run.train_dir / "config.json")} == {THIRD}


def test_a_value_of_any_length_in_a_record_is_shown_short(root):
    run = opened(root, seed=1)
    trained(run, "emotion")
    record = read_json(run.train_dir / "config.json")
    record[FIRST]["parameters"]["model"] = "9" * 5000
    write_json(record, run.train_dir / "config.json")
    with pytest.raises(RunError, match="already holds another run .model '999") as found:
        opened(root, seed=1)
    assert len(str(found.value)) < 500


@pytest.mark.parametrize("checkpoint", ["checkpoints/checkpoint-3", "checkpoints/text/checkpoints/checkpoint-3"])
def test_a_training_that_goes_on_takes_the_name(root, checkpoint):
    run = opened(root, seed=1)
    (run.adapter("emotion") / checkpoint).mkdir(parents=True)
    with pytest.raises(RunError, match="already holds another run .seed 1 there, 2 here"):
        opened(root, seed=2)
    opened(root, seed=1)


def test_an_adapter_that_learnt_nothing_leaves_the_name_free(tiny_model_folder, root, conversations):
    """Its message says: give more epochs."""
    from utils.models.load import load_model

    run = opened(root, model=tiny_model_folder, emotion_epochs=0.01, emotion_learning_rate=1e-30)
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    with pytest.raises(ModelError, match="nothing was trained. Give more data or epochs"):
        fit(run, run.task("emotion"), model, tokenizer, conversations)
    opened(root, model=tiny_model_folder, emotion_epochs=1.0)


def test_what_failed_is_free_and_what_was_finished_before_it_is_not(root, conversations):
    trained(opened(root, seed=1), "emotion")
    labelled(opened(root, SECOND), conversations)
    opened(root, THIRD, seed=1, cause_epochs=0.1)
    run = opened(root, THIRD, seed=1, cause_epochs=2.0)  # nothing was learnt in 0.1 epochs
    with pytest.raises(RunError, match="seed 1 there, 2 here, in 1_emotion"):
        opened(root, THIRD, seed=2)
    trained(run, "cause")
    with pytest.raises(RunError, match="cause_epochs 2.0 there, 3.0 here, in 3_cause"):
        opened(root, THIRD, seed=1, cause_epochs=3.0)
    write_predictions(opened(root, LAST).train_dir, conversations, *tables_of(conversations))
    shutil.rmtree(run.adapter("cause"))
    with pytest.raises(RunError, match="cause_epochs 2.0 there, 3.0 here, in 3_cause"):
        opened(root, THIRD, seed=1, cause_epochs=3.0)
    with pytest.raises(RunError, match="another run_name"):
        opened(root, input_dir="input/train", seed=1)  # other conversations: none


def test_labels_keep_the_records_of_adapters_that_are_not_here(root, conversations):
    """The runs of a clone: their scores ship, and not their adapters."""
    run = opened(root, seed=1)
    trained(run, "emotion")
    labelled(opened(root, SECOND), conversations)
    shutil.rmtree(run.adapter("emotion"))
    with pytest.raises(RunError, match="seed 1 there, 2 here"):
        opened(root, seed=2)


def test_what_changes_no_result_is_not_compared(root, conversations):
    trained(opened(root, report_to="none", max_row_tokens=4096), "emotion")
    opened(root, report_to="wandb", max_row_tokens=5000)
    shutil.copytree(root / "input", root / "moved")
    opened(root, input_dir="moved")
    write_json([without_labels(c) for c in conversations[:2]], root / "moved" / "unlabelled" / "conversations.json")
    with pytest.raises(RunError, match="already holds another run .other unlabelled conversations, in"):
        opened(root, input_dir="moved")


def test_a_chain_asks_before_it_starts_and_writes_nothing(root):
    config = Config(run_name="one", seed=1)
    trained(opened(root, seed=1, quantization="none"), "emotion")
    before = {path: path.read_bytes() for path in root.rglob("*.json")}
    assert check_notebooks(config, NOTEBOOKS, root) == root / "input"
    with pytest.raises(RunError, match="results_train/one already holds another run .seed 1 there, 2 here"):
        check_notebooks(Config(run_name="one", seed=2), NOTEBOOKS, root)
    check_notebooks(Config(run_name="one", seed=2), [LAST], root)  # it has no seed
    assert {path: path.read_bytes() for path in root.rglob("*.json")} == before
