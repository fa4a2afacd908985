"""What a model writes behind instructions: many answers at a time, or one that is seen while it is written.

texts = written(task, model, tokenizer, examples, Writing(new_tokens=128))
for text in streamed(task, model, tokenizer, example, Writing(temperature=0.7)): print(text)

An answer ends with the model's end-of-sequence token, a marker of the template, or so many tokens.
"""

from collections.abc import Iterator, Sequence

from utils.data.instructions import Example, without_output
from utils.engine.inference import Journal, generate_published
from utils.engine.settings import Writing
from utils.engine.streaming import streaming
from utils.engine.whole_texts import Pieces, prompt_tokens
from utils.models.virtual import virtual_tokens
from utils.system.errors import TrainingError
from utils.tasks.instruction import Instructions

TOGETHER = 32  # answers that are written at a time; where memory does not suffice, fewer


def written(
    task: Instructions,
    model,
    tokenizer,
    examples: Sequence[Example],
    how: Writing,
    batch_size: int = TOGETHER,
    journal: Journal | None = None,
) -> list[str]:
    """What the model writes behind each prompt. Prompts of like length are padded together.

    Raises TrainingError for a prompt that leaves no room for an answer, and what `generate_published` raises."""
    model.eval()
    prompts = _prompts(task, model, tokenizer, examples, how)
    order = sorted(range(len(prompts)), key=lambda k: sum(len(one) for one in prompts[k][1] if isinstance(one, str)))
    template = task.template
    given = how, batch_size, "answers", journal, bool(template.special), template.markers
    texts = generate_published(model, tokenizer, [prompts[k] for k in order], *given)
    found = dict(zip(order, texts, strict=True))
    return [template.answer_in(found[k]) for k in range(len(prompts))]


def streamed(task: Instructions, model, tokenizer, example: Example, how: Writing) -> Iterator[str]:
    """The answer so far, each time a word is added. Raises ConfigError for several beams, and what `written` raises."""
    model.eval()
    ((_, prompt),), template = _prompts(task, model, tokenizer, [example], how), task.template
    for text in streaming(model, tokenizer, prompt, how, template.markers, bool(template.special)):
        yield template.answer_in(text)


def _prompts(
    task: Instructions, model, tokenizer, examples: Sequence[Example], how: Writing
) -> list[tuple[str, Pieces]]:
    """[(what messages call the example, its prompt)]. Raises TrainingError as `written` does."""
    prompts = [(f"example {one['example_ID']}", task.prompt(without_output(one))) for one in examples]
    room = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    for name, prompt in prompts:
        tokens = virtual_tokens(model) + len(prompt_tokens(tokenizer, prompt, bool(task.template.special)))
        if room and tokens + how.new_tokens > room:
            raise TrainingError(
                f"{name}: its prompt has {tokens:,} tokens, and the model reads {room:,} with the answer. Give "
                f"new_tokens {max(room - tokens, 1):,} at most, or a shorter text"
            )
    return prompts
