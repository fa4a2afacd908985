"""A run's scores are those of its predictions, to the last figure.

python -m pytest tests/record/test_predictions.py
"""

import re

from helpers import tables_of

from utils.config import Config
from utils.record.predictions import write_predictions
from utils.record.run import Run
from utils.runs import main
from utils.system.files import read_json, write_json
from utils.tasks.baselines import rule


def test_verify_fails_where_a_score_is_not_that_of_the_predictions(tmp_path, sample, capsys):
    gold = sample[:20]
    write_json(gold, tmp_path / "input" / "test" / "conversations.json")
    config = Config(run_name="mine", input_dir=str(tmp_path / "input"))
    run = Run(config, "4_cause_inference", ["input_dir"], root=tmp_path)
    predicted = [rule(c) for c in gold]
    write_predictions(run.train_dir, predicted, *tables_of(predicted))
    run.score_emotions(gold, {"fine-tuned": (predicted, tables_of(predicted)[0])})
    names = "fine-tuned emotions + rule", "fine-tuned emotions and causes", "gold emotions + rule"
    run.score_pairs(gold, {name: (name.split()[0], predicted) for name in names})
    assert main(["verify", str(run.train_dir)]) == 0
    assert re.search(r": (\d+) of \1 figures are those of the predictions", capsys.readouterr().out)
    metrics = read_json(run.train_dir / "metrics.json")
    metrics["pairs"]["gold emotions + rule"]["scores"]["weighted_f1"] += 1e-3
    write_json(metrics, run.train_dir / "metrics.json")
    assert main(["verify", str(run.train_dir)]) == 1
    assert "gold emotions + rule / scores / weighted_f1: " in capsys.readouterr().out
