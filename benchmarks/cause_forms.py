"""Which form of answer finds causes better: one question a candidate, or a list of ids? Scored on the val split.

    python -m utils.chain configs/smollm2-135m.yaml                      # form: candidates
    python -m utils.chain configs/smollm2-135m.yaml -p run_name ecf-list -p cause_form list
    python -m benchmarks.cause_forms smollm2-135m-ecf ecf-list

Both runs' cause adapters get the same emotions: gold ones, and those that the first run's emotion adapter predicts
(the other runs may lack one). The candidates' probabilities are cut at several thresholds. Writes
benchmarks/cause_forms.json; results_train/ stays as it is.
"""

import argparse
from pathlib import Path

from utils.cause import rule
from utils.conversations import load_conversations, with_pairs, write_json
from utils.inference import predict_causes, predict_emotions
from utils.metrics import emotion_scores, pair_scores
from utils.modeling import load_adapter, load_model
from utils.predict import trained_with
from utils.runs import ROOT, emotion_prior, revision

THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)


def load(adapter: Path):
    """(model with the adapter, tokenizer, the parameters that it was trained with)."""
    config = trained_with(adapter)
    model, tokenizer = load_model(config.model, config.quantization, config.precision)
    return load_adapter(model, adapter, config.model), tokenizer, config


def above(threshold: float, conversation: dict, table: dict) -> dict:
    """The conversation with the candidates whose probability reaches `threshold` as its pairs."""
    emotions = {u["utterance_ID"]: u["emotion"] for u in conversation["conversation"]}
    return with_pairs(
        conversation, [(i, emotions[i], c) for i, row in table.items() for c, p in row.items() if p >= threshold]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="run names in results_train/; the first must have both adapters")
    runs = parser.parse_args().runs
    adapters = {name: ROOT / "results_train" / name / "adapters" for name in runs}

    model, tokenizer, config = load(adapters[runs[0]] / "emotion")
    gold = load_conversations(ROOT / config.input_dir / "val", labelled=True)
    prior = emotion_prior(adapters[runs[0]] / "emotion", config.logit_adjustment)
    predicted, _ = predict_emotions(model, tokenizer, gold, prior=prior, **config.inference())
    emotions = {"gold emotions": gold, "predicted emotions": predicted}
    result = {"revision": revision(), "split": f"{config.input_dir}/val", "emotions": emotion_scores(gold, predicted)}

    result["rule"] = {name: pair_scores(gold, [rule(c) for c in given], 2) for name, given in emotions.items()}
    for run in runs:
        model, tokenizer, config = load(adapters[run] / "cause")
        for name, given in emotions.items():
            paired, tables = predict_causes(model, tokenizer, given, config.cause_form, **config.inference())
            if config.cause_form == "list":
                result.setdefault(f"{run}, likeliest list", {})[name] = pair_scores(gold, paired, 2)
            for threshold in THRESHOLDS:
                paired = [above(threshold, c, table) for c, table in zip(given, tables)]
                row = f"{run}, {config.cause_form} from {threshold}"
                result.setdefault(row, {})[name] = pair_scores(gold, paired, 2)
    write_json(result, ROOT / "benchmarks" / "cause_forms.json")
    for row, scores in result.items():
        if row == "rule" or row.startswith(tuple(runs)):
            figures = "  ".join(f"{name} {one['weighted_f1']:.4f} {one['f1_pair']:.4f}" for name, one in scores.items())
            print(f"{row:45} weighted F1, F1: {figures}")


if __name__ == "__main__":
    main()
