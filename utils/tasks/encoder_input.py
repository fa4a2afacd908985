"""A conversation as an encoder with heads reads it (utils/engine/heads.py)."""

import numpy as np

from utils.data.conversations import Conversation, Utterance, causes_of, emotions_of
from utils.data.labels import ECF, LabelSet
from utils.data.votes import distribution
from utils.engine.heads import Sizes, one_way
from utils.tasks import cause_structure, emotion
from utils.tasks.candidates import WINDOW, asked

UNLABELLED = -100  # what cross_entropy passes over
LINE, ROW = 120, 480  # tokens of a line and of a row at most; the encoder has 512 positions


def sizes(labels: LabelSet = ECF) -> Sizes:
    """What the heads for these labels are built for."""
    return Sizes(len(labels), len(cause_structure.feature_names(labels)), WINDOW)


def example(
    tokenizer, conversation: Conversation, gold: bool = False, labels: LabelSet = ECF, votes: float = 0.0
) -> dict:
    """One conversation as numbers.

    rows      lists of token ids: the conversation's lines, in several rows where it is long; a row then begins with
              the last lines of the one before it
    where     for each utterance (row, first token, token behind its last)
    pairs     for each question of `candidates.asked` (position of the emotional utterance, of its candidate)
    known     for each question cause_structure.features; no question where the conversation has no emotions
    emotions, causes   with `gold` the targets: for each utterance its label's number, or UNLABELLED, and for each
              question 0 or 1. With `votes` an utterance's target is a share for each label: so much of it is what its
              annotators voted, where they did, and the rest its label's
    """
    utterances, rows, where = conversation["conversation"], [], []
    if one_way(tokenizer):
        row_start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        line_end = tokenizer("\n", add_special_tokens=False).input_ids
    else:
        row_start, line_end = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
    lines = [tokenizer(emotion.line(u), add_special_tokens=False).input_ids[:LINE] + line_end for u in utterances]
    for k, line in enumerate(lines):
        if not rows or len(rows[-1]) + len(line) > ROW:
            first = k
            while rows and first and sum(map(len, lines[first - 1 : k])) <= ROW // 2:
                first -= 1
            rows.append(row_start + sum(lines[first:k], []))
        where.append((len(rows) - 1, len(rows[-1]), len(rows[-1]) + len(line)))
        rows[-1] += line
    found = {"rows": rows, "where": where, "pairs": [], "known": np.zeros((0, sizes(labels).known), np.float32)}
    if all("emotion" in u for u in utterances):
        found |= {"pairs": asked(conversation, labels), "known": cause_structure.features(conversation, labels)}
    if gold:
        ids, causes = [u["utterance_ID"] for u in utterances], causes_of(conversation, labels)
        if votes:
            found["emotions"] = [_shares(u, labels, votes) for u in utterances]
        else:
            found["emotions"] = [UNLABELLED if u["emotion"] is None else labels.index(u["emotion"]) for u in utterances]
        found["causes"] = [float(ids[j] in causes[ids[i]]) for i, j in found["pairs"]]
    return found


def _shares(utterance: Utterance, labels: LabelSet, votes: float) -> list[float]:
    """A share for each label, of which `votes` is what annotators voted; zeros where there is no label."""
    own, voted = dict.fromkeys(emotions_of(utterance), 1.0), distribution(utterance, labels)
    return [(1 - votes) * own.get(one, 0.0) + votes * voted.get(one, 0.0) for one in labels]
