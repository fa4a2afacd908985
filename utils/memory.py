"""When memory runs out: the same work in smaller parts, with the same results, and a line that says so.

    in_parts = InParts()
    results = in_parts(step, parts, join, tokens, names)
"""

import math

import torch

# How the CPU's allocators, cuBLAS and older GPU back ends put it in a plain RuntimeError.
_SAID = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED", "bad_alloc")


class DoesNotFit(ValueError):
    """A single conversation or prompt (`name`, of `tokens` tokens) for which memory does not suffice."""

    def __init__(self, name: str, tokens: int):
        self.tokens = tokens
        super().__init__(
            f"memory ran out on {name} ({tokens} tokens with its questions), which is not done in parts. Leave it out, "
            "give a smaller model, quantization nf4 or (in training) gradient_checkpointing, or use a larger machine"
        )


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out: the GPU's, the CPU's or Python's."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)


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
            result for part, count, name in zip(parts, tokens, names, strict=True)
            for result in self(step, [part], join, [count], [name])
        ]
