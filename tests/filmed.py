"""Conversations with made vectors, and sequences with vectors by hand, for the tests about streams (docs/senses.md)."""

import numpy as np

from utils.data.features import Stream


def filmed(conversation):
    """Every utterance but the second has a video, called by its conversation and its number."""
    utterances = [
        {**u, "video_name": f"c{conversation['conversation_ID']}u{u['utterance_ID']}.mp4"} if number != 1 else u
        for number, u in enumerate(conversation["conversation"])
    ]
    return {**conversation, "conversation": utterances}


def made_stream(name, conversations, width, most=1, seed=0):
    """A stream of random vectors: for each video one, two, ... and again one, up to `most`; the last utterance of each
    conversation has none."""
    rng, vectors = np.random.default_rng(seed), {}
    for c in conversations:
        for number, u in enumerate(c["conversation"][:-1]):
            if "video_name" in u:
                shape = (number % most + 1, width)
                vectors[u["video_name"].removesuffix(".mp4")] = rng.normal(3, 2, shape).astype(np.float32)
    return Stream(name, f"{name}.npz", vectors)


def write_stream(folder, stream):
    """Writes a stream as a person would, below an input's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{stream.name}.npz", **stream.vectors)


def embedded(model, tokenizer, ids):
    """(length, hidden) of a sequence by hand. ids: tokens, and in place of a placeholder's last one (stream, slot, its
    numbers or None)."""
    import torch

    known = [tokenizer(" *", add_special_tokens=False).input_ids[-1] if isinstance(one, tuple) else one for one in ids]
    rows = list(model.get_input_embeddings().weight[torch.tensor(known)].float())
    projector = model.projectors["default"].of()
    for index, one in enumerate(ids):
        if isinstance(one, tuple):
            (_, slot, vector), its = one, projector[one[0]]
            added = its.absent[slot]
            if vector is not None:
                added = its.weight[slot] @ ((torch.as_tensor(vector) - its.mean) / its.std) + its.bias[slot]
            rows[index] = rows[index] + added
    return torch.stack(rows)
