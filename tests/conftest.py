"""What several tests share: a tiny real model with its tokenizer, and short sample conversations.

The tokenizer is trained here on the sample data. It knows 500 tokens, so nearly every label is several tokens
long and labels begin alike, which is the harder case for scoring; and it starts sequences with a special
token, as Llama's does (SmolLM2's, in test_embedded_model.py, does not).
"""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback

from utils.engine import trainer

ROOT = Path(__file__).resolve().parents[1]
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>")


def pytest_collection_modifyitems(config, items):
    """Soak tests run only where they are asked for, by `-m soak`."""
    if "soak" not in config.getoption("-m"):
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


# How much a test of random inputs tries: `amount` times what takes a second or two.
amounts = pytest.mark.parametrize("amount", [1, pytest.param(20, marks=pytest.mark.soak)], ids=["quick", "soak"])


def try_all(count, check, *strategies):
    """Runs `check` on `count` values of hypothesis's strategies, the same ones every time."""
    repeatable = settings(
        max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    repeatable(given(*strategies)(check))()


@contextmanager
def stopped_training(saves):
    """A training inside is interrupted right behind its checkpoint number `saves`."""

    class Stop(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            seen.append(1)
            if len(seen) == saves:
                raise KeyboardInterrupt

    def started(self, *args, **kwargs):
        start(self, *args, **kwargs)
        self.add_callback(Stop())

    seen, start = [], trainer.PatientTrainer.__init__
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer.PatientTrainer, "__init__", started)
        yield


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


def beginning(conversation, length):
    """The first `length` utterances of a conversation, with the pairs among them."""
    kept = [
        pair for pair in conversation["emotion-cause_pairs"] if max(int(pair[0].split("_")[0]), int(pair[1])) <= length
    ]
    return {
        **conversation,
        "conversation": conversation["conversation"][:length],
        "emotion-cause_pairs": kept,
    }


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
