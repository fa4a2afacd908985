"""A full disk, a folder that takes no file, Ctrl-C: one message, nothing half written, and the same command goes on.

    python -m pytest tests/promises/test_hard_times.py

The full disk is a limit on the size of files (RLIMIT_FSIZE): a write fails in its middle, as on a real one. kill -9
is in test_interruption.py.
"""

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from helpers import ROOT, called, files, full_disk, heeds_ctrl_c, interrupted, stopped_training

import generate_input
from utils import chain, predict, runs
from utils.config import Config
from utils.data.conversations import without_labels
from utils.engine import inference
from utils.engine.inference import Journal
from utils.engine.settings import InferenceSettings
from utils.models.load import load_model
from utils.record.fit import fit
from utils.record.run import Run
from utils.report.loss import loss_curve
from utils.report.plots import save
from utils.system import places
from utils.system.errors import TrainingError
from utils.system.files import write_json, write_texts
from utils.tasks.ask import predict as predict_items
from utils.tasks.emotion import Emotion

resource = pytest.importorskip("resource", reason="limits on files need Unix")


def open_run(root, model, **parameters):
    config = Config(run_name="hard", model=model, token_budget=1, emotion_epochs=4.0, cause_epochs=4.0, **parameters)
    return Run(config, "1_emotion_recognition_training", ["model"], root=root)


@pytest.fixture(scope="module")
def trained(tiny_model_folder, conversations, tmp_path_factory):
    """A run with both adapters."""
    run = open_run(tmp_path_factory.mktemp("trained"), tiny_model_folder)
    for task in ("emotion", "cause"):
        fit(run, run.config.task(task), *load_model(tiny_model_folder, precision="float32"), conversations)
    return run


@pytest.fixture
def prediction(trained, sample, tmp_path):
    """(arguments of utils.predict, its output's path, the bytes that it writes undisturbed)."""
    write_json([without_labels(c) for c in sample[:6]], tmp_path / "given.json")
    adapters = ["--emotion-adapter", trained.adapter("emotion"), "--cause-adapter", trained.adapter("cause")]
    wanted = tmp_path / "undisturbed" / "pred.json"
    assert called(predict.main, tmp_path / "given.json", "--out", wanted, *adapters)[0] == 0
    assert {one.name for one in wanted.parent.iterdir()} == {"pred.json", "pred.record.json"}
    out = tmp_path / "out" / "pred.json"
    return [tmp_path / "given.json", "--out", out, *adapters], out, wanted.read_bytes()


def written(folder):
    """What predict wrote, but for who labelled and when, which must be there."""
    found = files(folder)
    assert json.loads(found.pop("pred.record.json"))["ended"]
    return found


# ---- a full disk -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [0, 100, 5_000])
def test_files_on_a_full_disk_stay_as_they_were(tmp_path, room):
    paths = [tmp_path / "first.json", tmp_path / "second.json"]
    write_texts({path: "old" for path in paths})
    with full_disk(room), pytest.raises(OSError, match="second.json" if room == 100 else "first.json"):
        write_texts({paths[0]: "new" * (10 if room == 100 else 10_000), paths[1]: "new" * 10_000})
    with full_disk(room), pytest.raises(OSError, match="loss.png"):
        history = [{"step": i, "loss": 1 / i} for i in range(1, 900)]
        save(loss_curve({"history": history}, "emotion"), tmp_path / "loss.png")
    assert files(tmp_path) == {"first.json": b"old", "second.json": b"old"}


def test_generate_input_on_a_full_disk(tmp_path):
    called(generate_input.main, "--data", ROOT / "data/sample", "--out", tmp_path / "wanted", "--seed", "7")
    called(generate_input.main, "--data", ROOT / "data/sample", "--out", tmp_path / "mine")
    before = files(tmp_path / "mine")
    again = ("--data", ROOT / "data/sample", "--out", tmp_path / "mine", "--seed", "7")
    with full_disk(20_000):
        code, said = called(generate_input.main, *again)
    assert code == 2 and len(said.splitlines()) == 1 and "conversations.json" in said
    assert files(tmp_path / "mine") == before
    assert called(generate_input.main, *again) == (0, "")
    assert files(tmp_path / "mine") == files(tmp_path / "wanted") != before


def test_a_journal_on_a_full_disk(tiny_model_folder, conversations, tmp_path):
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    given = Emotion(), model, tokenizer, conversations, InferenceSettings(token_budget=1)
    wanted = predict_items(*given)
    path = tmp_path / "unfinished.jsonl"
    with full_disk(1200), pytest.raises(OSError, match="unfinished.jsonl"):
        predict_items(*given, Journal(path))
    assert path.stat().st_size > 0
    path.write_bytes(path.read_bytes() + b"\xff\x00")
    journal = Journal(path)
    assert 0 < len(journal.results) < len(conversations)
    assert predict_items(*given, journal) == wanted


