"""An encoder beside the adapters: what both say is averaged, and an encoder that does not belong there is refused.

python -m pytest tests/record/test_encoder_beside.py
"""

import json
import shutil

import numpy as np
import pytest
from helpers import called, with_adapter

from utils import predict as door
from utils.config import Config
from utils.data.conversations import without_labels
from utils.data.labels import ECF, LabelSet
from utils.models.adapters import load_adapter, save_adapter
from utils.models.load import load_model
from utils.predict import Predictor
from utils.predict_vllm import Labeller
from utils.record.provenance import record_of, weights_of_encoder
from utils.record.run import open_run
from utils.system import places
from utils.system.errors import ConfigError, EngineError, ModelError, RunError
from utils.system.files import read_json, write_json
from utils.tasks import cause_structure
from utils.tasks.ask import predict
from utils.tasks.candidates import asked
from utils.tasks.cause import Cause
from utils.tasks.emotion import Emotion
from utils.tasks.encoder_scores import load_encoders
from utils.train import train_encoder

MOODS = LabelSet("moods", ("calm", "glad"), "calm")
SEEN = dict(zip(ECF, (3, 1, 1, 7, 3, 6, 20)))


@pytest.fixture(scope="module")
def made(tiny_model_folder, encoder_folder, sample, tmp_path_factory):
    """A folder with the input, the run "both" with two adapters, and the encoder "mine"."""
    root = tmp_path_factory.mktemp("beside")
    for split, some in {"train": sample[:6], "test": sample[6:9]}.items():
        write_json(some, root / "input" / split / "conversations.json")
    train_encoder("mine", encoder_folder, "input", epochs=1, root=root, rank=2)
    parameters = Config(run_name="both", model=tiny_model_folder, precision="float32").as_dict()
    for number, task in enumerate(("emotion", "cause")):
        folder = root / "results_train" / "both" / "adapters" / task
        save_adapter(with_adapter(tiny_model_folder, seed=number), folder, tiny_model_folder)
        write_json(
            {
                "task": task,
                "parameters": parameters,
                "revision": "none",
                "emotions": SEEN,
                "history": [],
                "structure": {"revision": "none", "scikit-learn": "none"} if task == "cause" else {},
            },
            folder / "training.json",
        )
        cause_structure.save(cause_structure.learn(sample[:6]), folder)
    record = record_of({}, root / "input")
    write_json({"1_emotion_recognition_training": record}, root / "results_train" / "both" / "config.json")
    return root


@pytest.fixture
def root(made, tmp_path, monkeypatch):
    """A copy of it, in which names of runs are looked up."""
    monkeypatch.setattr(places, "ROOT", shutil.copytree(made, tmp_path / "root"))
    return places.ROOT


def adapters(root):
    return tuple(root / "results_train" / "both" / "adapters" / task for task in ("emotion", "cause"))


def test_what_adapter_trees_and_encoder_say_is_averaged(root, tiny_model_folder, sample):
    given, config = [without_labels(c) for c in sample[6:9]], Config(model=tiny_model_folder, precision="float32")
    paired, tables, causes = Predictor(*adapters(root), parameters={"encoder": "mine"})(given)
    encoder = load_encoders([root / "results_train" / "mine" / "encoder"])
    model, tokenizer = load_model(config.model, "none", config.precision)
    model = load_adapter(model, adapters(root)[0], config.model, "emotion")
    _, alone = predict(Emotion(), model, tokenizer, given, config.inference())  # with nothing taken off
    shares = np.array([SEEN[label] for label in ECF]) / sum(SEEN.values())
    for c, table, one in zip(given, tables, alone, strict=True):
        mean = 2 / 3 * np.array(one) + encoder.emotions(c) / 3
        wanted = mean / shares**config.logit_adjustment
        assert np.allclose(table, wanted / wanted.sum(1, keepdims=True), atol=1e-5)
    model = load_adapter(model, adapters(root)[1], config.model, "cause")
    _, of_adapter = predict(Cause(threshold=0.5), model, tokenizer, paired, config.inference())
    trees, questions = cause_structure.load(adapters(root)[1]), 0
    for c, found, one in zip(paired, causes, of_adapter, strict=True):
        ids, by_trees, by_encoder = [u["utterance_ID"] for u in c["conversation"]], trees.log_odds(c), encoder.causes(c)
        for (i, j), tree, other in zip(asked(c), by_trees, by_encoder, strict=True):
            p = one[ids[i]][ids[j]]
            mean = (np.log(p / (1 - p)) + tree) / 4 + other / 2
            assert found[ids[i]][ids[j]] == pytest.approx(1 / (1 + np.exp(-mean)), abs=1e-4)
            questions += 1
    assert questions > 10


