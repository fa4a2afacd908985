"""What this machine computes with: device, precision, compiler; and whether an error says that memory ran out."""

import functools
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import torch

from utils.system import places
from utils.system.errors import ModelError

try:
    import resource
except ImportError:  # Windows has none
    resource = None

PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


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


def dtype_of(precision: str) -> torch.dtype:
    """The type of a parameter `precision`. Raises ModelError for an unknown one."""
    if precision != "auto" and precision not in PRECISIONS:
        raise ModelError(f"precision is {precision!r}; choose 'auto' or one of {sorted(PRECISIONS)}")
    return PRECISIONS[choose_precision() if precision == "auto" else precision]


def compiler() -> str:
    """The C++ compiler that torch.compile uses on a CPU, by its command."""
    return os.environ.get("CXX", {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++"))


def sharded() -> bool:
    """Whether `accelerate launch` divides the model itself among processes (FSDP)."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def hardware() -> dict:
    """What this machine is: {"processor", "cores", "threads" (of torch), "gpus": their names}."""
    processor = platform.processor() or platform.machine()
    if (table := Path("/proc/cpuinfo")).is_file():
        named = re.search(r"^model name\s*:\s*(.+)$", table.read_text(errors="replace"), re.M)
        processor = named[1].strip() if named else processor
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {"processor": processor, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpus": gpus}


# How the CPU's allocators, cuBLAS and older GPU back ends put it in a plain RuntimeError.
OOM_PHRASES = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED", "bad_alloc")


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out: the GPU's, the CPU's or Python's."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OOM_PHRASES)


def spent(started: float) -> str:
    """What was spent since `started` (of time.monotonic()), in words: the time, the most memory that this process or
    one that it started has held, and the most that this process has held on the GPU."""
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    parts = [f"{minutes} min {seconds} s"]
    if resource:
        unit = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss
        most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        parts.append(f"at most {most * unit / 2**30:.1f} GiB of memory")
    if torch.cuda.is_available():
        parts.append(f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on the GPU by this process")
    return ", ".join(parts)
