"""Rows, positions and mask are those of the tree: random trees against a definition by parents.

python -m pytest tests/engine/test_prefix_tree.py
"""

import random
from collections import Counter

import pytest
import torch

from utils.engine.prefix_tree import (
    Node,
    Question,
    Row,
    TreeEncoder,
    answer_tokens,
    chain,
    encode,
    mask,
    model_inputs,
    pack,
    paths,
    render,
)
from utils.engine.rows import plan_rows

WORDS = (" joy", " fear", "\n1 Bo: oh", " no", " no", " =>", " é", " a longer piece of text, with 123")
ANSWERS = ((" joy", " sadness", " surprise", " anger"), (" no", " yes"), ("1,", "1]", "12,", "12]", "]"))


def random_tree(rng, depth=0):
    """A tree up to 4 deep. Texts repeat, so that equal tokens stand in different branches."""
    answers = rng.choice(ANSWERS)
    question = Question(answers, rng.choice(answers)) if rng.random() < 0.5 or depth == 0 else None
    children = [random_tree(rng, depth + 1) for _ in range(rng.randint(0, 3))] if depth < 3 else []
    return Node(rng.choice(WORDS), question, children)


def written_out(tokenizer, node, train, before):
    """(the path up to every token of the row, the path before each question's answers), by the text alone."""
    tokens = encode(tokenizer, node.text)
    seen = [before + tokens[: end + 1] for end in range(len(tokens))]
    here, questions = before + tokens, []
    if node.question is not None:
        allowed = [node.question.gold] if train else node.question.answers
        answers = [encode(tokenizer, answer) for answer in allowed]
        beginnings = {tuple(answer[:end]) for answer in answers for end in range(1, len(answer))}
        seen += [here + list(one) for one in beginnings]
        questions.append([here + answer for answer in answers])
    for child in node.children:
        more_seen, more_questions = written_out(tokenizer, child, train, here)
        seen, questions = seen + more_seen, questions + more_questions
    return seen, questions


def parents_of(row):
    """In depth-first order a token's parent is the nearest one before it that is one step nearer to the
    root."""
    return [
        max((j for j in range(i) if row.positions[j] == row.positions[i] - 1), default=-1) if row.positions[i] else -1
        for i in range(len(row))
    ]


def ancestors(parents, index):
    """A token and its ancestors, from the root on."""
    chain = []
    while index >= 0:
        chain.append(index)
        index = parents[index]
    return chain[::-1]


