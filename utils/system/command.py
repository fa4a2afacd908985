"""What all commands do alike: one message and status 2 for what the user can fix, one line and status 130 for Ctrl-C.

@command("utils.score")
def main(argv=None) -> int: ...
"""

import argparse
import functools
import re
import sys

from utils.system.errors import UserError, without_credentials


def command(name: str):
    """Decorator of a command's main(argv) -> status. `name` is what its messages begin with. UserError and OSError end
    it with one message on stderr and status 2.

    What takes seconds to import (torch) is imported inside main, so that Ctrl-C finds this in place.
    """

    def decorate(main):
        @functools.wraps(main)
        def stoppable(argv=None) -> int:
            # A file or pipe on Windows may not be able to hold every text.
            if reconfigure := getattr(sys.stdout, "reconfigure", None):
                reconfigure(errors="replace")
            try:
                return main(argv)
            except (UserError, OSError) as error:
                print(without_credentials(f"{name}: {error}"), file=sys.stderr)
                return 2
            except KeyboardInterrupt:
                print(f"\n{name}: interrupted. Every file is whole; the same command goes on.", file=sys.stderr)
                return 130

        return stoppable

    return decorate


def positive(text: str) -> int:
    """A whole number above 0. Raises argparse.ArgumentTypeError for other text."""
    if not re.fullmatch("0*[1-9][0-9]{0,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r}; it must be a whole number above 0")
    return int(text)


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """The arguments of a command that takes a file of configs/: `config`, and `-p NAME VALUE` on top of it."""
    parser.add_argument("config", help="parameter file, such as configs/sample.yaml")
    parser.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="one parameter, on top of the file's",
    )


def add_adapters(parser: argparse.ArgumentParser) -> None:
    """The arguments of a command that labels: both adapters' folders, and the longest row."""
    for task in ("emotion", "cause"):
        parser.add_argument(f"--{task}-adapter", metavar="DIR", help="default: of the newest run in results_train/")
    parser.add_argument(
        "--max-row-tokens", type=positive, metavar="N", help="for long conversations; default: the adapters'"
    )
