"""Inference by exact scoring: the log-probability of every allowed answer, one forward pass a conversation.

    labelled, probabilities = predict_emotions(model, tokenizer, conversations)
    with_pairs, of_causes = predict_causes(model, tokenizer, labelled, threshold=0.2, emotions=probabilities,
                                           structure=structure.load(adapter))

The published recipe (batched `generate`, the label parsed from the text) stands below under `recipe="published"`.
With a `journal`, inference that was interrupted goes on where it stopped.
"""

import hashlib
import json
import math
from pathlib import Path

import torch

from utils import cause, emotion
from utils.conversations import NEUTRAL, naming, with_emotions, with_pairs
from utils.memory import InParts
from utils.modeling import ModelError, check_tree_mask, float32_head, positions_of
from utils.prefix_tree import Node, Row, model_inputs, pack, plan_rows
from utils.processes import divided
from utils.rows import check_positions, encode_trees, names_of

PUBLISHED_NEW_TOKENS = {"emotion": 15, "cause": 25}  # the ancestor's


class Journal:
    """Finished forward passes on disk, so that the same inference, run again, goes on behind the last one.

    A line of the file is [key, result], and the key is a hash of all that the result follows from.
    """

    def __init__(self, path: Path):
        self.path, self.results = Path(path), {}
        for line in self.path.read_text("utf-8", "replace").splitlines() if self.path.is_file() else ():
            try:
                self.results.update([json.loads(line)])
            except ValueError:  # an empty line, or one that an interruption cut off
                continue

    def __call__(self, origin, compute):
        """The result for `origin` (whatever determines it, with a faithful repr), computed unless it is known."""
        key = hashlib.sha256(repr(origin).encode("utf-8", "surrogatepass")).hexdigest()
        if key not in self.results:
            self.results[key] = compute()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # The line break first: the last line may be cut off.
            with naming(self.path), self.path.open("a", encoding="utf-8") as file:
                file.write(f"\n{json.dumps([key, self.results[key]])}")
        return self.results[key]


def _remembered(journal: Journal | None, origin, compute):
    return journal(origin, compute) if journal else compute()


