"""Rows of a study without training: what its first row's runs would be without a trained model; and each model's.

baseline("neighbours", run_folder, root, labels)      # (gold, predicted, tables)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from utils.config import Config
from utils.data.conversations import Conversation, load_conversations
from utils.data.labels import LabelSet
from utils.record.predictions import gold_of, input_of_scores
from utils.system.errors import RunError
from utils.system.files import read_json
from utils.tasks.baselines import neighbours, shares, with_majority

Labelled = tuple[list[Conversation], list]  # the conversations, and for each utterances x labels


def _majority(folder: Path, gold: list, train: list, labels: LabelSet) -> Labelled:
    return with_majority(gold, train, labels), shares(gold, train, labels)


def _neighbours(folder: Path, gold: list, train: list, labels: LabelSet) -> Labelled:
    return neighbours(gold, train, labels)


def _zero_shot(folder: Path, gold: list, train: list, labels: LabelSet) -> Labelled:
    paths = [folder / "zero_shot_emotions.json", folder / "zero_shot_emotions_probabilities.json"]
    for path in paths:
        if not path.is_file():
            raise RunError(
                f"{path}, the untrained model's labels, is missing: remove {folder}, and the run begins again"
            )
    return read_json(paths[0]), read_json(paths[1])


# Keys: utils.record.study_file.BASELINES.
_MAKE: dict[str, Callable[[Path, list, list, LabelSet], Labelled]] = {
    "majority": _majority,
    "neighbours": _neighbours,
    "zero-shot": _zero_shot,
}


def baseline_rows(baselines: Sequence[str], rows: Mapping[str, Mapping]) -> Iterator[tuple[str, str, str]]:
    """(a baseline, the name of its row, the row whose runs it is of) of every row without training: one each, of the
    first row; of the untrained model one for every model among the `rows`, {name: parameters}."""
    first = next(iter(rows))
    models: dict[str, str] = {}
    for row, parameters in rows.items():
        models.setdefault(parameters.get("model", Config.model), row)
    for name in baselines:
        if name == "zero-shot" and len(models) > 1:
            yield from ((name, f"{name}, model {model}", row) for model, row in models.items())
        else:
            yield name, name, first


def baseline(name: str, folder: Path, root: Path, labels: LabelSet) -> tuple[list[Conversation], list, list]:
    """(gold, labelled, tables) of the conversations that the run in `folder` was scored on: by the most frequent
    emotion of its training conversations, by their similar utterances, or by its untrained model.

    Raises RunError where the run's input or the untrained model's labels are not here."""
    gold = gold_of(folder, root)
    train = load_conversations(input_of_scores(folder, root)[0] / "train", labelled=True, labels=labels)
    return gold, *_MAKE[name](folder, gold, train, labels)
