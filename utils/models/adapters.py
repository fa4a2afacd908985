"""Adapters of PEFT, by the name of their method (utils/models/methods.py): add, save and load them; an empty or damaged
one is refused.

model = add_adapter(model, "lora", r=16, alpha=16, dropout=0.0, targets="all-linear")
save_adapter(model, "results_train/sample/adapters/emotion", "smollm2-135m-instruct")
model = load_adapter(model, "results_train/sample/adapters/emotion", "smollm2-135m-instruct")
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model, prepare_model_for_kbit_training
from safetensors import safe_open
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor

from utils.models.head import fresh_head, outputs_of
from utils.models.hub import hub_id
from utils.models.methods import METHODS, Method, adapter_record, method_of
from utils.models.projector import attach, has_projector, read_projector, save_projector
from utils.system.errors import ModelError, shown
from utils.system.files import let_others_read
from utils.system.hardware import device, out_of_memory


def adapter_weights(model) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """(name, parameter) of every weight of the model's adapters, of whatever method; none where it has no adapter."""
    for name, parameter in model.named_parameters():
        if any(method.is_weight(name) for method in METHODS.values()):
            yield name, parameter


def _mark(model) -> str:
    """What tells the adapter's weights from others: a hash of them."""
    digest = hashlib.sha256()
    for _, parameter in adapter_weights(model):
        digest.update(parameter.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()


def add_adapter(model, method: str = "lora", gradient_checkpointing: bool = False, **settings):
    """A fresh adapter on `model`: `settings` are those of METHODS[method].config. Its weights are float32 whatever the
    base is.

    Raises ModelError where the model has no such modules, or PEFT cannot add the adapter to it."""
    if getattr(model, "is_loaded_in_4bit", False):
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=gradient_checkpointing)
    if outputs_of(model):
        fresh_head(model)
        settings["kind"] = "SEQ_CLS"
    try:
        adapted: Any = get_peft_model(model, METHODS[method].config(model, **settings))
    except ValueError as error:
        what = f"lora_targets is {shown(settings['targets'])}" if "targets" in settings else f"adapter is {method}"
        raise ModelError(f"parameter {what}: {str(error)[:300]}") from error
    make_trainable_float32(adapted)
    METHODS[method].prepare(adapted)
    if adapted.device.type != "meta":
        adapted.begun_as = _mark(adapted)
    return adapted


