"""A run of instructions: what it is on, what it writes, and its scores computed again.

python -m pytest tests/record/test_instruction_runs.py
"""

import json

import jsonschema
import pytest
from helpers import ROOT

from utils.config import Config
from utils.record.check import check_work
from utils.record.inputs import chain_on
from utils.record.instructions import read_answers, save_answers, score_answers
from utils.record.predictions import gold_of
from utils.record.run import Run
from utils.record.stages import CONVERSATIONS, EXAMPLES
from utils.record.taken import check_notebooks
from utils.record.verify import is_equal, verify
from utils.report.answer_metrics import answer_line, answers_table
from utils.report.scores import read_scores
from utils.report.tables import results_table
from utils.report.verdict import verdict
from utils.system.errors import FileError, RunError, TrainingError
from utils.system.files import read_json, read_json_lines, write_json
from utils.tasks.instruction import Answer

TRAINING, INFERENCE = (stage.notebook for stage in EXAMPLES)
NAMES = ["run_name", "model", "input_dir", "template", "cutoff_len", "too_long", "seed", "precision"]
COLOURS = ["blue", "green", "red"]


def examples_of(split, count):
    """Every third is a classification; the last is longer than the others."""
    found = []
    for k in range(count):
        one = {"example_ID": f"{split}-{k}", "instruction": f"Say {k}.", "input": "", "output": f"It is {k}."}
        if k % 3 == 0:
            one |= {"instruction": "Which colour?", "input": f"sky {k}", "output": COLOURS[k % 2], "choices": COLOURS}
        found.append(one)
    found[-1]["output"] = "It is long. " * 20
    return found


@pytest.fixture
def root(tmp_path):
    for split, count in (("train", 12), ("val", 5), ("test", 8)):
        write_json(examples_of(split, count), tmp_path / "input" / "instructions" / split / "examples.json")
    asked = [{"example_ID": "new", "instruction": "Say something.", "input": ""}]
    write_json(asked, tmp_path / "input" / "instructions" / "unlabelled" / "examples.json")
    return tmp_path


@pytest.fixture
def opened(root, tiny_model_folder):
    def opened(notebook=INFERENCE, **parameters):
        given = {"run_name": "one", "input_dir": "input/instructions", "quantization": "none", **parameters}
        return Run(Config(model=tiny_model_folder, **given), notebook, NAMES, root=root)

    return opened


def answered(examples, shift):
    """What a model makes of examples: right now and then."""
    found = []
    for k, one in enumerate(examples):
        choices = {choice: 0.25 + 1e-9 * k for choice in one.get("choices", [])}
        if choices:
            choices[COLOURS[(k + shift) % 3]] = 0.5
        found.append(Answer(one["output"] if k % 2 else f"It is {k + shift}", (-3.0 - k / 7, k + 1), choices))
    return found


@pytest.fixture
def run(opened):
    """A run that was scored, by the steps of the notebook."""
    run = opened()
    test = run.examples("test", labelled=True)
    systems = {"zero-shot": answered(test, 1), "fine-tuned": answered(test, 0)}
    save_answers(run.train_dir, test, systems)
    score_answers(run, test, systems)
    return run


# ---- what it is on -------------------------------------------------------------------------------------------------


def test_the_input_says_which_notebooks_run(root):
    assert chain_on(root / "input" / "instructions") == EXAMPLES and chain_on(root / "input") == CONVERSATIONS


def test_examples_that_are_too_long_are_named_or_left_out_of_training_and_counted(opened, capsys):
    with pytest.raises(TrainingError, match=r"1 of 12 examples are longer than cutoff_len 150 \(example train-11: \d+"):
        opened(TRAINING, cutoff_len=150).examples("train", labelled=True)
    run = opened(TRAINING, cutoff_len=150, too_long="drop")
    for _ in range(2):  # it is said once
        assert [len(run.examples(split, labelled=True)) for split in ("train", "val", "test")] == [11, 4, 8]
    said = capsys.readouterr().out
    assert said.count("train: 1 of 12 examples are longer than cutoff_len, and left out") == 1 and "test" not in said


def test_what_cannot_be_is_said(opened, root):
    with pytest.raises(FileError, match="Known are alpaca"):
        opened(template="nosuch")
    with pytest.raises(RunError, match="train.examples.json is missing: run generate_input.py --task instruction"):
        opened(input_dir="input")
    (root / "input" / "instructions" / "train" / "examples.json").unlink()
    with pytest.raises(RunError, match="train.examples.json is missing: run generate_input.py first"):
        opened().examples("train", labelled=True)


def test_it_is_asked_before_whether_the_notebooks_can_run(root, tiny_model_folder, capsys):
    given = {"run_name": "one", "input_dir": "input/instructions", "quantization": "none", "precision": "float32"}
    notebooks = [TRAINING, INFERENCE]
    check_work(Config(model=tiny_model_folder, **given), notebooks, root)
    assert "the longest row has " in capsys.readouterr().out
    with pytest.raises(TrainingError, match="longer than cutoff_len 90"):
        check_work(Config(model=tiny_model_folder, cutoff_len=90, **given), notebooks, root)


def test_a_run_keeps_its_parameters_and_examples(opened, root, tiny_model_folder):
    run = opened(TRAINING)
    run.finish_adapter("instruction", [], {}, counted="examples")
    with pytest.raises(RunError, match="already holds another run .template 'alpaca' there, 'deutsch' here"):
        opened(TRAINING, template="deutsch")
    write_json(examples_of("val", 3), root / "input" / "instructions" / "val" / "examples.json")
    config = Config(run_name="one", input_dir="input/instructions", quantization="none", model=tiny_model_folder)
    with pytest.raises(RunError, match="already holds another run .other val examples"):
        check_notebooks(config, [TRAINING], root)


