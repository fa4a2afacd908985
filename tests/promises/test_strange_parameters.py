"""Whatever stands behind -p, it is a value or one message names the parameter: no traceback.

python -m pytest tests/promises/test_strange_parameters.py     (make soak: thousands of values)
"""

import json
import random
from dataclasses import fields

import pytest
from helpers import ODD_VALUES, ROOT, amounts

from utils import chain, train
from utils.config import Config, load_config, parse_value
from utils.system.errors import ConfigError

TAGS = (
    "!!bool x",
    "!!timestamp x",
    "!!int ''",
    "!!float x",
    "!!binary x",
    "!!set x",
    "!!omap x",
    "!!python/name:os.system",
)
TEXTS = (
    *TAGS, "[" * 3000, "{" * 3000, "[[[[[1]]]]]", "&a [*a]", "*a", "? [a] : b", "'a", "|", "- 1", "\t", "\x00",
    "\x1b[31m", "\ud83d", "\u202e", "2026-13-45", "1:2:3", "0x1F", "1_000", "1e400", "-.inf", ".nan", "no", "~",
    "<<: 1", "%YAML 3", "---", "a: b: c", "x" * 30_000, " 1 ", "1 ", "\uff11", "1e-3", "99999999999999999999999",
)  # fmt: skip


def refused(name, text):
    """Whether the parameter is refused, with one short message that names it."""
    try:
        Config.of({name: parse_value(name, text)})
    except ConfigError as error:
        assert name in str(error) and "\n" not in str(error) and len(str(error)) < 1000 and str(error).isprintable()
        return True
    return False


@pytest.mark.parametrize("text", [*TAGS[:6], "[" * 3000, "[[[[[1]]]]]", "x" * 30_000], ids=lambda text: text[:20])
def test_values_that_ended_in_tracebacks(text, capsys):
    for name in ("seed", "lora_targets", "logit_adjustment", "compile", "model"):
        refused(name, text)
    assert refused("seed", text) and refused("compile", text)
    for command in (chain.main, lambda given: train.main(["emotion", *given])):
        assert command([str(ROOT / "configs" / "sample.yaml"), "-p", "seed", text]) == 2
        assert "parameter seed is" in (message := capsys.readouterr().err) and message.count("\n") == 1


@pytest.mark.parametrize("value", [" 1 ", "1 ", "\t1", "1_0", "\uff11", "0x1", "", "one", "1e", "--1", "1 e3", "1,5"])
def test_text_that_is_no_number_is_none(value, tmp_path):
    with pytest.raises(ConfigError, match="parameter logit_adjustment is .*type float"):
        Config.of({"logit_adjustment": value})
    (tmp_path / "a.yaml").write_text(f"logit_adjustment: {json.dumps(value)}\n")
    with pytest.raises(ConfigError, match="a.yaml: parameter logit_adjustment"):
        load_config(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    "value, number", [("1e-3", 0.001), (".5", 0.5), ("2.", 2.0), ("+1", 1.0), (3, 3.0), ("1E2", 100.0)]
)
def test_text_that_is_a_number_is_one(value, number):
    assert Config.of({"logit_adjustment": value}).logit_adjustment == number


@amounts
def test_strange_values(amount):
    chance, names = random.Random(amount), [field.name for field in fields(Config)]
    values = [*TEXTS, *(json.dumps(value) for value in ODD_VALUES)]
    count = 0
    for _ in range(300 if amount == 1 else 10_000):
        text = chance.choice(values)
        if chance.random() < 0.5:
            place = chance.randrange(len(text) + 1)
            put = chance.choice(["", "[", "!!", ": ", "\n", "'", "\u2028", "-", chr(chance.randrange(0x3000))])
            text = text[:place] + put + text[place:]
        count += refused(chance.choice(names), text[: 3000 if chance.random() < 0.5 else None])
    assert 100 < count
