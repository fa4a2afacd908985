"""Model cards say what the run recorded: data and licence, scores, the command, the revision.

python -m pytest tests/record/test_card.py
"""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from helpers import ROOT
from huggingface_hub import ModelCard

import generate_input
from utils import chain
from utils.card import main
from utils.config import Config, load_config
from utils.data.templates import Template
from utils.data.topics import Topic
from utils.record.card import card, command_of, write_cards
from utils.record.card_tasks import KNOWN
from utils.record.card_use import INSTRUCTION
from utils.record.provenance import fingerprints, weights_of
from utils.report.scores import read_scores
from utils.report.tables import results_table
from utils.system.errors import RunError
from utils.system.files import read_json, write_json
from utils.tasks.forms import opinion_task

REAL = ROOT / "results_train" / "smollm2-135m-ecf"


@pytest.fixture
def run(tmp_path):
    """The committed run on ECF, with the records of its two adapters."""
    folder = tmp_path / "results_train" / "mine"
    for name in ("config.json", "metrics.json"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(REAL / name, folder)
    for task in ("emotion", "cause"):
        record = {"parameters": Config().as_dict(), "revision": "abc123def456", "emotions": {"joy": 1200, "fear": 34}}
        write_json({**record, "history": []}, folder / "adapters" / task / "training.json")
    return folder


def rewrite(path, change):
    data = read_json(path)
    change(data)
    write_json(data, path)


def test_a_card_is_filled_from_the_run(run):
    metrics = read_scores(run)
    paths = write_cards(run)
    assert [path.parent.name for path in paths] == ["emotion", "cause"]
    wanted = {
        "emotion": {k: metrics["emotions"]["fine-tuned"][k] for k in ("accuracy", "weighted_f1", "macro_f1")},
        "cause": {
            f"pairs_{name}": metrics["pairs"]["fine-tuned emotions and causes"]["scores"][key]
            for name, key in (("weighted_F1", "weighted_f1"), ("F1", "f1_pair"))
        },
    }
    for path in paths:
        made = ModelCard.load(path)
        assert (made.data.license, made.data.license_name, made.data.datasets) == (
            "other",
            "research-use",
            ["NUSTM/ECF"],
        )
        assert (made.data.base_model, made.data.library_name) == ("HuggingFaceTB/SmolLM2-135M-Instruct", "peft")
        figures = {one.metric_type.lower(): one.metric_value for one in made.data.eval_results}
        expected = {name.lower(): round(value, 4) for name, value in wanted[path.parent.name].items()}
        assert figures == expected and {one.dataset_split for one in made.data.eval_results} == {"test"}
        for text in (
            results_table(run),
            "2,566 utterances",
            "1,234 utterances: 1,200 joy, 34 fear",
            "for research use only",
            "at revision abc123def456",
            f"--{path.parent.name}-adapter",
            "torch 2.13.0+cpu",
        ):
            assert text in made.text, text
        assert ("without labels (2 epochs)" in made.text) == (path.parent.name == "emotion")
    rewrite(run / "config.json", lambda c: c["1_emotion_recognition_training"]["parameters"].update(text_epochs=0.0))
    assert "without labels" not in card(run / "adapters" / "emotion")


def test_a_card_tells_what_was_read_and_a_command_that_reads_no_more(run):
    first, adapter = "1_emotion_recognition_training", run / "adapters" / "emotion"
    rewrite(run / "config.json", lambda c: c[first]["input"].pop("unlabelled"))
    assert "words of these conversations, without labels (2 epochs)" in card(adapter)
    assert "-p text_epochs" not in card(adapter)
    rewrite(run / "config.json", lambda c: c[first]["parameters"].pop("text_epochs"))  # from before there was any
    assert "without labels" not in card(adapter) and "-p text_epochs 0.0" in card(adapter)
    assert "-p text_epochs" not in card(run / "adapters" / "cause")


def test_the_scores_of_other_weights_are_not_the_cards(run):
    for notebook, task in (("2_emotion_inference", "emotion"), ("4_cause_inference", "cause")):
        weights = run / "adapters" / task / "adapter_model.safetensors"
        weights.write_bytes(b"old")
        rewrite(run / "config.json", lambda c, n=notebook, w=weights.parent: c[n].update(adapter=weights_of(w)))
    assert "| 0." in card(run / "adapters" / "cause")
    (run / "adapters" / "cause" / "adapter_model.safetensors").write_bytes(b"new")
    assert "Not scored yet" in card(run / "adapters" / "cause")
    assert "- accuracy 0." in card(run / "adapters" / "emotion")
    (run / "adapters" / "emotion" / "adapter_model.safetensors").write_bytes(b"new")
    assert "Not scored yet" in card(run / "adapters" / "emotion")


def test_a_card_without_scores_says_so(run):
    (run / "metrics.json").unlink()
    assert "Not scored yet." in card(run / "adapters" / "cause")
    emotions = read_scores(REAL)["emotions"]
    write_json({"version": 2, "emotions": emotions}, run / "metrics.json")  # after notebook 2
    assert "Not scored yet." in card(run / "adapters" / "cause")
    assert f"- accuracy {emotions['fine-tuned']['accuracy']:.3f}" in card(run / "adapters" / "emotion")


def test_data_that_nobody_knows_has_no_licence_made_up(run):
    def other(data):
        data["1_emotion_recognition_training"]["input"]["train"] = "0" * 16

    rewrite(run / "config.json", other)
    made = ModelCard(card(run / "adapters" / "emotion"))
    assert made.data.license_name == "unknown" and made.data.datasets is None and made.data.eval_results is None
    assert "state it here before you share them" in made.text and "ECF" not in made.text


def test_a_model_in_a_folder_is_named_without_its_path(run, tiny_model_folder):
    def elsewhere(data):
        data["1_emotion_recognition_training"]["parameters"]["model"] = tiny_model_folder

    rewrite(run / "config.json", elsewhere)
    text = card(run / "adapters" / "emotion")
    assert tiny_model_folder not in text and Path(tiny_model_folder).name in text and "base_model:" not in text


@pytest.mark.parametrize(
    "changed",
    [{}, {"run_name": "it's mine", "emotion_epochs": 1e-05}, {"lora_targets": ["q_proj", "v_proj"], "compile": False}],
)
def test_the_command_gives_the_same_parameters_again(changed, monkeypatch):
    wanted = {**Config.of(load_config(ROOT / "configs/smollm2-135m.yaml")).as_dict(), **changed}
    words = shlex.split(command_of(wanted))
    assert words[:4] == ["python", "-m", "utils.chain", "configs/smollm2-135m.yaml"]
    assert len(words) == 4 + 3 * len(changed)
    ran = []
    monkeypatch.setattr(chain, "run_chain", lambda parameters, *how: ran.append(parameters) or ROOT / "nowhere")
    monkeypatch.chdir(ROOT)
    assert chain.main(words[3:]) == 0
    assert Config.of(ran[0]).as_dict() == wanted


@pytest.mark.parametrize("task", ["emotion", "opinion", "instruction"])
def test_the_known_data_are_those_that_generate_input_writes(tmp_path, monkeypatch, task):
    monkeypatch.chdir(ROOT)
    assert generate_input.main(["--task", task, "--out", str(tmp_path)]) == 0
    assert KNOWN[fingerprints(tmp_path)["train"]].licence == "mit"


def test_ecf_is_known_by_its_files(shared, tmp_path):
    ecf = str(shared / "ecf")
    for how, conversations in ((["--splits", "ecf1_splits.json"], "1,001"), (["--all-train"], "1,374")):
        assert generate_input.main(["--data", ecf, "--out", str(tmp_path), *how]) == 0
        known = KNOWN[fingerprints(tmp_path)["train"]]
        assert conversations in known.name and (known.hub, known.licence) == ("NUSTM/ECF", "research-use")


def test_the_command_writes_cards_or_says_why_not(run, tmp_path, capsys):
    assert main([str(run)]) == 0
    assert yaml.safe_load((run / "adapters/cause/README.md").read_text(encoding="utf-8").split("---")[1])["license"]
    assert main([str(tmp_path)]) == 2 and "no finished adapter" in capsys.readouterr().err
    with pytest.raises(RunError, match="no finished adapter of a run"):
        card(tmp_path)


# ---- texts and instructions ------------------------------------------------------------------------------------


@pytest.fixture
def finished(tmp_path):
    """A run of a task with one adapter, as its notebooks leave it."""

    def finished(task, record, metrics, **parameters):
        folder = tmp_path / "results_train" / task
        config = Config(run_name=task, input_dir=f"input/{task}s", **parameters)
        base = {"parameters": config.as_dict(), "revision": "abc123def456", "history": []}
        write_json({"task": task, **base, **record}, folder / "adapters" / task / "training.json")
        used = {name: getattr(config, name) for name in ("run_name", "input_dir", "model", *parameters)}
        one = {"parameters": used, "input": {"train": "0" * 16}, "revision": "abc123def456", "versions": {"torch": "2"}}
        write_json({f"{task}_{name}": one for name in ("training", "inference")}, folder / "config.json")
        write_json({"version": 2, **metrics}, folder / "metrics.json")
        return folder

    return finished


def test_a_card_of_instructions_has_the_base_model_beside_the_adapter(finished):
    def figures(loss):
        return {
            "held_out": {"loss": loss, "perplexity": 2.5, "answers": 12, "tokens": 90},
            "written": {"rouge_l": 0.25 / loss, "exact_match": 0.125, "answers": 12},
        }

    template = Template.read("alpaca_short")
    metrics = {"examples": 12, "instructions": {"zero-shot": figures(2.0), "fine-tuned": figures(0.5)}}
    record = {"template": template.as_dict(), "add_eos_token": True, "examples": {"answer": 1234}}
    run = finished("instruction", record, metrics, template="alpaca_short")
    assert [path.parent.name for path in write_cards(run)] == ["instruction"]
    made = ModelCard.load(run / "adapters" / "instruction" / "README.md")
    assert (made.data.pipeline_tag, made.data.tags[0]) == ("text-generation", "instruction-tuning")
    for text in (
        "# SmolLM2-135M-Instruct: answers to instructions",
        results_table(run),
        "(12 examples; code at revision abc123def456)",
        "Training saw 1,234 examples.",
        "utils.demo --task instruction --adapter FOLDER",
        "state it here before you share them",
        json.dumps(template.prompt(INSTRUCTION["instruction"])),
        "python -m utils.chain configs/instruction.yaml -p run_name instruction -p template alpaca_short",
    ):
        assert text in made.text, text
    assert "| fine-tuned | 0.500 | 2.500 | 0.500 | 0.125 |" in made.text and "| zero-shot | 2.000 |" in made.text
    assert "conversation" not in made.text and "utterance" not in made.text
    merged = card(run / "adapters" / "instruction", merged="gguf")
    (request,) = re.findall(r"--data '(.+)'$", merged, re.M)
    assert json.loads(request)["prompt"] == template.prompt(INSTRUCTION["instruction"])
    (run / "adapters" / "instruction" / "adapter_model.safetensors").write_bytes(b"new")
    rewrite(run / "config.json", lambda c: c["instruction_inference"].update(adapter="of other weights"))
    assert "Not scored yet." in card(run / "adapters" / "instruction")


@pytest.mark.parametrize("strategy", ["generation", "sequence"])
def test_a_card_of_opinions_has_its_scores_and_its_question(finished, strategy):
    topic = Topic.read("new-stadium")
    task = opinion_task({topic.name: topic}, "regression", strategy)
    rows = {"majority": {"scores": {"rmse": 2.0}}, "fine-tuned": {"scores": {"rmse": 1.125}}}
    record = {**task.decided([], list), "opinions": {"-1": 3, "1": 4}}
    run = finished("opinion", record, {"texts": 24, "opinions": rows}, task_type="regression", strategy=strategy)
    text = card(run / "adapters" / "opinion")
    assert results_table(run) in text and "1.125" in text and "(24 texts; code" in text
    assert "Training saw 7 opinions: 3 -1, 4 1." in text and "conversation" not in text
    assert "--task opinion TEXTS.csv --out PRED.csv --adapter FOLDER" in text
    assert ("```python" in text) == (strategy == "generation"), "a head is asked by no other program"


def test_a_card_names_the_labels_that_were_trained(run):
    labels = {"name": "two", "labels": ["calm", "upset"], "neutral": "calm", "multi": False}
    rewrite(run / "adapters" / "emotion" / "training.json", lambda c: c.update(labels=labels))
    text = card(run / "adapters" / "emotion")
    assert "one of calm, upset." in text and 'answers = [" calm", " upset"]' in text
