"""The encoder reads what it says, learns, and its answers are decided and recorded like the language model's; a tiny
random one, made here.

    python -m pytest tests/test_encoder.py
"""

import functools
import json

import numpy as np
import pytest
import torch
from transformers import AutoModel, MPNetConfig, MPNetModel, Trainer

from benchmarks import encoder
from utils.config import Config
from utils.data import labels
from utils.data.conversations import causes_of, with_pairs, without_labels
from utils.record.predictions import write_predictions
from utils.report.metrics import pair_scores
from utils.system.files import read_json, write_json
from utils.tasks import cause, cause_structure, emotion


@pytest.fixture(scope="module")
def reader(tokenizer):
    """The shared tokenizer with the special tokens that an encoder has."""
    return type(tokenizer)(
        tokenizer_object=tokenizer.backend_tokenizer, cls_token="<s>", sep_token="<|im_end|>", pad_token="<|endoftext|>"
    )


@pytest.fixture(scope="module")
def base_folder(reader, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny-mpnet")
    torch.manual_seed(5)
    config = MPNetConfig(
        vocab_size=len(reader),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=514,
        pad_token_id=reader.pad_token_id,
    )
    MPNetModel(config).save_pretrained(folder)
    reader.save_pretrained(folder)
    return folder


def said(reader, one):
    """The text that each utterance's place holds."""
    return [reader.decode(one["rows"][row][start:end]) for row, start, end in one["where"]]


def test_every_utterance_is_where_it_says_also_in_long_conversations(reader, sample, conversations):
    long = {"conversation": [u for c in sample[:20] for u in c["conversation"]]}
    for c in (*conversations, long):
        one = encoder.example(reader, without_labels(c))
        assert said(reader, one) == [f"{emotion.line(u)}<|im_end|>" for u in c["conversation"]]
        assert all(row[0] == reader.cls_token_id and len(row) <= encoder.ROW for row in one["rows"])
    assert len(one["rows"]) > 2
    # a row that goes on has context: the line before its first new one
    starts = [start for row, start, _ in one["where"] if row == 1]
    assert starts[0] > 1 and one["rows"][1][1 : starts[0]] == one["rows"][0][-(starts[0] - 1) :]


def test_targets_are_the_gold_labels(reader, conversations):
    for c in conversations:
        one = encoder.example(reader, c, gold=True)
        assert [labels.LABELS[k] for k in one["emotions"]] == [u["emotion"] for u in c["conversation"]]
        ids = [u["utterance_ID"] for u in c["conversation"]]
        found = {(ids[i], ids[j]) for (i, j), y in zip(one["pairs"], one["causes"], strict=True) if y}
        assert found == {(i, j) for i, causes in causes_of(c).items() for j in causes}
        assert len(one["known"]) == len(one["pairs"])


@pytest.mark.parametrize("kind", ["encoder", "language model"])
def test_a_batch_scores_what_each_conversation_scores_alone(
    reader, tokenizer, base_folder, tiny_model_folder, conversations, kind
):
    torch.manual_seed(0)
    reader, folder = (reader, base_folder) if kind == "encoder" else (tokenizer, tiny_model_folder)
    assert encoder.one_way(reader) == (kind == "language model")
    model = encoder.Encoder(AutoModel.from_pretrained(folder), encoder.one_way(reader)).eval()
    rows = [encoder.example(reader, c, gold=True) for c in conversations]
    with torch.no_grad():
        together, alone = model(**encoder.collate(rows)), [model(**encoder.collate([one])) for one in rows]
    for name in ("emotion_scores", "cause_scores"):
        assert torch.allclose(together[name], torch.cat([one[name] for one in alone]), atol=0.02)  # bfloat16
    assert together["cause_scores"].std() > 0.01
    gold = torch.tensor(sum((one["emotions"] for one in rows), []))
    causes = torch.tensor(sum((one["causes"] for one in rows), []))
    p = together["cause_scores"].sigmoid()
    wanted = -(together["emotion_scores"].log_softmax(1)[range(len(gold)), gold]).mean()
    wanted -= torch.where(causes == 1, p, 1 - p).log().mean()
    assert together["loss"].item() == pytest.approx(wanted.item(), rel=1e-4)


def test_a_language_model_is_read_at_its_ends_and_at_the_next_ones(tokenizer, tiny_model_folder, conversations):
    base = AutoModel.from_pretrained(tiny_model_folder)
    model, seen = encoder.Encoder(base, True).eval(), []
    model.emotion.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        model(**encoder.collate([encoder.example(tokenizer, c) for c in conversations]))
    wanted = []
    for c in conversations:
        lines = [tokenizer(f"{emotion.line(u)}\n", add_special_tokens=False).input_ids for u in c["conversation"]]
        row, ends = [tokenizer.bos_token_id, *sum(lines, [])], np.cumsum([1, *map(len, lines)])
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            states = base(input_ids=torch.tensor([row])).last_hidden_state[0].float()
        for k, end in enumerate(ends[1:]):
            after = ends[min(k + 2, len(lines))]
            said = torch.cat([states[ends[k] : end].mean(0), states[end - 1], states[after - 1]])
            wanted.append((said - said.mean()) / said.std(correction=0))
    assert torch.allclose(seen[0], torch.stack(wanted), atol=1e-3)


def put(root, name, splits):
    for split, conversations in splits.items():
        write_json(conversations, root / name / split / "conversations.json")


def commanded(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["encoder", *map(str, arguments)])
    encoder.main()


def test_what_a_language_model_learnt_by_lora_is_in_what_is_kept(tiny_model_folder, sample, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder, "ROOT", tmp_path)
    put(tmp_path, "input", {"train": sample[:24]})
    given, trained, train = sample[24:32], [], Trainer.train

    def watched(self, **resumed):
        train(self, **resumed)
        names = {name for name, p in self.model.base.named_parameters() if p.requires_grad}
        assert names and all("lora" in name for name in names)
        reader = encoder.AutoTokenizer.from_pretrained(tiny_model_folder)
        trained.extend(encoder.scores(self.model.eval(), reader, given, "emotion"))

    monkeypatch.setattr(Trainer, "train", watched)
    commanded(monkeypatch, "train", "mine", tiny_model_folder, "--data", "input", "--epochs", "4")
    model, reader = encoder.load(tmp_path / "results_train" / "mine" / "encoder")
    kept = encoder.scores(model, reader, given, "emotion")
    model.base = AutoModel.from_pretrained(tiny_model_folder)
    without = encoder.scores(model.eval(), reader, given, "emotion")
    trained, kept, without = map(np.concatenate, (trained, kept, without))
    assert np.abs(kept - trained).mean() < 0.05 < np.abs(without - trained).mean()


def test_a_run_is_trained_resumed_and_labels(base_folder, sample, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder, "ROOT", tmp_path)
    monkeypatch.setattr("benchmarks.ensemble.ROOT", tmp_path)
    taught, given = sample[:24], sample[24:32]
    put(tmp_path, "input", {"train": taught, "test": given, "unlabelled": [without_labels(c) for c in given]})
    folder = tmp_path / "results_train" / "mine" / "encoder"
    to_train = ("train", "mine", base_folder, "--data", "input", "--epochs", "2")
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "save_file", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            commanded(monkeypatch, *to_train)
    with pytest.raises(SystemExit, match="no finished encoder there"):
        commanded(monkeypatch, "label", "alone", "mine")
    (folder / "checkpoints" / "checkpoint-999").mkdir()  # what an interruption leaves of one
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", lambda *_: pytest.fail("a step was done twice"))
        commanded(monkeypatch, *to_train)
    assert not (folder / "checkpoints").exists()
    record = (tmp_path / "results_train/mine/config.json").read_text("utf-8")
    monkeypatch.setattr(encoder, "revision", lambda: "a later one")
    with pytest.raises(SystemExit, match="is trained"):
        commanded(monkeypatch, *to_train)
    assert (tmp_path / "results_train/mine/config.json").read_text("utf-8") == record
    with pytest.raises(SystemExit, match="other parameters or input"):
        commanded(monkeypatch, *to_train, "--seed", "7")

    # alone, its causes are averaged with the trees'
    commanded(monkeypatch, "label", "alone", "mine")
    result = read_json(tmp_path / "benchmarks" / "alone.json")
    lines = (tmp_path / "benchmarks/alone.predictions/predictions.jsonl").read_text("utf-8").splitlines()
    model, prior = encoder.load(folder), emotion.prior_scores(emotion.counts(taught), Config.logit_adjustment)
    grown, paired = cause_structure.learn(taught), []
    read = [emotion.read(c, one.tolist(), prior) for c, one in zip(given, encoder.scores(*model, given, "emotion"))]
    asked = encoder.scores(*model, [c for c, _ in read], "cause")
    for (c, table), one, line in zip(read, asked, map(json.loads, lines), strict=True):
        answers = [[0.0, odds] for odds in one.tolist()]
        paired.append(cause.read_candidates(c, answers, Config.cause_threshold, grown.log_odds(c), table)[0])
        assert line["emotions"] == [u["emotion"] for u in c["conversation"]]
        assert line["emotion-cause_pairs"] == paired[-1]["emotion-cause_pairs"]
    assert result["systems"]["encoder"]["pairs"] == pair_scores(given, paired, 2)
    assert set(result["systems"]) == set(result["less rule"]) == {"encoder"}

    # two of them beside language models: everything is averaged as it says
    commanded(monkeypatch, "train", "other", base_folder, "--data", "input", "--epochs", "1", "--seed", "7")
    second = encoder.load(tmp_path / "results_train" / "other" / "encoder")
    generator = np.random.default_rng(0)
    sure = [np.eye(7)[[labels.LABELS.index(u["emotion"]) for u in c["conversation"]]] for c in given]
    raw = [(generator.dirichlet(np.ones(7), len(one)) + one) / 2 for one in sure]
    lm = [emotion.read(c, np.log(one).tolist(), prior) for c, one in zip(given, raw, strict=True)]
    known = [{c["conversation"][i]["utterance_ID"]: {} for i in cause.emotional(c)} for c, _ in lm]
    for (c, _), one in zip(lm, known):
        for i, j in cause.asked(c):
            ids = [c["conversation"][k]["utterance_ID"] for k in (i, j)]
            one[ids[0]][ids[1]] = generator.uniform(0.4, 0.9)
    named = [with_pairs(c, []) for c, _ in lm]
    write_predictions(tmp_path / "lm", named, [table for _, table in lm], known)
    commanded(monkeypatch, "label", "both", "mine", "other", "--beside", tmp_path / "lm")
    both = read_json(tmp_path / "benchmarks" / "both.json")
    lines = (tmp_path / "benchmarks/both.predictions/predictions.jsonl").read_text("utf-8").splitlines()
    ours = [[np.exp(one) for one in encoder.scores(*each, given, "emotion")] for each in (model, second)]
    means = [p / 1.5 + (a + b) / 6 for p, a, b in zip(raw, *ours, strict=True)]
    read = [emotion.read(c, np.log(one).tolist(), prior) for c, one in zip(given, means, strict=True)]
    asked = zip(*(encoder.scores(*each, [c for c, _ in read], "cause") for each in (model, second)))
    unasked = 0
    for (c, table), odds, one, line in zip(read, asked, known, map(json.loads, lines), strict=True):
        assert np.allclose(line["emotion_probabilities"], table, atol=1e-3)
        for (i, j), odd, trees in zip(cause.asked(c), np.mean(odds, 0), grown.log_odds(c), strict=True):
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
    rows = encoder.table(both).splitlines()
    assert [row.split(" |")[0] for row in rows[2:]] == ["| language models", "| encoder", "| both"]
    commanded(monkeypatch, "label", "both", "mine", "other", "--beside", tmp_path / "lm", "--split", "unlabelled")
    blind = (tmp_path / "results_test/both/predictions.jsonl").read_text("utf-8")
    assert blind == (tmp_path / "benchmarks/both.predictions/predictions.jsonl").read_text("utf-8")
    record = read_json(tmp_path / "results_test/both/config.json")["benchmarks.encoder"]
    assert record["parameters"]["beside"] == (tmp_path / "lm").as_posix()

    # what does not belong together is refused before anything is asked
    refused = functools.partial(pytest.raises, SystemExit)
    beside = ("label", "both", "mine", "--beside")
    write_predictions(tmp_path / "less", named[:-1], [table for _, table in lm[:-1]], known[:-1])
    with refused(match="is missing"):
        commanded(monkeypatch, *beside, tmp_path / "less")
    write_json({"4_cause_inference": {}}, tmp_path / "results_test" / "theirs" / "config.json")
    with refused(match="another system's"):
        commanded(monkeypatch, "label", "theirs", "mine", "--split", "unlabelled")
    write_json(
        {"1": {"input": read_json(tmp_path / "results_train/mine/config.json")["benchmarks.encoder"]["input"]}},
        tmp_path / "results_train" / "theirs" / "config.json",
    )
    with refused(match="tells of no encoder"):
        commanded(monkeypatch, "label", "theirs", "theirs")
    for split in ("test", "train"):
        put(tmp_path, "input", {split: given[:-1]})
        with refused(match="make it again"):
            commanded(monkeypatch, "label", "blind", "mine", "--split", {"test": "test", "train": "unlabelled"}[split])
    put(tmp_path, "input", {"train": [with_pairs(c, []) for c in taught]})
    with refused(match="no causes to learn from"):
        commanded(monkeypatch, "train", "empty", base_folder, "--data", "input")
