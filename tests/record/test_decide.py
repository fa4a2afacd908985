"""Other inference parameters on a finished run: what a model would have answered, from the recorded probabilities.

python -m pytest tests/record/test_decide.py
"""

import shutil

import numpy as np
import pytest
from helpers import called, files, questions

from utils.config import Config
from utils.data.conversations import without_labels
from utils.data.labels import ECF
from utils.record.decide import SECTION, decide
from utils.record.lock import release
from utils.record.run import open_run
from utils.record.verify import is_equal, verify
from utils.report.scores import RESULT, read_scores
from utils.runs import main
from utils.system import places
from utils.system.errors import ConfigError, RunError
from utils.system.files import read_json, read_json_lines, write_json
from utils.tasks import cause_structure
from utils.tasks.ask import search_all

SEEN = {"neutral": 400, "anger": 90, "joy": 60, "sadness": 50, "surprise": 42, "fear": 30, "disgust": 20}
PARAMETERS = {"run_name": "mine", "input_dir": "input", "cause_threshold": 0.15, "logit_adjustment": 0.1}


def scored(trees, names, progress):
    """In place of a model: for each question log-probabilities of its answers, the same for the same question."""
    found = []
    for tree, name in zip(trees, names, strict=True):
        random = np.random.default_rng(len(name) + sum(map(ord, name)))
        rows = [random.normal(size=len(one.answers)) for one in questions(tree)]
        found.append([(row - np.log(np.exp(row).sum())).tolist() for row in rows])
    return found


def answers(adapters, conversations, **parameters):
    """(labelled, emotion probabilities, paired, cause probabilities) by these parameters."""
    config = Config.of(PARAMETERS | parameters)
    task = config.task("emotion", ECF).trained(adapters / "emotion")
    labelled, emotions = search_all(task, [without_labels(c) for c in conversations], scored)
    task = config.task("cause", ECF).trained(adapters / "cause").given_emotions(labelled, emotions)
    return labelled, emotions, *search_all(task, labelled, scored)


@pytest.fixture(scope="module")
def made(tmp_path_factory, sample):
    """Where a run with these parameters is, labelled conversations held out, and unlabelled ones."""
    tmp_path = tmp_path_factory.mktemp("made")
    for split, some in (("train", sample[20:]), ("test", sample[:6])):
        write_json(some, tmp_path / "input" / split / "conversations.json")
    write_json([without_labels(c) for c in sample[6:9]], tmp_path / "input" / "unlabelled" / "conversations.json")
    _, run = open_run(PARAMETERS, "2_emotion_inference", tmp_path)
    run.finish_adapter("emotion", [], SEEN)
    run.finish_adapter("cause", [], SEEN, structure=True)
    cause_structure.save(cause_structure.learn(sample[20:], 1), run.adapter("cause"))
    given = {run.train_dir: sample[:6], run.test_dir: [without_labels(c) for c in sample[6:9]]}
    found = {folder: answers(run.adapter("emotion").parent, some) for folder, some in given.items()}
    for folder, (labelled, emotions, _, _) in found.items():
        run.save_emotions(folder, labelled, emotions)
    _, run = open_run(PARAMETERS, "4_cause_inference", tmp_path)
    for folder, (_, emotions, paired, causes) in found.items():
        run.save_pairs(folder, paired, emotions, causes)
    run.score_pairs(sample[:6], {RESULT: ("fine-tuned", found[run.train_dir][2])})
    release(run.train_dir)
    return tmp_path


