"""Parameters are checked before anything runs, and every refusal names the parameter and what is possible.

python -m pytest tests/doors/test_config.py
"""

from dataclasses import fields

import pytest
from transformers import SchedulerType
from transformers.training_args import OptimizerNames

from utils.config import CHOICES, Config, check_names, load_config, parse_value
from utils.system.errors import ConfigError
from utils.system.hardware import choose_precision


def test_the_defaults_are_possible():
    Config().check()
    assert Config.of({}) == Config() and set(CHOICES) < {f.name for f in fields(Config)}


def test_of_takes_parameters_out_of_a_notebooks_globals():
    config = Config.of({"seed": 7, "emotion_epochs": 2, "pd": object(), "_": 3, "lora_targets": ["q_proj"]})
    assert (config.seed, config.emotion_epochs, config.lora_targets) == (7, 2.0, ["q_proj"])
    assert isinstance(config.emotion_epochs, float), "a whole number may stand for a fraction"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seed", "42", "seed is '42'.*type int"),
        ("seed", 1.0, "seed is 1.0.*type int"),
        ("seed", True, "seed is True.*type int"),
        ("emotion_learning_rate", "fast", "emotion_learning_rate is 'fast'.*type float"),
        ("emotion_learning_rate", True, "type float"),
        ("gradient_checkpointing", 1, "gradient_checkpointing is 1.*type bool"),
        ("model", None, "model is None.*type str"),
        ("lora_targets", [], "lora_targets"),
        ("lora_targets", [1], "lora_targets"),
        ("quantization", "int8", "quantization is 'int8'; choose one of none, nf4"),
        ("precision", "half", "choose one of auto, bfloat16, float16, float32"),
        ("recipe", "two_pass", "choose one of one_pass, published"),
        ("cause_form", "pairs", "choose one of candidates, list"),
        ("cause_emotions", "true", "choose one of gold, predicted"),
        ("token_budget", 0, "token_budget is 0; it must be above zero"),
        ("lora_r", -1, "above zero"),
        ("cause_epochs", 0.0, "above zero"),
        ("emotion_learning_rate", float("nan"), "emotion_learning_rate is nan"),
        ("emotion_learning_rate", float("inf"), "emotion_learning_rate is inf"),
        ("lora_dropout", 1.0, "lora_dropout"),
        ("warmup_ratio", -0.1, "warmup_ratio"),
        ("run_name", "a/b", "run_name is 'a/b'; it must be one plain folder name"),
        ("run_name", "a{b}", "run_name is 'a{b}'; it must be one plain folder name"),
        ("run_name", "..", "run_name"),
        ("run_name", "", "run_name"),
        ("run_name", "a\0b", "run_name .* whole characters"),
        ("model", "\ud800", "model .* whole characters"),
        ("seed", -1, "seed is -1"),
        ("text_epochs", -1.0, "text_epochs is -1.0; it must not be below zero"),
        ("emotion_learning_rate", 10**400, "type float"),
        ("cause_threshold", 25, "cause_threshold is 25.0; a probability must lie below 1"),
        ("scheduler", "cosin", "choose one of linear, cosine, "),
        ("optimizer", "adamw8", "choose one of adamw_torch, "),
    ],
)
def test_values_that_cannot_be_are_refused(name, value, message):
    with pytest.raises(ConfigError, match=message):
        Config.of({name: value})


def test_schedulers_and_optimizers_are_the_trainers():
    assert set(CHOICES["scheduler"]) <= {kind.value for kind in SchedulerType}
    assert set(CHOICES["optimizer"]) <= {kind.value for kind in OptimizerNames}


def test_mistyped_names_name_the_nearest():
    with pytest.raises(ConfigError, match="here: unknown parameter 'learning_rates'; did you mean .*learning_rate"):
        check_names({"learning_rates": 1}, "here")
    with pytest.raises(ConfigError, match="did you mean token_budget"):
        check_names({"seed": 1, "tokenbudget": 1}, "here")
    with pytest.raises(ConfigError, match="known are run_name, model"):
        check_names({"xyz": 1}, "here")
    check_names({"seed": 1}, "here")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("run_name", "7", "7"),
        ("run_name", "no", "no"),
        ("run_name", "2026-11-30", "2026-11-30"),
        ("run_name", "2026-11-31", "2026-11-31"),
        ("run_name", "'7'", "7"),
        ("seed", "7", 7),
        ("compile", "no", False),
        ("lora_targets", "[q_proj, v_proj]", ["q_proj", "v_proj"]),
        ("emotion_epochs", "2", 2),
    ],
)
def test_what_must_be_text_on_the_command_line_stays_text(name, text, value):
    assert parse_value(name, text) == value
    Config.of({name: value})


@pytest.mark.parametrize(("name", "text"), [("seed", "2026-11-31"), ("seed", "[1"), ("run_name", "{a")])
def test_what_yaml_cannot_read_is_refused(name, text):
    with pytest.raises(ConfigError, match=f"parameter {name} is .*cannot be read as YAML"):
        parse_value(name, text)


def test_load_config(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("run_name: mine\nemotion_epochs: 2\nlora_targets: [q_proj]\n", encoding="utf-8")
    assert load_config(path) == {"run_name": "mine", "emotion_epochs": 2, "lora_targets": ["q_proj"]}
    for text, message in (
        ("run_nam: x", "a.yaml: unknown parameter 'run_nam'; did you mean run_name"),
        ("seed: 1\nseed: 2", "a.yaml: parameter 'seed' is there twice"),
        ("# long\n" * 5000, "35,000 characters where 20,000 are plenty"),
        ("seed: x", "a.yaml: parameter seed is 'x'"),
        ("- seed", "a.yaml: must be a mapping"),
        ("", "a.yaml: must be a mapping"),
        ("a: [", "a.yaml: cannot be read as YAML"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=message) as error:
            load_config(path)
        assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="absent.yaml: there is no such file"):
        load_config(tmp_path / "absent.yaml")


def test_tasks_have_training_settings_of_their_own():
    config = Config(emotion_learning_rate=1.0, cause_learning_rate=2.0, emotion_epochs=3.0, cause_epochs=4.0, seed=5)
    settings = config.training("emotion"), config.training("cause")
    assert [(s.learning_rate, s.epochs, s.seed) for s in settings] == [(1.0, 3.0, 5), (2.0, 4.0, 5)]
    for field in fields(settings[0]):  # every other setting is the parameter of the same name
        if field.name not in ("learning_rate", "epochs", "precision"):
            assert getattr(settings[0], field.name) == getattr(config, field.name)
    focused = Config(focal_gamma=2.0)
    assert [focused.training(name).focal_gamma for name in ("emotion", "cause", "text")] == [2.0, 2.0, 0.0]
    assert settings[0].precision == choose_precision(), "auto is what the hardware computes in"
    assert Config(precision="bfloat16").training("cause").precision == "bfloat16"
    asked = config.inference()
    for name in ("recipe", "token_budget", "max_row_tokens"):
        assert getattr(asked, name) == getattr(config, name)


def test_yamls_strings_like_1e_3_are_numbers():
    assert Config.of({"emotion_learning_rate": "1e-3"}).emotion_learning_rate == 0.001
