"""The instruction task: a prompt, and behind it the answer that is learnt, scored, or chosen.

    task = Instructions(Template.read("alpaca"))
    task.tree(example, train=True)                  # the prompt, and its answer as the target
    task, lessons = task.taught(examples, seed=42)  # examples that share their instruction, read together

An item is an example (utils/data/instructions.py), or a lesson, several that are read together: {"example_ID": that of
the first, "examples": [...]}. A lesson is one tree: what the prompts begin with alike is its trunk, each example a
branch. Every text is tokenized as one (utils/engine/whole_texts.py), and the answer begins where the offsets say. With
streams of vectors an example may have a picture (docs/instructions.md): placeholders stand behind its instruction.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonprefix
from pathlib import Path
from typing import Any, NamedTuple

from utils.data.instructions import Example
from utils.data.labels import LabelSet
from utils.data.templates import Template, marker_in
from utils.engine.prefix_tree import Node, Question, TreeEncoder
from utils.engine.whole_texts import Pieces, Whole
from utils.system.errors import ModelError, TrainingError
from utils.system.files import read_object
from utils.tasks.senses import WORDS, Senses
from utils.tasks.task import OneRound, TaskDefaults, probabilities

# The most that a lesson holds: its row's attention grows with the square, no limit of a row may meet it, and a training
# step should see several instructions.
SHARED = 16  # examples
CHARACTERS = 3000  # of their inputs and outputs; an example alone may have more
DIFFERENT = 800  # of all their texts, where the instructions differ and the template alone is shared: a usual row
TOO_LONG = ("refuse", "drop")  # what is done with examples that are longer than the cutoff


@dataclass(frozen=True)
class Instructions(TaskDefaults):
    """Instructions in one template.

    template         what stands around an instruction
    train_on_inputs  whether training learns the prompt as well as the answer
    add_eos_token    whether an answer ends with the model's end-of-sequence token, which training then learns
    senses           the streams of vectors that an example's `image` may be seen by
    """

    template: Template
    train_on_inputs: bool = False
    add_eos_token: bool = True
    senses: Senses = WORDS
    name = "instruction"
    new_tokens = 0  # without the published recipe
    unparsed = ""
    on_emotions = False
    counted = "examples"
    opening = "Answer the instruction."

    @property
    def labels(self) -> LabelSet:
        return LabelSet("instructions", ("answer",))

    def prompt(self, example: Example) -> Pieces:
        """What stands in front of the example's answer: a text; with streams two, and the vectors of its picture, or
        what stands for their absence, between them. Raises TrainingError for a text that holds a template's marker."""
        for field in ("instruction", "input", "output"):
            if marker := marker_in(example.get(field, ""), self.template.markers):
                raise TrainingError(
                    f"example {example['example_ID']}, field {field!r}: it holds {marker!r}, which marks a section of "
                    "the prompt. Remove it, or leave the example out: generate_input.py --task instruction does"
                )
        before, behind = self.template.halves(example["instruction"], example["input"])
        vectors = self.senses.vectors(example, "image")
        return (before, *vectors, behind) if vectors else (before + behind,)

    def tree(self, item: Any, train: bool = False) -> Node:
        """The prompts, their common beginning as the trunk. Behind each stands its answer: in training as the target;
        else as the one that is scored, or of a classification all choices. An example that has none of them asks
        nothing."""
        examples = examples_of(item)
        prompts = [self.prompt(one) for one in examples]
        end = self.add_eos_token and not self.template.closing
        whole = Whole(end, self.train_on_inputs, bool(self.template.special))
        trunk = commonprefix([str(before) for before, *_ in prompts]) if len(prompts) > 1 else ""
        branches = [_prompted(p, len(trunk), self._question(one, train)) for p, one in zip(prompts, examples)]
        root = Node(trunk, None, branches) if len(prompts) > 1 else branches[0]
        root.whole = whole
        return root

    def _question(self, example: Example, train: bool) -> Question | None:
        closing = self.template.closing if self.add_eos_token else ""
        answers = tuple(f"{one}{closing}" for one in ([example["output"]] if train else answers_of(example)))
        return Question(answers, answers[0] if train else None) if answers else None

    def ask(self, item: Any) -> OneRound:
        return OneRound(self.tree(item), lambda scores: self.read(item, scores))

    def read(self, item: Any, scores: list[list[float]]) -> tuple[Any, list[dict[str, float]]]:
        """(the item, whose classifications have the likeliest choice as output; for each of its examples the
        probabilities of the choices, or else {output: its log-probability})."""
        found, tables, scored = [], [], iter(scores)
        for one in examples_of(item):
            answers = answers_of(one)
            values = next(scored) if answers else []
            if "choices" in one:
                tables.append(dict(zip(answers, probabilities(values), strict=True)))
                found.append({**one, "output": max(tables[-1], key=tables[-1].__getitem__)})
            else:
                tables.append(dict(zip(answers, values, strict=True)))
                found.append(one)
        return ({**item, "examples": found} if "examples" in item else found[0]), tables

    def taught(self, items: list[Example], seed: int) -> tuple["Instructions", list[Any]]:
        return self, lessons(items, seed)

    def counts(self, items: list) -> dict[str, float]:
        """How many answers training learns."""
        return {"answer": sum(len(examples_of(item)) for item in items)}

    def decided(self, items: list, tables) -> dict[str, Any]:
        """How it was asked, for `trained` to compare: nothing is decided on val."""
        return {"template": self.template.as_dict(), "add_eos_token": self.add_eos_token}

    def trained(self, adapter: Path) -> "Instructions":
        """Raises ModelError for an adapter that was trained in another template."""
        if read_object(Path(adapter) / "training.json").get("template") != self.template.as_dict():
            raise ModelError(f"{adapter}: it was trained in another template. Give that one, or train an adapter")
        return self


