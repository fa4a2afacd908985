"""A study's search for good parameters, by Optuna (Akiba et al. 2019). It looks at `val` alone.

record = search_best(study, inputs, tasks, run)     # {"trials": [...], "best": {parameter: value}, ...}

A trial is a set of parameters. Its runs, one a seed, learn from train and are scored on val; test is not read. The
trials are kept in results_train/<study>/search.journal, and the search goes on where it stopped.
"""

import hashlib
import json
import statistics
from collections.abc import Callable
from typing import Any

from utils.data.validation import same_id
from utils.record.cells import TEST, Cell, Inputs
from utils.record.study import scored
from utils.record.study_file import Study
from utils.record.study_texts import scored_texts
from utils.report.study import ERRORS
from utils.system.errors import ConfigError, shown
from utils.system.files import read_object, write_json

INSTALL = "a search needs Optuna: pip install optuna"


def search_best(study: Study, inputs: Inputs, measure: str, run: Callable[[list[Cell]], object]) -> dict[str, Any]:
    """Runs what is left of the trials. Returns what study.json holds of the search: its space, its trials with their
    mean `measure` on val, and the parameters of the best.

    run  runs those of these cells that are not finished

    Raises ConfigError where Optuna is missing, where there is no val, and for finished trials of another search.
    """
    try:
        import optuna  # here, as it is optional and takes seconds
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise ConfigError(INSTALL) from error
    search, folder = study.search, inputs.folder
    assert search
    direction, best_of = ("minimize", min) if measure in ERRORS else ("maximize", max)
    fixed = next(iter(study.rows.values()))
    if not inputs.source(fixed).splits["val"]:
        raise ConfigError(f"{inputs.source(fixed).folder}/val holds nothing: a search chooses on val")
    _check_same(study, inputs, measure, fixed)
    space = {name: _distribution(optuna, one) for name, one in search.space.items()}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend = JournalFileBackend(str(folder / "search.journal"))
    pruner = optuna.pruners.NopPruner() if search.pruner == "none" else optuna.pruners.MedianPruner()
    kept = optuna.create_study(
        storage=optuna.storages.JournalStorage(backend),
        study_name=study.name,
        direction=direction,
        load_if_exists=True,
        pruner=pruner,
    )
    _take_up(optuna, kept)
    while (done := len(_ended(optuna, kept))) < search.trials:
        # a new sampler a trial: an interrupted search asks what an undisturbed one does
        samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
        kept.sampler = samplers[search.sampler](seed=study.seeds[0] + done)
        trial = kept.ask(space)
        print(f"trial {done + 1} of {search.trials}: {_told(trial.params)}", flush=True)
        values = []
        for step, seeds in enumerate(_steps(study)):
            cells = [_cell(study, inputs, fixed, trial.params, seed) for seed in seeds]
            run(cells)
            values += [_value(inputs, cell, fixed, measure) for cell in cells]
            trial.report(statistics.mean(values), step)
            if len(values) < len(study.seeds) and trial.should_prune():
                kept.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            kept.tell(trial, statistics.mean(values))
    trials = [
        {
            "parameters": one.params,
            measure: one.value if one.state.name == "COMPLETE" else one.intermediate_values[one.last_step],
            "seeds": len(study.seeds) if one.state.name == "COMPLETE" else (one.last_step or 0) + 1,
        }
        for one in _ended(optuna, kept)[: search.trials]
    ]
    whole = [one for one in trials if one["seeds"] == len(study.seeds)]
    best = best_of(whole, key=lambda one: one[measure])
    return {
        "space": search.space,
        "sampler": search.sampler,
        "pruner": search.pruner,
        "trials": trials,
        "best": best["parameters"],
        "best trial": trials.index(best) + 1,
    }


def _steps(study: Study) -> list[list[int]]:
    """The seeds that are run before the pruner is asked again: with one, each alone."""
    return [[seed] for seed in study.seeds] if study.search and study.search.pruner != "none" else [[*study.seeds]]


def _distribution(optuna, given) -> Any:
    if isinstance(given, list):
        return optuna.distributions.CategoricalDistribution(given)
    kinds = {int: optuna.distributions.IntDistribution, float: optuna.distributions.FloatDistribution}
    return kinds[type(given["low"])](**given)


def _ended(optuna, kept) -> list:
    """Its trials that were scored or pruned, in order."""
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return [one for one in kept.get_trials(deepcopy=False) if one.state in states]


def _take_up(optuna, kept) -> None:
    """Trials that an interruption left running are asked for again, first."""
    for one in kept.get_trials(deepcopy=False):
        if one.state == optuna.trial.TrialState.RUNNING:
            kept.tell(one.number, state=optuna.trial.TrialState.FAIL)
            if one.params:
                kept.enqueue_trial(one.params)


def _told(parameters) -> str:
    return ", ".join(
        f"{name} {one:.4g}" if isinstance(one, float) else f"{name} {one}" for name, one in parameters.items()
    )


def _cell(study: Study, inputs: Inputs, fixed: dict, parameters: dict, seed: int) -> Cell:
    """A run of a trial, called after its parameters: the same ones are run once."""
    of_parameters = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:8]
    run = f"{study.name}-trial-{of_parameters}" + (f"-seed-{seed}" if len(study.seeds) > 1 else "")
    own = {**fixed, **parameters, "seed": seed, "input_dir": inputs.val_input(fixed), "run_name": run}
    return Cell(run, "trial", seed, None, own, "", inputs.prints(fixed))


def _value(inputs: Inputs, cell: Cell, fixed: dict, measure: str) -> float:
    """The figure `measure` of a finished run on val, which is the test of its input."""
    labels, folder = inputs.source(fixed).labels, inputs.root / "results_train" / cell.run
    if inputs.source(fixed).of_texts:
        return scored_texts(folder, inputs.root)[TEST].figures(labels)[measure]
    val = {same_id(c["conversation_ID"]) for c in inputs.source(fixed).splits["val"]}
    return scored(folder, inputs.root, labels, val)[TEST].figures(labels)[measure]


def _check_same(study: Study, inputs: Inputs, measure: str, fixed: dict) -> None:
    """Raises ConfigError where the trials that are kept are of another search."""
    path, search = inputs.folder / "search.json", study.search
    assert search
    here = {"space": search.space, "sampler": search.sampler, "pruner": search.pruner, "measure": measure}
    here |= {"seeds": [*study.seeds], "input": inputs.prints(fixed), "parameters": fixed}
    if not path.is_file():
        write_json(here, path)
        return
    there = read_object(path)
    for name, value in here.items():
        if there.get(name) != json.loads(json.dumps(value)):
            raise ConfigError(
                f"{inputs.folder} holds trials of another search: {name} was {shown(there.get(name))}, and is "
                f"{shown(value)} now. Give the study another name, or remove {inputs.folder} and {inputs.folder}-*"
            )
