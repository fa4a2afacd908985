"""The chain: which notebooks it runs, and what their files are called meanwhile.

python -m pytest tests/doors/test_chain.py
"""

import re
from pathlib import Path

import papermill
import pytest
from filelock import FileLock
from helpers import ROOT, called
from papermill.exceptions import PapermillExecutionError

from utils import chain
from utils.record.lock import hold, release
from utils.record.run import open_run
from utils.record.stages import EXAMPLES, NOTEBOOKS, TEXTS
from utils.record.taken import check_notebooks
from utils.system import places
from utils.system.errors import ChainError
from utils.system.files import read_json

FIRST, SECOND, _, LAST = NOTEBOOKS


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Where the place keeps results."""
    monkeypatch.setattr(places, "find", lambda: places.Place("here", tmp_path))
    return tmp_path


@pytest.fixture
def ran(root, monkeypatch):
    """What the chain runs in place of notebooks: [notebook, ...]."""
    found = []
    monkeypatch.setattr(chain, "check_work", check_notebooks)  # the rest is in tests/record/test_check.py
    monkeypatch.setattr(chain, "run_notebook", lambda notebook, *anything: found.append(notebook))
    return found


SAMPLE = ROOT / "configs" / "sample.yaml"


@pytest.mark.parametrize(
    "given,numbers", [((), [1, 2, 3, 4]), (("--only", "2,4"), [2, 4]), (("--only", "4,1"), [1, 4])]
)
def test_the_notebooks_that_are_asked_for_run_in_their_order(ran, given, numbers):
    assert called(chain.main, SAMPLE, *given) == (0, "")
    assert ran == [NOTEBOOKS[number - 1] for number in numbers]


@pytest.mark.parametrize("text", ["5", "0", "", "two", "2;4", "2,", "-1"])
def test_other_numbers_are_refused(ran, capsys, text):
    with pytest.raises(SystemExit):
        chain.main([str(SAMPLE), f"--only={text}"])
    assert "it must be numbers of notebooks, such as 2,4" in capsys.readouterr().err and ran == []


def test_a_run_that_another_one_holds_is_refused_before_a_notebook_starts(ran, root):
    run = open_run({"run_name": "sample", "seed": 1}, FIRST, root)[1]
    run.finish_adapter("emotion", [], {})
    release(run.train_dir)
    code, said = called(chain.main, SAMPLE, "-p", "seed", 2)
    assert code == 2 and "already holds another run (seed 1 there, 2 here" in said and ran == []


def test_a_second_start_leaves_the_running_notebook_alone(root, tmp_path):
    folder = root / "results_train" / "sample" / "notebooks"
    hold(folder.parent)
    (folder / f"{FIRST}.running.ipynb").parent.mkdir(parents=True)
    (folder / f"{FIRST}.running.ipynb").write_text("the first one's")
    release(folder.parent)
    with FileLock(folder.parent / ".lock"):
        code, said = called(chain.main, SAMPLE)
    assert code == 2 and "another process works in" in said
    assert (folder / f"{FIRST}.running.ipynb").read_text() == "the first one's"
    assert not (folder / f"{FIRST}.failed.ipynb").exists()


@pytest.mark.parametrize(
    "error,raised,left",
    [
        (None, None, ""),
        (PapermillExecutionError(1, 1, "x", "ValueError", "broken", []), ChainError, ".failed"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_a_notebook_is_called_running_while_it_runs(root, monkeypatch, error, raised, left):
    folder = root / "notebooks"
    folder.mkdir()
    (folder / f"{SECOND}.failed.ipynb").write_text("of an earlier start")

    def execute(source, target, **anything):
        Path(target).write_text("now")
        assert target == str(folder / f"{SECOND}.running.ipynb")
        if error:
            raise error

    monkeypatch.setattr(papermill, "execute_notebook", execute)
    if raised:
        with pytest.raises(raised):
            chain.run_notebook(SECOND, {}, folder)
    else:
        chain.run_notebook(SECOND, {}, folder)
    there = {path.name: path.read_text() for path in folder.iterdir()}
    wanted = {} if left == "" else {f"{SECOND}.failed.ipynb": "of an earlier start"}
    assert there == wanted | ({} if left is None else {f"{SECOND}{left}.ipynb": "now"})


def test_a_check_runs_nothing(ran, root, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(chain, "check_work", lambda config, *more: asked.append((config.seed, *more)))
    assert chain.main([str(SAMPLE), "--check", "--only", "1", "-p", "seed", "3"]) == 0
    assert asked == [(3, (FIRST,), root)] and ran == [] and not (root / "results_train").exists()
    assert "nothing stands in the way, and nothing was run" in capsys.readouterr().out


def test_the_input_is_asked_for_before_a_notebook_starts(ran, root):
    assert called(chain.main, SAMPLE) == (0, "")
    assert len(read_json(root / "input" / "train" / "conversations.json")) > 20, "the sample, split"


OPINIONS, INSTRUCTIONS = (ROOT / "configs" / f"{name}.yaml" for name in ("opinion", "instruction"))


def test_texts_with_opinions_have_notebooks_of_their_own(ran, root):
    assert called(chain.main, OPINIONS) == (0, "")
    assert ran == [stage.notebook for stage in TEXTS]
    assert len(read_json(root / "input" / "opinions" / "train" / "texts.json")) == 182, "the sample, split"
    assert called(chain.main, OPINIONS, "--only", "2") == (0, "") and ran[2:] == [TEXTS[1].notebook]


def test_instructions_have_notebooks_of_their_own(ran, root):
    assert called(chain.main, INSTRUCTIONS) == (0, "")
    assert ran == [stage.notebook for stage in EXAMPLES]
    assert len(read_json(root / "input" / "instructions" / "train" / "examples.json")) == 80, "the sample, split"
    code, said = called(chain.main, INSTRUCTIONS, "-p", "opinion_epochs", 1)
    assert code == 2 and "unknown parameter 'opinion_epochs'" in said


@pytest.mark.parametrize(
    "given,says",
    [
        (("--only", "3"), "--only 3: for this input there are 1 opinion_training, 2 opinion_inference"),
        (("-p", "emotion_epochs", 1), "unknown parameter 'emotion_epochs'; did you mean opinion_epochs?"),
        (("-p", "topic", "nosuch"), "topic: .*input/opinions has no texts on 'nosuch', but on "),
    ],
)
def test_what_the_notebooks_of_opinions_lack_is_refused(ran, given, says):
    code, said = called(chain.main, OPINIONS, *given)
    assert code == 2 and re.search(says, said) and ran == []


def test_conversations_have_no_parameters_of_opinions(ran):
    code, said = called(chain.main, SAMPLE, "-p", "task_type", "stance")
    assert code == 2 and "unknown parameter 'task_type'" in said and ran == []


def test_a_parameter_written_with_an_equals_sign_gets_a_hint(ran, capsys):
    with pytest.raises(SystemExit):
        chain.main([str(SAMPLE), "-p", "emotion_epochs=1"])
    assert "write -p NAME VALUE, such as -p seed 43" in capsys.readouterr().err


def test_a_file_of_parameters_that_is_not_there(ran):
    code, said = called(chain.main, "configs/nosuch.yaml")
    assert code == 2 and said.startswith("utils.chain: configs/nosuch.yaml: there is no such file. Give")
