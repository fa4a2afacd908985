"""How good answers to instructions are: loss and perplexity of the right ones, likeness of written ones, right choices.

line = answer_line(example, answer)                 # figures of one answer, without text
answer_rows(examples, {"fine-tuned": lines})        # the section "instructions" of metrics.json

held_out_scores([(-12.5, 9), ...])                  # of answers that a model did not see in training
written_scores([compared("A plum.", "An apple.")])  # the reference, what a model wrote
choice_scores(["yes", "no"], ["yes", "yes"])        # of classifications
"""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from utils.data.instructions import Example
from utils.report.scores import VERSION
from utils.tasks.instruction import Answer

DIGITS = 6  # of the figures of one answer

# ---- figures of many answers ---------------------------------------------------------------------------------------


def held_out_scores(scored: Sequence[tuple[float, int]]) -> dict[str, float]:
    """scored: of each right answer its log-probability, and how many tokens it has.

    loss: nats a token, the mean over all tokens as training has it; perplexity: e to the loss; answers and tokens:
    how many. {} without answers."""
    tokens = sum(count for _, count in scored)
    if not tokens:
        return {}
    loss = -sum(logp for logp, _ in scored) / tokens
    perplexity = math.exp(loss) if loss < 700 else math.inf  # beyond that no float holds it
    return {"loss": loss, "perplexity": perplexity, "answers": len(scored), "tokens": tokens}


def words(text: str) -> list[str]:
    """The words of a text as ROUGE compares them: letters and digits, in small letters."""
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFC", text).lower())


def rouge_l(reference: str, written: str) -> float:
    """ROUGE-L (Lin 2004, section 3.1, with beta 1): the harmonic mean of precision and recall of the longest common
    subsequence of words; from 0 to 1. Words are not stemmed."""
    ours, theirs = words(written), words(reference)
    lengths = [0] * (len(theirs) + 1)  # of the longest common subsequence with the reference's first words
    for word in ours:
        before = lengths[:]
        for k, other in enumerate(theirs):
            lengths[k + 1] = before[k] + 1 if word == other else max(before[k + 1], lengths[k])
    common = lengths[-1]
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def compared(reference: str, written: str) -> tuple[float, bool]:
    """(ROUGE-L, whether an answer is the reference but for white space)."""
    return rouge_l(reference, written), reference.split() == written.split()


def written_scores(found: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """found: of each answer what `compared` says. rouge_l: the mean; exact_match: the share; answers: how many. {}
    without answers."""
    if not found:
        return {}
    likeness, exact = (sum(column) / len(found) for column in zip(*found))
    return {"rouge_l": likeness, "exact_match": exact, "answers": len(found)}


def choice_scores(gold: Sequence[str], chosen: Sequence[str]) -> dict[str, float]:
    """exact_match: the share of classifications with the right choice; answers: how many. {} without any."""
    pairs = list(zip(gold, chosen, strict=True))
    return (
        {"exact_match": sum(one == other for one, other in pairs) / len(pairs), "answers": len(pairs)} if pairs else {}
    )


# ---- a run's answers -----------------------------------------------------------------------------------------------


def answer_line(example: Example, answer: Answer) -> dict[str, Any]:
    """What predictions.jsonl holds of an answer, without its text: {"example_ID"; "log_probability" of the right answer
    and its "tokens", "rouge_l" and "exact_match" of the written one, where the right one is known; "probabilities" of
    the choices, in their order, of a classification}."""
    line: dict[str, Any] = {"example_ID": example["example_ID"]}
    if answer.right is not None:
        likeness, exact = compared(example.get("output", ""), answer.written)
        line |= {"log_probability": round(answer.right[0], DIGITS), "tokens": answer.right[1]}
        line |= {"rouge_l": round(likeness, DIGITS), "exact_match": exact}
    if answer.choices:
        line["probabilities"] = [round(answer.choices[choice], DIGITS) for choice in example.get("choices", [])]
    return line


def answer_head(examples: Sequence[Example]) -> dict[str, Any]:
    """What metrics.json says of the examples that were scored: {"version", "examples", "gold": {"instructions":
    {"answers", "choices": how many are classifications}}}."""
    counts = {"answers": len(examples), "choices": sum("choices" in one for one in examples)}
    return {"version": VERSION, "examples": len(examples), "gold": {"instructions": counts}}


def answer_rows(examples: Sequence[Example], systems: Mapping[str, Sequence[Mapping]]) -> dict[str, Any]:
    """The section "instructions" of metrics.json: {system: {"held_out": `held_out_scores`, "written": `written_scores`,
    "choices": `choice_scores`, where there are classifications}}.

    systems  {name: an `answer_line` for each of `examples`, whose answers are known}"""
    return {name: _figures(examples, lines) for name, lines in systems.items()}


def _figures(examples: Sequence[Example], lines: Sequence[Mapping]) -> dict[str, dict[str, float]]:
    asked = [(one, line["probabilities"]) for one, line in zip(examples, lines, strict=True) if "choices" in one]
    chosen = [one.get("choices", [])[found.index(max(found))] for one, found in asked]
    figures = {
        "held_out": held_out_scores([(line["log_probability"], line["tokens"]) for line in lines]),
        "written": written_scores([(line["rouge_l"], line["exact_match"]) for line in lines]),
        "choices": choice_scores([one.get("output", "") for one, _ in asked], chosen),
    }
    return {name: one for name, one in figures.items() if one}


HEADLINES = {  # {column of a table: where the figure is}
    "loss": ("held_out", "loss"),
    "perplexity": ("held_out", "perplexity"),
    "ROUGE-L": ("written", "rouge_l"),
    "exact match": ("written", "exact_match"),
    "right choices": ("choices", "exact_match"),
}


def answer_headline(figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The figures of a system that a table shows, those that it has."""
    return {column: figures[part][name] for column, (part, name) in HEADLINES.items() if part in figures}


def answers_table(rows: Mapping[str, Mapping]) -> str:
    """The section "instructions" of metrics.json as a Markdown table: a line a system."""
    found = {name: answer_headline(figures) for name, figures in rows.items()}
    columns = [column for column in HEADLINES if any(column in one for one in found.values())]
    lines = [f"| system | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, one in found.items():
        cells = [f"{one[column]:.3f}" if column in one else "" for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
