"""Every command of README, docs/ and the other pages: its module, its options, its files; and the quick ones are run.

python -m pytest tests/repository/test_commands.py

Commands stand in fenced blocks, in tables and between backticks. Words in capitals are the reader's to fill in.
"""

import argparse
import ast
import importlib
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
from contextlib import redirect_stderr, redirect_stdout

import pytest
from corpora import MELD, write_session
from helpers import ROOT, beginning, copy_code, randomize, run_in, shipped

from utils.config import Config, check_names, load_config, parse_value
from utils.data.conversations import without_labels
from utils.data.given import read_given
from utils.data.labels import ECF, labels_in
from utils.data.templates import Template
from utils.data.topics import Topic
from utils.report.scores import read_scores
from utils.system.files import read_json, write_json
from utils.tasks.instruction import Instructions
from utils.tasks.opinion import Opinions

PATTERNS = (
    "README.md", "CONTRIBUTING.md", "docs/*.md", "notebooks/README.md", "benchmarks/README.md", "results_*/README.md",
    "data/*/README.md",
)  # fmt: skip
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for pattern in PATTERNS
    for path in sorted(ROOT.glob(pattern))
}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
# What made a figure at an older revision, and is a command of another name today. The page names both.
RENAMED = {
    "benchmarks.bootstrap": "utils.runs compare",
    "benchmarks.decided_again": "benchmarks/accuracy/decisions.py",
    "benchmarks.encoder": "utils.ensemble",
    "benchmarks.ensemble": "utils.ensemble",
    "benchmarks.equal_data": "benchmarks.speed.equal_data",
    "benchmarks.four_bit": "benchmarks.exactness.four_bit",
    "benchmarks.untrained": "benchmarks.accuracy.untrained",
}
# Files that the reader writes or makes, and what was in the repository once, of which the page says so.
NOT_HERE = {
    "benchmarks/ensemble.predictions/ensemble",
    "benchmarks/results/NAME.json",
    "tests/tasks/test_question.py",
    "utils/tasks/question.py",
}
GONE = {"benchmarks/decided_again.py", "benchmarks/logit_adjustment.py", "benchmarks/cause_forms.py"}


# ---- what the pages say ---------------------------------------------------------------------------------------------


