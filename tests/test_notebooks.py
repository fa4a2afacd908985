"""The notebooks: what must stand in them (static), and that they run, each by nbval and all by the chain."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from utils.config import Config
from utils.record.stages import NOTEBOOKS, parameter_names

ROOT = Path(__file__).resolve().parents[1]


def read(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def code_cells(name):
    return [cell for cell in read(name).cells if cell.cell_type == "code"]


def parameters_cell(name):
    tagged = [cell for cell in code_cells(name) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    return tagged[0]


ALL = (*NOTEBOOKS, "error_analysis")  # the chain's four, and one that reads what they wrote


@pytest.fixture(params=ALL)
def name(request):
    return request.param


def test_there_are_these_notebooks_and_no_other():
    assert sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")) == sorted(ALL)


def test_opens_with_what_it_does_needs_and_writes(name):
    first = read(name).cells[0]
    assert first.cell_type == "markdown"
    assert all(f"**{word}:**" in first.source for word in ("Does", "Needs", "Writes"))


def test_has_no_outputs(name):
    assert not any(cell.outputs or cell.execution_count for cell in code_cells(name))


def test_cells_are_short_and_define_nothing(name):
    for cell in code_cells(name):
        assert len(cell.source.splitlines()) <= 20 or "parameters" in cell.metadata.get("tags", []), cell.source
        defined = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
        assert not defined, cell.source
        assert not re.search(r"\binput\(", cell.source), "a headless run has nobody to ask"


def test_parameters_are_those_of_the_config_with_its_defaults(name):
    tree = ast.parse(parameters_cell(name).source)
    values = {node.targets[0].id: ast.literal_eval(node.value) for node in tree.body}
    defaults = Config().as_dict()
    assert values == {key: defaults[key] for key in values}
    assert list(values) == parameter_names(name)


def test_every_parameter_belongs_to_a_notebook():
    assert {key for name in NOTEBOOKS for key in parameter_names(name)} == set(Config().as_dict())


def test_bootstrap_cells_are_the_same_everywhere_and_name_the_repositorys_address():
    bootstrap = {next(c.source for c in code_cells(name) if "REPOSITORY" in c.source) for name in ALL}
    assert len(bootstrap) == 1
    address = re.search(r'Repository = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))[1]
    assert f'REPOSITORY = "{address}"' in bootstrap.pop()


# ---- running them: a copy of the repository, the tiny model, a few conversations ------------------------------


@pytest.fixture(scope="module")
def copy(tmp_path_factory, tiny_model_folder):
    """A copy of the repository with a few sample conversations as its input."""
    folder = tmp_path_factory.mktemp("repository")
    for part in ("utils", "notebooks", "configs", "data", "generate_input.py", "pyproject.toml", "requirements.txt"):
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
    few = json.loads((ROOT / "data/sample/conversations.json").read_text(encoding="utf-8"))[:10]
    (folder / "few.json").write_text(json.dumps(few), encoding="utf-8")
    done = run_in(folder, "generate_input.py", "--data", "few.json", "--unlabelled", "data/sample/unlabelled.json")
    assert done.returncode == 0, done.stderr
    return folder


SECRET = "hf_secretOfNobody"


def run_in(folder, *command):
    environment = {**os.environ, "PYTHONPATH": str(folder), "IPYTHONDIR": str(folder / ".ipython"), "HF_TOKEN": SECRET}
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )


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
    assert json.loads(scored.stdout) == pytest.approx(metrics["pairs"]["**fine-tuned emotions and causes**"]["scores"])
    # predict finds the adapters of the run that has just ended
    predicted = run_in(copy, "-m", "utils.predict", "data/sample/unlabelled.json", "--out", "pred.json")
    assert predicted.returncode == 0, predicted.stderr[-2000:]
    assert without_video_names(copy / "pred.json") == without_video_names(test / "Subtask_2_pred.json")


def without_video_names(path):
    """The file's conversations; generate_input.py adds video names, which utils.predict's input did not have."""
    conversations = json.loads(Path(path).read_text(encoding="utf-8"))
    for c in conversations:
        for u in c["conversation"]:
            u.pop("video_name", None)
    return conversations


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
    for name in ALL:
        path = copy / "notebooks" / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if "parameters" in cell.metadata.get("tags", []):
                cell.source += f'\nmodel = r"{tiny_model_folder}"\nrun_name = "nbval"'
        nbformat.write(notebook, path)
    paths = [copy / "notebooks" / f"{name}.ipynb" for name in ALL]
    done = run_in(copy / "notebooks", "-m", "pytest", "-p", "no:cacheprovider", "--nbval-lax", *paths)
    assert done.returncode == 0, done.stdout[-3000:]


# ---- refusals of the chain ------------------------------------------------------------------------------------


def test_chain_refuses_a_mistyped_name_before_anything_runs(copy):
    done = run_in(copy, "-m", "utils.chain", "configs/sample.yaml", "-p", "run_name", "typo", "-p", "emotion_epoch", 2)
    assert done.returncode == 2
    assert "emotion_epoch" in done.stderr and "emotion_epochs" in done.stderr and "Traceback" not in done.stderr
    assert not (copy / "results_train/typo").exists()


@pytest.mark.slow
def test_chain_stops_at_the_first_failure_with_the_cell_and_the_cause(copy, tmp_path):
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
        tmp_path / "nowhere",
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
