"""Texts in, opinions out: OpinionPredict, and `utils.predict --task opinion`.

python -m pytest tests/doors/test_predict_opinions.py
"""

import csv
import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from helpers import called, with_adapter
from one_sequence import plain_scores

from utils import predict
from utils.config import Config
from utils.data.opinions import TASK_TYPES
from utils.data.topics import Topic
from utils.engine import inference
from utils.models.adapters import save_adapter
from utils.predict import OpinionPredict
from utils.record.opinion_file import label_file
from utils.record.provenance import weights_of
from utils.report.opinion_metrics import opinion_figures
from utils.system.errors import UserError
from utils.system.files import read_json, read_json_lines, write_json
from utils.tasks.opinion import Opinions
from utils.tasks.opinion_baselines import available

WEEK, STADIUM = "four-day-week", "new-stadium"
TOPICS = {name: Topic.read(name) for name in (STADIUM, WEEK)}
TEXTS = ["Four days are enough.", "No stadium, please.", 'It rains,\nand "rains".', "Build it; we need it!", "So what?"]
TYPES = pytest.mark.parametrize("task_type", TASK_TYPES)


def record(folder, model, task_type, topics=(STADIUM, WEEK), strategy="generation"):
    """The training.json of an adapter, in its folder."""
    task = Opinions({name: TOPICS[name] for name in topics}, task_type, strategy)
    parameters = Config(model=model, precision="float32", quantization="none").as_dict()
    head = {"task": "opinion", "parameters": parameters, "labels": task.labels.as_dict(), "revision": "abc"}
    write_json({**head, **task.decided([], list)}, folder / "training.json")
    return folder


@pytest.fixture(scope="module")
def weights(tiny_model_folder):
    return with_adapter(tiny_model_folder, std=0.7)


@pytest.fixture
def adapter_of(weights, tiny_model_folder, tmp_path):
    """A function that writes an adapter of a task type to tmp_path/adapter."""

    def write(task_type, **how):
        save_adapter(weights, tmp_path / "adapter", tiny_model_folder)
        return record(tmp_path / "adapter", tiny_model_folder, task_type, **how)

    return write


# ---- in Python ----------------------------------------------------------------------------------------------------


def plain(model, tokenizer, text, topic, part, parts):
    """The probabilities of one of the questions `parts`, by a sequence an answer."""
    asked = {
        "relevance": ("Opinion", "Does the writer hold an opinion on {}?", (topic.no_opinion, topic.opinion)),
        "score": ("Attitude", "What does the writer think of {}?", tuple(topic.phrases)),
        "stance": ("Stance", "Is the writer for or against {}?", (topic.against, topic.no_opinion, topic.favor)),
    }
    lines = ""
    for title, question, answers in map(asked.get, parts):
        lines += f"\n{title}: {question.format(topic.about)} Choose one: {'; '.join(answers)}."
    title, _, answers = asked[part]
    words = f"\nText: {' '.join(text.split())}"
    pieces = ["What does the writer of a text think?", lines, words, f"\n{title}:"]
    (logs,) = plain_scores(model, tokenizer, [(pieces, tuple(f" {one}" for one in answers), None)])
    weights = [math.exp(value - max(logs)) for value in logs]
    return [weight / sum(weights) for weight in weights]


