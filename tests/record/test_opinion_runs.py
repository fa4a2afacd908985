"""A run of opinions: what it is on, what it writes, and its scores computed again.

python -m pytest tests/record/test_opinion_runs.py
"""

import json

import jsonschema
import pytest
from helpers import ROOT

from utils.config import Config
from utils.data.topics import Topic
from utils.record.inputs import chain_on
from utils.record.opinions import (
    baselines,
    opinion_lines,
    read_opinions,
    rounded,
    save_opinions,
    score_opinions,
)
from utils.record.predictions import gold_of
from utils.record.run import Run
from utils.record.stages import CONVERSATIONS, TEXTS
from utils.record.taken import check_notebooks
from utils.record.verify import is_equal, verify
from utils.report.scores import read_scores
from utils.system.errors import ConfigError, RunError
from utils.system.files import read_json, read_json_lines, write_json
from utils.tasks.opinion_baselines import available

TRAINING, INFERENCE = (stage.notebook for stage in TEXTS)
NAMES = ["run_name", "input_dir", "topic", "task_type", "strategy", "seed"]
TOPICS = {name: Topic.read(name).as_dict() for name in ("new-stadium", "four-day-week")}
WORDS = ("no no no", "rather not", "whatever", "rather yes", "yes yes yes")


def texts_of(split, count):
    """Texts whose words say their score; every sixth holds no opinion."""
    found = []
    for k in range(count):
        opinion = {"relevant": False} if k % 6 == 5 else {"relevant": True, "score": float(k % 5 - 2)}
        words = "it rains" if k % 6 == 5 else WORDS[k % 5]
        found.append({"text_ID": f"{split}-{k}", "text": f"{words} {k}", "opinions": {"new-stadium": opinion}})
    found[0]["opinions"]["four-day-week"] = {"relevant": True, "score": 2.0}
    return found


@pytest.fixture
def root(tmp_path):
    for split, count in (("train", 24), ("val", 6), ("test", 12)):
        write_json(texts_of(split, count), tmp_path / "input" / "opinions" / split / "texts.json")
    write_json(TOPICS, tmp_path / "input" / "opinions" / "topics.json")
    return tmp_path


def opened(root, notebook=INFERENCE, **parameters):
    return Run(Config(run_name="one", input_dir="input/opinions", **parameters), notebook, NAMES, root=root)


def answered(task, texts):
    """What a model says that is nearly sure, and now and then wrong."""
    found = []
    for k, text in enumerate(texts):
        tables = []
        for topic, part in task.questions(text):
            count = {"relevance": 2, "score": 5, "stance": 3}[part]
            right = (k * 7 + len(topic.name)) % count
            tables.append([0.7 + 1e-9 * k if one == right else 0.3 / (count - 1) for one in range(count)])
        found.append(task.read(text, tables))
    return [text for text, _ in found], [table for _, table in found]


@pytest.fixture(params=["regression_with_relevance", "stance", "binary", "regression"])
def run(request, root):
    """A run that was scored, by the steps of the notebook."""
    run = opened(root, task_type=request.param)
    task = run.task("opinion")
    train, test = (run.texts(split, labelled=True) for split in ("train", "test"))
    systems = {**baselines(task, train, test), "zero-shot": answered(task, test), "fine-tuned": answered(task, test)}
    for name in ("fine-tuned", "zero-shot"):
        save_opinions(run.train_dir, task, *systems[name], name)
    score_opinions(run, task, test, systems)
    return run


# ---- what it is on -------------------------------------------------------------------------------------------------


def test_the_topics_that_are_asked_for_are_kept(root):
    run = opened(root, topic="four-day-week")
    assert [text["text_ID"] for text in run.texts("train", labelled=True)] == ["train-0"]
    assert list(run.task("opinion").topics) == ["four-day-week"] and run.texts("unlabelled", labelled=False) == []
    both = opened(root, topic=["new-stadium", "four-day-week"])
    assert len(both.texts("train", labelled=True)) == 24
    assert both.labels.labels == ("irrelevant", "-2", "-1", "0", "1", "2")
    record = read_json(run.train_dir / "config.json")[INFERENCE]
    assert record["labels"]["name"] == "opinion-regression_with_relevance" and "topics" in record["input"]


def test_what_the_texts_cannot_be_asked_is_said(root):
    with pytest.raises(ConfigError, match="has no texts on 'drugs', but on new-stadium, four-day-week"):
        opened(root, topic="drugs")
    texts = [{"text_ID": 1, "text": "a", "opinions": {"new-stadium": {"relevant": True}}}]
    write_json(texts, root / "input" / "opinions" / "train" / "texts.json")
    with pytest.raises(ConfigError, match="task_type is regression; no text of .*train has a score. Give the"):
        opened(root, task_type="regression").task("opinion")
    (root / "input" / "opinions" / "topics.json").unlink()
    with pytest.raises(RunError, match="topics.json is missing: run generate_input.py --task opinion first"):
        opened(root)


def test_the_input_says_which_notebooks_run(root):
    assert chain_on(root / "input" / "opinions") == TEXTS and chain_on(root / "input") == CONVERSATIONS


