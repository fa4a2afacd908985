"""Speakers, words and numbers that are sound and unusual: the page takes them, the picture draws them at once, and what
other libraries say is not ours.

python -m pytest tests/promises/test_odd_words.py
"""

import json
import logging
import sysconfig
import time
import warnings
from pathlib import Path

import pytest
from helpers import conversation

from utils import demo
from utils.report import picture
from utils.report.lettering import width, wrap
from utils.system import quiet

# ---- the page's text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "speaker", ["[Narrator]", "{Voice}", "[ Two words ]", "[1]", "(Ana)", '["quoted"]', "[]", "{}"]
)
def test_a_speaker_in_brackets_is_labelled_as_any_other(speaker):
    given = conversation(["once upon a time", "a second line"], speakers=["Ben", speaker])
    assert [u["speaker"] for u in given["conversation"]] == [speaker, "Ben"]
    assert demo.from_lines(demo.to_lines(given), given) == given
    edited = demo.from_lines(demo.to_lines(given).replace("once", "twice"), given)["conversation"]
    assert [(u["speaker"], u["text"]) for u in edited] == [(speaker, "twice upon a time"), ("Ben", "a second line")]


@pytest.mark.parametrize("speaker", ["[Narrator]", "{Voice}", "[1]"])
def test_so_is_one_that_is_typed(speaker):
    found = demo.from_lines(f"{speaker}: once upon a time\nBen: [laughs]")
    assert [(u["speaker"], u["text"]) for u in found["conversation"]] == [
        (speaker, "once upon a time"),
        ("Ben", "[laughs]"),
    ]


def test_json_is_still_json():
    one = conversation(["a", "b"])
    for text in (json.dumps(one), json.dumps([one], indent=2), f"\n  {json.dumps(one, indent=1)}\n"):
        assert demo.from_lines(text, one) == one


# ---- the picture --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    ["a" * 8000, "i" * 8000, "W" * 8000, "e\u0301" * 4000, "\u200b" * 8000, "x" * 500 + " " + "y" * 8000],
    ids=["a", "i", "W", "marks", "no width", "two"],
)
def test_one_word_of_thousands_of_letters_draws_at_once(word):
    picture.draw_conversation(conversation(["warm", "up"]))
    start = time.process_time()
    picture.draw_conversation(conversation([word, "an end"]))
    assert time.process_time() - start < 2


def test_a_long_word_fills_its_lines_and_ends_in_an_ellipsis():
    for most in (1, 2, 3):
        lines = wrap("a" * 8000, 200, 10, most)
        assert len(lines) == most and lines[-1].endswith("…")
        assert all(width(one, 10) <= 200 for one in lines)
        assert all(width(one + "a", 10) > 200 for one in lines[:-1])
    assert wrap("a short text", 200, 10, 3) == ["a short text"]


# ---- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", ["99999", "65536", "0", "-1", "x", "", "1" * 400])
def test_a_port_that_cannot_be_is_one_message(port, capsys):
    with pytest.raises(SystemExit) as ended:
        demo.main([f"--port={port}"])
    assert ended.value.code == 2
    assert "argument --port: " in (said := capsys.readouterr().err) and "must be a whole number" in said
    assert len(said.splitlines()[-1]) < 600


def test_ports_that_can_be():
    assert [demo.port(text) for text in ("1", "7860", "65535")] == [1, 7860, 65535]


# ---- what other libraries say -------------------------------------------------------------------------------------


def test_the_advice_to_install_kernels_is_not_shown_and_other_news_is(caplog):
    name, advice = "bitsandbytes.backends.cpu.ops", "Failed to load CPU gemm_4bit_forward from kernels-community: %s."
    source = Path(sysconfig.get_path("purelib")) / "bitsandbytes" / "backends" / "cpu" / "ops.py"
    if source.is_file():
        text = source.read_text(encoding="utf-8")
        assert advice.removesuffix("%s.") in text and "logging.getLogger(__name__)" in text, "it has another name now"
    with caplog.at_level(logging.WARNING):
        logging.getLogger(name).warning(advice, "No module named 'kernels'")
        logging.getLogger(name).warning("this machine cannot do 4 bits")
    assert [record.message for record in caplog.records] == ["this machine cannot do 4 bits"]


def test_our_own_warnings_are_shown_and_other_libraries_plans_are_not():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        quiet.silence()
        for module in ("bitsandbytes.nn.modules", "torch", "transformers.trainer", "utils.predict", "torchless"):
            warnings.warn_explicit("it will change", FutureWarning, f"{module}.py", 1, module=module, registry={})
        warnings.warn_explicit("it is wrong", UserWarning, "torch.py", 1, module="torch", registry={})
    assert [(one.category, one.filename) for one in seen] == [
        (FutureWarning, "utils.predict.py"),
        (FutureWarning, "torchless.py"),
        (UserWarning, "torch.py"),
    ]
