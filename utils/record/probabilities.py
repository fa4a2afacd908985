"""Do the labels in predictions.jsonl follow from the probabilities beside them, and from the recorded thresholds?

check_probabilities(folder, predicted, threshold_of(folder, root), thresholds_of(folder, labels), labels)
"""

from pathlib import Path

from utils.config import Config
from utils.data.conversations import Conversation, pairs
from utils.data.labels import LabelSet
from utils.data.validation import PAIRS, same_id
from utils.record.predictions import predictions_file, read_lines, run_folder, scored_on
from utils.record.provenance import ENCODER, read_records
from utils.record.stages import LABELLED_BY
from utils.system.errors import RunError, UserError, shown
from utils.system.files import intact, read_json_lines

ROUNDED = 5e-5  # predictions.jsonl has four digits
NEAR = 2.1 * ROUNDED  # numbers so far apart may have been equal


def threshold_of(folder: Path, root: Path | None) -> float | None:
    """The probability from which on pairs were named, None where no record names it: that of notebook 4, also of the
    first run in an ensemble, or the default where encoders decided."""
    record = scored_on(folder)
    parameters = record["parameters"]
    by_encoders = any(name in ENCODER and one == record for name, one in read_records(folder).items())
    if parameters.get("encoders") or by_encoders:
        return Config.cause_threshold
    for name in parameters.get("causes") or parameters.get("runs") or ():
        try:
            records = read_records(run_folder(name, root))
        except (TypeError, UserError):  # a run that is not here
            return None
        if LABELLED_BY["cause"] in records:
            parameters = records[LABELLED_BY["cause"]]["parameters"]
            break
    threshold = parameters.get("cause_threshold")
    known = isinstance(threshold, float) and parameters.get("cause_form", Config.cause_form) == "candidates"
    return threshold if known and parameters.get("recipe", Config.recipe) == "one_pass" else None


def thresholds_of(folder: Path, labels: LabelSet) -> dict[str, float] | None:
    """{label: the probability from which on it was named} of a run with several labels an utterance; None where the
    record of the notebook that named them has none."""
    record = read_records(folder).get(LABELLED_BY["emotion"], {})
    if "thresholds" not in record:
        return None
    with intact(folder / "config.json", "Restore the file, or run the emotion inference again"):
        return {label: float(record["thresholds"][label]) for label in labels}


def check_probabilities(
    folder: Path,
    predicted: list[Conversation],
    threshold: float | None,
    thresholds: dict[str, float],
    labels: LabelSet,
):
    """Raises RunError for a conversation that was not scored, for an emotion that is not the most probable one, for
    several that are not those from their `thresholds` on ({}: not asked), and for pairs that are not those from
    `threshold` on (None: not asked)."""
    path = predictions_file(folder)
    known = {same_id(c["conversation_ID"]) for c in predicted}
    for where, line in read_json_lines(path):
        if same_id(line["conversation_ID"]) not in known:
            raise RunError(f"{where}: conversation {shown(line['conversation_ID'])} was not scored: remove the line")
    for c, line in zip(predicted, read_lines(path, predicted), strict=True):
        where = f"{path}: conversation {c['conversation_ID']}"
        with intact(where, "Restore the file, or run 4_cause_inference again"):
            emotions = _checked_emotions(where, c, line["emotion_probabilities"], thresholds, labels)
            if PAIRS in c:
                _check_pairs(where, c, line["cause_probabilities"], emotions, threshold, labels)


def _checked_emotions(where, c, table, thresholds: dict[str, float], labels: LabelSet) -> dict[int, float]:
    """{utterance id: the probability of its emotion}; without those that may carry several, which have no causes."""
    if len(table) != len(c["conversation"]):
        raise RunError(f"{where}: {len(table)} rows of probabilities for {len(c['conversation'])} utterances")
    found = {}
    for u, row in zip(c["conversation"], table):
        here = f"{where}, utterance {u['utterance_ID']}"
        whole = len(row) == len(labels) and all(map(_is_probability, row))
        if whole and isinstance(u["emotion"], list):
            if thresholds:
                _check_several(here, u["emotion"], dict(zip(labels, row)), thresholds)
            continue
        if not whole or abs(sum(row) - 1) > (len(labels) + 1) * ROUNDED:
            raise RunError(f"{here}: {shown(row)} are no probabilities of {len(labels)} labels, which sum to 1")
        most = max(row)
        if most - row[labels.index(u["emotion"])] > NEAR:
            likeliest = labels.labels[row.index(most)]
            raise RunError(f"{here}: {u['emotion']} is not the most probable emotion, {likeliest} is ({most})")
        found[u["utterance_ID"]] = most
    return found


def _check_several(here, named: list[str], row: dict[str, float], thresholds: dict[str, float]):
    """Raises RunError for labels that are not those whose probability reaches its threshold; where none does, for one
    that is not the nearest to it (the largest share of the threshold). Probabilities are rounded."""
    lost = [label for label, p in row.items() if label not in named and p - thresholds[label] > NEAR]
    more = [label for label in named if thresholds[label] - row[label] > NEAR]
    if lost:
        raise RunError(f"{here}: {lost[0]} is not named at {row[lost[0]]}, and its threshold is {thresholds[lost[0]]}")
    if len(named) == 1 and more:
        nearest = max((p - NEAR) / thresholds[label] for label, p in row.items())
        more = [label for label in named if (row[label] + NEAR) / thresholds[label] < nearest]
    if more:
        raise RunError(f"{here}: {more[0]} is named at {row[more[0]]}, and its threshold is {thresholds[more[0]]}")


def _check_pairs(where, c, table, emotions, threshold, labels: LabelSet):
    calm = {u["utterance_ID"] for u in c["conversation"] if u["emotion"] == labels.neutral}
    named = {(number, cause) for number, _, cause in pairs(c, labels)}
    asked = {(int(i), int(k)): p for i, row in table.items() for k, p in row.items()}
    for (i, k), p in asked.items():
        if i not in emotions or k not in emotions or i in calm or not _is_probability(p):
            raise RunError(f"{where}: the probability {shown(p)} that {k} caused the emotion of {i} cannot be")
    if missing := named - {*asked}:
        raise RunError(f"{where}: the pair {sorted(missing)[0]} has no probability")
    likely = {pair: p * emotions[pair[0]] for pair, p in asked.items()}
    if threshold is None:
        return
    for pair, p in likely.items():
        if (pair in named) != (p >= threshold) and abs(p - threshold) > NEAR:
            said = "is named" if pair in named else "is not named"
            raise RunError(f"{where}: the pair {pair} {said} at {p:.4f}, and the threshold is {threshold}")


def _is_probability(value) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1
