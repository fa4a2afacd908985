"""Are the scores in metrics.json those of the predictions, and the predictions those of their probabilities?

found = verify("results_train/smollm2-135m-ecf")
found.figures["emotions / fine-tuned / accuracy"]       # (in metrics.json, computed again)
found.not_compared                                       # {row: how many figures}, whose predictions are not kept
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from utils.data.conversations import Conversation, load_conversations
from utils.data.labels import LabelSet
from utils.data.validation import PAIRS
from utils.record.instructions import instruction_scores
from utils.record.opinions import opinion_scores
from utils.record.predictions import (
    gold_of,
    input_of_scores,
    labels_of_scores,
    read_lines,
    read_predictions,
    run_folder,
    scored_on,
)
from utils.record.probabilities import check_probabilities, threshold_of, thresholds_of
from utils.record.provenance import fingerprints
from utils.report.bootstrap import compared
from utils.report.scores import as_first, emotion_rows, head, pair_rows, read_scores, system_scores
from utils.report.tables import figures, mean_and_spread
from utils.system.errors import RunError, UserError
from utils.system.files import intact
from utils.tasks.baselines import rule, shares, with_majority

# Rows whose predictions are not kept, and whose emotions those of pairs are on.
NOT_KEPT = {"base model, zero-shot": "zero-shot", "gold emotions + fine-tuned causes": "gold"}
# Sections of runs with a pool of wordings, whose predictions are not kept either.
IN_WORDS = {"emotion wordings", "cause wordings"}


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
    there = read_scores(folder)
    repair = intact(folder / "metrics.json", "Restore the file, or run the notebooks or utils.ensemble again")
    others = {"opinions": opinion_scores, "instructions": instruction_scores}
    for section, computed_again in others.items():
        if section in there:
            with repair:
                return Verified(*_compared(folder, there, *computed_again(folder, root)), None, {})
    gold, labels = gold_of(folder, root), labels_of_scores(folder, root)
    predicted = read_predictions(folder, gold, labels, causes=False)
    threshold = threshold_of(folder, root)
    several = any(isinstance(u["emotion"], list) for c in predicted for u in c["conversation"])
    thresholds = thresholds_of(folder, labels) if several else {}
    check_probabilities(folder, predicted, threshold, thresholds or {}, labels)
    with repair:
        computed, uncomputed = _computed(folder, root, gold, predicted, there, labels)
        computed = head(gold, labels) | computed if "version" in there else as_first(computed)
        return Verified(*_compared(folder, there, computed, uncomputed), threshold, thresholds)


def _compared(folder: Path, there: dict, computed: dict, uncomputed: set[str]) -> tuple[dict, dict]:
    """(`figures`, `not_compared`) of Verified, from metrics.json (`there`) and the computed figures. Raises RunError
    for figures of no known row."""
    expected = dict(_leaves(json.loads(json.dumps(computed))))
    given = dict(_leaves({name: section for name, section in there.items() if name != "made"}))
    not_compared: dict[str, int] = {}
    for name in [name for name in given if name not in expected]:
        row = next((row for row in uncomputed if name.startswith(f"{row} / ")), None)
        if row is None:
            raise RunError(f"{folder}/metrics.json: {name[:200]!r} is no figure of this run: remove it, or score again")
        not_compared[row] = not_compared.get(row, 0) + 1
    return {name: (given.get(name), here) for name, here in expected.items()}, not_compared


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
