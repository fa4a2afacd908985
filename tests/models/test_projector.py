"""Projectors: streams that are dropped in training, saved and read whole, refused where they do not fit.

python -m pytest tests/models/test_projector.py
"""

import numpy as np
import pytest
import torch
from helpers import with_adapter

from utils.models.adapters import adapter_weights, load_adapter, save_adapter
from utils.models.load import load_model
from utils.models.projector import (
    FILE,
    Projector,
    StreamProjector,
    active_projector,
    attach,
    fresh,
    has_projector,
    read_projector,
)
from utils.system.errors import ModelError

POSITIONS = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 0, 1]])  # three trees


def stream(width=3, tokens=1, hidden=4):
    """What it adds: 1 for a vector, -1 for an absent one."""
    made = StreamProjector(torch.zeros(width), torch.ones(width), tokens, hidden)
    made.bias.data.fill_(1.0)
    made.absent.data.fill_(-1.0)
    return made


def given(present=(True,) * 6, width=3):
    return {
        "index": torch.tensor([1, 2, 5, 6, 8, 9]),
        "slot": torch.zeros(6, dtype=torch.long),
        "present": torch.tensor(present),
        "values": torch.randn(sum(present), width),
    }


def test_training_drops_a_stream_from_a_whole_conversation_and_each_stream_by_itself():
    torch.manual_seed(1)
    projector = Projector({"voice": stream(), "face": stream()}, dropout=0.3).train()
    counts, together, tries = torch.zeros(6), 0, 400
    for _ in range(tries):
        indices, added = projector.added({"voice": given(), "face": given()}, POSITIONS)
        assert indices.tolist() == [1, 2, 5, 6, 8, 9] * 2
        signs = added[:, 0].reshape(2, 3, 2)  # streams, trees, placeholders of a tree
        assert (signs[:, :, 0] == signs[:, :, 1]).all(), "of one conversation all or none"
        counts += (signs[:, :, 0] < 0).flatten()
        together += int((signs[0, :, 0] == signs[1, :, 0]).all())
    assert ((counts / tries - 0.3).abs() < 0.1).all() and 0 < together < tries / 2
    still = projector.eval().added({"voice": given()}, POSITIONS)[1]
    assert (still == 1).all(), "inference drops nothing"


def test_absent_vectors_and_several_tokens_have_weights_of_their_own():
    made = stream(width=2, tokens=2)
    made.weight.data[0], made.weight.data[1] = torch.ones(4, 2), 10 * torch.ones(4, 2)
    one = {
        "index": torch.tensor([1, 2, 3, 4]),
        "slot": torch.tensor([0, 1, 0, 1]),
        "present": torch.tensor([True, True, False, True]),
        "values": torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
    }
    _, added = Projector({"voice": made}).eval().added({"voice": one}, POSITIONS)
    assert added[:, 0].tolist() == [4.0, 71.0, -1.0, 111.0]


def ridge(x, y, penalty):
    """(W, b) of the ridge regression whose intercept has no penalty."""
    weight = np.linalg.solve((x - x.mean(0)).T @ (x - x.mean(0)) + penalty * np.eye(x.shape[1]), x.T @ (y - y.mean(0)))
    return weight, y.mean(0) - x.mean(0) @ weight


def test_a_placeholder_begins_as_the_answer_that_its_vector_lets_expect():
    rng = np.random.default_rng(4)
    embeddings, values = torch.randn(9, 5), rng.normal(2, 3, (40, 3)).astype(np.float32)
    answers = [{2: 1.0} if one else {3: 0.25, 7: 0.75} for one in values[:, 0] > 2]
    made = StreamProjector(torch.tensor(values[:30].mean(0)), torch.tensor(values[:30].std(0)), 2, 5)
    made.begin(1, values, answers, embeddings, 4)
    x, words = (values - values[:30].mean(0)) / values[:30].std(0), embeddings.numpy()
    y = np.array([sum(share * words[token] for token, share in one.items()) for one in answers])

    def error(penalty):
        without = [ridge(np.delete(x, k, 0), np.delete(y, k, 0), penalty) for k in range(40)]
        return sum(((x[k] @ weight + bias - y[k]) ** 2).sum() for k, (weight, bias) in enumerate(without))

    weight, bias = ridge(x, y, min(np.logspace(0, 6, 13), key=error))
    slots, there = torch.ones(41, dtype=torch.long), torch.tensor([True] * 40 + [False])
    reads = made(slots, there, torch.tensor(values)).detach().numpy() + words[4]
    assert np.allclose(reads[:40], x @ weight + bias, atol=1e-4) and np.abs(weight).max() > 0.1
    assert np.allclose(reads[40], y.mean(0), atol=1e-5), "an absent vector reads as the mean of all answers"
    assert not made.weight[0].any() and not made.bias[0].any() and not made.absent[0].any()


