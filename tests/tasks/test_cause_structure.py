"""Causes by structure: the trees are scikit-learn's, they reach the labels, and no word is read.

python -m pytest tests/tasks/test_cause_structure.py
"""

import copy
import json
import math

import numpy as np
import pytest
from helpers import FIVE, conversation, middle_threshold
from sklearn.ensemble import GradientBoostingClassifier

from utils.config import Config
from utils.data.conversations import causes_of, pairs, with_pairs
from utils.data.labels import ECF
from utils.engine.settings import InferenceSettings
from utils.export import export
from utils.models.load import load_model
from utils.predict import Predictor
from utils.record.fit import fit
from utils.record.run import open_run
from utils.report.metrics import pair_scores
from utils.system.errors import ModelError
from utils.system.files import read_json, write_json
from utils.tasks import cause, cause_structure
from utils.tasks.ask import predict
from utils.tasks.candidates import asked
from utils.tasks.cause import Cause
from utils.tasks.task import probabilities


def answers(c):
    """Gold answers to the questions of `cause.asked`."""
    ids, causes = [u["utterance_ID"] for u in c["conversation"]], causes_of(c)
    return [ids[j] in causes[ids[i]] for i, j in asked(c)]


def test_the_log_odds_are_scikit_learns(sample, monkeypatch):
    kept, fit = [], GradientBoostingClassifier.fit
    monkeypatch.setattr(GradientBoostingClassifier, "fit", lambda self, *given: kept.append(fit(self, *given)) or self)
    learnt = cause_structure.learn(sample[:40], seed=3)
    for c in sample:
        wanted = kept[0].decision_function(cause_structure.features(c)) if asked(c) else []
        assert learnt.log_odds(c) == pytest.approx(list(wanted), abs=2e-4)


def test_they_are_learnt_and_better_than_distances_alone(sample):
    taught, held_out = sample[:60], sample[60:]
    gold, odds = np.array(sum(map(answers, held_out), [])), []
    learnt = cause_structure.learn(taught)
    odds = np.array(sum(map(learnt.log_odds, held_out), []))
    loss = np.logaddexp(0, np.where(gold, -odds, odds)).mean()
    shares = {}  # of each distance, among the taught
    for c in taught:
        for (i, j), yes in zip(asked(c), answers(c)):
            shares.setdefault(j - i, []).append(yes)
    p = np.array([(sum(shares[j - i]) + 0.5) / (len(shares[j - i]) + 1) for c in held_out for i, j in asked(c)])
    assert loss < -np.log(np.where(gold, p, 1 - p)).mean()
    assert learnt == cause_structure.learn(taught), "the same again"


def test_it_knows_who_what_where_but_no_word():
    names = cause_structure.feature_names()
    c = conversation(["no", "Why? Why!", "because of that", "d", "e"], [u["emotion"] for u in FIVE["conversation"]])
    c["conversation"] = [{**u, "speaker": s} for u, s in zip(c["conversation"], "AABAB")]
    found = {pair: dict(zip(names, row)) for pair, row in zip(asked(c), cause_structure.features(c).tolist())}
    anger_by_joy = {name: value for name, value in found[2, 0].items() if value}
    assert anger_by_joy == {
        "distance": -2,
        "emotion anger": 1,
        "candidate joy": 1,
        "neutral before it": 1,
        "candidate's speaker between": 1,
        "words": 3,
        "candidate's words": 1,
        "words between": 2,
        "speaker follows the candidate's": 1,
    }
    itself = {name: value for name, value in found[0, 0].items() if value}
    assert itself == {
        "same speaker": 1,
        "same emotion": 1,
        "emotion joy": 1,
        "candidate joy": 1,
        "words": 1,
        "candidate's words": 1,
    }
    assert found[0, 1]["candidate's question marks"] == found[0, 1]["candidate's exclamation marks"] == 1
    other = copy.deepcopy(c)
    for u in other["conversation"]:
        u["text"] = " ".join("x" + "".join(m for m in word if m in "?!") for word in u["text"].split())
    assert cause_structure.features(other).tolist() == cause_structure.features(c).tolist()


def test_the_emotions_around_an_utterance_are_not_those_around_its_candidate():
    emotions = ["joy", "neutral", "joy", "joy", "anger", "joy", "anger", "neutral"]
    c, names, around = conversation("abcdefgh", emotions), cause_structure.feature_names(), dict(enumerate(emotions))
    for (i, j), row in zip(asked(c), cause_structure.features(c), strict=True):
        wanted = {
            "its emotion before it": around.get(i - 1) == emotions[i],
            "neutral before it": around.get(i - 1) == "neutral",
            "its emotion two before it": around.get(i - 2) == emotions[i],
            "its emotion after it": around.get(i + 1) == emotions[i],
            "candidate's emotion before the candidate": around.get(j - 1) == emotions[j],
            "its emotion before the candidate": around.get(j - 1) == emotions[i],
            "candidate's emotion after the candidate": around.get(j + 1) == emotions[j],
            "its emotion after the candidate": around.get(j + 1) == emotions[i],
        }
        assert {name: row[names.index(name)] for name in wanted} == wanted, (i, j)


def test_where_there_is_nothing_to_tell_nothing_is_learnt(sample):
    assert cause_structure.learn([]) is None
    assert cause_structure.learn([with_pairs(c, []) for c in sample[:5]]) is None
    calm = conversation("ab", ["neutral", "neutral"])
    assert cause_structure.learn(sample[:20]).log_odds(calm) == []


