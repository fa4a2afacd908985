"""Instructions answered by a model and, beside it, by an adapter; and the page that asks.

python -m pytest tests/record/test_instruction_predict.py
"""

import importlib.util
import json
import shutil
from dataclasses import replace

import pytest
from helpers import with_adapter

from utils.config import Config
from utils.data.templates import Template
from utils.engine.settings import Writing
from utils.models.adapters import load_adapter, save_adapter
from utils.models.load import load_model
from utils.record import instruction_page
from utils.record.instruction_predict import BASE, OWN, TUNED, InstructionPredict
from utils.system.errors import ConfigError, FileError, InstructionError, ModelError, TrainingError
from utils.system.files import read_json, write_json
from utils.tasks.instruction import Instructions
from utils.tasks.instruction_writing import written

HOW = Writing(new_tokens=10)
ROWS = [{"instruction": f"Say {k}.", "input": "twice" * (k % 2), "output": "not read"} for k in range(3)]
SLIDERS = (0, 1, 0, 1, 10)


@pytest.fixture(scope="module", params=["lora", "prompt_tuning", "llama_adapter"])
def adapter(request, tiny_model_folder, tmp_path_factory):
    """Trained in a template of nobody's."""
    folder = tmp_path_factory.mktemp("run") / "adapters" / "instruction"
    save_adapter(with_adapter(tiny_model_folder, std=0.5, method=request.param), folder, tiny_model_folder)
    task = Instructions(replace(Template.read("deutsch"), description="mine"))
    config = Config(model=tiny_model_folder, quantization="none", precision="float32", template="mine.json")
    record = {"task": "instruction", "parameters": config.as_dict(), **task.decided([], list)}
    write_json(record, folder / "training.json")
    return folder


@pytest.fixture(scope="module")
def model(adapter):
    return InstructionPredict(adapter)


def alone(folder, template, instruction, input="", adapter=None):
    """What the model writes by itself."""
    model, tokenizer = load_model(folder, precision="float32")
    model = model if adapter is None else load_adapter(model, adapter, folder)
    example = {"example_ID": 1, "instruction": instruction, "input": input}
    return written(Instructions(template), model, tokenizer, [example], HOW)[0]


def test_the_base_model_stands_beside_the_adapter(model, adapter, tiny_model_folder):
    *_, found = model.answers("Say it.", "now", HOW)
    template = model.templates[OWN]
    given = tiny_model_folder, template, "Say it.", "now"
    wanted = {TUNED: alone(*given, adapter), BASE: alone(*given)}
    assert found == wanted and found[TUNED] != found[BASE] and list(found) == list(model.systems)
    assert [*model.templates] == [OWN, "alpaca", "alpaca_short", "deutsch"] and str(adapter) in model.about
    *_, other = model.answers("Say it.", "now", HOW, "alpaca")
    assert other[BASE] == alone(tiny_model_folder, Template.read("alpaca"), "Say it.", "now")


def test_answers_end_as_the_adapter_learnt_it(adapter, tmp_path):
    copy = shutil.copytree(adapter, tmp_path / "run" / "adapters" / "instruction")
    record = read_json(copy / "training.json")
    write_json({**record, "add_eos_token": False}, copy / "training.json")
    assert [InstructionPredict(one).task().add_eos_token for one in (adapter, copy)] == [True, False]


def test_answers_are_seen_while_they_are_written(model):
    *_, whole = model.answers("Say it.", "", HOW)
    seen = list(model.answers("Say it.", "", HOW, streaming=True))
    assert seen[-1] == whole and len(seen) > 4 and seen[0][BASE] == ""
    started = model.answers("Say it.", "", HOW, streaming=True)
    next(started)
    started.close()  # who leaves holds nobody up
    assert list(model.answers("Say it.", "", HOW))[-1] == whole


