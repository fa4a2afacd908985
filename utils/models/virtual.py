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
    (utils.engine.prefix_tree.rooted). 0 inside PEFT's `disable_adapter`."""
    if _off(model):
        return 0
    config = getattr(model, "peft_config", {}).get(getattr(model, "active_adapter", None))
    return getattr(config, "num_virtual_tokens", None) or 0


def _off(model) -> bool:
    """Whether PEFT's `disable_adapter` holds, which knows nothing of our `generate`."""
    return getattr(model, "_adapters_disabled", False)


def put_in_front(model) -> None:
    """Makes the model's forward pass read rows: the virtual tokens stand in their first places. `generate` puts them in
    front of prompts, left-padded ones too. PEFT's own passes have a mask, or positions, of their own."""
    base = model.get_base_model()

    def embedded(input_ids):
        """The embeddings of the virtual tokens and of the others: (rows, tokens, width) each."""
        others = base.get_input_embeddings()(input_ids)
        learnt = model.prompt_encoder[model.active_adapter].embedding.weight.to(others.dtype)
        return learnt.expand(len(others), -1, -1), others

    def forward(input_ids, **given):
        learnt, others = embedded(input_ids)
        return base(inputs_embeds=torch.cat([learnt, others[:, learnt.shape[1] :]], 1), **given)

    def generate(input_ids, attention_mask, **how):
        if _off(model):
            return base.generate(input_ids=input_ids, attention_mask=attention_mask, **how)
        learnt, others = embedded(input_ids)
        seen = torch.cat([attention_mask.new_ones(learnt.shape[:2]), attention_mask], 1)
        written = base.generate(inputs_embeds=torch.cat([learnt, others], 1), attention_mask=seen, **how)
        return torch.cat([input_ids, written], 1)

    model.forward, model.generate = forward, generate
