"""What a machine and 4-bit weights change: log-probabilities and labels of the embedded model, with 1 and 2 threads,
without and with NF4, on 8 sample conversations.

    python -m benchmarks.four_bit        # writes benchmarks/four_bit.json; two minutes on two CPU cores

Every figure compares two computations of the same scores: the largest difference between two log-probabilities, and
how many emotions (of all utterances) and causes (of all candidates, a cause from the default threshold on) change.
Where there is a GPU, it is compared with the CPU.
"""

import platform
import sys
from pathlib import Path

import torch

from utils import cause, emotion, modeling
from utils.config import Config
from utils.conversations import load_conversations, pairs, write_json
from utils.inference import score_trees
from utils.runs import ROOT, revision, versions
from utils.training import names_of


def scores(conversations, quantization, place, threads):
    """{"emotions": ..., "causes": ...}: the log-probabilities of every answer of every question."""
    torch.set_num_threads(threads)
    modeling.device = lambda: torch.device(place)
    model, tokenizer = modeling.load_model(quantization=quantization, precision="float32")
    trees = {
        "emotions": [emotion.tree(c) for c in conversations],
        "causes": [cause.candidates_tree(c) for c in conversations],
    }
    config = Config()
    return {
        task: score_trees(model, tokenizer, some, names_of(conversations), config.token_budget, config.max_row_tokens)
        for task, some in trees.items()
    }


def labels(conversations, scored):
    """Every decision: the emotion of each utterance, and whether each candidate is a cause."""
    emotions, causes = [], []
    for c, one, other in zip(conversations, scored["emotions"], scored["causes"]):
        emotions += [u["emotion"] for u in emotion.read(c, one)[0]["conversation"]]
        paired, table = cause.read_candidates(c, other, Config().cause_threshold)
        named = {(i, k) for i, _, k in pairs(paired)}
        causes += [(i, k) in named for i, candidates in table.items() for k in candidates]
    return {"emotions": emotions, "causes": causes}


def flat(nested):
    return [number for part in nested for number in flat(part)] if isinstance(nested, list) else [nested]


def compared(conversations, one, other):
    """The figures of one line of the result."""
    figures, before, after = {}, labels(conversations, one), labels(conversations, other)
    for task in one:
        differences = [abs(a - b) for a, b in zip(flat(one[task]), flat(other[task]), strict=True)]
        figures[task] = {
            "largest_difference": max(differences), "log_probabilities": len(differences),
            "changed_labels": sum(a != b for a, b in zip(before[task], after[task], strict=True)),
            "labels": len(before[task]),
        }
    return figures


def main():
    conversations = load_conversations(ROOT / "data" / "sample")[:8]
    made = {(quantization, threads): scores(conversations, quantization, "cpu", threads)
            for quantization in ("none", "nf4") for threads in (1, 2)}
    again = scores(conversations, "nf4", "cpu", 1)
    result = {
        "nf4, 1 thread, computed twice": compared(conversations, made["nf4", 1], again),
        "none, 1 or 2 threads": compared(conversations, made["none", 1], made["none", 2]),
        "nf4, 1 or 2 threads": compared(conversations, made["nf4", 1], made["nf4", 2]),
        "none or nf4": compared(conversations, made["none", 1], made["nf4", 1]),
    }
    machine = {"processor": platform.machine(), "avx512_bf16": torch.cpu._is_avx512_bf16_supported()}
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
        for quantization in ("none", "nf4"):
            result[f"{quantization}, CPU or GPU"] = compared(
                conversations, made[quantization, 1], scores(conversations, quantization, "cuda:0", 1))
    write_json({"command": "python -m benchmarks.four_bit", "revision": revision(), "versions": versions(),
                "machine": machine, "precision": "float32", "figures": result},
               Path(__file__).with_suffix(".json"))
    for name, figures in result.items():
        for task, one in figures.items():
            print(f"{name:<32}{task:<10}{one['largest_difference']:<10.2g}{one['changed_labels']} of {one['labels']}")


if __name__ == "__main__":
    sys.exit(main())