@TYPES
def test_the_numbers_are_those_of_one_sequence_a_question(weights, tokenizer, adapter_of, task_type):
    """What each task type returns, written out; and an adapter knows what it was trained on."""
    predictor = OpinionPredict(model_path=adapter_of(task_type))
    found = predictor.predict(TEXTS)
    assert found.shape == (len(TEXTS), 2) and found.dtype == float and list(predictor.task.topics) == [STADIUM, WEEK]
    model = weights.eval()
    for row, text in zip(found, TEXTS):
        for number, topic in zip(row, TOPICS.values()):
            parts = {"binary": ["relevance"], "regression": ["score"], "stance": ["stance"]}
            parts = parts.get(task_type, ["relevance", "score"])
            tables = {part: plain(model, tokenizer, text, topic, part, parts) for part in parts}
            score = sum(p * s for p, s in zip(tables.get("score", ()), topic.phrases.values()))
            wanted = {
                "binary": lambda t=tables: t["relevance"][1],
                "regression": lambda s=score: s,
                "regression_with_relevance": lambda t=tables, s=score: s if t["relevance"][1] >= 0.5 else math.nan,
                "stance": lambda t=tables: t["stance"].index(max(t["stance"])) - 1,
            }
            assert number == pytest.approx(wanted[task_type](), rel=1e-3, abs=1e-4, nan_ok=True)
    if task_type == "regression_with_relevance":
        assert 0 < np.isnan(found).sum() < found.size, "the random adapter says both"


def test_a_list_an_array_and_a_series_in_any_batch_give_the_same(adapter_of):
    predictor = OpinionPredict("regression", adapter_of("regression"), topic=STADIUM)
    found = predictor.predict(TEXTS)
    assert found.shape == (len(TEXTS),)
    for texts in (np.array(TEXTS), pd.Series(TEXTS, index=range(10, 15)), tuple(TEXTS), iter(TEXTS)):
        np.testing.assert_allclose(predictor.predict(texts, batch=2), found, atol=1e-5)
    assert predictor.predict([]).shape == (0,)
    np.testing.assert_allclose([predictor.predict([text])[0] for text in TEXTS], found, atol=1e-5)


def test_short_texts_share_a_forward_pass_a_topic(adapter_of, monkeypatch):
    predictor, passes = OpinionPredict(model_path=adapter_of("regression_with_relevance")), []
    predictor.config.token_budget = 4096
    score_row = inference.score_row
    monkeypatch.setattr(inference, "score_row", lambda *given: passes.append(1) or score_row(*given))
    predictor.predict(TEXTS)
    assert len(passes) == 2


def test_without_an_adapter_the_base_model_answers(tiny_model_folder):
    found = OpinionPredict("stance", model_base=tiny_model_folder, topic=[STADIUM, TOPICS[WEEK]]).predict(TEXTS)
    assert found.shape == (5, 2) and {*found.flat} <= {-1.0, 0.0, 1.0}


@pytest.mark.parametrize(
    "how,message",
    [
        ({"task_type": "stance"}, "trained with task_type 'regression', not 'stance'"),
        ({"task_type": "sentiment"}, "task_type is 'sentiment'; choose binary, regression"),
        ({"strategy": "sequence"}, "strategy"),
        ({"topic": "gun-control"}, "it was trained on new-stadium, not on gun-control"),
        ({"topic": []}, "topic: none is given"),
        ({"model_base": "smollm2-135m-instruct"}, "not 'smollm2-135m-instruct'. Give the base model it was made for"),
        ({"model_path": None}, "without an adapter, task_type and topic say what is asked"),
        ({"model_path": None, "strategy": "prompt"}, "strategy"),
        ({"model_path": None, "task_type": "binary", "topic": "any"}, "topic any is for topics that data name"),
        ({"model_path": "nowhere"}, "nowhere: no finished adapter here"),
    ],
)
def test_what_does_not_belong_together_is_one_message(adapter_of, tiny_model_folder, how, message):
    adapter = adapter_of("regression", topics=(STADIUM,))
    with pytest.raises(UserError) as error:
        OpinionPredict(**{"model_path": adapter, **how})
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_adapter_of_emotions_is_refused(adapter_of):
    adapter = adapter_of("regression")
    write_json({**read_json(adapter / "training.json"), "task": "emotion"}, adapter / "training.json")
    with pytest.raises(UserError, match="is an adapter of the task 'emotion', not of opinions"):
        OpinionPredict(model_path=adapter)


