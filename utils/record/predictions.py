"""predictions.jsonl: write it, read it, and find the conversations that it is about."""

import json
import os.path
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from utils.data.conversations import Conversation, load_conversations, pairs, with_emotions, with_pairs
from utils.data.instructions import EXAMPLES_FILE
from utils.data.labels import ECF, LabelSet, labels_in
from utils.data.opinions import TEXTS_FILE
from utils.data.validation import PAIRS, is_id, same_id
from utils.record.inputs import find_input
from utils.record.provenance import fingerprints, read_records
from utils.record.stages import LABELLED_BY
from utils.system import places
from utils.system.errors import FileError, RunError, shown
from utils.system.files import read_json_lines, write_text

SHIPPED = "smollm2-135m-ecf"  # the run whose adapters are used until another one is named


class System(NamedTuple):
    """Conversations with emotions and pairs, and for each its tables of probabilities (utils.tasks.ask.predict)."""

    conversations: list[Conversation]
    emotions: list
    causes: list


def lines_of(
    conversations: list[Conversation],
    emotion_probabilities: list,
    cause_probabilities: list | None,
    labels: LabelSet = ECF,
) -> list[dict]:
    """The lines of predictions.jsonl: one for each conversation, without text.

    conversations           with `emotion`, and `emotion-cause_pairs` where there are cause_probabilities
    emotion_probabilities   for each conversation utterances x labels, in the order of the label set
    cause_probabilities     for each conversation {emotional utterance id: {candidate id: P}}; None: causes were not
                            asked for, and lines end with the emotions
    """
    lines = [
        {
            "conversation_ID": c["conversation_ID"],
            "emotions": [u["emotion"] for u in c["conversation"]],
            "emotion_probabilities": [[round(p, 4) for p in one] for one in emotions],
        }
        for c, emotions in zip(conversations, emotion_probabilities, strict=True)
    ]
    for line, c, causes in (
        zip(lines, conversations, cause_probabilities, strict=True) if cause_probabilities is not None else ()
    ):
        line[PAIRS] = [[f"{i}_{emotion}", str(cause)] for i, emotion, cause in pairs(c, labels)]
        line["cause_probabilities"] = {
            str(i): {str(k): round(p, 4) for k, p in one.items()} for i, one in causes.items()
        }
    return lines


def write_predictions(
    folder: Path,
    conversations: list[Conversation],
    emotion_probabilities: list,
    cause_probabilities: list | None,
    labels: LabelSet = ECF,
):
    """Writes folder/predictions.jsonl; the arguments are those of `lines_of`."""
    lines = lines_of(conversations, emotion_probabilities, cause_probabilities, labels)
    write_text(text_of(lines), folder / "predictions.jsonl")


def text_of(lines: list[dict]) -> str:
    """Such lines as the text of a file."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


# ---- read -----------------------------------------------------------------------------------------------------


def run_folder(run: str | Path | None, root: Path | None = None) -> Path:
    """The folder of a run or system, given by its name in results_train/ (below `root`, by default where the place
    keeps results; or of the repository) or by its path; None: the run that ships.

    Raises RunError where there is none.
    """
    roots, run = (root or places.find().results, places.ROOT), run or SHIPPED
    folders = [*(one / "results_train" / run for one in roots), Path(run)]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise RunError(
        f"{folders[0]}: no such run; python -m utils.runs list names those that are here{places.find().bring_hint}"
    )


def read_lines(path: Path, items: Sequence[Mapping[str, Any]], field: str = "conversation_ID") -> list[dict]:
    """The lines of the file `path`, or of `path`/predictions.jsonl, in the order of these conversations; or of texts,
    with the field "text_ID".

    Raises FileError for what is no JSON, RunError for a line without an id, for two of one item, and where one is
    missing.
    """
    path, lines, what = predictions_file(path), {}, field.removesuffix("_ID")
    for where, line in read_json_lines(path):
        key = line.get(field)
        if not is_id(key):
            raise unreadable(where, f"{shown(key)} is no {field}: it is a number or a name", what)
        if same_id(key) in lines:
            raise unreadable(where, f"{what} {shown(key)} is there twice: keep one of the two lines", what)
        lines[same_id(key)] = line
    try:
        return [lines[same_id(one[field])] for one in items]
    except KeyError as error:
        raise unreadable(path, f"{what} {error.args[0]} is missing: write a line for it", what) from error
    except TypeError as error:
        raise unreadable(path, f"these are no {what}s", what) from error


def read_predictions(
    path: Path, conversations: list[Conversation], labels: LabelSet = ECF, causes: bool = True
) -> list[Conversation]:
    """`conversations` with the emotions and pairs of the file `path`, or of `path`/predictions.jsonl. With `causes`
    false a file that ends with the emotions is taken too, whose conversations have no pairs.

    Raises FileError or RunError where the two do not belong together.
    """
    lines = read_lines(path, conversations)
    paired = any(PAIRS in line for line in lines) or not lines
    if causes and not paired:
        raise RunError(f"{predictions_file(path)} has no causes yet: run {LABELLED_BY['cause']} first")
    try:
        return [_labelled(c, line, labels, paired) for c, line in zip(conversations, lines, strict=True)]
    except KeyError as error:
        raise unreadable(predictions_file(path), f"a line has no {error}: write the file again") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise unreadable(predictions_file(path), error) from error


def _labelled(conversation, line, labels, paired):
    """The conversation with a line's emotions and pairs, which must be of its utterances and of these emotions."""
    several = any(isinstance(emotion, list) for emotion in line["emotions"])
    labelled = with_emotions(conversation, line["emotions"], replace(labels, multi=True) if several else labels)
    if not paired:
        return labelled
    labelled = with_pairs(labelled, pairs({**labelled, "emotion-cause_pairs": line["emotion-cause_pairs"]}, labels))
    emotions = {u["utterance_ID"]: u["emotion"] for u in labelled["conversation"]}
    for number, emotion, cause in pairs(labelled, labels):
        where = f"conversation {conversation['conversation_ID']}: the pair {number}_{emotion}, {cause}"
        if number not in emotions or cause not in emotions:
            raise ValueError(f"{where} points to an utterance that is not there")
        if emotions[number] != emotion:
            raise ValueError(f"{where} disagrees with the emotion in the same line, {emotions[number]}")
    return labelled


