"""Draws the pictures that docs and notebooks show: those of the shipped run, in its plots/, and of the speed.

    python generate_input.py --data PATH/TO/ecf --splits data/ecf1_splits.json --out input/ecf
    python -m docs.draw_pictures

They are drawn from the run's records and, for what needs gold labels or lengths, from input/ecf. No picture holds a
text of ECF. The notebooks draw the same for a run of your own.
"""

import sys
from pathlib import Path

from benchmarks.speed.limit import growth_figure
from utils.config import Config
from utils.data.conversations import load_conversations
from utils.models.load import load_model
from utils.record.fit import tree_lengths
from utils.record.predictions import gold_of, read_predictions
from utils.report import plots
from utils.report.analysis import GUESSING, fates_by_distance, found_and_right, pair_table, utterance_table
from utils.report.distances import AXIS
from utils.report.loss import loss_curve
from utils.report.scores import read_scores
from utils.system.command import command
from utils.system.files import read_json, read_object
from utils.system.places import ROOT

RUN = ROOT / "results_train" / "smollm2-135m-ecf"
RESULTS = ROOT / "benchmarks" / "results"


def pictures() -> dict[Path, plots.Figure]:
    """Every picture, by the file that it is kept in."""
    gold, train = gold_of(RUN), load_conversations(ROOT / "input/ecf/train/conversations.json", labelled=True)
    predicted = read_predictions(RUN, gold)
    about = {name: plots.about(RUN.name, name, conversations=len(c)) for name, c in (("test", gold), ("train", train))}
    utterances, pairs = utterance_table(gold, predicted), pair_table(gold, predicted)
    confusion = [[*row.values()] for row in read_scores(RUN)["emotions"]["fine-tuned"]["confusion"].values()]
    pairs_of_test = f"{about['test']} · {len(pairs):,} gold pairs"
    drawn = {
        "emotion_confusion": plots.confusion_matrix(confusion, about=about["test"]),
        "cause_distances_train": plots.cause_distances(train, about=about["train"]),
        "cause_distances": plots.cause_distances(gold, predicted, about=about["test"]),
        "lost_pairs": plots.stacked(
            fates_by_distance(pairs), "What happens to gold pairs", AXIS, "gold pairs", pairs_of_test
        ),
        "emotions_found": plots.rates(
            found_and_right(utterances), "Emotions found, and named right", "emotion", about["test"], GUESSING
        ),
    }
    for name in ("emotion", "cause"):
        record = read_object(RUN / "adapters" / name / "training.json")
        drawn[f"{name}_loss"] = loss_curve(record, name, about["train"])
        config = Config(**record["parameters"])
        lengths = tree_lengths(config.task(name), train, load_model(config.model)[1], config)
        drawn[f"{name}_tokens"] = plots.token_lengths(
            lengths, config.token_budget, f"Tokens a conversation, {name} training", about["train"]
        )
    speed = read_json(RESULTS / "speed.json")
    machine = f"{speed['machine']['cores']} CPU cores · {speed['machine']['precision']}"
    growth = growth_figure(speed["growth"], f"SmolLM2-135M-Instruct · {machine} · revision {speed['revision']}")
    return {RUN / "plots" / f"{name}.png": figure for name, figure in drawn.items()} | {RESULTS / "speed.png": growth}


@command("docs.draw_pictures")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message where the conversations are not there."""
    for path, figure in pictures().items():
        plots.save(figure, path)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
