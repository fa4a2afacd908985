"""Prompt templates as data: what stands around an instruction and its input, in Alpaca-LoRA's fields.

template = Template.read("alpaca")               # configs/templates/alpaca.json; or the path of a file of yours
template.prompt("Name a fruit.", "")             # the text in front of the answer
template.answer_in(written)                      # the answer in what a model wrote: it ends at the next marker

description      one sentence about it
prompt_input     the prompt of an instruction with an input: {instruction} and {input} are their places
prompt_no_input  the prompt of an instruction alone
response_split   what stands in front of the answer, in both
"""

import re
import string
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from utils.system.errors import FileError, shown
from utils.system.files import read_object, ready_or_own
from utils.system.places import ROOT

FOLDER = ROOT / "configs" / "templates"
# What the chat templates of most models mark turns with.
CHAT_MARKER = re.compile(r"<\|[\w/-]+\|>|\[/?INST\]|</?(?:start|end)_of_turn>")
_PLACES = {"prompt_input": ("instruction", "input"), "prompt_no_input": ("instruction",)}


@dataclass(frozen=True)
class Template:
    """What stands around an instruction. Besides the fields of the file, a model's chat template has

    closing  the token behind an answer
    special  the special tokens of the model, which stand in its prompts as text, and in no example
    """

    description: str
    prompt_input: str
    prompt_no_input: str
    response_split: str
    closing: str = ""
    special: tuple[str, ...] = ()

    def prompt(self, instruction: str, input: str = "") -> str:
        """The text in front of the answer. Braces in an instruction or an input stay as they are."""
        return "".join(self.halves(instruction, input))

    def halves(self, instruction: str, input: str = "") -> tuple[str, str]:
        """The text in front of the answer as two, between which a picture stands: behind the instruction, or where
        there is an input, in front of that."""
        given, halves = {None: "", "instruction": instruction, "input": input}, [""]
        for text, place, *_ in string.Formatter().parse(self.prompt_input if input else self.prompt_no_input):
            halves[-1] += text
            halves += [""] * (place == "input")
            halves[-1] += given[place]
            halves += [""] * (place == "instruction" and not input)
        before, behind = halves
        return before, behind

    @property
    def markers(self) -> tuple[str, ...]:
        """The headings: what stands in front of an answer, and the lines above an instruction and an input; and special
        tokens. No text of an example may hold one: it would look as if another section began."""
        found = dict.fromkeys((self.response_split.strip(), *self.special))
        for name in _PLACES:
            pieces = [text for text, place, *_ in string.Formatter().parse(getattr(self, name)) if place is not None]
            found |= {text.strip().splitlines()[-1].strip(): None for text in pieces if _heads(text)}
        return tuple(found)

    def answer_in(self, written: str) -> str:
        """The answer in what a model wrote behind a prompt: up to the first marker, without white space around it."""
        ends = [at for marker in self.markers if (at := written.find(marker)) >= 0]
        return written[: min(ends, default=len(written))].strip()

    def as_dict(self) -> dict[str, Any]:
        """The template as JSON holds it."""
        return {**asdict(self), "special": list(self.special)}

    @classmethod
    def read(cls, name: str | Path) -> "Template":
        """The template of this name in configs/templates, or in the JSON file at this path.

        Raises FileError for one that is not there, and for a file that is none."""
        path = ready_or_own(name, FOLDER, (".json",), "template")
        return cls.from_dict(read_object(path), path)

    @classmethod
    def from_dict(cls, data: Any, source: str | Path) -> "Template":
        """`data`, once it is known to be a template. Raises FileError, naming `source`, the field and the fix."""
        known = ["description", *_PLACES, "response_split"]
        if unknown := [name for name in data if name not in known]:
            raise FileError(f"{source}: the field {shown(unknown[0])} is unknown. Write {', '.join(known)}")
        for name in known:
            if not isinstance(data.get(name), str) or name != "description" and not data[name].strip():
                raise FileError(f"{source}, field {name!r}: {shown(data.get(name))} where a text belongs. Write one")
        for name, places in _PLACES.items():
            _check_places(data[name], places, f"{source}, field {name!r}")
            if data["response_split"] not in data[name].rpartition(f"{{{places[-1]}}}")[2]:
                raise FileError(
                    f"{source}, field {name!r}: response_split, {shown(data['response_split'])}, does not stand behind "
                    f"{{{places[-1]}}}. Write it there"
                )
        return cls(**data)


def _heads(text: str) -> bool:
    """Whether a piece of a prompt ends with a line of its own."""
    return bool(text.strip()) and text.endswith("\n")


def _check_places(text: str, places: tuple[str, ...], where: str) -> None:
    """Raises FileError for a text without one of its places, and for another brace."""
    wanted = " and ".join(f"{{{name}}}" for name in places)
    try:
        found = [part for part in string.Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        raise FileError(f"{where}: a brace alone ({error}). Write {{{{ or }}}} for a brace of the text") from error
    for _, name, form, kind in found:
        if name not in places or form or kind:
            raise FileError(f"{where}: {{{name}}} is no place of it. Write {wanted}, and {{{{ for a brace of the text")
    for name in places:
        if [one for _, one, *_ in found].count(name) != 1:
            raise FileError(f"{where}: it must hold {{{name}}} once. Write {wanted}")


def template_names() -> list[str]:
    """The names of the templates in configs/templates."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def marker_in(text: str, markers: Iterable[str]) -> str | None:
    """The first of `markers`, or the mark of a chat's turn, that a text holds; None where it holds none."""
    chat = CHAT_MARKER.search(text)
    return next((one for one in markers if one in text), chat and chat[0])
