"""What the commands do alike: Ctrl-C ends them with one line and status 130, not with a traceback."""

import functools
import sys


def command(name: str):
    """Decorator of a command's main(argv) -> status. `name` is what its messages begin with.

    What takes seconds to import (torch) is imported inside main, so that Ctrl-C finds this in place.
    """

    def decorate(main):
        @functools.wraps(main)
        def stoppable(argv=None) -> int:
            if hasattr(sys.stdout, "reconfigure"):  # a file or pipe on Windows may not be able to hold every text
                sys.stdout.reconfigure(errors="replace")
            try:
                return main(argv)
            except KeyboardInterrupt:
                print(f"\n{name}: interrupted. Every file is whole; the same command goes on.", file=sys.stderr)
                return 130

        return stoppable

    return decorate
