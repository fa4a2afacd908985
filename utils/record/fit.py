"""One run's adapter: trained, or resumed where it was interrupted, and recorded.

model, history = fit(run, run.task("emotion"), model, tokenizer, conversations, validation)
"""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from transformers import set_seed

from utils.config import Config
from utils.data.conversations import Conversation, names_of
from utils.engine.checkpoints import last_checkpoint, named_write_errors
from utils.engine.prefix_tree import Row, render
from utils.engine.processes import processes
from utils.engine.rows import check_positions, encode_trees, pack_rows, text_rows
from utils.engine.trainer import train
from utils.engine.vectors import answered, measured
from utils.models.adapters import add_adapter, begin_with, gather_adapter, load_adapter, save_adapter
from utils.models.adapting import in_front
from utils.models.attention import check_tree_mask, positions_of
from utils.models.projector import attach, fresh
from utils.record.adapter import start_of
from utils.record.card import write_cards
from utils.record.provenance import weights_of
from utils.record.run import Run
from utils.system.errors import DoesNotFit, ModelError, TrainingError
from utils.system.files import read_json
from utils.tasks import cause_structure, emotion
from utils.tasks.ask import predict
from utils.tasks.senses import senses_of
from utils.tasks.task import Task


def examples(task: Task, conversations: Sequence[Conversation], tokenizer, config: Config) -> list:
    """What `train` takes: packed rows, or in the published recipe (prompt, completion) pairs. The conversations must
    carry gold labels."""
    if config.recipe == "published":
        return [pair for c in conversations for pair in task.prompts(c) if pair[1] is not None]
    return packed(training_rows(task, conversations, tokenizer, config), config)


def example_text(task: Task, conversations: list[Conversation], config: Config) -> str:
    """One training example in full, for a person to read: the first of `conversations` that is asked a question, with
    the answers between guillemets; in the published recipe its first prompt with the completion."""
    item = next((c for c in conversations if task.prompts(c)), conversations[0])
    prompts = task.prompts(item)
    if config.recipe == "published" and prompts:
        return "".join(part or "" for part in prompts[0])
    return render(task.tree(item, train=True))


def tree_lengths(task: Task, conversations: list[Conversation], tokenizer, config: Config) -> list[int]:
    """Tokens of each conversation with its questions; in the published recipe, of each prompt with its completion."""
    if config.recipe == "published":
        return [len(tokenizer(p + c).input_ids) for p, c in examples(task, conversations, tokenizer, config)]
    return [len(row) for row in training_rows(task, conversations, tokenizer, config)]


def training_rows(task: Task, conversations: Sequence[Conversation], tokenizer, config: Config) -> list[Row]:
    """The row of each conversation, gold answers as targets. Raises TrainingError for one that is too long."""
    trees = [task.tree(c, train=True) for c in conversations]
    return encode_trees(trees, names_of(conversations), tokenizer, config.max_row_tokens, train=True)


def packed(rows: list[Row], config: Config) -> list[Row]:
    """The rows that have something to learn, packed up to the token budget, in a seeded order."""
    return pack_rows([row for row in rows if row.targets], config.token_budget, config.seed)


def project(model, rows: list[Row], config: Config) -> None:
    """Gives a model with an adapter a projector for the vectors of these rows, where they have some: one that begins as
    what the vectors alone tell of the answers. Raises TrainingError for a stream of which no vector is there."""
    streams = measured((row.vectors for row in rows), config.stream_tokens)
    if not streams:
        return
    words = model.get_input_embeddings().weight
    placeholder = next(row.input_ids[index] for row in rows for index, _ in row.vectors)
    projector = fresh(streams, words.shape[1], config.stream_dropout)
    for (stream, slot), (values, answers) in answered(rows).items():
        projector.of()[stream].begin(slot, values, answers, words, placeholder)
    attach(model, projector)


