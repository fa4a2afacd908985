"""What metrics.json holds of systems (version 2; docs/metrics.schema.json), and a reader of both its versions.

head(gold, labels)                                              # what was scored
emotion_rows(gold, {"fine-tuned": (predicted, tables)}, labels)      # the section "emotions"
pair_rows(gold, {RESULT: ("fine-tuned", predicted)}, labels)         # the section "pairs"
read_scores("results_train/sample")["pairs"][RESULT]["scores"]["weighted_f1"]
"""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from utils.data.conversations import Conversation, emotions_of, pairs
from utils.data.labels import ECF, LabelSet
from utils.data.validation import PAIRS
from utils.report.bootstrap import compared, intervals
from utils.report.label_metrics import emotion_figures, label_sums, one_label, set_measures, vote_measures
from utils.report.metrics import (
    confusions,
    emotion_counts,
    emotion_measures,
    pair_counts,
    pair_measures,
    pair_scores,
    per_emotion_pair_scores,
)
from utils.system.errors import FileError, shown
from utils.system.files import intact, read_object
from utils.tasks.baselines import rule

VERSION = 2
RESULT = "fine-tuned emotions and causes"  # the row of the run's own pairs
RULE = "fine-tuned emotions + rule"  # what its causes are compared with
_PLAIN = {f"**{RESULT}**": RESULT}  # version 1 wrote Markdown into a key
_MEASURES = {"multi": set_measures, "votes": vote_measures}  # of parts that a row of emotions may have
_SECOND = ("interval_95", "predicted", "less rule")  # what version 1 had not, of a row


def head(gold: list[Conversation], labels: LabelSet = ECF) -> dict:
    """What metrics.json says of the conversations that were scored: {"version", "labels" in order, "neutral",
    "conversations", "utterances", "gold": {"emotions": {label: utterances}, "pairs": {label: distinct pairs}}}."""
    counted = {"emotions": _counted(labels, (one for c in gold for u in c["conversation"] for one in emotions_of(u)))}
    if any(PAIRS in c for c in gold):
        counted["pairs"] = _counted(labels.emotional, (emotion for c in gold for _, emotion, _ in pairs(c, labels)))
    return {
        "version": VERSION,
        "labels": list(labels),
        "neutral": labels.neutral,
        "conversations": len(gold),
        "utterances": sum(len(c["conversation"]) for c in gold),
        "gold": counted,
    }


def emotion_rows(
    gold: list[Conversation],
    systems: dict[str, tuple[list[Conversation], list]],
    labels: LabelSet = ECF,
    ranged: bool = True,
) -> dict:
    """The section "emotions": {system: emotion_figures, with "confusion" as {gold label: {predicted label:
    utterances}}, "predicted": {label: utterances} and "interval_95": {measure: [low, high]}}; {} without `gold`. The
    parts "multi" and "votes" of a system have an "interval_95" of their own.

    systems  {name: (`gold` with the system's emotions, their probabilities as utterances x labels for each)}
    ranged   False: without intervals, which cost a second
    """
    if not gold:
        return {}
    rows, drawn = {}, {}
    for name, (predicted, tables) in systems.items():
        one = confusions(*one_label(gold, predicted, tables, labels), labels)
        drawn[name, None] = emotion_counts(one), partial(emotion_measures, labels=labels)
        sums = label_sums(gold, predicted, tables, labels) if ranged else {}
        drawn |= {(name, part): (those, _MEASURES[part]) for part, those in sums.items()}
        rows[name] = {
            **emotion_figures(gold, predicted, tables, labels),
            "confusion": labelled_counts(one.sum(0).tolist(), labels),
            "predicted": _counted(labels, (e for c in predicted for u in c["conversation"] for e in emotions_of(u))),
        }
    for (name, part), ends in intervals(drawn).items() if ranged else ():
        row = rows[name] if part is None else rows[name][part]
        row["interval_95"] = {measure: one for measure, one in ends.items() if measure in row}
    return rows


