"""The notebooks with captions and a stream of vectors: the run is verified, and its adapters label by themselves.

python -m pytest tests/repository/test_notebooks_with_senses.py
"""

import pytest
from filmed import filmed, made_stream, write_stream
from helpers import repository, start

from utils.data.conversations import without_labels
from utils.predict import Predictor
from utils.record.verify import is_equal, verify
from utils.system.files import read_json


@pytest.mark.slow
def test_the_notebooks_run_with_captions_and_vectors(tiny_model_folder, conversations, tmp_path):
    items = [filmed(c) for c in conversations]
    for c in items:
        c["conversation"][0]["video_caption"] = "she waves"
    mine = repository(tmp_path / "r", items)
    write_stream(mine / "input" / "features", made_stream("voice", items, 3, most=2))
    parameters = {"model": tiny_model_folder, "lora_r": 4, "gradient_accumulation": 1, "text_epochs": 1.0}
    parameters |= {"captions": ["video_caption"], "streams": ["voice"], "stream_tokens": 2}
    assert start(mine, parameters).wait(timeout=250) == 0, (mine / "chain.log").read_text()[-3000:]
    log = (mine / "chain.log").read_text()
    assert " <voice> <voice>\n" in log and "[video caption: she waves]" in log and " <no voice>" in log
    run = mine / "results_train" / "sample"
    records = read_json(run / "config.json")
    assert {one["parameters"]["streams"][0] for one in records.values()} == {"voice"}
    assert len({one["features"]["voice"] for one in records.values()}) == 1
    found = verify(run, mine)
    assert found.figures and all(is_equal(*pair) for pair in found.figures.values())
    adapters = [run / "adapters" / task for task in ("emotion", "cause")]
    given, features = [without_labels(c) for c in items], mine / "input" / "features"
    labelled, emotions, causes = Predictor(*adapters, features=features)(given)
    written = read_json(run / "Subtask_2_pred.json")
    assert [c["emotion-cause_pairs"] for c in labelled] == [c["emotion-cause_pairs"] for c in written]
    assert emotions != Predictor(*adapters)(given)[1] and all(causes)
