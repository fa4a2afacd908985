"""What several tests share: a tiny real model with its tokenizer, and short sample conversations.

The tokenizer is trained here on the sample data. It knows 500 tokens, so nearly every label is several tokens
long and labels begin alike, which is the harder case for scoring; and it starts sequences with a special
token, as Llama's does (SmolLM2's, in test_embedded_model.py, does not).
"""

import importlib.util
import json
import shutil

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, MPNetConfig, MPNetModel, PreTrainedTokenizerFast

pytest.register_assert_rewrite("helpers", "one_sequence", "imitated_hub")

from helpers import ROOT, SPECIAL, beginning, copy_code, run_in  # noqa: E402 (their asserts are rewritten first)


def pytest_collection_modifyitems(config, items):
    """Soak tests run only where they are asked for, by `-m soak`. Slow ones and they have a longer time limit than
    pyproject.toml's. Tests for a GPU are skipped without one."""
    if "soak" not in config.getoption("-m"):
        items[:] = [item for item in items if not item.get_closest_marker("soak")]
    for item in items:
        for marker, seconds in (("soak", 6 * 3600), ("slow", 1800)):
            if item.get_closest_marker(marker) and not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(seconds))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs an accelerator"))


@pytest.fixture(scope="session")
def shared():
    """The folder `shared` beside the repository: data that may not ship. Tests that need it are skipped
    without."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder `shared` is not part of the repository")
    return folder


@pytest.fixture(scope="session")
def sample():
    """Every conversation that ships."""
    return json.loads((ROOT / "data" / "sample" / "conversations.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def conversations(sample):
    """Three short labelled conversations: 4, 5 and 3 utterances, with 2 emotional ones or more in each."""
    busy = [c for c in sample if sum(u["emotion"] != "neutral" for u in c["conversation"][:3]) >= 2]
    return [beginning(c, length) for c, length in zip(busy, (4, 5, 3))]


@pytest.fixture(scope="session")
def tokenizer(sample):
    """A byte-level BPE tokenizer of 500 tokens."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator((u["text"] for c in sample for u in c["conversation"]), trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", backend.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    )


@pytest.fixture(scope="session")
def tiny_model_folder(tokenizer, tmp_path_factory):
    """A folder that load_model takes: a random Llama of 2 layers. Width 64 is one block of NF4's."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.1,  # 0.02 predicts nearly evenly
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def copy(tmp_path_factory, tiny_model_folder):
    """A copy of the repository with a few sample conversations as its input."""
    folder = tmp_path_factory.mktemp("repository")
    copy_code(folder)
    few = json.loads((ROOT / "data/sample/conversations.json").read_text(encoding="utf-8"))[:10]
    (folder / "few.json").write_text(json.dumps(few), encoding="utf-8")
    done = run_in(folder, "generate_input.py", "--data", "few.json", "--unlabelled", "data/sample/unlabelled.json")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def browser(tmp_path):
    """A headless Chromium that reaches nothing but this machine, and downloads to tmp_path/downloads."""
    programs = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if None in programs or any(importlib.util.find_spec(name) is None for name in ("gradio", "selenium")):
        pytest.skip("needs gradio, selenium, chromium and chromedriver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for switch in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-quic",
        "disable-dev-shm-usage",
        "window-size=1100,1500",
        f"user-data-dir={tmp_path / 'profile'}",
        "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "no-proxy-server",
    ):
        options.add_argument(f"--{switch}")
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path / "downloads")})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs[1]))
    driver.set_page_load_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def reader(tokenizer):
    """The shared tokenizer with the special tokens that an encoder has."""
    return type(tokenizer)(
        tokenizer_object=tokenizer.backend_tokenizer, cls_token="<s>", sep_token="<|im_end|>", pad_token="<|endoftext|>"
    )


@pytest.fixture(scope="session")
def encoder_folder(reader, tmp_path_factory):
    """A folder with a random encoder of 2 layers."""
    folder = tmp_path_factory.mktemp("tiny-mpnet")
    torch.manual_seed(5)
    config = MPNetConfig(
        vocab_size=len(reader),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=514,
        pad_token_id=reader.pad_token_id,
    )
    MPNetModel(config).save_pretrained(folder)
    reader.save_pretrained(folder)
    return folder
