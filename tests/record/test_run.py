"""A run is bound to its input and its label set, and reads no held-out words before the labels.

python -m pytest tests/record/test_run.py
"""

import pytest
from helpers import beginning

from utils.config import Config
from utils.data.conversations import without_labels
from utils.data.labels import ECF, LabelSet
from utils.record.adapter import labels_of
from utils.record.run import Run, open_run
from utils.system.errors import ConfigError, FileError, ModelError, RunError
from utils.system.files import read_json, write_json


def test_a_split_that_comes_between_two_notebooks_is_another_input(tmp_path, conversations):
    write_json(conversations, tmp_path / "input" / "train" / "conversations.json")
    open_run({"run_name": "one"}, "1_emotion_recognition_training", tmp_path)[1].finish_adapter("emotion", [], {})
    write_json(conversations, tmp_path / "input" / "test" / "conversations.json")  # what training has seen
    with pytest.raises(RunError, match="already holds another run .other test conversations"):
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


# ---- label sets ----------------------------------------------------------------------------------------------------

MOODS = LabelSet("moods", ("calm", "glad", "low"), "calm")
PLAIN = LabelSet("plain", ("up", "down"))


def mood_talks(*labels, causes=False):
    """Conversations whose first utterance carries the label, and the second none."""
    lines = [{"utterance_ID": 1, "text": "So", "speaker": "A"}, {"utterance_ID": 2, "text": "Yes", "speaker": "B"}]
    return [
        {
            "conversation_ID": number,
            "conversation": [{**lines[0], "emotion": label}, {**lines[1], "emotion": None}],
            **({"emotion-cause_pairs": [[f"1_{label}", "2"]]} if causes else {}),
        }
        for number, label in enumerate(labels, 1)
    ]


def input_of(root, conversations, labels):
    for split in ("train", "val", "test"):
        write_json(conversations, root / "input" / split / "conversations.json")
    write_json(labels.as_dict(), root / "input" / "labels.json")


def test_a_run_has_the_label_set_of_its_input_and_records_it(tmp_path):
    input_of(tmp_path, mood_talks("glad", "low"), MOODS)
    config, run = open_run({"run_name": "one"}, "1_emotion_recognition_training", tmp_path)
    assert run.labels == MOODS and run.task("emotion").labels == MOODS
    assert run.conversations("train", labelled=True) == mood_talks("glad", "low")
    assert read_json(run.train_dir / "config.json")[run.notebook]["labels"] == MOODS.as_dict()
    run.finish_adapter("emotion", [], {"calm": 0, "glad": 1, "low": 1})
    assert labels_of(run.adapter("emotion")) == MOODS
    assert run.task("emotion").trained(run.adapter("emotion")).prior is not None
    with pytest.raises(
        ModelError, match="adapters/emotion: it was trained on the label set moods .* are those of ecf7"
    ):
        config.task("emotion").trained(run.adapter("emotion"))


def test_an_input_without_a_label_file_is_ecfs(tmp_path, conversations):
    write_json(conversations, tmp_path / "input" / "train" / "conversations.json")
    _, run = open_run({"run_name": "one"}, "1_emotion_recognition_training", tmp_path)
    assert run.labels is ECF and run.task("cause").labels is ECF
    run.finish_adapter("emotion", [], {})
    record = read_json(run.adapter("emotion") / "training.json")
    del record["labels"]  # as records from before label sets
    write_json(record, run.adapter("emotion") / "training.json")
    assert labels_of(run.adapter("emotion")) is ECF


def test_another_label_set_of_the_same_conversations_is_another_run(tmp_path):
    input_of(tmp_path, mood_talks("glad", "low"), MOODS)
    open_run({"run_name": "one"}, "1_emotion_recognition_training", tmp_path)[1].finish_adapter("emotion", [], {})
    write_json(LabelSet("others", MOODS.labels[::-1], "calm").as_dict(), tmp_path / "input" / "labels.json")
    with pytest.raises(RunError, match="already holds another run .labels 'moods' there, 'others' here"):
        open_run({"run_name": "one"}, "2_emotion_inference", tmp_path)
    write_json(LabelSet("renamed", MOODS.labels, "calm").as_dict(), tmp_path / "input" / "labels.json")
    assert open_run({"run_name": "one"}, "2_emotion_inference", tmp_path)[1].labels == MOODS


def test_a_damaged_label_file_is_named(tmp_path):
    input_of(tmp_path, mood_talks("glad"), MOODS)
    (tmp_path / "input" / "labels.json").write_text('{"name": "moods"}')
    with pytest.raises(FileError, match="labels.json: .* is no label set. Write"):
        open_run({"run_name": "one"}, "1_emotion_recognition_training", tmp_path)
    assert not (tmp_path / "results_train" / "one" / "config.json").exists()


@pytest.mark.parametrize("notebook", ["3_cause_prediction_training", "4_cause_inference"])
def test_causes_are_asked_of_a_corpus_that_has_them_alone(tmp_path, notebook):
    input_of(tmp_path, mood_talks("glad", "low"), MOODS)
    _, run = open_run({"run_name": "one"}, notebook, tmp_path)
    with pytest.raises(RunError, match="input: the conversations have emotions and no causes, so notebooks 1 and 2"):
        run.task("cause")
    input_of(tmp_path / "caused", mood_talks("glad", causes=True), MOODS)
    assert open_run({"run_name": "one"}, notebook, tmp_path / "caused")[1].task("cause").labels == MOODS
    input_of(tmp_path / "plain", mood_talks("up", causes=True), PLAIN)
    with pytest.raises(ConfigError, match="label set plain has no neutral label"):
        open_run({"run_name": "one"}, notebook, tmp_path / "plain")[1].task("cause")
