"""Which form of answer finds causes better, one question a candidate or a list of ids, and what do trees on structure
(utils/structure.py) add? Scored on the val split.

    python -m utils.chain configs/smollm2-135m.yaml                      # form: candidates
    python -m utils.chain configs/smollm2-135m.yaml -p run_name ecf-list -p cause_form list
    python -m benchmarks.cause_forms smollm2-135m-ecf ecf-list

Both runs' cause adapters get the same emotions: gold ones, and those that the first run's emotion adapter predicts
(the other runs may lack one). The candidates' probabilities, of the adapter, of the trees beside it and of both, are
cut at several thresholds, and for predicted emotions also once multiplied by the emotion's. Writes
benchmarks/cause_forms.json; results_train/ stays as it is.
"""

import argparse
from functools import partial
from itertools import product
from pathlib import Path

from utils.data.conversations import load_conversations, names_of, with_pairs
from utils.engine.inference import score_trees
from utils.models.adapters import load_adapter
from utils.models.load import load_model
from utils.record.adapter import emotion_prior, trained_with
from utils.record.provenance import revision
from utils.report.metrics import emotion_scores, pair_scores
from utils.runs import ROOT
from utils.system.files import write_json
from utils.tasks import cause_structure
from utils.tasks.ask import predict_causes, predict_emotions
from utils.tasks.baselines import rule
from utils.tasks.cause import candidates_tree, read_candidates

THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)


def load(adapter: Path):
    """(model with the adapter, tokenizer, the parameters that it was trained with)."""
    config = trained_with(adapter)
    model, tokenizer = load_model(config.model, config.quantization, config.precision)
    return load_adapter(model, adapter, config.model), tokenizer, config


def above(conversations: list[dict], tables: list[dict], threshold: float) -> list[dict]:
    """The conversations with the candidates whose probability in `tables` reaches `threshold` as their pairs."""
    found = []
    for c, table in zip(conversations, tables, strict=True):
        emotions = {u["utterance_ID"]: u["emotion"] for u in c["conversation"]}
        triples = [(i, emotions[i], j) for i, row in table.items() for j, p in row.items() if p >= threshold]
        found.append(with_pairs(c, triples))
    return found


def candidate_ways(run, adapter, model, tokenizer, config, given, sure) -> dict:
    """{name: threshold -> conversations with pairs}. sure: the emotions' probabilities, or None for each conversation
    where they are gold."""
    trees = [candidates_tree(c) for c in given]
    answers = score_trees(model, tokenizer, trees, names_of(given), config.token_budget, config.max_row_tokens)
    grown = cause_structure.load(adapter)
    odds = [grown.log_odds(c) for c in given] if grown else [None] * len(given)
    alone = [[[0.0, one] for one in some or []] for some in odds]

    def cut(scores, odds, sure):
        return lambda threshold: [
            read_candidates(c, one, threshold, some, table)[0]
            for c, one, some, table in zip(given, scores, odds, sure, strict=True)
        ]

    nothing = [None] * len(given)
    parts = {"adapter": (answers, nothing)} | ({"trees": (alone, nothing), "both": (answers, odds)} if grown else {})
    ways = {f"{run}, {name}": cut(*part, nothing) for name, part in parts.items()}
    return ways | {f"{run}, {name}, x P(emotion)": cut(*part, sure) for name, part in parts.items() if any(sure)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="run names in results_train/; the first must have both adapters")
    runs = parser.parse_args().runs
    adapters = {name: ROOT / "results_train" / name / "adapters" for name in runs}

    model, tokenizer, config = load(adapters[runs[0]] / "emotion")
    gold = load_conversations(ROOT / config.input_dir / "val", labelled=True)
    prior = emotion_prior(adapters[runs[0]] / "emotion", config.logit_adjustment)
    predicted, tables = predict_emotions(model, tokenizer, gold, prior=prior, **config.inference())
    emotions = {"gold emotions": gold, "predicted emotions": predicted}
    result = {"revision": revision(), "split": f"{config.input_dir}/val", "emotions": emotion_scores(gold, predicted)}

    result["rule"] = {name: pair_scores(gold, [rule(c) for c in given], 2) for name, given in emotions.items()}
    for run in runs:
        model, tokenizer, config = load(adapters[run] / "cause")
        for name, given in emotions.items():
            sure = tables if name == "predicted emotions" else [None] * len(given)
            if config.cause_form == "list":
                paired, found = predict_causes(model, tokenizer, given, config.cause_form, **config.inference())
                result.setdefault(f"{run}, likeliest list", {})[name] = pair_scores(gold, paired, 2)
                ways = {f"{run}, list": partial(above, given, found)}
            else:
                ways = candidate_ways(run, adapters[run] / "cause", model, tokenizer, config, given, sure)
            for (way, cut), threshold in product(ways.items(), THRESHOLDS):
                result.setdefault(f"{way} from {threshold}", {})[name] = pair_scores(gold, cut(threshold), 2)
    write_json(result, ROOT / "benchmarks" / "cause_forms.json")
    for row, scores in result.items():
        if row == "rule" or row.startswith(tuple(runs)):
            figures = "  ".join(f"{name} {one['weighted_f1']:.4f} {one['f1_pair']:.4f}" for name, one in scores.items())
            print(f"{row:55} weighted F1, F1: {figures}")


if __name__ == "__main__":
    main()
