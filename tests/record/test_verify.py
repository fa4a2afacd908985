"""Verify compares every figure or says which it cannot, and refuses what does not belong to the run.

python -m pytest tests/record/test_verify.py
"""

import json
import re

import numpy as np
import pytest
from helpers import ROOT, beginning, tables_of, with_votes

import generate_input
from utils.config import Config
from utils.data.labels import ECF
from utils.record import verify as module
from utils.record.predictions import write_predictions
from utils.record.run import Run
from utils.record.verify import is_equal, verify
from utils.report.scores import RESULT, read_scores
from utils.runs import main
from utils.system.errors import UserError
from utils.system.files import read_json, write_json
from utils.tasks.baselines import rule, shares, with_majority
from utils.tasks.emotion_multi import EmotionMulti

WHOLE = {
    "majority emotion + rule": "majority",
    "base model, zero-shot": "zero-shot",
    "fine-tuned emotions + rule": "fine-tuned",
    "fine-tuned emotions and causes": "fine-tuned",
    "gold emotions + rule": "gold",
    "gold emotions + fine-tuned causes": "gold",
}


@pytest.fixture
def folder(tmp_path, sample):
    """A run with every row that the notebooks write, all of it true."""
    gold, train = sample[:12], sample[12:24]
    for split, some in (("train", train), ("test", gold)):
        write_json(some, tmp_path / "input" / split / "conversations.json")
    config = Config(run_name="mine", input_dir=str(tmp_path / "input"))
    run = Run(config, "4_cause_inference", ["input_dir", "cause_threshold", "cause_form", "recipe"], root=tmp_path)
    predicted = [rule(c) for c in gold]
    emotions, causes = tables_of(predicted)
    causes[0][next(iter(causes[0]))][gold[0]["conversation"][-1]["utterance_ID"]] = 0.1
    write_predictions(run.train_dir, predicted, emotions, causes)
    majority = with_majority(gold, train)
    labelled = {
        "majority": (majority, shares(gold, train)),
        "zero-shot": (gold, tables_of(gold)[0]),
        "fine-tuned": (predicted, emotions),
    }
    run.score_emotions(gold, labelled)
    paired = {"majority": [rule(c) for c in majority], "zero-shot": gold, "fine-tuned": predicted, "gold": gold}
    rows = {name: (whose, paired[whose]) for name, whose in WHOLE.items()}
    rows["gold emotions + rule"] = "gold", [rule(c) for c in gold]
    run.score_pairs(gold, rows)
    return run.train_dir


@pytest.fixture
def of_first_version(folder):
    """The same run with metrics.json as version 1 had it: Markdown in a key, confusions without labels, no head."""
    there = read_json(folder / "metrics.json")
    for one in there["emotions"].values():
        one["confusion"] = [[*row.values()] for row in one["confusion"].values()]
    rows = {f"**{name}**" if name == RESULT else name: row for name, row in there["pairs"].items()}
    old = {"emotions": there["emotions"], "pairs": rows}
    for row in (row for rows in old.values() for row in rows.values()):
        for key in ("interval_95", "predicted", "less rule"):
            row.pop(key, None)
        for part in ("multi", "votes"):
            row.get(part, {}).pop("interval_95", None)
    write_json(old, folder / "metrics.json")
    return folder


def rewrite(path, change):
    data = read_json(path)
    change(data)
    write_json(data, path)


def told(folder, capsys):
    status = main(["verify", str(folder)])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_what_is_compared_and_what_is_not(folder, capsys):
    found = verify(folder)
    assert all(is_equal(*both) for both in found.figures.values()) and found.threshold == Config.cause_threshold
    rows = {" / ".join(name.split(" / ")[:2]) for name in found.figures if not name.endswith("emotions")}
    parts = {"votes / kl", "votes / interval_95 / js / 0", "multi / jaccard", "multi / interval_95 / lrap / 1"}
    assert {f"emotions / {name} / {one}" for name in ("majority", "fine-tuned") for one in parts} <= {*found.figures}
    assert found.thresholds == {}, "one label an utterance"
    assert {"emotions / majority", "pairs / majority emotion + rule", "pairs / fine-tuned emotions + rule"} <= rows
    status, text = told(folder, capsys)
    counts = re.findall(r"(base model, zero-shot|emotions / zero-shot|fine-tuned causes) \((\d+)\)", text)
    assert status == 0 and len(counts) == 3 and f"{sum(int(n) for _, n in counts)} figures were not compared" in text