def predictions_file(path) -> Path:
    """The file `path`, or `path`/predictions.jsonl where that is a folder."""
    return Path(path) / "predictions.jsonl" if os.path.isdir(path) else Path(path)  # without an error of its own


def unreadable(where, reason, what: str = "conversation") -> RunError:
    """The error for a file that does not hold predictions for these conversations, or whatever they are."""
    return RunError(f"{where}: cannot be read as predictions for these {what}s ({reason})")


def scored_on(folder: Path) -> dict:
    """What a folder's config.json tells of its labelled predictions: the record of the notebook or command that made
    them last, of notebook 2 where it alone has run. Its parameters name `input_dir`, and `split` where that is not
    test.

    Raises RunError for a folder that holds none.
    """
    folder = Path(folder)
    if not (folder / "metrics.json").is_file() or not (folder / "config.json").is_file():
        raise RunError(
            f"{folder}: no metrics.json and config.json here; give a folder of results_train, of a run that "
            f"went through the notebooks{places.find().bring_hint}"
        )
    records = read_records(folder)
    for name, record in reversed(records.items()):
        last = [LABELLED_BY[task] for task in ("cause", "opinion", "instruction")]
        if name in last or "split" in record["parameters"]:
            return record
    if LABELLED_BY["emotion"] in records and (folder / "predictions.jsonl").is_file():
        return records[LABELLED_BY["emotion"]]
    raise RunError(f"{folder} has no labels yet: run {LABELLED_BY['emotion']} first")


def input_of_scores(folder: Path, root: Path | None = None) -> tuple[Path, str, dict]:
    """(the folder of the input, the split, the record) that a run or system was scored on; `root`: see open_run.

    Raises RunError for a folder without scores, FileError for a record that names no input.
    """
    record = scored_on(folder)
    parameters, inputs = record["parameters"], record.get("input")
    split, input_dir = parameters.get("split", "test"), parameters.get("input_dir")
    if not isinstance(split, str) or not isinstance(input_dir, str) or not isinstance(inputs, dict):
        raise FileError(
            f"{folder}/config.json: damaged: input_dir, split and input do not name the conversations that were "
            "scored. Restore the file, or run the last notebook again"
        )
    return find_input(input_dir, root or places.find().results, inputs), split, record


def labels_of_scores(folder: Path, root: Path | None = None) -> LabelSet:
    """The label set of the conversations that a run or system was scored on; `root`: see open_run. Raises what
    `input_of_scores` raises."""
    return labels_in(input_of_scores(folder, root)[0])


def input_there(folder: Path, root: Path | None = None) -> tuple[Path, str, dict]:
    """`input_of_scores`, once the split is known to be here and to be the run's. Raises RunError where it is not."""
    input_dir, split, record = input_of_scores(folder, root)
    if not (input_dir / split).exists():
        raise RunError(
            f"{input_dir}/{split}, which this run was scored on, is not here: make it with python generate_input.py "
            f"--data PATH --out {input_dir} (ECF: also --splits data/ecf1_splits.json; docs/doors.md)"
        )
    if fingerprints(input_dir).get(split) != record["input"].get(split):
        raise RunError(f"{input_dir}/{split} is not what this run was scored on: make it again with generate_input.py")
    return input_dir, split, record


def gold_of(folder: Path, root: Path | None = None) -> list[Conversation]:
    """The labelled conversations that a run or system in results_train was scored on; `root`: see open_run.

    Raises RunError for a folder without scores, for one of other items, and where the input is missing, empty or not
    the run's.
    """
    input_dir, split, _ = input_there(folder, root)
    others = {TEXTS_FILE: "labels texts with opinions", EXAMPLES_FILE: "answers instructions"}
    for file, does in others.items():
        if (input_dir / split / file).is_file() and not (input_dir / split / "conversations.json").is_file():
            raise RunError(f"{folder} {does}, and this command reads conversations")
    gold = load_conversations(input_dir / split, labelled=True, allow_empty=True, labels=labels_in(input_dir))
    if not gold:
        raise RunError(
            f"{input_dir}/{split} is empty: nothing was held out of this run's training, so nothing was scored"
        )
    return gold
