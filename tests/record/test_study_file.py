"""A study's file: what it means, and each fault in one message with its fix.

python -m pytest tests/record/test_study_file.py
"""

import pytest
import yaml

from utils.config import Config
from utils.record.study_file import read_study, slug
from utils.system.errors import ConfigError


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text if isinstance(text, str) else yaml.safe_dump(text, sort_keys=False))
        return path

    return write


def test_a_grid_has_a_row_for_every_combination(written):
    study = read_study(
        written("parameters: {lora_r: 4, seed: 7}\nseeds: 2\nvary: {targets: [single, votes], compile: [true, false]}")
    )
    assert study.name == "mine" and study.seeds == (7, 8) and study.folds == 1 and study.tasks == ()
    assert [*study.rows] == [
        "targets single, compile true",
        "targets single, compile false",
        "targets votes, compile true",
        "targets votes, compile false",
    ]
    assert study.rows["targets votes, compile true"] == {"lora_r": 4, "seed": 7, "targets": "votes", "compile": True}


def test_rows_are_named_sets_on_top_of_a_configuration(written):
    given = {
        "name": "sizes",
        "config": "configs/smollm2-135m.yaml",
        "parameters": {"emotion_epochs": 1},
        "rows": {"as it is": None, "Wide!": {"lora_r": 32}},
        "seeds": [1, 2, 3],
        "folds": 5,
        "group": "block",
        "tasks": ["emotion"],
        "jobs": 2,
        "measure": "macro_f1",
    }
    study = read_study(written(given))
    assert study.rows["as it is"]["lora_r"] == 8 and study.rows["Wide!"]["lora_r"] == 32
    assert study.rows["Wide!"]["emotion_epochs"] == 1
    assert (study.name, study.folds, study.group, study.jobs, study.measure) == ("sizes", 5, "block", 2, "macro_f1")
    assert slug("Wide!") == "wide" and slug("q_proj + 0.001") == "q-proj-0.001" and slug("日") == "row"


def test_without_anything_varied_there_is_one_row(written):
    study = read_study(written("folds: 3"))
    assert study.rows == {"default": {}} and study.seeds == (Config.seed,)


@pytest.mark.parametrize(
    "text, says",
    [
        ("vary: {emotion_epoch: [1]}", "vary: unknown parameter 'emotion_epoch'; did you mean emotion_epochs?"),
        ("rows: {a: {lorar: 1}}", "rows, a: unknown parameter 'lorar'; did you mean lora_r?"),
        ("varry: {}", "unknown parameter 'varry'; did you mean vary?"),
        ("vary: {targets: [single, both]}", "row targets both: parameter targets is 'both'; choose one of"),
        ("vary: {targets: single}", "vary, targets is 'single'; write a list of values"),
        ("vary: {targets: []}", "write a list of values"),
        ("vary: {lora_r: [4, 4]}", "vary has a value twice"),
        ("vary: {seed: [1, 2]}", "a study gives seed to each run itself; give seeds"),
        ("parameters: {run_name: a}", "a study gives run_name to each run itself; give name"),
        ("vary: {lora_r: [4]}\nrows: {a: {}}", "vary and rows are both there"),
        ("rows: {}", "rows is {}"),
        ("rows: {a b: {}, a-b: {}}", "two rows are called alike"),
        ("rows: {a: {lora_r: 4, lora_r: 8}}", "lora_r.*there twice"),
        ("tasks: [opinion]\nfolds: 3", "folds is for conversations; a study of opinions has rows, seeds and a search"),
        ("tasks: [opinion]\nvary: {samples: [5]}", "samples are of conversations"),
        ("tasks: [opinion]\nmeasure: pairs", "measure is 'pairs'; choose one of accuracy, macro_f1, rmse"),
        ("seeds: [1, 1]", "seeds is .* a list of different ones"),
        ("seeds: 0", "seeds is 0"),
        ("seeds: [-1]", "parameter seed is -1"),
        ("folds: 0", "folds is 0"),
        ("folds: five", "folds is 'five'"),
        ("group: session", "add folds, such as folds: 5"),
        ("tasks: [cause]", r"tasks is \['cause'\]; write \[emotion\]"),
        ("measure: f1", "measure is 'f1'; choose one of accuracy"),
        ("baselines: [most]", r"baselines is \['most'\]; write a list of majority"),
        ("baselines: [majority]\nrows: {majority: {}}", "majority is the name of a baseline"),
        ("vary: {samples: [0, 5]}", "row samples 0: samples is 0"),
        ("parameters: {samples: few}", "samples is 'few'; write a number of conversations"),
        ("jobs: 0", "jobs is 0"),
        ("name: 3", "name is 3; write a word"),
        ("name: a/b", "parameter run_name is 'a/b-default"),
        ("config: nowhere.yaml", "nowhere.yaml: there is no such file"),
        ("config: [a]", "config is .*write a word"),
    ],
)
def test_a_fault_is_one_message(written, text, says):
    with pytest.raises(ConfigError, match=says) as found:
        read_study(written(text))
    assert "\n" not in str(found.value) and ("mine.yaml" in str(found.value) or "nowhere" in str(found.value))
