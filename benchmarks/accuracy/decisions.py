"""How much of the labels' log frequency to take off (`logit_adjustment`), scored on the val split.

    python -m benchmarks.logit_adjustment smollm2-135m-ecf

The run's emotion adapter scores the split once, and each strength reads the same scores. Causes come from the rule, so
that the pairs show what the emotions alone change. Writes benchmarks/logit_adjustment.json.
"""

import argparse

from utils.data.conversations import load_conversations, names_of
from utils.engine.inference import score_trees
from utils.models.adapters import load_adapter
from utils.models.load import load_model
from utils.record.adapter import trained_with
from utils.record.provenance import revision
from utils.report.metrics import emotion_scores, pair_scores
from utils.runs import ROOT
from utils.system.files import read_json, write_json
from utils.tasks import baselines, emotion

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="run name in results_train/")
    run = parser.parse_args().run
    adapter = ROOT / "results_train" / run / "adapters" / "emotion"
    config = trained_with(adapter)
    model, tokenizer = load_model(config.model, config.quantization, config.precision)
    model = load_adapter(model, adapter, config.model).eval()
    gold = load_conversations(ROOT / config.input_dir / "val", labelled=True)
    trees = [emotion.tree(c) for c in gold]
    scores = score_trees(model, tokenizer, trees, names_of(gold), config.token_budget, config.max_row_tokens)

    seen = read_json(adapter / "training.json")["emotions"]
    result = {"run": run, "revision": revision(), "split": f"{config.input_dir}/val", "strengths": {}}
    print("strength  accuracy  weighted F1  macro F1  pairs by the rule: weighted F1, F1")
    for strength in STRENGTHS:
        prior = emotion.prior_scores(seen, strength)
        labelled = [emotion.read(c, one, prior)[0] for c, one in zip(gold, scores)]
        pairs = pair_scores(gold, [baselines.rule(c) for c in labelled], 2)
        figures = {name: v for name, v in emotion_scores(gold, labelled).items() if isinstance(v, float)}
        result["strengths"][strength] = figures | {"pairs": pairs}
        row = [figures[name] for name in ("accuracy", "weighted_f1", "macro_f1")]
        print(f"{strength:8}", *(f"{v:9.4f}" for v in [*row, pairs["weighted_f1"], pairs["f1_pair"]]))
    write_json(result, ROOT / "benchmarks" / "logit_adjustment.json")


if __name__ == "__main__":
    main()
