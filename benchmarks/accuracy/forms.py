"""One trial: an adapter for one task and one form of its questions, trained on `train`, scored on `val`.

    python -m benchmarks.accuracy.forms emotion twice --epochs 2 --out FOLDER
    python -m benchmarks.accuracy.forms emotion twice --text-epochs 2 --out FOLDER     # the conversations' words first
    python -m benchmarks.accuracy.forms emotion twice --full --rate 5e-5 --out FOLDER  # all weights, no adapter
    python -m benchmarks.accuracy.forms emotion joint --out FOLDER                     # trained on causes as well

Prints what it measures, and writes FOLDER/scores.json (parameters, scores, every answer's log-probabilities) and the
adapter beside it. LOG.md quotes these trials; what won is in utils/tasks/emotion.py, utils/tasks/cause.py
and configs/.
"""

import argparse
import json
import math
import shutil
import time
from dataclasses import replace
from pathlib import Path

from transformers import set_seed

from utils.config import Config
from utils.data.conversations import causes_of, load_conversations, names_of
from utils.data.labels import ECF
from utils.engine.inference import score_trees
from utils.engine.prefix_tree import Node, Question, chain, encode
from utils.engine.rows import encode_trees, pack_rows, text_rows
from utils.engine.settings import TrainingSettings
from utils.engine.trainer import train
from utils.models.adapters import adapter_in_compute_type, add_lora, save_adapter
from utils.models.load import load_model
from utils.report.metrics import emotion_scores, pair_scores
from utils.system.command import command
from utils.system.files import read_json, write_json
from utils.tasks import baselines, cause, emotion


def emotion_tree(form: str, conversation: dict, training: bool) -> Node:
    """behind: the question behind each line; twice: behind each line of a second reading; joint: the same, and in
    training whether this utterance, the one before it and the one before that caused its emotion; repeated: each line
    again in a branch of its own behind the whole conversation."""
    if form == "twice" or (form == "joint" and not training):
        return emotion.tree(conversation, training)
    utterances = conversation["conversation"]
    lines, instruction = [emotion.line(u) for u in utterances], emotion.tree(conversation).text
    emotions = tuple(f" {label}" for label in ECF)
    questions = [Node(" Emotion:", Question(emotions, f" {u['emotion']}" if training else None)) for u in utterances]
    if form == "joint":
        gold = {u["utterance_ID"]: () for u in utterances} | causes_of(conversation)
        ids = [u["utterance_ID"] for u in utterances]
        branches = {}
        for k, question in enumerate(questions):
            answers = {back: cause.ANSWERS[ids[k - back] in gold[ids[k]]] for back in range(min(3, k + 1))}
            asked = [Node(str(back), Question(cause.ANSWERS, answer)) for back, answer in answers.items()]
            branches[len(lines) + k] = [question, Node(" Cause:", children=asked)]
        return chain(instruction, lines + lines, branches)
    if form == "behind":
        return chain(instruction, lines, {k: [q] for k, q in enumerate(questions)})
    branches = [Node(f"\n{line}", children=[q]) for line, q in zip(lines, questions)]
    return chain(instruction, lines, {len(lines) - 1: branches})