def fingerprint(model) -> str:
    """What a result owes to the model: its name, precision and the adapter's weights."""
    digest = hashlib.sha256(f"{model.config.name_or_path} {model.dtype}".encode())
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            digest.update(parameter.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()


def input_device(model) -> torch.device:
    """Where the model's inputs go. The first weights of an offloaded model may be nowhere until they are needed, and
    then its hooks move what comes from the CPU."""
    return torch.device("cpu") if model.device.type == "meta" else model.device


@torch.no_grad()
def score_row(model, row: Row) -> list[list[float]]:
    """Log-probability of every allowed answer of every question in `row`: questions x answers. One forward pass.

    Raises ModelError where the model gives no numbers.
    """
    targets = sorted({target for question in row.answers for answer in question for target in answer})
    if not targets:
        return []
    inputs = model_inputs(row, sorted({(index, 0) for index, _ in targets}), input_device(model))
    kept = {index: slot for slot, index in enumerate(inputs["logits_to_keep"].tolist())}
    del inputs["labels"], inputs["shift_labels"]
    with float32_head(model):
        logits = model(**inputs, use_cache=False).logits[0].float()
    slots = torch.tensor([kept[index] for index, _ in targets], device=logits.device)
    tokens = torch.tensor([token for _, token in targets], device=logits.device)
    values = (logits[slots, tokens] - logits.logsumexp(-1)[slots]).tolist()
    if not all(map(math.isfinite, values)):
        raise ModelError(f"the model's scores in {model.dtype} are no numbers: give precision bfloat16 or float32")
    logp = dict(zip(targets, values))
    return [[sum(logp[target] for target in answer) for answer in question] for question in row.answers]


def score_trees(model, tokenizer, trees: list[Node], names: list[str], token_budget: int, max_row_tokens: int,
                progress: str | None = None, journal: Journal | None = None) -> list[list[list[float]]]:
    """For each tree, for each of its questions, the log-probability of each allowed answer.

    Short trees share a row of up to `token_budget` tokens, or of fewer where memory runs out. Raises TrainingError
    for a tree longer than `max_row_tokens` or than the model can read, DoesNotFit for one that memory does not suffice
    for, ModelError for a model that cannot read trees.
    """
    check_tree_mask(model, max_row_tokens)
    rows = encode_trees(trees, names, tokenizer, max_row_tokens, train=False)
    check_positions(rows, names, positions_of(model))
    results, in_parts = [None] * len(rows), InParts()
    origin = fingerprint(model) if journal else ""

    def score(group):
        trees, lengths = [rows[i] for i in group], [len(rows[i]) for i in group]
        found = in_parts(lambda row: score_row(model, row), trees, pack, lengths, [names[i] for i in group])
        return [question for scores in found for question in scores]

    def known(group):
        return _remembered(journal, (origin, pack([rows[i] for i in group])), lambda: score(group))

    groups = plan_rows([len(row) for row in rows], token_budget)
    with float32_head(model):  # here too, so that its weights are converted once
        for group, scores in zip(groups, divided(groups, known, progress, "row")):
            scores = iter(scores)
            for i in group:
                results[i] = [next(scores) for _ in rows[i].answers]
    return results


def predict_emotions(model, tokenizer, conversations: list[dict], recipe: str = "one_pass", token_budget: int = 256,
                     max_row_tokens: int = 4096, batch_size: int = 8, journal: Journal | None = None,
                     prior=(0,) * 7):
    """(conversations with `emotion` filled in, probabilities: for each conversation utterances x 7, in the order
    of EMOTIONS). prior: what is taken off the log-probabilities (emotion.prior_scores). In the published recipe the
    probability of the parsed label is one."""
    model.eval()
    if recipe == "published":
        return _generate_emotions(model, tokenizer, conversations, batch_size, journal)
    trees = [emotion.tree(c) for c in conversations]
    names = names_of(conversations)
    scores = score_trees(model, tokenizer, trees, names, token_budget, max_row_tokens, "emotions", journal)
    read = [emotion.read(c, s, prior) for c, s in zip(conversations, scores)]
    return [labelled for labelled, _ in read], [table for _, table in read]


def predict_causes(model, tokenizer, conversations: list[dict], form: str = "candidates", threshold: float = 0.2,
                   recipe: str = "one_pass", token_budget: int = 256, max_row_tokens: int = 4096, batch_size: int = 8,
                   journal: Journal | None = None, structure=None, emotions: list | None = None):
    """(conversations with `emotion-cause_pairs` filled in, probabilities: for each conversation
    {emotional utterance id: {candidate id: P}}). The conversations must carry emotions.

    structure, emotions: for form "candidates", what structure.load found beside the adapter, and the probabilities
    that `predict_emotions` gave; none of them for gold emotions (see cause.read_candidates)."""
    model.eval()
    if recipe == "published":
        return _generate_causes(model, tokenizer, conversations, batch_size, journal)
    names = names_of(conversations)
    if form == "list":
        return _search_lists(model, tokenizer, conversations, names, token_budget, max_row_tokens, journal)
    trees = [cause.candidates_tree(c) for c in conversations]
    scores = score_trees(model, tokenizer, trees, names, token_budget, max_row_tokens, "causes", journal)
    read = [
        cause.read_candidates(c, s, threshold, structure and structure.log_odds(c), table)
        for c, s, table in zip(conversations, scores, emotions or [None] * len(conversations), strict=True)
    ]
    return [paired for paired, _ in read], [table for _, table in read]


def _search_lists(model, tokenizer, conversations, names, token_budget, max_row_tokens, journal):
    searches = [cause.ListSearch(c) for c in conversations]
    number = 0
    while True:
        number += 1
        asked = [(search, tree, name) for search, name in zip(searches, names) if (tree := search.tree()) is not None]
        if not asked:
            break
        trees, asked_names = [tree for _, tree, _ in asked], [name for _, _, name in asked]
        scores = score_trees(
            model, tokenizer, trees, asked_names, token_budget, max_row_tokens, f"causes, round {number}", journal
        )
        for (search, _, _), one in zip(asked, scores):
            search.update(one)
    read = [search.read() for search in searches]
    return [paired for paired, _ in read], [table for _, table in read]


# ---- the published recipe ------------------------------------------------------------------------------------


def generate_published(model, tokenizer, prompts: list[tuple[str, str]], new_tokens: int, batch_size: int,
                       progress: str, journal: Journal | None = None):
    """What `generate` writes behind each prompt, greedily, in left-padded batches. `prompts` are (name, text).

    Raises DoesNotFit for a prompt that memory does not suffice for.
    """
    origin, in_parts = fingerprint(model) if journal else "", InParts()

    def generate(names, batch):
        tokens = [len(tokenizer(prompt).input_ids) for prompt in batch]
        found = in_parts(lambda some: _generate(model, tokenizer, some, new_tokens), batch, list, tokens, names)
        return [text for part in found for text in part]

    def known(batch):
        names, texts = map(list, zip(*batch))
        return _remembered(journal, (origin, texts, new_tokens), lambda: generate(names, texts))

    batches = [prompts[start : start + batch_size] for start in range(0, len(prompts), batch_size)]
    return [text for texts in divided(batches, known, progress, "batch") for text in texts]


@torch.no_grad()
def _generate(model, tokenizer, prompts, new_tokens):
    side, tokenizer.padding_side = tokenizer.padding_side, "left"
    try:
        batch = tokenizer(prompts, return_tensors="pt", padding=True, split_special_tokens=True)
    finally:
        tokenizer.padding_side = side
    written = model.generate(
        **batch.to(input_device(model)), max_new_tokens=new_tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id
    )
    return tokenizer.batch_decode(written[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)


def _generate_emotions(model, tokenizer, conversations, batch_size, journal):
    prompts = [(name, text) for c, name in zip(conversations, names_of(conversations))
               for text, _ in emotion.published_prompts(c)]
    new_tokens = PUBLISHED_NEW_TOKENS["emotion"]
    texts = generate_published(model, tokenizer, prompts, new_tokens, batch_size, "emotions", journal)
    labels = [emotion.parse_published(text) for text in texts]
    unparsed = labels.count(None)
    if unparsed:
        print(f"{unparsed} of {len(labels)} generated texts name no emotion; they count as {NEUTRAL}.")
    labelled, tables, rest = [], [], iter(labels)
    for c in conversations:
        emotions = [next(rest) or NEUTRAL for _ in c["conversation"]]
        labelled.append(with_emotions(c, emotions))
        tables.append([[float(label == one) for label in emotion.LABELS] for one in emotions])
    return labelled, tables


def _generate_causes(model, tokenizer, conversations, batch_size, journal):
    prompts = [(name, text) for c, name in zip(conversations, names_of(conversations))
               for text, _ in cause.published_prompts(c)]
    new_tokens = PUBLISHED_NEW_TOKENS["cause"]
    texts = iter(generate_published(model, tokenizer, prompts, new_tokens, batch_size, "causes", journal))
    paired, tables, unparsed = [], [], 0
    for c in conversations:
        ids, triples, table = [u["utterance_ID"] for u in c["conversation"]], [], {}
        for position in cause.emotional(c):
            found = cause.parse_published(next(texts), ids)
            unparsed += found is None
            u = c["conversation"][position]
            triples += [(u["utterance_ID"], u["emotion"], i) for i in found or []]
            table[u["utterance_ID"]] = {i: 1.0 for i in found or []}
        paired.append(with_pairs(c, triples))
        tables.append(table)
    if unparsed:
        print(f"{unparsed} of {len(prompts)} generated texts hold no list of ids; they count as no cause.")
    return paired, tables
