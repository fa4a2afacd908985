"""What would stop a notebook later is said before it begins, all of it at once.

python -m pytest tests/record/test_check.py
"""

import shutil

import pytest
from helpers import beginning

from utils.config import Config
from utils.data.conversations import without_labels
from utils.record.check import check_work
from utils.record.run import Run
from utils.record.stages import NOTEBOOKS
from utils.system.errors import ModelError, PlaceError, RunError, TooLong, TrackingError
from utils.system.files import write_json


@pytest.fixture
def root(tmp_path, sample):
    """An input of short conversations, of which one in train and one without labels are longer."""
    talks = [beginning(c, 3) for c in sample[:12]]
    talks[1] = sample[1]
    parts = {"train": talks[:8], "val": talks[8:10], "test": talks[10:], "unlabelled": [without_labels(sample[20])]}
    for split, some in parts.items():
        write_json(some, tmp_path / "input" / split / "conversations.json")
    return tmp_path


def checked(root, model, notebooks=NOTEBOOKS, **parameters):
    parameters = {"quantization": "none", "precision": "float32", **parameters}
    check_work(Config(run_name="one", model=model, **parameters), notebooks, root)


def test_a_run_that_can_be_passes_and_writes_nothing(root, tiny_model_folder, capsys):
    checked(root, tiny_model_folder)
    said = capsys.readouterr().out
    assert "needs for training about" in said and "tokens of at most 4,096; " in said and "free on the disk" in said
    assert [path.name for path in root.iterdir()] == ["input"]


def test_every_conversation_that_is_too_long_is_named_with_one_value_that_would_do(root, sample, tiny_model_folder):
    with pytest.raises(TooLong) as error:
        checked(root, tiny_model_folder, max_row_tokens=600)
    names = {f"conversation {sample[k]['conversation_ID']}" for k in (1, 20)}
    assert {*error.value.tokens} == names and all(name in str(error.value) for name in names)
    enough = max(error.value.tokens.values())
    checked(root, tiny_model_folder, max_row_tokens=enough)
    with pytest.raises(TooLong):
        checked(root, tiny_model_folder, max_row_tokens=enough - 1)
    checked(root, tiny_model_folder, NOTEBOOKS[:0], max_row_tokens=600)


@pytest.mark.parametrize(
    "parameters,error,message",
    [
        ({"report_to": "wandb"}, TrackingError, "not installed: run `pip install wandb`"),
        ({"lora_targets": ["nosuch"]}, ModelError, "lora_targets is .'nosuch'"),
        ({"input_dir": "input/nosuch"}, RunError, "nosuch/train/conversations.json is missing: run generate_input.py"),
    ],
)
def test_what_would_stop_a_notebook_stops_before(root, tiny_model_folder, monkeypatch, parameters, error, message):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(error, match=message):
        checked(root, tiny_model_folder, **parameters)


def test_a_full_disk_and_a_model_that_is_nowhere(root, tiny_model_folder, monkeypatch, tmp_path):
    with pytest.raises(ModelError, match="cannot be loaded"):
        checked(root, str(tmp_path / "nowhere"))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(PlaceError, match="0.00 GiB are free on the disk, and checkpoints need about .*: make room"):
        checked(root, tiny_model_folder)
    checked(root, tiny_model_folder, NOTEBOOKS[1::2])  # inference has no checkpoints


def test_a_finished_adapter_is_not_trained_again(root, tiny_model_folder, capsys):
    """So neither its tracker nor its memory counts."""
    given = {"model": tiny_model_folder, "quantization": "none", "precision": "float32"}
    run = Run(
        Config(run_name="one", **given), NOTEBOOKS[0], ["run_name", "model", "quantization", "precision"], root=root
    )
    for task in ("emotion", "cause"):
        run.finish_adapter(task, [], {})
    checked(root, tiny_model_folder, report_to="wandb")
    assert "needs for inference about" in capsys.readouterr().out
