"""How scores become labels, decided on the val split of finished runs.

    python -m benchmarks.accuracy.decisions adjustment smollm2-135m-ecf
    python -m benchmarks.accuracy.decisions causes smollm2-135m-ecf ecf-list

`adjustment`: how much of the labels' log frequency to take off (`logit_adjustment`). The run's emotion adapter scores
the split once, and each strength reads the same scores. Causes come from the rule, so that the pairs show what the
emotions alone change. Writes benchmarks/results/logit_adjustment.json.

`causes`: which form of answer is better, one question a candidate or a list of ids, and what do boosted trees add?
The second run is one of the other form: `python -m utils.chain configs/smollm2-135m.yaml -p run_name ecf-list
-p cause_form list`. All runs' cause adapters get the same emotions: gold ones, and those that the first run's emotion
adapter predicts (the other runs may lack one). The candidates' probabilities, of the adapter, of the trees beside it
and of both, are cut at several thresholds, and for predicted emotions also once multiplied by the emotion's. Writes
benchmarks/results/cause_forms.json.
"""

import argparse
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

from benchmarks import RESULTS
from utils.data.conversations import load_conversations, names_of, with_pairs
from utils.engine.inference import score_trees
from utils.models.adapters import load_adapter
from utils.models.load import load_model
from utils.record.adapter import trained_with
from utils.record.predictions import run_folder
from utils.record.provenance import revision
from utils.report.metrics import emotion_scores, pair_scores
from utils.system.command import command
from utils.system.files import read_json, write_json
from utils.system.places import ROOT
from utils.tasks import cause_structure, emotion
from utils.tasks.ask import predict, search_all
from utils.tasks.baselines import rule
from utils.tasks.cause import Cause

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0)
THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)


def load(adapter: Path):
    """(model with the adapter, tokenizer, the parameters that it was trained with)."""
    config = trained_with(adapter)
    model, tokenizer = load_model(config.model, config.quantization, config.precision)
    return load_adapter(model, adapter, config.model).eval(), tokenizer, config


def scored(task, model, tokenizer, config, conversations: list[dict]) -> list:
    """The log-probabilities of every answer to the task's questions about the conversations."""
    trees, limits = [task.tree(c) for c in conversations], (config.token_budget, config.max_row_tokens)
    return score_trees(model, tokenizer, trees, names_of(conversations), *limits)


def adjustment(run: str) -> None:
    """Emotions at every one of STRENGTHS."""
    adapter = run_folder(run) / "adapters" / "emotion"
    model, tokenizer, config = load(adapter)
    gold = load_conversations(ROOT / config.input_dir / "val", labelled=True)
    task = config.task("emotion")
    scores = scored(task, model, tokenizer, config, gold)
    seen = read_json(adapter / "training.json")["emotions"]
    result = {"run": run, "revision": revision(), "split": f"{config.input_dir}/val", "strengths": {}}
    print("strength  accuracy  weighted F1  macro F1  pairs by the rule: weighted F1, F1")
    for strength in STRENGTHS:
        adjusted = replace(task, prior=emotion.prior_scores(seen, strength))
        labelled, _ = search_all(adjusted, gold, lambda *_: scores)
        pairs = pair_scores(gold, [rule(c) for c in labelled], 2)
        figures = {name: v for name, v in emotion_scores(gold, labelled).items() if isinstance(v, float)}
        result["strengths"][strength] = figures | {"pairs": pairs}
        row = [figures[name] for name in ("accuracy", "weighted_f1", "macro_f1")]
        print(f"{strength:8}", *(f"{v:9.4f}" for v in [*row, pairs["weighted_f1"], pairs["f1_pair"]]))
    write_json(result, RESULTS / "logit_adjustment.json")


def above(conversations: list[dict], tables: list[dict], threshold: float) -> list[dict]:
    """The conversations with the candidates whose probability in `tables` reaches `threshold` as their pairs."""
    found = []
    for c, table in zip(conversations, tables, strict=True):
        emotions = {u["utterance_ID"]: u["emotion"] for u in c["conversation"]}
        triples = [(i, emotions[i], j) for i, row in table.items() for j, p in row.items() if p >= threshold]
        found.append(with_pairs(c, triples))
    return found


def candidate_ways(run: str, grown, scores: list, given: list[dict], sure: list | None) -> dict:
    """{name: threshold -> conversations with pairs}.

    grown   the boosted trees beside the adapter, or None
    scores  the adapter's, for each question
    sure    the emotions' probabilities, or None where the emotions are gold
    """
    parts = {"adapter": (Cause(), scores)}
    if grown:
        alone = [[[0.0, odds] for odds in grown.log_odds(c)] for c in given]
        parts |= {"trees": (Cause(), alone), "both": (Cause(structure=grown), scores)}

    def cut(task, answers):
        return lambda threshold: search_all(replace(task, threshold=threshold), given, lambda *_: answers)[0]

    ways = {f"{run}, {name}": cut(*part) for name, part in parts.items()}
    for name, (task, answers) in parts.items() if sure else ():
        ways[f"{run}, {name}, x P(emotion)"] = cut(task.given_emotions(given, sure), answers)
    return ways


def causes(runs: list[str]) -> None:
    """Pairs by every form of the runs' answers, at every one of THRESHOLDS."""
    adapters = {name: run_folder(name) / "adapters" for name in runs}
    first = adapters[runs[0]] / "emotion"
    model, tokenizer, config = load(first)
    gold = load_conversations(ROOT / config.input_dir / "val", labelled=True)
    named = config.task("emotion").trained(first)
    predicted, tables = predict(named, model, tokenizer, gold, config.inference())
    emotions = {"gold emotions": gold, "predicted emotions": predicted}
    result = {"revision": revision(), "split": f"{config.input_dir}/val", "emotions": emotion_scores(gold, predicted)}
    result["rule"] = {name: pair_scores(gold, [rule(c) for c in given], 2) for name, given in emotions.items()}
    for run in runs:
        model, tokenizer, config = load(adapters[run] / "cause")
        task = config.task("cause")
        for name, given in emotions.items():
            if isinstance(task, Cause):
                grown = cause_structure.load(adapters[run] / "cause")
                scores = scored(task, model, tokenizer, config, given)
                ways = candidate_ways(run, grown, scores, given, tables if given is predicted else None)
            else:
                paired, found = predict(task, model, tokenizer, given, config.inference())
                result.setdefault(f"{run}, likeliest list", {})[name] = pair_scores(gold, paired, 2)
                ways = {f"{run}, list": partial(above, given, found)}
            for (way, cut), threshold in product(ways.items(), THRESHOLDS):
                result.setdefault(f"{way} from {threshold}", {})[name] = pair_scores(gold, cut(threshold), 2)
    write_json(result, RESULTS / "cause_forms.json")
    for row, scores in result.items():
        if row == "rule" or row.startswith(tuple(runs)):
            figures = "  ".join(f"{name} {one['weighted_f1']:.4f} {one['f1_pair']:.4f}" for name, one in scores.items())
            print(f"{row:55} weighted F1, F1: {figures}")


@command("benchmarks.accuracy.decisions")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for runs that cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    one = commands.add_parser("adjustment", help="strengths of the logit adjustment")
    one.add_argument("run", help="run name in results_train/")
    one = commands.add_parser("causes", help="forms of the causes' answers, and thresholds")
    one.add_argument("runs", nargs="+", help="run names in results_train/; the first must have both adapters")
    arguments = parser.parse_args(argv)
    if arguments.what == "adjustment":
        adjustment(arguments.run)
    else:
        causes(arguments.runs)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
