"""What all commands do alike: one message and status 2 for what the user can fix, one line and status 130 for Ctrl-C,
or 143 for SIGTERM.

@command("utils.score")
def main(argv=None) -> int: ...
"""

import argparse
import contextlib
import errno
import functools
import os
import re
import signal
import sys
from typing import Any, NoReturn

from utils.system import start
from utils.system.errors import UserError, without_credentials


def command(name: str):
    """Decorator of a command's main(argv) -> status. `name` is what its messages begin with. UserError and OSError end
    it with one message on stderr and status 2; a standard output that is full with one message and status 1, one that
    nobody reads any more without a word and with status 141, as the shell's own commands end then.

    What takes seconds to import (torch) is imported inside main, so that Ctrl-C finds this in place.
    """

    def decorate(main):
        @functools.wraps(main)
        def stoppable(argv=None) -> int:
            for one in start.STOPS:
                if signal.getsignal(one) is start.end_quietly:
                    signal.signal(one, start.interrupt)
            # A file or pipe on Windows may not be able to hold every text.
            if reconfigure := getattr(sys.stdout, "reconfigure", None):
                reconfigure(errors="replace")
            try:
                status = main(argv)
                if lost := _lost_output():
                    return _output_ended(name, lost)
                return status
            except SystemExit:  # argparse's, behind --help
                _lost_output()
                raise
            except (UserError, OSError) as error:
                lost = _lost_output(error if isinstance(error, OSError) else None)
                if lost and isinstance(error, OSError) and not error.filename:
                    return _output_ended(name, lost)
                print(without_credentials(f"{name}: {error}"), file=sys.stderr)
                return 2
            except KeyboardInterrupt as stop:
                print(f"\n{name}: interrupted. Every file is whole; the same command goes on.", file=sys.stderr)
                return 128 + (stop.args[0] if stop.args else signal.SIGINT)

        return stoppable

    return decorate


def _lost_output(error: OSError | None = None) -> OSError | None:
    """Why standard output takes nothing more, or None where it does. What waits to be written is then dropped, or the
    interpreter would complain of it at its end. `error` has perhaps been raised by a write to it, unbuffered."""
    try:
        if error and not error.filename and error.errno in (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO):
            sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError as lost:
        with contextlib.suppress(OSError):  # of a test's output, which is no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return lost
    except (AttributeError, ValueError):  # there is none, or it is closed
        return None
    return None


def _output_ended(name: str, lost: OSError) -> int:
    """The status of a command whose output went nowhere; a full disk is told."""
    if lost.errno == errno.EPIPE:
        return 141
    print(f"{name}: the output cannot be written ({lost.strerror}). Make room, or write it elsewhere", file=sys.stderr)
    return 1


def positive(text: str) -> int:
    """A whole number above 0. Raises argparse.ArgumentTypeError for other text."""
    if not re.fullmatch("0*[1-9][0-9]{0,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r}; it must be a whole number above 0")
    return int(text)


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """The arguments of a command that takes a file of configs/: `config`, and `-p NAME VALUE` on top of it."""
    parser.add_argument("config", help="parameter file, such as configs/sample.yaml")
    add_parameter(parser, "one parameter, on top of the file's")


def add_parameter(parser: argparse.ArgumentParser, help: str, example: str = "seed 43") -> None:
    """The argument `-p NAME VALUE`, as often as one likes. example: a name and a value, for the message about a missing
    one."""
    parser.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help=help,
    )
    error = parser.error

    def with_hint(message: str) -> NoReturn:
        error(message + f": write -p NAME VALUE, such as -p {example}" * ("expected 2 arguments" in message))

    parser.error = with_hint


def add_columns(parser: argparse.ArgumentParser, names: tuple[str, ...]) -> None:
    """The argument `--columns NAME=COLUMN ...`, a list of pairs: what is read of a table, one of `names`, and its
    column; None where nothing is given."""

    def column(text: str) -> tuple[str, str]:
        name, mark, its = text.partition("=")
        if name not in names or not mark or not its:
            raise argparse.ArgumentTypeError(f"{text!r}; write one of {', '.join(names)}, =, and a column's name")
        return name, its

    help = f"the columns of a table that are called otherwise: {', '.join(names)}"
    parser.add_argument("--columns", nargs="+", type=column, metavar="NAME=COLUMN", help=help)


def add_run(parser: Any, otherwise: str = "the one that ships") -> None:
    """The argument of a command about a run's adapters, in a parser or a group of one: `--run NAME`, None where none is
    given. otherwise: what is meant then, for the help."""
    parser.add_argument("--run", metavar="NAME", help=f"a run in results_train/, or its folder; default: {otherwise}")


def add_adapters(parser: argparse.ArgumentParser) -> None:
    """The arguments of a command that labels: the run or both adapters' folders, and the longest row."""
    add_run(parser)
    for task in ("emotion", "cause"):
        parser.add_argument(f"--{task}-adapter", metavar="DIR", help="default: the run's, or the one beside the other")
    add_longest(parser)


def add_longest(parser: argparse.ArgumentParser) -> None:
    """The argument `--max-row-tokens N`, None where the adapters' own is meant."""
    help = "for what is longer than the adapters' parameters say"
    parser.add_argument("--max-row-tokens", type=positive, metavar="N", help=help)
