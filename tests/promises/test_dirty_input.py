"""Whatever a file holds, it is read and survives, or one line says why not: no traceback, no half-written folder.

python -m pytest tests/promises/test_dirty_input.py     (make soak: the same properties on thousands of inputs)
"""

import gzip
import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields

import pytest
from helpers import ROOT, CalmPredictor, amounts, files, try_all
from hypothesis import strategies as st

import generate_input
from utils import predict, score
from utils.config import Config, load_config
from utils.data.conversations import (
    emotions_of,
    load_conversations,
    without_labels,
)
from utils.data.labels import ECF
from utils.data.validation import is_blank
from utils.models import fits
from utils.system.errors import ConfigError, ConversationError, FileError, ModelError
from utils.system.files import write_json

LINES = ("Look , the kite !", "Who let it go ?", "I did .")
GOOD = [
    {
        "conversation_ID": number,
        "conversation": [
            {"utterance_ID": i, "text": text, "speaker": "Bo", "emotion": emotion, "video_caption": [0.5]}
            for i, (text, emotion) in enumerate(zip(LINES, ("joy", "neutral", "anger")), 1)
        ],
        "emotion-cause_pairs": [["1_joy", "1"], ["3_anger", "2"]],
    }
    for number in (1, "two")
]
SPANS = [{**talk, "emotion-cause_pairs": [["3_anger", "1_the kite"]]} for talk in GOOD]
RANGES = [{**talk, "emotion-cause_pairs": [["3_anger", "1_2_4"]]} for talk in GOOD]
LOST = "the words of a gold cause are not in utterance"  # what utils.score says, and counts as the official one does
SPLITS = {"train": [1], "dev": ["two"], "test": []}


# ---- what must hold ----------------------------------------------------------------------------------------


def one_line(message):
    assert message and not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", message) and len(message) < 1000


def status(command, *arguments, note=None):
    """The exit status of a command, which is 2 with one line and no output, or 0 without complaint; where `note` is
    given, or with one line that says this."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = command([str(argument) for argument in arguments])
    if code:
        assert code == 2 and out.getvalue() == ""
        one_line(err.getvalue().removesuffix("\n"))
    else:
        for said in err.getvalue().splitlines():  # the scorer's notes, on what the official evaluation takes too
            assert (note and note in said) or (said.startswith("utils.score: ") and "official evaluation" in said)
            one_line(said)
    return code


def strictly(content):
    """What JSON says: no key twice, no NaN, no infinity."""

    def unique(members):
        assert len(dict(members)) == len(members)
        return dict(members)

    data = json.loads(content, object_pairs_hook=unique)
    json.dumps(data, allow_nan=False, ensure_ascii=False).encode()
    return data


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with good files and earlier input. No model is loaded: every utterance is neutral."""
    for name, data in {"good": GOOD, "spans": SPANS, "ranges": RANGES}.items():
        write_json(data, tmp_path / f"{name}.json")
    write_json(GOOD, tmp_path / "input" / "train" / "conversations.json")

    monkeypatch.setattr("utils.record.predictor.Predictor", CalmPredictor)
    return tmp_path


def check_conversations(content, place):
    """Gives `content` to everything that reads a file of conversations."""
    path, good = place / "dirty.json", place / "good.json"
    path.write_bytes(content)
    read = {}
    for labelled in (True, False):
        labels = ECF if labelled else None  # what labels stand where none are wanted is not looked at
        try:
            read[labelled] = load_conversations(path, labelled, labels=labels)
        except (ConversationError, FileError) as error:
            one_line(str(error))
        else:
            assert read[labelled] == strictly(content)
            write_json(read[labelled], place / "copy.json")
            assert load_conversations(place / "copy.json", labelled, labels=labels) == read[labelled]
    if True in read:  # conversations without any label are left out, and a file of such alone is refused
        read[True] = [c for c in read[True] if any(emotions_of(u) or "votes" in u for u in c["conversation"])]
        if not read[True]:
            del read[True]

    out = place / "input"
    for labelled, part, arguments in (
        (True, "train", ("--data", path, "--all-train")),
        (False, "unlabelled", ("--data", good, "--all-train", "--unlabelled", path)),
    ):
        before = files(out)
        if status(generate_input.main, *arguments, "--out", out):
            assert labelled not in read and files(out) == before
        else:
            expected = read[labelled] if labelled else list(map(without_labels, read[labelled]))
            assert load_conversations(out / part, labelled) == expected

    assert (status(predict.main, path, "--out", place / "pred.json") == 0) == (False in read)
    if True in read and "emotion-cause_pairs" in read[True][0]:
        assert status(score.main, "--subtask", 2, "--gold", path, "--pred", path) == 0
    for subtask, gold, pred in (
        (2, path, good),
        (2, good, path),
        (1, path, place / "ranges.json"),
        (1, place / "spans.json", path),
    ):
        status(score.main, "--subtask", subtask, "--gold", gold, "--pred", pred, note=LOST if subtask == 1 else None)


