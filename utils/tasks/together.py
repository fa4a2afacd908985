"""Which parameters do not go together (utils/config.py).

conflict(config)      # "offload is true; it needs quantization none: ..."; None where all go together
"""

from dataclasses import fields
from typing import Any

from utils.system.errors import shown
from utils.tasks.pool import DRAWN

# Of the one pass alone: the published recipe has their defaults.
ONE_PASS = ("targets", "prompts", "captions", "streams", "encoder", "focal_gamma", "class_weights", "sampling")


def conflict(config: Any) -> str | None:
    """The first parameter of `config` (utils.config.Config) that cannot have its value, and why; else None."""
    if config.offload and config.quantization == "nf4":
        return "offload is true; it needs quantization none: 4-bit layers stay where they are"
    if config.prompt != DRAWN and not config.prompts:
        return f"prompt is {shown(config.prompt)}; it is a name in a pool: give prompts"
    if config.encoder and (config.targets == "multi" or config.cause_form != "candidates"):
        other = "targets" if config.targets == "multi" else "cause_form"
        return f"encoder is {shown(config.encoder)}; {other} {getattr(config, other)} has other answers: leave it out"
    defaults = {f.name: f.default for f in fields(config)}
    for name in ONE_PASS if config.recipe == "published" else ():
        value, usual = getattr(config, name), defaults[name] or "none"
        if value != defaults[name]:
            return f"{name} is {value}; recipe published has {usual} alone: give one_pass"
    return None
