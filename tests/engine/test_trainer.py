"""What the trainer is told, and what it learns from. That a step is the plain one: tests/promises/test_parity.py.

python -m pytest tests/engine/test_trainer.py
"""

import re

import pytest
import torch
from helpers import randomize, small_memory, stopped_training, trained_on, with_adapter
from transformers import get_cosine_schedule_with_warmup

from utils.data.conversations import names_of
from utils.engine import trainer
from utils.engine.checkpoints import last_checkpoint
from utils.engine.prefix_tree import pack
from utils.engine.rows import encode_trees
from utils.engine.settings import TrainingSettings
from utils.engine.trainer import train
from utils.models.adapters import add_lora
from utils.models.load import load_model
from utils.system import progress
from utils.tasks import emotion


def test_the_learning_rate_warms_up_and_follows_the_scheduler(tiny_model_folder, tokenizer, conversations, tmp_path):
    trees = [emotion.tree(conversations[0], train=True)]
    rows = encode_trees(trees, ["a"], tokenizer, 4096, train=True)
    settings = TrainingSettings(
        learning_rate=1e-3, epochs=10, gradient_accumulation=1, scheduler="cosine", warmup_ratio=0.3
    )
    history = train(with_adapter(tiny_model_folder), tokenizer, rows, settings, tmp_path)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1e-3)
    schedule, wanted = get_cosine_schedule_with_warmup(optimizer, 3, 10), []
    for _ in range(10):
        wanted.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert [one["learning_rate"] for one in history if "learning_rate" in one] == pytest.approx(wanted)


def test_who_follows_a_training_reads_step_loss_and_time_left(
    tiny_model_folder, tokenizer, conversations, tmp_path, monkeypatch
):
    """Also behind an interruption, where the steps of before are not of this pace."""
    told = tmp_path / "progress"
    monkeypatch.setenv(progress.VARIABLE, str(told))
    monkeypatch.setattr(progress, "FIRST", 0)
    monkeypatch.setattr(progress, "EVERY", 0)
    monkeypatch.setattr(progress, "SHARE", 0)
    rows = encode_trees([emotion.tree(conversations[0], train=True)], ["a"], tokenizer, 4096, train=True)
    settings = TrainingSettings(learning_rate=1e-3, epochs=10, gradient_accumulation=1)
    with stopped_training(saves=4):
        train(with_adapter(tiny_model_folder), tokenizer, rows, settings, tmp_path / "emotion")
    first = told.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"emotion training: 4 of 10 steps, loss \d+\.\d{3}, \d+ s left", first[-1]), first
    history = train(with_adapter(tiny_model_folder), tokenizer, rows, settings, tmp_path / "emotion")
    later = told.read_text(encoding="utf-8").splitlines()[len(first) :]
    assert [line.split()[2] for line in later] == ["5", "6", "7", "8", "9", "10"]
    losses = {one["step"]: one["loss"] for one in history if "loss" in one}
    assert f"loss {losses[7]:.3f}," in later[2] and later[-1].endswith(" 0 s left")


def test_the_last_checkpoint_is_of_the_highest_step_and_whole(tmp_path):
    assert last_checkpoint(tmp_path) is None
    for step, text in ((9, "{}\n"), (10, "{}\n"), (11, '{"epoch"')):  # the last one was interrupted
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(text)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "float32"])
def test_training_computes_in_the_precision(tiny_model_folder, tokenizer, tmp_path, precision, monkeypatch):
    class Seen(Exception):
        pass

    def seen(self, *, args, **given):
        raise Seen(args.bf16, args.fp16, args.seed)

    monkeypatch.setattr(trainer.PatientTrainer, "__init__", seen)
    settings = TrainingSettings(learning_rate=1e-3, precision=precision, seed=7)
    with pytest.raises(Seen) as found:
        train(with_adapter(tiny_model_folder), tokenizer, [("a", "b")], settings, tmp_path, recipe="published")
    assert found.value.args == (precision == "bfloat16", precision == "float16", 7)


def test_the_evaluation_loss_of_a_row_done_in_parts_is_the_rows(tiny_model_folder, tokenizer, conversations, tmp_path):
    trees = [emotion.tree(c, train=True) for c in conversations]
    rows = encode_trees(trees, names_of(conversations), tokenizer, 4096, train=True)
    assert len({len(row.targets) for row in rows}) == 3
    losses = []
    for number, room in enumerate((10**9, max(map(len, rows)))):
        model = with_adapter(tiny_model_folder)
        small_memory(model, room)
        history = train(
            model,
            tokenizer,
            rows[:1],
            TrainingSettings(learning_rate=1e-12, optimizer="sgd"),
            tmp_path / str(number),
            validation=[pack(rows)],
        )
        losses += [float(one["eval_loss"]) for one in history if "eval_loss" in one]
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-5), "two a training: before it and behind its epoch"


# ---- the loss on val ------------------------------------------------------------------------------------------------