def _prompted(prompt: Any, begun: int, question: Question | None) -> Node:
    """The nodes of a prompt, without its first `begun` characters, and the question behind it."""
    before, *rest = prompt
    if not rest:
        return Node(before[begun:], question)
    *vectors, behind = rest
    return Node(before[begun:], None, [Node(behind, question, vectors=tuple(vectors))])


class Answer(NamedTuple):
    """What a model makes of one example.

    written  what it writes, greedily
    right    (log-probability of the right answer in nats, its tokens); None where no answer is known
    choices  {choice: probability}; {} where it is no classification
    """

    written: str
    right: tuple[float, int] | None = None
    choices: dict[str, float] = {}


def examples_of(item: Any) -> list[Example]:
    """The examples of an item: itself, or those of a lesson."""
    return item.get("examples", [item])


def answers_of(example: Example) -> list[str]:
    """What is scored behind an example's prompt: its choices, or its answer; [] where it has neither."""
    return example.get("choices") or ([example["output"]] if "output" in example else [])


def lessons(examples: Sequence[Example], seed: int) -> list[Any]:
    """The items that are read, in a seeded order: lessons of examples that share their instruction; and of the others,
    a few each, whose prompts begin with the template's first words alike."""
    groups: dict[str, list[Example]] = defaultdict(list)
    for one in examples:
        groups[one["instruction"]].append(one)
    several = [its for its in groups.values() if len(its) > 1]
    alone = [its[0] for its in groups.values() if len(its) == 1]
    found: list[Any] = []
    for its, most in [*((its, CHARACTERS) for its in several), (alone, DIFFERENT)]:
        random.Random(seed).shuffle(its)
        for part in _parts(its, most):
            found.append(part[0] if len(part) == 1 else {"example_ID": part[0]["example_ID"], "examples": part})
    return found


def _parts(examples: list[Example], most: int) -> list[list[Example]]:
    """The examples in their order, as few parts as SHARED and so many characters allow."""
    parts: list[list[Example]] = []
    characters = 0
    for one in examples:
        mine = len(one["input"]) + sum(map(len, answers_of(one))) + len(one["instruction"]) * (most == DIFFERENT)
        if not parts or len(parts[-1]) == SHARED or characters + mine > most:
            parts.append([])
            characters = 0
        parts[-1].append(one)
        characters += mine
    return parts


def tokens_of(task: Instructions, example: Example, encoder: TreeEncoder) -> int:
    """How many tokens an example is, from the first of its prompt to the last of its answer."""
    return len(encoder(task.tree(example, train=True), train=True)) + 1  # the last one is predicted, and not read


def within(
    task: Instructions, examples: Sequence[Example], tokenizer, cutoff_len: int, too_long: str = "refuse"
) -> tuple[list[Example], dict[str, int]]:
    """(the examples of up to `cutoff_len` tokens, {name: tokens} of the longer ones). Nothing is ever cut.

    too_long  "refuse" raises TrainingError where one is longer; "drop" leaves those out

    Raises TrainingError where none is left."""
    encoder = TreeEncoder(tokenizer)
    tokens = [tokens_of(task, one, encoder) for one in examples]
    longer = {f"example {one['example_ID']}": n for one, n in zip(examples, tokens) if n > cutoff_len}
    if longer and (too_long == "refuse" or len(longer) == len(examples)):
        named = [f"{name}: {count} tokens" for name, count in longer.items()]
        more = f" and {len(named) - 5:,} more" if len(named) > 5 else ""
        fix = f"Raise cutoff_len to {max(tokens)}"
        fix += ", or give too_long drop" if len(longer) < len(examples) else f", or to {min(tokens)} at least"
        raise TrainingError(
            f"{len(longer):,} of {len(examples):,} examples are longer than cutoff_len {cutoff_len} "
            f"({', '.join(named[:5])}{more}). {fix}: nothing is cut"
        )
    return [one for one, count in zip(examples, tokens) if count <= cutoff_len], longer
