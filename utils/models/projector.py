"""Vectors as embeddings: a small projector beside an adapter, trained with it, saved and loaded beside it.

    attach(model, fresh({"voice": (mean, std, 1)}, hidden, dropout=0.2))     # model: with an adapter
    model(**inputs, vectors=vector_inputs(row.vectors))                       # utils/engine/vectors.py
    with prompted(model, vectors_of): model.generate(**batch)
    save_projector(model, folder); attach(model, read_projector(folder))

A placeholder's embedding becomes embedding + W (v - mean) / std + b, with a W and a b for each of a stream's tokens.
Where a vector is absent it becomes embedding + a, which is learnt. All are zero at first: then the model reads text, in
which a placeholder is the ordinary token that it is. `begin` gives all three a start from labelled vectors.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from utils.models.virtual import virtual_tokens
from utils.system.errors import ModelError
from utils.system.files import let_others_read

FILE = "projector.safetensors"
PARTS = ("weight", "bias", "absent", "mean", "std")


class StreamProjector(torch.nn.Module):
    """One stream's: W is `weight` (tokens, hidden, width), b `bias` and a `absent` (tokens, hidden); mean and std
    (width,) are those of the vectors that training read."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: torch.Tensor, std: torch.Tensor, tokens: int, hidden: int):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(tokens, hidden, len(mean)))
        self.bias = torch.nn.Parameter(torch.zeros(tokens, hidden))
        self.absent = torch.nn.Parameter(torch.zeros(tokens, hidden))
        self.register_buffer("mean", mean.float())
        self.register_buffer("std", std.float())

    def forward(self, slot, present, values):
        """(n, hidden) what is added; `slot`, `present` and `values` are those of vector_inputs."""
        added = self.absent[slot]
        if len(values):
            scaled = (values - self.mean) / self.std
            for number in range(len(self.weight)):
                mine = slot == number
                out = torch.nn.functional.linear(scaled[mine[present]], self.weight[number], self.bias[number])
                added = added.index_put(((mine & present).nonzero()[:, 0],), out.to(added.dtype))
        return added

    def begin(self, slot: int, values: np.ndarray, answers: list[dict[int, float]], words: torch.Tensor, this: int):
        """The placeholder of one token, the token `this`, becomes what a ridge regression on its vector predicts: the
        embedding of the answers behind it. An absent vector becomes the mean of all answers.

        values   (n, width)
        answers  n times {token: its share}; what is predicted is the mean of the tokens' embeddings
        words    (vocabulary, hidden), the embeddings
        The penalty is the one with the least error when one is left out (Golub, Heath and Wahba, 1979). So vectors that
        tell nothing begin as absent ones do. One vector alone changes nothing.
        """
        if len(values) < 2:
            return
        from sklearn.linear_model import RidgeCV  # here: commands that read no vectors need not load it

        tokens = sorted({token for shares in answers for token in shares})
        share = np.array([[shares.get(token, 0.0) for token in tokens] for shares in answers])
        known = words[[*tokens, this]].detach().float().cpu().numpy()
        wanted = share @ known[:-1]
        found = RidgeCV(np.logspace(0, 6, 13)).fit((values - self.mean.numpy()) / self.std.numpy(), wanted)
        with torch.no_grad():
            self.weight[slot] = torch.from_numpy(found.coef_)
            self.bias[slot] = torch.from_numpy(found.intercept_ - known[-1])
            self.absent[slot] = torch.from_numpy(wanted.mean(0) - known[-1])


