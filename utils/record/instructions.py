"""Answers of a run: what a model makes of examples, written, scored, and computed again.

    systems = {"zero-shot": answers(task, base, ...), "fine-tuned": answers(trained, tuned, ...)}
    save_answers(run.train_dir, test, systems)
    score_answers(run, test, systems)

predictions.jsonl has the figures of each answer and no text (utils.report.answer_metrics.answer_line), zero_shot.jsonl
those of the untrained model. answers.json has the texts: the question, its reference, and what each system writes.
Figures have six digits, and scores are computed from these, so that `verify` finds the same ones.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.data.instructions import EXAMPLES_FILE, Example, load_examples
from utils.data.validation import same_id
from utils.record.opinions import FINE_TUNED, ZERO_SHOT
from utils.record.predictions import input_there, read_lines, text_of, unreadable
from utils.record.run import Run
from utils.report.answer_metrics import DIGITS, answer_head, answer_line, answer_rows, compared
from utils.report.scores import read_scores
from utils.system.errors import RunError, shown
from utils.system.files import intact, read_json, write_json, write_text
from utils.tasks.instruction import Answer

FILES = {FINE_TUNED: "predictions.jsonl", ZERO_SHOT: "zero_shot.jsonl"}  # what holds each system's figures
ANSWERS_FILE = "answers.json"
FIELDS = ("example_ID", "instruction", "input", "image", "output", "choices")  # of an example, in ANSWERS_FILE


def save_answers(folder: Path, examples: Sequence[Example], systems: Mapping[str, Sequence[Answer]]) -> None:
    """Writes folder/answers.json, and of each system (keys of FILES) its file."""
    for name, its in systems.items():
        lines = [answer_line(one, answer) for one, answer in zip(examples, its, strict=True)]
        write_text(text_of(lines), folder / FILES[name])
    write_json(side_by_side(examples, systems), folder / ANSWERS_FILE)


def side_by_side(examples: Sequence[Example], systems: Mapping[str, Sequence[Answer]]) -> list[dict[str, Any]]:
    """For each example its fields, and {system: what it writes}."""
    return [
        {name: one[name] for name in FIELDS if name in one} | {name: its[k].written for name, its in systems.items()}
        for k, one in enumerate(examples)
    ]


def score_answers(run: Run, examples: Sequence[Example], systems: Mapping[str, Sequence[Answer]]) -> dict[str, Any]:
    """Writes the section "instructions" of metrics.json and returns it: {system: figures}. Without `examples` nothing
    is written."""
    if not examples:
        return {}
    lines = {name: [answer_line(*one) for one in zip(examples, its, strict=True)] for name, its in systems.items()}
    return run.write_section(answer_head(examples), "instructions", answer_rows(examples, lines))


# ---- read, and verified --------------------------------------------------------------------------------------------


def read_answers(folder: Path, examples: Sequence[Example], system: str = FINE_TUNED) -> list[dict[str, Any]]:
    """The figures of a system's answers (`answer_line`) in the order of `examples`, whose answers are known.

    Raises FileError or RunError where the two do not belong together, and for figures that are not those of the texts
    in answers.json, where that is here."""
    path = folder / FILES[system]
    lines = read_lines(path, examples, "example_ID")
    for one, line in zip(examples, lines, strict=True):
        try:
            _check(one, line)
        except (ValueError, LookupError, TypeError) as error:
            raise unreadable(f"{path}: example {one['example_ID']}", error, "example") from error
    texts = folder / ANSWERS_FILE
    if texts.is_file():
        with intact(texts, "Restore the file, or run instruction_inference again"):
            found = {same_id(one["example_ID"]): one[system] for one in read_json(texts)}
            written = [found[same_id(one["example_ID"])] for one in examples]
            wanted = [compared(one.get("output", ""), text) for one, text in zip(examples, written)]
        for one, line, (likeness, exact) in zip(examples, lines, wanted):
            if (line["rouge_l"], line["exact_match"]) != (round(likeness, DIGITS), exact):
                raise RunError(f"{path}: example {one['example_ID']}: its figures are not those of {ANSWERS_FILE}")
    return lines


def _check(example: Example, line: Mapping[str, Any]) -> None:
    """Raises ValueError for figures that cannot be, LookupError where one is missing."""
    number, tokens, likeness = line["log_probability"], line["tokens"], line["rouge_l"]
    if not all(type(one) in (int, float) and math.isfinite(one) for one in (number, likeness)):
        raise ValueError(f"{shown(number)} and {shown(likeness)} are no figures")
    if type(tokens) is not int or tokens < 1 or type(line["exact_match"]) is not bool:
        raise ValueError(f"{shown(tokens)} tokens, exact_match {shown(line['exact_match'])}")
    if "choices" in example:
        table, count = line["probabilities"], len(example.get("choices", []))
        whole = len(table) == count and all(type(p) in (int, float) and 0 <= p <= 1 for p in table)
        if not whole or abs(sum(table) - 1) > (count + 1) * 10.0**-DIGITS:
            raise ValueError(f"{shown(table)} are no probabilities of {count} choices, which sum to 1")


def instruction_scores(folder: Path, root: Path | None = None) -> tuple[dict[str, Any], set[str]]:
    """(what metrics.json of a run of instructions must hold of the rows that it has, the rows that cannot be computed).

    Raises RunError for a folder without scores, and where the input is missing or not the run's."""
    input_dir, split, _ = input_there(folder, root)
    examples = load_examples(input_dir / split / EXAMPLES_FILE)
    there = [name for name in FILES if name in read_scores(folder)["instructions"]]
    kept = [name for name in there if name == FINE_TUNED or (folder / FILES[name]).is_file()]
    rows = answer_rows(examples, {name: read_answers(folder, examples, name) for name in kept})
    return {**answer_head(examples), "instructions": rows}, {f"instructions / {one}" for one in {*there} - {*kept}}
