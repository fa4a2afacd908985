"""Does an exported model give the adapter's labels? Both adapters of a run on 20 sample conversations, in every form of
the weights, as files for transformers and for llama.cpp.

    pip install llama-cpp-python                          # compiled for minutes
    python -m benchmarks.exactness.export smollm2-135m-ecf    # writes benchmarks/results/export.json; minutes

Emotions are read with the run's logit adjustment; causes, which are asked about the gold emotions, at its threshold. A
decision is an utterance's emotion, or whether a candidate is a cause by the model alone, without the trees beside it.
Every line counts the decisions that differ from those of the adapter on its base model in float32.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import RESULTS
from utils.data.conversations import load_conversations, names_of, pairs
from utils.engine.inference import score_trees
from utils.engine.llama_cpp import gguf_scores, load_gguf
from utils.engine.rows import encode_trees
from utils.export import TYPES, export, merge
from utils.models.adapters import load_adapter
from utils.models.gguf import GGUF_TYPES, write_gguf
from utils.models.load import load_model
from utils.record.adapter import trained_with
from utils.record.predictions import run_folder
from utils.record.provenance import revision, versions
from utils.system.command import command
from utils.system.errors import RunError
from utils.system.files import write_json
from utils.system.hardware import PRECISIONS
from utils.system.places import ROOT
from utils.tasks.ask import search_all
from utils.tasks.candidates import asked
from utils.tasks.cause import Cause


def decisions(task, conversations, scores):
    """What is decided from the log-probabilities: an emotion for each utterance, or yes or no for each candidate."""
    labelled, _ = search_all(task, conversations, lambda *_: scores)
    if not isinstance(task, Cause):
        return [u["emotion"] for c in labelled for u in c["conversation"]]
    found = [set(pairs(c)) for c in labelled]
    return [
        (u["utterance_ID"], u["emotion"], other["utterance_ID"]) in there
        for c, there in zip(conversations, found)
        for i, j in asked(c)
        for u, other in [(c["conversation"][i], c["conversation"][j])]
    ]


def forms(task, adapter, config, conversations):
    """(form, bytes of its weights, log-probabilities): the adapter first, then every exported form."""
    trees, names = [task.tree(c) for c in conversations], names_of(conversations)

    def score(model, tokenizer):
        return score_trees(model, tokenizer, trees, names, config.token_budget, config.max_row_tokens)

    for precision in dict.fromkeys(("float32", config.precision)):
        model, tokenizer = load_model(config.model, config.quantization, precision)
        computed = next(name for name, dtype in PRECISIONS.items() if dtype == model.dtype)
        yield f"adapter, {computed}", None, score(load_adapter(model, adapter, config.model), tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        for weights in TYPES:
            written = export(adapter, Path(folder) / weights, "safetensors", weights)
            size = sum(path.stat().st_size for path in written.glob("*.safetensors"))
            yield f"safetensors, {weights}", size, score(*load_model(str(written), precision="float32"))
        model, tokenizer = merge(adapter)
        rows = encode_trees(trees, names, tokenizer, config.max_row_tokens, train=False)
        for weights in GGUF_TYPES:
            path = Path(folder) / "model.gguf"
            write_gguf(model, tokenizer, path, weights)
            llama = load_gguf(path, config.max_row_tokens)
            yield f"llama.cpp, {weights}", path.stat().st_size, [gguf_scores(llama, row) for row in rows]
            llama.close()


def task_of(name: str, adapter: Path):
    """The task as the adapter answers it, causes without the boosted trees beside it."""
    task = trained_with(adapter).task(name)
    if name == "cause":
        if not isinstance(task, Cause):
            raise RunError(f"{adapter}: it has no question a candidate; give a run with cause_form candidates")
        return task
    return task.trained(adapter)


@command("benchmarks.exactness.export")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for a run that cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="a run in results_train/ with its adapters")
    parser.add_argument("--conversations", type=int, default=20)
    arguments = parser.parse_args(argv)
    conversations = load_conversations(ROOT / "data" / "sample", labelled=True)[: arguments.conversations]
    result = {}
    for name in ("emotion", "cause"):
        adapter = run_folder(arguments.run) / "adapters" / name
        task = task_of(name, adapter)
        first, found = None, result.setdefault(name, {})
        for form, size, scores in forms(task, adapter, trained_with(adapter), conversations):
            decided = decisions(task, conversations, scores)
            first = first or (decided, scores)
            flat = [[p for one in some for question in one for p in question] for some in (first[1], scores)]
            found[form] = {
                "megabytes": size and round(size / 1e6, 1),
                "decisions": len(decided),
                "different": sum(a != b for a, b in zip(first[0], decided)),
                "largest_difference": max(abs(a - b) for a, b in zip(*flat)),
            }
            print(
                f"{name:8}{form:24}{found[form]['megabytes'] or '':>8} MB{found[form]['different']:>5} of "
                f"{len(decided)} decisions differ, log-probabilities by {found[form]['largest_difference']:.2g}",
                flush=True,
            )
    write_json(
        {
            "command": f"python -m benchmarks.exactness.export {arguments.run}",
            "revision": revision(),
            "versions": versions(),
            "conversations": len(conversations),
            "figures": result,
        },
        RESULTS / "export.json",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
