"""What can be known before work begins: asked in seconds, before a model is loaded.

check_work(config, NOTEBOOKS, root)     # prints what is needed; raises what would stop a notebook later
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from utils.config import Config
from utils.data.conversations import names_of
from utils.engine.rows import longest_row
from utils.engine.tracking import check_tracker
from utils.record.adapter import start_of
from utils.record.inputs import Conversations, Examples, Texts, input_of_notebook
from utils.record.run import quantization_here
from utils.record.stages import NOTEBOOKS, STAGES
from utils.record.taken import check_notebooks, counted_records, recorded_quantization
from utils.system.errors import PlaceError, TooLong
from utils.system.places import RESULTS
from utils.tasks.task import Task


def check_work(config: Config, notebooks: Sequence[str], root: Path) -> None:
    """Whether `notebooks` can run with `config`: the run's name and input, the tracker, the model and the modules that
    get an adapter, the longest rows, memory and disk. Prints a line about the last three. Rows about causes are counted
    with gold emotions; predicted ones are not known yet.

    root  the folder of results_train/ and results_test/

    Raises RunError, TrackingError, ModelError, TooLong (of all conversations at once), NotEnoughMemory, PlaceError.
    """
    from utils.models.fits import GIB, check_memory  # here, so that what is refused above does not wait for torch

    input_dir = check_notebooks(config, notebooks, root)
    if config.quantization == "auto":
        recorded = recorded_quantization(counted_records([root / name / config.run_name for name in RESULTS]))
        config = replace(config, quantization=recorded or quantization_here(config))
    adapters = root / "results_train" / config.run_name / "adapters"
    stages = [stage for stage in STAGES if stage.notebook in notebooks]
    stages = [one for one in stages if one.writes == "labels" or not (adapters / one.task / "training.json").is_file()]
    training = [one.task for one in stages if one.writes == "adapter"]
    if training:
        check_tracker(config.report_to)
    for task in training:
        start_of(config, task)
    given = input_of_notebook([*notebooks, *NOTEBOOKS][0])(input_dir, config)
    longest = []

    def count() -> int:
        longest.append(_longest(given, training, [one.task for one in stages if one.writes == "labels"]))
        return longest[0]

    needed = check_memory(config, training=bool(training), longest=count)
    # The adapter and the optimizer's numbers; a checkpoint is written before the last one is removed.
    disk, free = 2 * (needed.adapter + needed.optimizer) * bool(training), shutil.disk_usage(_there(root)).free
    if free < disk:
        raise PlaceError(
            f"{root}: {free / GIB:.2f} GiB are free on the disk, and checkpoints need about {disk / GIB:.2f}: make room"
        )
    print(
        f"the longest row has {longest[0]:,} tokens of at most {config.max_row_tokens:,}; {free / GIB:.1f} GiB are "
        f"free on the disk, and checkpoints need {disk / GIB:.2f}"
    )


def _longest(given: Conversations | Texts | Examples, training: list[str], labelling: list[str]) -> int:
    """Tokens of the longest row of these tasks; 0 for the published recipe, which has prompts."""
    from utils.models.load import load_tokenizer

    config, counts, found = given.config, [0], {}
    splits = {split: given.items(split, split != "unlabelled") for split in ("train", "val", "test", "unlabelled")}
    possible, tokenizer = given.tasks(), load_tokenizer(config.model)

    def add(task: Task, items: list, train: bool):
        trees = [task.tree(c, train=train) for c in items]
        try:
            counts.append(longest_row(trees, names_of(items), tokenizer, config.max_row_tokens, train))
        except TooLong as error:
            for name, tokens in error.tokens.items():
                found[name] = max(tokens, found.get(name, 0))

    for name in dict.fromkeys([*training, *labelling]) if config.recipe == "one_pass" else ():
        if name not in possible:  # then notebooks 1 and 2 are all there is
            continue
        task = given.task(name)
        if name in training:
            add(task, [*splits["train"], *splits["val"]], train=True)
        if name in labelling:
            blind = [given.blind(one) for one in (*splits["test"], *splits["unlabelled"])]
            add(task, splits["test"] if task.on_emotions else blind, train=False)
    if found:
        raise TooLong(found, config.max_row_tokens, " with its questions")
    return max(counts)


def _there(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(one for one in (folder, *folder.absolute().parents) if one.exists())
