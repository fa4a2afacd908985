"""Labelled sentences that a language model writes itself: label by label, checked, scored and balanced.

    made = written_by(task, model, tokenizer, seeds, Rules(seeds, held_out), 20, 42, Writing(1.0, 0.9))
    made.kept, made.rejected       # [{"number", "label", "text", "probability"}], and with the "reason"

A batch has prompts of all labels that still lack sentences. Sentences that pass the rules (utils/data/seeds.py) are
scored by the same model in the one pass that classifies. The label must be likelier than its median over all such
sentences so far, whatever they were written for: a model has favourites, and a label that it names for every sentence
says nothing (Zhao et al. 2021).
"""

import hashlib
import random
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from tqdm.auto import tqdm

from utils.data.conversations import Conversation
from utils.data.seeds import FAULTS, Rules, Seeds, balanced, tidy
from utils.engine.inference import Journal, fingerprint, generate_published
from utils.engine.settings import InferenceSettings, Writing
from utils.system.errors import SynthesisError
from utils.tasks.ask import predict
from utils.tasks.emotion import Emotion

TOGETHER = 32  # sentences of a batch
TRIES = 40  # for a sentence that is kept a label may have so many on average
UNLIKELY, ENOUGH = "unlikely label", "not needed"
REASONS = (*FAULTS, UNLIKELY, ENOUGH)


@dataclass
class Made:
    """The sentences that were kept and those that were not, each with its number among all that were written."""

    kept: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)

    def count(self, label: str) -> int:
        """How many sentences of a label were kept."""
        return sum(row["label"] == label for row in self.kept)

    def reasons(self, label: str | None = None) -> dict[str, int]:
        """{reason: how many sentences were left out for it}, of a label or of all; reasons that there are."""
        rows = [row["reason"] for row in self.rejected if label in (None, row["label"])]
        return {reason: rows.count(reason) for reason in REASONS if reason in rows}


def alone(number: int | str, text: str, emotion: str | None = None) -> Conversation:
    """A sentence as a conversation of one utterance."""
    utterance: Any = {"utterance_ID": 1, "text": text, "speaker": "A"}
    return {"conversation_ID": number, "conversation": [utterance | ({"emotion": emotion} if emotion else {})]}


def written_by(
    task: Emotion,
    model,
    tokenizer,
    seeds: Seeds,
    rules: Rules,
    count: int,
    seed: int,
    how: Writing,
    settings: InferenceSettings | None = None,
    journal: Journal | None = None,
) -> Made:
    """`count` sentences of each label of the task. With a `journal`, work that was interrupted goes on behind its last
    batch; the same seed gives the same sentences on one machine.

    Raises SynthesisError for a label of which too few sentences pass, with the reasons."""
    settings, made, batch, number = settings or InferenceSettings(), Made(), 0, 0
    tried, tables = dict.fromkeys(task.labels, 0), []
    with tqdm(total=count * len(task.labels), desc="sentences kept") as bar:
        while lacking := {one: count - made.count(one) for one in task.labels if made.count(one) < count}:
            if tired := [one for one in lacking if tried[one] >= TRIES * count]:
                raise SynthesisError(_lacks(tired, tried, made, count))
            batch += 1
            labels = balanced(lacking, TOGETHER)
            texts = _sentences(model, tokenizer, seeds, labels, f"{seed} {batch}", how, journal)
            faults = [rules.fault(label, text) for label, text in zip(labels, texts)]
            sound = [text for text, fault in zip(texts, faults) if fault is None]
            scored = _probabilities(task, model, tokenizer, sound, settings, journal)
            tables += scored
            usual = {label: median([table[label] for table in tables] or [0.0]) for label in task.labels}
            found = iter(scored)
            for label, text, fault in zip(labels, texts, faults):
                number += 1
                tried[label] += 1
                row: dict[str, Any] = {"number": number, "label": label, "text": text}
                if fault is None:
                    row["probability"] = next(found)[label]
                    fault = rules.fault(label, text)  # one of this batch may be like it
                    fault = fault or (UNLIKELY if row["probability"] <= usual[label] else None)
                    fault = fault or (ENOUGH if made.count(label) == count else None)
                if fault:
                    made.rejected.append({**row, "reason": fault})
                else:
                    rules.keep(text)
                    made.kept.append(row)
                    bar.update()
    return made


def _sentences(model, tokenizer, seeds: Seeds, labels: list[str], key: str, how: Writing, journal) -> list[str]:
    """One sentence of each of these labels, drawn by `key`."""
    draw = random.Random(key)
    prompts = [(f"sentence {k}", seeds.prompt(label, draw)) for k, label in enumerate(labels, 1)]

    def write():
        torch.manual_seed(int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]))
        return generate_published(model, tokenizer, prompts, how, len(prompts), None, stops=("\n",))

    def whole(found):
        return len(found) == len(prompts) and all(isinstance(one, str) for one in found)

    texts = journal((fingerprint(model), key, prompts, how), write, whole) if journal else write()
    return [tidy(text) for text in texts]


def _probabilities(task: Emotion, model, tokenizer, texts: list[str], settings, journal) -> list[dict[str, float]]:
    """For each text {label: its probability}, by the one pass that classifies."""
    items = [alone(k, text) for k, text in enumerate(texts, 1)]
    _, tables = predict(task, model, tokenizer, items, settings, journal, progress=False)
    return [dict(zip(task.labels, table[0], strict=True)) for table in tables]


def _lacks(labels: list[str], tried: dict[str, int], made: Made, count: int) -> str:
    """What a message says of labels of which too few sentences pass."""
    parts = []
    for label in labels:
        why = ", ".join(f"{number:,} {reason}" for reason, number in made.reasons(label).items())
        parts.append(f"{label}: {made.count(label):,} of {count:,} sentences after {tried[label]:,} tries ({why})")
    return f"{'; '.join(parts)}. Give more or other seeds of it, another temperature, a larger model, or a lower count"
