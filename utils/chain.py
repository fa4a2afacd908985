"""All notebooks, in order, without a browser: the four about conversations, or the two about opinions.

    python -m utils.chain configs/sample.yaml
    python -m utils.chain configs/opinion.yaml                  # the input holds texts with opinions
    python -m utils.chain configs/smollm2-135m.yaml -p run_name second -p seed 43
    python -m utils.chain configs/sample.yaml --check           # can it run? Each start asks that first
    python -m utils.chain configs/sample.yaml --only 2,4        # inference alone, by the adapters that are there

Every notebook gets those parameters of the file that its parameters cell knows; a name that none of them knows is
refused before anything runs. The executed notebooks are kept in results_train/<run_name>/notebooks/. The first
failure stops the chain, and names the notebook, the cell and the cause.
"""

import argparse
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm.auto import tqdm

from utils.config import Config, check_names, load_config, parse_value
from utils.record.check import check_work
from utils.record.lock import check_free, hold, release
from utils.record.stages import CHAINS, Stage, parameter_names
from utils.record.taken import chain_of
from utils.report.scores import read_scores
from utils.report.tables import results_table
from utils.report.verdict import verdict
from utils.system import places
from utils.system.command import add_parameters, command
from utils.system.errors import ChainError
from utils.system.parameters import check_known
from utils.system.places import ROOT
from utils.system.progress import followed
from utils.system.quiet import encrypted_kernel


@followed(tqdm.write)  # its lines go above papermill's bar
def run_notebook(notebook: str, parameters: dict, folder: Path) -> None:
    """Execute one notebook from the repository's root and keep it, with its outputs, in `folder`. While it runs it is
    NOTEBOOK.running.ipynb, and where it fails NOTEBOOK.failed.ipynb; what an earlier run left is not overwritten.

    Raises ChainError where a cell fails.
    """
    import papermill  # here, as it takes seconds to load
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    known = parameter_names(notebook)
    folder.mkdir(parents=True, exist_ok=True)
    kept, running, failed = (folder / f"{notebook}{state}.ipynb" for state in ("", ".running", ".failed"))
    try:
        papermill.execute_notebook(
            str(ROOT / "notebooks" / f"{notebook}.ipynb"),
            str(running),
            parameters={name: value for name, value in parameters.items() if name in known},
            cwd=str(ROOT),
            kernel_name="python3",
            progress_bar=True,
            stdout_file=sys.stdout,
            config=encrypted_kernel(),
            shutdown_kernel="immediate",  # files are whole at any moment, and asked politely it may print a traceback
        )
    except DeadKernelError as error:
        running.replace(failed)
        raise ChainError(
            f"notebook {notebook}: its kernel died, most often because memory ran out. The same command goes on; where "
            "it dies again, give a smaller token_budget, quantization nf4 or a smaller model, and another run_name"
        ) from error
    except PapermillExecutionError as error:
        running.replace(failed)
        cause = re.sub(r"\x1b\[[0-9;]*m", "", f"{error.ename}: {error.evalue}")
        raise ChainError(
            f"notebook {notebook} failed in cell {error.exec_count}: {cause}\n(the executed notebook, with the whole "
            f"traceback, is {failed})"
        ) from error
    except KeyboardInterrupt:
        running.unlink(missing_ok=True)
        raise
    running.replace(kept)
    failed.unlink(missing_ok=True)


def only(text: str) -> list[int]:
    """The numbers of notebooks that "2,4" means. Raises argparse.ArgumentTypeError for other text."""
    numbers, longest = text.split(","), max(map(len, CHAINS))
    if not {*numbers} <= {str(number) for number in range(1, longest + 1)}:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be numbers of notebooks, such as 2,4")
    return [int(number) for number in numbers]


def _chosen(chain: Sequence[Stage], numbers: Sequence[int]) -> tuple[str, ...]:
    """The notebooks of a chain with these numbers, in their order. Raises ChainError for numbers that it lacks."""
    if numbers and max(numbers) > len(chain):
        names = ", ".join(f"{number} {stage.notebook}" for number, stage in enumerate(chain, 1))
        raise ChainError(f"--only {max(numbers)}: for this input there are {names}")
    return tuple(stage.notebook for number, stage in enumerate(chain, 1) if not numbers or number in numbers)


def run_chain(parameters: dict, source="parameters", numbers: Sequence[int] = (), check: bool = False) -> Path:
    """Run the notebooks for the input of `parameters`, or those with these `numbers` (from 1), and print the scores
    behind the last; returns the folder of the run in results_train. First it is asked whether they can
    (utils/record/check.py); with `check` nothing else is done.

    Raises ConfigError for a name that no notebook knows, RunError where another chain or notebook works in the run or
    it is another one, ChainError at the first notebook that fails; what `check_work` raises.
    """
    check_names(parameters, source)
    config, results = Config.of(parameters), places.find().results
    folder = results / "results_train" / config.run_name
    check_free(folder)
    chain = chain_of(config, results)
    notebooks = _chosen(chain, numbers)
    check_known(parameters, [name for stage in chain for name in parameter_names(stage.notebook)], source)
    check_work(config, notebooks, results)
    if check:
        return folder
    hold(folder / "notebooks")  # each kernel holds the run itself, and gives it back
    try:
        for notebook in notebooks:
            print(f"\n== {notebook}", flush=True)
            check_free(folder)
            run_notebook(notebook, parameters, folder / "notebooks")
    finally:
        release(folder / "notebooks")
    if chain[-1].notebook in notebooks:
        print("\n".join(["", results_table(folder), *verdict(read_scores(folder))]))
    return folder


@command("utils.chain")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for a wrong parameter, a notebook that failed or a disk that is full."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.chain", description="Run the notebooks for an input in order."
    )
    add_parameters(parser)
    parser.add_argument(
        "--only", type=only, default=(), metavar="2,4", help="the notebooks to run, by their places (default: all)"
    )
    parser.add_argument("--check", action="store_true", help="only ask whether they can run: input, memory, long rows")
    arguments = parser.parse_args(argv)
    # Notebook kernels are busy with tensors; a tokenizer's threads would only warn about forks.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Ctrl-C ends a notebook's kernel too, and whether that is then reported is chance.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    parameters = load_config(arguments.config)
    parameters.update({name: parse_value(name, value) for name, value in arguments.parameter})
    folder = run_chain(parameters, arguments.config, arguments.only, arguments.check)
    if arguments.check:
        print("nothing stands in the way, and nothing was run")
        return 0
    print(f"\nresults: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
