"""The hub, imitated on loopback (tests/imitated_hub.py), and asked by the real huggingface_hub: models come for offline
use, gated ones say what to do, adapters go with their card, and no token is written anywhere.

    python -m pytest tests/doors/test_hub.py
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import ROOT
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from imitated_hub import Repository, imitated_hub

from utils.models.hub import why

TOKEN = "hf_" + "x" * 34
CARD = "---\nlicense: mit\n---\n\n# A card\n"


@pytest.fixture
def hub():
    with imitated_hub() as one:
        yield one


@pytest.fixture
def call(hub, tmp_path):
    """Runs Python with these arguments as somebody whose only hub is the imitated one."""

    def run(*arguments, token=None, offline=False, endpoint=hub.address):
        away = ("HF_TOKEN", "HF_HUB_OFFLINE", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "TRANSFORMERS_CACHE")
        environment = {name: value for name, value in os.environ.items() if name not in away}
        environment |= {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(tmp_path / "cache"),
            "HF_HUB_DISABLE_XET": "1",
            "OMP_NUM_THREADS": "1",
            "NO_PROXY": "127.0.0.1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        environment |= {"HF_TOKEN": token} if token else {}
        environment |= {"HF_HUB_OFFLINE": "1"} if offline else {}
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert "Traceback" not in done.stderr and TOKEN not in done.stdout + done.stderr
        return done

    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def test_a_model_is_downloaded_once_without_pickles_code_and_doubles(hub, call):
    files = {"config.json": b"{}", "model.safetensors": b"w" * 5000, "tokenizer.json": b"{}"}
    others = {
        "pytorch_model.bin": b"pickle",
        "modeling.py": b"code",
        "original/weights.safetensors": b"again",
        "consolidated.safetensors": b"again",
    }
    hub.repositories["owner/model"] = Repository({**files, **others})
    done = call("-m", "utils.download", "owner/model")
    assert done.returncode == 0, done.stderr
    folder = done.stdout.strip().partition(" MB in ")[2]
    assert contents(folder) == files
    hub.requests.clear()
    assert call("-m", "utils.download", "owner/model", offline=True).stdout == done.stdout
    assert hub.requests == []


@pytest.mark.slow
def test_what_cannot_be_had_is_said_with_what_to_do(hub, call):
    weights = {"config.json": b"{}", "model.safetensors": b"w"}
    hub.repositories["meta/gated"] = Repository(weights, gated=True, may_read={TOKEN})
    hub.repositories["owner/secret"] = Repository(weights, private=True, may_read={TOKEN})
    hub.repositories["owner/pickled"] = Repository({"config.json": b"{}", "pytorch_model.bin": b"pickle"})

    def message(*arguments, **how):
        done = call("-m", "utils.download", *arguments, **how)
        assert done.returncode == 2 and done.stdout == ""
        return done.stderr

    stranger = "hf_stranger"
    assert f"gated. Ask for access on {hub.address}/meta/gated with the account whose" in message("meta/gated")
    assert "gated. Ask for access on" in (said := message("meta/gated", token=stranger)) and stranger not in said
    for name in ("owner/secret", "owner/nothing"):
        assert "no such model, or it is private" in message(name)
    assert "pickled weights are not loaded" in message("owner/pickled")
    for how in ({"offline": True}, {"endpoint": "http://127.0.0.1:9"}):
        said = message("owner/other", **how)
        assert "owner/other: the hub cannot be reached" in said and ("HF_HUB_OFFLINE is set" in said) == (
            "offline" in how
        )
        assert "on a machine that reaches it, and bring the folder" in said
        assert "python -m utils.download" not in said, "it is what was run"
    for name in ("model", "a/b/c", "owner/"):
        assert "no hub id" in message(name)
    for name in ("meta/gated", "owner/secret"):
        assert call("-m", "utils.download", name, token=TOKEN).returncode == 0


@pytest.mark.slow
def test_a_model_of_the_hub_is_loaded_by_its_id_and_then_without_a_network(hub, call, tiny_model_folder):
    hub.repositories["owner/tiny"] = Repository(contents(tiny_model_folder), gated=True, may_read={TOKEN})
    load = (
        "from utils.models.load import ModelError, load_model\n"
        "try: print(load_model('owner/tiny')[0].num_parameters())\n"
        "except ModelError as error: print(error)"
    )
    assert "'owner/tiny' cannot be loaded (it is gated. Ask for access" in call("-c", load).stdout
    assert call("-m", "utils.download", "owner/tiny", token=TOKEN).returncode == 0
    assert int(call("-c", load, offline=True).stdout) > 10_000
    done = call("-c", load, endpoint="http://127.0.0.1:9")
    assert int(done.stdout) > 10_000 and "Retrying" not in done.stderr, "what is in the cache does not wait for the hub"


@pytest.fixture
def adapter(tmp_path):
    """A folder with everything that an adapter's folder may hold, and things that must stay here."""
    folder = tmp_path / "emotion"
    (folder / "checkpoints").mkdir(parents=True)
    for name in (
        "adapter_model.safetensors",
        "adapter_config.json",
        "training.json",
        "optimizer.pt",
        ".env",
        "checkpoints/adapter_model.safetensors",
    ):
        (folder / name).write_bytes(b"{}" * 700)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder


