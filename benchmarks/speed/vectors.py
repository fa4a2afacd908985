"""One pass with vectors of sound beside one sequence a question with the same vectors: scored, and trained.

    python -m benchmarks.speed.vectors        # writes benchmarks/results/vectors_speed.json; about ten minutes

The embedded model with a fresh adapter and a projector reads conversations whose utterances all have a made vector of
1,024 numbers, as HuBERT's are. One way asks all questions of a conversation in one tree. The other asks each in a tree
of its own, the path of its question, with the same vectors on it; these fill rows as well. The ways take turns,
`--runs` times, in one process. Training is a forward and a backward pass over all rows. "difference" is the largest one
between the two ways' log-probabilities. Without `input/ecf` the sample conversations are read.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from tqdm import tqdm

from benchmarks import RESULTS
from benchmarks.accuracy.planted import named
from benchmarks.speed.measure import now, summary
from utils.config import Config
from utils.data.conversations import Conversation, load_conversations
from utils.data.features import Stream, utterances_of
from utils.engine.inference import score_trees
from utils.engine.prefix_tree import Node, model_inputs
from utils.engine.rows import encode_trees, pack_rows
from utils.models.adapters import add_adapter
from utils.models.load import load_model
from utils.models.projector import active_projector
from utils.record.fit import project, training_rows
from utils.record.provenance import revision, versions
from utils.system.command import command, positive
from utils.system.files import read_json, write_json
from utils.system.places import ROOT
from utils.tasks.senses import sensing

WAYS, TASKS, PHASES = ("one pass", "a sequence each"), ("emotion", "cause"), ("scoring", "training")
STREAM, WIDTH = "made", 1024


def heard(conversations: list[Conversation]) -> Stream:
    """A vector for each utterance of conversations that are `named`."""
    rng = np.random.default_rng(1)
    vectors = {u["video_name"]: rng.normal(size=(1, WIDTH)).astype(np.float32) for u in utterances_of(conversations)}
    return Stream(STREAM, Path("made"), vectors)


def alone(root: Node) -> list[Node]:
    """The path of each question of a tree, in the order of its row."""
    found, waiting = [], [(root, list[Node]())]
    while waiting:
        node, above = waiting.pop()
        if node.question is not None:
            path = Node(node.text, node.question, vectors=node.vectors)
            for one in reversed(above):
                path = Node(one.text, None, [path], vectors=one.vectors)
            found.append(path)
        waiting += [(child, [*above, node]) for child in reversed(node.children)]
    return found


def loaded(config: Config, task: Any, conversations: list[Conversation]) -> tuple[Any, Any]:
    """(model, tokenizer), with an adapter and a projector, whose weights are random."""
    model, tokenizer = load_model(config.model, "none", "float32")
    torch.manual_seed(1)
    model = add_adapter(model, gradient_checkpointing=False, **config.adapter_settings(task.opening))
    project(model, training_rows(task, conversations, tokenizer, config), config)
    for parameter in active_projector(model).parameters():  # pyright: ignore[reportOptionalMemberAccess]
        torch.nn.init.normal_(parameter, std=0.01)
    return model.eval(), tokenizer


def measured(config: Config, name: str, conversations: list[Conversation], runs: int, bar) -> dict:
    """{"questions", "difference", "tokens": {way: those of scoring}, phase: {"seconds": {way: summary}, "ratio"}}."""
    task: Any = sensing(config.task(name), {STREAM: heard(conversations)})
    model, tokenizer = loaded(config, task, conversations)
    forms = {train: [task.tree(c, train) for c in conversations] for train in (False, True)}
    trees = {(WAYS[0], train): its for train, its in forms.items()}
    trees |= {(WAYS[1], train): [path for tree in its for path in alone(tree)] for train, its in forms.items()}
    rows = {
        key: encode_trees(its, [""] * len(its), tokenizer, config.max_row_tokens, train=key[1])
        for key, its in trees.items()
    }

    def score(way):
        its = trees[way, False]
        return score_trees(model, tokenizer, its, [""] * len(its), config.token_budget, config.max_row_tokens)

    def learn(way):
        for row in pack_rows(rows[way, True], config.token_budget, config.seed):
            model(**model_inputs(row, row.targets), use_cache=False).loss.backward()
        model.zero_grad()

    seconds: dict = {phase: {way: [] for way in WAYS} for phase in PHASES}
    scores: dict = {}
    for _ in range(runs):
        for way in WAYS:
            start = now()
            scores[way] = [p for tree in score(way) for question in tree for p in question]
            seconds["scoring"][way].append(now() - start)
            start = now()
            learn(way)
            seconds["training"][way].append(now() - start)
        bar.update()
    pairs = zip(*scores.values(), strict=True)
    found: dict = {
        "questions": len(trees[WAYS[1], False]),
        "difference": max(abs(one - other) for one, other in pairs),
        "tokens": {way: sum(map(len, rows[way, False])) for way in WAYS},
    }
    for phase, by_way in seconds.items():
        medians = {way: summary(its) for way, its in by_way.items()}
        found[phase] = {"seconds": medians, "ratio": medians[WAYS[1]]["median"] / medians[WAYS[0]]["median"]}
    return found


def table(result: dict) -> str:
    """The table of what `main` wrote: a line a task and phase."""
    lines = ["| | one pass | a sequence each | times faster |", "|---|---|---|---|"]
    for task, one in result["tasks"].items():
        for phase in PHASES:
            cells = [f"{one[phase]['seconds'][way]['median']:.1f} s" for way in WAYS]
            lines.append(f"| {phase}, {task}s | {' | '.join(cells)} | {one[phase]['ratio']:.1f} |")
    return "\n".join(lines)


@command("benchmarks.speed.vectors")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for what cannot be used."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--conversations", type=positive, default=8, help="default: %(default)s")
    parser.add_argument("--runs", type=positive, default=3, help="of both ways (default: %(default)s)")
    parser.add_argument("--model", default=Config.model, help="default: %(default)s")
    parser.add_argument("--result", type=Path, default=RESULTS / "vectors_speed.json")
    a = parser.parse_args(argv)
    ecf = ROOT / "input" / "ecf" / "test"
    source = ecf if ecf.is_dir() else ROOT / "data" / "sample"
    conversations = named(load_conversations(source, labelled=True)[: a.conversations])
    config = Config(model=a.model, streams=[STREAM], quantization="none", precision="float32")
    with tqdm(total=a.runs * len(TASKS), unit="run") as bar:
        found = {name: measured(config, name, conversations, a.runs, bar) for name in TASKS}
    record = {
        "command": f"python -m benchmarks.speed.vectors --conversations {a.conversations} --runs {a.runs}",
        "revision": revision(),
        "versions": versions(),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "load": psutil.getloadavg()[0],
        "model": Path(a.model).name,
        "data": source.relative_to(ROOT).as_posix(),
        "conversations": len(conversations),
        "tasks": found,
    }
    write_json(record, a.result)
    print(table(read_json(a.result)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