def test_vectors_that_tell_nothing_begin_as_absent_ones_do():
    rng = np.random.default_rng(5)
    values, answers = rng.normal(size=(400, 3)).astype(np.float32), [{k % 7: 1.0} for k in range(400)]
    made, words = StreamProjector(torch.zeros(3), torch.ones(3), 1, 5), torch.randn(9, 5)
    made.begin(0, values, answers, words, 8)
    assert made.weight.abs().max() < 0.02 and torch.allclose(made.bias, made.absent, atol=0.02)
    alone = StreamProjector(torch.zeros(3), torch.ones(3), 1, 5)
    alone.begin(0, values[:1], answers[:1], words, 8)
    assert not alone.weight.any() and not alone.bias.any()


def test_another_stream_and_another_width_are_refused_by_name():
    projector = Projector({"voice": stream()}).eval()
    with pytest.raises(ModelError, match="stream face: the adapter was trained with voice"):
        projector.added({"face": given()}, POSITIONS)
    with pytest.raises(ModelError, match="stream voice: vectors of 2 numbers, and the adapter was trained on 3"):
        projector.added({"voice": given(width=2)}, POSITIONS)
    projector.added({"voice": {**given((False,) * 6), "values": torch.zeros(0, 0)}}, POSITIONS)


@pytest.fixture
def saved(tiny_model_folder, tmp_path):
    """A folder with an adapter and its projector."""
    model = with_adapter(tiny_model_folder)
    attach(model, fresh({"voice": (torch.arange(3.0), torch.ones(3) * 2, 2)}, 64, 0.5))
    torch.manual_seed(0)
    for parameter in active_projector(model).parameters():
        torch.nn.init.normal_(parameter)
    save_adapter(model, tmp_path, tiny_model_folder)
    return tmp_path, model


def test_a_projector_is_saved_and_loaded_beside_its_adapter(tiny_model_folder, saved):
    folder, model = saved
    assert has_projector(folder) and not any("projectors" in name for name, _ in adapter_weights(model))
    base, _ = load_model(tiny_model_folder, precision="float32")
    loaded = load_adapter(base, folder, tiny_model_folder, name="emotion")
    wanted, found = active_projector(model).tensors(), active_projector(loaded).tensors()
    assert wanted.keys() == found.keys() and all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert not active_projector(loaded).training
    again = load_adapter(loaded, folder, tiny_model_folder, name="cause")
    assert {*again.projectors} == {"emotion", "cause"} and active_projector(again) is again.projectors["cause"]


def test_peft_alone_loads_the_adapter_without_it(tiny_model_folder, saved):
    from peft import AutoPeftModelForCausalLM

    model = AutoPeftModelForCausalLM.from_pretrained(saved[0])
    assert active_projector(model) is None


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "nan"])
def test_a_damaged_projector_is_refused_by_its_file(saved, damage):
    path = saved[0] / FILE
    content = path.read_bytes()
    if damage == "nan":
        from safetensors.torch import load_file, save_file

        tensors = load_file(path)
        tensors["voice.weight"][0, 0, 0] = float("nan")
        save_file(tensors, path)
    else:
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"none" * 40}[damage])
    with pytest.raises(ModelError, match=rf"{FILE}: cannot be read \(.*Train the adapter again"):
        read_projector(saved[0])
