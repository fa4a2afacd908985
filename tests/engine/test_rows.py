"""Conversations that a row or a model cannot hold are refused by name: nothing is cut.

python -m pytest tests/engine/test_rows.py
"""

import pytest
from helpers import FIVE
from transformers import AutoConfig, AutoModelForCausalLM

from utils.config import Config
from utils.data.conversations import names_of
from utils.engine.inference import score_trees
from utils.engine.prefix_tree import Row
from utils.engine.rows import check_positions, encode_trees, pack_rows
from utils.record.fit import fit
from utils.record.run import Run
from utils.system.errors import TrainingError
from utils.tasks import emotion


def test_a_conversation_too_long_for_a_row_is_refused_by_name(tokenizer):
    tree = emotion.tree(FIVE)
    length = len(encode_trees([tree], ["conversation 5"], tokenizer, 10_000, train=False)[0])
    with pytest.raises(TrainingError, match=f"conversation 5: {length} tokens.*at most {length - 1}.*max_row_tokens"):
        encode_trees([tree], ["conversation 5"], tokenizer, length - 1, train=False)
    assert len(encode_trees([tree], ["conversation 5"], tokenizer, length, train=False)[0]) == length


def test_a_conversation_longer_than_the_model_can_read_is_named(tokenizer, conversations, tmp_path):
    small = {"vocab_size": len(tokenizer), "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **small))
    trees = [emotion.tree(c) for c in conversations]
    refused = "conversation 2: .* tokens, and the model has 64 positions. Leave the conversation out"
    with pytest.raises(TrainingError, match=refused):
        score_trees(model, tokenizer, trees, names_of(conversations), 256, 4096)
    for text_epochs in (0.0, 1.0):
        config = Config(run_name=f"{text_epochs}", text_epochs=text_epochs)
        run = Run(config, "1_emotion_recognition_training", [], tmp_path)
        with pytest.raises(TrainingError, match=refused):
            fit(run, config.task("emotion"), model, tokenizer, conversations)


def test_a_path_may_have_as_many_tokens_as_the_model_has_positions():
    row = Row(input_ids=[5] * 4, positions=[0, 1, 2, 3])
    check_positions([row], ["conversation 1"], 4)
    check_positions([row], ["conversation 1"], None)
    with pytest.raises(TrainingError, match="conversation 1: .* the model has 3 positions"):
        check_positions([row], ["conversation 1"], 3)
    check_positions([row], ["conversation 1"], 6, virtual=2)
    with pytest.raises(TrainingError, match="behind up to 5 tokens, and the model has 5 positions"):
        check_positions([row], ["conversation 1"], 5, virtual=2)


def test_the_order_of_packed_rows_follows_from_the_seed():
    rows = [Row(input_ids=[number] * (number + 1)) for number in range(40)]
    order = [[row.input_ids for row in pack_rows(rows, 50, seed)] for seed in (1, 1, 2)]
    assert order[0] == order[1] != order[2]
    assert sorted(order[0]) == sorted(order[2]), "the rows themselves do not"