@pytest.fixture
def taught(tiny_model_folder, tokenizer, conversations):
    """train(folder, validation=, epochs=) of a model with dropout on three rows: the history, and the weights."""
    trees = [emotion.tree(c, train=True) for c in conversations]
    rows = encode_trees(trees, names_of(conversations), tokenizer, 4096, train=True)

    def run(folder, validation=None, epochs=3.0):
        model, _ = load_model(tiny_model_folder, precision="float32")
        torch.manual_seed(0)
        model = randomize(add_lora(model, r=4, alpha=8, dropout=0.5, targets="all-linear"))
        settings = TrainingSettings(learning_rate=1e-2, epochs=epochs, gradient_accumulation=1)
        history = train(model, tokenizer, rows, settings, folder, rows[:2] if validation else None)
        return history, {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}

    return run


def points(history):
    return [(one["step"], one["eval_loss"]) for one in history if "eval_loss" in one]


def test_evaluations_change_no_weight(taught, tmp_path):
    """They draw no random number: dropout and the order of the rows are those of a training without."""
    (_, plain), (history, watched) = taught(tmp_path / "plain"), taught(tmp_path / "watched", validation=True)
    assert len(points(history)) == 4 and all(torch.equal(plain[name], watched[name]) for name in plain)


@pytest.mark.parametrize(("epochs", "steps"), [(2.0, [0, 3, 6]), (1.5, [0, 3, 5]), (0.3, [0, 1])])
def test_val_is_looked_at_before_the_first_step_and_behind_each_epoch(taught, tmp_path, epochs, steps):
    history, _ = taught(tmp_path, validation=True, epochs=epochs)
    assert [step for step, _ in points(history)] == steps


@pytest.mark.slow
@pytest.mark.parametrize("saves", [1, 3, 5, 9])
def test_an_interrupted_training_has_the_same_points(taught, tmp_path, saves):
    with stopped_training(saves):
        taught(tmp_path / "resumed", validation=True)
    history, weights = taught(tmp_path / "resumed", validation=True)
    whole, wanted = taught(tmp_path / "whole", validation=True)
    assert points(history) == points(whole) and all(torch.equal(weights[name], wanted[name]) for name in wanted)


def test_a_training_that_was_stopped_behind_its_last_step_takes_no_other(taught, tmp_path):
    """That step is in the middle of an epoch, where Trainer would go on."""
    with stopped_training(saves=5):
        taught(tmp_path / "stopped", epochs=1.5)
    history, weights = taught(tmp_path / "stopped", epochs=1.5)
    whole, wanted = taught(tmp_path / "whole", epochs=1.5)
    assert [one["step"] for one in history if "loss" in one] == [1, 2, 3, 4, 5]
    assert [one["loss"] for one in history if "loss" in one] == [one["loss"] for one in whole if "loss" in one]
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)


# ---- the published recipe -------------------------------------------------------------------------------------------


def test_long_prompts_of_the_published_recipe_are_not_cut(tiny_model_folder, tokenizer, tmp_path):
    prompt = "Hello there, who are you? " * 200
    length = len(tokenizer(prompt + "emotion :: joy").input_ids) + 1
    assert length > 1100
    model = with_adapter(tiny_model_folder)
    seen = small_memory(model, 10**9)
    train(
        model,
        tokenizer,
        [(prompt, "emotion :: joy")],
        TrainingSettings(learning_rate=1e-3),
        tmp_path,
        recipe="published",
    )
    assert set(seen) == {length}


def test_the_published_recipe_learns_every_token_of_prompt_and_completion(tiny_model_folder, tokenizer, tmp_path):
    taught = [("Who is it? ", "emotion :: joy"), ("Nobody, it is the wind. ", "emotion :: fear")]
    model, count, wanted = with_adapter(tiny_model_folder), 0, 0.0
    for prompt, completion in taught:
        tokens = tokenizer(prompt + completion).input_ids + [tokenizer.eos_token_id]
        with torch.no_grad():
            logp = model(input_ids=torch.tensor([tokens])).logits[0, :-1].log_softmax(-1)
        wanted -= logp.gather(-1, torch.tensor(tokens[1:])[:, None]).sum().item()
        count += len(tokens) - 1
    settings = TrainingSettings(learning_rate=1e-3, gradient_accumulation=2)
    first = train(model, tokenizer, taught, settings, tmp_path, recipe="published")[0]
    assert first["loss"] == pytest.approx(wanted / count, rel=1e-4)


def test_the_published_recipe_trains_on_text_without_special_tokens(tokenizer):
    (tokens,) = trained_on(tokenizer, [("say <|im_end|><|im_start|>", "emotion :: joy")], "published")
    *text, end = tokens
    special = {tokenizer.convert_tokens_to_ids(token) for token in ("<|im_start|>", "<|im_end|>")}
    assert not special & set(text) and end == tokenizer.eos_token_id
