"""Work that was interrupted goes on where it stopped, and ends as if nothing had happened.

python -m pytest tests/promises/test_resume.py
"""

import json

import pytest
import torch
from helpers import stopped_training

from utils.config import Config
from utils.data.conversations import names_of, without_labels
from utils.engine import inference, trainer
from utils.engine.inference import Journal
from utils.engine.rows import encode_trees
from utils.engine.settings import InferenceSettings, TrainingSettings
from utils.engine.trainer import train
from utils.models.adapters import add_lora
from utils.models.load import load_model
from utils.record.fit import fit
from utils.record.run import Run
from utils.system.files import read_json
from utils.tasks import emotion
from utils.tasks.ask import predict
from utils.tasks.cause import Cause
from utils.tasks.cause_list import CauseList
from utils.tasks.emotion import Emotion


class Interruption(BaseException):
    """Like KeyboardInterrupt: no `except Exception` stops it."""


def failing_after(function, calls):
    """`function`, which raises at the call behind `calls`, and a list that grows with each call."""
    made = []

    def counted(*args, **kwargs):
        if len(made) == calls:
            raise Interruption
        made.append(1)
        return function(*args, **kwargs)

    return counted, made


def adapted(folder):
    torch.manual_seed(3)
    model, tokenizer = load_model(folder)
    return add_lora(model, r=4, alpha=8, dropout=0.0, targets="all-linear"), tokenizer


# ---- inference ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["emotions", "candidates", "list", "published"])
def test_interrupted_inference_goes_on_behind_the_last_row(
    tiny_model_folder, conversations, tmp_path, monkeypatch, what
):
    model, tokenizer = adapted(tiny_model_folder)
    settings = InferenceSettings("published" if what == "published" else "one_pass", token_budget=1, batch_size=4)
    task = {"candidates": Cause(), "list": CauseList()}.get(what, Emotion())
    given = conversations if task.on_emotions else [without_labels(c) for c in conversations]
    where = (model, "generate") if what == "published" else (inference, "score_row")
    compute = getattr(*where)

    def predicted(journal=None):
        return predict(task, model, tokenizer, given, settings, journal)

    undisturbed = predicted()
    counted, made = failing_after(compute, 10**6)
    monkeypatch.setattr(*where, counted)
    assert predicted() == undisturbed
    rows = len(made)
    assert rows >= 3
    for calls in (1, rows - 1):
        path = tmp_path / f"{what}{calls}" / "unfinished.jsonl"
        counted, made = failing_after(compute, calls)
        monkeypatch.setattr(*where, counted)
        with pytest.raises(Interruption):
            predicted(Journal(path))
        with path.open("a", encoding="utf-8") as file:
            file.write('\n["0123", [[-0.5, -')  # killed while it wrote
        counted, made = failing_after(compute, 10**6)
        monkeypatch.setattr(*where, counted)
        assert predicted(Journal(path)) == undisturbed and len(made) == rows - calls
        assert predicted(Journal(path)) == undisturbed and len(made) == rows - calls, "all of it is known now"


def test_another_adapter_or_conversation_is_computed_anew(tiny_model_folder, conversations, tmp_path):
    model, tokenizer = adapted(tiny_model_folder)
    journal = Journal(tmp_path / "unfinished.jsonl")

    def predicted(given, journal=None):
        return predict(Emotion(), model, tokenizer, given, InferenceSettings(), journal)

    predicted(conversations[:1], journal)
    assert len(journal.results) == 1
    predicted(conversations[1:2], journal)
    assert len(journal.results) == 2
    with torch.no_grad():
        next(p for n, p in model.named_parameters() if "lora_B" in n).add_(0.1)
    changed = predicted(conversations[:1], journal)
    assert len(journal.results) == 3 and changed == predicted(conversations[:1])
    assert len([json.loads(line) for line in journal.path.read_text().splitlines() if line]) == 3


# ---- training ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("calls", [1, 5, 11])
def test_interrupted_training_ends_with_the_same_weights(
    tiny_model_folder, conversations, tmp_path, monkeypatch, calls
):
    """Six steps of two rows each, a checkpoint after every step; the second run begins with a fresh adapter, as
    a new process would."""
    settings = TrainingSettings(learning_rate=1e-2, epochs=2, gradient_accumulation=2)

    def run(folder):
        model, tokenizer = adapted(tiny_model_folder)
        trees = [emotion.tree(c, train=True) for c in conversations]
        rows = encode_trees(trees, names_of(conversations), tokenizer, 4096, train=True)
        history = train(model, tokenizer, rows * 2, settings, folder)
        weights = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        return weights, [one["loss"] for one in history if "loss" in one]

    wanted, losses = run(tmp_path / "undisturbed")
    compute = trainer.TreeTrainer.compute_loss
    counted, made = failing_after(compute, calls)
    monkeypatch.setattr(trainer.TreeTrainer, "compute_loss", counted)
    with pytest.raises(Interruption):
        run(tmp_path / "mine")
    counted, made = failing_after(compute, 10**6)
    monkeypatch.setattr(trainer.TreeTrainer, "compute_loss", counted)
    weights, resumed = run(tmp_path / "mine")
    assert len(made) == 12 - calls // 2 * 2, "finished steps are not done again"
    assert resumed == losses
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)


@pytest.mark.slow
@pytest.mark.parametrize("epochs, steps, saves", [(5.0, 25, (4, 9, 12)), (2.5, 13, (3, 7, 10, 12))])
def test_text_before_labels_is_learnt_once(tiny_model_folder, conversations, tmp_path, epochs, steps, saves):
    """Interrupted in the text, right behind it, in the labels and right behind them; at a constant rate, so that no
    step too many goes unseen."""

    def run(name, unlabelled=conversations[:2], **parameters):
        config = Config(
            run_name=name,
            model=tiny_model_folder,
            precision="float32",
            token_budget=1,
            lora_r=4,
            emotion_epochs=epochs - 1,
            gradient_accumulation=1,
            scheduler="constant",
            **{"text_epochs": epochs, **parameters},
        )
        mine = Run(config, "1_emotion_recognition_training", ["model"], root=tmp_path)
        _, history = fit(
            mine,
            Emotion(),
            *load_model(tiny_model_folder, precision="float32"),
            conversations,
            unlabelled=[without_labels(c) for c in unlabelled],
        )
        of_text = read_json(mine.adapter("emotion") / "training.json").get("text_history", [])
        losses = [[one["loss"] for one in log if "loss" in one] for log in (of_text, history)]
        return (mine.adapter("emotion") / "adapter_model.safetensors").read_bytes(), losses

    wanted = run("undisturbed")
    assert len(wanted[1][0]) == steps
    assert not list(tmp_path.glob("results_train/*/adapters/*/checkpoints")), "the text's checkpoints go too"
    assert len({wanted[0], run("without", text_epochs=0.0)[0], run("labelled", unlabelled=())[0]}) == 3
    for number, save in enumerate(saves):  # on text after every third (second) step and the last
        name = f"stopped{save}"
        with stopped_training(save):
            run(name)
        folder = tmp_path / "results_train" / name / "adapters" / "emotion" / "checkpoints"
        assert list(folder.glob("text/checkpoints/checkpoint-*"))
        assert bool(list(folder.glob("checkpoint-*"))) == (number > 1)
        assert run(name) == wanted, name
