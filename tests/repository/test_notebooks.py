"""The notebooks: what must be in them (static), and that they run, each by nbval and the chain's all together.

The rules hold for every notebook of the folder. Which of them the chain runs is in utils/record/stages.py.
"""

import ast
import json
import re
from collections import Counter
from dataclasses import fields
from typing import get_args

import nbformat
import pytest
import yaml
from helpers import ROOT, SECRET, run_in

from utils.config import GROUPS, Config
from utils.data.conversations import load_conversations
from utils.data.sources import write_splits
from utils.record.inputs import EXAMPLES_DIR, TEXTS_DIR
from utils.record.predictions import read_predictions
from utils.record.stages import (
    EMOTION_TASKS,
    EXAMPLES,
    FIRST,
    INFERENCE,
    LABELLED_BY,
    NOTEBOOKS,
    STAGES,
    TEXTS,
    TRAINED_BY,
    parameter_names,
)
from utils.report.analysis import ceilings, fates, pair_table
from utils.report.scores import read_scores
from utils.report.tables import results_table
from utils.system.errors import TooLong
from utils.system.files import read_json
from utils.tasks.forms import recorded_opinions
from utils.tasks.opinion_baselines import available

FOLDER = ROOT / "notebooks"
ALL = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
SHIPPED = ROOT / "results_train" / "smollm2-135m-ecf"
HEADS = {group: f"# @markdown ### {group}" for group in GROUPS} | {
    GROUPS[-1]: "# @markdown ### The machine (leave these)"
}
# Parameters of a notebook that no run has, or that have another default there, and what it is.
OWN = {
    "study": {"study_file": "configs/studies/example.yaml"},
    "0_try_it": {"run_name": SHIPPED.name, "text": str},
    "all_in_one": {"data": "", "export_to": "safetensors", "push_to": "", "text": str},
    "self_generated_data": {
        "out": "input/self-generated",
        "count": 2,
        "seeds": "emotions",
        "temperature": 1.0,
        "top_p": 0.9,
    },
    "opinion_training": {"run_name": "opinions", "input_dir": TEXTS_DIR},
    "opinion_inference": {"run_name": "opinions", "input_dir": TEXTS_DIR},
    "instruction_training": {"run_name": "instructions", "input_dir": EXAMPLES_DIR},
    "instruction_inference": {"run_name": "instructions", "input_dir": EXAMPLES_DIR},
}
# The tiny model knows no word that could be kept: these sentences are written in its place.
WRITER = """
import itertools
from utils.tasks import synthesis
numbers = itertools.count()
synthesis.generate_published = lambda model, tokenizer, prompts, *how, **more: [
    f" I put the {next(numbers)} eggs on the shelf {next(numbers)} {next(numbers)}." for _ in prompts
]
synthesis.predict = lambda task, model, tokenizer, items, *how, **more: (
    items, [[[float(one["conversation"][0]["text"][-2])] * 7] for one in items]
)
"""
MOST_CODE = 90  # lines of a notebook, without its parameters and the set-up cell: what it does is in utils/


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def text_cells(name):
    return [cell.source for cell in read(name).cells if cell.cell_type == "markdown"]


def code_cells(name, tag=None):
    cells = [cell for cell in read(name).cells if cell.cell_type == "code"]
    return [cell for cell in cells if tag is None or tag in cell.metadata.get("tags", [])]


def only(values):
    values = list(values)
    assert len(values) == 1
    return values[0]


@pytest.fixture(params=ALL)
def name(request):
    return request.param


# ---- the table of the chain ---------------------------------------------------------------------------------------


def test_the_chains_notebooks_are_there_in_the_order_of_their_names():
    assert {stage.notebook for stage in STAGES} <= set(ALL) and list(NOTEBOOKS) == sorted(NOTEBOOKS)


def test_what_a_notebook_of_the_chain_opens_and_trains_is_what_the_table_says():
    for stage in STAGES:
        code = "\n".join(cell.source for cell in code_cells(stage.notebook))
        assert f'open_run(globals(), "{stage.notebook}")' in code
        assert f'run.task("{stage.task}")' in code
        assert ("fit(run, task, " in code) == (stage.writes == "adapter")
        assert (f'run.finished_adapter("{stage.task}")' in code) == (stage.writes == "labels")