def check_splits(content, place):
    """`content` as a split file."""
    (place / "splits.json").write_bytes(content)
    before = files(place / "input")
    if status(
        generate_input.main, "--data", place / "good.json", "--splits", place / "splits.json", "--out", place / "input"
    ):
        assert files(place / "input") == before
    else:
        strictly(content)


def check_parameters(content, place):
    """`content` as a parameter file."""
    (place / "dirty.yaml").write_bytes(content)
    try:
        values = load_config(place / "dirty.yaml")
    except ConfigError as error:
        assert len(str(error)) < 1000
    else:
        Config.of(values)
        json.dumps(values, ensure_ascii=False).encode()


# ---- dirt --------------------------------------------------------------------------------------------------

# JSON as text, because much of this cannot be written from Python's values.
ODD = (
    *("null", "true", "0", "-1", "-0", "1.0", "1.5", "2", "1e999", "NaN", "-Infinity", "9" * 400, "9" * 5000),
    *('""', '" "', '"1"', '"two"', '"joy"', '"neutral"', '"1_joy"', '"9_joy"', '"1_0_2"', '"1_2_0"', '"1_the kite"'),
    *(r'"\ud800"', r'"a\udc00\ud800z"', r'"\ud83d\ude00"', '"👩‍👩‍👧 é"', '"שלום\u202e"', '"\ufeff"', '"\u2028"', '"١"'),
    *(r'"\u0000"', r'"a\u001b[31m\r\nb"', '"' + "long " * 20_000 + '"', "[" * 9_000 + "]" * 9_000),
    *("[" * 400 + "]" * 400, '[{"a":' * 400 + "1" + "}]" * 400, "[]", "{}", "[[]]", "[[[1]]]", '{"a": 1, "a": 2}'),
    *('[["1_joy", "9"]]', '[["١_joy", "1"]]', '["1_joy", "1"]', '[["1_neutral", "1"]]', "[1, 1]", "]", '"'),
    json.dumps([[[["long " * 9] * 9] * 9] * 9] * 9),
    *("[NaN]", r'{"\ud800": 1}', '{"": {}}', '{"' + "k" * 5000 + '": 1, "' + "k" * 5000 + '": 1}'),
)
TOKENS = [text.encode() for text in ODD] + [
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x00",
    b"\xed\xa0\x80",
    b"\\u",
    *(bytes([byte]) for byte in b'[]{}":,\\0'),
]


def places(data, path=()):
    """The path of every value inside `data`."""
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path] + [found for key, value in inside for found in places(value, (*path, key))]


def edits(data):
    """Strategy: `data` as JSON text with up to three values replaced, doubled with an odd one, or gone."""
    one = st.tuples(
        st.sampled_from(places(data)[1:]), st.sampled_from(("replace", "double", "drop")), st.sampled_from(ODD)
    )

    def edited(changes):
        result, raw = json.loads(json.dumps(data)), {}
        for number, (path, how, odd) in enumerate(changes):
            try:
                inner = result
                for key in path[:-1]:
                    inner = inner[key]
                old = inner[path[-1]]
                if how == "drop":
                    del inner[path[-1]]
                    continue
                inner[path[-1]] = f"@{number}@"
            except (KeyError, IndexError, TypeError):
                continue  # an earlier change took the place away
            name = f"{json.dumps(path[-1])}: " if isinstance(inner, dict) else ""
            raw[f'"@{number}@"'] = odd if how == "replace" else f"{json.dumps(old)}, {name}{odd}"
        text = json.dumps(result)
        for mark, odd in raw.items():
            text = text.replace(mark, odd)
        return text.encode()

    return st.lists(one, min_size=1, max_size=3).map(edited)


