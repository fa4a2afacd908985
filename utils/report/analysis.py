"""Where a run goes wrong: one table row an utterance, one a gold pair, to be grouped by whatever may explain errors.

    gold = load_conversations("input/test", labelled=True)
    predicted = read_predictions("results_train/sample", gold)
    utterance_table(gold, predicted)    pair_table(gold, predicted)    ceilings(gold, predicted)

No text is in the tables. notebooks/error_analysis.ipynb draws them.
"""

import math
from typing import Any

import pandas as pd

from utils.data.conversations import Conversation, pairs, with_pairs
from utils.data.labels import ECF, LabelSet
from utils.report.distances import HIGH, LOW, name_of, pooled
from utils.report.metrics import pair_scores
from utils.tasks.baselines import rule
from utils.tasks.cause import with_gold_causes

FATES = ("found", "emotion taken for neutral", "emotion taken for another", "cause not named")
GUESSING, ALWAYS = "guessing by frequency", "always the most frequent emotion"


def utterance_table(gold: list[Conversation], predicted: list[Conversation]) -> pd.DataFrame:
    """One row an utterance: gold and predicted emotion, and what may explain an error.

    gold, predicted: the same conversations in the same order, with `emotion`. Columns: conversation_ID, position (from
    0), emotion, predicted, right, words, length (utterances in its conversation), speaker (what the previous
    utterance's is: "first", "same", "other").
    """
    rows = []
    for true, guess in zip(gold, predicted, strict=True):
        utterances = true["conversation"]
        for i, (u, g) in enumerate(zip(utterances, guess["conversation"], strict=True)):
            same = i and utterances[i - 1]["speaker"] == u["speaker"]
            rows.append(
                {
                    "conversation_ID": true["conversation_ID"],
                    "position": i,
                    "emotion": u["emotion"],
                    "predicted": g["emotion"],
                    "right": u["emotion"] == g["emotion"],
                    "words": len(u["text"].split()),
                    "length": len(utterances),
                    "speaker": "same" if same else "other" if i else "first",
                }
            )
    columns = ["conversation_ID", "position", "emotion", "predicted", "right", "words", "length", "speaker"]
    return pd.DataFrame(rows, columns=columns)


def pair_table(gold: list[Conversation], predicted: list[Conversation], labels: LabelSet = ECF) -> pd.DataFrame:
    """One row a gold pair: whether it was found, and if not, what lost it.

    gold, predicted: the same conversations in the same order, with `emotion` and `emotion-cause_pairs`. Columns:
    conversation_ID, emotion, distance (cause's position minus the emotion's), speaker ("itself", "same", "other"),
    length (utterances in the conversation), fate (one of FATES).
    """
    rows = []
    for true, guess in zip(gold, predicted, strict=True):
        place = {u["utterance_ID"]: i for i, u in enumerate(true["conversation"])}
        named = {u["utterance_ID"]: u["emotion"] for u in guess["conversation"]}
        speakers = {u["utterance_ID"]: u["speaker"] for u in true["conversation"]}
        found = set(pairs(guess, labels))
        for number, emotion, cause in pairs(true, labels):
            fate = "found" if (number, emotion, cause) in found else "cause not named"
            if named[number] != emotion:
                fate = "emotion taken for neutral" if named[number] == labels.neutral else "emotion taken for another"
            same = "same" if speakers[number] == speakers[cause] else "other"
            rows.append(
                {
                    "conversation_ID": true["conversation_ID"],
                    "emotion": emotion,
                    "distance": place[cause] - place[number],
                    "speaker": "itself" if cause == number else same,
                    "length": len(true["conversation"]),
                    "fate": fate,
                }
            )
    return pd.DataFrame(rows, columns=["conversation_ID", "emotion", "distance", "speaker", "length", "fate"])