def test_who_has_one_disk_or_no_time_is_sent_to_a_notebook_for_that_first():
    listed = re.findall(r"\]\((\w+)\.ipynb\)", (FOLDER / "README.md").read_text(encoding="utf-8"))
    assert listed[:2] == ["0_try_it", "all_in_one"] and set(listed) == set(ALL)


def test_a_notebook_comes_after_those_that_it_needs():
    order = [stage.notebook for stage in STAGES]
    for task, notebook in LABELLED_BY.items():
        assert order.index(TRAINED_BY[task]) < order.index(notebook)
    assert set(INFERENCE) | set(TRAINED_BY.values()) == set(order) >= set(NOTEBOOKS)
    assert [FIRST[f"{stage.task} {stage.writes}"] for stage in STAGES] == [f"notebook {one}" for one in order]


# ---- what every notebook must hold --------------------------------------------------------------------------------


def test_opens_with_its_idea_a_picture_what_it_needs_and_writes(name):
    first = text_cells(name)[0]
    assert read(name).cells[0].cell_type == "markdown" and first.startswith("# ")
    title, paragraph, picture, *_ = first.split("\n\n")
    assert len(paragraph.split()) >= 20 and picture.startswith("![")
    assert all(f"**{word}:**" in first for word in ("Needs", "Writes"))


def test_ends_with_a_summary(name):
    assert text_cells(name)[-1].startswith("## Summary\n") and read(name).cells[-1].cell_type == "markdown"


def test_a_picture_that_is_drawn_is_followed_by_what_to_see(name):
    cells = read(name).cells
    for cell, after in zip(cells, cells[1:]):
        if cell.cell_type == "code" and "plots.save(" in cell.source:
            assert "**What to see:**" in after.source, cell.source


def test_every_picture_and_file_that_a_text_names_is_there(name):
    named = [link for text in text_cells(name) for link in re.findall(r"\]\(([^)#]+)", text)]
    assert named
    missing = [link for link in named if not link.startswith("https://") and not (FOLDER / link).is_file()]
    assert missing == []


def test_sentences_have_at_most_25_words(name):
    for text in text_cells(name):
        prose = re.sub(r"^(\||!\[|#).*$", "", text, flags=re.MULTILINE)  # no tables, pictures, headings
        prose = re.sub(r"`[^`]*`|\]\([^)]*\)", "x", prose)
        for sentence in re.split(r"(?<=[.?!])\W*\s|\n", prose):
            assert len(sentence.split()) <= 25, sentence


def test_has_no_outputs(name):
    assert not any(cell.outputs or cell.execution_count for cell in code_cells(name))


def test_is_written_as_the_others_are(name):
    """As nbstripout leaves a notebook, so that a difference between two versions shows what was changed."""
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    notebook = json.loads(text)
    assert text == json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    assert notebook["metadata"] == read(NOTEBOOKS[0]).metadata and notebook["nbformat_minor"] == 5
    assert [cell["id"] for cell in notebook["cells"]] == [str(i) for i in range(len(notebook["cells"]))]


def test_is_thin_and_defines_nothing(name):
    cells = [cell for cell in code_cells(name) if not {"parameters", "setup"} & set(cell.metadata.get("tags", []))]
    assert sum(len(cell.source.splitlines()) for cell in cells) <= MOST_CODE
    for cell in cells:
        assert len(cell.source.splitlines()) <= 20, cell.source
        defined = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
        assert not defined, cell.source
        assert not re.search(r"\binput\(", cell.source), "a headless run has nobody to ask"


def test_a_name_keeps_its_meaning(name):
    """No name is assigned twice, and none within an expression."""
    assigned = Counter()
    for cell in code_cells(name):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.NamedExpr), cell.source
            if isinstance(node, ast.Assign) and "setup" not in cell.metadata.get("tags", []):
                assigned.update(n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name))
    assert [name for name, times in assigned.items() if times > 1 and name != "_"] == []