@pytest.mark.parametrize("room", [0, 600, 2_500])
def test_predict_on_a_full_disk(prediction, room):
    """The journal's first line, a later one, or (with a file that is larger than the journal's) the result."""
    arguments, out, wanted = prediction
    with full_disk(room):
        code, said = called(predict.main, *arguments)
    assert code == 2 and said.splitlines()[-1].startswith("utils.predict: [Errno") and "pred.json" in said
    assert not out.exists() and "Traceback" not in said
    assert called(predict.main, *arguments)[0] == 0
    assert written(out.parent) == {"pred.json": wanted}


def test_a_conversation_that_is_too_long_is_labelled_with_the_option_that_the_message_names(prediction):
    arguments, out, wanted = prediction
    code, said = called(predict.main, *arguments, "--max-row-tokens", "60")
    assert code == 2 and "Raise max_row_tokens (utils.predict: --max-row-tokens) to" in said and not out.exists()
    assert called(predict.main, *arguments, "--max-row-tokens", "9000")[0] == 0 and out.read_bytes() == wanted


# What the limit meets: the adapter in a checkpoint, or (its rank is smaller then) its optimizer's state.
@pytest.mark.slow
@pytest.mark.parametrize("room", [40_000, 70_000])
def test_training_on_a_full_disk(tiny_model_folder, conversations, trained, tmp_path, room):
    run = open_run(tmp_path, tiny_model_folder, lora_r=4 if room == 70_000 else 16)
    wanted = trained
    if room == 70_000:
        wanted = open_run(tmp_path / "undisturbed", tiny_model_folder, lora_r=4)
        fit(wanted, wanted.config.task("emotion"), *load_model(tiny_model_folder, precision="float32"), conversations)
    with full_disk(room), pytest.raises(TrainingError, match="cannot be written .*Make room there"):
        fit(run, run.config.task("emotion"), *load_model(tiny_model_folder, precision="float32"), conversations)
    assert run.history("emotion") is None
    fit(run, run.config.task("emotion"), *load_model(tiny_model_folder, precision="float32"), conversations)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (run.adapter("emotion") / name).read_bytes() == (wanted.adapter("emotion") / name).read_bytes()
    assert run.history("emotion") and not (run.adapter("emotion") / "checkpoints").exists()


def test_a_checkpoint_whose_last_file_is_cut_is_not_resumed(trained, tiny_model_folder, conversations, tmp_path):
    """Killed, or without room, in the very last write."""
    run = open_run(tmp_path, tiny_model_folder)
    with stopped_training(saves=3):
        fit(run, run.config.task("emotion"), *load_model(tiny_model_folder, precision="float32"), conversations)
    (state,) = run.adapter("emotion").glob("checkpoints/*/trainer_state.json")
    state.write_bytes(state.read_bytes()[:50])
    fit(run, run.config.task("emotion"), *load_model(tiny_model_folder, precision="float32"), conversations)
    name = "adapter_model.safetensors"
    assert (run.adapter("emotion") / name).read_bytes() == (trained.adapter("emotion") / name).read_bytes()


def test_a_record_that_cannot_be_written_keeps_the_checkpoints(tiny_model_folder, tmp_path, monkeypatch):
    run = open_run(tmp_path, tiny_model_folder)
    checkpoint = run.adapter("emotion") / "checkpoints" / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    with full_disk(100), pytest.raises(OSError, match="training.json"):
        run.finish_adapter("emotion", [{"loss": 1.0, "step": 1}] * 50, {})
    assert checkpoint.is_dir() and run.history("emotion") is None
    run.finish_adapter("emotion", [], {})
    assert not checkpoint.exists()


# ---- a folder that takes no file ---------------------------------------------------------------------------


@pytest.fixture
def read_only(monkeypatch):
    """Nothing can be written anywhere. (Permissions do not bind root, as whom tests may run.)"""

    def refuse(path, flags, *more, **options):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(30, "Read-only file system", os.fspath(path))
        return opened(path, flags, *more, **options)

    opened, made, built = os.open, os.mkdir, io.open
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "mkdir", lambda path, *a, **k: refuse(path, os.O_CREAT))

    def open_(file, mode="r", *a, **k):
        if set(mode) & set("wxa+"):
            refuse(file, os.O_WRONLY)
        return built(file, mode, *a, **k)

    monkeypatch.setattr("builtins.open", open_)
    monkeypatch.setattr(io, "open", open_)  # pathlib's
    assert made is not os.mkdir


def test_commands_in_a_read_only_folder(prediction, tmp_path, read_only, monkeypatch):
    arguments, out, _ = prediction
    before = files(tmp_path)
    monkeypatch.setattr(places, "ROOT", tmp_path)  # whose input/ and results_train/ are nobody's
    monkeypatch.setattr(chain, "parameter_names", lambda notebook: [*Config().as_dict()])
    for main, given in (
        (generate_input.main, ("--data", ROOT / "data/sample", "--out", tmp_path / "input")),
        (predict.main, arguments),
        (chain.main, (ROOT / "configs/sample.yaml",)),
    ):
        code, said = called(main, *given)
        assert code == 2 and "Read-only file system: '" in said.splitlines()[-1] and "Traceback" not in said
    assert files(tmp_path) == before


