"""Precision follows the hardware, and an error that says that memory ran out is known as one.

python -m pytest tests/system/test_hardware.py
"""

import re
import shutil
import sys
import time

import pytest
import torch

from utils.models import load
from utils.models.load import load_model
from utils.system import hardware
from utils.system.errors import ModelError
from utils.system.hardware import choose_precision, out_of_memory


@pytest.mark.parametrize(
    ("kind", "capability", "cpu_bfloat16", "precision"),
    [
        ("cuda", (7, 5), None, "float16"),  # T4
        ("cuda", (6, 0), None, "float16"),  # P100
        ("cuda", (8, 0), None, "bfloat16"),  # A100
        ("cuda", (8, 9), None, "bfloat16"),  # L4
        ("cuda", (10, 0), None, "bfloat16"),
        ("cpu", None, False, "float32"),
        ("cpu", None, True, "bfloat16"),
        ("mps", None, None, "float32"),
    ],
)
def test_precision_follows_the_hardware(kind, capability, cpu_bfloat16, precision):
    assert choose_precision(kind, capability, cpu_bfloat16) == precision


def test_precision_is_found_on_this_machine_and_a_t4_is_not_asked_for_bfloat16(monkeypatch):
    assert choose_precision() in hardware.PRECISIONS
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)  # what a T4 says
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 5))
    assert choose_precision("cuda") == "float16"


def test_a_processor_that_dies_of_bfloat16_computes_in_float32(tiny_model_folder, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))  # the trial dies
    for module in (hardware, load):
        monkeypatch.setattr(module, "device", lambda: torch.device("cpu"))
    hardware.cpu_bfloat16_works.cache_clear()
    try:
        assert choose_precision() == "float32"
        with pytest.raises(ModelError, match="illegal instruction.*Give precision float32"):
            load_model(tiny_model_folder, precision="bfloat16")
        assert load_model(tiny_model_folder)[0].dtype == torch.float32
    finally:
        hardware.cpu_bfloat16_works.cache_clear()


def test_the_trial_of_bfloat16_tells_the_truth():
    if not hardware.cpu_bfloat16_works():
        pytest.skip("this processor does not compute in bfloat16")
    ones = torch.ones(64, 64, dtype=torch.bfloat16)
    assert ((ones @ ones) == 64).all()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_that_say_that_memory_ran_out(error):
    assert out_of_memory(error)
    for other in (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("out of memory"), OSError(28)):
        assert not out_of_memory(other)


def test_what_was_spent_is_time_and_the_most_memory(monkeypatch):
    held = bytearray(300 * 2**20)
    held[:: 2**10] = b"x" * len(held[:: 2**10])  # touched, so that it is held
    del held
    said = hardware.spent(time.monotonic() - 125)
    memory = re.match(r"2 min 5 s, at most (\d+\.\d) GiB of memory", said)[1]
    assert 0.3 <= float(memory) < 100
    monkeypatch.setattr(hardware, "resource", None)  # as on Windows
    assert hardware.spent(time.monotonic()).startswith("0 min 0 s") and "of memory" not in hardware.spent(0.0)
