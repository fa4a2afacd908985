"""What the notebooks share: every function that is used twice, or that could be wrong, and has a test."""

import os

# No library tells anybody what runs here. Before any of them is imported; set to 0 outside, they stay as they are.
for _name in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "VLLM_NO_USAGE_STATS"):
    os.environ.setdefault(_name, "1")
for _name, _value in (("GRADIO_ANALYTICS_ENABLED", "False"), ("RAY_USAGE_STATS_ENABLED", "0")):
    os.environ.setdefault(_name, _value)
