"""A run that reads vectors: trained, recorded, resumed, asked with and without them, and refused where it must be.

python -m pytest tests/record/test_streams.py
"""

import shutil

import numpy as np
import pytest
import torch
from filmed import filmed, made_stream, write_stream
from helpers import called, conversation, stopped_training

from utils import predict as door
from utils.config import Config
from utils.data.conversations import without_labels
from utils.data.features import Stream, fingerprint
from utils.data.labels import ECF
from utils.export import export
from utils.models.load import load_model
from utils.models.projector import FILE, read_projector
from utils.predict import Predictor
from utils.predict_vllm import Labeller
from utils.record.adapter import trained_with
from utils.record.fit import fit
from utils.record.run import Run
from utils.record.systems import scored
from utils.system.errors import (
    ConfigError,
    ConversationError,
    EngineError,
    ExportError,
    FileError,
    ModelError,
    RunError,
)
from utils.system.files import read_json, write_json

NOTEBOOK = "1_emotion_recognition_training"


@pytest.fixture(scope="module")
def items(conversations):
    return [filmed({**c, "conversation_ID": number}) for number, c in enumerate(conversations)]


def telling(items):
    """A stream that says the emotion of every utterance that has a video."""
    utterances = [u for c in items for u in c["conversation"] if "video_name" in u]
    rows = np.eye(7, dtype=np.float32)
    vectors = {u["video_name"].removesuffix(".mp4"): rows[[ECF.labels.index(u["emotion"])]] for u in utterances}
    return Stream("voice", "voice.npz", vectors)


def wordless():
    """Conversations that differ in their emotions alone."""
    found = [conversation(["Hm.", "Hm.", "Hm."], [ECF.labels[k], "joy", ECF.labels[-k]]) for k in range(7)]
    return [filmed({**c, "conversation_ID": f"w{k}", "emotion-cause_pairs": []}) for k, c in enumerate(found)]


def put(root, items, *streams):
    """The conversations as a run's input, and the streams beside them."""
    for split in ("train", "val", "test"):
        write_json(items, root / "input" / split / "conversations.json")
    for stream in streams:
        write_stream(root / "input" / "features", stream)


def opened(root, folder, **more):
    parameters = {"run_name": "seen", "model": folder, "precision": "float32", "lora_r": 4, "streams": ["voice"]}
    parameters |= {"gradient_accumulation": 1, "token_budget": 1, "emotion_learning_rate": 1e-2, **more}
    return Run(Config.of(parameters), NOTEBOOK, ["model", "streams"], root=root)


def trained(root, folder, **more):
    run = opened(root, folder, **more)
    train = run.conversations("train", labelled=True)
    return run, *fit(run, run.task("emotion"), *load_model(folder, precision="float32"), train)


@pytest.fixture(scope="module")
def seen(tiny_model_folder, items, tmp_path_factory):
    """(the root, the run) of a run that learnt from a stream that says the emotions of words that say nothing."""
    root = tmp_path_factory.mktemp("seen")
    put(root, wordless(), telling([*wordless(), *items]))
    return root, trained(root, tiny_model_folder, emotion_epochs=10.0)[0]


def right(tables, items):
    """The mean probability of the right emotions of the utterances that have a video."""
    pairs = [(table, u) for c, rows in zip(items, tables) for u, table in zip(c["conversation"], rows)]
    found = [table[ECF.labels.index(u["emotion"])] for table, u in pairs if "video_name" in u]
    return sum(found) / len(found)


def test_what_vectors_say_is_learnt_and_missed_where_they_are_gone(seen):
    root, run = seen
    adapter, features, given = run.adapter("emotion"), root / "input" / "features", wordless()
    with_them = Predictor(adapter, features=features)(given)[1]
    without = Predictor(adapter, features=features, parameters={"without": "voice"})(given)[1]
    assert right(without, given) < 0.2 and right(with_them, given) > 0.3
    assert without == Predictor(adapter)(given)[1], "without their folder they are absent"


def test_the_run_records_its_streams_and_refuses_others(seen, tiny_model_folder, items):
    root, run = seen
    record = read_json(run.train_dir / "config.json")[NOTEBOOK]
    assert record["parameters"]["streams"] == ["voice"] and [*record["features"]] == ["voice"]
    assert read_json(run.adapter("emotion") / "training.json")["parameters"]["stream_tokens"] == 1
    assert read_projector(run.adapter("emotion")).names == ["voice"]
    opened(root, tiny_model_folder)
    kept = (root / "input" / "features" / "voice.npz").read_bytes()
    try:
        write_stream(root / "input" / "features", made_stream("voice", items, 7))
        with pytest.raises(RunError, match="another run .other vectors of voice"):
            opened(root, tiny_model_folder)
    finally:
        (root / "input" / "features" / "voice.npz").write_bytes(kept)


