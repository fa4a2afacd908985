"""Samples of train: each is a part of the larger ones, and training takes as many steps on each.

python -m pytest tests/record/test_samples.py
"""

import math

import pytest
from helpers import with_lora

from utils.config import Config
from utils.data.labels import ECF
from utils.record.cells import Inputs
from utils.record.fit import examples
from utils.record.samples import equal_steps, nested, updates
from utils.record.study_file import Study
from utils.system.errors import ConfigError
from utils.system.files import write_json


def test_samples_are_nested_and_the_seed_draws_them(sample):
    sizes = (5, 20, 60, len(sample))
    parts = [nested(sample, size, seed=1) for size in sizes]
    ids = [{c["conversation_ID"] for c in part} for part in parts]
    assert [len(part) for part in parts] == [*sizes] and ids[0] < ids[1] < ids[2] < ids[3]
    assert nested(sample[::-1], 5, seed=1) == parts[0] != nested(sample, 5, seed=2)
    with pytest.raises(ConfigError, match=f"samples is 500, and train has {len(sample)} conversations"):
        nested(sample, 500, seed=1)


def test_rows_of_several_inputs_take_the_steps_of_the_largest_sample(tiny_model_folder, tokenizer, sample, tmp_path):
    """An input with fewer and shorter conversations too."""
    short = [{**c, "conversation": c["conversation"][:1], "emotion-cause_pairs": []} for c in sample[:8]]
    for name, train in (("long", sample[:30]), ("short", short)):
        for split in ("train", "test"):
            write_json(train, tmp_path / name / split / "conversations.json")
    common = {"model": tiny_model_folder, "precision": "float32", "emotion_epochs": 2.0, "token_budget": 64}
    rows = {"all": ("long", 20), "few": ("long", 5), "others": ("short", 6)}
    rows = {row: {**common, "input_dir": str(tmp_path / name), "samples": n} for row, (name, n) in rows.items()}
    cells = Inputs(Study("s", rows, ("emotion",)), tmp_path).cells(("emotion",))
    steps = []
    for cell, some in zip(cells, (sample[:30], sample[:30], short)):
        part = nested(some, rows[cell.row]["samples"], cell.seed)
        config = Config.of({name: value for name, value in cell.parameters.items() if name != "samples"})
        steps.append(math.ceil(config.emotion_epochs * updates(config, "emotion", part, ECF, tokenizer)))
    assert steps == [steps[0]] * 3 and steps[0] > 4


@pytest.mark.slow
def test_every_sample_is_trained_on_for_as_many_steps(tiny_model_folder, tokenizer, conversations, sample, tmp_path):
    """As the trainer itself counts them."""
    from utils.engine.trainer import train
    from utils.models.load import load_model

    given = {"model": tiny_model_folder, "precision": "float32", "emotion_epochs": 1.5, "gradient_accumulation": 2}
    given["token_budget"] = 64  # a row a conversation
    most, last = [*conversations, *sample[40:44]], []
    wanted = math.ceil(1.5 * updates(Config.of(given), "emotion", most, ECF, tokenizer))
    for size in (1, 3, 7):
        some = most[:size]
        own = {**given, **equal_steps(given, ["emotion"], some, most, ECF)}
        config, (model, _) = Config.of(own), load_model(tiny_model_folder, precision="float32")
        rows = examples(config.task("emotion", ECF), some, tokenizer, config)
        history = train(with_lora(model), tokenizer, rows, config.training("emotion"), tmp_path / str(size))
        last.append(max(one["step"] for one in history))
    assert last == [wanted] * 3 and wanted > 4
