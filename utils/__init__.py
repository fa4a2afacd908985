"""Doors and rooms. A module directly in this folder is run (`python -m utils.NAME`) or edited by a person (`config`).
A folder answers one question, and imports only from folders below it:

    doors > record > report, config > tasks > engine > models, data > system
"""

import os

from utils.system import quiet, start

start.listen()
quiet.silence()

# No library tells anybody what runs here. Before any of them is imported; set to 0 outside, they stay as they are.
for _name in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "VLLM_NO_USAGE_STATS"):
    os.environ.setdefault(_name, "1")
for _name, _value in (("GRADIO_ANALYTICS_ENABLED", "False"), ("RAY_USAGE_STATS_ENABLED", "0")):
    os.environ.setdefault(_name, _value)

# One process drives one accelerator: with two visible and no launcher, SFTTrainer refuses to start (Kaggle's T4s).
# Before torch is imported anywhere.
if "LOCAL_RANK" not in os.environ:
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")

# Waiting OpenMP threads spin for some 0.1 ms instead of some 3 ms before they sleep: as fast on a quiet machine, and
# faster where other processes want the cores (benchmarks/speed/threads.py). Before torch is imported anywhere.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
