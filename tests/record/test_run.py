"""A run is bound to its input, and reads no held-out words before the labels.

python -m pytest tests/record/test_run.py
"""

import pytest
from helpers import beginning

from utils.config import Config
from utils.data.conversations import without_labels
from utils.record.run import Run, open_run
from utils.system.errors import RunError
from utils.system.files import write_json


def test_a_split_that_comes_between_two_notebooks_is_another_input(tmp_path, conversations):
    write_json(conversations, tmp_path / "input" / "train" / "conversations.json")
    open_run({"run_name": "one"}, "1_emotion_recognition_training", tmp_path)
    write_json(conversations, tmp_path / "input" / "test" / "conversations.json")  # what training has seen
    with pytest.raises(RunError, match="already holds another run .test None there, '"):
        open_run({"run_name": "one"}, "2_emotion_inference", tmp_path)


@pytest.mark.parametrize("length", [4, 2])  # fewer than three utterances are known as a whole
def test_held_out_words_are_found_in_other_case_and_spacing(tmp_path, conversations, length):
    held_out = beginning(conversations[0], length)
    given = without_labels(held_out)
    given["conversation"] = [{**u, "text": f" {u['text'].upper().replace(' ', '  ')} "} for u in given["conversation"]]
    splits = {"train": conversations[1:], "val": [], "test": [held_out], "unlabelled": [given]}
    for split, some in splits.items():
        write_json(some, tmp_path / "input" / split / "conversations.json")
    assert Run(Config(text_epochs=1.0), "n", [], root=tmp_path).unlabelled_words() == []
