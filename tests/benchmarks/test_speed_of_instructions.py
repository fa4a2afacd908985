"""The speed of instruction tuning is measured on the same work: equal tokens, equal losses, and all of it runs.

python -m pytest tests/benchmarks/test_speed_of_instructions.py
"""

import pytest
from helpers import ROOT, called

from benchmarks.speed import instructions
from benchmarks.speed.instructions import OnePass, Padded, Sibling, Stock, alone, learner, step
from utils.config import Config
from utils.data.instruction_input import make_input
from utils.engine.prefix_tree import TreeEncoder, paths
from utils.models.load import load_tokenizer
from utils.system.files import read_json

EXAMPLES = make_input(ROOT / "data" / "instructions" / "examples.jsonl").parts["train"][:12]


@pytest.fixture
def config(tiny_model_folder):
    return Config(model=tiny_model_folder, quantization="none", precision="float32", template="alpaca_short", lora_r=4)


def test_sequences_are_the_paths_of_the_rows(config):
    task, tokenizer = config.task("instruction"), load_tokenizer(config.model)
    encoder = TreeEncoder(tokenizer)
    for one, (ids, first) in zip(EXAMPLES, alone(task, tokenizer, EXAMPLES), strict=True):
        row = encoder(task.tree(one, train=True), True)
        assert paths(row, row.targets[-1:]) == [(ids[:-1], ids[-1])] and len(row.targets) == len(ids) - first
        assert ids[-1] == tokenizer.eos_token_id


def test_all_that_learn_the_answers_have_one_loss(config):
    task, tokenizer, losses = config.task("instruction"), load_tokenizer(config.model), {}
    for kind in (OnePass, Stock, Padded, Sibling):
        system = kind(config, task)
        seconds, losses[system.name] = step(system, learner(config, system), tokenizer, EXAMPLES)
        assert seconds > 0
    ours = losses[OnePass.name]
    assert losses[Stock.name] == pytest.approx(ours, rel=1e-4) and losses[Padded.name] == pytest.approx(ours, rel=1e-4)
    assert losses[Sibling.name] != pytest.approx(ours, rel=1e-3), "it learns the prompts too"


def test_the_whole_of_it_runs_and_writes_a_record(tiny_model_folder, tmp_path):
    out = tmp_path / "record.json"
    given = ["--examples", 6, "--runs", 2, "--model", tiny_model_folder, "--result", out]
    assert called(instructions.main, *given)[0] == 0
    record = read_json(out)
    assert record["examples"] == 6 and record["systems"][Stock.name]["seconds"]["runs"] == 2
    assert 0 < record["answer_tokens"] < record["tokens"] and record["data"] == "examples.jsonl"
    lines = instructions.table(record).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [kind.name for kind in instructions.SYSTEMS]
    assert lines[2].endswith("| 1.0 |")
