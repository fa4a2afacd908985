"""What computes? Models, attention, adapters, memory needs, the hub.

Here, before any of them is imported, other libraries' news that nobody who labels can act on are turned off: of what
will change in versions to come, and bitsandbytes' advice to install `kernels`, which would fetch code from the hub.
"""

import logging
import warnings

warnings.filterwarnings("ignore", category=FutureWarning, module=r"(bitsandbytes|peft|torch|transformers|trl)(\.|$)")
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(lambda record: "gemm_4bit_forward" not in str(record.msg))
