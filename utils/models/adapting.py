"""Which adapter the parameters choose, and its settings.

    check_adapter(config)                          # ConfigError for what does not go together
    settings = adapter_settings(config, opening)   # what utils.models.adapters.add_adapter takes

Names and settings alone: no library is loaded. docs/adapters.md compares the adapters.
"""

from typing import Any

from utils.system.errors import ConfigError

TITLES = {  # {name: what a model card calls it}
    "lora": "A LoRA adapter",
    "dora": "A DoRA adapter",
    "ia3": "An IA3 adapter",
    "prompt_tuning": "A prompt of virtual tokens",
    "llama_adapter": "A LLaMA-Adapter",
}
OF_ROOT, OF_HEADS = "prompt_tuning", ("lora", "dora", "ia3")  # in front of every row; those that go with a head


def adapter_method(config: Any) -> str:
    """The adapter of these parameters (utils.config.Config), one of TITLES. The opinion strategy prompt is the name
    that its ancestor has for prompt_tuning."""
    return OF_ROOT if config.strategy == "prompt" else config.adapter


def in_front(config: Any) -> int:
    """How many virtual tokens stand in front of every row."""
    return config.virtual_tokens if adapter_method(config) == OF_ROOT else 0


def adapter_settings(config: Any, opening: str) -> dict[str, Any]:
    """The adapter's method and its settings, as utils.models.adapters.add_adapter takes them. opening: the sentence
    that virtual tokens begin as (Task.opening)."""
    method = adapter_method(config)
    lora = {
        "r": config.lora_r,
        "alpha": config.lora_alpha,
        "dropout": config.lora_dropout,
        "targets": config.lora_targets,
    }
    settings = {
        "lora": lora,
        "dora": lora,
        "ia3": {},
        "prompt_tuning": {"tokens": config.virtual_tokens, "text": opening, "tokenizer": config.model},
        "llama_adapter": {"tokens": config.virtual_tokens, "layers": config.adapter_layers},
    }
    return {"method": method, **settings[method]}


def check_adapter(config: Any) -> None:
    """Raises ConfigError for an adapter that does not go with the strategy or the recipe."""
    if config.strategy == "prompt" and config.adapter not in ("lora", OF_ROOT):
        raise ConfigError(
            f"parameter adapter is {config.adapter}; strategy prompt learns virtual tokens alone: give strategy "
            f"generation, or adapter {OF_ROOT}"
        )
    if config.strategy == "sequence" and config.adapter not in OF_HEADS:
        raise ConfigError(
            f"parameter adapter is {config.adapter}; strategy sequence trains a head too, which it does not go with: "
            f"give {', '.join(OF_HEADS[:-1])} or {OF_HEADS[-1]}"
        )
    if config.recipe == "published" and adapter_method(config) == OF_ROOT:
        raise ConfigError(
            f"parameter adapter is {OF_ROOT}; recipe published has no place for virtual tokens: give one_pass, or "
            "another adapter"
        )
