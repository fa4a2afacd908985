"""Do emotion adapters hold where other hands labelled? Runs beside each other on corpora that judge and never teach.

    python generate_input.py --data PATH/TO/EmoryNLP --out input/emorynlp
    python generate_input.py --data PATH/TO/DailyDialog --fractions 0.96 0.02 0.02 --out input/dailydialog
    python -m benchmarks.accuracy.other_hands smollm2-135m-ecf OTHER-RUN --input input/emorynlp input/dailydialog

Every run labels the `test` split of every input in its own words, ECF's. Utterances count whose label has a counterpart
there (COUNTERPARTS). Accuracy and macro F1 (over the labels that occur) are of the labels that the run names, with its
logit adjustment. The loss is the mean of -log P(gold) without it, once as the model has it, and once at the temperature
that is best there (Guo et al. 2017): what is left is not overconfidence. With --encoder every run has that encoder
beside its adapter. Writes benchmarks/results/other_hands.json.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import mean

import torch

from benchmarks import RESULTS
from benchmarks.accuracy.decisions import load, scored
from utils.data.conversations import Conversation, load_conversations
from utils.data.labels import ECF, labels_in
from utils.record.adapter import encoder_of, labels_of
from utils.record.predictions import run_folder
from utils.record.provenance import fingerprints, revision, versions
from utils.report.metrics import emotion_scores
from utils.system.command import command, positive
from utils.system.errors import RunError
from utils.system.files import read_json, write_json
from utils.tasks.ask import search_all

# {label set: {its label: ECF's}}. EmoryNLP's Peaceful and Powerful have no counterpart.
COUNTERPARTS = {
    "ecf7": {label: label for label in ECF},
    "meld7": {label: label for label in ECF},
    "emorynlp7": {"Neutral": "neutral", "Joyful": "joy", "Sad": "sadness", "Mad": "anger", "Scared": "fear"},
    "dailydialog7": {"no emotion": "neutral", "happiness": "joy"}
    | {label: label for label in ("anger", "disgust", "fear", "sadness", "surprise")},
}
TEMPERATURES = [0.5 + 0.05 * k for k in range(91)]  # to 5


def judges(folder: Path, count: int | None) -> list[Conversation]:
    """The first `count` (all) labelled conversations of an input's `test`, with ECF's labels, and null where there is
    none. Raises RunError for a label set without counterparts."""
    labels = labels_in(folder)
    if labels.name not in COUNTERPARTS:
        raise RunError(f"{folder}: no counterparts of {labels.name} are known; known are {', '.join(COUNTERPARTS)}")
    names = COUNTERPARTS[labels.name]
    return [
        {**c, "conversation": [{**u, "emotion": names.get(u["emotion"])} for u in c["conversation"]]}
        for c in load_conversations(folder / "test", labelled=True, labels=labels)[:count]
    ]


def fitted(labels: list[str | None], scores: list[list[float]]) -> dict:
    """{"utterances", "loss", "temperature", "loss_there"}: the mean -log P of the labels (null does not count) by
    log-probabilities of ECF's seven, as they are and at the temperature that is best."""
    kept = [(ECF.index(label), one) for label, one in zip(labels, scores, strict=True) if label is not None]
    logits, wanted = torch.tensor([one for _, one in kept]), torch.tensor([label for label, _ in kept])
    losses = {t: float(torch.nn.functional.cross_entropy(logits / t, wanted)) for t in TEMPERATURES}
    best = min(losses, key=losses.__getitem__)
    whole = float(torch.nn.functional.cross_entropy(logits, wanted))
    return {"utterances": len(kept), "loss": whole, "temperature": round(best, 2), "loss_there": losses[best]}


def judged(run: str, folders: dict[str, list[Conversation]], encoder: str = "") -> dict[str, dict]:
    """{input: {"utterances", "accuracy", "macro_f1", "loss", "temperature", "loss_there"}} of a run's emotion adapter,
    with the encoder of another run beside it where one is named. Raises RunError for one of other labels or targets
    than ECF's seven."""
    adapter = run_folder(run) / "adapters" / "emotion"
    model, tokenizer, config = load(adapter)
    if labels_of(adapter) != ECF or config.targets == "multi":
        raise RunError(f"{adapter}: it has other labels than ECF's seven, one an utterance")
    task = config.task("emotion").trained(adapter)
    plain, found = replace(task, prior=None), {}
    beside = encoder_of(replace(config, encoder=encoder), ECF)
    for name, gold in folders.items():
        scores = scored(plain, model, tokenizer, config, gold)
        if beside:
            scores = [beside[0].with_emotions(c, one) for c, one in zip(gold, scores, strict=True)]
        labelled, _ = search_all(task, gold, lambda *_, scores=scores: scores)
        figures = emotion_scores(gold, labelled)
        there = [one["f1"] for one in figures["per_emotion"].values() if one["support"]]
        labels = [u["emotion"] for c in gold for u in c["conversation"]]
        measured = fitted(labels, [one for table in scores for one in table])
        found[name] = {**measured, "accuracy": figures["accuracy"], "macro_f1": mean(there)}
    return found


def table(record: dict) -> str:
    """The figures of every run and input, in Markdown."""
    head = ("run", "input", "utterances", "accuracy", "macro F1", "loss", "loss at the best temperature")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for run, inputs in record["runs"].items():
        for name, one in inputs.items():
            cells = [run, name, f"{one['utterances']:,}", f"{one['accuracy']:.3f}", f"{one['macro_f1']:.3f}"]
            cells += [f"{one['loss']:.3f}", f"{one['loss_there']:.3f} ({one['temperature']:g})"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


@command("benchmarks.accuracy.other_hands")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a name in results_train/, or a folder")
    parser.add_argument("--input", type=Path, nargs="+", required=True, help="folders that generate_input.py wrote")
    parser.add_argument("--encoder", default="", metavar="NAME", help="a run of utils.train encoder, beside every run")
    parser.add_argument("--conversations", type=positive, help="of each input, at most")
    parser.add_argument("--result", type=Path, default=RESULTS / "other_hands.json")
    a = parser.parse_args(argv)
    folders = {folder.name: judges(folder, a.conversations) for folder in a.input}
    record = {"revision": revision(), "versions": versions(), "conversations": a.conversations or "all"}
    record["inputs"] = {folder.name: fingerprints(folder).get("test") for folder in a.input}
    record["runs"] = read_json(a.result)["runs"] if a.result.is_file() and _same(a.result, record) else {}
    for run in a.runs:
        record["runs"][f"{run} and {a.encoder}" if a.encoder else run] = judged(run, folders, a.encoder)
        write_json(record, a.result)
    print(table(record))
    return 0


def _same(path: Path, record: dict) -> bool:
    """Whether an earlier record is about the same conversations: its runs then stay in the table."""
    before = read_json(path)
    return all(before.get(name) == record[name] for name in ("inputs", "conversations"))


if __name__ == "__main__":
    raise SystemExit(main())
