"""Many questions of one conversation in one pass, beside a pass for each: ten wordings, and one question a label.

    python -m benchmarks.speed.wordings        # writes benchmarks/results/wordings.json; about ten minutes

The embedded model without an adapter scores the same conversations both ways, taking turns, `--runs` times, in one
process. Both ways are this repository's one pass a conversation: what is compared is whether ten wordings (or seven
labels) share it. Where one row would be so long that its attention costs more than it saves, it is a few
(utils.engine.branches.shared): "rows" counts them. "difference" is the largest one between the two ways'
log-probabilities. Without `input/ecf` the sample conversations are scored.
"""

import argparse
import os
from pathlib import Path

import psutil
from tqdm import tqdm

from benchmarks import RESULTS
from benchmarks.speed.measure import now, summary
from utils.config import Config
from utils.data.conversations import Conversation, load_conversations, names_of
from utils.data.labels import ECF
from utils.engine.branches import apart, shared
from utils.engine.inference import score_trees
from utils.engine.prefix_tree import Node, TreeEncoder
from utils.models.load import load_model
from utils.record.provenance import revision, versions
from utils.system.command import command, positive
from utils.system.files import read_json, write_json
from utils.system.places import ROOT
from utils.tasks.wordings import in_wording

WAYS = ("one pass", "a pass each")


def in_ten_wordings(task: str, conversation: Conversation) -> list[Node]:
    """The tree of each wording that training draws from: ten."""
    asked = Config(prompts="twelve").task(task)
    return [in_wording(asked, name).tree(conversation) for name in asked.pool.learnt]


def a_label_each(conversation: Conversation) -> list[Node]:
    """The tree of `targets: multi`, once for each label, with that label's questions alone."""

    def only(node, label):
        kept = [child for child in node.children if child.question is None or child.text == f" {label}?"]
        return Node(node.text, node.question, [only(child, label) for child in kept])

    whole = Config(targets="multi").task("emotion").tree(conversation)
    return [only(whole, label) for label in ECF]


QUESTIONS = {
    "emotions in ten wordings": lambda c: in_ten_wordings("emotion", c),
    "causes in ten wordings": lambda c: in_ten_wordings("cause", c),
    "a yes/no question for each of seven labels": a_label_each,
}


def measured(model, tokenizer, conversations: list[Conversation], trees_of, runs: int, bar) -> dict:
    """Seconds and tokens of both WAYS, the ratio of the medians, and the largest difference of their scores."""
    names, config = names_of(conversations), Config()

    def score(trees, of):
        return score_trees(model, tokenizer, trees, of, config.token_budget, config.max_row_tokens)

    each, encode = [trees_of(c) for c in conversations], TreeEncoder(tokenizer)
    parts = [(name, *one) for name, trees in zip(names, each) for one in shared(trees, encode, config.max_row_tokens)]
    together = [tree for _, _, tree, _ in parts]
    count, seconds = len(each[0]), {way: [] for way in WAYS}
    for _ in range(runs):
        start = now()
        scores = score(together, [name for name, *_ in parts])
        seconds[WAYS[0]].append(now() - start)
        start = now()
        alone = [score([trees[number] for trees in each], names) for number in range(count)]
        seconds[WAYS[1]].append(now() - start)
        bar.update()
    found = [
        [one for (_, numbers, _, places), its in zip(parts, scores) for one in apart(its, places, len(numbers))],
        [one[item] for item in range(len(each)) for one in alone],
    ]
    flat = [[p for tree in trees for question in tree for p in question] for trees in found]
    tokens = [sum(len(encode(tree, False)) for tree in trees) for trees in (together, [t for one in each for t in one])]
    medians = {way: summary(seconds[way]) for way in WAYS}
    return {
        "seconds": medians,
        "tokens": dict(zip(WAYS, tokens)),
        "rows": dict(zip(WAYS, (len(together), count * len(each)))),
        "ratio": medians[WAYS[1]]["median"] / medians[WAYS[0]]["median"],
        "difference": max(abs(one - other) for one, other in zip(*flat, strict=True)),
    }


def table(result: dict) -> str:
    """The table of what `main` wrote: a line a kind of questions."""
    lines = ["| | one pass | a pass each | tokens | times faster |", "|---|---|---|---|---|"]
    for name, one in result["questions"].items():
        cells = [f"{one['seconds'][way]['median']:.1f} s" for way in WAYS]
        cells.append(" and ".join(f"{one['tokens'][way]:,}" for way in WAYS))
        lines.append(f"| {name} | {' | '.join(cells)} | {one['ratio']:.1f} |")
    return "\n".join(lines)


@command("benchmarks.speed.wordings")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for what cannot be used."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--conversations", type=positive, default=8, help="to score (default: %(default)s)")
    parser.add_argument("--runs", type=positive, default=3, help="of both ways (default: %(default)s)")
    parser.add_argument("--model", default=Config.model, help="default: %(default)s")
    parser.add_argument("--result", type=Path, default=RESULTS / "wordings.json")
    arguments = parser.parse_args(argv)
    ecf = ROOT / "input" / "ecf" / "test"
    source = ecf if ecf.is_dir() else ROOT / "data" / "sample"
    conversations = load_conversations(source, labelled=True)[: arguments.conversations]
    model, tokenizer = load_model(arguments.model, precision="float32")
    model.eval()
    with tqdm(total=arguments.runs * len(QUESTIONS), unit="run") as bar:
        found = {
            name: measured(model, tokenizer, conversations, trees_of, arguments.runs, bar)
            for name, trees_of in QUESTIONS.items()
        }
    write_json(
        {
            "command": f"python -m benchmarks.speed.wordings --conversations {arguments.conversations} "
            f"--runs {arguments.runs}",
            "revision": revision(),
            "versions": versions(),
            "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
            "model": Path(arguments.model).name,
            "data": source.relative_to(ROOT).as_posix(),
            "conversations": len(conversations),
            "questions": found,
        },
        arguments.result,
    )
    print(table(read_json(arguments.result)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
