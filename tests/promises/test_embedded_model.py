"""The real embedded model: its tree equals its one-sequence form for every emotion and candidate answer.

    python -m pytest tests/promises/test_embedded_model.py

Float32 rounding adds up over 30 layers, so TOLERANCE is a hundred times that of the 2 layers in test_parity.py,
where the sequences are written out (measured on two machines: up to 3e-7 for losses, 1e-5 and 2e-4 for
gradients, 2e-6 for log-probabilities).
"""

import pytest
import torch
from helpers import ROOT, beginning, randomize
from one_sequence import measure_parity

from utils.config import Config
from utils.engine.prefix_tree import encode
from utils.models.adapters import add_lora
from utils.models.load import EMBEDDED, load_model

TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def embedded():
    model, tokenizer = load_model(EMBEDDED, precision="float32")
    torch.manual_seed(0)
    # B as large as a trained adapter's; every kind of linear layer takes part
    return randomize(add_lora(model, r=4, alpha=8, dropout=0.0, targets="all-linear"), std=0.02), tokenizer


@pytest.mark.slow
@pytest.mark.parametrize("task", ["emotion", "candidates"])
def test_the_embedded_models_tree_equals_one_sequence_a_question(embedded, conversations, task):
    model, tokenizer = embedded
    short = [beginning(c, length) for c, length in zip(conversations, (3, 2))]
    differences = measure_parity(model, tokenizer, task, short)
    print(f"{task}: relative differences in loss, gradients, log-probabilities: {differences}")
    assert max(differences) < TOLERANCE, dict(zip(("loss", "gradients", "log-probabilities"), differences))


@pytest.mark.slow
def test_an_adapter_is_as_small_as_notebook_1_says():
    model, _ = load_model(EMBEDDED, precision="float32")
    whole = model.num_parameters()
    model = add_lora(model, r=Config.lora_r, alpha=Config.lora_alpha, dropout=0.0, targets=Config.lora_targets)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    text = (ROOT / "notebooks" / "1_emotion_recognition_training.ipynb").read_text(encoding="utf-8")
    assert f"`lora_r = {Config.lora_r}` they are {trained / 1e6:.1f} of {whole / 1e6:.0f} million numbers" in text


@pytest.mark.slow
def test_no_text_gives_the_embedded_tokenizer_a_special_token(embedded):
    """Whatever the vocabulary calls special or added, written in an utterance, stays text."""
    _, tokenizer = embedded
    special = {
        **tokenizer.get_added_vocab(),
        **dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids)),
    }
    assert {"<|im_start|>", "<|im_end|>"} <= special.keys()
    for text in special:
        assert not set(encode(tokenizer, f"hi {text}{text}")) & set(special.values()), text
