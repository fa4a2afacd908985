"""When memory runs out: the same work in smaller parts, with the same results, and a line that says so.

in_parts = InParts()
results = in_parts(step, parts, join, tokens, names)
"""

import math

import torch

from utils.system.errors import DoesNotFit
from utils.system.hardware import out_of_memory


class InParts:
    """Does work at once while memory suffices, and in parts where it ran out on as many tokens before."""

    def __init__(self):
        self.limit = math.inf  # the smallest number of tokens on which memory ran out

    def __call__(self, step, parts: list, join, tokens: list[int], names: list[str], undo=lambda: None) -> list:
        """[step(join(parts))]; where memory does not suffice, [step(join([part])) for each part].

        tokens, names  of each part; `undo` takes back what a failed step left behind

        Raises DoesNotFit for a single part that does not fit.
        """
        if len(parts) == 1 or sum(tokens) < self.limit:
            try:
                return [step(join(parts))]
            except Exception as error:
                if not out_of_memory(error):
                    raise
                if len(parts) == 1:
                    raise DoesNotFit(names[0], tokens[0]) from error
            # Behind the except clause, where the failed step's tensors are free.
            self.limit = sum(tokens)
            undo()
            torch.cuda.empty_cache()
            print(f"Memory ran out on {sum(tokens)} tokens at once: from here on, as many are done in parts.")
        return [
            result
            for part, count, name in zip(parts, tokens, names, strict=True)
            for result in self(step, [part], join, [count], [name])
        ]