# ---- what it writes ------------------------------------------------------------------------------------------------


def test_a_line_has_figures_and_no_text():
    one = {"example_ID": 7, "instruction": "a", "input": "", "output": "a plum", "choices": ["a plum", "a fig"]}
    answer = Answer("the plum", (-2.123456789, 3), {"a fig": 1 / 3, "a plum": 2 / 3})
    assert answer_line(one, answer) == {
        "example_ID": 7,
        "log_probability": -2.123457,
        "tokens": 3,
        "rouge_l": 0.5,
        "exact_match": False,
        "probabilities": [0.666667, 0.333333],
    }
    assert answer_line({"example_ID": 8, "instruction": "a", "input": ""}, Answer("b")) == {"example_ID": 8}


def test_files_are_as_the_schemas_say(run, opened):
    unlabelled = run.examples("unlabelled", labelled=False)
    save_answers(run.test_dir, unlabelled, {"fine-tuned": [Answer("So.")]})
    assert read_json(run.test_dir / "answers.json") == [{**unlabelled[0], "fine-tuned": "So."}]
    metrics = read_json(run.train_dir / "metrics.json")
    lines = [
        line for folder in (run.train_dir, run.test_dir) for _, line in read_json_lines(folder / "predictions.jsonl")
    ]
    assert len(lines) == 9 and "probabilities" in lines[0]
    for name, data in [("metrics", metrics), *(("instructions", line) for line in lines)]:
        schema = read_json(ROOT / "docs" / f"{name}.schema.json")
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema).validate(data)
    del metrics["instructions"]["zero-shot"]["written"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(metrics, read_json(ROOT / "docs" / "metrics.schema.json"))


def test_every_system_stands_in_the_scores_and_beside_the_references(run):
    test, rows = run.examples("test", labelled=True), read_scores(run.train_dir)["instructions"]
    texts = read_json(run.train_dir / "answers.json")
    assert [one["fine-tuned"] for one in texts] == [one.written for one in answered(test, 0)]
    assert [one["zero-shot"] for one in texts] == [one.written for one in answered(test, 1)]
    assert {name: one["choices"] for name, one in rows.items()} == {
        "zero-shot": {"exact_match": 1 / 3, "answers": 3},
        "fine-tuned": {"exact_match": 2 / 3, "answers": 3},
    }
    assert rows["fine-tuned"]["held_out"]["loss"] == pytest.approx(28 / 36)
    assert rows["fine-tuned"]["written"]["exact_match"] == 0.5
    assert results_table(run.train_dir) == answers_table(rows)
    assert answers_table(rows).startswith("| system | loss | perplexity | ROUGE-L | exact match | right choices |")
    (line,) = verdict(read_scores(run.train_dir))
    assert line.startswith("NOTHING LEARNT: the right answers are no likelier than before training, loss 0.778 for 0.7")
    assert "on 8 examples" in line and "instruction_epochs" in line


def test_without_examples_nothing_is_scored(opened):
    run = opened()
    save_answers(run.train_dir, [], {"zero-shot": [], "fine-tuned": []})
    assert score_answers(run, [], {}) == {} and read_scores(run.train_dir) == {}


# ---- its scores, again ---------------------------------------------------------------------------------------------


def test_every_figure_is_computed_again(run):
    found = verify(run.train_dir, run.root)
    assert all(is_equal(*pair) for pair in found.figures.values()) and found.threshold is None
    assert {f"instructions / {one} / written / rouge_l" for one in ("fine-tuned", "zero-shot")} <= {*found.figures}
    assert not found.not_compared
    (run.train_dir / "answers.json").unlink()  # where the texts may not be shared
    assert verify(run.train_dir, run.root) == found
    (run.train_dir / "zero_shot.jsonl").unlink()
    assert {*verify(run.train_dir, run.root).not_compared} == {"instructions / zero-shot"}


def test_a_figure_that_was_changed_is_found(run):
    path = run.train_dir / "metrics.json"
    scores = read_json(path)
    scores["instructions"]["fine-tuned"]["held_out"]["loss"] += 0.01
    write_json(scores, path)
    wrong = [name for name, pair in verify(run.train_dir, run.root).figures.items() if not is_equal(*pair)]
    assert wrong == ["instructions / fine-tuned / held_out / loss"]


def test_a_text_that_was_changed_is_found(run):
    texts = read_json(run.train_dir / "answers.json")
    texts[2]["fine-tuned"] = texts[2]["output"]
    write_json(texts, run.train_dir / "answers.json")
    with pytest.raises(RunError, match="example test-2: its figures are not those of answers.json"):
        verify(run.train_dir, run.root)
    write_json(texts[1:], run.train_dir / "answers.json")
    with pytest.raises(FileError, match="answers.json"):
        read_answers(run.train_dir, run.examples("test", labelled=True))


@pytest.mark.parametrize(
    "change,says",
    [
        (lambda line: line.pop("tokens"), "example test-0: cannot be read as predictions for these examples"),
        (lambda line: line.update(tokens=0), "0 tokens"),
        (lambda line: line.update(log_probability="much"), "'much' and .* are no figures"),
        (lambda line: line.update(probabilities=[0.5, 0.5]), "are no probabilities of 3 choices, which sum to 1"),
        (lambda line: line.update(example_ID="other"), "example test-0 is missing: write a line for it"),
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


def test_commands_about_conversations_say_that_it_is_of_instructions(run):
    with pytest.raises(RunError, match="answers instructions, and this command reads conversations"):
        gold_of(run.train_dir, run.root)