@command("benchmarks.accuracy.forms")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for what cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("emotion", "cause"))
    parser.add_argument("form", choices=("behind", "twice", "joint", "repeated"))
    parser.add_argument("--data", default="input/ecf")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=int, default=0)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--accumulate", type=int, default=3)
    parser.add_argument("--budget", type=int, default=512)
    parser.add_argument("--text-epochs", type=float, default=0, help="first so many on the words alone")
    parser.add_argument("--full", action="store_true", help="train all weights")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--out", required=True)
    a = parser.parse_args(argv)
    folder = Path(a.out)
    if (folder / "arguments.json").is_file() and read_json(folder / "arguments.json") != vars(a):
        raise SystemExit(
            f"benchmarks.accuracy.forms: {folder} holds another trial (arguments.json): give another --out"
        )
    splits = {name: load_conversations(Path(a.data) / name) for name in ("train", "val")}
    write_json(vars(a), folder / "arguments.json")
    if a.task == "emotion":

        def tree(c, training):
            return emotion_tree(a.form, c, training)
    else:

        def tree(c, training):
            return cause.candidates_tree(c, training)

    model, tokenizer = load_model(precision="float32" if a.full else "auto")  # autocast computes in bfloat16
    set_seed(a.seed)
    if not a.full or a.text_epochs:
        model = add_lora(model, a.rank, a.alpha or a.rank, 0.0, "all-linear")
    taught = splits["train"][: a.limit]
    rows = encode_trees([tree(c, True) for c in taught], names_of(taught), tokenizer, 8192, True)
    if a.form == "joint":  # an answer about causes weighs a third: the others count three times
        of_causes = {encode(tokenizer, answer)[0] for answer in cause.ANSWERS}
        for row in rows:
            row.weights = [1.0 if token in of_causes else 3.0 for _, token in row.targets]
    rows = pack_rows([row for row in rows if row.targets], a.budget, a.seed)
    tokens = sum(map(len, rows))
    print(f"{tokens} tokens an epoch in {len(rows)} rows, {model.dtype}", flush=True)
    settings = TrainingSettings(
        a.rate,
        a.epochs,
        gradient_accumulation=a.accumulate,
        seed=a.seed,
        compile=a.compile,
        precision=Config().training("emotion").precision,
    )
    start = time.time()
    if a.text_epochs:
        read = [*taught, *load_conversations(Path(a.data) / "unlabelled")[: a.limit]]
        texts = text_rows([emotion.text(c) for c in read], names_of(read), tokenizer, 8192)
        texts = pack_rows([row for row in texts if row.targets], 384, a.seed)
        first = replace(settings, learning_rate=Config.text_learning_rate, epochs=a.text_epochs)
        train(model, tokenizer, texts, first, folder / "text")
        if a.full:  # the words by an adapter, the labels by all weights
            model = model.merge_and_unload()
        start = time.time()
    if a.full:
        model.requires_grad_(True)
    train(model, tokenizer, rows, settings, folder)
    took = time.time() - start
    print(f"{tokens * a.epochs / took:.0f} tokens/s", flush=True)
    if not a.full:
        save_adapter(model, folder / "adapter", "smollm2-135m-instruct")
        model = adapter_in_compute_type(model)
    model.eval()
    gold = splits["val"]
    scores = score_trees(model, tokenizer, [tree(c, False) for c in gold], names_of(gold), 512, 8192)
    result = {"arguments": vars(a), "seconds": took, "tokens": tokens}
    if a.task == "emotion":
        tables = [emotion.read(c, s)[1] for c, s in zip(gold, scores)]
        right = [
            table[k][ECF.index(u["emotion"])] for c, table in zip(gold, tables) for k, u in enumerate(c["conversation"])
        ]
        result |= {"loss": -sum(map(math.log, right)) / len(right), "val": {}}
        print("loss", result["loss"])
        for adjustment in (0, 0.2, 0.4, 0.6):
            prior = emotion.prior_scores(emotion.counts(splits["train"]), adjustment)
            labelled = [emotion.read(c, s, prior)[0] for c, s in zip(gold, scores)]
            found = emotion_scores(gold, labelled)
            found["rule's pairs"] = pair_scores(gold, [baselines.rule(c) for c in labelled], 2)["weighted_f1"]
            result["val"][adjustment] = found
            print(adjustment, {k: v for k, v in found.items() if isinstance(v, float)})
    else:
        for t in (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5):
            paired = [cause.read_candidates(c, s, t)[0] for c, s in zip(gold, scores)]
            print(t, pair_scores(gold, paired, 2)["weighted_f1"])
    result["scores"] = {c["conversation_ID"]: s for c, s in zip(gold, scores)}
    (folder / "scores.json").write_text(json.dumps(result))
    for stage in (folder / "text", folder / "checkpoints"):
        shutil.rmtree(stage, ignore_errors=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
