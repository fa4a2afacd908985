"""A file of instructions, answered by the base model and beside it by an adapter; scored, where it has answers.

for line in answer_file("tasks.jsonl", "pred.json", adapter=folder, score=True): print(line)
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from utils.data.instruction_input import cleaned_file
from utils.record.instruction_predict import BASE, TUNED, InstructionPredict
from utils.record.instructions import side_by_side
from utils.record.labelled import METRICS, RECORD, absent_streams, beside, made_by, streams_seen
from utils.record.opinions import FINE_TUNED, ZERO_SHOT
from utils.record.provenance import revision, versions
from utils.report.answer_metrics import answer_head, answer_line, answer_rows, answers_table
from utils.system.errors import InstructionError
from utils.system.files import check_output, to_json, write_texts

SYSTEMS = {TUNED: FINE_TUNED, BASE: ZERO_SHOT}  # what a run's files call them


def answer_file(
    tasks: str | Path,
    out: str | Path,
    adapter: Path | None = None,
    model: str | None = None,
    template: str | None = None,
    new_tokens: int = 128,
    score: bool = False,
    features: str | Path | None = None,
) -> Iterator[str]:
    """Answers the instructions of a file, and yields lines that say what is done. `out` has every example and what each
    system writes, as a run's answers.json. Beside it stands who answered (.record.json), and with `score` the figures
    (.metrics.json, as a run's). Until `out` is written, finished work is in <out>...unfinished.jsonl, from which the
    same call goes on.

    tasks     JSON or JSON lines in Alpaca's form; what generate_input.py leaves out is left out here
    template  its name; default: the adapter's
    others    as InstructionPredict has them; new_tokens: of an answer at most

    Raises a UserError for a file, an adapter or arguments that cannot be used."""
    path, out = Path(tasks), Path(out)
    files = {"record": beside(out, RECORD), "figures": beside(out, METRICS)}
    for file in (out, files["record"], *[files["figures"]] * score):
        check_output(file, path)
    examples, left_out = cleaned_file(path, answered=score)
    if not examples:
        raise InstructionError(f"{path}: no instruction is left. Give a file with some")
    for reason, count in Counter(reason for _, reason in left_out).items():
        yield f"left out, {reason}: {count:,} examples"
    predictor = InstructionPredict(adapter, model, features=features)
    if line := absent_streams([predictor.config], features):
        yield line
    from utils.engine.inference import Journal  # seconds of torch, after what is checked without it

    journals = {name: Journal(f"{out}.{SYSTEMS[name]}.unfinished.jsonl") for name in predictor.systems}
    answered = predictor.scored(examples, new_tokens, template, journals)
    systems = {SYSTEMS[name]: answered[name] for name in reversed(predictor.systems)}
    record: dict[str, Any] = {
        "task": "instruction",
        "adapter": None if adapter is None else made_by(adapter),
        "model": predictor.config.model,
        "template": predictor.task(template).template.as_dict(),
        "new_tokens": new_tokens,
        **streams_seen([predictor.config], features),
        "examples": len(examples),
        "revision": revision(),
        "versions": versions(),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    result = {out: to_json(side_by_side(examples, systems)), files["record"]: to_json(record)}
    if score:
        lines = {name: [answer_line(*one) for one in zip(examples, its, strict=True)] for name, its in systems.items()}
        rows = answer_rows(examples, lines)
        result[files["figures"]] = to_json({**answer_head(examples), "instructions": rows})
        yield answers_table(rows)
    write_texts(result)
    for journal in journals.values():
        journal.path.unlink(missing_ok=True)
    yield f"{len(examples):,} instructions answered by {' and '.join(systems)}: {out}"