@pytest.mark.parametrize("task", EMOTION_TASKS)
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_row_that_is_too_long_is_named_before_the_model_is_loaded(
    tiny_model_folder, conversations, monkeypatch, task, split
):
    cell = only(cell for cell in code_cells(TRAINED_BY[task]) if "load_model(" in cell.source)
    monkeypatch.setattr("utils.models.load.load_model", lambda *anything: pytest.fail("the model was loaded"))
    config = Config(model=tiny_model_folder, quantization="none", precision="float32", max_row_tokens=20)
    names = {"config": config, "task": config.task(task), "train": [], "val": [], split: conversations}
    with pytest.raises(TooLong, match="a row holds at most 20"):
        exec(cell.source, names)


# ---- parameters and the set-up cell -------------------------------------------------------------------------------


def parameters_cell(name):
    """{name: value} of a notebook's parameters cell."""
    tree = ast.parse(only(code_cells(name, "parameters")).source)
    return {node.targets[0].id: ast.literal_eval(node.value) for node in tree.body}


def test_parameters_are_those_of_the_config_with_its_defaults(name):
    values, defaults, own = parameters_cell(name), Config().as_dict(), OWN.get(name, {})
    assert {key: value for key, value in values.items() if key not in own} == {
        key: defaults[key] for key in values if key not in own
    }
    assert all(isinstance(values[key], str) if value is str else values[key] == value for key, value in own.items())
    assert list(values) == parameter_names(name)


def form(field):
    """What Colab's form is told about a parameter: its choices, or its type."""
    if "choices" in field.metadata:
        return json.dumps(list(field.metadata["choices"]))
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return '{type:"%s"}' % ("raw" if list in get_args(field.type) else kinds[type(field.default)])


def test_parameters_are_in_the_groups_of_the_config_and_fields_of_colabs_form(name):
    head, heads, known = None, [], {f.name: f for f in fields(Config)}
    source = only(code_cells(name, "parameters")).source
    for line in source.partition("text = ")[0].splitlines():
        assert line == "" or line.startswith("# @markdown ") or "  # @param " in line, line
        if line.startswith("# @markdown ### "):
            head = line
            heads.append(line)
        elif "  # @param " in line:
            key, told = line.split(" = ")[0], line.partition("  # @param ")[2]
            if key in known:
                assert told == form(known[key]), line
                assert head == HEADS[known[key].metadata["group"]], line
            else:
                assert key in OWN[name]
    assert [one for one in heads if one in HEADS.values()] == [one for one in HEADS.values() if one in heads]


def test_every_parameter_belongs_to_a_notebook():
    own = {key for one in OWN.values() for key in one}
    assert {key for name in ALL for key in parameter_names(name)} - own == set(Config().as_dict()) - own


