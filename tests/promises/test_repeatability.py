"""The same seed, machine and versions: the same bytes, whichever process computes them.

python -m pytest tests/promises/test_repeatability.py
"""

import json

import pytest
from helpers import outcome, repository, start


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tiny_model_folder, conversations, tmp_path):
    """The notebooks' cells twice. Python's hashes, so the order of its sets, differ from process to process."""
    parameters = {"model": tiny_model_folder, "emotion_epochs": 6.0, "cause_epochs": 6.0}
    found = {}
    for name, seed in (("one", 42), ("two", 42), ("other", 43)):
        mine = repository(tmp_path / name, conversations)
        process = start(mine, {**parameters, "seed": seed})
        assert process.wait(timeout=900) == 0, (mine / "chain.log").read_text()[-3000:]
        found[name] = outcome(mine)
    assert found["one"].keys() == found["two"].keys() and len(found["one"]) > 12
    assert [name for name in found["one"] if found["one"][name] != found["two"][name]] == []
    predictions = [name for name in found["one"] if name.endswith("predictions.jsonl")]
    assert len(predictions) == 2 and all(found["one"][name] for name in predictions)
    assert all(found["one"][name] != found["other"][name] for name in predictions), "another seed tells otherwise"
    assert json.loads(found["one"][predictions[0]].splitlines()[0])["emotion_probabilities"]
