"""Recorded probabilities, decided again: the predictions of a run whose adapters are gone, nearly as this revision
would decide them.

    git show 96a3086:results_test/smollm2-135m-ecf-all/predictions.jsonl > old.jsonl     # adjustment 0.4, no trees
    python -m benchmarks.decided_again smollm2-135m-ecf-all old.jsonl --recorded 0.4 --taught input/ecf-all
    python -m benchmarks.decided_again smollm2-135m-ecf-seed-1 old.jsonl --recorded 0.4 --taught input/ecf --seed 1

The emotions' probabilities are moved from the recorded logit adjustment to the default one. The causes' are averaged
with those of trees (utils/structure.py) that learn from the train split of `--taught`; an utterance that had no emotion
was not asked about, and has the trees' alone. What it cannot know is how the adapter would have answered had it read
the emotions that change by this (some 3 of 100). Writes results_test/RUN/predictions.jsonl, and what was done to its
config.json; a run that was decided again is refused.
"""

import argparse
import json
import math
from pathlib import Path

from utils.config import Config
from utils.data.conversations import load_conversations
from utils.record.predictions import write_predictions
from utils.record.provenance import fingerprints, revision, versions
from utils.runs import ROOT
from utils.system.files import read_json, write_json
from utils.tasks import cause, cause_structure, emotion


def moved(tables: list, counted: dict[str, int], recorded: float) -> list[list[float]]:
    """One conversation's emotion probabilities after `recorded` as log-probabilities before any adjustment."""
    prior = emotion.prior_scores(counted, recorded)
    return [[math.log(max(p, 5e-5)) + off for p, off in zip(one, prior)] for one in tables]


def answers(conversation: dict, recorded: dict, odds: list[float]) -> list[list[float]]:
    """For each question of `cause.asked` the recorded answer, as log-probabilities of no and yes; where there is none
    that of the trees."""
    ids, found = [u["utterance_ID"] for u in conversation["conversation"]], []
    for (i, j), odd in zip(cause.asked(conversation), odds, strict=True):
        p = recorded.get(str(ids[i]), {}).get(str(ids[j]))
        p = None if p is None else min(max(p, 5e-5), 1 - 5e-5)
        found.append([0.0, odd] if p is None else [math.log(1 - p), math.log(p)])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="a folder of results_test/")
    parser.add_argument("predictions", type=Path, help="its predictions.jsonl as it was")
    parser.add_argument("--recorded", type=float, required=True, help="the logit adjustment in them")
    parser.add_argument("--taught", required=True, help="the input that the run was trained on")
    parser.add_argument("--seed", type=int, default=Config.seed, help="of the trees")
    arguments = parser.parse_args()
    folder = ROOT / "results_test" / arguments.run
    if "benchmarks.decided_again" in (before := read_json(folder / "config.json")):
        raise SystemExit(f"benchmarks.decided_again: {folder} was decided again: git checkout its files as they were")
    taught = load_conversations(ROOT / arguments.taught / "train", labelled=True)
    given = load_conversations(ROOT / arguments.taught / "unlabelled", labelled=False)
    grown, counted = cause_structure.learn(taught, arguments.seed), emotion.counts(taught)
    lines = map(json.loads, arguments.predictions.read_text(encoding="utf-8").splitlines())
    old = {one["conversation_ID"]: one for one in lines}
    prior, paired, tables, causes, kept = emotion.prior_scores(counted, Config.logit_adjustment), [], [], [], 0
    for c in given:
        one = old[c["conversation_ID"]]
        labelled, table = emotion.read(c, moved(one["emotion_probabilities"], counted, arguments.recorded), prior)
        odds = grown.log_odds(labelled)
        scores = answers(labelled, one["cause_probabilities"], odds)
        pairs, probabilities = cause.read_candidates(labelled, scores, Config.cause_threshold, odds, table)
        kept += sum(u["emotion"] == before for u, before in zip(labelled["conversation"], one["emotions"]))
        paired.append(pairs)
        tables.append(table)
        causes.append(probabilities)
    write_predictions(folder, paired, tables, causes)
    parameters = {
        "recorded": arguments.recorded,
        "taught": arguments.taught,
        "seed": arguments.seed,
        "logit_adjustment": Config.logit_adjustment,
        "cause_threshold": Config.cause_threshold,
    }
    record = {
        "parameters": parameters,
        "input": fingerprints(ROOT / arguments.taught),
        "revision": revision(),
        "versions": versions(),
    }
    write_json(before | {"benchmarks.decided_again": record}, folder / "config.json")
    utterances = sum(len(c["conversation"]) for c in given)
    print(
        f"{arguments.run}: {kept} of {utterances} emotions as before, "
        f"{sum(len(c['emotion-cause_pairs']) for c in paired)} pairs, "
        f"{sum(len(one['emotion-cause_pairs']) for one in old.values())} before"
    )


if __name__ == "__main__":
    main()
