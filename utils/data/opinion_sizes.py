"""How many texts of each label training gets: fewer of the common ones, and which rare ones need company.

    texts = undersampled(texts, 40, seed=42)      # 40 texts of each label at most
    sources = lacking(texts, 40, seed=42)         # whose variants would make it 40 of each label at least

A label is what the opinions of a text say, on all its topics (`label_key`).
"""

import random
from collections import defaultdict
from collections.abc import Sequence

from utils.data.opinion_splits import label_key
from utils.data.opinions import Text


def _by_label(texts: Sequence[Text]) -> dict[str, list[Text]]:
    found: dict[str, list[Text]] = defaultdict(list)
    for text in texts:
        found[label_key(text)].append(text)
    return found


def undersampled(texts: Sequence[Text], most: int, seed: int) -> list[Text]:
    """The texts in their order, of each label `most` at most, which `seed` draws."""
    draw, kept = random.Random(seed), set()
    for _, same in sorted(_by_label(texts).items()):
        kept |= {id(text) for text in draw.sample(same, min(most, len(same)))}
    return [text for text in texts if id(text) in kept]


def lacking(texts: Sequence[Text], least: int, seed: int) -> list[Text]:
    """Texts of labels that fewer than `least` texts have, as many as are lacking: each about equally often; which ones
    stand once more, `seed` draws."""
    draw, found = random.Random(seed), []
    for _, same in sorted(_by_label(texts).items()):
        order = draw.sample(same, len(same))
        found += [order[number % len(order)] for number in range(least - len(same))]
    return found
