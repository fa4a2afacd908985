"""What other people's packages print in our commands and notebooks without a fault of ours or the user's.

Each is silenced by its own words, so that whatever else a package has to say is still seen. Only the standard library
is imported: utils/__init__.py calls `silence` before any package is loaded.
"""

import logging
import warnings


def silence() -> None:
    """Drops the lines that are known, in this process."""
    # What will change in versions to come; nobody who labels can act on it.
    warnings.filterwarnings("ignore", "", FutureWarning, r"(bitsandbytes|peft|torch|transformers|trl)(\.|$)")
    # bitsandbytes advises to install `kernels`, which would fetch compiled code from the hub; it computes without.
    logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(
        lambda record: "gemm_4bit_forward" not in str(record.msg)
    )


def encrypted_kernel():
    """traitlets' configuration of a notebook's kernel that talks to us in code, where the installed packages can: in
    plain text it warns, in red, that somebody may listen."""
    import zmq
    from jupyter_client.manager import KernelManager
    from traitlets.config import Config

    if hasattr(KernelManager, "transport_encryption") and zmq.has("curve"):
        return Config(KernelManager={"transport_encryption": "auto"})
    return Config()