def spans(text):
    """What stands between backticks outside of fences, each on one line."""
    return [re.sub(r"\s*\n\s*", " ", span) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", FENCE.sub("", text))]


def lines(text):
    """The command lines of fenced blocks of bash, without comments."""
    blocks = "\n".join(block for language, block in FENCE.findall(text) if language == "bash")
    found = (re.sub(r"(^|\s)#\s.*", "", line).strip() for line in blocks.replace("\\\n", " ").splitlines())
    return [one.strip() for line in found for one in line.split("&&") if one.strip()]


def rows(text):
    """Commands that a table tells in two cells: the door, and an example of what follows it."""
    for line in FENCE.sub("", text).splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 3 and re.fullmatch(r"`python [^`]+`", cells[0]) and re.fullmatch(r"`[^`]+`", cells[2]):
            yield cells[0].strip("`") + " " + cells[2].strip("`")


def table_of_benchmarks(text):
    """Commands of a table whose head says how each begins."""
    for beginning_, table in re.findall(r"^\| script: `(python -m [\w.]+)` .*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.M):
        yield from (beginning_ + re.match(r"\| `([^`]+)`", row)[1] for row in table.splitlines())


def words(command):
    """(module or script, its arguments) of a command that runs Python; None for others."""
    command = re.sub(r"\[(-[^\]]*)\]", r"\1", command)  # [--json]: an option that may be left out
    found = [word for word in shlex.split(command) if not re.fullmatch(r"[A-Z_]+=\S+", word)]
    if found[:2] == ["accelerate", "launch"] and "-m" in found:
        found = ["python", *found[found.index("-m") :]]
    if found[:2] == ["python", "-m"] and re.fullmatch(r"\w+(\.\w+)*", "".join(found[2:3])):
        return found[2], found[3:]
    if found[:1] == ["python"] and len(found) > 1 and found[1].endswith(".py"):
        return found[1], found[2:]
    return None


def all_commands():
    """{(page, command): whether it is whole: a mention between backticks may leave the arguments out}."""
    found = {}
    for page, text in PAGES.items():
        for span in spans(text):
            if re.match(r"(?:[A-Z_]+=\S+ )?(?:python|make|accelerate) ", span):
                found[page, span] = False
        for command in [*lines(text), *rows(text), *table_of_benchmarks(text)]:
            found[page, command] = True
    return found


COMMANDS = all_commands()
OF_PYTHON = [(page, command) for page, command in COMMANDS if words(command)]


def today(module):
    """The module's name as an import, or None where there is none."""
    if module.endswith(".py"):
        return module.removesuffix(".py").replace("/", ".") if (ROOT / module).is_file() else None
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return spec and (f"{module}.__main__" if spec.submodule_search_locations else module)


def test_commands_are_found():
    """The patterns above still read the pages: a page that hides its commands would pass everything."""
    assert len(COMMANDS) > 50
    whole = {command for (_, command), is_whole in COMMANDS.items() if is_whole}
    for wanted in (
        "python -m utils.predict data/sample/unlabelled.json --out PRED.json",
        "python -m utils.chain configs/sample.yaml -p run_name second -p emotion_epochs 2",
        "python -m utils.train emotion configs/sample.yaml",
        "python -m benchmarks.accuracy.forms TASK FORM --out FOLDER",
        "make check",
    ):
        assert wanted in whole or wanted in {command for _, command in COMMANDS}, wanted
    doors = {path.stem for path in (ROOT / "utils").glob("*.py")} - {"__init__", "config"}
    assert {words(command)[0] for _, command in OF_PYTHON} >= {f"utils.{door}" for door in doors}, "a door in no page"


@pytest.mark.parametrize("page,command", OF_PYTHON)
def test_a_command_names_a_module(page, command):
    module, _ = words(command)
    if module in RENAMED:
        assert not today(module), "it is here again: take it out of RENAMED"
        assert RENAMED[module] in PAGES[page], f"{page} does not say that {module} is {RENAMED[module]} today"
        assert re.search("revision", PAGES[page])
    else:
        assert today(module), f"{page}: {command}: there is no {module}"


def test_what_is_said_to_be_the_new_name_is_there():
    for new in RENAMED.values():
        module = new.split()[0]
        assert (ROOT / module).is_file() if "/" in module else today(module), new


# ---- options --------------------------------------------------------------------------------------------------------


class Parsed(BaseException):
    """The parser took the arguments. Not an Exception, so that no command catches it."""


# Placeholders whose parser takes a few words only.
CHOICES = {"TASK": "emotion", "FORM": "twice", "CONFIG": "configs/sample.yaml"}


def parsed(module, arguments, monkeypatch):
    """What the parser of a module makes of these arguments; None where the module has none. Nothing is run."""
    file = importlib.util.find_spec(module).origin
    if "ArgumentParser" not in open(file, encoding="utf-8").read():
        assert arguments in ([], ["--help"]), f"{module} takes no arguments"
        return None
    parse = argparse.ArgumentParser.parse_args

    def only_parse(self, args=None, namespace=None):
        raise Parsed(parse(self, args, namespace))

    said = io.StringIO()
    loaded = importlib.import_module(module)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    monkeypatch.setattr("sys.argv", [module, *arguments])
    try:
        with redirect_stderr(said), redirect_stdout(said):
            loaded.main(arguments)
    except Parsed as done:
        return done.args[0]
    except SystemExit as end:
        if end.code == 0 and arguments[-1:] == ["--help"] and all(word in said.getvalue() for word in arguments[:-1]):
            return None
        pytest.fail(said.getvalue())
    raise AssertionError(f"{module} did not parse its arguments")


@pytest.mark.parametrize("page,command", [one for one in OF_PYTHON if words(one[1])[0] not in RENAMED])
def test_a_command_is_taken_by_its_parser(page, command, monkeypatch):
    module, arguments = words(command)
    given = [CHOICES.get(word, word).strip("[]") for word in arguments if word != "..."]
    if not COMMANDS[page, command] and (not given or re.fullmatch(r"[a-z]+", " ".join(given))):
        given.append("--help")  # a mention, perhaps with a subcommand
    if "..." in arguments:
        given = ["--help"]
    monkeypatch.chdir(ROOT)
    found = parsed(today(module), given, monkeypatch)
    if names := dict(getattr(found, "parameter", ())):
        if list(names) != ["NAME"]:
            check_names(names, command)
            assert [parse_value(name, value) is not None for name, value in names.items()]
    if config := getattr(found, "config", None):
        assert load_config(ROOT / config)


DOORS = [path.stem for path in sorted((ROOT / "utils").glob("*.py")) if "ArgumentParser" in path.read_text("utf-8")]


@pytest.mark.parametrize("door", DOORS)
def test_a_doors_usage_says_what_to_type(door, capsys):
    with pytest.raises(SystemExit):
        importlib.import_module(f"utils.{door}").main(["--help"])
    assert capsys.readouterr().out.startswith(f"usage: python -m utils.{door} ")


# ---- targets, files, names ------------------------------------------------------------------------------------------


def test_targets_of_make_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.M))
    named = set()
    for page, text in PAGES.items():
        for command in [*spans(text), *lines(text)]:
            if match := re.match(r"make ((?:[a-z-]+ ?)+)", command):
                named |= {(page, target) for target in match[1].split()}
    assert len(named) > 10
    assert not [(page, target) for page, target in named if target not in known]


