"""Sentences as vectors: the mean over a sentence's tokens, in whatever company it is read.

python -m pytest tests/models/test_sentences.py
"""

import numpy as np
import pytest
import torch
from transformers import AutoModel

from utils.models.sentences import packaged, sentence_encoder

SENTENCES = ["It rains.", "A longer one, that is read beside the first.", "So what?"]


def test_vectors_are_means_over_tokens_of_length_one(tiny_model_folder, tokenizer):
    sentences = [*SENTENCES, "rain " * 300]
    found = sentence_encoder(tiny_model_folder)(sentences)
    model = AutoModel.from_pretrained(tiny_model_folder).eval()
    for vector, sentence in zip(found, sentences, strict=True):
        ids = torch.tensor([tokenizer(sentence)["input_ids"][:256]])
        with torch.no_grad():
            mean = model(ids).last_hidden_state[0].mean(0)
        assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)


@pytest.mark.skipif(packaged() is None, reason="all-MiniLM-L6-v2 is not installed")
def test_the_real_one_finds_what_means_the_same():
    vectors = sentence_encoder(packaged())(
        ["Guns should be banned.", "Outlaw firearms.", "I like guns, and so should you.", "The soup is too hot."]
    )
    near = vectors @ vectors.T
    assert vectors.shape == (4, 384) and np.diag(near) == pytest.approx(np.ones(4), abs=1e-5)
    assert near[0, 1] > near[0, 2] > near[0, 3]