@pytest.mark.parametrize(
    "texts,message",
    [
        ("one text", "is one text. Give a list of texts"),
        (["a", ""], "texts, number 2, field 'text': the text is empty"),
        (["a", None], "texts, number 2, field 'text': None is no text"),
        (pd.Series(["a", math.nan]), "texts, number 2, field 'text': nan is no text"),
        (["a \ud83d"], "texts, number 1, field 'text': half a character"),
        (["word " * 5000], "text 1"),
    ],
)
def test_what_is_no_text_is_refused_by_its_place(tiny_model_folder, texts, message):
    predictor = OpinionPredict("binary", model_base=tiny_model_folder, topic=STADIUM)
    with pytest.raises(UserError) as error:
        predictor.predict(texts)
    assert message in str(error.value)


# ---- a file --------------------------------------------------------------------------------------------------------


def table(path, rows, delimiter=","):
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    return path


def read_table(path, delimiter=","):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


@TYPES
def test_every_column_stays_and_the_labels_are_added(adapter_of, tmp_path, task_type):
    adapter = adapter_of(task_type, topics=(STADIUM,))
    rows = [{"Who": f"é{k}", "Words": text, "note": "a,b\nc"} for k, text in enumerate(TEXTS)]
    given = table(tmp_path / "given.csv", rows)
    options = ["--adapter", adapter, "--columns", "text=Words"]
    assert called(predict.main, "--task", "opinion", given, "--out", tmp_path / "pred.csv", *options)[0] == 0
    found, numbers = read_table(tmp_path / "pred.csv"), OpinionPredict(model_path=adapter).predict(TEXTS)
    assert [{name: row[name] for name in rows[0]} for row in found] == rows
    for row, number in zip(found, numbers, strict=True):
        assert row["predicted_score"] == ("" if math.isnan(number) else row["predicted_score"])
        if not math.isnan(number):
            assert float(row["predicted_score"]) == pytest.approx(number, abs=2e-6)
        probabilities = json.loads(row["probabilities"])
        assert sum(probabilities.values()) == pytest.approx(2 if task_type.endswith("relevance") else 1, abs=1e-5)
        if task_type != "regression":
            some = {name: p for name, p in probabilities.items() if not name.strip("-").isdigit()}
            said = row["predicted_label"] if row["predicted_label"] in some else "relevant"
            assert said == max(some, key=some.get)
    made = read_json(tmp_path / "pred.record.json")
    assert made["adapter"]["weights"] == weights_of(adapter) and made["task_type"] == task_type and made["texts"] == 5
    assert not list(tmp_path.glob("*.unfinished.jsonl"))


@pytest.mark.parametrize("suffix", [".tsv", ".json", ".jsonl"])
def test_other_formats_in_and_out(tiny_model_folder, tmp_path, suffix):
    """Several topics without a topic column: each text is asked about all of them, and a column names its topic."""
    given = tmp_path / f"given{suffix}"
    rows = [{"text": text, "id": f"x{k}"} for k, text in enumerate(TEXTS)]
    if suffix == ".tsv":
        table(given, rows, "\t")
    else:
        given.write_text(json.dumps(rows) if suffix == ".json" else "".join(json.dumps(row) + "\n" for row in rows))
    options = ["--model", tiny_model_folder, "--topic", STADIUM, WEEK, "--task-type", "binary"]
    out = tmp_path / f"pred{suffix}"
    assert called(predict.main, given, "--task", "opinion", "--out", out, *options)[0] == 0
    found = {
        ".tsv": lambda: read_table(out, "\t"),
        ".json": lambda: read_json(out),
        ".jsonl": lambda: [row for _, row in read_json_lines(out)],
    }[suffix]()
    assert [(row["text"], row["id"]) for row in found] == [(row["text"], row["id"]) for row in rows]
    numbers = OpinionPredict("binary", model_base=tiny_model_folder, topic=[STADIUM, WEEK]).predict(TEXTS)
    for k, topic in enumerate((STADIUM, WEEK)):
        scores = [float(row[f"predicted_score_{topic}"]) for row in found]
        np.testing.assert_allclose(scores, numbers[:, k], atol=2e-6)
    assert read_json(tmp_path / "pred.record.json")["adapter"] is None


