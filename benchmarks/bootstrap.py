"""Is a run better at causes than the rule on the same emotions, or by chance? A paired bootstrap over conversations
(Efron and Tibshirani 1993; Koehn 2004 for paired systems).

    python -m benchmarks.bootstrap smollm2-135m-ecf

Reads results_train/<run>/predictions.jsonl and the gold labels of the run's input; writes benchmarks/bootstrap.json.
"""

import argparse

import numpy as np

from utils.record.predictions import gold_of, read_predictions
from utils.record.provenance import revision
from utils.report.metrics import pair_counts, weighted_f1
from utils.runs import ROOT
from utils.system.errors import RunError
from utils.system.files import write_json
from utils.tasks.baselines import rule

DRAWS = 20000  # 1,000 leave the third digit of an interval to chance


def compared(gold, systems: list[tuple]) -> dict:
    """{"difference", "interval_95", "share_above_zero", "draws"} of weighted F1, over DRAWS draws of as many
    conversations as there are: `systems` holds (labelled, others), and the difference is that of `labelled` less that
    of `others`, where there are several (seeds) its mean over them."""
    counts = [[pair_counts(gold, labelled) for labelled in both] for both in systems]  # each (conversations, 3, 6)

    def difference(times):
        """times: (draws, conversations), how often each conversation was drawn."""
        return np.mean(
            [np.subtract(*(weighted_f1(np.einsum("dc,cke->dke", times, one)) for one in both)) for both in counts],
            axis=0,
        )

    times = np.random.default_rng(0).multinomial(len(gold), np.full(len(gold), 1 / len(gold)), DRAWS)
    draws = difference(times)
    low, high = np.percentile(draws, [2.5, 97.5])
    return {
        "difference": float(difference(np.ones((1, len(gold))))[0]),
        "interval_95": [float(low), float(high)],
        "share_above_zero": float(np.mean(draws > 0)),
        "draws": DRAWS,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="run name in results_train/")
    run = parser.parse_args().run
    folder = ROOT / "results_train" / run
    try:
        gold = gold_of(folder)
        predicted = read_predictions(folder, gold)
    except RunError as error:
        raise SystemExit(f"benchmarks.bootstrap: {error}") from None
    result = {
        "run": run,
        "revision": revision(),
        "conversations": len(gold),
        **compared(gold, [(predicted, [rule(c) for c in predicted])]),
    }
    write_json(result, ROOT / "benchmarks" / "bootstrap.json")
    print(result)


if __name__ == "__main__":
    main()
