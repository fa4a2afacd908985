"""What parameters cannot be, alone or together, that no bound says (utils/config.py).

conflict(config)      # "offload is true; it needs quantization none: ..."; None where all go together
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

from utils.system.errors import shown
from utils.tasks.pool import DRAWN

# Of the one pass alone: the published recipe has their defaults.
ONE_PASS = ("targets", "prompts", "captions", "streams", "focal_gamma", "class_weights", "sampling")


def conflict(config: Any) -> str | None:
    """The first parameter of `config` (utils.config.Config) that cannot have its value, and why; else None."""
    if config.offload and config.quantization == "nf4":
        return "offload is true; it needs quantization none: 4-bit layers stay where they are"
    if config.prompt != DRAWN and not config.prompts:
        return f"prompt is {shown(config.prompt)}; it is a name in a pool: give prompts"
    defaults = {f.name: f.default for f in fields(config)}
    for name in ONE_PASS if config.recipe == "published" else ():
        value, usual = getattr(config, name), defaults[name] or "none"
        if value != defaults[name]:
            return f"{name} is {value}; recipe published has {usual} alone: give one_pass"
    # It names folders on every system, stands in commands, and papermill fills {}.
    name = config.run_name
    plain = Path(name).name == name and not set("{}\\") & set(name)
    if not plain or not name.strip() or name[0] in ".-" or len(name) > 100:
        return (
            f"run_name is {shown(name)}; it must be one plain folder name of up to 100 characters, without braces and "
            "backslashes, and not begin with a dot or a dash"
        )
    return None