def test_streams_that_cannot_be_read_are_refused_before_training(tiny_model_folder, items, tmp_path):
    put(tmp_path, items, made_stream("face", items, 3))
    with pytest.raises(FileError, match="no stream voice .*It has face"):
        opened(tmp_path, tiny_model_folder).task("emotion")
    for streams, message in (
        (["../face"], "streams names '../face', and a stream's name is"),
        (["face", "face"], "streams names 'face' twice"),
    ):
        with pytest.raises(ConfigError, match=message):
            opened(tmp_path, tiny_model_folder, streams=streams).task("emotion")
    with pytest.raises(ConfigError, match="without names 'voice'; the streams are: face"):
        opened(tmp_path, tiny_model_folder, streams="face", without="voice").task("emotion")
    bad = [{**items[0], "conversation": [{**u, "video_name": "../x"} for u in items[0]["conversation"]]}]
    put(tmp_path, bad)
    with pytest.raises(ConversationError, match="train/conversations.json, conversation 0, utterance 1.*is a path"):
        opened(tmp_path, tiny_model_folder, streams="face").task("emotion")


def test_an_interrupted_training_ends_with_the_same_projector(tiny_model_folder, items, tmp_path):
    put(tmp_path, items, telling(items))
    more = {"emotion_epochs": 4.0, "stream_dropout": 0.5}
    whole = trained(tmp_path, tiny_model_folder, run_name="whole", **more)[0].adapter("emotion")
    with stopped_training(3):
        trained(tmp_path, tiny_model_folder, run_name="stopped", **more)
    again = trained(tmp_path, tiny_model_folder, run_name="stopped", **more)[0].adapter("emotion")
    wanted, found = (read_projector(folder).tensors() for folder in (whole, again))
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert wanted["voice.weight"].abs().max() > 0 and wanted["voice.absent"].abs().max() > 0
    assert (whole / "adapter_model.safetensors").read_bytes() == (again / "adapter_model.safetensors").read_bytes()


def test_the_door_reads_vectors_from_a_folder_and_says_where_they_are_absent(seen, items, tmp_path):
    root, run = seen
    write_json([without_labels(c) for c in items], tmp_path / "given.json")
    command = [tmp_path / "given.json", "--emotion-adapter", run.adapter("emotion"), "--probabilities", "--out"]
    features, found = ["--features", root / "input" / "features"], []
    for name, more in (("seen", features), ("blind", []), ("without", [*features, "-p", "without", "voice"])):
        assert called(door.main, *command, tmp_path / f"{name}.json", *more)[0] == 0
        found.append((tmp_path / f"{name}.probabilities.jsonl").read_text())
    assert found[0] != found[1] == found[2]
    recorded = [
        read_json(tmp_path / f"{name}.record.json")["streams"]["voice"] for name in ("seen", "blind", "without")
    ]
    assert recorded == [fingerprint(root / "input" / "features", "voice"), None, None]
    code, said = called(door.main, *command, tmp_path / "p.json", "--features", tmp_path)
    assert code == 2 and "no stream voice" in said
    code, said = called(door.main, *command, tmp_path / "p.json", "-p", "without", "face")
    assert code == 2 and "parameter without names 'face'; the streams are: voice" in said


def test_what_cannot_read_vectors_refuses_the_adapter_clearly(seen, tmp_path):
    adapter = seen[1].adapter("emotion")
    for form in ("safetensors", "gguf"):
        with pytest.raises(ExportError, match=r"it reads vectors \(voice\), and its projector is no part"):
            export(adapter, tmp_path / "exported", form)
    assert not (tmp_path / "exported").exists()
    with pytest.raises(EngineError, match="read vectors, and this engine reads tokens alone: use utils.predict"):
        Labeller(adapter, adapter, engine=object())
    with pytest.raises(ModelError, match="it reads vectors, which a system of several runs does not"):
        scored([adapter], [], [], None)
    shutil.copytree(adapter, tmp_path / "lost")
    (tmp_path / "lost" / FILE).unlink()
    with pytest.raises(ModelError, match=f"{FILE} is missing, by which it reads vectors"):
        trained_with(tmp_path / "lost")


def test_features_for_an_adapter_that_reads_words_alone_are_refused(tiny_model_folder, items, tmp_path):
    put(tmp_path, items)
    run = trained(tmp_path, tiny_model_folder, streams="", run_name="words")[0]
    assert not (run.adapter("emotion") / FILE).exists()
    assert "features" not in read_json(run.train_dir / "config.json")[NOTEBOOK]
    write_json(items, tmp_path / "given.json")
    command = [tmp_path / "given.json", "--emotion-adapter", run.adapter("emotion"), "--out", tmp_path / "p.json"]
    code, said = called(door.main, *command, "--features", tmp_path)
    assert code == 2 and "these adapters read words alone. Leave it out" in said
    code, said = called(door.main, *command, "-p", "without", "voice")
    assert code == 2 and "parameter without: the labels of these adapters do not depend on it" in said
