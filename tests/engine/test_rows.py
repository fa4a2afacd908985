"""Rows: what is too long is refused by name, and what trees begin with alike is read once.

python -m pytest tests/engine/test_rows.py
"""

import pytest
from helpers import FIVE
from transformers import AutoConfig, AutoModelForCausalLM

from utils.config import Config
from utils.data.conversations import names_of
from utils.engine.inference import score_row, score_trees
from utils.engine.prefix_tree import Node, Question, Row, TreeEncoder, paths
from utils.engine.rows import check_positions, encode_trees, in_one_row, joined, pack_rows, row_plan
from utils.engine.vectors import Vector
from utils.models.load import load_model
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


# ---- a shared trunk ------------------------------------------------------------------------------------------------


def tree(word, trunk="Which?", gold=None):
    """A question behind a trunk, and one behind it."""
    below = Node(" More?", Question((" no", " yes"), gold and " no"))
    return Node(trunk, None, [Node(word, Question((" joy", " sad"), gold), [below])], shared=True)


def encoded(tokenizer, trees, train=False):
    return [TreeEncoder(tokenizer)(one, train) for one in trees]


WORDS = (" one", " two words", " two", " one", " two words and more")


def test_trees_with_one_trunk_share_it_and_no_path_changes(tokenizer):
    rows = encoded(tokenizer, [tree(word, gold=" joy") for word in WORDS], train=True)
    row = joined(rows)
    assert len(row) < sum(map(len, rows)) - (len(rows) - 1) * len(rows[0].trunk) + 1
    wanted = [path for one in rows for path in paths(one, one.targets)]
    assert paths(row, row.targets) == wanted and row.weights == [weight for one in rows for weight in one.weights]
    for index, position in enumerate(row.positions):
        assert position == sum(index <= row.last[k] for k in range(index)), "a token stands behind all that it sees"


def test_scores_in_a_shared_row_are_those_of_each_tree(tiny_model_folder):
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    rows = encoded(tokenizer, [tree(word) for word in WORDS])
    alone = [question for row in rows for question in score_row(model, row)]
    for found, wanted in zip(score_row(model, in_one_row(rows)), alone, strict=True):
        assert found == pytest.approx(wanted, rel=1e-5)


def test_rows_hold_trees_of_one_trunk_and_several_times_its_length(tokenizer):
    long = "Which of these " + "and these " * 20
    trees = [tree(word, trunk) for trunk in ("Which?", long) for word in WORDS * 6]
    rows = encoded(tokenizer, [*trees, *(Node(" alone", Question((" a", " b"))) for _ in range(3))])
    plan = row_plan(rows, 40)
    assert sorted(index for group in plan for index in group) == list(range(len(rows)))
    for group in plan:
        trunks = {rows[index].trunk for index in group}
        assert () not in trunks or len(trunks) == 1
        assert len(in_one_row([rows[index] for index in group])) <= max(40, 4 * max(map(len, trunks)))
    assert max(map(len, plan)) > 5 and len(plan) < len(rows) / 2


def test_rows_that_are_not_full_hold_trees_of_several_trunks(tokenizer):
    rows = encoded(tokenizer, [tree(" one", "Which?"), tree(" one", "Who?"), tree(" two", "Which?")])
    assert row_plan(rows, 4096) == [[0, 2, 1]] and row_plan(rows, 1) == [[0, 2], [1]]


def test_rows_with_vectors_are_not_joined(tokenizer):
    rows = encoded(tokenizer, [tree(" one"), tree(" two")])
    rows[1].vectors = [(3, Vector("voice", 0, None))]
    with pytest.raises(ValueError, match="rows with vectors cannot be joined"):
        joined(rows)