def test_the_command_takes_an_encoder_and_says_so(root, sample, tmp_path):
    write_json([without_labels(c) for c in sample[6:9]], tmp_path / "given.json")
    names = ("--emotion-adapter", adapters(root)[0], "--cause-adapter", adapters(root)[1], "--probabilities")
    for out, more in (("alone", ()), ("beside", ("-p", "encoder", "mine"))):
        called(door.main, tmp_path / "given.json", "--out", tmp_path / f"{out}.json", *names, *more)
    alone, beside = (read_json(tmp_path / f"{name}.record.json") for name in ("alone", "beside"))
    assert beside["encoder"] == {
        "run": "mine", "weights": weights_of_encoder(root / "results_train" / "mine" / "encoder")
    }  # fmt: skip
    assert "encoder" not in alone
    one, other = (
        [json.loads(line)["emotion_probabilities"] for line in (tmp_path / name).read_text("utf-8").splitlines()]
        for name in ("alone.probabilities.jsonl", "beside.probabilities.jsonl")
    )
    assert one != other


def test_notebooks_ask_the_encoder_too_and_record_it(root, tiny_model_folder):
    values = {"run_name": "both", "model": tiny_model_folder, "precision": "float32", "encoder": "mine"}
    _, run = open_run(values, "2_emotion_inference", root)
    trained = run.trained(run.task("emotion"))
    assert trained.encoder is not None and trained.prior is not None and run.task("emotion").encoder is None
    run.finish()
    run.hand_over()
    weights = weights_of_encoder(root / "results_train" / "mine" / "encoder")
    assert read_json(run.train_dir / "config.json")[run.notebook]["encoder weights"] == weights
    assert "encoder" not in (run.adapter("emotion") / "README.md").read_text("utf-8"), "not scored yet"
    later = Predictor(*adapters(root)).tasks["emotion"]
    assert later.encoder is not None, "what labels by this run later has its encoder"


def test_an_encoder_that_does_not_belong_there_is_refused(root):
    def label(encoder):
        return Predictor(*adapters(root), parameters={"encoder": encoder})

    with pytest.raises(RunError, match="nosuch: no such run"):
        label("nosuch")
    with pytest.raises(RunError, match="both holds no encoder. Name a run of python -m utils.train encoder"):
        label("both")
    path = root / "results_train" / "mine" / "config.json"
    records = read_json(path)
    other = {name: {**one, "labels": MOODS.as_dict()} for name, one in records.items()}
    write_json(other, path)
    with pytest.raises(ModelError, match="mine: its encoder was trained on moods, and the labels here are ecf7"):
        label("mine")


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"recipe": "published"}, "encoder is mine; recipe published has none alone"),
        ({"targets": "multi"}, "encoder is 'mine'; targets multi has other answers"),
        ({"cause_form": "list"}, "encoder is 'mine'; cause_form list has other answers"),
    ],
)
def test_an_encoder_goes_with_one_label_and_candidates(parameters, message):
    with pytest.raises(ConfigError, match=message):
        Config.of({"encoder": "mine", **parameters})


def test_vllm_refuses_a_run_with_an_encoder(root):
    path = root / "results_train" / "both" / "config.json"
    records = read_json(path)
    write_json({**records, "4_cause_inference": {"parameters": {"encoder": "mine"}}}, path)
    with pytest.raises(EngineError, match="has an encoder beside its adapters: use utils.predict"):
        Labeller(*map(str, adapters(root)), engine=object())


def test_an_encoder_learns_votes_of_the_same_words(root, encoder_folder, sample, capsys):
    votes = [{"joy": 1}, {"sadness": 2, "fear": 1}]
    c = {**sample[0], "conversation": [{**u, "votes": votes[k % 2]} for k, u in enumerate(sample[0]["conversation"])]}
    write_json([c], root / "voted.json")
    given = {"model": encoder_folder, "data": "input", "epochs": 1, "root": root, "rank": 2}
    train_encoder("voted", votes=root / "voted.json", **given)
    assert f"{len(sample[0]['conversation'])} of " in capsys.readouterr().out
    record = read_json(root / "results_train" / "voted" / "config.json")
    assert record["utils.train encoder"]["parameters"]["votes"] == "voted.json"
    card = (root / "results_train" / "voted" / "encoder" / "README.md").read_text("utf-8")
    assert "-p encoder voted" in card and "votes of voted.json" in card and str(root) not in card
    assert "Their licence binds these weights" in card and "{" not in card
    weights = [weights_of_encoder(root / "results_train" / name / "encoder") for name in ("voted", "mine")]
    assert weights[0] != weights[1]
    write_json([sample[20]], root / "none.json")
    with pytest.raises(RunError, match="none.json: no utterance of .*train has votes there. Leave --votes out"):
        train_encoder("none", votes=root / "none.json", **given)
