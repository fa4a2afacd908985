"""A task asked in every wording of its pool at once.

found = predict_wordings(task, model, tokenizer, conversations, settings)
labelled, tables = found["feels"]        # as predict returns them; found[AVERAGE] is of all wordings together

The wordings of one conversation are branches of one tree: its text is read once (utils/engine/branches.py).
"""

from dataclasses import replace
from typing import Any

from utils.data.conversations import names_of
from utils.engine.branches import apart, shared
from utils.engine.inference import Journal, score_trees
from utils.engine.prefix_tree import TreeEncoder
from utils.engine.settings import InferenceSettings
from utils.tasks.task import Search

AVERAGE = "average"  # of all wordings: for each answer the mean of its log-probabilities, a logarithmic opinion pool


def in_wording(task: Any, name: str) -> Any:
    """The task, which has a pool, as it asks in the wording `name`."""
    return replace(task, pool=replace(task.pool, trains=name))


def predict_wordings(
    task: Any, model, tokenizer, items: list, settings: InferenceSettings, journal: Journal | None = None
) -> dict[str, tuple[list, list]]:
    """{wording: (labelled items, for each its table of probabilities)}, and those of AVERAGE.

    task  one with a pool, which asks once

    All wordings of an item are one row. Where that would be longer than settings.max_row_tokens, or slower than several
    rows, they are shared out, which changes nothing but the time. Raises what utils.tasks.ask.predict raises.
    """
    model.eval()
    names = [*task.pool.wordings]
    searches = [[in_wording(task, name).ask(item) for name in [*names, names[0]]] for item in items]
    encode = TreeEncoder(tokenizer)
    trees, of, parts = [], [], []
    for item, name in enumerate(names_of(items)):
        asked = [search.tree() for search in searches[item][:-1]]
        for numbers, tree, places in shared(asked, encode, settings.max_row_tokens):
            trees.append(tree)
            of.append(name)
            parts.append((item, numbers, places))
    limits = settings.token_budget, settings.max_row_tokens
    scores = score_trees(model, tokenizer, trees, of, *limits, f"{task.name}s in {len(names)} wordings", journal)
    found: list[list] = [[None] * len(names) for _ in items]
    for (item, numbers, places), one in zip(parts, scores, strict=True):
        for number, its in zip(numbers, apart(one, places, len(numbers)), strict=True):
            found[item][number] = its
    for item, its in zip(searches, found, strict=True):
        for search, one in zip(item, [*its, _mean(its)], strict=True):
            search.update(one)
    return {name: _read([item[number] for item in searches]) for number, name in enumerate([*names, AVERAGE])}


def _mean(scores: list[list[list[float]]]) -> list[list[float]]:
    """wordings x questions x answers -> questions x answers"""
    return [[sum(one) / len(one) for one in zip(*answers)] for answers in zip(*scores, strict=True)]


def _read(searches: list[Search]) -> tuple[list, list]:
    pairs = [search.read() for search in searches]
    return [labelled for labelled, _ in pairs], [table for _, table in pairs]