def test_set_up_cells_are_the_same_everywhere_and_name_the_repositorys_address():
    cells = {name: only(code_cells(name, "setup")) for name in ALL}
    source = only({cell.source for cell in cells.values()})
    assert source.startswith("# @title Setup: run me once\n")
    for cell in cells.values():
        assert cell.metadata["jupyter"] == {"source_hidden": True} and cell.metadata["cellView"] == "form"
    address = re.search(r'Repository = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))[1]
    assert f'REPOSITORY = "{address}"' in source
    folder, file = re.search(r'\(folder / "(\w+)" / "([\w.]+)"\)\.is_file', source).groups()
    assert (ROOT / folder / file).is_file(), "what the cell finds the repository by"


# ---- figures in the texts -----------------------------------------------------------------------------------------


def test_the_scores_of_the_shipped_run_are_those_of_its_record():
    assert results_table(SHIPPED) in "\n".join(text_cells("4_cause_inference"))
    emotions = read_scores(SHIPPED)["emotions"]
    text = "\n".join(text_cells("2_emotion_inference"))
    for system, scores in emotions.items():
        cells = [f"{scores[key]:.3f}" for key in ("accuracy", "weighted_f1", "macro_f1")]
        assert f"| {system} | {' | '.join(cells)} |" in text


def test_figures_in_sentences_are_those_of_the_shipped_run():
    metrics = read_scores(SHIPPED)
    names = ("fine-tuned emotions + rule", "fine-tuned emotions and causes", "gold emotions + fine-tuned causes")
    rule, result, on_gold = (metrics["pairs"][name]["scores"]["weighted_f1"] for name in names)
    last = "\n".join(text_cells("4_cause_inference"))
    assert f"add {result - rule:.3f} to the rule" in last
    assert f"emotions cost {on_gold - result:.3f}, and wrong causes the remaining {1 - on_gold:.3f}" in last

    confusion = metrics["emotions"]["zero-shot"]["confusion"]
    total = sum(sum(row.values()) for row in confusion.values())
    anger = sum(row["anger"] for row in confusion.values())
    assert f"{anger:,} of {total:,} utterances anger" in "\n".join(text_cells("2_emotion_inference"))
    assert f"the {total:,} utterances" in "\n".join(text_cells("2_emotion_inference"))

    for task in EMOTION_TASKS:
        text = "\n".join(text_cells(TRAINED_BY[task]))
        history = read_json(SHIPPED / "adapters" / task / "training.json")["history"]
        first = next(entry["loss"] for entry in history if "loss" in entry)
        last = [entry["eval_loss"] for entry in history if "eval_loss" in entry][-1]
        assert f"begins at {first:.1f}" in text and f"loss on `val` is {last:.2f} at the end" in text


def test_the_figures_of_the_error_analysis_are_those_of_the_shipped_run(shared, tmp_path):
    write_splits(shared / "ecf", tmp_path, splits=ROOT / "data" / "ecf1_splits.json")
    gold = load_conversations(tmp_path / "test", labelled=True)
    predicted = read_predictions(SHIPPED, gold)
    text = "\n".join(text_cells("error_analysis"))
    for row, score in ceilings(gold, predicted)["weighted F1"].items():
        assert f"| {row} | {score:.3f} |" in text
    found, neutral, other, unnamed = fates(pair_table(gold, predicted), "emotion").sum()
    assert f"of {found + neutral + other + unnamed:,} gold pairs {found:,} are found" in text
    assert f"{neutral + other:,} are lost to a wrong emotion, and {unnamed:,} because the cause" in text


# ---- running them: a copy of the repository, the tiny model, a few conversations (the fixture `copy`) ---------------


@pytest.mark.slow
def test_chain_runs_all_four_and_fills_both_results_folders(copy, tiny_model_folder):
    done = run_in(
        copy, "-m", "utils.chain", "configs/sample.yaml", "-p", "model", tiny_model_folder, "-p", "run_name", "chain"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "fine-tuned emotions and causes" in done.stdout
    train, test = copy / "results_train/chain", copy / "results_test/chain"
    for folder in (train, test):
        for file in ("config.json", "emotion_labelled_data.json", "Subtask_2_pred.json", "predictions.jsonl"):
            assert (folder / file).stat().st_size > 0, file
    (copy / "new").touch()  # what libraries write has the mode of other new files
    modes = {path.name: path.stat().st_mode for folder in (train, test) for path in folder.rglob("*") if path.is_file()}
    assert {name for name, mode in modes.items() if mode != (copy / "new").stat().st_mode} == set()
    # the loss, the step and the time left came from the kernels; nothing foreign was said
    assert "encryption" not in done.stderr and "deprecated" not in done.stderr and "kernels" not in done.stderr
    # the executed notebooks too hold no token of the environment
    written = [path for folder in (train, test) for path in folder.rglob("*") if path.is_file()]
    assert SECRET not in done.stdout + done.stderr
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
    metrics = json.loads((train / "metrics.json").read_text(encoding="utf-8"))
    assert len(metrics["pairs"]) == 6 and set(metrics["emotions"]) == {"majority", "zero-shot", "fine-tuned"}
    assert len(list((train / "notebooks").glob("*.ipynb"))) == 4
    # every label that was predicted is one of the seven, and gold results can be scored from the files alone
    scored = run_in(
        copy,
        "-m",
        "utils.score",
        "--subtask",
        "2",
        "--gold",
        "input/test/conversations.json",
        "--pred",
        train / "Subtask_2_pred.json",
        "--json",
    )
    row, scores = metrics["pairs"]["fine-tuned emotions and causes"], json.loads(scored.stdout)
    assert {name: scores[name] for name in row["scores"]} == pytest.approx(row["scores"])
    # predict finds the adapters of the run that has just ended by its name
    predicted = run_in(
        copy, "-m", "utils.predict", "data/sample/unlabelled.json", "--out", "pred.json", "--run", "chain"
    )
    assert predicted.returncode == 0, predicted.stderr[-2000:]
    assert read_json(copy / "pred.json") == read_json(test / "Subtask_2_pred.json")


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy,task_type",
    [
        ("generation", "regression_with_relevance"),
        ("generation", "stance"),
        ("sequence", "regression"),
        ("prompt", "binary"),
    ],
)
def test_the_chain_of_opinions_trains_scores_and_is_verified(copy, tiny_model_folder, strategy, task_type):
    """On the sample that ships, which is split where no input is there."""
    name = f"{strategy}-{task_type}"
    done = run_in(
        copy,
        *("-m", "utils.chain", "configs/opinion.yaml", "-p", "model", tiny_model_folder, "-p", "run_name", name),
        *("-p", "task_type", task_type, "-p", "strategy", strategy, "-p", "opinion_epochs", "0.5"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    train, test = copy / "results_train" / name, copy / "results_test" / name
    rows = read_scores(train)["opinions"]
    without = {*available(), "fine-tuned"}
    assert {*rows} == without | ({"zero-shot"} if strategy != "sequence" else set()), "an untrained head says nothing"
    assert "| fine-tuned | " in done.stdout and len(list((train / "notebooks").glob("*.ipynb"))) == 2
    assert len((train / "predictions.jsonl").read_text().splitlines()) == read_scores(train)["texts"] > 10
    assert (test / "predictions.jsonl").read_text() == "", "the sample has no unlabelled texts"
    adapter = train / "adapters" / "opinion"
    assert recorded_opinions(adapter).task_type == read_json(adapter / "training.json")["task_type"] == task_type
    verified = run_in(copy, "-m", "utils.runs", "verify", f"results_train/{name}")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    listed = run_in(copy, "-m", "utils.runs", "list", name)
    assert f"{rows['fine-tuned']['labels']['macro_f1']:.3f}" in listed.stdout


@pytest.mark.slow
def test_the_chain_of_instructions_trains_answers_and_is_verified(copy, tiny_model_folder):
    """On the sample that ships, which is split where no input is there."""
    few = ("-p", "instruction_epochs", "0.5", "-p", "new_tokens", "8")
    done = run_in(copy, "-m", "utils.chain", "configs/instruction.yaml", "-p", "model", tiny_model_folder, *few)
    assert done.returncode == 0, done.stderr[-3000:]
    train, test = (copy / folder / "instructions" for folder in ("results_train", "results_test"))
    rows = read_scores(train)["instructions"]
    assert {*rows} == {"zero-shot", "fine-tuned"} and {*rows["fine-tuned"]} == {"held_out", "written", "choices"}
    assert "| fine-tuned | " in done.stdout and len(list((train / "notebooks").glob("*.ipynb"))) == 2
    assert rows["fine-tuned"]["held_out"]["loss"] < rows["zero-shot"]["held_out"]["loss"]
    shown = (train / "notebooks" / "instruction_inference.ipynb").read_text(encoding="utf-8")
    assert len(read_json(train / "answers.json")) == read_scores(train)["examples"] == 10 and "fine-tuned" in shown
    assert (test / "predictions.jsonl").read_text() == "", "the sample has no examples without answers"
    verified = run_in(copy, "-m", "utils.runs", "verify", "results_train/instructions")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    listed = run_in(copy, "-m", "utils.runs", "list", "instructions")
    assert f"{rows['fine-tuned']['held_out']['loss']:.3f}" in listed.stdout


@pytest.mark.slow
@pytest.mark.parametrize("form", ["list", "published"])
def test_the_other_choices_run_too(copy, tiny_model_folder, form):
    choice = {
        "list": {"cause_form": "list", "cause_emotions": "predicted"},
        "published": {"recipe": "published", "batch_size": 8, "gradient_accumulation": 1, "emotion_epochs": 0.5},
    }[form]
    choice = [word for name, value in choice.items() for word in ("-p", name, value)]
    done = run_in(
        copy,
        "-m",
        "utils.chain",
        "configs/sample.yaml",
        "-p",
        "model",
        tiny_model_folder,
        "-p",
        "run_name",
        form,
        *choice,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (copy / "results_test" / form / "predictions.jsonl").stat().st_size > 0


@pytest.mark.slow
def test_each_notebook_passes_nbval(copy, tiny_model_folder):
    """nbval injects no parameters, so the copies' parameters cells name the tiny model; it runs in notebooks/."""
    chained = [stage.notebook for stage in STAGES]  # the others come after; the first needs the run of the four
    order = [*chained, *sorted({*ALL} - {*chained}, key=lambda name: (name == "0_try_it", name))]
    for name in order:
        path = copy / "notebooks" / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if "parameters" in cell.metadata.get("tags", []):
                chains = {"nbval-texts": TEXTS, "nbval-examples": EXAMPLES}
                run = next((run for run, chain in chains.items() if name in [one.notebook for one in chain]), "nbval")
                cell.source += f'\nmodel = r"{tiny_model_folder}"\nrun_name = "{run}"'
            if "setup" in cell.metadata.get("tags", []) and name == "self_generated_data":
                cell.source += WRITER
        nbformat.write(notebook, path)
    study = copy / "configs" / "studies" / "example.yaml"
    given = yaml.safe_load(study.read_text(encoding="utf-8"))
    study.write_text(yaml.safe_dump({**given, "parameters": {"model": tiny_model_folder}}), encoding="utf-8")
    paths = [copy / "notebooks" / f"{name}.ipynb" for name in order]
    done = run_in(copy / "notebooks", "-m", "pytest", "-p", "no:cacheprovider", "--nbval-lax", *paths)
    assert done.returncode == 0, done.stdout[-3000:]


# ---- refusals of the chain ------------------------------------------------------------------------------------


def test_chain_refuses_a_mistyped_name_before_anything_runs(copy):
    done = run_in(copy, "-m", "utils.chain", "configs/sample.yaml", "-p", "run_name", "typo", "-p", "emotion_epoch", 2)
    assert done.returncode == 2
    assert "emotion_epoch" in done.stderr and "emotion_epochs" in done.stderr and "Traceback" not in done.stderr
    assert not (copy / "results_train/typo").exists()


@pytest.mark.slow
def test_chain_stops_at_the_first_failure_with_the_cell_and_the_cause(copy, tiny_model_folder):
    """A training that changes nothing, which nobody can see before."""
    earlier = copy / "results_train/broken/notebooks/1_emotion_recognition_training.ipynb"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("what ran before", encoding="utf-8")
    done = run_in(
        copy,
        "-m",
        "utils.chain",
        "configs/sample.yaml",
        "-p",
        "model",
        tiny_model_folder,
        "-p",
        "emotion_learning_rate",
        "1e-45",
        "-p",
        "run_name",
        "broken",
    )
    assert done.returncode == 2
    assert re.search(r"1_emotion_recognition_training failed in cell \d+: ModelError", done.stderr), done.stderr
    assert "2_emotion_inference" not in done.stdout
    assert earlier.read_text(encoding="utf-8") == "what ran before"
    assert "ModelError" in earlier.with_suffix(".failed.ipynb").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_missing_input_names_the_notebook_to_run_first(copy):
    for name, first in (
        ("2_emotion_inference", "1_emotion_recognition_training"),
        ("4_cause_inference", "3_cause_prediction_training"),
    ):
        done = run_in(copy, "-m", "papermill", f"notebooks/{name}.ipynb", copy / "out.ipynb", "-p", "run_name", "fresh")
        assert done.returncode != 0 and f"run notebook {first} first" in done.stderr, done.stderr[-2000:]
