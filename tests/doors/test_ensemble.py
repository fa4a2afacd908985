"""Ensembles of runs and encoders: they are averaged as they say, written as runs are, and refused where they do not
belong together.

python -m pytest tests/doors/test_ensemble.py
"""

import functools
import json
import math
import shutil

import numpy as np
import pytest
from helpers import ROOT, called, shipped, with_adapter
from transformers import Trainer

from utils import ensemble
from utils.config import Config
from utils.data.conversations import pairs, with_pairs, without_labels
from utils.data.labels import ECF
from utils.engine import heads
from utils.models.adapters import save_adapter
from utils.predict import Predictor, predict
from utils.record.predictions import gold_of, lines_of, read_predictions, write_predictions
from utils.record.provenance import fingerprints, revision
from utils.record.verify import is_equal, verify
from utils.report import bootstrap
from utils.report.metrics import pair_scores
from utils.report.scores import read_scores
from utils.report.tables import members_table, results_table, systems_table
from utils.system.errors import ModelError, RunError
from utils.system.files import read_json, write_json
from utils.tasks import cause, cause_structure, emotion
from utils.tasks.candidates import asked, emotional
from utils.tasks.encoder_input import example, sizes
from utils.train import train_encoder

TASKS = ("emotion", "cause")


def put(root, name, splits):
    for split, conversations in splits.items():
        write_json(conversations, root / name / split / "conversations.json")


def lines_in(folder):
    return list(map(json.loads, (folder / "predictions.jsonl").read_text("utf-8").splitlines()))


# ---- runs with adapters --------------------------------------------------------------------------------------------


@pytest.fixture
def runs(tiny_model_folder, sample, conversations, tmp_path, monkeypatch):
    """Below tmp_path: "first" and "second" with both adapters, "emotions alone", and their input."""
    put(tmp_path, "input", {"train": conversations[:1], "test": conversations})
    put(tmp_path, "input", {"unlabelled": [without_labels(c) for c in conversations]})
    for number, run in enumerate(("first", "second", "emotions alone")):
        parameters = {"model": tiny_model_folder, "precision": "float32", "lora_r": 4, "cause_threshold": 0.02}
        parameters = Config(run_name=run, **parameters).as_dict()
        for task in TASKS[: 1 if number == 2 else 2]:
            folder = tmp_path / "results_train" / run / "adapters" / task
            save_adapter(with_adapter(tiny_model_folder, seed=number), folder, tiny_model_folder)
            record = {"parameters": parameters, "emotions": dict.fromkeys(ECF, 1), "structure": task == "cause"}
            write_json(record, folder / "training.json")
            cause_structure.save(cause_structure.learn(sample[:10], number), folder)
        record = {"parameters": {}, "input": fingerprints(tmp_path / "input")}
        write_json({"1_emotion_recognition_training": record}, tmp_path / "results_train" / run / "config.json")
    monkeypatch.setattr(bootstrap, "DRAWS", 100)
    return tmp_path