def test_a_record_of_the_first_version_is_verified(folder, of_first_version):
    found, there = verify(of_first_version), read_scores(of_first_version)
    assert all(is_equal(*both) for both in found.figures.values())
    assert "emotions / fine-tuned / confusion / anger / anger" in found.figures and RESULT in there["pairs"]
    known = len(list(module._leaves(there)))
    assert len(found.figures) + sum(found.not_compared.values()) == known, "every figure is compared, or counted"
    rewrite(folder / "metrics.json", lambda m: m["emotions"]["fine-tuned"]["confusion"][0].pop())
    with pytest.raises(UserError, match="metrics.json: damaged"):
        verify(folder)
    rewrite(folder / "metrics.json", lambda m: m.update(version=3))
    with pytest.raises(UserError, match="metrics.json: version 3, and this code reads 2. Update the code"):
        verify(folder)


def test_emotions_alone_are_verified(folder, sample, capsys):
    """A run of notebooks 1 and 2: no pairs in its predictions, no section of pairs."""
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    alone = [{name: one[name] for name in ("conversation_ID", "emotions", "emotion_probabilities")} for one in lines]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in alone))
    status, text = told(folder, capsys)
    assert status == 2 and "pairs /" in text and "no figure of this run" in text
    rewrite(folder / "metrics.json", lambda m: m.pop("pairs"))
    rewrite(folder / "config.json", lambda m: m.update({"2_emotion_inference": m.pop("4_cause_inference")}))
    status, text = told(folder, capsys)
    assert status == 0 and "threshold" not in text
    assert main(["compare", str(folder)]) == 2 and "has no causes yet" in capsys.readouterr().err
    rewrite(folder / "metrics.json", lambda m: m["emotions"]["fine-tuned"].update(accuracy=0.999))
    assert told(folder, capsys)[0] == 1
    alone[0]["emotion-cause_pairs"] = []
    (folder / "predictions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in alone))
    assert told(folder, capsys)[0] == 2, "pairs of some conversations alone"


# ---- several labels an utterance -------------------------------------------------------------------------------------

THRESHOLDS = dict.fromkeys(ECF, 0.5) | {"fear": 0.2}


@pytest.fixture
def several(tmp_path, sample):
    """A run of notebooks 1 and 2 with targets multi."""
    gold, random = [with_votes(beginning(c, 5)) for c in sample[:12]], np.random.default_rng(0)
    write_json(gold, tmp_path / "input" / "test" / "conversations.json")
    config = Config(run_name="mine", input_dir=str(tmp_path / "input"), targets="multi")
    run = Run(config, "2_emotion_inference", ["input_dir", "targets"], root=tmp_path)
    write_json({"thresholds": THRESHOLDS}, run.adapter("emotion") / "training.json")
    (run.adapter("emotion") / "adapter_model.safetensors").write_bytes(b"weights")
    run.finished_adapter("emotion")
    task, found = EmotionMulti(ECF, [*THRESHOLDS.values()]), []
    for c in gold:
        search, p = task.ask(c), 0.6 * random.random(7 * len(c["conversation"]))
        search.update(np.log(np.column_stack([1 - p, p])).tolist())
        found.append(search.read())
    labelled, tables = map(list, zip(*found))
    run.save_emotions(run.train_dir, labelled, tables)
    run.score_emotions(gold, {"fine-tuned": (labelled, tables)})
    return run.train_dir


def test_several_labels_are_those_of_their_thresholds(several, capsys):
    found = verify(several)
    assert all(is_equal(*both) for both in found.figures.values()) and found.thresholds == THRESHOLDS
    status, text = told(several, capsys)
    assert status == 0 and text.count("\n") == 1, "nothing is left out"
    rewrite(several / "config.json", lambda m: m["2_emotion_inference"].pop("thresholds"))
    status, text = told(several, capsys)
    assert status == 0 and "labels were not compared with their probabilities: no record here names their" in text
    rewrite(several / "config.json", lambda m: m["2_emotion_inference"].update(thresholds=[0.5]))
    status, text = told(several, capsys)
    assert status == 2 and "config.json: damaged" in text


def test_a_label_that_does_not_follow_from_its_threshold_is_told(several, capsys):
    path = several / "predictions.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    utterances = [(k, i) for k, line in enumerate(lines) for i in range(len(line["emotions"]))]

    def reached(k, i):
        return [e for e, p in zip(ECF, lines[k]["emotion_probabilities"][i]) if p > THRESHOLDS[e] + 0.001]

    without = [at for at in utterances if "neutral" not in lines[at[0]]["emotions"][at[1]]]
    two = next(at for at in without if len(reached(*at)) == 2)
    none = next(at for at in without if not reached(*at))
    for (k, i), change, says in (
        (two, lambda named: named[:1], "is not named at"),
        (two, lambda named: [e for e in ECF if e in named or e == "neutral"], "neutral is named at"),
        (none, lambda named: ["neutral"], "neutral is named at"),
        (none, lambda named: [e for e in ECF if e in named or e == "neutral"], "is named at"),
    ):
        changed = json.loads(json.dumps(lines))
        changed[k]["emotions"][i] = change(changed[k]["emotions"][i])
        path.write_text("".join(json.dumps(line) + "\n" for line in changed))
        status, text = told(several, capsys)
        assert status == 2 and says in text and f"conversation {lines[k]['conversation_ID']}, utterance" in text


@pytest.mark.slow
def test_every_fabricated_figure_is_told_or_counted(folder, capsys):
    """Each figure in turn is 0.999: verify differs, or counts it among those that it did not compare."""
    metrics = read_json(folder / "metrics.json")
    not_compared = verify(folder).not_compared
    names = list(module._leaves(metrics))
    for name, value in names[:: max(1, len(names) // 40)]:
        if any(name.startswith(row) for row in (*not_compared, "version", "made")) or value == 0.999:
            continue
        changed = json.loads(json.dumps(metrics))
        *path, last = name.split(" / ")
        inner = changed
        for key in path:
            inner = inner[int(key) if isinstance(inner, list) else key]
        inner[int(last) if isinstance(inner, list) else last] = "gold" if isinstance(value, str) else 0.999
        if is_equal(value, "gold"):
            continue
        write_json(changed, folder / "metrics.json")
        status, text = told(folder, capsys)
        assert status == 1 and name in text, name


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda m: m["pairs"].update({"our new system": m["pairs"]["gold emotions + rule"]}), "our new system"),
        (lambda m: m["emotions"].update({"better": {"accuracy": 0.95}}), "better / accuracy"),
        (lambda m: m["emotions"]["fine-tuned"].update(f2=0.95), "fine-tuned / f2"),
        (lambda m: m.update(more={"accuracy": 0.95}), "more / accuracy"),
    ],
)
def test_unknown_rows_are_refused(folder, capsys, change, says):
    rewrite(folder / "metrics.json", change)
    status, text = told(folder, capsys)
    assert status == 2 and "metrics.json" in text and says in text and "remove it" in text


