"""The part of a model card that says how to use the model: by this repository, and by other programs alone.

What other programs must put before the model is the text of one question, piece by piece, or a prompt. It is made from
the task's own tree for what is invented here, so it is what training asked.
"""

import json
from collections.abc import Callable
from typing import Any

from utils.config import Config
from utils.data.conversations import Conversation
from utils.data.instructions import Example
from utils.data.opinions import Text
from utils.engine.prefix_tree import Question
from utils.engine.settings import Writing
from utils.tasks.instruction import Instructions
from utils.tasks.opinion import Opinions
from utils.tasks.task import Task

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
INSTRUCTION: Example = {"example_ID": 1, "instruction": "Name three fruits that grow in cold places.", "input": ""}
COMMAND = """```bash
# FOLDER is this one
{door}
```"""
PLAIN = """With {libraries} alone, one question about {what}. Each piece becomes tokens by itself.

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
WRITTEN = """With {libraries} alone, one instruction.

```python
import torch
{imports}

FOLDER = "FOLDER"  # this one, or its id on the hub
{load}
prompt = {prompt}
seen = tokenizer(prompt, return_tensors="pt", add_special_tokens={special})
with torch.no_grad():
    written = model.generate(**seen, max_new_tokens={new_tokens}, do_sample=False)
answer = tokenizer.decode(written[0, seen.input_ids.shape[1] :], skip_special_tokens=True)
for heading in {markers}:
    answer = answer.split(heading)[0]
print(answer.strip())
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
GGUF = """With llama.cpp alone, one question about {what}. The grammar allows the answers and nothing else.

```bash
llama-server --model MODEL.gguf --port 8080 &    # MODEL.gguf is the file in this folder
curl --silent http://127.0.0.1:8080/completion --data '{request}'
```

The field `content` of what comes back is the answer."""
GGUF_WRITTEN = """With llama.cpp alone, one instruction.

```bash
llama-server --model MODEL.gguf --port 8080 &    # MODEL.gguf is the file in this folder
curl --silent http://127.0.0.1:8080/completion --data '{request}'
```

The field `content` of what comes back is the answer."""


def use(task: str, door: str, example: str | None, about: str, alone: bool) -> str:
    """How an adapter of the task of this name is used.

    door     the command of the repository that uses it
    example  how other programs do, or None where that is not shown
    about    what the example asks, and what the repository does with such answers
    alone    whether it is an adapter, and not merged into its model
    """
    where = f"How its questions are put and read stands in `utils/tasks/{task}.py` of the repository."
    parts = [COMMAND.format(door=door)] if alone else []
    parts += [where] if example is None else [example, f"{about} {where.replace('its questions', 'questions')}"]
    return "\n\n".join(parts)


def one_question(item: Callable[[Any], Any], what: str, task: Task, config: Config, merged: str | None) -> str | None:
    """How other programs ask one question about an item, and score its answers; None where no program alone can.

    item    task -> what is asked about; `what` that is, in words
    task    as it was trained, with `config`
    merged  see utils.record.card.card
    """
    question = _question(task, config, item(task))
    if question is None:
        return None
    pieces, answers = question
    if merged == "gguf":
        grammar = "root ::= " + " | ".join(json.dumps(answer) for answer in answers)
        request = {"prompt": "".join(pieces), "n_predict": 8, "temperature": 0, "grammar": grammar}
        return GGUF.format(what=what, request=_quoted(request))
    asked = {"pieces": _listed(pieces), "answers": json.dumps(answers)}
    return PLAIN.format(what=what, **_loaded(merged), **asked)


def one_answer(task: Instructions, config: Config, merged: str | None) -> str | None:
    """How other programs have one instruction answered, by an adapter of `task`; None for one that reads vectors, which
    they do not know. merged: see utils.record.card.card."""
    if config.streams:
        return None
    (prompt,), how, markers = task.prompt(INSTRUCTION), Writing(), list(task.template.markers)
    if merged == "gguf":
        request = {"prompt": prompt, "n_predict": how.new_tokens, "temperature": how.temperature, "stop": markers}
        return GGUF_WRITTEN.format(request=_quoted(request))
    asked = {"prompt": json.dumps(prompt), "special": not task.template.special, "markers": json.dumps(markers)}
    return WRITTEN.format(new_tokens=how.new_tokens, **_loaded(merged), **asked)


def about_utterances(task: Task) -> Conversation:
    """Two invented utterances."""
    return EXAMPLE


def about_text(task: Opinions) -> Text:
    """An invented text, asked about the first of the task's topics."""
    return {"text_ID": 1, "text": "They mean well, and I am still not convinced.", "opinions": {[*task.topics][0]: {}}}


def _loaded(merged: str | None) -> dict[str, str]:
    """What loads a model in Python: the libraries, their imports, the lines."""
    imports, load = LOAD[merged]
    return {"libraries": "transformers" if merged else "transformers and PEFT", "imports": imports, "load": load}


def _quoted(request: dict[str, Any]) -> str:
    """A request as JSON between the shell's single quotation marks."""
    return json.dumps(request).replace("'", "'\\''")


def _question(task: Task, config: Config, item: Any) -> tuple[list[str], list[str]] | None:
    """(the pieces of text from the tree's root to its first question behind the whole item, its answers); None for the
    published recipe, which asks in prompts, for a task whose questions depend on earlier answers, for a head in place
    of the vocabulary, and for an adapter that reads vectors, which other programs do not know."""
    if config.recipe != "one_pass" or config.streams or task.outputs:
        return None
    found: list[tuple[list[str], Question]] = []
    waiting = [([], task.tree(item))]
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
