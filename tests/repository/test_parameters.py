"""docs/parameters.md is what utils/config.py says, and the bounds in it are those that are checked.

python -m pytest tests/repository/test_parameters.py
"""

import re
from dataclasses import fields

import pytest

from docs.make_parameters import PAGE, page
from utils.config import GROUPS, Config
from utils.system.errors import ConfigError

BOUNDED = [f for f in fields(Config) if {"above", "minimum", "below"} & set(f.metadata)]


def accepted(name, value):
    try:
        Config.of({name: value})
    except ConfigError as error:
        assert f"parameter {name} is " in str(error)
        return False
    return True


def test_the_page_is_made_from_the_code():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_the_page_holds_every_parameter_once_in_its_group():
    groups = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page(), re.M | re.S))
    assert list(groups) == list(GROUPS)
    rows = {group: re.findall(r"^\| `(\w+)` \|", text, re.M) for group, text in groups.items()}
    assert rows == {group: [f.name for f in fields(Config) if f.metadata["group"] == group] for group in GROUPS}
    assert sorted(sum(rows.values(), [])) == sorted(f.name for f in fields(Config))


def test_every_parameter_is_explained():
    for f in fields(Config):
        assert len(f.metadata["help"].split()) >= 3, f.name
        assert f.default in f.metadata.get("choices", [f.default]), f.name


def test_every_number_has_bounds():
    assert {f.name for f in BOUNDED} == {f.name for f in fields(Config) if type(f.default) in (int, float)}


@pytest.mark.parametrize("field", BOUNDED, ids=lambda f: f.name)
def test_bounds_are_kept(field):
    facts, step = field.metadata, 1 if type(field.default) is int else 1e-9
    if "above" in facts:
        assert not accepted(field.name, facts["above"]) and accepted(field.name, facts["above"] + step)
    if "minimum" in facts:
        assert accepted(field.name, facts["minimum"]) and not accepted(field.name, facts["minimum"] - step)
    if "below" in facts:
        assert not accepted(field.name, facts["below"]) and accepted(field.name, facts["below"] - step)