def begin_with(model, folder, base: str):
    """Gives the fresh adapter of `model`, whose base is `base`, the weights of the adapter in `folder`.

    Raises ModelError for a folder without an adapter, and for an adapter of another base, method, rank, scale or
    modules."""
    folder = Path(folder)
    there, weights = adapter_record(folder), folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise ModelError(f"{folder}: no adapter here ({weights.name}). Run its training notebook first")
    if hub_id(there["base_model_name_or_path"]) != hub_id(base):
        raise ModelError(f"{folder}: made for base model {there['base_model_name_or_path']!r}, not {base!r}")
    stored, method = load_file(weights), method_of(model.peft_config["default"])
    here = {**model.peft_config["default"].to_dict(), "peft_type": method.kind.value}
    found = {name: (there.get(name), here.get(name)) for name in ("peft_type", "lora_alpha", "use_dora")}
    differ = [f"{name} {shown(one)} there, {shown(other)} here" for name, (one, other) in found.items() if one != other]
    own = {method.stored(_without("default", name)): parameter for name, parameter in adapter_weights(model)}
    shapes = {name: [list(one[name].shape) if name in one else None for one in (stored, own)] for name in stored | own}
    differ += [f"{name} {one} there, {other} here" for name, (one, other) in sorted(shapes.items()) if one != other][:1]
    if differ:
        raise ModelError(
            f"{folder}: training cannot begin with this adapter ({'; '.join(differ)}). Give the parameters that it was "
            "trained with: adapter, lora_r, lora_alpha, lora_targets and the like"
        )
    for name, parameter in own.items():
        if not parameter.is_meta:  # another process reads them for it
            parameter.data.copy_(stored[name])
    model.begun_as = _mark(model) if model.device.type != "meta" else None


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

    Raises ModelError where nothing was learnt, and where the file that was written, read again, holds other weights: an
    adapter saved empty is an old and common fault.
    """
    if _mark(model) == getattr(model, "begun_as", None):
        raise ModelError(
            f"the adapter for {folder} is as before any training: nothing was trained. Give more data or epochs (a "
            "run's first step only warms up), or check the learning rate"
        )
    for config in model.peft_config.values():
        config.base_model_name_or_path = hub_id(base)
        if getattr(config, "tokenizer_name_or_path", None):  # it was a folder of this machine
            config.tokenizer_name_or_path = hub_id(base)
        for name in ("target_modules", "feedforward_modules", "modules_to_save"):
            if isinstance(getattr(config, name, None), set):  # a set's order changes from process to process
                setattr(config, name, sorted(getattr(config, name)))
    # Training holds the weights in float32; in bfloat16 they are half as large.
    weights = {name: one.detach().to(_type(model, name)) for name, one in adapter_weights(model)}
    model.save_pretrained(folder, state_dict=weights, save_embedding_layers=False)  # "auto" asks the hub about `base`
    save_projector(model, folder)
    let_others_read(folder)
    for kind, config in model.peft_config.items():
        _check_written(Path(folder) / "adapter_model.safetensors", weights, kind, method_of(config))


def _check_written(path: Path, weights: dict[str, torch.Tensor], name: str, method: Method) -> None:
    """Raises ModelError where the file at `path` does not hold the `weights`, {parameter of the model: tensor}, of the
    adapter `name`, but for the rounding of their type."""
    there = load_file(path)
    for key, weight in weights.items():
        stored, wanted = there.get(method.stored(_without(name, key))), weight.float().cpu()
        if stored is None or not (
            stored.shape == wanted.shape
            and torch.allclose(stored.float(), wanted, rtol=0.01, atol=1e-6, equal_nan=True)
        ):
            raise ModelError(
                f"{path}: it was written, and holds other weights than were learnt ({key}). Train it again"
            )


def _without(name: str, key: str) -> str:
    """A parameter's name as a file has it, without that of the adapter."""
    return ".".join(part for part in key.split(".") if part != name)


def _type(model, name: str) -> torch.dtype:
    """The type of the adapter's weight of this name in files and in inference: the model's, or of factors float32."""
    return torch.float32 if any(method.exact(name) for method in METHODS.values()) else model.dtype


def adapter_in_compute_type(model):
    """`model` with its adapter's weights in the type that it computes in, as training's autocast uses them. In float32
    every layer would convert what goes into the adapter and what comes out of it: a tenth of the time in bfloat16."""
    for name, parameter in adapter_weights(model):
        parameter.data = parameter.data.to(_type(model, name))
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
    if weights.stat().st_size < 512:
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
        if record.get("use_dora") and any(parameter.is_meta for parameter in bare.parameters()):
            raise ModelError(f"{folder}: DoRA reads the base model's weights, and offload keeps them elsewhere")
        offloaded = bare.__dict__.pop("hf_device_map", None)  # peft would lose the adapter of what is offloaded
        if isinstance(model, PeftModel):
            model.load_adapter(str(folder), name)
            model.set_adapter(name)
        else:
            model = PeftModel.from_pretrained(model, folder, adapter_name=name)
        with safe_open(weights, "pt") as file:
            inside = set(file.keys())
        method, others = method_of(model.peft_config[name]), {*model.peft_config} - {name}
        own = [key for key, _ in adapter_weights(model) if not others & {*key.split(".")}]
        stored = {key: method.stored(_without(name, key)) for key in own}
        missing = [one for one in stored.values() if one not in inside]
        if missing:  # they would be as before any training
            raise ValueError(f"{weights.name} lacks {len(missing)} tensors, {missing[0]} first")
        if offloaded:
            bare.hf_device_map = offloaded
            given = load_file(weights, device=str(device()))
            model.load_state_dict({key: given[one] for key, one in stored.items()}, strict=False, assign=True)
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
