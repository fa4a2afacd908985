"""LLaMA-Adapter (Zhang et al. 2023): learnt prompts in the attention of the upper layers, behind gates that begin at
zero. Every query sees its layer's prompt, whatever the mask, so trees need nothing more. PEFT has it as AdaptionPrompt.
"""

from peft import AdaptionPromptConfig

from utils.system.errors import ModelError

MODELS = ("llama", "mistral")  # whose attention PEFT adapts; its GPT-2 is read by no tree


def llama_adapter(model, tokens: int, layers: int) -> AdaptionPromptConfig:
    """So many learnt tokens in each of the upper `layers` layers; 0: in all.

    Raises ModelError for a model whose attention PEFT would compute otherwise: of another kind, with a bias at the
    output (it would be added twice), or with heads that do not fill the width.
    """
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    width = (getattr(config, "head_dim", None) or config.hidden_size // heads) * heads
    if config.model_type not in MODELS or getattr(config, "attention_bias", False) or width != config.hidden_size:
        why = f"its {width} dimensions of heads are not the width {config.hidden_size}"
        why = "it has a bias in its attention" if getattr(config, "attention_bias", False) else why
        why = f"it is a {config.model_type}" if config.model_type not in MODELS else why
        raise ModelError(
            f"parameter adapter is llama_adapter, and PEFT cannot add it to {config.name_or_path or 'this model'}: "
            f"{why}. Give another adapter, or a model of the kind {' or '.join(MODELS)}"
        )
    if layers > config.num_hidden_layers:
        raise ModelError(
            f"parameter adapter_layers is {layers}, and the model has {config.num_hidden_layers}. Give as many or "
            "fewer; 0 for all"
        )
    layers = layers or config.num_hidden_layers
    return AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=tokens, adapter_layers=layers)


def through_base(model) -> None:
    """PEFT keeps the forward pass that the base model had when the adapter was added. trl later puts another in its
    place, which has to be called."""
    base = model.get_base_model()
    model.base_model.forward = lambda *arguments, **given: base(*arguments, **given)
