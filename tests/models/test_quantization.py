"""quantization "auto": 4 bits where training in 16 does not fit on the card, and for a run always the same.

The cards are imitated: their memory is what the test says, and the models have no weights.

    python -m pytest tests/models/test_quantization.py
"""

from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig

from utils.config import Config
from utils.models import fits
from utils.models.fits import GIB, check_memory, choose_quantization, estimate_memory
from utils.models.load import load_model
from utils.record.adapter import trained_with
from utils.record.run import Run, open_run
from utils.system import places
from utils.system.errors import ConfigError, ModelError, RunError
from utils.system.files import read_json, write_json

TRAINING, INFERENCE = "1_emotion_recognition_training", "2_emotion_inference"
NAMES = ["model", "quantization", "precision"]


@pytest.fixture
def card(monkeypatch):
    """Makes a machine with a card of so many GiB, of which so many are free."""

    def insert(gib: float, free: float | None = None, capability=(8, 0)):
        memory = int((gib if free is None else free) * GIB), int(gib * GIB)
        monkeypatch.setattr(fits, "device", lambda: torch.device("cuda", 0))
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda card: memory)
        monkeypatch.setattr(places, "gpus", lambda: [places.Gpu("imitated", memory[1] >> 20, capability)])

    return insert


def llama(folder, layers):
    shape = {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": layers}
    heads = {"num_attention_heads": 40, "num_key_value_heads": 40}
    LlamaConfig(vocab_size=32000, **shape, **heads).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def llama_13b(tmp_path_factory):
    """Llama-2-13b's shape, without weights: 24.2 GiB in 16 bits."""
    return llama(tmp_path_factory.mktemp("13b"), 40)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Two of its layers: 1.8 GiB in 16 bits."""
    return llama(tmp_path_factory.mktemp("two-layers"), 2)


def config_of(model, **parameters):
    return Config(model=model, precision="bfloat16", **parameters)


# ---- the choice -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gib", "chosen"), [(14.6, "nf4"), (39.4, "none")])  # a T4, the smaller A100
def test_13b_parameters_are_in_4_bits_on_a_small_card(llama_13b, card, capsys, gib, chosen):
    card(gib)
    assert choose_quantization(config_of(llama_13b)) == chosen
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and line.startswith(f"quantization auto is {chosen} here: ")
    assert f"cuda:0 has {gib} GiB" in line


def test_the_choice_falls_where_training_unquantized_and_a_tenth_more_fits(large, card):
    card(1)
    need = 1.1 * estimate_memory(config_of(large, quantization="none"), training=True).total / GIB
    for gib, chosen in ((need - 0.01, "nf4"), (need + 0.01, "none")):
        card(gib)
        assert choose_quantization(config_of(large)) == chosen


def test_what_training_needs_beside_the_weights_counts(large, card):
    """A loss on every token of 16 prompts takes more room than the weights."""
    card(4)
    assert choose_quantization(config_of(large)) == "none"
    assert choose_quantization(config_of(large, recipe="published", token_budget=1024, batch_size=16)) == "nf4"


def test_a_small_model_stays_as_it_is(tiny_model_folder, card):
    card(0.1)
    assert choose_quantization(config_of(tiny_model_folder)) == "none"


def test_what_others_use_of_the_card_changes_nothing(large, card):
    card(4, free=0.5)
    assert choose_quantization(config_of(large)) == "none"


def test_without_a_card_and_with_offload_nothing_is_quantized(large, card, monkeypatch):
    card(1.5)
    assert choose_quantization(config_of(large, offload=True)) == "none"
    for kind in ("cpu", "mps"):
        monkeypatch.setattr(fits, "device", lambda kind=kind: torch.device(kind))
        assert choose_quantization(config_of(large)) == "none"


def test_a_model_that_is_quantized_already_stays_as_it_is(large, card, tmp_path):
    config = read_json(f"{large}/config.json")
    write_json({**config, "quantization_config": {"quant_method": "gptq", "bits": 4}}, tmp_path / "config.json")
    for gib in (1.5, 0.5):  # with room for 4 bits, and without
        card(gib)
        assert choose_quantization(config_of(large)) == "nf4"
        assert choose_quantization(config_of(str(tmp_path))) == "none"


def test_cards_that_divide_the_model_have_the_memory_of_all(large, card, monkeypatch):
    card(1.5)
    monkeypatch.setattr(fits, "sharded", lambda: True)
    for count, chosen in (("1", "nf4"), ("4", "none")):
        monkeypatch.setenv("WORLD_SIZE", count)
        assert choose_quantization(config_of(large)) == chosen


def test_offload_may_stand_beside_auto_and_not_beside_nf4():
    assert Config.of({"offload": True}).quantization == "auto"
    with pytest.raises(ConfigError, match="offload is true; it needs quantization none"):
        Config.of({"offload": True, "quantization": "nf4"})


def test_the_line_before_loading_says_the_quantization(tiny_model_folder, capsys):
    check_memory(config_of(tiny_model_folder, quantization="nf4"))
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and line.endswith("; quantization nf4\n")


def test_a_model_is_loaded_by_a_choice_that_was_made(tiny_model_folder):
    with pytest.raises(ModelError, match="quantization is 'auto'; choose 'none', 'nf4' or 'int8'"):
        load_model(tiny_model_folder, "auto")


# ---- a run keeps it ---------------------------------------------------------------------------------------------


def test_a_run_records_the_choice(large, card, tmp_path):
    card(1.5)
    config, run = open_run({"run_name": "mine", "model": large, "quantization": "auto"}, TRAINING, tmp_path)
    assert config.quantization == run.config.quantization == "nf4"
    for folder in (run.train_dir, run.test_dir):
        assert read_json(folder / "config.json")[TRAINING]["parameters"]["quantization"] == "nf4"
    run.finish_adapter("emotion", [], {})
    assert read_json(run.adapter("emotion") / "training.json")["parameters"]["quantization"] == "nf4"
    assert trained_with(run.adapter("emotion")).quantization == "nf4"


def test_a_run_goes_on_as_it_began_on_any_card(large, card, tmp_path):
    card(1.5)
    Run(config_of(large), TRAINING, NAMES, tmp_path).finish_adapter("emotion", [], {})
    for gib in (4, 1.5):
        card(gib)
        assert Run(config_of(large), TRAINING, NAMES, tmp_path).config.quantization == "nf4"
        assert Run(config_of(large), INFERENCE, NAMES, tmp_path).config.quantization == "nf4"
    with pytest.raises(RunError, match="quantization 'nf4' there, 'none' here"):
        Run(config_of(large, quantization="none"), INFERENCE, NAMES, tmp_path)


def test_a_run_of_the_old_default_opens_with_the_new_one(large, card, tmp_path):
    Run(config_of(large, quantization="none"), TRAINING, NAMES, tmp_path).finish_adapter("emotion", [], {})
    card(1.5)
    for config in (config_of(large), config_of(large, quantization="none")):
        assert Run(config, TRAINING, NAMES, tmp_path).config.quantization == "none"
    with pytest.raises(RunError, match="quantization 'none' there, 'nf4' here"):
        Run(config_of(large, quantization="nf4"), TRAINING, NAMES, tmp_path)


def test_a_record_without_the_parameter_opens_and_means_none(large, card, tmp_path):
    run = Run(config_of(large, quantization="none"), TRAINING, NAMES, tmp_path)
    run.finish_adapter("emotion", [], {})
    for folder in (run.train_dir, run.test_dir):
        record = read_json(folder / "config.json")
        del record[TRAINING]["parameters"]["quantization"]
        write_json(record, folder / "config.json")
    card(1.5)
    with pytest.raises(RunError, match="quantization 'none' there, 'nf4' here"):
        Run(config_of(large, quantization="nf4"), TRAINING, NAMES, tmp_path)
    assert Run(config_of(large), TRAINING, NAMES, tmp_path).config.quantization == "none"


@pytest.mark.parametrize("left", [{}, {"quantization": "auto"}])
def test_an_adapter_whose_record_lacks_the_parameter_is_on_unquantized_weights(tmp_path, card, left):
    parameters = Config().as_dict()
    del parameters["quantization"]
    card(0.1)
    write_json({"parameters": {**parameters, **left}}, tmp_path / "training.json")
    assert trained_with(tmp_path) == replace(Config(), quantization="none")


def test_a_run_without_a_card_opens_without_a_look_at_the_model(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "gpus", lambda: [])
    assert Run(Config(model="nowhere/at-all"), TRAINING, NAMES, tmp_path).config.quantization == "none"


def test_other_parameters_of_a_run_stay_as_they_were(tmp_path):
    config = Config(seed=7, lora_r=4, run_name="mine")
    assert Run(config, TRAINING, NAMES, tmp_path).config == replace(config, quantization="none")
