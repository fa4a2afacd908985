"""docs/adding_a_task.md: its code runs from top to bottom and keeps what the page promises.

python -m pytest tests/repository/test_adding_a_task.py
"""

import math
import re

import pytest
from helpers import ROOT

PAGE = ROOT / "docs" / "adding_a_task.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.S | re.M)


@pytest.fixture(scope="module")
def page(tiny_model_folder):
    """(the page's names behind its last block, what it printed). Run once, as a reader would, from the repository's
    root."""
    import io
    from contextlib import redirect_stdout

    from utils.models.load import load_model

    text = PAGE.read_text(encoding="utf-8")
    model, tokenizer = load_model(tiny_model_folder, quantization="none", precision="float32")
    names, printed = {"model": model, "tokenizer": tokenizer, "__name__": "adding_a_task"}, io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.chdir(ROOT)
        for block in BLOCK.finditer(text):
            above = text[: block.start(1)].count("\n")  # so that an error names the page's own line
            exec(compile("\n" * above + block[1], str(PAGE), "exec"), names)
    return names, printed.getvalue()


def test_the_page_has_five_steps_with_code():
    steps = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]
    numbered = [step for step in steps if re.match(r"\d\. ", step)]
    assert [step[0] for step in numbered] == list("12345")
    assert all(BLOCK.search(step) for step in numbered)


def test_the_reader_sees_the_gold_answers(page):
    names, printed = page
    first = names["train_items"][0]["conversation"]
    assert re.findall(r"Question:«\s*(yes|no)", printed) == [u["question"] for u in first]


def test_training_taught_something(page):
    losses, printed = page[0]["losses"], page[1]
    assert all(math.isfinite(loss) for loss in losses)
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    assert f"loss {losses[0]:.2f} at first, {losses[-1]:.2f} at last" in printed


def test_every_utterance_has_an_allowed_label_and_its_probabilities(page):
    names, _ = page
    assert len(names["labelled"]) == len(names["tables"]) == len(names["test_items"]) == 6
    for gold, answer, table in zip(names["test_items"], names["labelled"], names["tables"], strict=True):
        assert [u["text"] for u in answer["conversation"]] == [u["text"] for u in gold["conversation"]]
        assert len(table) == len(gold["conversation"])
        for utterance, row in zip(answer["conversation"], table, strict=True):
            assert utterance["question"] == names["NO_YES"].labels[row.index(max(row))]
            assert sum(row) == pytest.approx(1)


def test_one_pass_was_compared_with_one_sequence_a_question(page):
    names, _ = page
    alone = names["one_sequence_a_question"](names["item"])
    assert len(names["one_pass"]) == len(names["item"]["conversation"]) == 4
    for together, one in zip(names["one_pass"], alone, strict=True):
        assert together == pytest.approx(one, abs=1e-3)
    assert len({round(one[0], 3) for one in alone}) > 1  # the questions differ


def test_the_published_recipes_form_is_read_back(page):
    names, _ = page
    item = names["test_items"][0]
    pairs = names["task"].prompts(item)
    assert [completion for _, completion in pairs] == [f" {u['question']}" for u in item["conversation"]]
    labelled, table, unread = names["task"].parse(item, [completion for _, completion in pairs[:-1]] + ["a poem"])
    assert [u["question"] for u in labelled["conversation"]][:-1] == [u["question"] for u in item["conversation"]][:-1]
    assert labelled["conversation"][-1]["question"] == "no" and unread == 1 and len(table) == len(pairs)