def fit(
    run: Run,
    task: Task,
    model,
    tokenizer,
    conversations: list[Conversation],
    validation: Sequence[Conversation] = (),
    unlabelled: Sequence[Conversation] = (),
):
    """The run's adapter of `task`, trained on `conversations` unless it is finished; (model, history).

    task  from `run.task(name)`; training reads what `task.taught` makes of it and of `conversations`. Beside a cause
          adapter stand its boosted trees (utils/tasks/cause_structure.py).
    With `emotion_start` or `cause_start` it begins as that run's adapter, else as a fresh one. With `text_epochs` it
    first learns the words of `conversations` and `unlabelled` as a language model does, without any label:
    task-adaptive pretraining (Gururangan et al., ACL 2020). The history is that of the labels.
    An interrupted training goes on from its last checkpoint. Raises TrainingError where there is nothing to learn from
    or no room to write, DoesNotFit where memory does not suffice for a conversation, ModelError for a model that cannot
    be trained on trees (check_tree_mask).
    """
    config, folder, finished = run.config, run.adapter(task.name), run.history(task.name)
    if finished is not None:
        run.drop_checkpoints(task.name)  # an interruption may have left them
        print(f"{folder} holds the finished adapter of this run; remove the folder to train it again.")
        return load_adapter(model, folder, config.model), finished
    one_pass = config.recipe == "one_pass"
    taught, drawn = task.taught(conversations, config.seed)
    everyone = [*drawn, *validation]
    if one_pass:
        encoded = training_rows(taught, drawn, tokenizer, config)
        others = training_rows(task, validation, tokenizer, config)  # whose loss is not weighted
        rows, held_out = packed(encoded, config), packed(others, config)
        encoded += others
    else:
        encoded = []
        rows, held_out = (examples(task, part, tokenizer, config) for part in (drawn, validation))
    if not rows:
        raise TrainingError(f"the training split holds no {task.name} to learn from; give more conversations")
    virtual, limit = in_front(config), positions_of(model)
    if one_pass or config.text_epochs:
        check_tree_mask(model, config.max_row_tokens + virtual)
    if one_pass and limit and limit < config.max_row_tokens + virtual:
        check_positions(encoded, names_of(everyone), limit, virtual)
    learnt = task.beside(conversations, config.seed) if one_pass else None
    set_seed(config.seed)  # the adapter's first weights are random
    settings = config.adapter_settings(task.opening)
    model = add_adapter(model, gradient_checkpointing=config.gradient_checkpointing, **settings)
    start = start_of(config, task.name)
    begun = {}
    if start:
        begin_with(model, start, config.model)
        begun = {"run": start.absolute().parent.parent.name, "adapter": weights_of(start)}
    project(model, encoded[: len(drawn)], config)
    of_text = []
    if config.text_epochs:
        of_text = _learn_words(model, tokenizer, [*conversations, *unlabelled], config, folder)
    with _conversations_named(everyone, [len(row) for row in encoded]):
        settings = config.training(task.name)
        history = train(model, tokenizer, rows, settings, folder, held_out or None, config.recipe)
    gather_adapter(model)
    held = list(validation)
    decided = taught.decided(held, lambda: predict(task, model, tokenizer, held, config.inference())[1])
    if processes().is_main_process:
        with named_write_errors(folder):
            try:
                save_adapter(model, folder, config.model)
            except ModelError:  # nothing was learnt: the run's name stays free for other parameters
                run.drop_checkpoints(task.name)
                raise
            if learnt:
                cause_structure.save(learnt, folder)
        counts = taught.counts(drawn)
        run.finish_adapter(task.name, history, counts, decided, of_text, bool(learnt), task.counted, begun)
        write_cards(run.train_dir)
    processes().wait_for_everyone()
    return model.eval(), history


def _learn_words(model, tokenizer, conversations, config, folder) -> list[dict]:
    """Trains the adapter on the words of `conversations` unless the labels have begun; the trainer's log history."""
    rows = text_rows(
        [emotion.text(c, senses_of(config)) for c in conversations],
        names_of(conversations),
        tokenizer,
        config.max_row_tokens,
    )
    check_positions(rows, names_of(conversations), positions_of(model), in_front(config))
    place = folder / "checkpoints" / "text"
    if last_checkpoint(folder / "checkpoints") is None:
        settings = replace(config.training("text"), report_to="none")  # a tracker follows one run, the labels'
        with _conversations_named(conversations, [len(row) for row in rows]):
            train(model, tokenizer, packed(rows, config), settings, place)
    checkpoint = last_checkpoint(place / "checkpoints")
    assert checkpoint is not None, "training ends with a checkpoint"
    return read_json(Path(checkpoint) / "trainer_state.json")["log_history"]


@contextmanager
def _conversations_named(conversations, lengths):
    """The trainer knows rows, not conversations: its error for a row of so many tokens then names the conversation.

    lengths  tokens of each conversation; empty in the published recipe, where a row is a prompt
    """
    try:
        yield
    except DoesNotFit as error:
        sizes = zip(names_of(conversations), lengths)
        named = dict.fromkeys(name for name, length in sizes if length == error.tokens)
        several = "a row (a smaller token_budget makes smaller rows)" if lengths else "a prompt"
        raise DoesNotFit(" or ".join(named) or several, error.tokens) from error
