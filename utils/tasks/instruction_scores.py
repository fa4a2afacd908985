"""What a model makes of held-out examples: how likely it finds the right answers, what it chooses, what it writes.

held_out = right_answers(task, model, tokenizer, examples, settings)      # for utils/report/answer_metrics.py
chosen = choices(task, model, tokenizer, examples, settings)              # of the classifications among them
texts = written(task, model, tokenizer, examples, new_tokens=128)
"""

from collections.abc import Sequence

from utils.data.instructions import Example, without_output
from utils.engine.inference import generate_published
from utils.engine.prefix_tree import TreeEncoder
from utils.engine.settings import InferenceSettings
from utils.tasks.ask import predict
from utils.tasks.instruction import Instructions, examples_of, lessons


def right_answers(
    task: Instructions, model, tokenizer, examples: Sequence[Example], settings: InferenceSettings
) -> list[tuple[float, int]]:
    """For each example (the log-probability of its answer in nats, how many tokens it has, with the one at its end).
    Nothing is sampled. Raises what `predict` raises."""
    asked = [{name: value for name, value in one.items() if name != "choices"} for one in examples]
    encoder = TreeEncoder(tokenizer)
    counts = [len(encoder(task.tree(one), train=False).answers[0][0]) for one in asked]
    tables = _tables(task, model, tokenizer, asked, settings)
    return [(next(iter(table.values())), count) for table, count in zip(tables, counts, strict=True)]


def choices(
    task: Instructions, model, tokenizer, examples: Sequence[Example], settings: InferenceSettings
) -> list[dict[str, float]]:
    """For each example, which has choices, their probabilities, {choice: probability}: scored, not sampled. Raises what
    `predict` raises."""
    return _tables(task, model, tokenizer, [without_output(one) for one in examples], settings)


def _tables(task, model, tokenizer, examples, settings) -> list[dict[str, float]]:
    """The table of each example, in their order. Those that share an instruction are read together."""
    items = lessons(examples, seed=0)
    _, tables = predict(task, model, tokenizer, items, settings, progress=False)
    found = {
        id(one): table
        for item, several in zip(items, tables, strict=True)
        for one, table in zip(examples_of(item), several, strict=True)
    }
    return [found[id(one)] for one in examples]


def written(
    task: Instructions, model, tokenizer, examples: Sequence[Example], new_tokens: int, batch_size: int = 8
) -> list[str]:
    """What the model writes behind each prompt, greedily: up to its end-of-sequence token, a marker of the template, or
    so many tokens. Raises what `generate_published` raises."""
    prompts = [(f"example {one['example_ID']}", task.prompt(without_output(one))) for one in examples]
    special = bool(task.template.special)
    texts = generate_published(model, tokenizer, prompts, new_tokens, batch_size, "answers", special=special)
    return [task.template.answer_in(text) for text in texts]
