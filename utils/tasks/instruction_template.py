"""Which template a name means: a file's, or for "chat" that of the model.

find_template("alpaca", tokenizer)
find_template("chat", tokenizer).prompt("Name a fruit.")      # <|im_start|>user ...
"""

from jinja2 import TemplateError

from utils.data.templates import Template
from utils.system.errors import ModelError

CHAT = "chat"
_ASKED, _ANSWERED = "instruction7f3a", "answer7f3a"  # stand in for texts; no template has such words


def find_template(name: str, tokenizer) -> Template:
    """The template of this name (`Template.read`), or for CHAT the chat template of the model whose tokenizer this is;
    others need none.

    Raises FileError for a template that is not there, ModelError for a model without a chat template."""
    return chat_template(tokenizer) if name == CHAT else Template.read(name)


def chat_template(tokenizer) -> Template:
    """The model's chat template as one turn of a user, with the input below the instruction, and one answer. Its marks
    are special tokens, so no text of an example may hold one.

    Raises ModelError for a model that has none, or one that does not keep both texts as they are."""
    name = tokenizer.name_or_path or type(tokenizer).__name__
    if not tokenizer.chat_template:
        raise ModelError(f"model {name} has no chat template. Give a template by name, such as alpaca")
    turns = [{"role": "user", "content": _ASKED}, {"role": "assistant", "content": _ANSWERED}]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    except (TemplateError, TypeError, ValueError) as error:
        raise ModelError(f"model {name}: its chat template fails ({error}). Give another template") from error
    if text.count(_ASKED) != 1 or text.count(_ANSWERED) != 1 or text.index(_ASKED) > text.index(_ANSWERED):
        raise ModelError(f"model {name}: its chat template does not keep the texts. Give another template")
    before, _, rest = text.partition(_ASKED)
    between, _, behind = rest.partition(_ANSWERED)
    special = tuple(sorted({*tokenizer.all_special_tokens}))
    marks = [(behind.index(token), token) for token in special if token in behind]
    before, between = (part.replace("{", "{{").replace("}", "}}") for part in (before, between))
    return Template(
        description="the chat template of the model",
        prompt_input=f"{before}{{instruction}}\n\n{{input}}{between}",
        prompt_no_input=f"{before}{{instruction}}{between}",
        response_split=between.strip(),
        closing=min(marks)[1] if marks else "",
        special=special,
    )
