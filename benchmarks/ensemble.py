"""Several runs as one system: their adapters' probabilities, averaged (an ensemble over seeds).

    python -m benchmarks.ensemble ensemble-all smollm2-135m-ecf-all smollm2-135m-ecf-all-seed-1 --split unlabelled
    python -m benchmarks.ensemble ensemble smollm2-135m-ecf smollm2-135m-ecf-seed-1 smollm2-135m-ecf-seed-2

A run without one of the two adapters lends the other, and is scored with the first run's. The emotions are those of the
averaged probabilities, and every cause adapter is asked about these; the log-odds of their trees (utils/structure.py)
are averaged too. It costs as many forward passes as there are
adapters, on one base model. Writes results_test/NAME/predictions.jsonl, with the runs and their data in config.json, or
for a labelled split benchmarks/NAME.json: every member's scores, their mean and spread, and the ensemble's, beside the
rule on the same emotions, with the paired bootstrap of benchmarks/bootstrap.py between the two (for the members, of
their mean difference), and what was scored in benchmarks/NAME.predictions/SYSTEM/predictions.jsonl. Interrupted, the
same command goes on from benchmarks/NAME.unfinished.jsonl.
"""

import argparse
import math
import statistics

from benchmarks.bootstrap import compared
from utils.data.conversations import load_conversations, names_of
from utils.data.labels import EMOTIONAL
from utils.engine.inference import Journal, score_trees
from utils.models.adapters import load_adapter
from utils.models.load import load_model
from utils.record.adapter import emotion_prior, trained_with
from utils.record.predictions import write_predictions
from utils.record.provenance import fingerprints, revision, versions
from utils.report.metrics import emotion_scores, pair_scores, per_emotion_pair_scores
from utils.runs import ROOT
from utils.system.files import read_json, write_json
from utils.tasks import baselines, cause, cause_structure, emotion, task


def averaged(members: list[list]) -> list:
    """The members' scores as one: conversations x questions x answers of log-probabilities, each question's
    probabilities (over the allowed answers) averaged."""
    return [
        [
            [math.log(sum(column) / len(column)) for column in zip(*map(task.probabilities, question))]
            for question in zip(*conversation, strict=True)
        ]
        for conversation in zip(*members, strict=True)
    ]


def scored(task: str, adapters: list, conversations: list[dict], journal=None) -> list[list]:
    """For each adapter of `task` the log-probabilities of every question's answers (utils.inference.score_trees)."""
    trees = [emotion.tree(c) if task == "emotion" else cause.candidates_tree(c) for c in conversations]
    found, base, model = [], None, None
    for number, adapter in enumerate(adapters):
        config = trained_with(adapter)
        if config.recipe != "one_pass" or config.cause_form != "candidates":
            raise SystemExit(f"benchmarks.ensemble: {adapter}: needs recipe one_pass and cause_form candidates")
        if base != (config.model, config.quantization, config.precision):
            base = config.model, config.quantization, config.precision
            model, tokenizer = load_model(*base)
        model = load_adapter(model, adapter, config.model, name=f"adapter{number}")
        found.append(
            score_trees(
                model,
                tokenizer,
                trees,
                names_of(conversations),
                config.token_budget,
                config.max_row_tokens,
                adapter.parts[-3],
                journal,
            )
        )
    return found


def mean_log_odds(grown: list[cause_structure.Structure], conversation: dict) -> list[float] | None:
    """The mean of the runs' log-odds (structure.log_odds); None without any."""
    return [statistics.mean(one) for one in zip(*(s.log_odds(conversation) for s in grown))] if grown else None


def input_of(runs: list[str], split: str) -> dict:
    """The fingerprints of the conversations that the runs' records (config.json) agree about: those of `split`, and
    where it has labels those of train, since a run that was trained on others may have seen its labels.

    Raises SystemExit where two runs disagree.
    """
    names, found = ["train", split] if split != "unlabelled" else [split], {}
    for run in runs:
        path = ROOT / "results_train" / run / "config.json"
        recorded = next(iter(read_json(path).values()))["input"]  # a run's notebooks share their input
        found[run] = {name: recorded.get(name) for name in names}
        if found[run] != found[runs[0]]:
            raise SystemExit(f"benchmarks.ensemble: {path}: other {' or '.join(names)} conversations than {runs[0]}'s")
    return found[runs[0]]


def figures(gold: list[dict], labelled: list[dict], paired: list[dict]) -> dict:
    """Scores of emotions and of pairs, and of the rule's pairs on the same emotions."""
    emotions = emotion_scores(gold, labelled)
    return {
        "emotions": {name: value for name, value in emotions.items() if isinstance(value, float)},
        "f1_of_emotions": {name: one["f1"] for name, one in emotions["per_emotion"].items()},
        "pairs": pair_scores(gold, paired, 2),
        "f1_of_pairs": {name: one["f1"] for name, one in per_emotion_pair_scores(gold, paired).items()},
        "rule": pair_scores(gold, [baselines.rule(c) for c in labelled], 2),
    }


def mean_and_spread(members: list[dict]) -> dict:
    """The same figures: [mean, standard deviation of the sample] of each over the members."""
    return {
        section: {
            name: [how([member[section][name] for member in members]) for how in (statistics.mean, statistics.stdev)]
            for name, value in there.items()
            if isinstance(value, float)
        }
        for section, there in members[0].items()
        if isinstance(there, dict)
    }


