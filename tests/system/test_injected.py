"""A parameter that papermill puts into a notebook which does not have it is refused by the notebook.

python -m pytest tests/system/test_injected.py
"""

import os
import subprocess
import sys

import pytest
from helpers import ROOT

from utils.system.errors import ConfigError
from utils.system.injected import check_injected

CELL = 'run_name = "sample"  # @param\nseed = 42\ntext = """\nMia: Hello.\n"""\n'


def test_a_mistyped_name_is_named_with_the_nearest_one():
    check_injected([])
    check_injected(["", CELL, "import os"])
    check_injected(["", CELL, '# Parameters\nrun_name = "x"\nseed = -1\ntext = "A: b"\n', "import os"])
    with pytest.raises(ConfigError, match="papermill -p runname: the notebook has no such parameter; did you mean run"):
        check_injected(["", CELL, '# Parameters\nseed = 1\nrunname = "x"\n'])
    with pytest.raises(ConfigError, match="-p quantization: .* it has run_name, seed, text$"):
        check_injected(["", CELL, '# Parameters\nquantization = "nf4"\n'])


@pytest.mark.parametrize(
    "notebook,name,said",
    [("1_emotion_recognition_training", "runname", "did you mean run_name"), ("error_analysis", "input_dir", "it has")],
)
def test_papermill_on_a_notebook_ends_at_the_set_up(tmp_path, notebook, name, said):
    command = ["papermill", f"notebooks/{notebook}.ipynb", tmp_path / "out.ipynb", "-p", name, "x", "--cwd", ROOT]
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=ROOT,
        env={**os.environ, "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode and f"ConfigError: papermill -p {name}: the notebook has no such" in done.stderr
    assert said in done.stderr
