"""An adapter's configuration sets only what is allowed, before PEFT reads it: nothing is imported, no traceback.

python -m pytest tests/models/test_adapter_configs.py     (make soak: thousands of damaged configurations)
"""

import json
import random
import re
import sys

import pytest
from helpers import amounts, damaged, shipped, with_lora

from utils.models.adapters import load_adapter, save_adapter
from utils.models.load import load_model
from utils.models.methods import METHODS, adapter_record
from utils.system.errors import FileError, ModelError
from utils.system.files import read_json, write_json


@pytest.fixture
def saved(tiny_model_folder, tmp_path):
    """Folder of a sound adapter of the tiny model."""
    save_adapter(with_lora(load_model(tiny_model_folder)[0]), tmp_path / "adapter", tiny_model_folder)
    return tmp_path / "adapter"


def test_what_is_written_is_allowed(saved):
    assert adapter_record(saved)["r"] == 4
    for path in shipped("results_train/*/adapters/*/adapter_config.json"):
        assert adapter_record(path.parent)["peft_type"] == "LORA"


@pytest.mark.parametrize(
    "change",
    [
        {"peft_type": "FOO"},
        {"peft_type": "P_TUNING", "num_virtual_tokens": 3},
        {"peft_type": "XLORA"},
        {"peft_type": 7},
        {"rank_pattern": "x"},
        {"rank_pattern": {"q_proj": -1}},
        {"init_lora_weights": -1},
        {"init_lora_weights": "corda"},
        {"bias": 0},
        {"bias": "all"},
        {"monteclora_config": "x"},
        {"layer_replication": [[0, 99]]},
        {"megatron_config": {"a": 1}, "megatron_core": "megatron.pay"},
        {"megatron_config": {}},
        {"megatron_core": "megatron.pay"},
        {"auto_mapping": {"parent_library": "os", "base_model_class": "x"}},
        {"modules_to_save": ["lm_head"]},
        {"eva_config": {"rho": 1}},
        {"a_new_key": {"run": "me"}},
        {"r": 10**9},
        {"r": True},
        {"lora_dropout": 1.5},
        {"lora_alpha": 10**400},
        {"target_modules": [1]},
        {"task_type": "SEQ_CLS"},
        {"base_model_name_or_path": None},
    ],
    ids=str,
)
def test_what_is_not_allowed_is_refused_by_name(saved, change, tiny_model_folder):
    record = read_json(saved / "adapter_config.json")
    (saved / "adapter_config.json").write_text(json.dumps({**record, **change}))
    with pytest.raises(ModelError) as seen:
        load_adapter(load_model(tiny_model_folder)[0], saved, tiny_model_folder)
    message, name = str(seen.value), next(iter(change))
    assert message.startswith(f"{saved}/adapter_config.json: ") and "\n" not in message
    named = "kind" if name == "peft_type" else "no base model" if name.startswith("base") else name
    assert named in message or any(key in message for key in change)


def test_what_does_nothing_may_stand_there(saved, tiny_model_folder):
    """Keys of another version of PEFT, which are off."""
    record = read_json(saved / "adapter_config.json")
    for key in ("megatron_core", "qalora_group_size"):
        record.pop(key, None)
    write_json(
        {**record, "use_something_new": False, "something_config": None, "patterns": {}}, saved / "adapter_config.json"
    )
    load_adapter(load_model(tiny_model_folder)[0], saved, tiny_model_folder)


def test_no_module_of_the_working_directory_is_imported(saved, tiny_model_folder, tmp_path, monkeypatch):
    (tmp_path / "megatron").mkdir()
    (tmp_path / "megatron" / "__init__.py").write_text("")
    (tmp_path / "megatron" / "pay.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    record = read_json(saved / "adapter_config.json")
    write_json({**record, "megatron_config": {"a": 1}, "megatron_core": "megatron.pay"}, saved / "adapter_config.json")
    with pytest.raises(ModelError, match="megatron"):
        load_adapter(load_model(tiny_model_folder)[0], saved, tiny_model_folder)
    assert not (tmp_path / "ran").exists() and "megatron.pay" not in sys.modules


def test_every_method_says_which_keys_it_takes():
    assert all({"peft_type", "base_model_name_or_path"} <= {*method.keys} for method in METHODS.values())
    assert not any(re.search("megatron|config$|replication|mapping", key) for m in METHODS.values() for key in m.keys)


@amounts
def test_damaged_configurations(saved, tiny_model_folder, amount):
    """Loaded, or refused with one message that names the adapter."""
    record, chance = read_json(saved / "adapter_config.json"), random.Random(amount)
    loaded = 0
    for _ in range(25 if amount == 1 else 2000):
        (saved / "adapter_config.json").write_bytes(damaged(record, chance))
        model, _ = load_model(tiny_model_folder)
        try:
            load_adapter(model, saved, tiny_model_folder)
            loaded += 1
        except (ModelError, FileError) as error:
            assert str(saved) in str(error) and "\n" not in str(error)
    assert loaded < 2000