def test_an_adapter_goes_to_the_hub_with_its_card_and_comes_back(hub, call, adapter):
    hub.writers.add(TOKEN)
    done = call("-m", "utils.hub", adapter, "owner/emotion", token=TOKEN)
    assert (done.returncode, done.stdout.strip()) == (0, f"{hub.address}/owner/emotion"), done.stderr
    pushed = hub.repositories["owner/emotion"]
    assert pushed.private and set(pushed.files) == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "training.json",
    }
    assert hub.large, "weights go the way of large files"
    assert not any(TOKEN.encode() in content for content in pushed.files.values())

    (adapter / "training.json").write_bytes(b"[]")
    assert call("-m", "utils.hub", adapter, "owner/emotion", token=TOKEN).returncode == 0
    back = call("-m", "utils.download", "owner/emotion", token=TOKEN).stdout.strip().partition(" MB in ")[2]
    assert contents(back) == pushed.files and pushed.files["training.json"] == b"[]"
    assert call("-m", "utils.hub", adapter, "owner/open", "--public", token=TOKEN).returncode == 0
    assert not hub.repositories["owner/open"].private


def test_the_adapter_of_a_run_is_pushed_by_the_runs_name(hub, call, adapter, tmp_path):
    hub.writers.add(TOKEN)
    run = tmp_path / "mine"
    (run / "adapters").mkdir(parents=True)
    adapter.rename(run / "adapters" / "emotion")
    done = call("-m", "utils.hub", "emotion", "owner/emotion", "--run", run, token=TOKEN)
    assert done.returncode == 0, done.stderr
    assert hub.repositories["owner/emotion"].files["README.md"] == CARD.encode()


@pytest.mark.slow
def test_what_cannot_be_pushed_is_said_with_what_to_do(hub, call, adapter, tmp_path):
    def message(*arguments, **how):
        done = call("-m", "utils.hub", *arguments, **how)
        assert done.returncode == 2 and done.stdout == ""
        return done.stderr

    assert "give a token in HF_TOKEN that is valid and may write to owner/emotion" in message(adapter, "owner/emotion")
    for how in ({"offline": True}, {"endpoint": "http://127.0.0.1:9"}, {"endpoint": "http://nowhere.invalid"}):
        said = message(adapter, "owner/emotion", token=TOKEN, **how)
        assert "owner/emotion: the hub cannot be reached" in said and "Nothing was sent; run the same command" in said
    hub.requests.clear()
    for name in ("emotion", "a/b/c", "/emotion"):
        assert f"{name}: no hub id; give OWNER/NAME" in message(adapter, name, token=TOKEN)
    assert hub.requests == []
    assert "no weights here" in message(tmp_path, "owner/emotion", token=TOKEN)
    hub.writers.add(TOKEN)
    (adapter / "README.md").write_text("no header", encoding="utf-8")
    assert "no sound header" in message(adapter, "owner/emotion", token=TOKEN)
    (adapter / "README.md").unlink()
    assert "no model card" in message(adapter, "owner/emotion", token=TOKEN)
    assert hub.repositories.get("owner/emotion", Repository({})).files == {}


def test_a_public_repository_is_not_filled_unasked(hub, call, adapter):
    hub.writers.add(TOKEN)
    hub.repositories["owner/open"] = Repository({})
    done = call("-m", "utils.hub", adapter, "owner/open", token=TOKEN)
    assert done.returncode == 2 and "owner/open: everybody may see it: give --public" in done.stderr
    assert hub.repositories["owner/open"].files == {}
    assert call("-m", "utils.hub", adapter, "owner/open", "--public", token=TOKEN).returncode == 0
    assert "training.json" in hub.repositories["owner/open"].files


def test_paths_of_this_machine_stay_here(hub, call, adapter, tmp_path):
    hub.writers.add(TOKEN)
    config = {"base_model_name_or_path": str(tmp_path / "tiny"), "r": 4}
    record = {"parameters": {"model": str(tmp_path / "tiny"), "input_dir": "input/ecf"}, "history": [{"loss": 1.5}]}
    (adapter / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    (adapter / "training.json").write_text(json.dumps(record), encoding="utf-8")
    assert call("-m", "utils.hub", adapter, "owner/emotion", token=TOKEN).returncode == 0
    files = hub.repositories["owner/emotion"].files
    assert json.loads(files["adapter_config.json"]) == {"base_model_name_or_path": "tiny", "r": 4}
    record["parameters"]["model"] = "tiny"
    assert json.loads(files["training.json"]) == record
    assert str(tmp_path) in (adapter / "training.json").read_text(encoding="utf-8")


def test_a_tokenizers_words_that_look_like_paths_stay(hub, call, adapter, tokenizer):
    hub.writers.add(TOKEN)
    tokenizer.save_pretrained(adapter)
    (adapter / "tokenizer_config.json").write_text(json.dumps({"name_or_path": "/tmp/x", "eos_token": "/"}))
    assert call("-m", "utils.hub", adapter, "owner/emotion", token=TOKEN).returncode == 0
    files = hub.repositories["owner/emotion"].files
    assert '"/"' in (adapter / "tokenizer.json").read_text(encoding="utf-8")
    assert files["tokenizer.json"] == (adapter / "tokenizer.json").read_bytes()
    assert json.loads(files["tokenizer_config.json"]) == {"name_or_path": "x", "eos_token": "/"}


def test_what_the_hub_answers_is_told_apart():
    def error(status):
        return HfHubHTTPError("said", response=SimpleNamespace(status_code=status, headers={}, request=None))

    assert "valid and may read a/b" in why(error(401), "a/b")
    for status in (429, 503):
        missing = LocalEntryNotFoundError("nothing here")
        missing.__cause__ = error(status)
        assert why(missing, "a/b") == f"the hub answers HTTP {status}: try again later"