class Projector(torch.nn.Module):
    """All streams'. In training each stream is dropped from each tree of a row with probability `dropout`, as if it
    were absent: so a model learns to do without (modality dropout, Neverova et al., TPAMI 2016)."""

    def __init__(self, streams: dict[str, StreamProjector], dropout: float = 0.0):
        super().__init__()
        self.names, self.parts, self.dropout = [*streams], torch.nn.ModuleList(streams.values()), dropout

    def of(self) -> dict[str, Any]:
        """{stream: its StreamProjector}. As attributes, names such as `type` could not be."""
        return dict(zip(self.names, self.parts, strict=True))

    def tensors(self) -> dict[str, torch.Tensor]:
        """{"voice.weight": ...}: what is saved, and what a result owes to the projector."""
        return {
            f"{name}.{part}": tensor for name, one in self.of().items() for part, tensor in one.state_dict().items()
        }

    def take(self, other: "Projector") -> None:
        """Makes the weights those of another one of the same streams."""
        its = other.of()
        for name, one in self.of().items():
            one.load_state_dict(its[name].state_dict())

    def added(self, vectors: dict[str, dict], positions, first: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """(indices, (indices, hidden)): which tokens of one row get something added, and what.

        positions  (1, length)
        first      the position at which every tree begins

        Raises ModelError for a stream that the projector was not made for, and for vectors of another width.
        """
        indices, parts, trees, known = [], [], (positions[0] == first).cumsum(0), self.of()
        for name, one in vectors.items():
            if name not in known:
                raise ModelError(f"stream {name}: the adapter was trained with {', '.join(known)}. Give it these")
            stream = known[name]
            index, present, values = one["index"], one["present"], one["values"]
            if len(values) and values.shape[1] != len(stream.mean):
                width = len(stream.mean)
                raise ModelError(
                    f"stream {name}: vectors of {values.shape[1]} numbers, and the adapter was trained on {width}"
                )
            if self.training and self.dropout:
                kept = torch.rand(int(trees[-1]) + 1, device=index.device) >= self.dropout
                kept = kept[trees[index]]
                present, values = present & kept, values[kept[present]]
            indices.append(index)
            parts.append(stream(one["slot"], present, values))
        return torch.cat(indices), torch.cat(parts)


class Projectors(torch.nn.ModuleDict):
    """{adapter: its projector} of a model. `waiting` has what the embeddings' next output is given."""

    def __init__(self, projectors: dict[str, Projector]):
        super().__init__(projectors)
        self.waiting: dict[str, Any] = {}


def fresh(streams: dict[str, tuple], hidden: int, dropout: float) -> Projector:
    """A projector that adds nothing yet. streams: {name: (mean, std, tokens)}, arrays of the stream's width."""
    made = {
        name: StreamProjector(torch.as_tensor(mean), torch.as_tensor(std), tokens, hidden)
        for name, (mean, std, tokens) in streams.items()
    }
    return Projector(made, dropout)


def attach(model, projector: Projector, name: str = "default") -> None:
    """Gives the adapter `name` of a model its projector. From now on the model takes `vectors`, of the adapter that is
    active. The output of the embeddings is changed in one place, here."""
    base = model.get_base_model()
    embeddings = base.get_input_embeddings()
    if embeddings.weight.device.type != "meta":  # else the weights come when they are needed (offload)
        projector.to(embeddings.weight.device)
    if projectors_of(model) is not None:
        model.projectors[name] = projector
        return
    model.projectors = Projectors({name: projector})
    waiting = model.projectors.waiting

    def take(module, arguments, given):
        waiting.update(vectors=given.pop("vectors", None), positions=given.get("position_ids"))
        return arguments, given

    def add(module, given, embedded):
        vectors, positions = waiting.pop("vectors", None), waiting.pop("positions", None)
        if of_prompts := waiting.pop("of_prompts", None):
            rows = embedded.flatten(0, 1)
            positions = torch.arange(len(rows), device=embedded.device)[None]
            vectors = of_prompts(*embedded.shape[:2])
            indices, added = model.projectors[model.active_adapter].added(vectors, positions)
            return rows.index_add(0, indices.to(rows.device), added.to(rows)).view_as(embedded)
        if not vectors:
            return embedded
        indices, added = model.projectors[model.active_adapter].added(vectors, positions, virtual_tokens(model))
        return embedded.index_add(1, indices.to(embedded.device), added[None].to(embedded))

    model.register_forward_pre_hook(take, with_kwargs=True)
    embeddings.register_forward_hook(add)


def projectors_of(model) -> Projectors | None:
    """{adapter: its projector} of a model; None for one that reads text alone."""
    return getattr(model, "projectors", None)


def active_projector(model) -> Projector | None:
    """The projector of the active adapter; None where it has none."""
    found = projectors_of(model)
    return found[model.active_adapter] if found is not None and model.active_adapter in found else None  # pyright: ignore[reportReturnType]


@contextmanager
def prompted(model, vectors: Callable[[int, int], dict[str, dict]]) -> Iterator[None]:
    """Inside, the first pass of `generate`, which reads the prompts, has vectors.

    vectors  (rows, length of a row) -> vector_inputs, whose indices count through all rows
    """
    model.projectors.waiting["of_prompts"] = vectors
    try:
        yield
    finally:
        model.projectors.waiting.clear()


@contextmanager
def without_adapter(model) -> Iterator[None]:
    """Inside, the model is what it was before it had an adapter, and a projector."""
    projectors = model._modules.pop("projectors", None)
    try:
        with model.disable_adapter():
            yield
    finally:
        if projectors is not None:
            model.projectors = projectors


def save_projector(model, folder) -> None:
    """Writes the active adapter's projector into the folder of the adapter, in float32; nothing where it has none."""
    projector = active_projector(model)
    if projector is not None:
        tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in projector.tensors().items()}
        save_file(tensors, Path(folder) / FILE, {"format": "pt"})
        let_others_read(folder)


def has_projector(folder) -> bool:
    """Whether the adapter in this folder has a projector beside it."""
    return (Path(folder) / FILE).is_file()


def read_projector(folder) -> Projector:
    """The projector beside the adapter in this folder, for inference. Raises ModelError for a damaged file."""
    path = Path(folder) / FILE
    try:
        tensors = load_file(path)
        found: dict[str, dict[str, torch.Tensor]] = {}
        for key, tensor in tensors.items():
            stream, _, part = key.rpartition(".")
            found.setdefault(stream, {})[part] = tensor
        streams = {}
        for name, one in found.items():
            tokens, hidden, _ = one["weight"].shape
            streams[name] = StreamProjector(one["mean"], one["std"], tokens, hidden)
            streams[name].load_state_dict({part: one[part] for part in PARTS})
        if not streams or not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise ValueError("its numbers are damaged")
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{path}: cannot be read ({str(error)[:200]}). Train the adapter again") from error
    return Projector(streams).eval()