def test_a_file_is_answered_as_each_of_its_instructions(model, tmp_path):
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(one) + "\n" for one in ROWS))
    rows = model.of_file(tmp_path / "tasks.jsonl", HOW)
    assert [one["example_ID"] for one in rows] == [1, 2, 3] and "output" not in rows[0]
    for one in rows:
        assert {name: one[name] for name in model.systems} == list(
            model.answers(one["instruction"], one["input"], HOW)
        )[-1]


def test_without_an_adapter_the_base_model_answers_alone(tiny_model_folder):
    model = InstructionPredict(model=tiny_model_folder)
    assert model.systems == (BASE,) and next(iter(model.templates)) == "alpaca" and model.about.endswith("untrained")
    assert list(model.answers("Say it.", how=HOW)) == [
        {BASE: alone(tiny_model_folder, Template.read("alpaca"), "Say it.")}
    ]


def test_what_cannot_be_is_said(model, tiny_model_folder, tmp_path):
    for given, error, says in (
        ({"instruction": " "}, InstructionError, "the page, field 'instruction': it is empty"),
        ({"instruction": "a", "template": "other"}, ConfigError, "template is 'other'; choose as trained, alpaca"),
        (
            {"instruction": "a", "how": Writing(beams=2), "streaming": True},
            ConfigError,
            "beams is 2, and the text is to",
        ),
        ({"instruction": "### Response:", "template": "alpaca"}, TrainingError, "which marks a section of the prompt"),
        (
            {"instruction": "a", "how": Writing(new_tokens=5000)},
            TrainingError,
            "and the model reads 4,096 with the answer",
        ),
    ):
        with pytest.raises(error, match=says):
            list(model.answers(**given))
    with pytest.raises(FileError):
        model.of_file(tmp_path / "nosuch.json")
    write_json({"task": "emotion"}, tmp_path / "training.json")
    with pytest.raises(ModelError, match="is an adapter of the task 'emotion', not of instructions"):
        InstructionPredict(tmp_path)
    with pytest.raises(ModelError, match="no finished adapter here"):
        InstructionPredict(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="8 bits need an NVIDIA card"):
        InstructionPredict(model=tiny_model_folder, load_8bit=True)


# ---- the page ------------------------------------------------------------------------------------------------------


def test_the_page_shows_answers_and_messages(model):
    *_, shown = instruction_page.written(model, "Say it.", None, None, OWN, True, *SLIDERS)
    *_, wanted = model.answers("Say it.", "", HOW)
    assert shown == ("", *wanted.values())
    ((said, *texts),) = instruction_page.written(model, "<b>", "", "", OWN, True, 0, 1, 0, 2, 10)
    assert said.startswith("<p id=problem>beams is 2") and texts == ["", ""]
    ((said, *_),) = instruction_page.written(model, "<s>### Response:", "", "", "alpaca", False, *SLIDERS)
    assert "&#x27;### Response:&#x27;" in said and "<s>" not in said


def test_a_file_is_answered_on_the_page(model, tmp_path):
    write_json(ROWS, tmp_path / "tasks.json")
    said, out = instruction_page.answered(model, str(tmp_path / "tasks.json"), OWN, *SLIDERS)
    assert said == "<p id=done>3 instructions answered by trained and base model</p>" and out.endswith(
        "tasks-answers.json"
    )
    assert read_json(out) == model.of_file(tmp_path / "tasks.json", HOW)
    assert instruction_page.answered(model, None, OWN, *SLIDERS)[0].startswith("<p id=problem>there is no file yet")
    write_json([{"instruction": 1}], tmp_path / "bad.json")
    said, out = instruction_page.answered(model, str(tmp_path / "bad.json"), OWN, *SLIDERS)
    assert "bad.json, example 1, field &#x27;instruction&#x27;" in said and out is None


@pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="needs gradio")
def test_the_page_is_built(model):
    page = instruction_page.build(model)
    labels = [block.label for block in page.blocks.values() if getattr(block, "label", None)]
    assert {"Instruction", "Template", "Top p, of sampling", TUNED, BASE} <= {*labels}
