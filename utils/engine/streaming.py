"""A text while a model writes it.

for text in streaming(model, tokenizer, prompt, Writing(temperature=0.7)): print(text)
"""

from collections.abc import Iterator, Sequence
from threading import Event, Thread

import torch
from transformers import StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer

from utils.engine.inference import prompt_batch, stopped_by
from utils.engine.settings import Writing
from utils.engine.whole_texts import Pieces


class _Until(StoppingCriteria):
    """Ends what is written once an event is set: nobody waits for it any more."""

    def __init__(self, event: Event):
        self.event = event

    def __call__(self, input_ids, scores, **more):
        return torch.full((len(input_ids),), self.event.is_set(), device=input_ids.device)


def streaming(
    model, tokenizer, prompt: str | Pieces, how: Writing, stops: Sequence[str] = (), special: bool = False
) -> Iterator[str]:
    """The text so far, each time a word is added: what `utils.engine.inference.generate_published` returns at the end.
    Writing ends with the iterator. Raises ConfigError for several beams, and what `generate` raises."""
    how.check(streaming=True)
    streamer, left, failed = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True), Event(), []
    batch, seeing = prompt_batch(model, tokenizer, [prompt], special)
    given = {**batch, **how.options(), **stopped_by(tokenizer, stops)}

    def write():
        try:
            with torch.no_grad(), seeing:
                model.generate(**given, streamer=streamer, stopping_criteria=StoppingCriteriaList([_Until(left)]))
        except BaseException as error:  # it is raised where the text is read
            failed.append(error)
            streamer.end()

    writer, text = Thread(target=write, daemon=True), ""
    writer.start()
    try:
        for piece in streamer:
            text += piece
            yield text
        if failed:
            raise failed[0]
    finally:
        left.set()
        writer.join()
