"""All wordings of a conversation in one pass are one sequence a wording and a question.

    python -m pytest tests/promises/test_parity_of_wordings.py

The sequences are written out by hand, and go through the same model as ordinary causal sequences. Allowed is float32's
rounding.
"""

import math
from dataclasses import replace

import pytest
from helpers import with_adapter
from one_sequence import plain_scores, plain_step, score_difference

from utils.config import Config
from utils.data.labels import ECF
from utils.engine.branches import apart, merged
from utils.engine.inference import score_row
from utils.engine.prefix_tree import TreeEncoder, model_inputs, pack
from utils.engine.settings import InferenceSettings
from utils.tasks.ask import predict
from utils.tasks.candidates import asked
from utils.tasks.pool import read_pool
from utils.tasks.wordings import AVERAGE, in_wording, predict_wordings

TOLERANCE = 1e-5
ALL = "anger, disgust, fear, joy, sadness, surprise, neutral"
TASKS = {"single": {}, "multi": {"targets": "multi"}, "cause": {}}
SETTINGS = InferenceSettings(token_budget=1)


@pytest.fixture(scope="module")
def adapted(tiny_model_folder):
    return with_adapter(tiny_model_folder).eval()


@pytest.fixture(scope="module")
def items(conversations):
    """The conversations without votes, so that one label is right."""
    bare = [[{name: u[name] for name in u if name != "votes"} for u in c["conversation"]] for c in conversations]
    return [{**c, "conversation": utterances} for c, utterances in zip(conversations, bare)]


def worded(kind):
    return Config(prompts="twelve", **TASKS[kind]).task("cause" if kind == "cause" else "emotion")


def by_hand(kind, conversation, name):
    """(pieces of text before the answer, allowed answers, right answer) of each question in the wording `name`."""
    utterances, result = conversation["conversation"], []
    pool = read_pool("twelve", "cause" if kind == "cause" else "emotion")
    text = pool.wordings[name]
    if kind == "cause":
        lines = [f"\n{u['speaker']} {u['emotion']}: {u['text']} #{u['utterance_ID']}" for u in utterances]
        gold = {(int(end.split("_")[0]), int(cause)) for end, cause in conversation["emotion-cause_pairs"]}
        for i, j in asked(conversation):
            end, cause = utterances[i]["utterance_ID"], utterances[j]["utterance_ID"]
            filled = text.replace("{emotion}", str(end)).replace("{cause}", str(cause))
            filled = filled.replace("{label}", utterances[i]["emotion"])
            seen = [pool.opening, *lines[: max(i, j) + 1], f" {filled}"]
            result.append((seen, (" no", " yes"), " yes" if (end, cause) in gold else " no"))
        return result
    lines = [f"\n{u['speaker']}: {u['text']}" for u in utterances]
    for i, u in enumerate(utterances):
        seen = [pool.opening.replace("{labels}", ALL), *lines, *lines[: i + 1]]
        seen.append(f" {text.replace('{speaker}', u['speaker'])}")
        if kind == "single":
            result.append((seen, tuple(f" {label}" for label in ECF), f" {u['emotion']}"))
        for label in ECF if kind == "multi" else ():
            right = " yes" if u["emotion"] == label else " no"
            result.append(([*seen, f" {label}?"], (" no", " yes"), right))
    return result


@pytest.mark.parametrize("kind", TASKS)
def test_one_pass_equals_one_sequence_a_wording_and_question(adapted, tokenizer, items, kind):
    task, item = worded(kind), items[0]
    names = [*task.pool.wordings]
    tree, places = merged([in_wording(task, name).tree(item) for name in names])
    row = TreeEncoder(tokenizer)(tree, train=False)
    found = apart(score_row(adapted, row), places, len(names))
    alone = [len(TreeEncoder(tokenizer)(in_wording(task, name).tree(item), False)) for name in names]
    assert max(alone) < len(row) < sum(alone), "the conversation is there once"
    for name, scores in zip(names, found, strict=True):
        wanted = plain_scores(adapted, tokenizer, by_hand(kind, item, name))
        assert score_difference(scores, wanted) < TOLERANCE


@pytest.mark.parametrize("limit", [100_000, 400, 1], ids=["one row", "some rows", "a row a wording"])
@pytest.mark.parametrize("kind", TASKS)
def test_however_many_rows_they_are_the_wordings_answer_as_each_does_alone(adapted, tokenizer, items, kind, limit):
    task = worded(kind)
    asking = [in_wording(task, name) for name in task.pool.wordings]
    longest = max(len(TreeEncoder(tokenizer)(one.tree(c), False)) for one in asking for c in items)
    settings = replace(SETTINGS, max_row_tokens=max(limit, longest))
    found = predict_wordings(task, adapted, tokenizer, items, settings)
    assert [*found] == [*task.pool.wordings, AVERAGE]
    for name in task.pool.wordings:
        labelled, tables = predict(in_wording(task, name), adapted, tokenizer, items, SETTINGS)
        assert found[name][0] == labelled
        assert numbers(found[name][1]) == pytest.approx(numbers(tables), rel=1e-4)


def numbers(tables):
    """All probabilities of tables, of lists or of dictionaries."""
    if isinstance(tables, (dict, list)):
        return [p for one in (tables.values() if isinstance(tables, dict) else tables) for p in numbers(one)]
    return [tables]


def test_the_average_is_that_of_log_probabilities(adapted, tokenizer, items):
    task, item = worded("single"), items[0]
    _, (table,) = predict_wordings(task, adapted, tokenizer, [item], SETTINGS)[AVERAGE]
    scores = [plain_scores(adapted, tokenizer, by_hand("single", item, name)) for name in task.pool.wordings]
    for k, row in enumerate(table):
        pooled = [math.e ** (sum(one[k][i] for one in scores) / len(scores)) for i in range(7)]
        assert row == pytest.approx([p / sum(pooled) for p in pooled], rel=1e-3)


@pytest.mark.parametrize("kind", TASKS)
def test_training_draws_a_wording_for_each_conversation(adapted, tokenizer, items, kind):
    """Its loss is that of the sequences with the drawn wordings, never of one that is held out."""
    task = worded(kind)
    names = [task.pool.named(c, train=True) for c in items]
    assert len({*names}) > 1 and not {*names} & {*task.pool.held_out}
    questions = [question for c, name in zip(items, names) for question in by_hand(kind, c, name)]
    loss, _ = plain_step(adapted, tokenizer, questions)
    row = pack([TreeEncoder(tokenizer)(task.tree(c, train=True), train=True) for c in items])
    ours = adapted(**model_inputs(row, row.targets, adapted.device), use_cache=False).loss
    assert ours.item() == pytest.approx(loss, rel=TOLERANCE)
