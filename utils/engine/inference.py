"""Inference by exact scoring: the log-probability of every allowed answer, one forward pass a row of trees.

The published recipe's batched `generate` is here too. With a `Journal`, inference that was interrupted continues where
it stopped.
"""

import hashlib
import json
import math
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

from utils.engine.head import head_row
from utils.engine.memory import InParts
from utils.engine.prefix_tree import Node, Row, model_inputs, rooted
from utils.engine.processes import divided
from utils.engine.rows import check_positions, encode_trees, in_one_row, row_plan
from utils.engine.settings import Writing
from utils.engine.vectors import PLACEHOLDER, Vector, in_batch
from utils.engine.whole_texts import Pieces, prompt_tokens
from utils.models.adapters import adapter_weights
from utils.models.attention import check_tree_mask, float32_head, positions_of
from utils.models.head import outputs_of
from utils.models.projector import active_projector, prompted
from utils.models.virtual import virtual_tokens
from utils.system.errors import ModelError
from utils.system.files import naming


class Journal:
    """Finished forward passes on disk, so that the same inference, run again, goes on behind the last one.

    A line of the file is [key, result], and the key is a hash of all that the result follows from. Lines that were cut
    off or damaged are skipped, with a line on stderr, and computed again.
    """

    def __init__(self, path: str | Path):
        self.path, self.results, damaged = Path(path), {}, 0
        for line in self.path.read_text("utf-8", "replace").split("\n") if self.path.is_file() else ():
            try:
                key, result = json.loads(line)
                if not isinstance(key, str) or not isinstance(result, list):
                    raise ValueError("no result")
                self.results[key] = result
            except (ValueError, TypeError, RecursionError):
                damaged += bool(line.strip())
        if damaged:
            print(f"{self.path}: {damaged} damaged lines are skipped, and computed again", file=sys.stderr)

    def __call__(self, origin, compute, fits=lambda result: True):
        """The result for `origin` (whatever determines it, with a faithful repr), computed unless it is known and
        `fits(result)`."""
        key = hashlib.sha256(repr(origin).encode("utf-8", "surrogatepass")).hexdigest()
        if key not in self.results or not fits(self.results[key]):
            self.results[key] = compute()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # The line break first: the last line may be cut off.
            with naming(self.path), self.path.open("a", encoding="utf-8") as file:
                file.write(f"\n{json.dumps([key, self.results[key]])}")
        return self.results[key]


def _remembered(journal: Journal | None, origin, compute, fits):
    return journal(origin, compute, fits) if journal else compute()


def _answers(result, counts: list[int]) -> bool:
    """Whether a result is a list of log-probabilities for each question; counts: how many answers each has."""
    return (
        len(result) == len(counts)
        and all(isinstance(one, list) and len(one) == count for one, count in zip(result, counts))
        and all(type(value) is float and math.isfinite(value) for one in result for value in one)
    )


def fingerprint(model) -> str:
    """What a result owes to the model: its name, precision, and the weights of the adapter and its projector."""
    digest = hashlib.sha256(f"{model.config.name_or_path} {model.dtype}".encode())
    for _, parameter in adapter_weights(model):
        digest.update(parameter.detach().float().cpu().numpy().tobytes())
    projector = active_projector(model)
    for name, tensor in projector.tensors().items() if projector is not None else ():
        digest.update(name.encode() + tensor.float().cpu().numpy().tobytes())
    return digest.hexdigest()


def input_device(model) -> torch.device:
    """Where the model's inputs go. The first weights of an offloaded model may be nowhere until they are needed, and
    then its hooks move what comes from the CPU."""
    return torch.device("cpu") if model.device.type == "meta" else model.device


@torch.no_grad()
def score_row(model, row: Row) -> list[list[float]]:
    """Log-probability of every allowed answer of every question in `row`: questions x answers; of a model with a head
    what that gives. One forward pass. A model without a projector reads the placeholders of vectors as text.

    Raises ModelError where the model gives no numbers.
    """
    if outputs_of(model):
        return head_row(model, row, input_device(model))
    row = rooted(row, virtual_tokens(model))
    targets = sorted({target for question in row.answers for answer in question for target in answer})
    if not targets:
        return []
    inputs = model_inputs(row, sorted({(index, 0) for index, _ in targets}), input_device(model))
    kept = {index: slot for slot, index in enumerate(inputs["logits_to_keep"].tolist())}
    del inputs["labels"], inputs["shift_labels"]
    if active_projector(model) is None:
        inputs.pop("vectors", None)
    with float32_head(model):
        logits = model(**inputs, use_cache=False).logits[0].float()
    slots = torch.tensor([kept[index] for index, _ in targets], device=logits.device)
    tokens = torch.tensor([token for _, token in targets], device=logits.device)
    values = (logits[slots, tokens] - logits.logsumexp(-1)[slots]).tolist()
    if not all(map(math.isfinite, values)):
        raise ModelError(f"the model's scores in {model.dtype} are no numbers: give precision bfloat16 or float32")
    logp = dict(zip(targets, values))
    return [[sum(logp[target] for target in answer) for answer in question] for question in row.answers]