def test_an_ensemble_of_runs_is_scored_and_written(runs, conversations):
    label = functools.partial(ensemble.label, root=runs)
    folder = label("both", ["first", "second"])
    assert folder == runs / "results_train" / "both" and not (folder / "unfinished.jsonl").exists()
    both = read_json(folder / "metrics.json")
    alone = read_json(label("alone", ["first", "emotions alone"]) / "metrics.json")["members"]
    assert both["members"]["first"] == alone["first"] and set(both["members"]) == {"first", "second"}
    assert [alone[run]["causes by"] for run in ("first", "emotions alone")] == ["first", "first"]
    assert members_table(both).count("\n") == 3 + 1 + 6 and " ± " in members_table(both)
    low, high = both["ensemble less rule"]["interval_95"]
    difference = both["ensemble"]["pairs"]["weighted_f1"] - both["ensemble"]["rule"]["weighted_f1"]
    assert both["ensemble less rule"]["difference"] == pytest.approx(difference) and low <= difference <= high
    differences = [one["pairs"]["weighted_f1"] - one["rule"]["weighted_f1"] for one in both["members"].values()]
    assert both["members less rule"]["difference"] == pytest.approx(sum(differences) / 2)
    accuracies = [member["emotions"]["accuracy"] for member in both["members"].values()]
    assert both["mean and spread"]["emotions"]["accuracy"] == pytest.approx(
        [sum(accuracies) / 2, abs(accuracies[0] - accuracies[1]) / math.sqrt(2)]
    )
    for system, figures in (*both["members"].items(), ("both", both["ensemble"])):
        place = runs / "results_train" / system
        scored = read_predictions(place, conversations)
        assert pair_scores(conversations, scored, 2) == figures["pairs"]
        assert gold_of(place, runs) == conversations  # read as a run is
        assert all(there == computed for there, computed in verify(place, runs)[0].values())
        assert f"{figures['pairs']['weighted_f1']:.3f}" in results_table(place).splitlines()[3]
        if system == "first":  # as utils.predict has them, trees and all
            predicted = predict(conversations, *(place / "adapters" / task for task in TASKS))
            assert list(map(pairs, scored)) == list(map(pairs, predicted)) and any(map(pairs, predicted))


def test_an_ensemble_labels_what_has_no_labels(runs, conversations):
    folder = ensemble.label("unlabelled", ["first", "second", "emotions alone"], split="unlabelled", root=runs)
    assert folder == runs / "results_test" / "unlabelled" and not (folder / "metrics.json").exists()
    assert [line["conversation_ID"] for line in lines_in(folder)] == [c["conversation_ID"] for c in conversations]
    record = read_json(folder / "config.json")["utils.ensemble"]
    assert record["parameters"]["runs"] == ["first", "second", "emotions alone"] and record["revision"] == revision()


def test_members_keep_the_predictions_that_they_have(runs, conversations):
    own = runs / "results_train" / "first"
    write_predictions(own, *([[]] * 3))
    ensemble.label("both", ["first", "second"], root=runs)
    assert lines_in(own) == [] and "utils.ensemble" not in read_json(own / "config.json")
    assert len(lines_in(runs / "results_train" / "second")) == len(conversations)


def test_runs_that_do_not_belong_together_are_refused(runs, conversations):
    label = functools.partial(ensemble.label, root=runs)
    with pytest.raises(RunError, match="secnd: no such run"):
        label("mistyped", ["first", "secnd"])
    (runs / "results_train" / "empty").mkdir()
    with pytest.raises(RunError, match="empty/adapters: no finished adapter"):
        label("mistyped", ["first", "empty"])
    with pytest.raises(RunError, match="need an emotion and a cause adapter"):
        label("half", ["emotions alone"])
    with pytest.raises(RunError, match="give runs with adapters, or --encoders"):
        label("nothing")
    with pytest.raises(RunError, match="first is another system's"):
        label("first", ["first", "second"])
    record = {"parameters": {}, "input": {**fingerprints(runs / "input"), "train": "0" * 16}}
    write_json({"n": record}, runs / "results_train" / "second" / "config.json")
    with pytest.raises(RunError, match="second/config.json: other train or test conversations than first's"):
        label("seen", ["first", "second"])
    label("unlabelled", ["first", "second"], split="unlabelled")  # nobody has seen their labels
    write_json(conversations[1:], runs / "input" / "test" / "conversations.json")
    with pytest.raises(RunError, match="input is not what the runs were made with.*generate_input"):
        label("changed", ["first"])


# ---- encoders ------------------------------------------------------------------------------------------------------


@pytest.fixture
def given(sample, tmp_path):
    put(tmp_path, "input", {"train": sample[:24], "test": sample[24:32]})
    put(tmp_path, "input", {"unlabelled": [without_labels(c) for c in sample[24:32]]})
    return sample[24:32]