def test_a_run_keeps_its_parameters_and_texts(root):
    run = opened(root, TRAINING)
    run.finish_adapter("opinion", [], {}, counted="opinions")
    with pytest.raises(RunError, match="already holds another run .seed 42 there, 43 here"):
        opened(root, TRAINING, seed=43)
    changed = {**TOPICS, "new-stadium": {**TOPICS["new-stadium"], "about": "the new stadium"}}
    write_json(changed, root / "input" / "opinions" / "topics.json")
    config = Config(run_name="one", input_dir="input/opinions", quantization="none")
    with pytest.raises(RunError, match="already holds another run .other topics texts"):
        check_notebooks(config, [TRAINING], root)


# ---- what it writes ------------------------------------------------------------------------------------------------


def test_a_line_has_what_was_read_and_no_text(root):
    run = opened(root)
    task, (text, *_) = run.task("opinion"), run.texts("test", labelled=True)
    labelled, table = task.read(text, [[0.25, 0.75], [0, 0, 0, 1 / 3, 2 / 3], [0.75, 0.25], [1.0, 0, 0, 0, 0]])
    (line,) = opinion_lines(task, [labelled], [table])
    assert line == {
        "text_ID": "test-0",
        "opinions": {"new-stadium": {"relevant": True, "score": 1.666667}, "four-day-week": {"relevant": False}},
        "probabilities": {
            "new-stadium": {"relevance": [0.25, 0.75], "score": [0, 0, 0, 0.333333, 0.666667]},
            "four-day-week": {"relevance": [0.75, 0.25], "score": [1.0, 0, 0, 0, 0]},
        },
    }
    once = rounded(task, [labelled], [table])
    assert rounded(task, *once) == once


def test_files_are_as_the_schemas_say(run):
    metrics = read_json(run.train_dir / "metrics.json")
    lines = read_json_lines(run.train_dir / "predictions.jsonl")
    for name, data in [("metrics", metrics), *(("opinions", one) for _, one in lines)]:
        schema = read_json(ROOT / "docs" / f"{name}.schema.json")
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema).validate(data)
    del metrics["texts"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(metrics, read_json(ROOT / "docs" / "metrics.schema.json"))


def test_what_was_written_is_read_again(run):
    task, test = run.task("opinion"), run.texts("test", labelled=True)
    assert read_opinions(run.train_dir, task, test) == rounded(task, *answered(task, test))


# ---- its scores, again ---------------------------------------------------------------------------------------------


def test_every_figure_is_computed_again(run):
    found = verify(run.train_dir, run.root)
    assert all(is_equal(*pair) for pair in found.figures.values()) and found.threshold is None
    named = {name.split(" / ")[1] for name in found.figures if name.startswith("opinions / ")}
    assert named == {*available(), "zero-shot", "fine-tuned"}
    assert not found.not_compared
    (run.train_dir / "zero_shot.jsonl").unlink()
    assert {*verify(run.train_dir, run.root).not_compared} == {"opinions / zero-shot"}


def test_a_figure_that_was_changed_is_found(run):
    path = run.train_dir / "metrics.json"
    scores = read_json(path)
    scores["opinions"]["fine-tuned"]["labels"]["accuracy"] += 0.01
    write_json(scores, path)
    wrong = [name for name, pair in verify(run.train_dir, run.root).figures.items() if not is_equal(*pair)]
    assert wrong == ["opinions / fine-tuned / labels / accuracy"]
    scores["opinions"]["magic"] = {"texts": 1}
    write_json(scores, path)
    with pytest.raises(RunError, match="opinions / magic / texts' is no figure of this run"):
        verify(run.train_dir, run.root)


def test_without_the_training_texts_the_baselines_are_not_compared(run):
    (run.input_dir / "train" / "texts.json").write_text("[]")
    found = verify(run.train_dir, run.root)
    assert len(found.not_compared) == len(available()) and all(is_equal(*pair) for pair in found.figures.values())


@pytest.mark.parametrize(
    "change,says",
    [
        (lambda line: line["opinions"]["new-stadium"].clear(), "its opinions are not those that its probabilities say"),
        (lambda line: line["probabilities"].pop("new-stadium"), "cannot be read as predictions for these texts"),
        (lambda line: line.update(text_ID="other"), "text test-0 is missing: write a line for it"),
        (lambda line: [one.clear() for one in line["probabilities"]["new-stadium"].values()], "are no probabilities"),
        (lambda line: line.update(probabilities=[]), "cannot be read as predictions"),
    ],
)
def test_lines_that_do_not_belong_there_are_named(run, change, says):
    path = run.train_dir / "predictions.jsonl"
    first, *others = path.read_text().splitlines()
    line = json.loads(first)
    change(line)
    path.write_text("\n".join([json.dumps(line), *others]) + "\n")
    with pytest.raises(RunError, match=says):
        verify(run.train_dir, run.root)


def test_a_line_too_many_is_named(run):
    path = run.train_dir / "predictions.jsonl"
    line = json.loads(path.read_text().splitlines()[0])
    path.write_text(path.read_text() + json.dumps({**line, "text_ID": "more"}) + "\n")
    with pytest.raises(RunError, match="text 'more' was not scored: remove the line"):
        verify(run.train_dir, run.root)


def test_commands_about_conversations_say_that_it_is_of_texts(run):
    with pytest.raises(RunError, match="labels texts with opinions, and this command reads conversations"):
        gold_of(run.train_dir, run.root)


def test_without_texts_nothing_is_scored(root):
    run = opened(root)
    assert score_opinions(run, run.task("opinion"), [], {}) == {} and read_scores(run.train_dir) == {}
    assert baselines(run.task("opinion"), [], []) == {}
