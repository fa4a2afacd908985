"""What a study searches: a space of parameters, and how it is searched.

    search: {trials: 20, space: {lora_r: [4, 8, 16], emotion_learning_rate: {low: 1e-4, high: 5e-3, log: true}}}

utils/record/search.py does it.
"""

from dataclasses import dataclass
from typing import Any

from utils.config import Config, check_names
from utils.system.errors import ConfigError, shown
from utils.system.parameters import as_declared, check_known

SAMPLERS, PRUNERS = ("tpe", "random"), ("none", "median")
BOUNDS = ("low", "high", "log", "step")


@dataclass(frozen=True)
class Search:
    """space    {parameter: a list of values, or {"low", "high", and maybe "log" or "step"}}
    trials   how many sets of parameters are tried
    sampler  tpe: by what was good so far (Bergstra et al. 2011); random
    pruner   median: a trial that is below the median of the others after a seed is not run with the next ones; none
    """

    space: dict[str, Any]
    trials: int
    sampler: str = SAMPLERS[0]
    pruner: str = PRUNERS[0]


def read_search(given: Any, fixed: dict[str, Any], path) -> Search:
    """The search that a study's file holds; `fixed`: the study's other parameters, with which every value of the space
    must be possible. Raises ConfigError."""
    where = f"{path}, search"
    if not isinstance(given, dict) or not {"trials", "space"} <= {*given}:
        raise ConfigError(f"{where}: write how many trials, and a space of parameters")
    check_known(given, ["space", "trials", "sampler", "pruner"], where)
    space, trials = given["space"], given["trials"]
    if type(trials) is not int or trials < 1:
        raise ConfigError(f"{where}: trials is {shown(trials)}; write how many sets of parameters are tried")
    if not isinstance(space, dict) or not space:
        raise ConfigError(f"{where}: space is {shown(space)}; write parameters, and below each its values")
    check_names(space, f"{where}, space")
    for name, choices in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        if given.get(name, choices[0]) not in choices:
            raise ConfigError(f"{where}: {name} is {shown(given[name])}; choose one of {', '.join(choices)}")
    known = Config.__dataclass_fields__
    checked = {name: _values(as_declared_all(known[name], one), f"{where}, {name}") for name, one in space.items()}
    for name, one in checked.items():
        for value in one if isinstance(one, list) else (one["low"], one["high"]):
            try:
                Config.of({**fixed, name: value})
            except ConfigError as error:
                raise ConfigError(f"{where}: {error}") from error
    return Search(checked, trials, given.get("sampler", SAMPLERS[0]), given.get("pruner", PRUNERS[0]))


def as_declared_all(field, given):
    """`given`, a list or a mapping of bounds, with numbers as the parameter takes them (YAML leaves 1e-4 text)."""
    if isinstance(given, list):
        return [as_declared(field, one) for one in given]
    if isinstance(given, dict):
        return {name: as_declared(field, one) if name != "log" else one for name, one in given.items()}
    return given


def _values(given, where) -> Any:
    form = "write a list of different words or numbers, or {low: 1e-4, high: 1e-2, log: true}"
    if isinstance(given, list) and len({*map(str, given)}) == len(given) > 1:
        if all(isinstance(one, bool | int | float | str) for one in given):
            return given
    if not isinstance(given, dict) or not {"low", "high"} <= {*given} <= {*BOUNDS}:
        raise ConfigError(f"{where} is {shown(given)}; {form}")
    low, high, log, step = given["low"], given["high"], given.get("log"), given.get("step")
    numbers = [one for one in (low, high, step) if one is not None]
    if len({type(one) for one in numbers}) > 1 or type(low) not in (int, float) or not isinstance(log, bool | None):
        raise ConfigError(f"{where} is {shown(given)}; {form}")
    if low >= high or (log and (low <= 0 or step)) or (step is not None and step <= 0):
        raise ConfigError(f"{where}: low must be below high, log needs numbers above zero, and no step beside it")
    return given