@pytest.mark.parametrize("main", ["predict", "chain"])
def test_a_file_where_a_folder_is_needed(prediction, tmp_path, main, monkeypatch):
    arguments, out, _ = prediction
    if main == "predict":
        out.parent.write_text("a file")
        code, said = called(predict.main, *arguments)
    else:
        monkeypatch.setattr(places, "ROOT", tmp_path)
        (tmp_path / "results_train").write_text("a file")
        monkeypatch.setattr(chain, "parameter_names", lambda notebook: [*Config().as_dict()])
        code, said = called(chain.main, ROOT / "configs/sample.yaml")
    assert code == 2 and said.splitlines()[-1].startswith(f"utils.{main}: [Errno") and str(tmp_path) in said


def test_verify_of_predictions_that_cannot_be_read(tmp_path, conversations):
    write_json({}, tmp_path / "metrics.json")
    record = {"4_cause_inference": {"parameters": {"input_dir": str(tmp_path)}, "input": {}}}
    write_json(record, tmp_path / "config.json")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "conversations.json").mkdir()
    code, said = called(runs.main, "verify", tmp_path)
    assert code == 2 and len(said.splitlines()) == 1


# ---- Ctrl-C ------------------------------------------------------------------------------------------------

STOPPED = "interrupted. Every file is whole; the same command goes on."


@pytest.mark.parametrize("calls", [1, 3])
def test_generate_input_stopped_while_it_writes(tmp_path, calls):
    command = ("--data", ROOT / "data/sample", "--out")
    done = interrupted("os", "fsync", calls, "generate_input", *command, tmp_path / "mine")
    assert done.returncode == 130 and done.stderr.strip() == f"generate_input.py: {STOPPED}"
    assert not files(tmp_path)
    assert called(generate_input.main, *command, tmp_path / "mine")[0] == 0
    called(generate_input.main, *command, tmp_path / "wanted")
    assert files(tmp_path / "mine") == files(tmp_path / "wanted")


@pytest.mark.slow
def test_predict_stopped_while_it_scores_goes_on(prediction, monkeypatch):
    arguments, out, wanted = prediction
    done = interrupted("utils.engine.inference", "score_row", 3, "utils.predict", *arguments)
    assert done.returncode == 130 and done.stderr.splitlines()[-1] == f"utils.predict: {STOPPED}"
    assert "Traceback" not in done.stderr
    journal = out.with_name("pred.json.unfinished.jsonl")
    assert list(files(out.parent)) == [journal.name] and len(Journal(journal).results) == 2
    made = []
    monkeypatch.setattr(inference, "score_row", lambda *a, f=inference.score_row: made.append(1) or f(*a))
    assert called(predict.main, *arguments)[0] == 0 and written(out.parent) == {"pred.json": wanted}
    first = len(made)
    out.unlink()
    called(predict.main, *arguments)
    assert len(made) - first == first + 2, "finished rows are not scored again"


def test_a_command_stopped_while_it_loads_its_libraries(tmp_path):
    """That is a command's first seconds, once the file was read."""
    given = ROOT / "data" / "sample" / "unlabelled.json"
    command = [sys.executable, "-X", "importtime", "-m", "utils.predict", given, "--out", tmp_path / "x"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heeds_ctrl_c) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.rstrip().endswith("torch._C"):  # the first of torch, and hundreds to come
                process.send_signal(signal.SIGINT)
        process.wait(timeout=120)
    said = [line for line in lines if not line.startswith("import time:")]
    assert process.returncode == 130 and "".join(said).strip() == f"utils.predict: {STOPPED}"


@pytest.mark.slow
def test_the_chain_stopped_while_it_trains_leaves_no_kernel_behind(copy, tiny_model_folder):
    command = [
        sys.executable,
        "-m",
        "utils.chain",
        "configs/sample.yaml",
        "-p",
        "model",
        tiny_model_folder,
        "-p",
        "run_name",
        "stopped",
        "-p",
        "emotion_epochs",
        "500",
    ]
    run = copy / "results_train" / "stopped"
    with (
        (copy / "said").open("w") as said,
        subprocess.Popen(command, cwd=copy, stdout=said, stderr=said, preexec_fn=heeds_ctrl_c) as process,
    ):
        for _ in range(1200):
            if list(run.glob("adapters/emotion/checkpoints/*/trainer_state.json")) or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)
    said = (copy / "said").read_text()
    assert process.returncode == 130, said[-2000:]
    assert said.splitlines()[-1] == f"utils.chain: {STOPPED}" and "Traceback" not in said, said
    # The run's lock is free, so no kernel trains on; what it wrote is whole.
    names = list(json.loads((run / "config.json").read_text())["1_emotion_recognition_training"]["parameters"])
    again = Run(
        Config(run_name="stopped", model=tiny_model_folder, emotion_epochs=500.0, emotion_learning_rate=1e-3),
        "2_emotion_inference",
        [],
        root=copy,
    )
    assert again.history("emotion") is None and "model" in names
    for path in run.rglob("*.json"):
        json.loads(path.read_text())
