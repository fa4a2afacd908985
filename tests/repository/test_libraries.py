"""Every name that the code and the notebooks import is there in the installed libraries, also those that only a
rare path imports.

    python -m pytest tests/repository/test_libraries.py
"""

import ast
import importlib
import subprocess
import sys

import nbformat
import pytest
from helpers import ROOT

# In no requirements: what needs them names the command. Or only in Colab, only in Kaggle, only with a GPU.
OPTIONAL = ("av", "cv2", "espeakng_loader", "gradio", "llama_cpp", "google", "kaggle_secrets", "vllm")


def sources():
    """(file, Python source) of all code that users run."""
    for path in [*ROOT.glob("*.py"), *ROOT.glob("utils/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]:
        yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
    for path in ROOT.glob("notebooks/*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        yield path.relative_to(ROOT), "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def imports():
    """(module, name or None) of every import statement, wherever it stands."""
    found = set()
    for _, source in sources():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                found |= {(alias.name, None) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {(node.module, alias.name) for alias in node.names}
    return sorted(found, key=str)


def test_all_code_is_looked_at():
    seen = {path.parent.as_posix() for path, _ in sources()}
    rooms = {f"utils/{room}" for room in ("system", "data", "models", "engine", "tasks", "report", "record")}
    assert seen >= {".", "utils", "benchmarks", "notebooks", *rooms}


@pytest.mark.parametrize(("module", "name"), imports())
def test_the_import_works(module, name):
    if module.split(".")[0] in OPTIONAL:
        pytest.importorskip(module)
    found = importlib.import_module(module)
    if name is not None and not hasattr(found, name):
        importlib.import_module(f"{module}.{name}")


def test_what_reads_results_loads_no_tensors():
    code = (
        "import sys, utils.runs, utils.score, utils.chain; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def test_inference_loads_no_trainer():
    """trl and datasets are a seventh of the seconds that the imports take."""
    code = "import sys, utils.engine.inference, utils.predict; print(sorted({'trl', 'datasets'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split("\n")[-2] == "[]"


# What requirements.txt has beside requirements-predict.txt, and what these bring.
NOT_FOR_LABELLING = (
    "trl", "bitsandbytes", "datasets", "pandas", "matplotlib", "sklearn", "scipy", "papermill", "IPython", "ipywidgets"
)  # fmt: skip


def test_labelling_loads_no_package_that_only_others_need():
    """requirements-predict.txt is enough: without the other packages conversations and texts are labelled."""
    code = f"""
import sys
for name in {NOT_FOR_LABELLING}:
    sys.modules[name] = None  # importing it fails
from utils.predict import OpinionPredict, Predictor
import utils.engine.inference, utils.models.adapters, utils.models.load, utils.models.fits, utils.tasks.ask
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_packages_that_label_are_some_of_those_that_train():
    def lines(file):
        return {line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")}

    assert lines("requirements-predict.txt") < lines("requirements.txt")
    assert "-r requirements-predict.txt" in (ROOT / "predict.yaml").read_text()