@pytest.mark.slow
def test_an_encoder_is_trained_resumed_and_recorded(encoder_folder, given, tmp_path, monkeypatch):
    train = functools.partial(train_encoder, "mine", encoder_folder, "input", root=tmp_path)
    folder = tmp_path / "results_train" / "mine" / "encoder"
    with monkeypatch.context() as patch:
        patch.setattr(heads, "save_file", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(epochs=2)
    with pytest.raises(ModelError, match="no finished encoder there"):
        ensemble.label("alone", encoders=["mine"], root=tmp_path)
    (folder / "checkpoints" / "checkpoint-999").mkdir()  # what an interruption leaves of one
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", lambda *_: pytest.fail("a step was done twice"))
        assert train(epochs=2) == folder
    assert not (folder / "checkpoints").exists()
    record = (tmp_path / "results_train/mine/config.json").read_text("utf-8")
    monkeypatch.setattr("utils.record.provenance.revision", lambda: "a later one")
    with pytest.raises(RunError, match="is trained"):
        train(epochs=2)
    assert (tmp_path / "results_train/mine/config.json").read_text("utf-8") == record
    with pytest.raises(RunError, match="other parameters or input"):
        train(epochs=2, seed=7)
    put(tmp_path, "input", {"train": [with_pairs(c, []) for c in given]})
    with pytest.raises(RunError, match="no causes to learn from"):
        train_encoder("empty", encoder_folder, "input", root=tmp_path)


@pytest.fixture(scope="module")
def trained(encoder_folder, sample, tmp_path_factory):
    """A folder with two trained encoders, "mine" and "other", which tests copy."""
    root = tmp_path_factory.mktemp("encoders")
    put(root, "input", {"train": sample[:24], "test": sample[24:32]})
    put(root, "input", {"unlabelled": [without_labels(c) for c in sample[24:32]]})
    train_encoder("mine", encoder_folder, "input", epochs=2, root=root)
    train_encoder("other", encoder_folder, "input", epochs=1, seed=7, root=root)
    return root


@pytest.fixture
def encoders(trained, given, tmp_path, monkeypatch):
    shutil.copytree(trained / "results_train", tmp_path / "results_train")
    monkeypatch.setattr(bootstrap, "DRAWS", 100)
    return tmp_path


def scores(root, run, conversations, head):
    encoder, reader = heads.load(root / "results_train" / run / "encoder", sizes())
    return [heads.scores(encoder, example(reader, c), head) for c in conversations]


def test_an_encoder_alone_has_its_causes_averaged_with_the_trees(encoders, sample, given):
    folder = ensemble.label("alone", encoders=["mine"], root=encoders)
    result, taught = read_json(folder / "metrics.json"), sample[:24]
    prior = emotion.prior_scores(emotion.counts(taught), Config.logit_adjustment)
    grown, paired = cause_structure.learn(taught), []
    read = [emotion.read(c, one.tolist(), prior) for c, one in zip(given, scores(encoders, "mine", given, "emotion"))]
    odds = scores(encoders, "mine", [c for c, _ in read], "cause")
    for (c, table), one, line in zip(read, odds, lines_in(folder), strict=True):
        answers = [[0.0, yes] for yes in one.tolist()]
        paired.append(cause.read_candidates(c, answers, Config.cause_threshold, grown.log_odds(c), table)[0])
        assert line["emotions"] == [u["emotion"] for u in c["conversation"]]
        assert line["emotion-cause_pairs"] == paired[-1]["emotion-cause_pairs"]
    assert result["systems"]["encoder"]["pairs"] == pair_scores(given, paired, 2)
    assert set(result["systems"]) == set(result["less rule"]) == {"encoder"}
    assert all(there == computed for there, computed in verify(folder, encoders)[0].values())


@pytest.fixture
def language_models(encoders, sample, given):
    """Predictions that language models might have recorded in the folder "lm": (before the adjustment, with emotions,
    with probabilities of causes)."""
    prior = emotion.prior_scores(emotion.counts(sample[:24]), Config.logit_adjustment)
    generator = np.random.default_rng(0)
    sure = [np.eye(7)[[ECF.index(u["emotion"]) for u in c["conversation"]]] for c in given]
    raw = [(generator.dirichlet(np.ones(7), len(one)) + one) / 2 for one in sure]
    lm = [emotion.read(c, np.log(one).tolist(), prior) for c, one in zip(given, raw, strict=True)]
    known = [{c["conversation"][i]["utterance_ID"]: {} for i in emotional(c)} for c, _ in lm]
    for (c, _), one in zip(lm, known):
        for i, j in asked(c):
            ids = [c["conversation"][k]["utterance_ID"] for k in (i, j)]
            one[ids[0]][ids[1]] = generator.uniform(0.4, 0.9)
    write_predictions(encoders / "lm", [with_pairs(c, []) for c, _ in lm], [table for _, table in lm], known)
    return raw, lm, known


def test_encoders_beside_language_models_are_averaged_as_they_say(encoders, language_models, sample, given):
    raw, _, known = language_models
    label = functools.partial(ensemble.label, "both", [], ["mine", "other"], encoders / "lm", root=encoders)
    folder = label()
    both, grown = read_json(folder / "metrics.json"), cause_structure.learn(sample[:24])
    prior = emotion.prior_scores(emotion.counts(sample[:24]), Config.logit_adjustment)
    ours = [[np.exp(one) for one in scores(encoders, run, given, "emotion")] for run in ("mine", "other")]
    means = [p / 1.5 + (a + b) / 6 for p, a, b in zip(raw, *ours, strict=True)]
    read = [emotion.read(c, np.log(one).tolist(), prior) for c, one in zip(given, means, strict=True)]
    odds = zip(*(scores(encoders, run, [c for c, _ in read], "cause") for run in ("mine", "other")))
    unasked = 0
    for (c, table), every, one, line in zip(read, odds, known, lines_in(folder), strict=True):
        assert np.allclose(line["emotion_probabilities"], table, atol=1e-3)
        for (i, j), odd, trees in zip(asked(c), np.mean(every, 0), grown.log_odds(c), strict=True):
            ids = [c["conversation"][k]["utterance_ID"] for k in (i, j)]
            p = one.get(ids[0], {}).get(ids[1])
            unasked += p is None
            total = (odd + (trees if p is None else np.log(p / (1 - p)))) / 2
            written = line["cause_probabilities"][str(ids[0])][str(ids[1])]
            assert written == pytest.approx(1 / (1 + np.exp(-total)), abs=2e-3)
    assert unasked and set(both["systems"]) == {"both", "encoder", "language models"}
    assert both["systems"]["language models"]["pairs"]["weighted_f1"] == 0
    best = both["systems"]["both"]["pairs"]["weighted_f1"]
    assert best > 0 and both["both less language models"]["difference"] == pytest.approx(best)
    assert [row.split(" |")[0] for row in systems_table(both).splitlines()[2:]] == [
        "| language models",
        "| encoder",
        "| both",
    ]
    blind = label(split="unlabelled")
    assert (blind / "predictions.jsonl").read_bytes() == (folder / "predictions.jsonl").read_bytes()
    record = read_json(blind / "config.json")["utils.ensemble"]
    assert record["parameters"]["beside"] == (encoders / "lm").as_posix()


def test_what_does_not_belong_beside_encoders_is_refused(encoders, language_models, given):
    label = functools.partial(ensemble.label, root=encoders)
    _, lm, known = language_models
    named = [with_pairs(c, []) for c, _ in lm]
    write_predictions(encoders / "less", named[:-1], [table for _, table in lm[:-1]], known[:-1])
    with pytest.raises(RunError, match="is missing"):
        label("both", encoders=["mine"], beside=encoders / "less")
    write_json(
        {"4_cause_inference": {"parameters": {}, "input": {}}}, encoders / "results_test" / "theirs" / "config.json"
    )
    with pytest.raises(RunError, match="another system's"):
        label("theirs", encoders=["mine"], split="unlabelled")
    record = next(iter(read_json(encoders / "results_train/mine/config.json").values()))
    write_json(
        {"1": {"parameters": {}, "input": record["input"]}}, encoders / "results_train" / "theirs" / "config.json"
    )
    with pytest.raises(RunError, match="tells of no encoder"):
        label("theirs", encoders=["theirs"])
    with pytest.raises(RunError, match="takes the place of runs"):
        label("both", ["mine"], ["other"], beside=encoders / "lm")
    for split in ("test", "train"):
        put(encoders, "input", {split: given[:-1]})
        with pytest.raises(RunError, match="make it again"):
            label("blind", encoders=["mine"], split={"test": "test", "train": "unlabelled"}[split])


def test_one_run_and_one_encoder_label_as_utils_predict_does(runs, encoder_folder, sample, conversations):
    put(runs, "input", {"train": sample[:6]})
    record = {"parameters": {}, "input": fingerprints(runs / "input")}
    write_json({"n": record}, runs / "results_train" / "first" / "config.json")
    train_encoder("mine", encoder_folder, "input", epochs=1, root=runs, rank=2)
    folder = ensemble.label("at once", ["first"], ["mine"], root=runs)
    adapters = (runs / "results_train" / "first" / "adapters" / task for task in TASKS)
    predictor = Predictor(*adapters, parameters={"encoder": str(runs / "results_train" / "mine")})
    paired, emotions, causes = predictor(conversations)
    assert lines_in(folder) == json.loads(json.dumps(lines_of(paired, emotions, causes)))
    metrics = read_json(folder / "metrics.json")
    assert set(metrics["systems"]) == {"both", "encoder", "language models"} and set(metrics["members"]) == {"first"}
    blind = ensemble.label("at once", ["first"], ["mine"], split="unlabelled", root=runs)
    assert lines_in(blind) == lines_in(folder)


# ---- the command, and what is committed ----------------------------------------------------------------------------


def test_the_command_says_in_one_line_what_is_missing():
    status, message = called(ensemble.main, "mine", "no-such-run")
    assert status == 2 and message.startswith("utils.ensemble: ") and "no-such-run: no such run" in message


@pytest.mark.parametrize(
    ("system", "record", "sections"),
    [
        ("smollm2-135m-ecf-ensemble", "ensemble", ("members", "mean and spread", "ensemble", "ensemble less rule")),
        ("smollm2-135m-ecf-ensemble-encoder", "encoder", ("systems", "less rule", "both less language models")),
    ],
)
def test_the_committed_metrics_are_those_of_the_records(system, record, sections):
    def flat(value, name=""):
        if isinstance(value, (dict, list)):
            for key in value if isinstance(value, dict) else range(len(value)):
                yield from flat(value[key], f"{name}/{key}")
        else:
            yield name, value

    metrics = read_scores(ROOT / "results_train" / system)
    there = read_json(ROOT / "benchmarks" / "results" / f"{record}.json")
    for section in sections:
        found, wanted = dict(flat(metrics[section])), dict(flat(there[section]))
        assert found == pytest.approx(wanted, rel=1e-12) if section != "members" else found.keys() == wanted.keys()
    best = there.get("ensemble") or there["systems"]["both"]
    assert metrics["pairs"]["fine-tuned emotions and causes"]["scores"] == best["pairs"]


@pytest.mark.slow
def test_the_committed_predictions_give_the_committed_scores(shared, tmp_path, monkeypatch):
    """Of every system with predictions on ECF's test: needs the corpus."""
    import generate_input

    out = tmp_path / "input" / "ecf"
    given = ("--data", shared / "ecf", "--splits", ROOT / "data" / "ecf1_splits.json", "--out", out)
    assert called(generate_input.main, *given)[0] == 0
    folders = [path.parent for path in shipped("results_train/*/predictions.jsonl")]
    assert {"smollm2-135m-ecf-seed-1", "smollm2-135m-ecf-ensemble"} < {folder.name for folder in folders}
    for folder in folders:
        found, *_ = verify(folder, tmp_path)
        assert len(found) >= 171 and all(is_equal(*both) for both in found.values()), folder