def pair_rows(
    gold: list[Conversation],
    systems: dict[str, tuple[str, list[Conversation]]],
    labels: LabelSet = ECF,
    ranged: bool = True,
) -> dict:
    """The section "pairs": {system: {"emotions": whose, "scores": the official ones (SemEval-2024 Task 3, Subtask 2),
    "per_emotion", "predicted": {label: distinct pairs}, "interval_95": {measure: [low, high]}}}. RESULT has "less rule"
    too, where RULE is among the systems: utils.report.bootstrap.compared of the two.

    systems  {name: (whose emotions: a system of the section "emotions", or "gold"; `gold` with the system's pairs)}
    ranged   False: without intervals
    """
    rows = {
        name: {
            "emotions": whose,
            "scores": pair_scores(gold, labelled, 2, labels),
            "per_emotion": per_emotion_pair_scores(gold, labelled, labels),
            "predicted": _counted(labels.emotional, (e for c in labelled for _, e, _ in pairs(c, labels))),
        }
        for name, (whose, labelled) in systems.items()
    }
    if not ranged:
        return rows
    if {RESULT, RULE} <= {*systems}:
        rows[RESULT]["less rule"] = compared(gold, [(systems[RESULT][1], systems[RULE][1])], labels)
    counted = {name: (pair_counts(gold, labelled, labels), pair_measures) for name, (_, labelled) in systems.items()}
    for name, ends in intervals(counted).items():
        rows[name]["interval_95"] = ends
    return rows


def system_scores(
    gold: list[Conversation],
    predicted: list[Conversation],
    tables: list,
    labels: LabelSet = ECF,
    ranged: bool = True,
) -> dict:
    """What metrics.json holds of one system: its emotions, its pairs, and the rule's pairs on its emotions and on gold
    ones. `predicted` carries emotions and pairs; tables: its emotions' probabilities."""
    systems = {
        RULE: ("fine-tuned", [rule(c, labels) for c in predicted]),
        RESULT: ("fine-tuned", predicted),
        "gold emotions + rule": ("gold", [rule(c, labels) for c in gold]),
    }
    return {
        "emotions": emotion_rows(gold, {"fine-tuned": (predicted, tables)}, labels, ranged),
        "pairs": pair_rows(gold, systems, labels, ranged),
    }


def labelled_counts(confusion: list[list[int]], labels: Iterable[str]) -> dict[str, dict[str, int]]:
    """{gold label: {predicted label: utterances}} from such counts in the order of `labels`. Raises ValueError for
    another number of rows or columns."""
    order = list(labels)
    return {label: dict(zip(order, row, strict=True)) for label, row in zip(order, confusion, strict=True)}


def _counted(labels: Iterable[str], found: Iterable[str]) -> dict[str, int]:
    """{label: how often it is among `found`}, in the order of `labels`."""
    counter = Counter(found)
    return {label: counter[label] for label in labels}


# ---- read ------------------------------------------------------------------------------------------------------


def read_scores(folder) -> dict:
    """The metrics.json in `folder` as version 2 has it; {} where there is none. A file of version 1 keeps its figures
    and no "version": its keys become plain, and its confusions get their labels.

    Raises FileError for a damaged file, and for one of a later version.
    """
    path = Path(folder) / "metrics.json"
    scores = read_object(path) if path.is_file() else {}
    if scores.get("version", VERSION) != VERSION:
        raise FileError(f"{path}: version {shown(scores['version'])}, and this code reads {VERSION}. Update the code.")
    if "version" in scores:
        return scores
    with intact(path, "Restore the file, or run the notebooks or utils.ensemble again"):
        for one in scores.get("emotions", {}).values():
            if "confusion" in one:
                one["confusion"] = labelled_counts(one["confusion"], one["per_emotion"])
        if "pairs" in scores:
            scores["pairs"] = {_PLAIN.get(name, name): row for name, row in scores["pairs"].items()}
    return scores


def as_first(scores: dict) -> dict:
    """The figures among computed `scores` that version 1 had."""
    rows = {section: scores[section] for section in ("emotions", "pairs") if section in scores}
    return scores | {
        section: {
            name: {key: one for key, one in row.items() if key not in _SECOND} if isinstance(row, dict) else row
            for name, row in there.items()
        }
        for section, there in rows.items()
    }
