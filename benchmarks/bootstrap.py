"""Is a run better at causes than the rule on the same emotions, or by chance? A paired bootstrap over conversations
(Efron and Tibshirani 1993; Koehn 2004 for paired systems).

    python -m benchmarks.bootstrap smollm2-135m-ecf

Reads results_train/<run>/predictions.jsonl and the gold labels of the run's input; writes benchmarks/bootstrap.json.
"""

import argparse

import numpy as np
from tqdm.auto import tqdm

from utils.cause import rule
from utils.conversations import write_json
from utils.metrics import pair_scores
from utils.runs import ROOT, gold_of, read_predictions, revision

DRAWS = 1000


def weighted_f1(gold, labelled, drawn):
    """Official weighted F1 of the conversations at the positions `drawn`, with repetition."""
    gold, labelled = ([{**all_of[i], "conversation_ID": k} for k, i in enumerate(drawn)] for all_of in (gold, labelled))
    return pair_scores(gold, labelled, 2)["weighted_f1"]


def compared(gold, systems: list[tuple]) -> dict:
    """{"difference", "interval_95", "share_above_zero"} of weighted F1, over DRAWS draws of as many conversations as
    there are: `systems` holds (labelled, others), and the difference is that of `labelled` less that of `others`,
    where there are several (seeds) its mean over them."""

    def difference(drawn):
        return np.mean([weighted_f1(gold, one, drawn) - weighted_f1(gold, other, drawn) for one, other in systems])

    rng = np.random.default_rng(0)
    draws = [difference(rng.integers(0, len(gold), len(gold))) for _ in tqdm(range(DRAWS), unit="draw")]
    low, high = np.percentile(draws, [2.5, 97.5])
    return {
        "difference": float(difference(range(len(gold)))), "interval_95": [float(low), float(high)],
        "share_above_zero": float(np.mean(np.array(draws) > 0)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="run name in results_train/")
    run = parser.parse_args().run
    folder = ROOT / "results_train" / run
    gold = gold_of(folder)
    predicted = read_predictions(folder, gold)
    result = {
        "run": run, "revision": revision(), "conversations": len(gold), "draws": DRAWS,
        **compared(gold, [(predicted, [rule(c) for c in predicted])]),
    }
    write_json(result, ROOT / "benchmarks" / "bootstrap.json")
    print(result)


if __name__ == "__main__":
    main()
