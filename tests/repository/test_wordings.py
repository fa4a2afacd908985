"""The notebooks with a pool of wordings: every wording is scored, and the run is verified and labels by itself.

python -m pytest tests/repository/test_wordings.py
"""

import pytest
from helpers import called, repository, start

from benchmarks.accuracy import wordings
from utils.predict import Predictor
from utils.record.verify import is_equal, verify
from utils.system.files import read_json
from utils.tasks.pool import read_pool


@pytest.mark.slow
def test_the_notebooks_run_with_a_pool_and_its_run_is_verified(tiny_model_folder, conversations, tmp_path):
    mine = repository(tmp_path / "r", conversations)
    parameters = {"model": tiny_model_folder, "prompts": "twelve", "lora_r": 4, "gradient_accumulation": 1}
    assert start(mine, parameters).wait(timeout=250) == 0, (mine / "chain.log").read_text()[-3000:]
    run = mine / "results_train" / "sample"
    metrics = read_json(run / "metrics.json")
    for task, figure in (("emotion", "macro_f1"), ("cause", "weighted_f1")):
        pool, section = read_pool("twelve", task), metrics[f"{task} wordings"]
        assert {name: one["text"] for name, one in section["wordings"].items()} == pool.wordings
        assert {name for name, one in section["wordings"].items() if not one["trained"]} == {*pool.held_out}
        assert section["spread"]["trained"][figure]["wordings"] == 10 and figure in section["average"]
        assert read_json(run / "adapters" / task / "training.json")["prompts"]["trains"] == "drawn"
    out = tmp_path / "spread.json"
    assert called(wordings.main, run, "--out", out)[0] == 0
    found = read_json(out)["runs"][str(run)]
    for task, measure in wordings.MEASURES.items():
        section, one = metrics[f"{task} wordings"], found[task]
        assert one["drawn from"]["mean"] == pytest.approx(section["spread"]["trained"][measure]["mean"])
        assert one["held out"]["wordings"] == 2 and one["average"] == section["average"][measure]
    assert wordings.table(read_json(out)).count("\n") == 3
    # inference asks with the first wording, in the run and without its files
    first = metrics["emotion wordings"]["wordings"]["emotion"]
    assert first["macro_f1"] == pytest.approx(metrics["emotions"]["fine-tuned"]["macro_f1"])
    found = verify(run, mine)
    assert all(is_equal(*both) for both in found.figures.values()) and "emotion wordings" in found.not_compared
    paired = Predictor(run / "adapters" / "emotion", run / "adapters" / "cause")(conversations)[0]
    saved = read_json(run / "Subtask_2_pred.json")
    assert [c["emotion-cause_pairs"] for c in paired] == [c["emotion-cause_pairs"] for c in saved]
