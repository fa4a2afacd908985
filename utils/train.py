"""The training of notebook 1 or 3 without the notebook: what `accelerate launch` starts, one process a card.

    accelerate launch --config_file configs/accelerate/ddp.yaml -m utils.train emotion configs/smollm2-135m.yaml
    accelerate launch --config_file configs/accelerate/ddp.yaml -m utils.train cause configs/smollm2-135m.yaml
    python -m utils.chain configs/smollm2-135m.yaml     # inference and scores; it finds the adapters finished

A step takes `gradient_accumulation` rows in every process: with as many processes as it says, set it to 1 and the steps
are those of one process.
"""

import argparse
import sys

from utils.chain import NOTEBOOKS, parameter_names, parse_value
from utils.command import command
from utils.config import Config, ConfigError, check_names, load_config
from utils.conversations import ConversationError

TASKS = {"emotion": NOTEBOOKS[0], "cause": NOTEBOOKS[2]}


def train_adapter(task: str, parameters: dict) -> None:
    """Trains the adapter of `task`, a name in TASKS, in the run that `parameters` describe, as its notebook does.

    Raises what opening the run, loading the model and training raise.
    """
    from utils.cause import with_gold_causes
    from utils.fits import check_memory
    from utils.modeling import load_model, sharded
    from utils.runs import open_run
    from utils.training import fit

    notebook, everything = TASKS[task], {**Config().as_dict(), **parameters}
    config, run = open_run({name: everything[name] for name in parameter_names(notebook)}, notebook)
    train, val = (run.conversations(split, labelled=True) for split in ("train", "val"))
    if task == "cause" and config.cause_emotions == "predicted":
        predicted = run.emotion_labelled(run.train_dir, "train", name="train_emotions")
        train = [with_gold_causes(labelled, gold) for labelled, gold in zip(predicted, train, strict=True)]
    if not sharded():  # otherwise a card holds a part of it
        check_memory(config, training=True)
    model, tokenizer = load_model(config.model, config.quantization, config.precision)
    fit(run, task, model, tokenizer, train, val, run.unlabelled_words())
    print(f"{task} adapter: {run.adapter(task)}")


@command("utils.train")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for parameters, input, models or memory that cannot be used."""
    parser = argparse.ArgumentParser(description="Train one adapter, in one process or in several.")
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("config", help="parameter file, such as configs/sample.yaml")
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                        help="one parameter, on top of the file's")
    arguments = parser.parse_args(argv)
    from utils.fits import NotEnoughMemory
    from utils.memory import DoesNotFit
    from utils.modeling import ModelError
    from utils.rows import TrainingError
    from utils.runs import RunError
    from utils.tracking import TrackingError

    try:
        parameters = load_config(arguments.config)
        parameters.update({name: parse_value(name, value) for name, value in arguments.parameter})
        check_names(parameters, arguments.config)
        train_adapter(arguments.task, parameters)
    except (ConfigError, ConversationError, DoesNotFit, ModelError, NotEnoughMemory, RunError, TrackingError,
            TrainingError, OSError) as error:
        print(f"utils.train: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
