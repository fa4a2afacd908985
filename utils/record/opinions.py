"""Opinions of a run: its predictions and scores, written, read, and computed again.

    systems = baselines(task, train, test)
    systems["fine-tuned"] = predict(trained, model, tokenizer, test, *run.inference())
    save_opinions(run.train_dir, task, *systems["fine-tuned"])
    score_opinions(run, task, test, systems)

A line of predictions.jsonl is {"text_ID", "opinions": {topic: what was read}, "probabilities": {topic: {part: [...]}}}.
Probabilities have six digits, and opinions and scores are read from these, so that `verify` finds the same ones.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.config import Config
from utils.data.opinions import Text, without_opinions
from utils.data.validation import same_id
from utils.models.sentences import INSTALL
from utils.record.inputs import Texts
from utils.record.predictions import input_there, predictions_file, read_lines, text_of, unreadable
from utils.record.provenance import fingerprints
from utils.record.run import Run
from utils.report.opinion_metrics import opinion_head, opinion_rows
from utils.report.scores import read_scores
from utils.system.errors import RunError, shown
from utils.system.files import intact, read_json_lines, write_text
from utils.tasks.opinion import PARTS, Opinions
from utils.tasks.opinion_baselines import NAMES, available, baseline

Answered = tuple[list[Text], list[dict]]  # texts with their opinions, for each {topic: {part: probabilities}}
FINE_TUNED = "fine-tuned"  # the row of the run's own opinions
ZERO_SHOT = "zero-shot"  # that of the untrained model
_FILES = {FINE_TUNED: "predictions.jsonl", ZERO_SHOT: "zero_shot.jsonl"}  # what holds each in a run's folder
_DIGITS = 6


def rounded(task: Opinions, texts: Sequence[Text], tables: Sequence[Mapping]) -> Answered:
    """What `utils.tasks.ask.predict` returned, as a file holds it: probabilities of six digits, and what these say."""
    found = []
    for text, table in zip(texts, tables, strict=True):
        numbers = [[round(p, _DIGITS) for p in table[topic.name][part]] for topic, part in task.questions(text)]
        found.append(task.read(text, numbers))
    return [text for text, _ in found], [table for _, table in found]


def baselines(task: Opinions, train: Sequence[Text], texts: Sequence[Text]) -> dict[str, Answered]:
    """{name: what it says of `texts`} of the systems without a language model, fitted on `train`. Those whose packages
    are missing are named in a line, and left out."""
    if not texts:
        return {}
    asked, names = [without_opinions(text) for text in texts], available()
    for name in NAMES:
        if name not in names:
            print(f"no row {name}, whose package is not here: {INSTALL}")
    return {name: baseline(name, task, train, asked) for name in names}


def opinion_lines(task: Opinions, texts: Sequence[Text], tables: Sequence[Mapping]) -> list[dict[str, Any]]:
    """The lines of predictions.jsonl: one for each text, without its words."""
    return [
        {"text_ID": text["text_ID"], "opinions": _shortened(text["opinions"]), "probabilities": table}
        for text, table in zip(*rounded(task, texts, tables))
    ]


def _shortened(opinions: Mapping[str, Any]) -> dict[str, Any]:
    """The opinions with scores of six digits."""
    return {
        topic: {part: round(said, _DIGITS) if isinstance(said, float) else said for part, said in one.items()}
        for topic, one in opinions.items()
    }


def save_opinions(
    folder: Path, task: Opinions, texts: Sequence[Text], tables: Sequence[Mapping], system: str = FINE_TUNED
) -> None:
    """Writes folder/predictions.jsonl, or folder/zero_shot.jsonl for the system ZERO_SHOT."""
    write_text(text_of(opinion_lines(task, texts, tables)), folder / _FILES[system])


def score_opinions(run: Run, task: Opinions, gold: Sequence[Text], systems: Mapping[str, Answered]) -> dict[str, Any]:
    """Writes the section "opinions" of metrics.json and returns it: {system: figures}. Without `gold` nothing is
    written.

    systems  {name: `gold` as the system sees it, its tables}"""
    if not gold:
        return {}
    rows = opinion_rows(task, gold, {name: rounded(task, *one) for name, one in systems.items()})
    return run.write_section(opinion_head(task, gold), "opinions", rows)


# ---- read, and verified --------------------------------------------------------------------------------------------


def read_opinions(path: Path, task: Opinions, texts: Sequence[Text]) -> Answered:
    """(`texts` with the opinions of the file `path`, or of `path`/predictions.jsonl; the tables beside them).

    Raises FileError or RunError where the two do not belong together, and for opinions that are not those of their
    probabilities."""
    path = predictions_file(path)
    lines = read_lines(path, texts, "text_ID")
    known = {same_id(text["text_ID"]) for text in texts}
    for where, line in read_json_lines(path):
        if same_id(line["text_ID"]) not in known:
            raise RunError(f"{where}: text {shown(line['text_ID'])} was not scored: remove the line")
    found = []
    for text, line in zip(texts, lines, strict=True):
        where = f"{path}: text {text['text_ID']}"
        try:
            tables = [line["probabilities"][topic.name][part] for topic, part in task.questions(text)]
            for (topic, part), table in zip(task.questions(text), tables):
                _check_table(f"{topic.name}, {part}", table, len(PARTS[part].answers(topic)), task)
            labelled, read = task.read(without_opinions(text), tables)
            if _shortened(labelled["opinions"]) != line["opinions"]:
                raise ValueError("its opinions are not those that its probabilities say")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise unreadable(where, error, "text") from error
        found.append((labelled, read))
    return [labelled for labelled, _ in found], [read for _, read in found]


def _check_table(what: str, table: Any, count: int, task: Opinions) -> None:
    """Raises ValueError for what are no probabilities of so many answers, or where the task has a head no number."""
    numbers = isinstance(table, list) and all(type(p) in (int, float) and math.isfinite(p) for p in table)
    if numbers and task.outputs and len(table) == 1:
        return
    whole = numbers and len(table) == count and all(0 <= p <= 1 for p in table)
    if not whole or abs(sum(table) - 1) > (count + 1) * 10.0**-_DIGITS:
        raise ValueError(f"{what}: {shown(table)} are no probabilities of {count} answers, which sum to 1")


def opinions_of(folder: Path, root: Path | None = None) -> tuple[Opinions, list[Text], list[Text]]:
    """(the task of a run of opinions, the texts that it was trained on, or [] where they are not here, those that it
    was scored on).

    Raises RunError for a folder without scores, and where the input is missing or not the run's."""
    input_dir, split, record = input_there(folder, root)
    with intact(f"{folder}/config.json", "Restore the file, or run opinion_inference again"):
        given = Texts(input_dir, Config.of(record["parameters"]))
    here, train = fingerprints(input_dir).get("train"), []
    if here is not None and here == record["input"].get("train"):
        train = given.items("train", labelled=True)
    return given.asked, train, given.items(split, labelled=True)


