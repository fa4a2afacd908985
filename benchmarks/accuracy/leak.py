"""A cross-validation that leaks, beside one that does not: what a fold's score means if it starts from the last one's
weights.

    python -m benchmarks.accuracy.leak                     # 40 conversations of the sample, 5 folds

    fresh      each fold starts from the base model, as `folds` of a study do (docs/studies.md)
    continued  each fold starts from the last fold's weights, which were trained on its held-out part: the mistake

Both learn the emotions of the same conversations in the same folds and steps, and both score each fold's held-out part
and a test that no fold is trained on. Leaking lifts the held-out accuracy from fold to fold, and test does not follow.
Writes benchmarks/results/leak.json.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks import RESULTS
from utils.config import Config, load_config
from utils.data.conversations import Conversation, load_conversations
from utils.data.folds import folds
from utils.data.splits import split_conversations
from utils.engine.trainer import train
from utils.models.adapters import add_adapter
from utils.models.load import load_model
from utils.record.fit import examples
from utils.record.provenance import revision, versions
from utils.record.samples import nested
from utils.report.metrics import emotion_scores
from utils.system.command import command, positive
from utils.system.files import write_json
from utils.system.places import ROOT
from utils.tasks.ask import predict

WAYS = {"fresh": False, "continued": True}


def validate(config: Config, parts: list[list[Conversation]], test: list[Conversation], goes_on: bool) -> list[dict]:
    """For each of the parts, trained on the others: {"held_out": accuracy on it, "test": accuracy on `test`}. With
    `goes_on` from the weights that the part before left."""
    from transformers import set_seed

    task, found, model, tokenizer = config.task("emotion"), [], None, None
    for part in parts:
        set_seed(config.seed)
        if model is None or not goes_on:
            model, tokenizer = load_model(config.model, config.quantization, config.precision)
            model = add_adapter(model, gradient_checkpointing=False, **config.adapter_settings())
        others = [c for other in parts if other is not part for c in other]
        rows = examples(task, others, tokenizer, config)
        with tempfile.TemporaryDirectory() as folder:
            train(model, tokenizer, rows, config.training("emotion"), Path(folder))
        model.eval()
        labelled = {
            name: predict(task, model, tokenizer, some, config.inference())[0]
            for name, some in (("held_out", part), ("test", test))
        }
        found.append(
            {
                "held_out": emotion_scores(part, labelled["held_out"])["accuracy"],
                "test": emotion_scores(test, labelled["test"])["accuracy"],
            }
        )
        print(f"fold {len(found)}: held out {found[-1]['held_out']:.3f}, test {found[-1]['test']:.3f}", flush=True)
    return found


def table(record: dict) -> str:
    """The accuracy of every fold, held out and on test, in Markdown."""
    count = len(record["fresh"])
    lines = ["| |" + "".join(f" fold {k} |" for k in range(1, count + 1)), "|---" * (count + 1) + "|"]
    for way in WAYS:
        for part, name in (("held_out", "held out"), ("test", "test")):
            lines.append(f"| {way}, {name} |" + "".join(f" {one[part]:.3f} |" for one in record[way]))
    return "\n".join(lines)


@command("benchmarks.accuracy.leak")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data/sample", help="labelled conversations")
    parser.add_argument("--conversations", type=positive, default=40, help="how many, a quarter of them for the test")
    parser.add_argument("--folds", type=positive, default=5)
    parser.add_argument("--epochs", type=float, default=2.0, help="of each fold")
    parser.add_argument("--model", default=None, help="default: that of configs/smollm2-135m.yaml")
    parser.add_argument("--result", type=Path, default=RESULTS / "leak.json")
    a = parser.parse_args(argv)
    given = load_config(ROOT / "configs/smollm2-135m.yaml") | {"compile": False, "emotion_epochs": a.epochs}
    config = Config.of(given | ({"model": a.model, "precision": "float32"} if a.model else {}))
    some = nested(load_conversations(a.data, labelled=True), a.conversations, config.seed, a.data)
    split = split_conversations(some, (0.75, 0, 0.25), config.seed)
    parts = folds(split["train"], a.folds, seed=config.seed, source=a.data)
    found = {}
    for way, goes_on in WAYS.items():
        print(f"{way}:", flush=True)
        found[way] = validate(config, parts, split["test"], goes_on)
    about = {"data": a.data.name, "conversations": len(some), "test conversations": len(split["test"])}
    about |= {"epochs": a.epochs, "model": Path(config.model).name, "revision": revision(), "versions": versions()}
    write_json({**about, **found}, a.result)
    print(table(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