@pytest.fixture
def root(made, tmp_path, monkeypatch):
    """A copy of it, where the place keeps results."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(places, "find", lambda: places.Place("here", tmp_path))
    return tmp_path


def lines(folder):
    return [line for _, line in read_json_lines(folder / "predictions.jsonl")]


def wanted(conversations):
    return [
        ([u["emotion"] for u in c["conversation"]], [[str(x) for x in pair] for pair in c["emotion-cause_pairs"]])
        for c in conversations
    ]


def test_another_threshold_gives_the_pairs_that_inference_would_give(root, sample):
    before = files(root / "results_train" / "mine")
    folder = decide("mine", {"cause_threshold": 0.25})
    assert folder == root / "results_train" / "mine-cause_threshold-0.25"
    assert files(root / "results_train" / "mine") == before, "the run stays as it is"
    adapters = root / "results_train" / "mine" / "adapters"
    for place, given in ((folder, sample[:6]), (root / "results_test" / folder.name, sample[6:9])):
        paired = answers(adapters, given, cause_threshold=0.25)[2]
        found = lines(place)
        assert [(one["emotions"], one["emotion-cause_pairs"]) for one in found] == wanted(paired)
        assert wanted(read_json(place / "Subtask_2_pred.json")) == wanted(paired)
        old = lines(place.parent / "mine")
        assert [one["cause_probabilities"] for one in found] == [one["cause_probabilities"] for one in old]
        assert [one["emotion-cause_pairs"] for one in found] != [one["emotion-cause_pairs"] for one in old]


def test_another_adjustment_gives_the_emotions_that_inference_would_give(root, sample):
    folder = decide("mine", {"logit_adjustment": 1.2}, "rarer")
    assert folder.name == "rarer"
    labelled, tables, *_ = answers(root / "results_train" / "mine" / "adapters", sample[:6], logit_adjustment=1.2)
    found, old = lines(folder), lines(folder.parent / "mine")
    assert [one["emotions"] for one in found] == [[u["emotion"] for u in c["conversation"]] for c in labelled]
    assert [one["emotions"] for one in found] != [one["emotions"] for one in old]
    for one, table in zip(found, tables, strict=True):
        for row, expected in zip(one["emotion_probabilities"], table, strict=True):
            assert row == pytest.approx(expected, abs=2e-3)
    emotional = {str(i) for i, emotion in enumerate(found[0]["emotions"], 1) if emotion != "neutral"}
    assert {*found[0]["cause_probabilities"]} == emotional, "each of them was asked, by the trees where not before"


@pytest.mark.parametrize("parameters", [{"cause_threshold": 0.25}, {"logit_adjustment": 1.2, "cause_threshold": 0.3}])
def test_verify_reads_what_was_decided(root, parameters):
    folder = decide("mine", parameters)
    found = verify(folder)
    assert len(found.figures) > 100 and all(is_equal(*both) for both in found.figures.values())
    assert found.threshold == parameters["cause_threshold"] and not found.not_compared
    record = read_json(folder / "config.json")[SECTION]
    assert parameters.items() <= record["parameters"].items() and record["parameters"]["run"] == "mine"
    assert "pairs" in read_scores(folder)


def test_what_cannot_be_decided_is_refused(root):
    code, said = called(main, "decide", "mine", "-p", "seed", "3")
    assert code == 2 and "seed cannot be decided again from probabilities: give -p and one of cause_threshold" in said
    for parameters, message in (({}, "nothing is decided again"), ({"cause_threshold": 2.0}, "must lie below 1")):
        with pytest.raises(ConfigError, match=message):
            decide("mine", parameters)
    with pytest.raises(RunError, match="results_train/nosuch: no such run"):
        decide("nosuch", {"cause_threshold": 0.3})
    with pytest.raises(RunError, match="results_train/mine holds something else: choose another name with --out"):
        decide("mine", {"cause_threshold": 0.3}, "mine")
    folder = decide("mine", {"cause_threshold": 0.3}, "again")
    assert decide("mine", {"cause_threshold": 0.4}, "again") == folder
    with pytest.raises(RunError, match="again: no 4_cause_inference is recorded there: give a run that went through"):
        decide("again", {"cause_threshold": 0.5})
    write_json([], root / "input" / "test" / "conversations.json")
    with pytest.raises(RunError, match="test is not what this run was scored on"):
        decide("mine", {"cause_threshold": 0.3})


def test_unlabelled_conversations_that_are_not_here_are_left_out_and_named(root, capsys):
    (root / "input" / "unlabelled" / "conversations.json").unlink()
    folder = decide("mine", {"cause_threshold": 0.3})
    assert "results_test/mine: its conversations are not in" in capsys.readouterr().out
    assert not (root / "results_test" / folder.name).exists()


def test_without_the_trees_new_questions_have_no_answer(root):
    path = root / "results_train" / "mine" / "adapters" / "cause" / "training.json"
    write_json({**read_json(path), "structure": None}, path)
    decide("mine", {"cause_threshold": 0.3})
    with pytest.raises(RunError, match="nobody asked for the causes of utterance [0-9]+, which was neutral"):
        decide("mine", {"logit_adjustment": 1.2})


def test_from_the_command_line(root, capsys):
    assert main(["decide", "mine", "-p", "cause_threshold", "0.3", "--out", "higher"]) == 0
    said = capsys.readouterr().out
    assert "**fine-tuned emotions and causes**" in said and f"results: {root / 'results_train' / 'higher'}" in said