def score_trees(
    model,
    tokenizer,
    trees: list[Node],
    names: list[str],
    token_budget: int,
    max_row_tokens: int,
    progress: str | None = None,
    journal: Journal | None = None,
) -> list[list[list[float]]]:
    """For each tree, for each of its questions, the log-probability of each allowed answer.

    Short trees share a row of up to `token_budget` tokens, or of fewer where memory runs out. Raises TrainingError
    for a tree longer than `max_row_tokens` or than the model can read, DoesNotFit for one that memory does not suffice
    for, ModelError for a model that cannot read trees.
    """
    virtual = virtual_tokens(model)
    check_tree_mask(model, max_row_tokens + virtual)
    rows = encode_trees(trees, names, tokenizer, max_row_tokens, train=False)
    check_positions(rows, names, positions_of(model), virtual)
    results: list = [None] * len(rows)
    in_parts = InParts()
    origin, width = fingerprint(model) if journal else "", len(outputs_of(model))

    def score(group):
        trees, lengths = [rows[i] for i in group], [len(rows[i]) for i in group]
        found = in_parts(lambda row: score_row(model, row), trees, in_one_row, lengths, [names[i] for i in group])
        return [question for scores in found for question in scores]

    def known(group):
        counts = [width or len(answers) for i in group for answers in rows[i].answers]
        packed = in_one_row([rows[i] for i in group])
        return _remembered(journal, (origin, packed), lambda: score(group), lambda found: _answers(found, counts))

    groups = row_plan(rows, token_budget)
    with float32_head(model):  # here too, so that its weights are converted once
        for group, scores in zip(groups, divided(groups, known, progress, "row")):
            scores = iter(scores)
            for i in group:
                results[i] = [next(scores) for _ in rows[i].answers]
    return results


# ---- the published recipe ------------------------------------------------------------------------------------


def generate_published(
    model,
    tokenizer,
    prompts: Sequence[tuple[str, str | Pieces]],
    how: Writing,
    batch_size: int,
    progress: str | None,
    journal: Journal | None = None,
    special: bool = False,
    stops: Sequence[str] = (),
):
    """What `generate` writes behind each prompt, in left-padded batches. `prompts` are (name, text), or texts with
    vectors between them; with `special` the special tokens that stand in them are read as such, and none is added. A
    text ends with one of `stops`, too. progress: what the bar is called; None: no bar.

    Raises DoesNotFit for a prompt that memory does not suffice for.
    """
    origin, in_parts = fingerprint(model) if journal else "", InParts()

    def generate(names, batch):
        tokens = [len(prompt_tokens(tokenizer, prompt, special)) for prompt in batch]
        found = in_parts(
            lambda some: _generate(model, tokenizer, some, how, special, stops), batch, list, tokens, names
        )
        return [text for part in found for text in part]

    def known(batch):
        names, texts = map(list, zip(*batch))

        def whole(found):
            return len(found) == len(texts) and all(isinstance(one, str) for one in found)

        return _remembered(journal, (origin, texts, how, special, stops), lambda: generate(names, texts), whole)

    batches = [prompts[start : start + batch_size] for start in range(0, len(prompts), batch_size)]
    return [text for texts in divided(batches, known, progress, "batch") for text in texts]


@torch.no_grad()
def _generate(model, tokenizer, prompts, how, special, stops):
    batch, seeing = prompt_batch(model, tokenizer, prompts, special)
    with seeing:
        written = model.generate(**batch, **how.options(), **stopped_by(tokenizer, stops))
    return tokenizer.batch_decode(written[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)


def prompt_batch(
    model, tokenizer, prompts: Sequence[str | Pieces], special: bool
) -> tuple[dict[str, torch.Tensor], AbstractContextManager[None]]:
    """(the prompts as left-padded tensors, where the model's inputs go; in what `generate` sees their vectors). A model
    without a projector reads the placeholders as text. special: as in `generate_published`."""
    tokens, device = [prompt_tokens(tokenizer, prompt, special) for prompt in prompts], input_device(model)
    placeholder, longest = tokenizer(PLACEHOLDER, add_special_tokens=False).input_ids[-1], max(map(len, tokens))
    ids = [[placeholder if isinstance(one, Vector) else one for one in its] for its in tokens]
    batch = {
        "input_ids": [[tokenizer.pad_token_id] * (longest - len(its)) + its for its in ids],
        "attention_mask": [[0] * (longest - len(its)) + [1] * len(its) for its in ids],
    }
    seen = ids != tokens and active_projector(model) is not None
    vectors = partial(in_batch, tokens, device=device)
    tensors = {name: torch.tensor(rows, device=device) for name, rows in batch.items()}
    return tensors, prompted(model, vectors) if seen else nullcontext()


def stopped_by(tokenizer, stops: Sequence[str]) -> dict[str, Any]:
    """The arguments with which `generate` ends a text at one of `stops`, and pads those that ended before others."""
    ends = {"stop_strings": list(stops), "tokenizer": tokenizer} if stops else {}
    return {"pad_token_id": tokenizer.pad_token_id, **ends}
