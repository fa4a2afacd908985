"""Adapters on disk: the newest run's, and what they are used with.

python -m pytest tests/record/test_adapter.py
"""

import os

from utils.record.adapter import find_adapters, trained_with
from utils.system.files import write_json


def test_the_newest_run_is_the_one_that_ended_last_whatever_its_files_say(tmp_path):
    runs = ("mine", "2026-11-01T10:00:00+00:00"), ("older", "2026-10-01T10:00:00+00:00"), ("cloned", None)
    for number, (run, ended) in enumerate(runs):
        for task in ("emotion", "cause"):
            path = tmp_path / "results_train" / run / "adapters" / task / "training.json"
            write_json({"ended": ended} if ended else {}, path)
            os.utime(path, (10**9 + number, 10**9 + number))
    assert find_adapters(tmp_path)[0].parts[-3] == "mine"


def test_predict_takes_what_the_runs_inference_used(tmp_path):
    adapter = tmp_path / "adapters" / "cause"
    write_json({"parameters": {"cause_threshold": 0.25, "logit_adjustment": 0.4, "seed": 7}}, adapter / "training.json")
    write_json(
        {
            "2_emotion_inference": {"parameters": {"logit_adjustment": 0.9}},
            "4_cause_inference": {"parameters": {"cause_threshold": 0.6}},
        },
        tmp_path / "config.json",
    )
    config = trained_with(adapter)
    assert (config.cause_threshold, config.logit_adjustment, config.seed) == (0.6, 0.9, 7)