@pytest.mark.parametrize("page", PAGES)
def test_files_of_the_repository_are_there(page):
    text = PAGES[page]
    told = [*spans(text), *lines(text)]
    paths = {
        word.rstrip("/.,:;")
        for one in told
        for word in re.findall(r"(?<![\w./<-])((?:utils|tests|docs|benchmarks|configs|data|notebooks)/[\w./-]*\w)", one)
    }
    paths |= {
        word for one in told for word in re.findall(r"results_(?:train|test)/smollm2[\w./-]*\w", one) if "<" not in one
    }
    for path in paths - NOT_HERE:
        if path in GONE:
            assert not (ROOT / path).exists() and "git's history" in text
        else:
            assert (ROOT / path).exists(), f"{page}: {path} is not in the repository"


@pytest.mark.parametrize("page", PAGES)
def test_modules_and_their_names_are_there(page):
    """`utils.engine.rows`, `utils.models.load`: what a page calls by its dotted name."""
    for span in spans(PAGES[page]):
        if re.fullmatch(r"(?:utils|benchmarks)(?:\.\w+)+", span) and span not in RENAMED:
            if not today(span):
                module, _, name = span.rpartition(".")
                assert today(module), f"{page}: {span}"
                tree = ast.parse(open(importlib.util.find_spec(module).origin, encoding="utf-8").read())
                assert name in {getattr(node, "name", None) for node in ast.walk(tree)}, f"{page}: {span}"


def test_the_code_for_python_names_what_is_there():
    """Imports of fenced Python; docs/adding_a_task.md is run by a test of its own."""
    for page, text in PAGES.items():
        for language, block in FENCE.findall(text):
            if language == "python":
                for node in ast.walk(ast.parse(block)):
                    if isinstance(node, ast.ImportFrom) and node.module.startswith("utils"):
                        loaded = importlib.import_module(node.module)
                        assert all(hasattr(loaded, alias.name) for alias in node.names), (page, node.module)


# ---- the quick ones are run -----------------------------------------------------------------------------------------

