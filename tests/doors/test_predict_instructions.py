"""A file of instructions is answered by both models in one command, and scored against its own answers.

python -m pytest tests/doors/test_predict_instructions.py
"""

import json

import jsonschema
import pytest
from helpers import ROOT, called, with_adapter

from utils.config import Config
from utils.data.instruction_input import cleaned_file
from utils.data.templates import Template
from utils.engine.settings import InferenceSettings
from utils.models.adapters import load_adapter, save_adapter
from utils.models.load import load_model
from utils.predict import main
from utils.record.instruction_predict import InstructionPredict
from utils.report.answer_metrics import answer_line, answer_rows, answers_table
from utils.system.files import read_json, write_json
from utils.tasks.instruction import Instructions
from utils.tasks.instruction_scores import answers

TASKS = [
    *({"instruction": "Which colour?", "input": f"sky {k}", "output": ["blue", "red"][k % 2]} for k in range(4)),
    {"instruction": "Name a fruit.", "instances": [{"input": "", "output": "A plum."}]},
    {"instruction": "Say ### Response: twice.", "input": "", "output": "no"},
    {"instruction": "Name a fruit.", "input": "", "output": "A plum."},
]


@pytest.fixture(scope="module")
def adapter(tiny_model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "adapters" / "instruction"
    save_adapter(with_adapter(tiny_model_folder, std=0.5), folder, tiny_model_folder)
    config = Config(model=tiny_model_folder, quantization="none", precision="float32")
    decided = Instructions(Template.read("alpaca_short")).decided([], list)
    write_json({"task": "instruction", "parameters": config.as_dict(), **decided}, folder / "training.json")
    return folder


@pytest.fixture
def tasks(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in TASKS), encoding="utf-8")
    return path


def words(tasks, adapter, *more):
    given = [tasks, "--out", tasks.with_name("pred.json"), "--adapter", adapter, "--new-tokens", 8, *more]
    return ["--task", "instruction", *map(str, given)]


def test_both_models_are_scored_as_a_run_scores_them(tasks, adapter, tiny_model_folder, capsys):
    assert main(words(tasks, adapter, "--score")) == 0
    said, metrics = capsys.readouterr().out, read_json(tasks.with_name("pred.metrics.json"))
    examples, left_out = cleaned_file(tasks)
    assert [reason for _, reason in left_out] == ["template marker", "duplicate"] and len(examples) == 5
    assert "left out, template marker: 1 examples" in said and "5 instructions answered by zero-shot and fine-" in said
    task = Instructions(Template.read("alpaca_short"))
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    wanted = {}
    for name in ("zero-shot", "fine-tuned"):
        if name == "fine-tuned":
            model = load_adapter(model, adapter, tiny_model_folder)
        found = answers(task, model, tokenizer, examples, InferenceSettings(), 8)
        wanted[name] = [answer_line(*one) for one in zip(examples, found)]
    rows = answer_rows(examples, wanted)
    assert metrics["instructions"].keys() == rows.keys() and rows["zero-shot"] != rows["fine-tuned"]
    for name, sections in rows.items():
        for section, figures in sections.items():
            assert metrics["instructions"][name][section] == pytest.approx(figures, abs=1e-4)
    assert metrics["examples"] == 5 and metrics["gold"] == {"instructions": {"answers": 5, "choices": 4}}
    assert answers_table(metrics["instructions"]) in said
    jsonschema.validate(metrics | {"made": {}}, read_json(ROOT / "docs" / "metrics.schema.json"))
    written = read_json(tasks.with_name("pred.json"))
    assert [one["output"] for one in written] == [one["output"] for one in examples]
    assert all({"zero-shot", "fine-tuned"} <= {*one} for one in written)
    record = read_json(tasks.with_name("pred.record.json"))
    assert record["examples"] == 5 and record["template"] == task.template.as_dict()
    assert not [path for path in tasks.parent.iterdir() if "unfinished" in path.name]


def test_without_score_answers_are_not_read(tasks, adapter):
    tasks.write_text(json.dumps({"instruction": "Name a fruit."}), encoding="utf-8")
    assert main(words(tasks, adapter)) == 0
    (one,) = read_json(tasks.with_name("pred.json"))
    assert "output" not in one and {"zero-shot", "fine-tuned"} <= {*one}
    assert not tasks.with_name("pred.metrics.json").exists()


@pytest.mark.parametrize("finished", [1, 2])
def test_an_interrupted_work_ends_as_an_undisturbed_one(tasks, adapter, monkeypatch, finished):
    """Base model and adapter are one model, with the adapter on and off: what one wrote is never the other's."""
    assert main(words(tasks, adapter, "--score")) == 0
    files = [tasks.with_name(name) for name in ("pred.json", "pred.metrics.json")]
    wanted, scored = [path.read_bytes() for path in files], InstructionPredict.scored

    def killed(self, *given):
        self.systems = self.systems[:finished]
        scored(self, *given)
        raise KeyboardInterrupt

    for path in files:
        path.unlink()
    monkeypatch.setattr(InstructionPredict, "scored", killed)
    assert called(main, *words(tasks, adapter, "--score"))[0] == 130 and not files[0].exists()
    monkeypatch.setattr(InstructionPredict, "scored", scored)
    assert main(words(tasks, adapter, "--score")) == 0
    assert [path.read_bytes() for path in files] == wanted


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("[]", [], "no instruction is left"),
        ('{"instruction": "a"}', ["--score"], "field 'output': it is missing"),
        ("{", [], "tasks.jsonl"),
    ],
)
def test_what_cannot_be_is_said_in_one_message(tasks, adapter, monkeypatch, content, more, message):
    monkeypatch.setattr("utils.models.load.load_model", lambda *given, **more: pytest.fail("the model was loaded"))
    tasks.write_text(content, encoding="utf-8")
    status, said = called(main, *words(tasks, adapter, *more))
    assert status == 2 and message in said and said.count("\n") == 1
