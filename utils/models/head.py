"""A head in place of the vocabulary: numbers from the hidden state at a token, of transformers' sequence classifiers.

    model, tokenizer = load_model("smollm2-135m-instruct", outputs=("relevance: no", "relevance: yes", "score"))
    outputs_of(model)                              # the names; [] for a language model
    head_outputs(model, inputs, indices)           # (indices, outputs)

Outputs whose names begin alike, up to a colon, are the log-odds of one choice; one that is alone is a number.
"""

from itertools import groupby
from typing import Any

import torch
from peft import PeftModel

from utils.system.errors import ModelError


def _base(model) -> Any:
    return model.get_base_model() if isinstance(model, PeftModel) else model


def outputs_of(model) -> list[str]:
    """The names of what the model's head gives; [] for a model without one."""
    base = _base(model)
    if not type(base).__name__.endswith("ForSequenceClassification"):
        return []
    return [base.config.id2label[number] for number in range(base.config.num_labels)]


def groups_of(outputs: list[str]) -> list[range]:
    """The outputs that belong together: of one choice, or a number alone."""
    found, start = [], 0
    for _, names in groupby(outputs, key=lambda name: name.partition(":")[0]):
        end = start + len(list(names))
        found.append(range(start, end))
        start = end
    return found


def fresh_head(model) -> None:
    """Makes the head's weights random, by torch's seed. Raises ModelError for a head that is not called score."""
    head = getattr(model, "score", None)
    if not isinstance(head, torch.nn.Linear):
        raise ModelError(
            f"model {model.config.name_or_path}: its sequence classifier has no linear layer called score, which "
            "strategy sequence trains: give strategy generation, or another model"
        )
    torch.nn.init.normal_(head.weight, std=getattr(model.config, "initializer_range", 0.02))


def head_outputs(model, inputs: dict, indices):
    """What the head gives at the tokens `indices` of one row, as floats: (indices, outputs).

    inputs  input_ids, position_ids and attention_mask of the row (utils.engine.prefix_tree.model_inputs)
    """
    base = _base(model)
    inner = getattr(base, base.base_model_prefix)
    hidden = inner(**inputs, use_cache=False).last_hidden_state[0, indices]
    return base.score(hidden.to(base.score.weight.dtype)).float()
