"""The same scores from llama.cpp, for a model that was exported as GGUF."""

import numpy as np

from utils.engine.prefix_tree import paths
from utils.system.errors import ExportError

# ---- llama.cpp -------------------------------------------------------------------------------------------------


def load_gguf(path, tokens: int = 4096):
    """llama.cpp's model in the file `path`, for sequences of up to `tokens`. Raises ExportError without its package."""
    try:
        from llama_cpp import Llama  # pyright: ignore[reportAttributeAccessIssue] (it takes this file for it)
    except ImportError as error:
        raise ExportError("llama.cpp is missing: pip install llama-cpp-python (it is compiled for minutes)") from error
    return Llama(str(path), n_ctx=tokens, n_batch=512, verbose=False)


def gguf_scores(llama, row) -> list[list[float]]:
    """utils.engine.inference.score_row by llama.cpp: for `row` (a prefix_tree.Row) the log-probability of every allowed
    answer of every question, questions x answers. Depth first, so that only what no path before held is computed."""
    from llama_cpp import llama_get_logits_ith  # pyright: ignore[reportAttributeAccessIssue] (as above)

    targets = sorted({target for question in row.answers for answer in question for target in answer})
    logp, before, logits = {}, [], np.empty(0)
    llama.reset()
    for target, (seen, token) in zip(targets, paths(row, targets)):
        if seen != before:
            same = next((k for k, (a, b) in enumerate(zip(seen, before)) if a != b), min(len(seen), len(before)))
            llama.n_tokens = min(same, len(seen) - 1)  # what is behind is forgotten, and the last token computed
            llama.eval(seen[llama.n_tokens :])
            found = llama_get_logits_ith(llama.ctx, -1)
            logits = np.ctypeslib.as_array(found, shape=(llama.n_vocab(),)).astype(np.float64)
            logits = logits - logits.max()
            logits -= np.log(np.exp(logits).sum())
            before = seen
        logp[target] = float(logits[token])
    return [[sum(logp[target] for target in answer) for answer in question] for question in row.answers]