def test_a_headline_of_other_emotions_differs(folder, capsys):
    rewrite(folder / "metrics.json", lambda m: m["pairs"]["fine-tuned emotions and causes"].update(emotions="majority"))
    status, text = told(folder, capsys)
    assert status == 1 and "fine-tuned emotions and causes / emotions: 'majority' in metrics.json" in text


@pytest.mark.parametrize("value", [10**400, None, "0.9", [], {}, True, -(10**400)])
def test_figures_that_are_none_differ(folder, capsys, value):
    rewrite(folder / "metrics.json", lambda m: m["emotions"]["fine-tuned"].update(accuracy=value))
    status, text = told(folder, capsys)
    assert status in (1, 2) and "accuracy" in text and text.count("\n") <= 3


def edited(lines, number, **fields):
    return [json.dumps({**json.loads(line), **fields}) if k == number else line for k, line in enumerate(lines)]


def other_emotion(lines):
    first = json.loads(lines[0])
    table = first["emotion_probabilities"]
    table[0] = [0.4 if p == 1.0 else 0.1 for p in table[0]]
    table[0][(table[0].index(0.4) + 1) % 7] = 0.5
    return edited(lines, 0, emotion_probabilities=[[p / sum(row) for p in row] for row in table])


def no_pairs(lines):
    busy = next(k for k, line in enumerate(lines) if json.loads(line)["emotion-cause_pairs"])
    return edited(lines, busy, **{"emotion-cause_pairs": []})


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda lines: [*lines, lines[0]], "line 13.*is there twice: keep one"),
        (
            lambda lines: [*lines, json.dumps({**json.loads(lines[0]), "conversation_ID": "x"})],
            "line 13.*was not scored",
        ),
        (other_emotion, "is not the most probable emotion"),
        (lambda lines: edited(lines, 0, emotion_probabilities=[[3, 4]]), "rows of probabilities for"),
        (lambda lines: edited(lines, 0, emotion_probabilities="high"), "rows of probabilities for"),
        (lambda lines: [re.sub(r"\[0\.0, ", "[0.7, ", line, count=1) for line in lines], "are no probabilities of 7"),
        (no_pairs, "is not named at 1.0000, and the threshold is 0.2"),
        (lambda lines: [line.replace(": 0.1", ": 1.1") for line in lines], "the probability 1.1 that .* cannot be"),
        (lambda lines: [line.replace(": 0.1", ": 0.3") for line in lines], "is not named at 0.3000"),
        (lambda lines: edited(lines, 0, cause_probabilities={}), "has no probability"),
        (lambda lines: edited(lines, 0, cause_probabilities={"x": 1}), "damaged"),
        (lambda lines: edited(lines, 0, cause_probabilities={"77": {"1": 0.1}}), "cannot be"),
    ],
)
def test_predictions_that_do_not_belong_there_are_refused(folder, capsys, change, says):
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    (folder / "predictions.jsonl").write_text("\n".join(change(lines)))
    status, text = told(folder, capsys)
    assert status == 2 and text.count("\n") == 1 and re.search(f"predictions.jsonl.*{says}", text), text


