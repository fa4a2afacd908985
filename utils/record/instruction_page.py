"""The page of instructions in the browser: one is answered by the base model and, beside it, by an adapter; or a file.

page = build(InstructionPredict(adapter))       # a gradio.Blocks; utils/demo.py serves it
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from utils.engine.settings import Writing
from utils.record.instruction_predict import InstructionPredict
from utils.report.page import problem
from utils.system.errors import InstructionError, UserError
from utils.system.files import write_json

TITLE = "Instructions"
EXAMPLE = "Name three fruits that grow in cold places."
# What Alpaca-LoRA's page begins with, where it acts: there nothing was sampled, and four beams were always the same.
START = Writing(top_p=0.75, top_k=40)


def written(
    model: InstructionPredict, instruction, input, image, template, streaming, *settings
) -> Iterator[tuple[str, ...]]:
    """What the page shows while an instruction is answered: a message, or "", and a text for each of `model.systems`.
    image: one of `model.pictures`, or nothing. settings: those of Writing, in its order, as sliders give them."""
    how = _how(settings)
    try:
        for texts in model.answers(instruction or "", input or "", how, template, streaming, image or ""):
            yield "", *texts.values()
    except UserError as error:
        yield problem(error), *[""] * len(model.systems)


def answered(model: InstructionPredict, path: str | None, template, *settings) -> tuple[str, str | None]:
    """(what the page says of a file, the file with its answers to download or None)."""
    if path is None:
        return problem(InstructionError("there is no file yet. Load one in Alpaca's form")), None
    try:
        rows = model.of_file(path, _how(settings), template)
    except UserError as error:
        return problem(error), None
    out = Path(tempfile.mkdtemp()) / f"{Path(path).stem}-answers.json"
    write_json(rows, out)
    return f"<p id=done>{len(rows):,} instructions answered by {' and '.join(model.systems)}</p>", str(out)


def _how(settings) -> Writing:
    temperature, top_p, top_k, beams, new_tokens = settings
    return Writing(float(temperature), float(top_p), int(top_k), int(beams), int(new_tokens))


def build(model: InstructionPredict):
    """The page, a gradio.Blocks."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    def ask(*given):
        yield from written(model, *given)

    def ask_file(*given):
        return answered(model, *given)

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600), fill_width=True) as page:
        gr.Markdown(f"# {TITLE}\nWrite an instruction, and what it is about where it needs something. *{model.about}*")
        with gr.Row():
            with gr.Column(scale=3):
                instruction = gr.Textbox(EXAMPLE, lines=2, label="Instruction", elem_id="instruction")
                text = gr.Textbox("", lines=2, max_lines=20, label="Input (may be empty)", elem_id="input")
                seen = bool(model.pictures)
                image = gr.Dropdown(["", *model.pictures], value="", label="Picture", visible=seen, elem_id="image")
                button = gr.Button("Answer", variant="primary", elem_id="answer")
                said = gr.HTML(elem_id="said")
            with gr.Column(scale=2), gr.Accordion("How it is written", elem_id="how"):
                template = gr.Dropdown([*model.templates], label="Template", elem_id="template")
                streaming = gr.Checkbox(True, label="See it while it is written (with one beam)", elem_id="streaming")
                settings = [
                    gr.Slider(0, 1, START.temperature, step=0.05, label="Temperature: above 0 it is sampled"),
                    gr.Slider(0, 1, START.top_p, step=0.05, label="Top p, of sampling"),
                    gr.Slider(0, 100, START.top_k, step=1, label="Top k, of sampling; 0: all"),
                    gr.Slider(1, 4, START.beams, step=1, label="Beams (more than one: not while it is written)"),
                    gr.Slider(1, 2000, START.new_tokens, step=1, label="Tokens at most"),
                ]
        with gr.Row():
            shown = [
                gr.Textbox("", lines=8, label=name, interactive=False, elem_id=name.replace(" ", "-"))
                for name in model.systems
            ]
        with gr.Accordion("A file of instructions", open=False, elem_id="batch"):
            gr.Markdown("JSON or JSON lines in Alpaca's form; the answers in it are not read.")
            file = gr.File(label="A file", file_types=[".json", ".jsonl"], type="filepath", elem_id="file")
            start = gr.Button("Answer all", elem_id="answer-all")
            done, out = gr.HTML(elem_id="done-shown"), gr.File(label="With answers", elem_id="answers")
        one: dict = {"concurrency_id": "model", "concurrency_limit": 1}  # one asks at a time
        given = [instruction, text, image, template, streaming, *settings]
        button.click(ask, given, [said, *shown], api_name="answer", **one)
        start.click(ask_file, [file, template, *settings], [done, out], api_name=False, **one)
    return page
