"""A file of texts labelled with opinions: every column stays, and what was predicted is added; scored, where it has
labels.

    for line in label_file("texts.csv", "pred.csv", adapter=folder, score=True): print(line)
"""

import importlib.util
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from utils.data.formats.tables import written
from utils.data.opinion_rows import Asked, read_asked
from utils.data.opinions import Text, without_opinions
from utils.record.labelled import METRICS, RECORD, beside, made_by
from utils.record.opinion_predict import OpinionPredict, opinions_asked
from utils.record.opinions import FINE_TUNED, ZERO_SHOT, baselines, rounded
from utils.record.provenance import revision, versions
from utils.report.opinion_metrics import opinion_head, opinion_rows, opinions_table
from utils.system.errors import OpinionError
from utils.system.files import check_output, to_json, write_texts
from utils.tasks.opinion import Opinions, label_of
from utils.tasks.opinion_numbers import named, number_of

ADDED = ("predicted_label", "predicted_score", "probabilities")


def label_file(
    texts: str | Path,
    out: str | Path,
    adapter: Path | None = None,
    model: str | None = None,
    topic: Sequence[str] | None = None,
    task_type: str | None = None,
    strategy: str | None = None,
    columns: Iterable[tuple[str, str]] | None = None,
    score: bool = False,
    train: Path | None = None,
    max_row_tokens: int | None = None,
) -> Iterator[str]:
    """Labels the texts of a file, and yields lines that say what is done. Beside `out` stands who labelled
    (.record.json), and with `score` the figures (.metrics.json, as a run's metrics.json). Until `out` is written,
    finished work is in <out>.unfinished.jsonl, from which the same call goes on.

    texts    a table, or a texts.json (utils/data/opinion_rows.py)
    out      what its suffix says: .csv, .tsv, .json, .jsonl
    columns  {what it is: its column}, as pairs
    train    labelled texts that the baselines of `score` learn from
    others   as OpinionPredict has them

    Raises a UserError before any work for a file, an adapter or arguments that cannot be used."""
    path, out = Path(texts), Path(out)
    files = {"record": beside(out, RECORD), "figures": beside(out, METRICS)}
    for file in (out, files["record"], *[files["figures"]] * score):
        check_output(file, path)
    written([], out)
    if score and importlib.util.find_spec("sklearn") is None:
        raise OpinionError("--score needs scikit-learn, which labelling does not: pip install scikit-learn")
    task, given = opinions_asked(task_type, adapter, strategy, topic), dict(columns or ())
    known = list(task.topics.values())
    asked = read_asked(path, known, given, task.task_type if score else None)
    names_added(asked)
    learnt = read_asked(train, list(asked.topics.values()), given, task.task_type).texts if train else []
    gold = [text for text in asked.texts if text["opinions"]]
    if len(gold) < len(asked.texts):
        yield f"{len(asked.texts) - len(gold):,} of {len(asked.texts):,} texts are on another topic and get no label"
    from utils.engine.inference import Journal  # seconds of torch, after what is checked without it
    from utils.engine.processes import processes

    how = task.task_type, adapter, model, task.strategy, list(asked.topics.values()), max_row_tokens
    predictor = OpinionPredict(*how)
    task, journal = predictor.task, Journal(f"{out}.unfinished.jsonl")
    found = rounded(task, *predictor.answers([without_opinions(text) for text in gold], journal=journal))
    if not processes().is_main_process:
        return
    record = labelling_of(predictor, adapter, len(gold))
    result = {out: written(added(asked, *found, task), out), files["record"]: to_json(record)}
    if score:
        systems = {**(baselines(task, learnt, gold) if learnt else {}), FINE_TUNED if adapter else ZERO_SHOT: found}
        rows = opinion_rows(task, gold, {name: rounded(task, *one) for name, one in systems.items()})
        result[files["figures"]] = to_json({**opinion_head(task, gold), "opinions": rows})
        yield opinions_table(rows)
    write_texts(result)
    journal.path.unlink(missing_ok=True)
    yield f"{len(gold):,} texts labelled by {adapter or f'{predictor.config.model}, untrained'}: {out}"


def names_added(asked: Asked) -> dict[str, dict[str, str]]:
    """{topic: {one of ADDED: its column}}; of rows that are asked about several topics the column names the topic.

    Raises OpinionError where the file has such a column already."""
    several = any(len(text["opinions"]) > 1 for text in asked.texts)
    found = {topic: {name: f"{name}_{topic}" if several else name for name in ADDED} for topic in asked.topics}
    for name in (name for columns in found.values() for name in columns.values()):
        if any(name in cells for cells in asked.cells):
            raise OpinionError(f"column {name!r} is in the file already, and would be replaced. Rename or remove it")
    return found


def added(asked: Asked, labelled: Iterable[Text], tables: Iterable[dict], task: Opinions) -> list[dict[str, Any]]:
    """The rows with their columns, and behind them those of `names_added`: the label, the number that
    OpinionPredict.predict returns (None where that is nan), and {answer: probability}. Rows that nothing was asked
    about have None there.

    labelled, tables  of the texts that something is asked about, what OpinionPredict.answers returned, `rounded`
    """
    names, answered, rows = names_added(asked), zip(labelled, tables, strict=True), []
    empty = {column: None for columns in names.values() for column in columns.values()}
    for cells, text in zip(asked.cells, asked.texts, strict=True):
        row = {**cells, **empty}
        if text["opinions"]:
            found, table = next(answered)
            for topic, opinion in found["opinions"].items():
                number = number_of(opinion, table[topic], task.task_type)
                label = label_of(opinion, task.task_type, task.topics[topic])
                score = None if math.isnan(number) else round(number, 6)
                values = label, score, named(table[topic], task.topics[topic])
                row |= {names[topic][name]: value for name, value in zip(ADDED, values, strict=True)}
        rows.append(row)
    return rows


def labelling_of(predictor: OpinionPredict, adapter: Path | None, texts: int) -> dict[str, Any]:
    """Who labelled so many texts, and what was asked: {"task", "task_type", "strategy", "topics", "labels", "adapter":
    as in utils.record.labelled, or None; "model", "texts", "revision": of the code that labelled, "versions", "ended":
    UTC}."""
    task = predictor.task
    return {
        "task": task.name,
        "task_type": task.task_type,
        "strategy": task.strategy,
        "topics": {name: topic.as_dict() for name, topic in task.topics.items()},
        "labels": list(task.labels),
        "adapter": None if adapter is None else made_by(adapter),
        "model": predictor.config.model,
        "texts": texts,
        "revision": revision(),
        "versions": versions(),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
    }