ADAPTERS = {
    "--emotion-adapter": "results_train/tiny/adapters/emotion",
    "--cause-adapter": "results_train/tiny/adapters/cause",
}
FILLED = {
    "CONVERSATIONS.json": "few.json", "FILE.json": "few.json", "MINE.txt": "mine.txt",
    "data/sample/unlabelled.json": "few.json",
    "G.json": "input/test/conversations.json", "P.json": "input/test/conversations.json",
    "PATH/TO/ecf": "ecf", "PATH/TO/MELD": "MELD", "PATH/TO/IEMOCAP": "IEMOCAP",
    "results_train/RUN/adapters/emotion": "results_train/tiny/adapters/emotion",
    "results_train/RUN": "results_train/smollm2-135m-ecf",
    "RUN": "tiny", "NAME": "tiny", "sample": "smollm2-135m-ecf", "TEXTS.csv": "texts.csv",
    "FOLDER": "results_train/smollm2-135m-ecf", "input/spoken/spoken.json": "mine.json",
}  # fmt: skip
QUICK = ("generate_input.py", "utils.score", "utils.runs", "utils.card", "utils.predict", "utils.export")


def quick_commands():
    """The distinct command lines of the pages that take seconds: [module, argument, ...], filled in."""
    found = {}
    for (page, command), whole in COMMANDS.items():
        module, arguments = words(command) or (None, [])
        mention = not whole and (len(arguments) < 2 or "[B]" in arguments or any("<" in word for word in arguments))
        # NUSTM/ECF is on the hub; "..." leaves arguments out; tests/record/test_cluster.py has machines for Ray.
        if module not in QUICK or mention or {"NUSTM/ECF", "...", "ray"} & set(arguments):
            continue
        filled = [ADAPTERS.get(before, FILLED.get(word, word)) for before, word in zip(["", *arguments], arguments)]
        found.setdefault((module, *filled), f"{page}: {command}")
    return found


