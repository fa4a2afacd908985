"""GGUF files of Llama models with choices of their own. More about them: tests/doors/test_export.py.

python -m pytest tests/models/test_gguf.py
"""

import torch
from helpers import read_gguf
from transformers import LlamaConfig, LlamaForCausalLM

from utils.models.gguf import write_gguf
from utils.tasks import emotion


def test_gguf_of_a_tied_model_with_positions_and_norms_of_its_own_scores_the_same(
    tiny_model_folder, tokenizer, conversations, tmp_path
):
    torch.manual_seed(7)
    config = LlamaConfig.from_pretrained(tiny_model_folder)  # SmolLM2's choices, which are not the defaults
    config.tie_word_embeddings, config.rope_parameters["rope_theta"], config.rms_norm_eps = True, 1e5, 1e-2
    model = LlamaForCausalLM(config).eval()
    write_gguf(model, tokenizer, tmp_path / "one.gguf")
    again, _ = read_gguf(tmp_path / "one.gguf")
    tokens = torch.tensor([tokenizer(emotion.text(conversations[1])).input_ids])
    with torch.no_grad():
        assert torch.allclose(model(tokens).logits, again(tokens).logits, atol=1e-4)
