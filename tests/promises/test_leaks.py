"""Nothing of a person's machine leaves it: no path and no password in a card or a message, no mark that hides one.

python -m pytest tests/promises/test_leaks.py
"""

import shutil
from types import SimpleNamespace

import pytest
from helpers import ROOT

from utils.config import Config
from utils.models.hub import why
from utils.record.card import card, plain
from utils.system.command import command
from utils.system.errors import ConfigError, UserError, without_credentials
from utils.system.files import read_json, write_json

REAL = ROOT / "results_train" / "smollm2-135m-ecf"
FIRST = "1_emotion_recognition_training"


@pytest.fixture
def run(tmp_path):
    """The committed run on ECF, with the records of its two adapters."""
    folder = tmp_path / "results_train" / "mine"
    folder.mkdir(parents=True)
    for name in ("config.json", "metrics.json"):
        shutil.copy(REAL / name, folder)
    for task in ("emotion", "cause"):
        shutil.copytree(REAL / "adapters" / task, folder / "adapters" / task)
    return folder


def with_parameters(run, **changed):
    records = read_json(run / "config.json")
    for record in records.values():
        record["parameters"].update({name: value for name, value in changed.items() if name in record["parameters"]})
    write_json(records, run / "config.json")
    for task in ("emotion", "cause"):
        record = read_json(run / "adapters" / task / "training.json")
        record["parameters"].update(changed)
        write_json(record, run / "adapters" / task / "training.json")


@pytest.mark.parametrize(
    "path",
    [
        "/home/alice/private project/ecf",
        "../alice/private project/ecf",
        "~/private project/ecf",
        "C:\\Users\\alice\\private project",
        "file:///home/alice/private project",
        "private project",
    ],
)
@pytest.mark.parametrize("parameter", ["input_dir", "model"])
def test_a_card_holds_no_path(run, path, parameter):
    with_parameters(run, **{parameter: path})
    for task in ("emotion", "cause"):
        text = card(run / "adapters" / task).replace('"\\n', '"')  # line breaks of the code that asks
        assert "alice" not in text and "~" not in text and "\\" not in text
        assert ("-p input_dir INPUT" in text) == (parameter == "input_dir")


def test_the_inputs_of_the_repository_are_named(run):
    assert "-p input_dir" not in card(run / "adapters" / "emotion")


@pytest.mark.parametrize(
    "name", ["a`b", "**a**", "a](http://evil)", "<script>alert(1)</script>", "a|b", "$(rm)", "# a"]
)
def test_names_of_models_are_escaped(run, name):
    with_parameters(run, model=f"folder/{name}/{name}")
    text = card(run / "adapters" / "cause")
    title = next(line for line in text.splitlines() if line.startswith("# "))
    assert title == f"# {plain(name)}: causes in conversations" and not set("`*[]<>|$") & set(title)
    assert f"`{plain(name)}`" in text and name not in text.replace(f"# {plain(name)}", "")


@pytest.mark.parametrize("bad", ["a\nb", "a\n```\n# b", "\x1b[31mred", "a\u202eb", "a\u2066b", "\u200b", "a\u2028b"])
def test_marks_and_line_breaks_are_no_parameters(run, bad):
    for name in ("run_name", "model", "input_dir"):
        with pytest.raises(ConfigError, match=f"parameter {name} is .*one line that can be seen") as seen:
            Config.of({name: bad})
        assert bad not in str(seen.value) and str(seen.value).isprintable()
    with pytest.raises(ConfigError, match="lora_targets"):
        Config.of({"lora_targets": [bad]})
    with_parameters(run, model=bad)
    with pytest.raises(UserError, match="config.json.*parameter model"):
        card(run / "adapters" / "emotion")


@pytest.mark.parametrize("bad", ["-rf", "--help", "a\\b", "\\\\host\\share", "x" * 101, " ", "..", ".a", ""])
def test_names_of_runs_that_are_refused(bad):
    with pytest.raises(ConfigError, match="parameter run_name is .*plain folder name"):
        Config.of({"run_name": bad})


@pytest.mark.parametrize("good", ["it's mine", "größe 2", "x" * 100, "a-b.c", "実験"])
def test_names_of_runs_that_are_taken(good):
    assert Config.of({"run_name": good}).run_name == good


# ---- addresses -----------------------------------------------------------------------------------------------------


def test_addresses_are_without_credentials():
    for text, wanted in (
        ("http://user:SECRETpass@hub.example/a/b", "http://hub.example/a/b"),
        ("see 'https://SECRETtoken@hub.example:80' there", "see 'https://hub.example:80' there"),
        ("HTTPS://a:SECRET@b and ftp://c:SECRET@d", "HTTPS://b and ftp://d"),
        ("http://a:SECRET@x@hub.example", "http://hub.example"),
        ("http://hub.example/@user and me@home", "http://hub.example/@user and me@home"),
    ):
        assert without_credentials(text) == wanted


def test_messages_are_without_credentials(monkeypatch, capsys):
    from huggingface_hub import constants
    from huggingface_hub.errors import RepositoryNotFoundError

    monkeypatch.setattr(constants, "ENDPOINT", "http://user:SECRETpass@hub.example")
    missing = RepositoryNotFoundError.__new__(RepositoryNotFoundError)
    missing.response = SimpleNamespace(status_code=404)
    assert "http://hub.example has no such model" in why(missing, "owner/model")
    assert "SECRET" not in why(OSError("GET http://user:SECRETpass@hub.example/x failed"), "owner/model")

    @command("utils.none")
    def fail(argv=None):
        raise UserError("https://user:SECRETpass@hub.example is not there")

    assert fail([]) == 2 and "SECRET" not in (text := capsys.readouterr().err) and "https://hub.example" in text
