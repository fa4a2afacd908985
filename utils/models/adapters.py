"""Adapters of PEFT, by the name of their method: add, save and load them; an empty or damaged one is refused.

model = add_adapter(model, "lora", r=16, alpha=16, dropout=0.0, targets="all-linear")
save_adapter(model, "results_train/sample/adapters/emotion", "smollm2-135m-instruct")
model = load_adapter(model, "results_train/sample/adapters/emotion", "smollm2-135m-instruct")
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, PeftType, get_peft_model, prepare_model_for_kbit_training
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from safetensors import safe_open
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor

from utils.models.head import fresh_head, outputs_of
from utils.models.hub import hub_id
from utils.models.projector import attach, has_projector, read_projector, save_projector
from utils.models.virtual import prompt_tuning, put_in_front
from utils.system.errors import FileError, ModelError, shown
from utils.system.files import let_others_read, read_object
from utils.system.hardware import device, out_of_memory


@dataclass(frozen=True)
class Method:
    """A way to adapt a model, of those that PEFT has.

    config     its configuration, made from the settings that `add_adapter` is given
    is_weight  whether the parameter of this name is one of the adapter's weights
    is_empty   whether these weights, {name: tensor}, are as before any training
    keys       {key of adapter_config.json: whether it may have this value}. Of other keys that PEFT writes the default
               alone is allowed: some of them import modules, open files or change the base model
    stored     what PEFT's file calls the parameter of this name
    prepare    makes a model that has the adapter ready for rows of trees
    """

    config: Callable[..., PeftConfig]
    is_weight: Callable[[str], bool]
    is_empty: Callable[[dict[str, torch.Tensor]], bool]
    keys: dict[str, Callable[[Any], bool]]
    stored: Callable[[str], str] = lambda name: name
    prepare: Callable[[Any], None] = lambda model: None


def _lora(r: int, alpha: int, dropout: float, targets, kind: str = "CAUSAL_LM") -> LoraConfig:
    """Hu et al. 2021: rank `r`, scale alpha / r, on the modules `targets` ("all-linear" or a list of names). Of a model
    with a head (kind SEQ_CLS) the head is trained too."""
    return LoraConfig(r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets, task_type=kind)


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


_OF_ALL: dict[str, Callable[[Any], bool]] = {  # whatever the method
    "base_model_name_or_path": lambda value: isinstance(value, str),
    "peft_type": lambda value: isinstance(value, str),
    "peft_version": lambda value: isinstance(value, str),
    "task_type": lambda value: value in (None, "CAUSAL_LM", "SEQ_CLS"),
    "inference_mode": _boolean,
    "revision": lambda value: value is None or isinstance(value, str),
}

METHODS = {  # by the name of PEFT's PeftType, in small letters
    "lora": Method(
        config=_lora,
        is_weight=lambda name: "lora_" in name or "modules_to_save" in name,
        # Its second factor is zero at the start.
        is_empty=lambda weights: not any(w.abs().max() > 0 for name, w in weights.items() if "lora_B" in name),
        keys={
            **_OF_ALL,
            "r": _rank,
            "lora_alpha": _number,
            "lora_dropout": lambda value: _number(value) and value < 1,
            "target_modules": _names,
            "modules_to_save": lambda value: value is None or _names(value) and {*value} <= {"score", "classifier"},
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
        stored=lambda name: name.replace("modules_to_save.", ""),
    ),
    "prompt_tuning": Method(
        config=prompt_tuning,
        is_weight=lambda name: "prompt_encoder" in name,
        is_empty=lambda weights: not any(w.abs().max() > 0 for w in weights.values()),
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
        stored=lambda name: "prompt_embeddings",
        prepare=put_in_front,
    ),
}


def adapter_weights(model) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """(name, parameter) of every weight of the model's adapters, of whatever method; none where it has no adapter."""
    for name, parameter in model.named_parameters():
        if any(method.is_weight(name) for method in METHODS.values()):
            yield name, parameter


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
    method = METHODS.get(kind.lower()) if isinstance(kind, str) else None
    if method is None:
        raise ModelError(f"{path}: an adapter of the kind {shown(kind)}; known are {', '.join(METHODS)}")
    if not isinstance(record.get("base_model_name_or_path"), str):
        raise ModelError(f"{path}: it names no base model. Restore the file, or train the adapter again")
    defaults = _defaults(PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(kind)])
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


def _defaults(kind: type[PeftConfig]) -> dict[str, Any]:
    """{name: default} of a configuration's fields that have a plain one."""
    return {one.name: one.default for one in fields(kind) if isinstance(one.default, str | int | float)}


def method_of(config: PeftConfig) -> Method:
    """The method of an adapter with this configuration."""
    return METHODS[str(getattr(config.peft_type, "value", config.peft_type)).lower()]


def add_adapter(model, method: str = "lora", gradient_checkpointing: bool = False, **settings):
    """A fresh adapter on `model`: `settings` are those of METHODS[method].config. Its weights are float32 whatever the
    base is.

    Raises ModelError where the model has no such modules."""
    if getattr(model, "is_loaded_in_4bit", False):
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=gradient_checkpointing)
    if outputs_of(model):
        fresh_head(model)
        settings["kind"] = "SEQ_CLS"
    try:
        model = get_peft_model(model, METHODS[method].config(**settings))
    except ValueError as error:
        targets = shown(settings.get("targets"))
        raise ModelError(f"parameter {method}_targets is {targets}: {str(error)[:300]}") from error
    make_trainable_float32(model)
    METHODS[method].prepare(model)
    return model