def fates(pairs: pd.DataFrame, by: str, shares: bool = False) -> pd.DataFrame:
    """How many gold pairs had each fate: a row a value of the column `by` of `pair_table`, in order, a column a fate.
    With `shares` as shares of their row, and the row's number of pairs in a last column."""
    counts: Any = pairs.groupby([by, "fate"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=FATES, fill_value=0)
    if not shares:
        return counts
    total = counts.sum(axis=1)
    return counts.div(total, axis=0).assign(pairs=total)


def fates_by_distance(pairs: pd.DataFrame) -> pd.DataFrame:
    """`fates` of the gold pairs of `pair_table`, a row a distance between cause and emotion, pooled and named as in
    report/distances.py; every distance has its row."""
    counts = fates(pairs.assign(distance=pairs.distance.map(pooled)), "distance")
    counts = counts.reindex(range(LOW, HIGH + 1), fill_value=0)
    return counts.set_axis([name_of(distance) for distance in counts.index])


def found_and_right(utterances: pd.DataFrame, labels: LabelSet = ECF) -> pd.DataFrame:
    """How well each label of `utterance_table` is recognised: a row a gold label, but the neutral one, in the order of
    `labels`.

    Columns: "found (recall)", the share of its utterances that got it; "right (precision)", the share of the utterances
    that got it and have it, 0 where none did; GUESSING, what both would be on average; n, its utterances.
    """
    there = [label for label in labels if label != labels.neutral and (utterances.emotion == label).any()]
    gold = utterances.emotion.value_counts().reindex(there)
    named = utterances.predicted.value_counts().reindex(there, fill_value=0)
    right = utterances[utterances.right].emotion.value_counts().reindex(there, fill_value=0)
    return pd.DataFrame(
        {
            "found (recall)": right / gold,
            "right (precision)": right / named.clip(lower=1),
            GUESSING: gold / len(utterances),
            "n": gold,
        }
    )


def right_by(utterances: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
    """The share of right emotions in each of the `groups` (one a row of `utterance_table`): right; ALWAYS, what
    the most frequent emotion of all would get right; n, the group's utterances."""
    commonest = utterances.emotion.mode()
    always = utterances.emotion.isin(commonest[:1])
    right = utterances.right.groupby(groups, observed=True)
    of_always = always.groupby(groups, observed=True).mean()
    return pd.DataFrame({"right": right.mean(), ALWAYS: of_always, "n": right.size()})


def found_by(pairs: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
    """The share of gold pairs that are found in each of the `groups` (one a row of `pair_table`): found; n, the
    group's pairs."""
    found = (pairs.fate == "found").groupby(groups, observed=True)
    return pd.DataFrame({"found": found.mean(), "n": found.size()})


def confused(utterances: pd.DataFrame) -> pd.DataFrame:
    """The wrong emotions of `utterance_table`, a row a (gold, predicted) pair of emotions, the most frequent first.
    Columns: emotion, predicted, utterances, and their share of the gold emotion's utterances."""
    counts: Any = utterances[~utterances.right].groupby(["emotion", "predicted"]).size()
    wrong = counts.rename("utterances").reset_index()
    wrong["share of gold"] = wrong.utterances / wrong.emotion.map(utterances.emotion.value_counts())
    return wrong.sort_values("utterances", ascending=False, kind="stable")


def binned(values: pd.Series, ends: list[int]) -> pd.Series:
    """Whole numbers in named groups: "up to 2", "3 to 5", ..., "over 20" for the ends [2, ..., 20]."""
    middle = [str(b) if a + 1 == b else f"{a + 1} to {b}" for a, b in zip(ends, ends[1:])]
    names = [f"up to {ends[0]}", *middle, f"over {ends[-1]}"]
    return pd.Series(pd.cut(values, [-math.inf, *ends, math.inf], labels=names))


def ceilings(gold: list[Conversation], predicted: list[Conversation], labels: LabelSet = ECF) -> pd.DataFrame:
    """Official weighted F1 of the pairs as they are, and if one kind of error were fixed: what is worth work.

    Rows: "as predicted"; "neutral never taken for an emotion" (pairs of truly neutral utterances taken out); "emotions
    never taken for neutral" (where none was seen, the gold emotion with the causes of the rule of
    utils.tasks.baselines, since none were asked for); "emotions named right" (where an emotion was seen, it is called
    by its gold name); "causes right" (the predicted emotions of truly emotional utterances with the gold causes of
    these).
    """
    truths = [{u["utterance_ID"]: u["emotion"] for u in c["conversation"]} for c in gold]
    fixed = {
        "as predicted": predicted,
        "neutral never taken for an emotion": [
            with_pairs(c, [p for p in pairs(c, labels) if truth[p[0]] != labels.neutral])
            for c, truth in zip(predicted, truths)
        ],
        "emotions never taken for neutral": [_with_missed(*both, labels) for both in zip(predicted, gold)],
        "emotions named right": [
            with_pairs(
                _named(c, truth, labels), [(i, _name(truth[i], e, labels), cause) for i, e, cause in pairs(c, labels)]
            )
            for c, truth in zip(predicted, truths)
        ],
        "causes right": [
            with_pairs(
                c,
                pairs(with_gold_causes(c, true, labels), labels)
                + [p for p in pairs(c, labels) if truth[p[0]] == labels.neutral],
            )
            for c, true, truth in zip(predicted, gold, truths)
        ],
    }
    return pd.DataFrame(
        {name: {"weighted F1": pair_scores(gold, one, 2, labels)["weighted_f1"]} for name, one in fixed.items()}
    ).T


def _with_missed(predicted: Conversation, gold: Conversation, labels: LabelSet) -> Conversation:
    """`predicted` with the rule's pairs of the emotions of `gold` that it takes for neutral."""
    missed = {u["utterance_ID"] for u in predicted["conversation"] if u["emotion"] == labels.neutral}
    found = [pair for pair in pairs(rule(gold, labels), labels) if pair[0] in missed]
    return with_pairs({**predicted, "conversation": gold["conversation"]}, pairs(predicted, labels) + found)


def _name(truth, guess, labels):
    return guess if labels.neutral in (truth, guess) else truth


def _named(conversation: Conversation, truth: dict, labels: LabelSet) -> Conversation:
    return {
        **conversation,
        "conversation": [
            {**u, "emotion": _name(truth[u["utterance_ID"]], u["emotion"], labels)}
            for u in conversation["conversation"]
        ],
    }