def table(result: dict) -> str:
    """README's tables of what `main` wrote: members (mean ± standard deviation) and the ensemble; then by emotion."""
    rows = {f"one of {len(result['members'])}": result["mean and spread"], "ensemble": result["ensemble"]}

    def lines(title, columns, cells_of):
        yield f"| {title} | {' | '.join(columns)} |"
        yield "|---" * (len(columns) + 1) + "|"
        for name, figures_of in rows.items():
            for label, values in cells_of(name, figures_of):
                cells = [f"{v[0]:.3f} ± {v[1]:.3f}" if isinstance(v, list) else f"{v:.3f}" for v in values]
                yield f"| {label} | {' | '.join(cells)} |"

    def overall(name, one):
        emotions = [one["emotions"][key] for key in ("accuracy", "weighted_f1", "macro_f1")]
        yield name, [*emotions, one["pairs"]["weighted_f1"], one["rule"]["weighted_f1"]]

    def by_emotion(name, one):
        for what, key in (("emotions", "f1_of_emotions"), ("pairs", "f1_of_pairs")):
            yield f"{what}, {name}", [one[key][label] for label in EMOTIONAL]

    columns = ["emotion accuracy", "weighted F1", "macro F1", "pairs weighted F1", "the rule's"]
    return "\n".join([*lines("", columns, overall), "", *lines("F1", EMOTIONAL, by_emotion)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="what the ensemble is called")
    parser.add_argument("runs", nargs="+", help="run names in results_train/")
    parser.add_argument("--split", default="test", help="of the runs' input: val, test (default) or unlabelled")
    arguments = parser.parse_args()
    adapters = {task: {} for task in ("emotion", "cause")}
    for run in arguments.runs:
        for task, found in adapters.items():
            folder = ROOT / "results_train" / run / "adapters" / task
            if (folder / "training.json").is_file():
                found[run] = folder
        if not any(run in found for found in adapters.values()):
            raise SystemExit(f"benchmarks.ensemble: results_train/{run}/adapters: no finished adapter there")
    if not all(adapters.values()):
        raise SystemExit("benchmarks.ensemble: the runs need an emotion and a cause adapter between them")
    given_to = input_of(arguments.runs, arguments.split)
    first = {task: next(iter(found.values())) for task, found in adapters.items()}
    config = trained_with(first["emotion"])
    prior = emotion_prior(first["emotion"], config.logit_adjustment)
    threshold = trained_with(first["cause"]).cause_threshold
    journal = Journal(ROOT / "benchmarks" / f"{arguments.name}.unfinished.jsonl")
    here = fingerprints(ROOT / config.input_dir)
    if any(here.get(name) != found for name, found in given_to.items()):
        raise SystemExit(
            f"benchmarks.ensemble: {config.input_dir} is not what the runs were made with: make it again "
            "with generate_input.py"
        )
    given = load_conversations(ROOT / config.input_dir / arguments.split, labelled=arguments.split != "unlabelled")

    def named(member):
        """(conversations with emotions, their probabilities) from scores."""
        return map(list, zip(*(emotion.read(c, one, prior) for c, one in zip(given, member, strict=True))))

    def caused(labelled, tables, runs):
        """(conversations with pairs, their probabilities) by these runs' cause adapters and trees."""
        folders = [adapters["cause"][run] for run in runs]
        answers = averaged(scored("cause", folders, labelled, journal))
        grown = list(filter(None, map(cause_structure.load, folders)))
        read = [
            cause.read_candidates(c, one, threshold, mean_log_odds(grown, c), table)
            for c, one, table in zip(labelled, answers, tables, strict=True)
        ]
        return map(list, zip(*read))

    scores = dict(zip(adapters["emotion"], scored("emotion", list(adapters["emotion"].values()), given, journal)))
    labelled, tables = named(averaged(list(scores.values())))
    paired, causes = caused(labelled, tables, adapters["cause"])
    if arguments.split == "unlabelled":
        folder = ROOT / "results_test" / arguments.name
        write_predictions(folder, paired, tables, causes)
        parameters = {"runs": arguments.runs, "split": arguments.split}
        record = {"parameters": parameters, "input": here, "revision": revision(), "versions": versions()}
        path = folder / "config.json"  # a single run's own folder tells of its notebooks too
        write_json({**(read_json(path) if path.is_file() else {}), "benchmarks.ensemble": record}, path)
        journal.path.unlink(missing_ok=True)
        print(f"{folder / 'predictions.jsonl'}: {len(given)} conversations")
        return
    members, beside_rule, written = {}, [], ROOT / "benchmarks" / f"{arguments.name}.predictions"
    for run in adapters["emotion"]:
        alone, its_tables = named(scores[run])
        asked = run if run in adapters["cause"] else next(iter(adapters["cause"]))
        pairs, its_causes = caused(alone, its_tables, [asked])
        write_predictions(written / run, pairs, its_tables, its_causes)
        members[run] = {"causes by": asked, **figures(given, alone, pairs)}
        beside_rule.append((pairs, [baselines.rule(c) for c in alone]))
        print(run, members[run]["emotions"], members[run]["pairs"]["weighted_f1"], flush=True)
    result = {
        "runs": arguments.runs,
        "split": f"{config.input_dir}/{arguments.split}",
        "revision": revision(),
        "members": members,
        "mean and spread": mean_and_spread(list(members.values())) if len(members) > 1 else None,
        "ensemble": figures(given, labelled, paired),
        "ensemble less rule": compared(given, [(paired, [baselines.rule(c) for c in labelled])]),
        "members less rule": compared(given, beside_rule),
    }
    write_predictions(written / "ensemble", paired, tables, causes)
    write_json(result, ROOT / "benchmarks" / f"{arguments.name}.json")
    journal.path.unlink(missing_ok=True)
    print("ensemble", result["ensemble"]["emotions"], result["ensemble"]["pairs"]["weighted_f1"])


if __name__ == "__main__":
    main()