def add_lora(model, r: int, alpha: int, dropout: float, targets, gradient_checkpointing: bool = False):
    """`add_adapter` with METHODS["lora"] and its settings."""
    return add_adapter(model, "lora", gradient_checkpointing, r=r, alpha=alpha, dropout=dropout, targets=targets)


def gather_adapter(model):
    """Makes the adapter's weights whole again, in place, where FSDP2 has divided them among processes: all of them must
    call this."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and isinstance(parameter, DTensor):
                module.register_parameter(name, torch.nn.Parameter(parameter.full_tensor()))


def make_trainable_float32(model):
    """Trainable weights in float32: float16's gradient scaler refuses others."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def save_adapter(model, folder, base: str):
    """Write the adapter, in the model's own type, the name of its base model, and the adapter's projector where it has
    one to `folder` (safetensors). The name is the hub id where there is one, so that PEFT alone can load the adapter.

    Raises ModelError where nothing was learnt (Method.is_empty): an adapter saved empty is an old and common fault.
    """
    learnt = {name: parameter.detach() for name, parameter in adapter_weights(model)}
    if all(method_of(config).is_empty(learnt) for config in model.peft_config.values()):
        raise ModelError(
            f"the adapter for {folder} is all zero: nothing was trained. Give more data or epochs (a run's first step "
            "only warms up), or check the learning rate"
        )
    for config in model.peft_config.values():
        config.base_model_name_or_path = hub_id(base)
        if getattr(config, "tokenizer_name_or_path", None):  # it was a folder of this machine
            config.tokenizer_name_or_path = hub_id(base)
        for name in ("target_modules", "modules_to_save"):
            if isinstance(getattr(config, name, None), set):  # a set's order changes from process to process
                setattr(config, name, sorted(getattr(config, name)))
    # Training holds the weights in float32; in bfloat16 they are half as large.
    weights = {name: weight.to(model.dtype) for name, weight in learnt.items()}
    model.save_pretrained(folder, state_dict=weights, save_embedding_layers=False)  # "auto" asks the hub about `base`
    save_projector(model, folder)
    let_others_read(folder)


def adapter_in_compute_type(model):
    """`model` with its adapter's weights in the type that it computes in, as training's autocast uses them. In float32
    every layer would convert what goes into the adapter and what comes out of it: a tenth of the time in bfloat16."""
    for _, parameter in adapter_weights(model):
        parameter.data = parameter.data.to(model.dtype)
    return model


def load_adapter(model, folder, base: str, name: str = "default"):
    """`model` with the adapter in `folder`, and its projector, for inference: in evaluation mode and in the model's own
    type. A model that has one already gets it beside that, under `name`, and uses the new one until `set_adapter` says
    otherwise.

    Raises ModelError for a folder that is missing, empty or damaged, or an adapter made for another base model.
    """
    folder = Path(folder)
    config, weights = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    if not config.is_file() or not weights.is_file():
        raise ModelError(
            f"{folder}: no adapter here (adapter_config.json and adapter_model.safetensors). Run the training notebook "
            "first, or give the folder that it wrote"
        )
    if weights.stat().st_size < 1024:
        raise ModelError(f"{weights}: holds no weights ({weights.stat().st_size} bytes). Train the adapter again")
    record = adapter_record(folder)
    made_for = record["base_model_name_or_path"]
    if (record.get("task_type") == "SEQ_CLS") != bool(outputs_of(model)):
        made = "without" if outputs_of(model) else "with"
        raise ModelError(f"{config}: task_type {shown(record.get('task_type'))}: it is made for a model {made} a head")
    if hub_id(made_for) != hub_id(base):  # an older file names the embedded model as we do
        raise ModelError(
            f"{folder}: made for base model {made_for!r}, not {base!r}. Give the base model it was made for"
        )
    try:
        bare = model.get_base_model() if isinstance(model, PeftModel) else model
        offloaded = bare.__dict__.pop("hf_device_map", None)  # peft would lose the adapter of what is offloaded
        if isinstance(model, PeftModel):
            model.load_adapter(str(folder), name)
            model.set_adapter(name)
        else:
            model = PeftModel.from_pretrained(model, folder, adapter_name=name)
        with safe_open(weights, "pt") as file:
            inside = set(file.keys())
        named = (key for key, _ in adapter_weights(model) if name in key.split("."))
        method = method_of(model.peft_config[name])
        named = (".".join(part for part in key.split(".") if part != name) for key in named)
        missing = [key for key in named if method.stored(key) not in inside]
        if missing:  # they would be as before any training
            raise ValueError(f"{weights.name} lacks {len(missing)} tensors, {missing[0]} first")
        if offloaded:
            bare.hf_device_map = offloaded
            given = load_file(weights, device=str(device()))
            given = {key.replace(".weight", f".{name}.weight"): weight for key, weight in given.items()}
            model.load_state_dict(given, strict=False, assign=True)
        method.prepare(model)
        if has_projector(folder):
            attach(model, read_projector(folder), name)
        return adapter_in_compute_type(model).eval()
    except Exception as error:  # PEFT has no kinds of its own
        if isinstance(error, ModelError) or out_of_memory(error):
            raise
        reason = " ".join(f"{error}".split())[:500] or type(error).__name__
        raise ModelError(
            f"{folder}: the adapter is damaged or does not fit the base model {base!r} ({reason})"
        ) from error
