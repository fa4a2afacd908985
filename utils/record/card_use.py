"""The part of a model card that says how to use the model: by this repository, and by other programs alone.

What other programs must put before the model is the text of one question, piece by piece. It is made from the task's
own tree for two invented utterances, so it is what training asked.
"""

import json

from utils.config import Config
from utils.data.conversations import Conversation
from utils.engine.prefix_tree import Question

EXAMPLE: Conversation = {
    "conversation_ID": 1,
    "conversation": [
        {
            "utterance_ID": 1,
            "speaker": "Mia",
            "text": "The landlord called. We have to move out!",
            "emotion": "sadness",
        },
        {"utterance_ID": 2, "speaker": "Tom", "text": "What? He promised us another year!", "emotion": "surprise"},
    ],
}
COMMAND = """```bash
# FOLDER is this one
python -m utils.predict CONVERSATIONS.json --out PRED.json --{task}-adapter FOLDER
```"""
PLAIN = """With {libraries} alone, one question about two utterances. Each piece becomes tokens by itself.

```python
import torch
{imports}

FOLDER = "FOLDER"  # this one, or its id on the hub
{load}
pieces = {pieces}
answers = {answers}


def tokens(text):
    return tokenizer(text, add_special_tokens=False).input_ids


@torch.no_grad()
def log_probability(seen, answer):
    logits = model(torch.tensor([seen + answer])).logits[0, -len(answer) - 1 : -1].float()
    return logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum()


seen = tokenizer("").input_ids + [token for piece in pieces for token in tokens(piece)]
scores = torch.stack([log_probability(seen, tokens(answer)) for answer in answers])
print(dict(zip(answers, scores.softmax(0).tolist())))
```"""
LOAD = {
    None: (
        "from peft import AutoPeftModelForCausalLM\nfrom transformers import AutoTokenizer",
        "model = AutoPeftModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()\n"
        'tokenizer = AutoTokenizer.from_pretrained(model.peft_config["default"].base_model_name_or_path)',
    ),
    "safetensors": (
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()\n"
        "tokenizer = AutoTokenizer.from_pretrained(FOLDER)",
    ),
    "state_dict": (
        "from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer",
        "model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(FOLDER), dtype=torch.float32).eval()\n"
        'model.load_state_dict(torch.load(f"{FOLDER}/state_dict.pt", weights_only=True))\n'
        "tokenizer = AutoTokenizer.from_pretrained(FOLDER)",
    ),
}
GGUF = """With llama.cpp alone, one question about two utterances. The grammar allows the answers and nothing else.

```bash
llama-server --model MODEL.gguf --port 8080 &    # MODEL.gguf is the file in this folder
curl --silent http://127.0.0.1:8080/completion --data '{request}'
```

The field `content` of what comes back is the answer."""


def use(task: str, config: Config, merged: str | None, about: str) -> str:
    """How an adapter of `task`, trained with `config`, is used. merged: see utils.record.card.card. about: what the
    example asks, and what the repository does with such answers."""
    question = _question(task, config)
    parts = [] if merged else [COMMAND.format(task=task)]
    if question is None:
        parts.append(f"How its questions are put and read stands in `utils/tasks/{task}.py` of the repository.")
        return "\n\n".join(parts)
    pieces, answers = question
    if merged == "gguf":
        grammar = "root ::= " + " | ".join(json.dumps(answer) for answer in answers)
        request = {"prompt": "".join(pieces), "n_predict": 8, "temperature": 0, "grammar": grammar}
        parts.append(GGUF.format(request=json.dumps(request).replace("'", "'\\''")))
    else:
        imports, load = LOAD[merged]
        libraries = "transformers" if merged else "transformers and PEFT"
        parts.append(
            PLAIN.format(
                libraries=libraries, imports=imports, load=load, pieces=_listed(pieces), answers=json.dumps(answers)
            )
        )
    parts.append(f"{about} How questions are put and read stands in `utils/tasks/{task}.py` of the repository.")
    return "\n\n".join(parts)


def _question(task: str, config: Config) -> tuple[list[str], list[str]] | None:
    """(the pieces of text from the tree's root to its first question behind the whole EXAMPLE, its answers); None for
    the published recipe, which asks in prompts, for a task whose questions depend on earlier answers, and for an
    adapter that reads vectors, which other programs do not know."""
    if config.recipe != "one_pass" or config.streams:
        return None
    found: list[tuple[list[str], Question]] = []
    waiting = [([], config.task(task).tree(EXAMPLE))]
    while waiting:  # depth first
        before, node = waiting.pop()
        here = [*before, node.text]
        if node.question:
            found.append((here, node.question))
        waiting += [(here, child) for child in reversed(node.children)]
    if not found:  # the list of causes is asked in rounds
        return None
    pieces, asked = max(found, key=lambda one: len(one[0]))
    return pieces, list(asked.answers)


def _listed(pieces: list[str]) -> str:
    """A list of texts as Python writes it, a line a text."""
    return "[\n" + "".join(f"    {json.dumps(piece)},\n" for piece in pieces) + "]"
