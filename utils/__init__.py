"""Doors and rooms. A module directly in this folder is run (`python -m utils.NAME`) or edited by a person (`config`).
A folder answers one question, and imports only from folders below it:

    doors > record > report, config > tasks > engine > models, data > system
"""

import os
import signal
import sys
import threading

# No library tells anybody what runs here. Before any of them is imported; set to 0 outside, they stay as they are.
for _name in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "VLLM_NO_USAGE_STATS"):
    os.environ.setdefault(_name, "1")
for _name, _value in (("GRADIO_ANALYTICS_ENABLED", "False"), ("RAY_USAGE_STATS_ENABLED", "0")):
    os.environ.setdefault(_name, _value)

# One process drives one accelerator: with two visible and no launcher, SFTTrainer refuses to start (Kaggle's T4s).
# Before torch is imported anywhere.
if "LOCAL_RANK" not in os.environ:
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")


def end_quietly(signum, frame):
    """Ctrl-C while a command imports its libraries: nothing has begun, and one line says all. `@command` takes over."""
    os.write(2, b"\ninterrupted before anything began; the same command starts again.\n")
    os._exit(130)


# argv[0] is "-m" as long as Python looks for the module that it is to run.
_is_command = sys.argv[:1] == ["-m"] or os.path.basename(sys.argv[0] if sys.argv else "") == "generate_input.py"
if _is_command and threading.current_thread() is threading.main_thread():
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where Ctrl-C is ignored
        signal.signal(signal.SIGINT, end_quietly)
