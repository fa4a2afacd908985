"""A task, a model and items in; labelled items and their probabilities out.

labelled, tables = predict(task, model, tokenizer, conversations, settings)
"""

from collections.abc import Callable

from utils.data.conversations import names_of
from utils.engine.inference import Journal, generate_published, score_trees
from utils.engine.settings import InferenceSettings, Writing
from utils.tasks.task import Task


def predict(
    task: Task,
    model,
    tokenizer,
    items: list,
    settings: InferenceSettings,
    journal: Journal | None = None,
    progress: bool = True,
) -> tuple[list, list]:
    """(labelled items, for each item its table of probabilities), as the task's searches read them.

    Every round of questions about all items is scored together, packed into rows. In the published recipe the model
    writes its answers, and the probability of an answer that was parsed is one. With a `journal`, inference that was
    interrupted continues where it stopped. progress: whether a bar shows how far it is.

    Raises TrainingError for an item that is too long, DoesNotFit for one that memory does not suffice for, ModelError
    for a model that cannot read trees.
    """
    model.eval()
    if settings.recipe == "published":
        return _generate(task, model, tokenizer, items, settings, journal)

    def score(trees, names, title):
        limits = settings.token_budget, settings.max_row_tokens
        return score_trees(model, tokenizer, trees, names, *limits, title if progress else None, journal)

    return search_all(task, items, score)


def search_all(task: Task, items: list, score: Callable) -> tuple[list, list]:
    """`predict` with another engine: `score(trees, names, progress)` returns for each tree, for each of its questions,
    the log-probability of each allowed answer."""
    searches, names, number = [task.ask(item) for item in items], names_of(items), 0
    while True:
        number += 1
        asked = [(s, tree, name) for s, name in zip(searches, names) if (tree := s.tree()) is not None]
        if not asked and number > 1:
            return _columns(s.read() for s in searches)
        progress = f"{task.name}s" + (f", round {number}" if number > 1 else "")
        scores = score([tree for _, tree, _ in asked], [name for *_, name in asked], progress)
        for (s, *_), one in zip(asked, scores, strict=True):
            s.update(one)


def _generate(task, model, tokenizer, items, settings, journal):
    """`predict` by the published recipe: a prompt a question, batched `generate`, the answer parsed from the text."""
    prompts = [[text for text, _ in task.prompts(item)] for item in items]
    named = [(name, text) for name, texts in zip(names_of(items), prompts) for text in texts]
    how = Writing(new_tokens=task.new_tokens)
    texts = iter(generate_published(model, tokenizer, named, how, settings.batch_size, f"{task.name}s", journal))
    read = [task.parse(item, [next(texts) for _ in asked]) for item, asked in zip(items, prompts)]
    unparsed = sum(count for *_, count in read)
    if unparsed:
        print(f"{unparsed} of {len(named)} generated texts hold no answer; they count as {task.unparsed}.")
    return _columns((labelled, table) for labelled, table, _ in read)


def _columns(pairs) -> tuple[list, list]:
    pairs = list(pairs)
    return [labelled for labelled, _ in pairs], [table for _, table in pairs]
