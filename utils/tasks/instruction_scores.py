"""What a model makes of examples: how likely it finds the right answers, what it chooses, what it writes.

found = answers(task, model, tokenizer, examples, settings, new_tokens=128)     # all of it, an Answer each
held_out = right_answers(task, model, tokenizer, examples, settings)
chosen = choices(task, model, tokenizer, examples, settings)

utils/report/answer_metrics.py makes figures of them.
"""

from collections.abc import Sequence
from typing import Any

from utils.data.instructions import Example, without_output
from utils.engine.inference import Journal
from utils.engine.prefix_tree import TreeEncoder
from utils.engine.settings import InferenceSettings, Writing
from utils.tasks.ask import predict
from utils.tasks.instruction import Answer, Instructions, examples_of, lessons
from utils.tasks.instruction_writing import written


def answers(
    task: Instructions,
    model,
    tokenizer,
    examples: Sequence[Example],
    settings: InferenceSettings,
    new_tokens: int,
    journal: Journal | None = None,
) -> list[Answer]:
    """The Answer of each example, in their order: `right_answers`, `choices` and `written` of those that have such.
    With a `journal`, work that was interrupted goes on. Raises what `predict` and `generate_published` raise."""
    asked = task, model, tokenizer
    known = [one for one in examples if "output" in one]
    chosen = [one for one in examples if "choices" in one]
    right = iter(right_answers(*asked, known, settings, journal))
    tables = iter(choices(*asked, chosen, settings, journal))
    texts = written(*asked, examples, Writing(new_tokens=new_tokens), journal=journal)
    return [
        Answer(text, next(right) if "output" in one else None, next(tables) if "choices" in one else {})
        for one, text in zip(examples, texts, strict=True)
    ]


def right_answers(
    task: Instructions,
    model,
    tokenizer,
    examples: Sequence[Example],
    settings: InferenceSettings,
    journal: Journal | None = None,
) -> list[tuple[float, int]]:
    """For each example (the log-probability of its answer in nats, how many tokens it has, with the one at its end).
    Nothing is sampled. Raises what `predict` raises."""
    asked: list[Any] = [{name: value for name, value in one.items() if name != "choices"} for one in examples]
    encoder = TreeEncoder(tokenizer)
    counts = [len(encoder(task.tree(one), train=False).answers[0][0]) for one in asked]
    tables = _tables(task, model, tokenizer, asked, settings, journal)
    return [(next(iter(table.values())), count) for table, count in zip(tables, counts, strict=True)]


def choices(
    task: Instructions,
    model,
    tokenizer,
    examples: Sequence[Example],
    settings: InferenceSettings,
    journal: Journal | None = None,
) -> list[dict[str, float]]:
    """For each example, which has choices, their probabilities, {choice: probability}: scored, not sampled. Raises what
    `predict` raises."""
    return _tables(task, model, tokenizer, [without_output(one) for one in examples], settings, journal)


def _tables(task, model, tokenizer, examples, settings, journal) -> list[dict[str, float]]:
    """The table of each example, in their order. Those that share an instruction are read together."""
    items = lessons(examples, seed=0)
    _, tables = predict(task, model, tokenizer, items, settings, journal)
    found = {
        id(one): table
        for item, several in zip(items, tables, strict=True)
        for one, table in zip(examples_of(item), several, strict=True)
    }
    return [found[id(one)] for one in examples]
