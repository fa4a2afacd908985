"""Adapters of PEFT: add, save and load them; an empty or damaged one is refused."""

import json
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor

from utils.system.errors import ModelError, shown
from utils.system.hardware import device


def add_lora(model, r: int, alpha: int, dropout: float, targets, gradient_checkpointing: bool = False):
    """A fresh LoRA adapter (Hu et al. 2021) on `model`: rank `r`, scale alpha / r, on the modules `targets`
    ("all-linear" or a list of names). Trainable weights are float32 whatever the base is.

    Raises ModelError where the model has no such modules."""
    if getattr(model, "is_loaded_in_4bit", False):
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=gradient_checkpointing)
    config = LoraConfig(r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets, task_type="CAUSAL_LM")
    try:
        model = get_peft_model(model, config)
    except ValueError as error:
        raise ModelError(f"parameter lora_targets is {shown(targets)}: {str(error)[:300]}") from error
    make_trainable_float32(model)
    return model


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
    """Write the adapter, in the model's own type, and the name of its base model to `folder` (safetensors).

    Raises ModelError where nothing was learnt (all of the adapter's output weights are zero): an adapter saved
    empty is an old and common fault.
    """
    if not any(p.abs().max() > 0 for n, p in model.named_parameters() if "lora_B" in n):
        raise ModelError(
            f"the adapter for {folder} is all zero: nothing was trained. Give more data or epochs (a run's first step "
            "only warms up), or check the learning rate"
        )
    for config in model.peft_config.values():
        config.base_model_name_or_path = base
        if isinstance(config.target_modules, set):  # a set's order changes from process to process
            config.target_modules = sorted(config.target_modules)
    # Training holds the weights in float32; in bfloat16 they are half as large.
    weights = {name: p.detach().to(model.dtype) for name, p in model.named_parameters() if "lora_" in name}
    model.save_pretrained(folder, state_dict=weights, save_embedding_layers=False)  # "auto" asks the hub about `base`


def adapter_in_compute_type(model):
    """`model` with its adapter's weights in the type that it computes in, as training's autocast uses them. In float32
    every layer would convert what goes into the adapter and what comes out of it: a tenth of the time in bfloat16."""
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(model.dtype)
    return model


def load_adapter(model, folder, base: str, name: str = "default"):
    """`model` with the adapter in `folder`, for inference: in evaluation mode and in the model's own type. A model that
    has one already gets it beside that, under `name`, and uses the new one until `set_adapter` says otherwise.

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
    try:
        made_for = json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{config}: not an adapter's configuration. Train the adapter again") from error
    if made_for != base:
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
        named = (key for key, _ in model.named_parameters() if key.endswith((f"A.{name}.weight", f"B.{name}.weight")))
        missing = [key for key in named if key.replace(f".{name}.weight", ".weight") not in inside]
        if missing:  # they would be as before any training
            raise ValueError(f"{weights.name} lacks {len(missing)} tensors, {missing[0]} first")
        if offloaded:
            bare.hf_device_map = offloaded
            given = load_file(weights, device=str(device()))
            given = {key.replace(".weight", f".{name}.weight"): weight for key, weight in given.items()}
            model.load_state_dict(given, strict=False, assign=True)
        return adapter_in_compute_type(model).eval()
    except (RuntimeError, ValueError, TypeError, OSError, SafetensorError) as error:
        raise ModelError(
            f"{folder}: the adapter is damaged or does not fit the base model {base!r} ({error})"
        ) from error