def test_a_row_is_asked_about_the_topic_that_it_names(adapter_of, tmp_path, tiny_model_folder):
    """A row on another topic stays, and gets no label; `any` is what rows say."""
    topics = [STADIUM.upper(), WEEK, "drugs"]
    given = table(tmp_path / "given.csv", [{"text": text, "topic": topic} for text, topic in zip(TEXTS, topics)])
    lines = [*label_file(given, tmp_path / "pred.csv", adapter_of("binary", topics=(STADIUM,)))]
    assert lines[0] == "2 of 3 texts are on another topic and get no label"
    assert [bool(row["predicted_label"]) for row in read_table(tmp_path / "pred.csv")] == [True, False, False]
    [*label_file(given, tmp_path / "any.csv", model=tiny_model_folder, topic=["any"], task_type="stance")]
    assert all(row["predicted_label"] for row in read_table(tmp_path / "any.csv"))
    assert list(read_json(tmp_path / "any.record.json")["topics"]) == topics


def test_interrupted_work_goes_on(adapter_of, tmp_path, monkeypatch):
    adapter, given = adapter_of("regression", topics=(STADIUM,)), tmp_path / "given.csv"
    table(given, [{"text": f"{text} {k}"} for k in range(8) for text in TEXTS])
    [*label_file(given, tmp_path / "whole.csv", adapter)]
    score_row, passes = inference.score_row, []

    def dies(*given):
        passes.append(1)
        if len(passes) == 3:
            raise KeyboardInterrupt
        return score_row(*given)

    monkeypatch.setattr(inference, "score_row", dies)
    with pytest.raises(KeyboardInterrupt):
        [*label_file(given, tmp_path / "pred.csv", adapter)]
    assert (tmp_path / "pred.csv.unfinished.jsonl").is_file() and not (tmp_path / "pred.csv").exists()
    [*label_file(given, tmp_path / "pred.csv", adapter)]
    assert (tmp_path / "pred.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


# ---- scores --------------------------------------------------------------------------------------------------------

GOLD = {
    "binary": ["1", "0", "irrelevant", "1", "0"],
    "regression": ["2", "-2", "irrelevant", "1.5", "0"],
    "regression_with_relevance": ["2", "-2", "-9", "1.5", "irrelevant"],
    "stance": ["favor", "against", "none", "favor", "none"],
}


@TYPES
def test_a_labelled_file_is_scored_beside_the_baselines(adapter_of, tmp_path, task_type):
    adapter = adapter_of(task_type, topics=(STADIUM,))
    given = table(tmp_path / "g.csv", [{"text": text, "label": one} for text, one in zip(TEXTS, GOLD[task_type])])
    lines = [*label_file(given, tmp_path / "p.csv", adapter, score=True, train=given)]
    figures = read_json(tmp_path / "p.metrics.json")
    names = [*available(), "fine-tuned"]
    assert list(figures["opinions"]) == names and all(f"| {name} |" in lines[-2] for name in names)
    predictor = OpinionPredict(model_path=adapter)
    asked = predictor.asked(TEXTS)
    said = {
        "binary": lambda one: {"relevant": one == "1"},
        "regression": lambda one: {} if one == "irrelevant" else {"score": float(one)},
        "regression_with_relevance": lambda one: (
            {"relevant": False} if one in ("-9", "irrelevant") else {"relevant": True, "score": float(one)}
        ),
        "stance": lambda one: {"stance": one},
    }[task_type]
    gold = [{**text, "opinions": {STADIUM: said(one)}} for text, one in zip(asked, GOLD[task_type])]
    wanted = opinion_figures(predictor.task, gold, *predictor.answers(asked))
    for section, one in wanted.items():
        found = figures["opinions"]["fine-tuned"][section]
        if isinstance(one, dict):
            pairs = [(value, found[name]) for name, value in one.items() if isinstance(value, float)]
            assert pairs and all(a == pytest.approx(b, abs=1e-4) for a, b in pairs), section
    assert "label" in read_table(tmp_path / "p.csv")[0], "the gold column stays"


def test_the_split_of_an_input_is_scored(adapter_of, tmp_path):
    """texts.json as generate_input.py writes it, with a topic that the adapter does not know."""
    texts = [
        {"text_ID": 1, "text": TEXTS[0], "opinions": {WEEK: {"relevant": True, "score": 2.0}}},
        {"text_ID": 2, "text": TEXTS[1], "opinions": {STADIUM: {"relevant": True, "score": -2.0}}},
        {"text_ID": 3, "text": TEXTS[2], "opinions": {STADIUM: {"relevant": False}}},
    ]
    write_json(texts, tmp_path / "texts.json")
    adapter = adapter_of("regression_with_relevance", topics=(STADIUM,))
    [*label_file(tmp_path / "texts.json", tmp_path / "pred.json", adapter, score=True)]
    found = read_json(tmp_path / "pred.json")
    assert [{name: row[name] for name in texts[0]} for row in found] == texts
    assert [row["predicted_label"] is None for row in found] == [True, False, False]
    figures = read_json(tmp_path / "pred.metrics.json")["opinions"]
    assert list(figures) == ["fine-tuned"] and figures["fine-tuned"]["texts"] == 2


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text,options,message",
    [
        ("words,label\na,1\n", [], "no column is called text (found words, label)"),
        ("text,label\na,1\n", ["--columns", "text=Tweet"], "has no column 'Tweet'"),
        ("text\na\n,\n", [], "row 3 has not as many cells"),
        ("text,n\na,1\n ,2\n", [], "row 3, field 'text': the text is empty"),
        ("text\ncaf\udce9\n", [], "not UTF-8 (byte 8)"),
        ("text\na\n", ["--score"], "row 2: no label"),
        ("text,label\na,7\n", ["--score"], "row 2, column label, field 'score': 7.0 is not on the scale"),
        ("text,topic\na,drugs\n", [], "no text is on new-stadium"),
        ("text,predicted_label\na,1\n", [], "column 'predicted_label' is in the file already"),
        ("text\na\n", ["--task-type", "binary"], "trained with task_type 'regression', not 'binary'"),
        ("text\na\n", ["--strategy", "prompt"], "strategy"),
        ("text\na\n", ["--topic", "drugs"], "trained on new-stadium, not on drugs"),
        ("text\na\n", ["--topic", "moon"], "topic 'moon': there is no"),
        ("text,label\na,1\n", ["--score", "--train", "none.csv"], "none.csv"),
    ],
)
def test_bad_input_is_one_message(adapter_of, tmp_path, text, options, message):
    given, out = tmp_path / "given.csv", tmp_path / "pred.csv"
    given.write_bytes(text.encode("utf-8", "surrogateescape"))
    adapter = adapter_of("regression", topics=(STADIUM,))
    status, said = called(predict.main, "--task", "opinion", given, "--out", out, "--adapter", adapter, *options)
    assert status == 2 and message in said and said.count("\n") == 1 and not out.exists()


def test_a_name_that_is_no_table_and_a_run_without_the_adapter(adapter_of, tmp_path):
    given = table(tmp_path / "given.csv", [{"text": "a"}])
    for out, options, message in (
        ("pred.xlsx", ["--adapter", adapter_of("binary")], "a table ends with .csv, .tsv, .json or .jsonl"),
        ("given.csv", ["--adapter", adapter_of("binary")], "the output would replace the input"),
        ("pred.csv", ["--run", "smollm2-135m-ecf"], "no finished adapter here"),
    ):
        status, said = called(predict.main, "--task", "opinion", given, "--out", tmp_path / out, *options)
        assert status == 2 and message in said and said.count("\n") == 1
