"""What threads and 4-bit weights change: the embedded model's log-probabilities and labels, with 1 and 2 threads,
without and with NF4, on the emotions of 8 sample conversations.

    python -m benchmarks.exactness.four_bit     # writes benchmarks/results/four_bit.json; a minute on two CPU cores

Every line compares two computations of the same scores: the largest difference between two log-probabilities, and how
many utterances get another emotion. Where there is a GPU, it is compared with the CPU (not run yet).
"""

import platform
import sys

import torch

from benchmarks import RESULTS
from utils.config import Config
from utils.data.conversations import load_conversations, names_of
from utils.engine.inference import score_trees
from utils.models.load import load_model
from utils.record.provenance import revision, versions
from utils.system.files import write_json
from utils.system.places import ROOT
from utils.tasks.ask import search_all
from utils.tasks.emotion import Emotion


def scores(conversations, quantization, place, threads):
    """Of each conversation, utterance and emotion, the log-probability."""
    torch.set_num_threads(threads)
    model, tokenizer = load_model(quantization=quantization, precision="float32", place=torch.device(place))
    trees = [Emotion().tree(c) for c in conversations]
    return score_trees(model, tokenizer, trees, names_of(conversations), Config().token_budget, 4096)


def labels(conversations, scored):
    """The emotion of every utterance."""
    labelled, _ = search_all(Emotion(), conversations, lambda *_: scored)
    return [u["emotion"] for c in labelled for u in c["conversation"]]


def compared(conversations, one, other):
    """The figures of one line of the result."""
    pairs = [(a, b) for c, d in zip(one, other) for u, v in zip(c, d) for a, b in zip(u, v)]
    before, after = labels(conversations, one), labels(conversations, other)
    return {
        "log_probabilities": len(pairs),
        "largest_difference": max(abs(a - b) for a, b in pairs),
        "labels": len(before),
        "changed_labels": sum(a != b for a, b in zip(before, after)),
    }


def main():
    conversations = load_conversations(ROOT / "data" / "sample")[:8]
    made = {
        (quantization, threads): scores(conversations, quantization, "cpu", threads)
        for quantization in ("none", "nf4")
        for threads in (1, 2)
    }
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
                conversations, made[quantization, 1], scores(conversations, quantization, "cuda:0", 1)
            )
    write_json(
        {
            "command": "python -m benchmarks.exactness.four_bit",
            "revision": revision(),
            "versions": versions(),
            "machine": machine,
            "precision": "float32",
            "figures": result,
        },
        RESULTS / "four_bit.json",
    )
    for name, one in result.items():
        print(f"{name:<34}{one['largest_difference']:<10.2g}{one['changed_labels']} of {one['labels']}")


if __name__ == "__main__":
    sys.exit(main())
