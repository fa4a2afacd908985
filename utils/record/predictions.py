"""predictions.jsonl: write it, read it, and compute a system's scores again from it."""

import json
from pathlib import Path

from utils.data.conversations import Conversation, load_conversations, pairs, with_emotions, with_pairs
from utils.record.inputs import find_input
from utils.record.provenance import fingerprints
from utils.record.stages import LABELLED_BY
from utils.report.tables import system_scores
from utils.system import places
from utils.system.errors import ConversationError, RunError
from utils.system.files import read_json, write_text


def lines_of(conversations: list[Conversation], emotion_probabilities: list, cause_probabilities: list) -> list[dict]:
    """The lines of predictions.jsonl: one for each conversation, without text.

    conversations           with `emotion` and `emotion-cause_pairs`
    emotion_probabilities   for each conversation utterances x labels, in the order of the label set
    cause_probabilities     for each conversation {emotional utterance id: {candidate id: P}}
    """
    return [
        {
            "conversation_ID": c["conversation_ID"],
            "emotions": [u["emotion"] for u in c["conversation"]],
            "emotion_probabilities": [[round(p, 4) for p in one] for one in emotions],
            "emotion-cause_pairs": [[f"{i}_{emotion}", str(cause)] for i, emotion, cause in pairs(c)],
            "cause_probabilities": {str(i): {str(k): round(p, 4) for k, p in one.items()} for i, one in causes.items()},
        }
        for c, emotions, causes in zip(conversations, emotion_probabilities, cause_probabilities, strict=True)
    ]


def write_predictions(
    folder: Path, conversations: list[Conversation], emotion_probabilities: list, cause_probabilities: list
):
    """Writes folder/predictions.jsonl; the arguments are those of `lines_of`."""
    lines = lines_of(conversations, emotion_probabilities, cause_probabilities)
    write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), folder / "predictions.jsonl")


# ---- are they the scores of these predictions? ---------------------------------------------------------------


def run_folder(run: str, root: Path | None = None) -> Path:
    """The folder of a run or system, given by its name in results_train/ (below `root`, by default where the place
    keeps results; or of the repository) or by its path.

    Raises RunError where there is none.
    """
    roots = (root or places.find().results, places.ROOT)
    folders = [*(one / "results_train" / run for one in roots), Path(run)]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise RunError(f"{folders[0]}: no such run{places.find().or_bring}")


def read_lines(path: Path, conversations: list[Conversation]) -> list[dict]:
    """The lines of the file `path`, or of `path`/predictions.jsonl, in the order of these conversations.

    Raises RunError where one is missing.
    """
    path, lines = _file(path), {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            lines[one["conversation_ID"]] = one
        return [lines[c["conversation_ID"]] for c in conversations]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _unreadable(path, error) from error


def read_predictions(path: Path, conversations: list[Conversation]) -> list[Conversation]:
    """`conversations` with the emotions and pairs of the file `path`, or of `path`/predictions.jsonl.

    Raises RunError where the two do not belong together.
    """
    lines = read_lines(path, conversations)
    try:
        labelled: list[Conversation] = [
            {**with_emotions(c, line["emotions"]), "emotion-cause_pairs": line["emotion-cause_pairs"]}
            for c, line in zip(conversations, lines, strict=True)
        ]
        return [with_pairs(c, pairs(c)) for c in labelled]
    except (ValueError, LookupError, TypeError, AttributeError, ConversationError) as error:
        raise _unreadable(_file(path), error) from error


def _file(path) -> Path:
    return Path(path) / "predictions.jsonl" if Path(path).is_dir() else Path(path)


def _unreadable(path: Path, error: Exception) -> RunError:
    reason = f"{error} is missing" if isinstance(error, KeyError) else f"{error}"
    return RunError(f"{path}: cannot be read as predictions for these conversations ({reason})")


def scored_on(folder: Path) -> dict:
    """What a folder's config.json tells of its labelled predictions: the record of the notebook or command that made
    them last. Its parameters name `input_dir`, and `split` where that is not test.

    Raises RunError for a folder that holds none.
    """
    folder = Path(folder)
    if not (folder / "metrics.json").is_file() or not (folder / "config.json").is_file():
        raise RunError(
            f"{folder}: no metrics.json and config.json here; give a folder of results_train, of a run that "
            f"went through the notebooks{places.find().or_bring}"
        )
    records = read_json(folder / "config.json")
    for name, record in reversed(records.items()):
        if name == LABELLED_BY["cause"] or "split" in record["parameters"]:
            return record
    raise RunError(f"{folder} has no causes yet: run {LABELLED_BY['cause']} first")


def gold_of(folder: Path, root: Path | None = None) -> list[Conversation]:
    """The labelled conversations that a run or system in results_train was scored on; `root`: see open_run.

    Raises RunError for a folder without scores, and where the input is missing, empty or not the run's.
    """
    record = scored_on(folder)
    split = record["parameters"].get("split", "test")
    input_dir = find_input(record["parameters"]["input_dir"], root or places.find().results, record["input"])
    if not (input_dir / split).exists():
        raise RunError(
            f"{input_dir}/{split}, which this run was scored on, is not here: make it with generate_input.py"
        )
    if fingerprints(input_dir).get(split) != record["input"].get(split):
        raise RunError(f"{input_dir}/{split} is not what this run was scored on: make it again with generate_input.py")
    gold = load_conversations(input_dir / split, labelled=True, allow_empty=True)
    if not gold:
        raise RunError(
            f"{input_dir}/{split} is empty: nothing was held out of this run's training, so nothing was scored"
        )
    return gold


def verify(folder: Path, root: Path | None = None) -> dict[str, tuple]:
    """Compute the scores of a run or system again, from its predictions.jsonl and the gold labels of its input, and
    compare them with its metrics.json: {name of a figure: (there, computed)}, for what `system_scores` counts.

    Raises RunError for a folder without scores, and where the input is missing or not the run's.
    """
    folder = Path(folder)
    gold = gold_of(folder, root)
    there = read_json(folder / "metrics.json")
    computed = system_scores(gold, read_predictions(folder, gold))
    for row in computed["pairs"].values():
        del row["emotions"]  # a name, no figure
    return dict(_figures(there, json.loads(json.dumps(computed)), ""))


def _figures(there, computed, name):
    """(name, (there, computed)) for every figure in `computed`, dictionaries and lists within each other."""
    if isinstance(computed, (dict, list)):
        for key in computed if isinstance(computed, dict) else range(len(computed)):
            try:
                below = there[key]
            except (KeyError, IndexError, TypeError):
                below = None
            yield from _figures(below, computed[key], f"{name} / {key}" if name else str(key))
    else:
        yield name, (there, computed)
