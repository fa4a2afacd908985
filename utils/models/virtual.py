"""Virtual tokens: what the adapter prompt_tuning learns, at the root of every row of trees.

config = prompt_tuning(model, 30, "What does the writer think?", "smollm2-135m-instruct")
virtual_tokens(model)                          # 30; utils.engine.prefix_tree.rooted makes room for them
"""

import torch
from peft import PromptTuningConfig, PromptTuningInit

from utils.models.load import source


def prompt_tuning(model, tokens: int, text: str, tokenizer: str) -> PromptTuningConfig:
    """Lester et al. 2021: so many virtual tokens, which begin as the tokens of `text`, again and again, by the
    `tokenizer` of the model of this name (utils.models.load.source)."""
    return PromptTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=tokens,
        prompt_tuning_init=PromptTuningInit.TEXT,
        prompt_tuning_init_text=text,
        tokenizer_name_or_path=str(source(tokenizer)),
    )


def virtual_tokens(model) -> int:
    """How many virtual tokens the model's adapter has; rows begin with as many places for them
    (utils.engine.prefix_tree.rooted)."""
    config = getattr(model, "peft_config", {}).get(getattr(model, "active_adapter", None))
    return getattr(config, "num_virtual_tokens", None) or 0


def put_in_front(model) -> None:
    """Makes the model's forward pass read rows: the virtual tokens stand in their first places. PEFT's own puts them in
    front itself, with a mask and positions of its own; `generate` keeps that."""
    base = model.get_base_model()

    def forward(input_ids, **given):
        embedded = base.get_input_embeddings()(input_ids)
        prompt = model.prompt_encoder[model.active_adapter].embedding.weight.to(embedded.dtype)
        rows = torch.cat([prompt[None].expand(len(embedded), -1, -1), embedded[:, len(prompt) :]], 1)
        return base(inputs_embeds=rows, **given)

    model.forward = forward
