"""The training of notebook 1 or 3 without the notebook: what `accelerate launch` starts, one process a card.

    accelerate launch --config_file configs/accelerate/ddp.yaml -m utils.train emotion configs/smollm2-135m.yaml
    accelerate launch --config_file configs/accelerate/ddp.yaml -m utils.train cause configs/smollm2-135m.yaml
    python -m utils.chain configs/smollm2-135m.yaml     # inference and scores; it finds the adapters finished

A step takes `gradient_accumulation` rows in every process: with as many processes as it says, set it to 1 and the steps
are those of one process.
"""

import argparse
import sys

from utils.config import Config, check_names, load_config, parse_value
from utils.record.stages import TRAINED_BY, parameter_names
from utils.system.command import add_parameters, command


def train_adapter(name: str, parameters: dict) -> None:
    """Trains the adapter of the task `name` (a key of TRAINED_BY) in the run that `parameters` describe.

    Raises what opening the run, loading the model and training raise.
    """
    from utils.models.fits import check_memory
    from utils.models.load import load_model
    from utils.record.fit import fit
    from utils.record.run import open_run
    from utils.system.hardware import sharded

    notebook, everything = TRAINED_BY[name], {**Config().as_dict(), **parameters}
    config, run = open_run({name: everything[name] for name in parameter_names(notebook)}, notebook)
    task = config.task(name)
    train, val = run.training_conversations(task), run.conversations("val", labelled=True)
    if not sharded():  # otherwise a card holds a part of it
        check_memory(config, training=True)
    model, tokenizer = load_model(config.model, config.quantization, config.precision)
    fit(run, task, model, tokenizer, train, val, run.unlabelled_words())
    print(f"{name} adapter: {run.adapter(name)}")


@command("utils.train")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for parameters, input, models or memory that cannot be used."""
    parser = argparse.ArgumentParser(description="Train one adapter, in one process or in several.")
    parser.add_argument("task", choices=list(TRAINED_BY))
    add_parameters(parser)
    arguments = parser.parse_args(argv)
    parameters = load_config(arguments.config)
    parameters.update({name: parse_value(name, value) for name, value in arguments.parameter})
    check_names(parameters, arguments.config)
    train_adapter(arguments.task, parameters)
    return 0


if __name__ == "__main__":
    sys.exit(main())
