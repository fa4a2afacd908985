"""Parameters that papermill put into a notebook: it takes any name, and one that is mistyped would change nothing.

Only the standard library is imported: the set-up cell of a notebook reads this file before any package is installed.
"""

import ast
import sys
from difflib import get_close_matches

from utils.system.errors import ConfigError

HEAD = "# Parameters\n"  # papermill's, on top of the cell that it puts behind the parameters cell


def cells() -> list[str]:
    """The code of the cells that this notebook has run so far; [] outside of notebooks."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return [*shell.user_ns.get("In", [])] if shell else []


def check_injected(cells: list[str]) -> None:
    """Raises ConfigError for a parameter that papermill injected and the parameters cell before it does not have."""
    for place, cell in enumerate(cells):
        if cell.startswith(HEAD) and place:
            known = _assigned(cells[place - 1])
            for name in _assigned(cell):
                if name not in known:
                    near = get_close_matches(name, known, n=1)
                    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
                    raise ConfigError(f"papermill -p {name}: the notebook has no such parameter; {hint}")


def _assigned(code: str) -> list[str]:
    try:
        lines = ast.parse(code).body
    except SyntaxError:  # a magic command
        return []
    targets = [target for line in lines if isinstance(line, ast.Assign) for target in line.targets]
    return [target.id for target in targets if isinstance(target, ast.Name)]