def systems_of(
    folder: Path, task: Opinions, train: Sequence[Text], gold: Sequence[Text], names: Iterable[str]
) -> dict[str, Answered]:
    """{system: what it says of `gold`} of those `names` that a run's folder keeps, or that `train` fits again with the
    packages that are here.

    Raises RunError as `read_opinions` does."""
    found, here = {}, available()
    for name in names:
        if name in here and train:
            found[name] = rounded(task, *baseline(name, task, train, list(map(without_opinions, gold))))
        elif name == FINE_TUNED or (name == ZERO_SHOT and (folder / _FILES[name]).is_file()):
            found[name] = read_opinions(folder / _FILES[name], task, gold)
    return found


def opinion_scores(folder: Path, root: Path | None = None) -> tuple[dict[str, Any], set[str]]:
    """(what metrics.json of a run of opinions must hold of the rows that it has, the rows that cannot be computed)."""
    task, train, gold = opinions_of(folder, root)
    rows = read_scores(folder)["opinions"]
    there = [FINE_TUNED, *(name for name in (ZERO_SHOT, *NAMES) if name in rows)]
    systems = systems_of(folder, task, train, gold, there)
    unknown = {f"opinions / {name}" for name in there if name not in systems}
    return {**opinion_head(task, gold), "opinions": opinion_rows(task, gold, systems)}, unknown
