"""How good answers to instructions are: loss and perplexity of the right ones, likeness of written ones, right choices.

held_out_scores([(-12.5, 9), ...])                  # of answers that a model did not see in training
written_scores(["A plum."], ["An apple."])          # references, what a model wrote
choice_scores(["yes", "no"], ["yes", "yes"])        # of classifications
"""

import math
import re
import unicodedata
from collections.abc import Sequence


def held_out_scores(scored: Sequence[tuple[float, int]]) -> dict[str, float]:
    """scored: of each right answer its log-probability, and how many tokens it has.

    loss: nats a token, the mean over all tokens as training has it; perplexity: e to the loss; answers and tokens:
    how many. {} without answers."""
    tokens = sum(count for _, count in scored)
    if not tokens:
        return {}
    loss = -sum(logp for logp, _ in scored) / tokens
    perplexity = math.exp(loss) if loss < 700 else math.inf  # beyond that no float holds it
    return {"loss": loss, "perplexity": perplexity, "answers": len(scored), "tokens": tokens}


def words(text: str) -> list[str]:
    """The words of a text as ROUGE compares them: letters and digits, in small letters."""
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFC", text).lower())


def rouge_l(reference: str, written: str) -> float:
    """ROUGE-L (Lin 2004, section 3.1, with beta 1): the harmonic mean of precision and recall of the longest common
    subsequence of words; from 0 to 1. Words are not stemmed."""
    ours, theirs = words(written), words(reference)
    lengths = [0] * (len(theirs) + 1)  # of the longest common subsequence with the reference's first words
    for word in ours:
        before = lengths[:]
        for k, other in enumerate(theirs):
            lengths[k + 1] = before[k] + 1 if word == other else max(before[k + 1], lengths[k])
    common = lengths[-1]
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def written_scores(references: Sequence[str], written: Sequence[str]) -> dict[str, float]:
    """rouge_l: the mean; exact_match: the share of answers that are the reference, but for white space; answers: how
    many. {} without answers."""
    pairs = list(zip(references, written, strict=True))
    if not pairs:
        return {}
    exact = sum(one.split() == other.split() for one, other in pairs)
    likeness = sum(rouge_l(one, other) for one, other in pairs)
    return {"rouge_l": likeness / len(pairs), "exact_match": exact / len(pairs), "answers": len(pairs)}


def choice_scores(gold: Sequence[str], chosen: Sequence[str]) -> dict[str, float]:
    """exact_match: the share of classifications with the right choice; answers: how many. {} without any."""
    pairs = list(zip(gold, chosen, strict=True))
    return (
        {"exact_match": sum(one == other for one, other in pairs) / len(pairs), "answers": len(pairs)} if pairs else {}
    )