@pytest.fixture(scope="module")
def copied(tmp_path_factory, tiny_model_folder, sample):
    """A copy of the repository with the runs that ship; a newer run with tiny adapters; what a reader would have."""
    from utils.models.adapters import add_lora, save_adapter
    from utils.models.load import load_model

    folder = tmp_path_factory.mktemp("commands")
    copy_code(folder)
    for source in shipped("results_train/**"):
        (target := folder / source.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    for seed, task in enumerate(("emotion", "cause")):
        adapter = folder / "results_train" / "tiny" / "adapters" / task
        model = add_lora(load_model(tiny_model_folder, precision="float32")[0], 4, 8, 0.0, "all-linear")
        save_adapter(randomize(model, seed), adapter, tiny_model_folder)
        parameters = Config(run_name="tiny", model=tiny_model_folder, precision="float32").as_dict()
        record = {"parameters": parameters, "revision": "abc", "emotions": dict.fromkeys(ECF, 1), "history": []}
        write_json({**record, "ended": "2999-01-01T00:00:00"}, adapter / "training.json")
    topics = {name: Topic.read(name) for name in ("car-free-centre", "four-day-week", "new-stadium")}
    opinions = Opinions(topics, "regression_with_relevance")
    shutil.copytree(adapter, adapter.with_name("opinion"))
    record |= {"task": opinions.name, "labels": opinions.labels.as_dict(), **opinions.decided([], list)}
    write_json(record, adapter.with_name("opinion") / "training.json")
    asked = Instructions(Template.read("alpaca"))
    shutil.copytree(adapter, adapter.with_name("instruction"))
    trained = {**record, "task": asked.name, **asked.decided([], list)}
    write_json(trained, adapter.with_name("instruction") / "training.json")
    notebooks = ("1_emotion_recognition_training", "3_cause_prediction_training")
    record = {"parameters": parameters, "input": {}, "revision": "abc", "versions": {}}
    write_json(dict.fromkeys(notebooks, record), folder / "results_train" / "tiny" / "config.json")
    write_json([without_labels(beginning(c, 4)) for c in sample[:4]], folder / "few.json")
    write_json(sample[:20], folder / "mine.json")
    write_json([without_labels(c) for c in sample[20:23]], folder / "new.json")
    for split in ("train", "dev", "test"):
        (folder / "MELD").mkdir(exist_ok=True)
        (folder / "MELD" / f"{split}_sent_emo.csv").write_text(MELD)
    for number in (1, 2, 3):
        write_session(folder / "IEMOCAP", number)
    moods = "".join(f"so {mood} {k},{mood}\n" for k in range(5) for mood in ("glad", "low"))
    (folder / "tweets.csv").write_text("Tweet,Mood\n" + moods)
    (folder / "texts.csv").write_text("id,text\n1,We need it.\n2,Never!\n")
    (folder / "mine.txt").write_text("Ana: Where is it?\nBen: Gone.\n")
    tasks = [{"instruction": f"Say {k}.", "input": "", "output": f"{k}!"} for k in range(10)]
    write_json(tasks, folder / "alpaca.json")
    write_json(tasks[:2], folder / "TASKS.jsonl")
    (folder / "stances.csv").write_text(
        "text,label\n" + "".join(f"so {k},{'for' if k % 2 else 'none'}\n" for k in range(10))
    )
    assert run_in(folder, "generate_input.py").returncode == 0
    assert run_in(folder, "generate_input.py", "--task", "opinion").returncode == 0
    if (shared := ROOT.parent / "shared" / "ecf").is_dir():
        shutil.copytree(shared, folder / "ecf")
        done = run_in(folder, "generate_input.py", *"--data ecf --splits data/ecf1_splits.json --out input/ecf".split())
        assert done.returncode == 0, done.stderr
    return folder


def check_generated(folder, arguments, printed):
    given = dict(zip(arguments, arguments[1:]))
    if given.get("--task") == "instruction":
        out = folder / given.get("--out", "input/instructions")
        counts = [len(read_json(out / split / "examples.json")) for split in ("train", "val", "test")]
        assert (
            counts == ([8, 1, 1] if "--data" in arguments else [80, 10, 10]) and str(out.relative_to(folder)) in printed
        )
        return
    if given.get("--task") == "opinion":
        out = folder / given.get("--out", "input/opinions")
        counts = [len(read_json(out / split / "texts.json")) for split in ("train", "val", "test")]
        assert (
            counts == ([8, 1, 1] if "--data" in arguments else [182, 23, 23])
            and f"written to {out.relative_to(folder)}" in printed
        )
        return
    out = folder / given.get("--out", "input")
    counts = {split: len(read_json(out / split / "conversations.json")) for split in ("train", "val", "test")}
    if "ecf" in arguments:
        assert counts == {"train": 1001, "val": 112, "test": 261}
    elif {"MELD", "IEMOCAP"} & set(arguments):
        assert counts == {split: 2 if "MELD" in arguments else 1 for split in counts}
        assert labels_in(out).name == ("meld7" if "MELD" in arguments else "iemocap4")
    else:  # 80, 10, 10 %
        assert counts == ({"train": 16, "val": 2, "test": 2} if "mine.json" in arguments else counts)
        assert counts["train"] == pytest.approx(0.8 * sum(counts.values()), abs=1)
    if "new.json" in arguments:
        assert len(read_json(out / "unlabelled" / "conversations.json")) == 3
    assert str(given.get("--out", "input")) in printed


def check_scored(folder, arguments, printed):
    if "--json" in arguments:  # a file against itself
        assert [one for one in json.loads(printed).values() if isinstance(one, float)] == pytest.approx([1] * 6)
    elif "results_train/smollm2-135m-ecf" in arguments:  # its predictions.jsonl
        wanted = read_scores(ROOT / "results_train/smollm2-135m-ecf")
        score = wanted["pairs"]["fine-tuned emotions and causes"]["scores"]["weighted_f1"]
        assert f"{score:.4f}" in printed
    else:
        assert re.search(r"1\.0000", printed)


def check_runs(folder, arguments, printed):
    if arguments[0] == "verify":
        found = re.search(r"(\d+) of (\d+) figures are those of the predictions", printed)
        assert found[1] == found[2] != "0"
    elif arguments[0] == "list":
        assert re.search(r"^\| smollm2-135m-ecf \| 0\.614 \| 0\.370 \|", printed, re.M) and "| tiny |" in printed
    elif arguments[0] == "decide":
        decided = folder / "results_train" / "smollm2-135m-ecf-cause_threshold-0.3"
        score = read_scores(decided)["pairs"]["fine-tuned emotions and causes"]["scores"]["weighted_f1"]
        assert f"{score:.3f}" in printed and str(decided) in printed
    else:
        record = read_scores(ROOT / "results_train/smollm2-135m-ecf")["pairs"]
        score = record["fine-tuned emotions and causes"]["scores"]["weighted_f1"]
        assert f"smollm2-135m-ecf: {score:.4f}" in printed and "95 % interval" in printed and "261 conv" in printed


def check_cards(folder, arguments, printed):
    run = f"results_train/{arguments[0].removeprefix('results_train/')}"  # a name, or the folder
    for task in ("emotion", "cause"):
        card = (folder / run / "adapters" / task / "README.md").read_text(encoding="utf-8")
        ships = ROOT / run / "adapters" / task / "README.md"
        assert card == ships.read_text(encoding="utf-8") if ships.is_file() else "tiny" in card


def check_predicted(folder, arguments, printed):
    given = dict(zip(arguments, arguments[1:]))
    if given.get("--task") == "opinion":
        out = folder / given["--out"]
        if "--score" in arguments:
            assert len(read_json(out)) == 23 and "| fine-tuned |" in printed and "| majority |" in printed
        else:
            assert re.match("id,text,predicted_label.*\n1,We need it.,", out.read_text())
        assert "texts labelled by" in printed
        out.unlink()
        return
    if given.get("--task") == "instruction":
        assert len(read_json(folder / given["--out"])) == 2
        assert "| zero-shot |" in printed and "| fine-tuned |" in printed
        return
    if part := given.get("--part"):
        number, count = map(int, part.split("/"))
        out = folder / f"{given['--out']}.part-{number}-of-{count}.json"
        wanted = read_json(folder / "few.json")[number - 1 :: count]
    else:
        out, wanted = folder / given["--out"], read_given(folder / arguments[0])
    labelled = read_json(out)
    labelled = labelled["conversations"] if isinstance(labelled, dict) else labelled
    assert [c["conversation_ID"] for c in labelled] == [c["conversation_ID"] for c in wanted]
    assert {u["emotion"] for c in labelled for u in c["conversation"]} <= set(ECF)
    assert all(isinstance(c["emotion-cause_pairs"], list) for c in labelled)
    out.unlink()


def check_exported(folder, arguments, printed):
    given = dict(zip(arguments, arguments[1:]))
    out = folder / given["--out"]
    if given.get("--to") == "gguf":
        (file,) = out.glob("*.gguf")
        assert file.read_bytes()[:4] == b"GGUF"
    else:
        from safetensors import safe_open

        (file,) = out.glob("*.safetensors")
        with safe_open(str(file), "pt") as weights:
            assert "model.layers.0.mlp.up_proj.weight" in weights.keys()
    shutil.rmtree(out)


CHECKS = dict(
    zip(QUICK, (check_generated, check_scored, check_runs, check_cards, check_predicted, check_exported), strict=True)
)
QUICK_COMMANDS = quick_commands()


def test_every_quick_door_is_run():
    assert {module for module, *_ in QUICK_COMMANDS} == set(QUICK) and FIRST in QUICK_COMMANDS


# A process that loads torch takes ten seconds: `make check` starts one. By the adapters that ship it takes thirty.
FIRST = ("utils.predict", "few.json", "--out", "PRED.json", "--run", "tiny")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(one, marks=pytest.mark.slow)
        if one[0] in ("utils.predict", "utils.export") and one != FIRST
        else one
        for one in QUICK_COMMANDS
    ],
    ids=" ".join,
)
def test_what_takes_seconds_is_run(copied, command, monkeypatch):
    module, *arguments = command
    if any("ecf" in word for word in command) and module != "utils.card" and not (copied / "ecf").is_dir():
        pytest.skip("ECF is not part of the repository")
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    start = [module] if module.endswith(".py") else ["-m", module]
    done = run_in(copied, *start, *arguments, timeout=240)
    assert done.returncode == 0, f"{QUICK_COMMANDS[command]}\n{done.stdout}\n{done.stderr}"
    CHECKS[module](copied, arguments, done.stdout)