def test_log_odds_and_certainty_make_the_pairs():
    scores = [[math.log(0.5) - 3, math.log(0.5) - 3] for _ in asked(FIVE)]
    odds = [4.0 if i == j else -4.0 for i, j in asked(FIVE)]
    paired, table = cause.read_candidates(FIVE, scores, 0.2, odds)
    assert pairs(paired) == [(1, "joy", 1), (3, "anger", 3), (4, "fear", 4)]
    assert table[1] == pytest.approx({1: 1 / (1 + math.exp(-2)), **{i: 1 / (1 + math.exp(2)) for i in range(2, 5)}})
    unsure = [[0.9, 0.1], [0.5, 0.5], [0.22, 0.2], [0.23, 0.2], [1.0]]  # times 0.88: 0.79, -, 0.194, 0.203
    paired, same = cause.read_candidates(FIVE, scores, 0.2, odds, unsure)
    assert pairs(paired) == [(1, "joy", 1), (4, "fear", 4)] and same == table
    agreed = [[math.log(0.1), math.log(0.9)] for _ in asked(FIVE)]
    paired, table = cause.read_candidates(FIVE, agreed, 0.2, [math.log(9)] * len(agreed))
    assert all(p == pytest.approx(0.9) for row in table.values() for p in row.values())


def test_a_training_leaves_them_and_prediction_uses_them(tiny_model_folder, sample, tmp_path):
    for split in ("train", "val", "test"):
        write_json(sample[:3], tmp_path / "input" / split / "conversations.json")
    config = Config(
        run_name="one", model=tiny_model_folder, precision="float32", lora_r=2, cause_epochs=3.0, emotion_epochs=3.0
    )
    _, run = open_run(config.as_dict(), "3_cause_prediction_training", tmp_path)
    for name in ("emotion", "cause"):
        model, tokenizer = load_model(tiny_model_folder, precision="float32")
        fit(run, config.task(name), model, tokenizer, sample[:3])
    folder = run.adapter("cause")
    learnt = cause_structure.load(folder)
    assert (
        learnt == cause_structure.learn(sample[:3], config.seed)
        and cause_structure.load(run.adapter("emotion")) is None
    )

    threshold = middle_threshold(run.adapter("emotion"), folder, sample[:2])
    predictor = Predictor(run.adapter("emotion"), folder)
    labelled, tables, causes = predictor(sample[:2])
    model, tokenizer = predictor.models["cause"]
    model.set_adapter("cause")

    def found(structure=None, emotions=None):
        task = Cause(threshold=threshold, structure=structure)
        task = task if emotions is None else task.given_emotions(labelled, emotions)
        return predict(task, model, tokenizer, labelled, InferenceSettings())

    assert found(structure=learnt, emotions=tables) == (labelled, causes)
    assert found(emotions=tables)[1] != causes and found(structure=learnt)[1] == causes
    unsure = [[[p / 9 for p in one] for one in table] for table in tables]  # it had been sure of every emotion
    assert found(structure=learnt, emotions=unsure)[0] != labelled != found(emotions=tables)[0] and pairs(labelled[0])

    exported = export(folder, tmp_path / "exported")
    assert cause_structure.load(exported) == learnt and cause_structure.FILE in (exported / "README.md").read_text()

    (folder / cause_structure.FILE).unlink()
    with pytest.raises(ModelError, match="structure.json is missing"):
        Predictor(run.adapter("emotion"), folder)


def test_a_damaged_file_is_named(sample, tmp_path):
    write_json({"structure": True}, tmp_path / "training.json")
    cause_structure.save(cause_structure.learn(sample[:10]), tmp_path)
    whole = read_json(tmp_path / cause_structure.FILE)
    assert cause_structure.load(tmp_path).trees == whole["trees"]
    damages = [
        {"features": ["distance"]},
        {"start": None},
        {"trees": [{}]},
        {"trees": 3},
        {"trees": [whole["trees"][0] | {"left": [0]}]},
        {"trees": [whole["trees"][0] | {"value": [None] * len(whole["trees"][0]["left"])}]},
        {"trees": [whole["trees"][0] | {"left": [0.0] * len(whole["trees"][0]["left"])}]},
        {"trees": [whole["trees"][0] | {"right": [999] * len(whole["trees"][0]["left"])}]},
        {"trees": [whole["trees"][0] | {"feature": [99] * len(whole["trees"][0]["left"])}]},
    ]
    for damage in damages:
        (tmp_path / cause_structure.FILE).write_text(json.dumps(whole | damage))
        with pytest.raises(ModelError, match="structure.json: cannot be used"):
            cause_structure.load(tmp_path)
    write_json({}, tmp_path / "training.json")
    assert cause_structure.load(tmp_path) is None


def test_certain_emotions_are_gold_ones(sample):
    learnt, c = cause_structure.learn(sample[:40]), sample[50]
    scores = [[0.0, odds] for odds in learnt.log_odds(c)]
    certain = [probabilities([50.0 * (label == u["emotion"]) for label in ECF]) for u in c["conversation"]]
    assert cause.read_candidates(c, scores, 0.3) == cause.read_candidates(c, scores, 0.3, emotions=certain)
    assert pair_scores([c], [cause.read_candidates(c, scores, 0.3)[0]], 2)["weighted_f1"] > 0