def damage(content):
    """Strategy: the bytes `content` cut, thinned, doubled and sprinkled with odd tokens."""
    payload = st.sampled_from(TOKENS) | st.binary(max_size=6)
    one = st.tuples(st.integers(0, len(content)), st.sampled_from((0, 0, 1, 9, 500, len(content))), payload)

    def damaged(changes):
        result = content
        for start, length, new in changes:
            result = result[:start] + new + result[start + length :]
        return result

    return st.lists(one, min_size=1, max_size=3).map(damaged)


def encodings(text):
    """The same text in the ways that programs save it."""
    yield from (text.encode(name) for name in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"))
    yield gzip.compress(text.encode())
    yield text.replace("\n", "\r\n").encode()
    yield text.encode() + b"\x1a"


def talk(utterances, pairs):
    return {"conversation_ID": 1, "conversation": utterances, "emotion-cause_pairs": pairs}


def huge(count):
    """Large files, some with `count` utterances or conversations, and files that hold nothing."""
    yield from (b"", b" " * 10_000_000, b"\xef\xbb\xbf", b"\x00" * 1000, b"[]", b"{}", b"null", b"[[]]", b'""')
    for opening in (b"[", b'{"a":', b'[{"conversation":', b'"', b"9", b"-", b"\\"):
        yield opening * 100_000
    yield b"[" * 100_000 + b"]" * 100_000
    line = {"utterance_ID": 1, "text": "the kite " * 1_200_000, "speaker": "Bo", "emotion": "joy"}
    yield json.dumps([talk([line], [["1_joy", "1"]])]).encode()
    yield json.dumps([talk([line], [["1_joy", f"1_{'kite the ' * 600_000} kite kite"]])]).encode()
    many = [{**line, "utterance_ID": i, "text": f"kite {i}"} for i in range(1, count + 1)]
    yield json.dumps([talk(many, [[f"{i}_joy", f"{i}"] for i in range(1, count + 1)])]).encode()
    yield json.dumps([talk(many, [[f"{i}_joy", f"{i}_kite"] for i in range(1, count + 1)])]).encode()
    yield json.dumps([{**GOOD[0], "conversation_ID": i} for i in range(count)]).encode()
    yield json.dumps([{**GOOD[0], "conversation_ID": "x" * 1_000_000}] * 2).encode()


# ---- the tests ---------------------------------------------------------------------------------------------


@amounts
def test_huge_files(place, amount):
    for content in huge(1000 if amount == 1 else 10_000):
        check_conversations(content, place)


def test_encodings(place):
    for content in encodings(json.dumps(GOOD, indent=1)):
        check_conversations(content, place)
    for content in encodings(json.dumps(SPLITS, indent=1)):
        check_splits(content, place)
    for content in encodings("seed: 1\nrun_name: é\n"):
        check_parameters(content, place)


@amounts
def test_odd_values_in_conversations(place, amount):
    try_all(
        100 * amount, lambda content: check_conversations(content, place), edits(GOOD) | edits(SPANS) | edits(RANGES)
    )


@pytest.mark.slow
def test_odd_words_and_unknown_fields_survive(place):
    """Whatever JSON can say in full is taken where any text, or anything at all, may stand."""
    for odd in ODD:
        try:
            value = strictly(f"[{odd}]")[0]
        except (AssertionError, ValueError, RecursionError):
            continue
        for mark, sound in ((LINES[0], isinstance(value, str) and not is_blank(value)), (0.5, odd.count("[") < 400)):
            content = json.dumps(GOOD).replace(json.dumps(mark), odd).encode()
            check_conversations(content, place)
            if sound:
                assert load_conversations(place / "dirty.json", labelled=True)


@amounts
def test_odd_splits(place, amount):
    try_all(
        100 * amount, lambda content: check_splits(content, place), edits(SPLITS) | damage(json.dumps(SPLITS).encode())
    )


def check_damaged(path, place, amount):
    content = json.dumps(json.loads(path.read_bytes())[:10], ensure_ascii=False, indent=1).encode()
    try_all(40 * amount, lambda content: check_conversations(content, place), damage(content))


@amounts
@pytest.mark.parametrize("name", ["conversations.json", "unlabelled.json"])
def test_damaged_sample(place, amount, name):
    check_damaged(ROOT / "data" / "sample" / name, place, amount)


@amounts
@pytest.mark.parametrize("name", ["Subtask_1_train.json", "Subtask_2_train.json", "Subtask_2_test.json"])
def test_damaged_ecf(shared, place, amount, name):
    check_damaged(shared / "ecf" / name, place, amount)


@amounts
def test_odd_parameters(place, amount):
    scalars = [
        *ODD,
        "1e-3",
        "0x_",
        "2024-99-99",
        "!!int ''",
        "!!bool x",
        "!!timestamp x",
        "!!python/name:os.system",
        "&a [*a]",
        "*nothing",
        "{? [a] : b}",
        "'a",
        "|\n  two\n  lines",
        "1" * 400,
        "- 1",
        "\t",
    ]
    line = st.tuples(st.sampled_from(fields(Config)).map(lambda field: field.name), st.sampled_from(scalars))
    written = st.lists(line, min_size=1, max_size=3).map(
        lambda lines: "".join(f"{name}: {value}\n" for name, value in lines).encode()
    )
    sample = (ROOT / "configs" / "sample.yaml").read_bytes()
    try_all(100 * amount, lambda content: check_parameters(content, place), written | damage(sample))


def test_parameters_that_grow(place):
    """Aliases that spell 10 ** 12 values in a few lines, and files far larger than any page of parameters."""
    doubling = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10) if i else 1}]\n" for i in range(12))
    for text in (
        doubling,
        doubling + "lora_targets: *a11\n",
        "lora_targets:\n- &a0 [x]\n" + "".join(f"- &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 13)),
        "# long\n" * 1_000_000,
        "seed: 1\n" * 1_000_000,
        "[" * 100_000,
        "{a: " * 100_000,
        "a: " * 100_000,
        "run_name: " + "x" * 10_000_000,
        "a: 1\n" + " " * 10_000_000,
    ):
        check_parameters(text.encode(), place)


@amounts
@pytest.mark.parametrize("name", ["adapters/emotion/training.json", "config.json"])
def test_odd_adapters(place, amount, name, monkeypatch):
    """What a trained adapter's folder, and its run's, say of their parameters."""

    def no_model(*arguments, **longest):
        raise ModelError("no model in this test")

    monkeypatch.undo()
    monkeypatch.setattr(fits, "check_memory", no_model)  # what comes before loading
    parameters = {"parameters": {"seed": 1, "lora_targets": ["q_proj"]}}
    seen = {"emotions": dict.fromkeys(ECF, 5)}
    records = {"adapters/emotion/training.json": parameters | seen, "config.json": {"4_cause_inference": parameters}}
    for file, data in records.items():
        write_json(data, place / "run" / file)
    adapter = place / "run" / "adapters" / "emotion"
    monkeypatch.chdir(adapter.parent)  # where "emotion" names the same folder

    def check(content):
        (place / "run" / name).write_bytes(content)
        assert (
            status(
                predict.main,
                place / "good.json",
                "--out",
                place / "pred.json",
                "--emotion-adapter",
                adapter,
                "--cause-adapter",
                "emotion",
            )
            == 2
        )

    try_all(50 * amount, check, edits(records[name]) | damage(json.dumps(records[name]).encode()))


@pytest.mark.parametrize("blocked", ["val", "val/conversations.json", "test/conversations.json"])
def test_a_part_that_cannot_be_written_leaves_every_part(place, blocked):
    if blocked == "val":
        (place / "input" / "val").write_text("a file where a folder belongs")
    else:
        (place / "input" / blocked / "folder").mkdir(parents=True)
    before = files(place)
    assert status(generate_input.main, "--data", ROOT / "data" / "sample", "--out", place / "input") == 2
    assert files(place) == before