def test_four_digits_at_the_threshold_are_enough(folder, capsys):
    for near in ("0.2", "0.2001"):
        text = (folder / "predictions.jsonl").read_text()
        (folder / "predictions.jsonl").write_text(text.replace(": 0.1", f": {near}"))
        assert told(folder, capsys)[0] == 0
        (folder / "predictions.jsonl").write_text(text)


SHIPPED = ("", "-ensemble", "-ensemble-encoder", "-seed-1", "-seed-2")


@pytest.mark.slow
def test_what_ships_is_verified(tmp_path, shared, capsys):
    data = ["--data", str(shared / "ecf"), "--splits", "ecf1_splits.json", "--out", str(tmp_path / "input" / "ecf")]
    assert generate_input.main(data) == 0
    for name in SHIPPED:
        folder = ROOT / "results_train" / f"smollm2-135m-ecf{name}"
        found = verify(folder, tmp_path)
        assert all(is_equal(*both) for both in found.figures.values()) and len(found.figures) > 170, name
        assert found.threshold == 0.2, name
    changed = read_json(ROOT / "results_train/smollm2-135m-ecf-ensemble/metrics.json")
    changed["members"]["smollm2-135m-ecf"]["pairs"]["weighted_f1"] += 0.01
    ensemble = tmp_path / "results_train" / "smollm2-135m-ecf-ensemble"
    ensemble.mkdir(parents=True)
    for file in ("config.json", "predictions.jsonl"):
        (ensemble / file).write_bytes((ROOT / "results_train/smollm2-135m-ecf-ensemble" / file).read_bytes())
    write_json(changed, ensemble / "metrics.json")
    wrong = [name for name, both in verify(ensemble, tmp_path).figures.items() if not is_equal(*both)]
    assert wrong == ["members / smollm2-135m-ecf / pairs / weighted_f1"]
    changed["members"]["ghost"] = changed["members"]["smollm2-135m-ecf"]
    write_json(changed, ensemble / "metrics.json")
    found = verify(ensemble, tmp_path)
    assert found.not_compared["members / ghost"] > 20


def test_a_record_without_input_is_told(folder, capsys):
    for change in (
        lambda c: c["4_cause_inference"]["parameters"].update(input_dir=5),
        lambda c: c["4_cause_inference"].pop("parameters"),
        lambda c: c.update({"4_cause_inference": []}),
        lambda c: c["4_cause_inference"].update(input=3),
        lambda c: c.clear(),
    ):
        before = (folder / "config.json").read_bytes()
        rewrite(folder / "config.json", change)
        status, text = told(folder, capsys)
        assert status == 2 and text.count("\n") == 1 and str(folder) in text, text
        (folder / "config.json").write_bytes(before)
    (folder / "config.json").write_text("[]")
    with pytest.raises(UserError, match="config.json: holds .* where an object belongs"):
        verify(folder)
