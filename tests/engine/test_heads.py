"""The encoder's heads: a batch scores what each conversation scores alone, a language model is read at its ends, and
what was learnt by LoRA is in what is kept. Tiny random models, made here.

python -m pytest tests/engine/test_heads.py
"""

import shutil

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from transformers import AutoModel, Trainer

from utils.engine import heads
from utils.models.load import load_model, load_tokenizer
from utils.system.errors import ModelError
from utils.tasks import emotion
from utils.tasks.encoder_input import example, sizes


@pytest.mark.parametrize("kind", ["encoder", "language model"])
def test_a_batch_scores_what_each_conversation_scores_alone(
    reader, tokenizer, encoder_folder, tiny_model_folder, conversations, kind
):
    torch.manual_seed(0)
    reader, folder = (reader, encoder_folder) if kind == "encoder" else (tokenizer, tiny_model_folder)
    assert heads.one_way(reader) == (kind == "language model")
    model = heads.Encoder(AutoModel.from_pretrained(folder), heads.one_way(reader), sizes()).eval()
    rows = [example(reader, c, gold=True) for c in conversations]
    with torch.no_grad():
        together, alone = model(**heads.collate(rows)), [model(**heads.collate([one])) for one in rows]
    for name in ("emotion_scores", "cause_scores"):
        assert torch.allclose(together[name], torch.cat([one[name] for one in alone]), atol=0.02)  # bfloat16
    assert together["cause_scores"].std() > 0.01
    gold = torch.tensor(sum((one["emotions"] for one in rows), []))
    causes = torch.tensor(sum((one["causes"] for one in rows), []))
    p = together["cause_scores"].sigmoid()
    wanted = -(together["emotion_scores"].log_softmax(1)[range(len(gold)), gold]).mean()
    wanted -= torch.where(causes == 1, p, 1 - p).log().mean()
    assert together["loss"].item() == pytest.approx(wanted.item(), rel=1e-4)
    shares = torch.nn.functional.one_hot(gold, len(together["emotion_scores"][0])).float()
    by_shares = [
        {**one, "emotions": some.tolist()} for one, some in zip(rows, shares.split([len(o["emotions"]) for o in rows]))
    ]
    with torch.no_grad():
        assert torch.allclose(model(**heads.collate(by_shares))["loss"], together["loss"], atol=1e-6)


def test_a_language_model_is_read_at_its_ends_and_at_the_next_ones(tokenizer, tiny_model_folder, conversations):
    base = AutoModel.from_pretrained(tiny_model_folder)
    model, seen = heads.Encoder(base, True, sizes()).eval(), []
    model.emotion.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        model(**heads.collate([example(tokenizer, c) for c in conversations]))
    wanted = []
    for c in conversations:
        lines = [tokenizer(f"{emotion.line(u)}\n", add_special_tokens=False).input_ids for u in c["conversation"]]
        row, ends = [tokenizer.bos_token_id, *sum(lines, [])], np.cumsum([1, *map(len, lines)])
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            states = base(input_ids=torch.tensor([row])).last_hidden_state[0].float()
        for k, end in enumerate(ends[1:]):
            after = ends[min(k + 2, len(lines))]
            said = torch.cat([states[ends[k] : end].mean(0), states[end - 1], states[after - 1]])
            wanted.append((said - said.mean()) / said.std(correction=0))
    assert torch.allclose(seen[0], torch.stack(wanted), atol=1e-3)


@pytest.mark.parametrize("kind", ["encoder", "language model"])
def test_what_is_learnt_by_lora_is_in_what_is_kept(
    tiny_model_folder, encoder_folder, sample, tmp_path, monkeypatch, kind
):
    given, trained, train = sample[24:32], [], Trainer.train
    folder, rank = (encoder_folder, 4) if kind == "encoder" else (tiny_model_folder, None)
    monkeypatch.setitem(heads.LORA_RATE, False, 1e-2)
    model, reader = heads.fresh(folder, sizes(), seed=42, rank=rank)
    asked = [example(reader, c) for c in given]

    def watched(self, **resumed):
        train(self, **resumed)
        names = {name for name, p in self.model.base.named_parameters() if p.requires_grad}
        assert names and all("lora" in name for name in names)
        trained.extend(heads.scores(self.model.eval(), one, "emotion") for one in asked)

    monkeypatch.setattr(Trainer, "train", watched)
    with pytest.raises(ModelError, match="no finished encoder there"):
        heads.load(tmp_path / "encoder", sizes())
    taught = [example(reader, c, gold=True) for c in sample[:24]]
    heads.train(model, reader, taught, tmp_path / "encoder", seed=42, epochs=4)
    model, _ = heads.load(tmp_path / "encoder", sizes())
    kept = [heads.scores(model, one, "emotion") for one in asked]
    model.base = AutoModel.from_pretrained(folder)
    without = [heads.scores(model.eval(), one, "emotion") for one in asked]
    trained, kept, without = map(np.concatenate, (trained, kept, without))
    assert np.abs(kept - trained).mean() < 0.05 < np.abs(without - trained).mean()
    files = {path.name for path in (tmp_path / "encoder").iterdir()}
    assert {"adapter_model.safetensors", "heads.safetensors"} <= files and "model.safetensors" not in files


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch):
    """huggingface_hub alone tries each file six times, in half a minute."""
    asked = []

    class Session:
        def head(self, address, **how):
            asked.append(address)
            raise ConnectionError

    monkeypatch.setattr("huggingface_hub.utils.get_session", Session)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for load in (load_tokenizer, load_model, lambda name: heads.fresh(name, sizes(), seed=42)):
        with pytest.raises(ModelError, match="the hub cannot be reached. Where it can: python -m utils.download"):
            load("owner/nothing")
    assert asked == [constants.ENDPOINT] * 3 and not constants.HF_HUB_OFFLINE, "another time it may answer"


def test_a_base_model_that_is_not_here_is_named(encoder_folder, tmp_path, sample):
    there = shutil.copytree(encoder_folder, tmp_path / "base")
    model, reader = heads.fresh(there, sizes(), seed=42, rank=2)
    heads.train(
        model, reader, [example(reader, c, gold=True) for c in sample[:4]], tmp_path / "kept", seed=42, epochs=1
    )
    heads.load(tmp_path / "kept", sizes())
    shutil.rmtree(there)
    with pytest.raises(ModelError, match="its base model .*base is not here"):
        heads.load(tmp_path / "kept", sizes())
