"""The ways to adapt a model that PEFT has, by our names, and which of PEFT's files are read.

METHODS["lora"].config(model, r=16, alpha=16, dropout=0.0, targets="all-linear")      # its PEFT configuration
record = adapter_record("results_train/sample/adapters/emotion")                      # checked, before PEFT reads it
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from peft import IA3Config, LoraConfig, PeftConfig, PeftType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from utils.models.llama_adapter import llama_adapter, through_base
from utils.models.virtual import prompt_tuning, put_in_front
from utils.system.errors import FileError, ModelError, shown
from utils.system.files import read_object


@dataclass(frozen=True)
class Method:
    """A way to adapt a model.

    kind       PEFT's name of it
    config     (model, settings) -> its configuration; the settings are those that `add_adapter` is given
    is_weight  whether the parameter of this name is one of the adapter's weights
    keys       {key of adapter_config.json: whether it may have this value}. Of other keys that PEFT writes the default
               alone is allowed: some of them import modules, open files or change the base model
    exact      whether the weight of this name stays float32 in files and in inference: factors near one, which 16 bits
               would round by more than training moves them; and virtual tokens, which PEFT writes so
    stored     what PEFT's file calls the parameter of this name
    prepare    makes a model that has the adapter ready for rows of trees
    unmerged   why it cannot be added to the model's weights; "" for one that can
    """

    kind: PeftType
    config: Callable[..., PeftConfig]
    is_weight: Callable[[str], bool]
    keys: dict[str, Callable[[Any], bool]]
    exact: Callable[[str], bool] = lambda name: False
    stored: Callable[[str], str] = lambda name: name
    prepare: Callable[[Any], None] = lambda model: None
    unmerged: str = ""


def _lora(model, r: int, alpha: int, dropout: float, targets, kind: str = "CAUSAL_LM", dora: bool = False):
    """Hu et al. 2021: rank `r`, scale alpha / r, on the modules `targets` ("all-linear" or a list of names). Of a model
    with a head (kind SEQ_CLS) the head is trained too. dora: Liu et al. 2024, magnitude and direction apart."""
    return LoraConfig(
        r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets, task_type=kind, use_dora=dora
    )


def _ia3(model, kind: str = "CAUSAL_LM"):
    """Liu et al. 2022: factors on keys, values and the inside of the feed-forward layer, by PEFT's list of what these
    are called."""
    return IA3Config(task_type=kind)


def _names(value) -> bool:
    return isinstance(value, str) or isinstance(value, list) and all(isinstance(one, str) for one in value)


def _optional_names(value) -> bool:
    return value is None or _names(value)


def _rank(value) -> bool:
    return type(value) is int and 0 < value < 2**15


def _number(value) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e6


def _boolean(value) -> bool:
    return isinstance(value, bool)


def _each(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _layers(value) -> bool:
    return value is None or type(value) is int or isinstance(value, list) and all(type(one) is int for one in value)


def _heads(value) -> bool:
    return value is None or _names(value) and {*value} <= {"score", "classifier"}


def _in_file(name: str) -> str:
    """Of a head, and of DoRA's magnitudes, PEFT's file leaves a part of the name out."""
    name = name.replace("modules_to_save.", "")
    return name.removesuffix(".weight") if name.endswith("lora_magnitude_vector.weight") else name


_OF_ALL: dict[str, Callable[[Any], bool]] = {  # whatever the method
    "base_model_name_or_path": lambda value: isinstance(value, str),
    "peft_type": lambda value: isinstance(value, str),
    "peft_version": lambda value: isinstance(value, str),
    "task_type": lambda value: value in (None, "CAUSAL_LM", "SEQ_CLS", "FEATURE_EXTRACTION"),
    "inference_mode": _boolean,
    "revision": lambda value: value is None or isinstance(value, str),
}

_LORA = Method(
    kind=PeftType.LORA,
    config=_lora,
    is_weight=lambda name: "lora_" in name or "modules_to_save" in name,
    keys={
        **_OF_ALL,
        "r": _rank,
        "lora_alpha": _number,
        "lora_dropout": lambda value: _number(value) and value < 1,
        "target_modules": _names,
        "modules_to_save": _heads,
        "exclude_modules": _optional_names,
        "layers_to_transform": _layers,
        "layers_pattern": _optional_names,
        "rank_pattern": _each(_rank),
        "alpha_pattern": _each(_number),
        "fan_in_fan_out": _boolean,
        "use_rslora": _boolean,
        "use_dora": _boolean,
        "init_lora_weights": lambda value: isinstance(value, bool) or value == "gaussian",
    },
    exact=lambda name: "lora_magnitude_vector" in name,
    stored=_in_file,
)
METHODS = {  # by their names in utils/models/adapting.py
    "lora": _LORA,
    "dora": replace(_LORA, config=partial(_lora, dora=True)),
    "ia3": Method(
        kind=PeftType.IA3,
        config=_ia3,
        is_weight=lambda name: "ia3_l" in name or "modules_to_save" in name,
        keys={
            **_OF_ALL,
            "target_modules": _names,
            "feedforward_modules": _names,
            "modules_to_save": _heads,
            "exclude_modules": _optional_names,
            "fan_in_fan_out": _boolean,
            "init_ia3_weights": _boolean,
        },
        exact=lambda name: "ia3_l" in name,
        stored=_in_file,
    ),
    "prompt_tuning": Method(
        kind=PeftType.PROMPT_TUNING,
        config=prompt_tuning,
        is_weight=lambda name: "prompt_encoder" in name,
        keys={
            **_OF_ALL,
            "num_virtual_tokens": _rank,
            "token_dim": _rank,
            "num_transformer_submodules": lambda value: value == 1,
            "num_attention_heads": _rank,
            "num_layers": _rank,
            "prompt_tuning_init": lambda value: value in ("TEXT", "RANDOM"),
            "prompt_tuning_init_text": lambda value: value is None or isinstance(value, str),
            "tokenizer_name_or_path": lambda value: value is None or isinstance(value, str),
        },
        exact=lambda name: "prompt_encoder" in name,
        stored=lambda name: "prompt_embeddings",
        prepare=put_in_front,
        unmerged="virtual tokens are no part of a model's weights",
    ),
    "llama_adapter": Method(
        kind=PeftType.ADAPTION_PROMPT,
        config=llama_adapter,
        is_weight=lambda name: "adaption_" in name,
        keys={
            **_OF_ALL,
            "target_modules": lambda value: value == "self_attn",
            "adapter_len": _rank,
            "adapter_layers": _rank,
        },
        prepare=through_base,
        unmerged="prompts inside the attention are no part of a model's weights",
    ),
}


def method_of(config: PeftConfig) -> Method:
    """The method of an adapter with this configuration."""
    return next(method for method in METHODS.values() if method.kind == config.peft_type)


def adapter_record(folder) -> dict:
    """adapter_config.json of an adapter, once it is known to be of one of METHODS and to set nothing but its keys: to
    be called before PEFT, or another library, reads the file.

    Raises ModelError for a key, a value or a kind that is not allowed, and for a file that cannot be read.
    """
    path = Path(folder) / "adapter_config.json"
    try:
        record = read_object(path)
    except FileError as error:
        raise ModelError(str(error)) from error
    kind = record.get("peft_type", "LORA")
    method = next((method for method in METHODS.values() if method.kind.value == kind), None)
    if method is None:
        raise ModelError(f"{path}: an adapter of the kind {shown(kind)}; known are {', '.join(METHODS)}")
    if not isinstance(record.get("base_model_name_or_path"), str):
        raise ModelError(f"{path}: it names no base model. Restore the file, or train the adapter again")
    defaults = _defaults(PEFT_TYPE_TO_CONFIG_MAPPING[method.kind])
    for key, value in record.items():
        if key in method.keys:
            if not method.keys[key](value):
                raise ModelError(
                    f"{path}: {key} cannot be {shown(value)}. Restore the file, or train the adapter again"
                )
        elif value is None or value == defaults.get(key):
            continue
        elif key.startswith("megatron") or not (value is False or value in ({}, [])):
            raise ModelError(
                f"{path}: the key {shown(key)} ({shown(value)}) is not allowed. Take an adapter that does without it"
            )
    return record


def unmerged(folder) -> str:
    """Why the adapter in this folder cannot be added to a model's weights; "" for one that can. Raises ModelError as
    `adapter_record` does."""
    kind = adapter_record(folder).get("peft_type", "LORA")
    return next(method.unmerged for method in METHODS.values() if method.kind.value == kind)


def _defaults(kind: type[PeftConfig]) -> dict[str, Any]:
    """{name: default} of a configuration's fields that have a plain one."""
    return {one.name: one.default for one in fields(kind) if isinstance(one.default, str | int | float)}
