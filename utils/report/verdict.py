"""Did the run learn anything? In words, with what to try, where it did not.

for line in verdict(read_scores(folder)): print(line)
"""

from collections.abc import Sequence

from utils.report.scores import RESULT, RULE

SECTIONS = ("emotions", "pairs", "opinions", "instructions")  # of metrics.json, that are judged


def verdict(scores: dict, sections: Sequence[str] = SECTIONS) -> list[str]:
    """Lines for a person to read, about those `sections` of a run's metrics.json (utils.report.scores.read_scores) that
    show that nothing was learnt: emotions of one label alone or no better than the majority's, pairs no better than the
    rule's, opinions no better than the commonest answer, answers no likelier than before training. [] where something
    was."""
    wheres = [
        f" on {scores[items]:,} {items if scores[items] != 1 else items[:-1]}"
        for items in ("conversations", "texts", "examples")
        if items in scores
    ]
    found = {section: judge(scores.get(section, {})) for section, judge in _JUDGES.items()}
    return [
        f"NOTHING LEARNT: {what}{''.join(wheres)}. Try {advice}."
        for section, (what, advice) in found.items()
        if what and section in sections
    ]


def _of_emotions(rows: dict) -> tuple[str, str]:
    """(what is wrong, or "", and what to try)."""
    row, majority, what = rows.get("fine-tuned", {}), rows.get("majority"), ""
    named = {label: count for label, count in row.get("predicted", {}).items() if count}
    gold = [label for label, one in row.get("per_emotion", {}).items() if one["support"]]
    if len(gold) < 2:  # there is nothing to tell apart
        pass
    elif len(named) == 1:
        (label, count), *_ = named.items()
        what = f"all {count:,} utterances are called {label}"
    elif majority and row["weighted_f1"] <= majority["weighted_f1"]:
        both = f"weighted F1 {row['weighted_f1']:.3f} for {majority['weighted_f1']:.3f}"
        what = f"the emotions are no better than the most frequent one, {both}"
    return what, "more conversations or emotion_epochs, and see in notebook 1 whether the loss fell"


def _of_pairs(rows: dict) -> tuple[str, str]:
    row, rule, what = rows.get(RESULT), rows.get(RULE), ""
    if row and rule and row["scores"]["weighted_f1"] <= rule["scores"]["weighted_f1"]:
        both = f"weighted F1 {row['scores']['weighted_f1']:.3f} for {rule['scores']['weighted_f1']:.3f}"
        what = f"the causes are no better than the rule, {both}"
        if not any(row.get("predicted", {"": 1}).values()):
            what = "no pair of an emotion and a cause is reported"
    return what, "better emotions first, then more conversations, cause_epochs or another cause_threshold"


def _of_opinions(rows: dict) -> tuple[str, str]:
    row, majority, what = rows.get("fine-tuned", {}), rows.get("majority", {}), ""
    if "scores" in row and "scores" in majority and row["scores"]["rmse"] >= majority["scores"]["rmse"]:
        both = f"RMSE {row['scores']['rmse']:.3f} for {majority['scores']['rmse']:.3f}"
        what = f"the scores are no better than the mean of training, {both}"
    elif "labels" in row and "labels" in majority and row["labels"]["macro_f1"] <= majority["labels"]["macro_f1"]:
        both = f"macro F1 {row['labels']['macro_f1']:.3f} for {majority['labels']['macro_f1']:.3f}"
        what = f"the opinions are no better than the commonest one, {both}"
    return what, "more texts or opinion_epochs, and see in opinion_training whether the loss fell"


def _of_instructions(rows: dict) -> tuple[str, str]:
    row, before = (rows.get(name, {}).get("held_out", {}) for name in ("fine-tuned", "zero-shot"))
    what = ""
    if row and before and row["loss"] >= before["loss"]:
        what = (
            f"the right answers are no likelier than before training, loss {row['loss']:.3f} for {before['loss']:.3f}"
        )
    return what, "more examples or instruction_epochs, and see in instruction_training whether the loss fell"


_JUDGES = {"emotions": _of_emotions, "pairs": _of_pairs, "opinions": _of_opinions, "instructions": _of_instructions}