@pytest.mark.parametrize("train", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("seed", range(8))
def test_rows_hold_every_path_once_and_tokens_see_their_ancestors_only(tokenizer, seed, train):
    rng = random.Random(seed)
    trees = [random_tree(rng) for _ in range(3)]
    row = pack([TreeEncoder(tokenizer)(tree, train) for tree in trees])
    wanted = [written_out(tokenizer, Node("", None, [tree]), train, [tokenizer.bos_token_id]) for tree in trees]

    parents = parents_of(row)
    chains = [ancestors(parents, i) for i in range(len(row))]
    seen = [tuple(row.input_ids[j] for j in chain) for chain in chains]
    starts = [(tokenizer.bos_token_id,)] * len(trees)
    assert Counter(seen) == Counter(starts + [tuple(path) for all_paths, _ in wanted for path in all_paths])

    by_parents = torch.zeros(len(row), len(row), dtype=torch.bool)
    for i, above in enumerate(chains):
        by_parents[i, above] = True
    assert torch.equal(mask(torch.tensor([row.last]))[0, 0], by_parents)
    assert row.last == [max(j for j in range(len(row)) if i in chains[j]) for i in range(len(row))]
    assert row.positions == [len(chain) - 1 for chain in chains]

    questions = [question for _, questions in wanted for question in questions]
    answers = [[row.targets]] if train else row.answers
    for question in answers:
        for answer in question:
            for (index, token), path in zip(answer, paths(row, answer), strict=True):
                assert path == (list(seen[index]), token)
    if train:
        # every gold answer in the order of the questions, each predicted token by token
        last_paths = [list(seen[index]) + [token] for index, token in row.targets]
        assert [path for path in last_paths if path in [q[0] for q in questions]] == [q[0] for q in questions]
        assert not row.answers
    else:
        ends = [[list(seen[answer[-1][0]]) + [answer[-1][1]] for answer in question] for question in row.answers]
        assert ends == questions and not row.targets


def test_answers_stand_as_a_trie_and_their_last_tokens_not_at_all(tokenizer):
    answers = (" surprise", " sadness", " sad face", " no")
    tokens = answer_tokens(tokenizer, answers)
    assert max(map(len, tokens)) > 2 and tokens[1][0] == tokens[2][0], "the tiny tokenizer must split these labels"
    row = TreeEncoder(tokenizer)(Node("x", Question(answers)), train=False)
    beginnings = {tuple(t[:end]) for t in tokens for end in range(1, len(t))}
    assert len(row) == len(tokenizer("x").input_ids) + len(beginnings)
    assert [[token for _, token in answer] for answer in row.answers[0]] == tokens


def test_pack_shifts_every_index(tokenizer):
    encoder = TreeEncoder(tokenizer)
    one = encoder(Node("ab", Question((" joy", " fear"))), train=False)
    two = encoder(Node("cd", None, [Node("e", Question((" no", " yes"), " no"))]), train=True)
    both = pack([one, two, Row()])
    assert both.input_ids == one.input_ids + two.input_ids and both.positions == one.positions + two.positions
    assert both.last[: len(one)] == one.last and both.last[len(one) :] == [i + len(one) for i in two.last]
    assert both.answers == one.answers and both.targets == [(i + len(one), token) for i, token in two.targets]
    assert not mask(torch.tensor([both.last]))[0, 0, len(one) :, : len(one)].any(), "no tree sees another"


def test_model_inputs_name_the_predicting_positions(tokenizer):
    row = TreeEncoder(tokenizer)(Node("ab", Question((" surprise",), " surprise")), train=True)
    inputs = model_inputs(row, row.targets)
    assert inputs["logits_to_keep"].tolist() == [index for index, _ in row.targets]
    assert inputs["shift_labels"].tolist() == [[token for _, token in row.targets]]
    assert inputs["shift_labels"].tolist()[0] == encode(tokenizer, " surprise")
    assert inputs["attention_mask"].shape == (1, 1, len(row), len(row)) and inputs["attention_mask"].dtype == torch.bool


@pytest.mark.parametrize("seed", range(5))
def test_plan_rows_loses_nothing_and_keeps_the_budget(seed):
    rng = random.Random(seed)
    lengths = [rng.randint(1, 130) for _ in range(60)]
    plan = plan_rows(lengths, 100)
    assert sorted(index for group in plan for index in group) == list(range(60))
    for group in plan:
        assert sum(lengths[i] for i in group) <= 100 or len(group) == 1
        assert len(group) == 1 or max(lengths[i] for i in group) <= 100, "an over-long tree is alone"
    fullest = sum(lengths[i] for i in range(60) if lengths[i] <= 100) / 100
    assert sum(max(lengths[i] for i in group) <= 100 for group in plan) <= fullest * 1.25 + 1, "rows are well filled"
    assert plan_rows([], 100) == []


def test_answers_that_begin_others_are_refused(tokenizer):
    with pytest.raises(ValueError, match="' no'.*begins.*' no way'"):
        answer_tokens(tokenizer, (" yes", " no", " no way"))
    with pytest.raises(ValueError, match="begins"):
        answer_tokens(tokenizer, (" no way", " no"))  # in whatever order
    with pytest.raises(ValueError, match="begins"):
        answer_tokens(tokenizer, (" no", " no"))
    with pytest.raises(ValueError, match="begins"):
        TreeEncoder(tokenizer)(Node("x", Question((" no", " no way"))), train=False)


def test_a_node_without_text_and_a_gold_answer_that_is_not_allowed_are_refused(tokenizer):
    with pytest.raises(ValueError, match="at least one token"):
        TreeEncoder(tokenizer)(Node("x", None, [Node("")]), train=False)
    with pytest.raises(ValueError):
        TreeEncoder(tokenizer)(Node("x", Question((" no", " yes"), " maybe")), train=True)


@pytest.mark.parametrize("text", ["<|im_end|>", "hi <|im_start|>assistant\njoy", "<s>", "a<|endoftext|>b", "<s><s>"])
def test_text_that_looks_like_a_special_token_stays_text(tokenizer, text):
    assert not set(encode(tokenizer, text)) & set(tokenizer.all_special_ids)
    assert tokenizer.decode(encode(tokenizer, text)) == text
    row = TreeEncoder(tokenizer)(Node(text, None, [Node(text)]), train=False)
    assert row.input_ids.count(tokenizer.bos_token_id) == 1 and not set(row.input_ids[1:]) & set(
        tokenizer.all_special_ids
    )


def test_a_chain_ends_with_its_last_branch():
    lines = ["one", "two", "three"]
    assert render(chain("Say:", lines, {1: [Node(" branch")]})) == "Say:\none\ntwo branch"
    assert render(chain("Say:", lines, {})) == "Say:"


def test_a_chain_as_deep_as_a_long_conversation(tokenizer):
    root = end = Node("x")
    for _ in range(3000):  # deeper than Python recurses
        end.children.append(Node("y"))
        end = end.children[0]
    row = TreeEncoder(tokenizer)(root, train=False)
    assert row.positions == list(range(len(row))) and set(row.last) == {len(row) - 1}
