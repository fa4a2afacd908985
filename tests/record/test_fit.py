"""A run's training: what it learns from, what it records, and the adapter that it makes.

python -m pytest tests/record/test_fit.py
"""

import pytest

from utils.config import Config
from utils.data.conversations import with_emotions, with_pairs
from utils.models.load import load_model
from utils.record.fit import examples, fit
from utils.record.run import Run
from utils.system.errors import TrainingError
from utils.system.files import read_json
from utils.tasks import emotion
from utils.tasks.cause import Cause
from utils.tasks.emotion import Emotion


def test_the_adapter_has_the_parameters_rank_scale_and_dropout(tiny_model_folder, conversations, tmp_path):
    config = Config(
        run_name="a",
        model=tiny_model_folder,
        precision="float32",
        lora_r=4,
        lora_alpha=12,
        lora_dropout=0.25,
        gradient_accumulation=1,
        emotion_epochs=3.0,
    )
    run = Run(config, "n", [], root=tmp_path)
    fit(run, config.task("emotion"), *load_model(tiny_model_folder, precision="float32"), conversations[:1])
    made = read_json(run.adapter("emotion") / "adapter_config.json")
    assert (made["r"], made["lora_alpha"], made["lora_dropout"]) == (4, 12, 0.25)


def test_a_calm_conversation_is_no_row_of_cause_training(tiny_model_folder, tokenizer, conversations, tmp_path):
    calm = conversations[0]
    calm = with_pairs(with_emotions(calm, ["neutral"] * len(calm["conversation"])), [])
    rows = examples(Cause(), [calm, conversations[1]], tokenizer, Config(token_budget=1))
    assert len(rows) == 1 and rows[0].targets
    run = Run(Config(run_name="calm", model=tiny_model_folder), "n", [], root=tmp_path)
    with pytest.raises(TrainingError, match="the training split holds no cause to learn from"):
        fit(run, Cause(), *load_model(tiny_model_folder, precision="float32"), [calm])


def test_validation_is_evaluated_and_nothing_else_and_a_finished_adapter_is_kept(
    tiny_model_folder, conversations, tmp_path
):
    def fitted(name, validation):
        config = Config(
            run_name=name,
            model=tiny_model_folder,
            precision="float32",
            token_budget=1,
            lora_r=4,
            emotion_epochs=3.0,
            gradient_accumulation=1,
        )
        run = Run(config, "n", [], root=tmp_path)
        model, history = fit(
            run, Emotion(), *load_model(tiny_model_folder, precision="float32"), conversations[:1], validation
        )
        record = read_json(run.adapter("emotion") / "training.json")
        weights = (run.adapter("emotion") / "adapter_model.safetensors").read_bytes()
        return [one["eval_loss"] for one in history if "eval_loss" in one], record, weights

    (one,), record, weights = fitted("a", conversations[1:2])
    (other,), *_ = fitted("b", conversations[2:3])
    assert one != other
    assert record["emotions"] == emotion.counts(conversations[:1])
    assert fitted("a", conversations[1:2]) == ([one], record, weights), "not trained a second time"
