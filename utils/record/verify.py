"""Are the scores in metrics.json those of the predictions, and the predictions those of their probabilities?

found = verify("results_train/smollm2-135m-ecf")
found.figures["emotions / fine-tuned / accuracy"]       # (in metrics.json, computed again)
found.not_compared                                       # {row: how many figures}, whose predictions are not kept
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from utils.config import Config
from utils.data.conversations import Conversation, load_conversations, pairs
from utils.data.labels import LabelSet
from utils.data.validation import PAIRS, same_id
from utils.record.predictions import (
    gold_of,
    input_of_scores,
    labels_of_scores,
    predictions_file,
    read_lines,
    read_predictions,
    run_folder,
    scored_on,
)
from utils.record.provenance import ENCODER, fingerprints, read_records
from utils.record.stages import LABELLED_BY
from utils.report.bootstrap import compared
from utils.report.scores import as_first, emotion_rows, head, pair_rows, read_scores, system_scores
from utils.report.tables import figures, mean_and_spread
from utils.system.errors import RunError, UserError, shown
from utils.system.files import intact, read_json_lines
from utils.tasks.baselines import rule, shares, with_majority

# Rows whose predictions are not kept, and whose emotions those of pairs are on.
NOT_KEPT = {"base model, zero-shot": "zero-shot", "gold emotions + fine-tuned causes": "gold"}
# Sections of runs with a pool of wordings, whose predictions are not kept either.
IN_WORDS = {"emotion wordings", "cause wordings"}
ROUNDED = 5e-5  # predictions.jsonl has four digits
_NEAR = 2.1 * ROUNDED  # numbers so far apart may have been equal


class Verified(NamedTuple):
    """figures       {name: (in metrics.json, computed from predictions)}
    not_compared  {row: how many of its figures cannot be computed}
    threshold     what pairs were compared with; None where no record names it
    thresholds    for each label what several labels an utterance were compared with; {} where utterances have one, None
                  where no record names them
    """

    figures: dict[str, tuple]
    not_compared: dict[str, int]
    threshold: float | None
    thresholds: dict[str, float] | None


def verify(folder: Path, root: Path | None = None) -> Verified:
    """Computes the scores of a run or system again, from its predictions.jsonl and the gold labels of its input.

    Raises RunError for a folder without scores, where the input is missing or not the run's, for conversations,
    rows and figures that do not belong there, and for labels that are not those of the probabilities beside them.
    """
    folder = Path(folder)
    gold, labels = gold_of(folder, root), labels_of_scores(folder, root)
    there = read_scores(folder)
    predicted = read_predictions(folder, gold, labels, causes=False)
    threshold = _threshold(folder, root)
    several = any(isinstance(u["emotion"], list) for c in predicted for u in c["conversation"])
    thresholds = _thresholds(folder, labels) if several else {}
    _check_probabilities(folder, predicted, threshold, thresholds or {}, labels)
    with intact(folder / "metrics.json", "Restore the file, or run the notebooks or utils.ensemble again"):
        computed, uncomputed = _computed(folder, root, gold, predicted, there, labels)
        computed = head(gold, labels) | computed if "version" in there else as_first(computed)
        expected = dict(_leaves(json.loads(json.dumps(computed))))
        given = dict(_leaves({name: section for name, section in there.items() if name != "made"}))
    not_compared: dict[str, int] = {}
    for name in [name for name in given if name not in expected]:
        row = next((row for row in uncomputed if name.startswith(f"{row} / ")), None)
        if row is None:
            raise RunError(f"{folder}/metrics.json: {name[:200]!r} is no figure of this run: remove it, or score again")
        not_compared[row] = not_compared.get(row, 0) + 1
    found = {name: (given.get(name), here) for name, here in expected.items()}
    return Verified(found, not_compared, threshold, thresholds)


def is_equal(there, computed) -> bool:
    """Whether a figure of metrics.json is the computed one, to 1e-9; names must be the same."""
    if type(there) not in (int, float) or not isinstance(computed, (int, float)):
        return type(there) is type(computed) and there == computed
    return -1e9 < there < 1e9 and abs(there - computed) < 1e-9


def _leaves(data, name: str = "") -> Iterator[tuple]:
    """(name, value) of every value in `data`, dictionaries and lists within each other."""
    if isinstance(data, (dict, list)):
        for key, below in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _leaves(below, f"{name} / {key}" if name else str(key))
    else:
        yield name, data


# ---- the labels and their probabilities ------------------------------------------------------------------------


def _threshold(folder: Path, root: Path | None) -> float | None:
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


def _thresholds(folder: Path, labels: LabelSet) -> dict[str, float] | None:
    """{label: the probability from which on it was named} of a run with several labels an utterance; None where the
    record of the notebook that named them has none."""
    record = read_records(folder).get(LABELLED_BY["emotion"], {})
    if "thresholds" not in record:
        return None
    with intact(folder / "config.json", "Restore the file, or run the emotion inference again"):
        return {label: float(record["thresholds"][label]) for label in labels}


def _check_probabilities(
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
        if most - row[labels.index(u["emotion"])] > _NEAR:
            likeliest = labels.labels[row.index(most)]
            raise RunError(f"{here}: {u['emotion']} is not the most probable emotion, {likeliest} is ({most})")
        found[u["utterance_ID"]] = most
    return found


def _check_several(here, named: list[str], row: dict[str, float], thresholds: dict[str, float]):
    """Raises RunError for labels that are not those whose probability reaches its threshold; where none does, for one
    that is not the nearest to it (the largest share of the threshold). Probabilities are rounded."""
    lost = [label for label, p in row.items() if label not in named and p - thresholds[label] > _NEAR]
    more = [label for label in named if thresholds[label] - row[label] > _NEAR]
    if lost:
        raise RunError(f"{here}: {lost[0]} is not named at {row[lost[0]]}, and its threshold is {thresholds[lost[0]]}")
    if len(named) == 1 and more:
        nearest = max((p - _NEAR) / thresholds[label] for label, p in row.items())
        more = [label for label in named if (row[label] + _NEAR) / thresholds[label] < nearest]
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
        if (pair in named) != (p >= threshold) and abs(p - threshold) > _NEAR:
            said = "is named" if pair in named else "is not named"
            raise RunError(f"{where}: the pair {pair} {said} at {p:.4f}, and the threshold is {threshold}")


def _is_probability(value) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


# ---- the rows --------------------------------------------------------------------------------------------------


def _computed(folder, root, gold, predicted, there, labels: LabelSet) -> tuple[dict, set[str]]:
    """(what metrics.json must hold of the rows that it has, the rows that cannot be computed)."""
    tables = [line["emotion_probabilities"] for line in read_lines(folder, predicted)]
    ranged = "version" in there
    if not any(PAIRS in c for c in predicted):
        return _of_emotions_alone(folder, root, gold, predicted, tables, there, labels)
    found = system_scores(gold, predicted, tables, labels, ranged)
    uncomputed = {f"pairs / {row}" for row in NOT_KEPT} | {"emotions / zero-shot"} | IN_WORDS
    found["pairs"] |= {row: {"emotions": whose} for row, whose in NOT_KEPT.items() if row in there["pairs"]}
    majority = {"emotions": "majority", "pairs": "majority emotion + rule"}
    if train := _training(folder, root, labels):
        paired = [rule(c, labels) for c in with_majority(gold, train, labels)]
        if majority["emotions"] in there["emotions"]:
            its = {"majority": (paired, shares(gold, train, labels))}
            found["emotions"] |= emotion_rows(gold, its, labels, ranged)
        if majority["pairs"] in there["pairs"]:
            found["pairs"] |= pair_rows(gold, {majority["pairs"]: ("majority", paired)}, labels, ranged)
    else:
        uncomputed |= {f"{section} / {row}" for section, row in majority.items()}
    if "systems" in there:
        uncomputed |= _add_systems(found, folder, root, gold, predicted, there, labels)
    if "members" in there:
        uncomputed |= _add_members(found, root, gold, predicted, there, labels)
    return found, uncomputed


def _of_emotions_alone(folder, root, gold, predicted, tables, there, labels: LabelSet) -> tuple[dict, set[str]]:
    """`_computed` of a run in which causes were not asked for."""
    systems, uncomputed = {"fine-tuned": (predicted, tables)}, {"emotions / zero-shot"}
    if "majority" in there["emotions"]:
        if train := _training(folder, root, labels):
            most = with_majority(gold, train, labels)
            systems["majority"] = most, shares(gold, train, labels)
        else:
            uncomputed.add("emotions / majority")
    return {"emotions": emotion_rows(gold, systems, labels, "version" in there)}, uncomputed


def _training(folder, root, labels: LabelSet) -> list[Conversation] | None:
    """What the run was trained on, where it is here."""
    input_dir, _, record = input_of_scores(folder, root)
    recorded = record["input"].get("train")
    if recorded is None or fingerprints(input_dir).get("train") != recorded:
        return None
    return load_conversations(input_dir / "train", labelled=True, labels=labels)


def _kept(name, root, gold, labels: LabelSet) -> list[Conversation] | None:
    """What another run, or the folder of this name, predicts for the same conversations; None where it is not here."""
    try:
        return read_predictions(run_folder(name, root), gold, labels)
    except (OSError, UserError):
        return None


def _add_members(found, root, gold, predicted, there, labels: LabelSet) -> set[str]:
    """Adds to `found` what utils.ensemble writes of runs with adapters; the rows that cannot be computed."""
    uncomputed, labelled = set(), {}
    members = {}
    for run in there["members"]:
        if (its := _kept(run, root, gold, labels)) is None:
            uncomputed.add(f"members / {run}")
            continue
        labelled[run] = its
        by = there["members"][run].get("causes by")
        members[run] = {"causes by": by if by in there["members"] else run, **figures(gold, its, its, labels)}
    found["members"] = members
    whole = predicted if "systems" not in there else None
    if whole is None:
        uncomputed |= {"ensemble", "ensemble less rule"}
    else:
        found["ensemble"] = figures(gold, whole, whole, labels)
        found["ensemble less rule"] = compared(gold, [(whole, [rule(c, labels) for c in whole])], labels)
    every = list((there["members"] | members).values())
    found["mean and spread"] = mean_and_spread(every) if len(every) > 1 else None
    if len(labelled) == len(there["members"]):
        beside = [(one, [rule(c, labels) for c in one]) for one in labelled.values()]
        found["members less rule"] = compared(gold, beside, labels)
    else:
        uncomputed.add("members less rule")
    return uncomputed


def _add_systems(found, folder, root, gold, predicted, there, labels: LabelSet) -> set[str]:
    """Adds to `found` what utils.ensemble writes of encoders; the rows that cannot be computed."""
    uncomputed = set()
    known = {"both" if "both" in there["systems"] else "encoder": predicted}
    beside = scored_on(folder)["parameters"].get("beside")
    if isinstance(beside, str) and (kept := _kept(beside, root, gold, labels)):
        known["language models"] = kept
    found["systems"], found["less rule"] = {}, {}
    for name in ("both", "encoder", "language models"):
        if name in known and name in there["systems"]:
            one = known[name]
            found["systems"][name] = figures(gold, one, one, labels)
            found["less rule"][name] = compared(gold, [(one, [rule(c, labels) for c in one])], labels)
        else:
            uncomputed |= {f"systems / {name}", f"less rule / {name}"}
    if {"both", "language models"} <= {*known}:
        both = [(known["both"], known["language models"])]
        found["both less language models"] = compared(gold, both, labels)
    else:
        uncomputed.add("both less language models")
    return uncomputed
