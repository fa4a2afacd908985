"""Instructions in, answers out: of the base model, and beside it of an adapter. utils/demo.py is its door.

model = InstructionPredict("results_train/RUN/adapters/instruction")    # without an adapter: the base model alone
for texts in model.answers("Name a fruit.", how=Writing(temperature=0.7), streaming=True): print(texts)
rows = model.of_file("tasks.json", Writing())
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from utils.config import Config
from utils.data.formats.alpaca import read_examples
from utils.data.instructions import Example, check_example, check_images
from utils.data.templates import Template, template_names
from utils.engine.settings import Writing
from utils.record.adapter import trained_with
from utils.record.predictor import streams_read
from utils.system.errors import ConfigError, shown
from utils.tasks.forms import recorded_instructions
from utils.tasks.instruction import Answer, Instructions
from utils.tasks.instruction_template import CHAT, chat_template
from utils.tasks.senses import senses_of, sensing

BASE, TUNED = "base model", "trained"  # who answers
OWN = "as trained"  # the template of an adapter that is none of those that ship


class InstructionPredict:
    """A model that answers instructions, loaded once; and beside it the same one with an adapter.

    templates  {name: Template} of those that can be asked in, the one to begin with first
    systems    who answers: TUNED, where there is an adapter, and BASE
    about      who that is, in words
    config     the parameters that it answers with
    pictures   the names of those that an example may have: of the vectors that the adapter reads
    """

    def __init__(
        self,
        adapter: str | Path | None = None,
        model: str | None = None,
        load_8bit: bool = False,
        features: str | Path | None = None,
    ):
        """
        adapter    the folder of one that was trained on instructions; None: the base model alone
        model      its folder or hub id; None: the adapter's, or the embedded model
        load_8bit  the base model's weights in 8 bits, on an NVIDIA card
        features   the folder of the streams of vectors that the adapter reads; None: they are absent. The base model
                   reads none, but the same text

        Raises ModelError for what cannot be had, FileError for streams that cannot be read, NotEnoughMemory.
        """
        own = [] if adapter is None else [recorded_instructions(adapter)]
        from utils.models.adapters import load_adapter
        from utils.models.fits import check_memory
        from utils.models.load import load_model

        config = replace(Config(), quantization="none") if adapter is None else trained_with(adapter)
        changed = {"model": model, "quantization": "int8" if load_8bit else None}
        config = replace(config, **{name: value for name, value in changed.items() if value is not None})
        self._streams = streams_read({TUNED: config}, features)
        check_memory(config)
        self._model, self._tokenizer = load_model(config.model, config.quantization, config.precision)
        if adapter is not None:
            self._model = load_adapter(self._model, adapter, config.model)
        self._alone, self.config = Lock(), config
        known = {name: Template.read(name) for name in template_names()}
        if self._tokenizer.chat_template:
            known[CHAT] = chat_template(self._tokenizer)
        self._ends = all(its.add_eos_token for its in own)  # as the adapter learnt it
        templates = [its.template for its in own]
        first = {next((name for name, one in known.items() if one == its), OWN): its for its in templates}
        self.templates: dict[str, Template] = {**first, **known}
        self.systems = (BASE,) if adapter is None else (TUNED, BASE)
        self.pictures = sorted({name for stream in self._streams.values() for name in stream.vectors})
        self.about = f"{Path(config.model).name}, " + ("untrained" if adapter is None else f"beside {adapter}")

    def task(self, template: str | None = None) -> Instructions:
        """The task in the template of this name, by default the first. Raises ConfigError for one that is unknown."""
        name = template or next(iter(self.templates))
        if name not in self.templates:
            raise ConfigError(f"template is {shown(name)}; choose {', '.join(self.templates)}")
        task = Instructions(self.templates[name], add_eos_token=self._ends, senses=senses_of(self.config))
        return sensing(task, self._streams) if self._streams else task

    def answers(
        self,
        instruction: str,
        input: str = "",
        how: Writing | None = None,
        template: str | None = None,
        streaming: bool = False,
        image: str = "",
    ) -> Iterator[dict[str, str]]:
        """{one of `systems`: its answer so far}: with `streaming` each time a word is added, else when one is whole.
        image: one of `pictures`, or none.

        Raises ConfigError for settings that cannot be, InstructionError for an empty instruction, TrainingError for a
        text that holds a marker of the template or is too long."""
        from utils.tasks.instruction_writing import streamed, written

        task, how = self._checked(how, template, streaming)
        example: Any = {
            "example_ID": 1,
            "instruction": instruction,
            "input": input,
            **({"image": image} if image else {}),
        }
        check_example(example, "the page", answered=False)
        found: dict[str, str] = dict.fromkeys(self.systems, "")
        for system in self.systems:
            with self._answering(system) as asked:
                texts = streamed(task, *asked, example, how) if streaming else written(task, *asked, [example], how)
                for text in texts:
                    found = {**found, system: text}
                    yield found

    def of_file(
        self, path: str | Path, how: Writing | None = None, template: str | None = None
    ) -> list[dict[str, Any]]:
        """The examples of a file in Alpaca's form, whose answers are not read, each with {one of `systems`: its
        answer}. Many are answered at a time.

        Raises FileError and InstructionError for what cannot be read, and what `answers` raises."""
        from utils.tasks.instruction_writing import written

        task, how = self._checked(how, template)
        given = read_examples(Path(path), answered=False)
        examples: list[Any] = [{"example_ID": number, **one.fields} for number, one in enumerate(given, 1)]
        check_images(examples if self._streams else (), path)
        rows = [dict(one) for one in examples]
        for system in self.systems:
            with self._answering(system) as asked:
                for row, text in zip(rows, written(task, *asked, examples, how), strict=True):
                    row[system] = text
        return rows

    def scored(
        self,
        examples: Sequence[Example],
        new_tokens: int,
        template: str | None = None,
        journals: Mapping[str, Any] | None = None,
    ) -> dict[str, list[Answer]]:
        """{one of `systems`: an Answer for each example}: what it writes at temperature 0, and how likely it finds the
        right answer, or each choice of a classification.

        journals  {system: an utils.engine.inference.Journal}, from which interrupted work goes on

        Raises ConfigError for an unknown template, and what utils.tasks.instruction_scores.answers raises."""
        from utils.tasks.instruction_scores import answers

        check_images(examples if self._streams else (), "the file")
        task, found = self.task(template), {}
        for system in self.systems:
            with self._answering(system) as asked:
                how = self.config.inference(), new_tokens, (journals or {}).get(system)
                found[system] = answers(task, *asked, examples, *how)
        return found

    def _checked(self, how: Writing | None, template: str | None, streaming=False) -> tuple[Instructions, Writing]:
        how = how or Writing()
        how.check(streaming)
        return self.task(template), how

    @contextmanager
    def _answering(self, system: str) -> Iterator[tuple[Any, Any]]:
        """(model, tokenizer) of one of `systems`, for nobody else meanwhile: the adapter is there, or it is not."""
        from utils.models.projector import without_adapter

        without = system == BASE and TUNED in self.systems
        with self._alone, without_adapter(self._model) if without else nullcontext():
            yield self._model, self._tokenizer
