"""The encoder reads what it says, learns, and its answers are decided and recorded like the language model's; a tiny
random one, made here.

    python -m pytest tests/test_encoder.py
"""

import json

import pytest
import torch
from transformers import MPNetConfig, MPNetModel, Trainer

from benchmarks import encoder
from utils import cause, emotion, structure
from utils.config import Config
from utils.conversations import causes_of, read_json, with_pairs, without_labels, write_json
from utils.metrics import pair_scores
from utils.runs import RunError, write_predictions


@pytest.fixture(scope="module")
def reader(tokenizer):
    """The shared tokenizer with the special tokens that an encoder has."""
    return type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, cls_token="<s>", sep_token="<|im_end|>",
                           pad_token="<|endoftext|>")


@pytest.fixture(scope="module")
def base_folder(reader, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny-mpnet")
    torch.manual_seed(5)
    config = MPNetConfig(vocab_size=len(reader), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                         num_attention_heads=2, max_position_embeddings=514, pad_token_id=reader.pad_token_id)
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
        assert [emotion.LABELS[k] for k in one["emotions"]] == [u["emotion"] for u in c["conversation"]]
        ids = [u["utterance_ID"] for u in c["conversation"]]
        found = {(ids[i], ids[j]) for (i, j), y in zip(one["pairs"], one["causes"], strict=True) if y}
        assert found == {(i, j) for i, causes in causes_of(c).items() for j in causes}
        assert len(one["known"]) == len(one["pairs"])


def test_a_batch_scores_what_each_conversation_scores_alone(reader, base_folder, conversations):
    torch.manual_seed(0)
    model = encoder.Encoder(MPNetModel.from_pretrained(base_folder)).eval()
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


def put(root, name, splits):
    for split, conversations in splits.items():
        write_json(conversations, root / name / split / "conversations.json")


def commanded(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["encoder", *map(str, arguments)])
    encoder.main()


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
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", lambda *_: pytest.fail("a step was done twice"))
        commanded(monkeypatch, *to_train)
    assert not (folder / "checkpoints").exists()
    with pytest.raises(SystemExit, match="is trained"):
        commanded(monkeypatch, *to_train)
    with pytest.raises(SystemExit, match="other parameters or input"):
        commanded(monkeypatch, *to_train, "--seed", "7")

    # alone, its causes are averaged with the trees'
    commanded(monkeypatch, "label", "alone", "mine")
    result = read_json(tmp_path / "benchmarks" / "alone.json")
    lines = (tmp_path / "benchmarks/alone.predictions/predictions.jsonl").read_text("utf-8").splitlines()
    model, prior = encoder.load(folder), emotion.prior_scores(emotion.counts(taught), Config.logit_adjustment)
    grown, paired = structure.learn(taught), []
    read = [emotion.read(c, one.tolist(), prior) for c, one in zip(given, encoder.scores(*model, given, "emotion"))]
    asked = encoder.scores(*model, [c for c, _ in read], "cause")
    for (c, table), one, line in zip(read, asked, map(json.loads, lines), strict=True):
        answers = [[0.0, odds] for odds in one.tolist()]
        paired.append(cause.read_candidates(c, answers, Config.cause_threshold, grown.log_odds(c), table)[0])
        assert line["emotions"] == [u["emotion"] for u in c["conversation"]]
        assert line["emotion-cause_pairs"] == paired[-1]["emotion-cause_pairs"]
    assert result["systems"]["encoder"]["pairs"] == pair_scores(given, paired, 2)
    assert set(result["systems"]) == set(result["less rule"]) == {"encoder"}

    # beside language models that know the answers, but named no pair: their share of the average decides
    sure = [[[0.94 if u["emotion"] == label else 0.01 for label in emotion.LABELS] for u in c["conversation"]]
            for c in given]
    known = [{i: {j: float(j in causes) for j in cause.candidates(c, i - 1)} for i, causes in causes_of(c).items()}
             for c in given]
    write_predictions(tmp_path / "other", [with_pairs(c, []) for c in given], sure, known)
    commanded(monkeypatch, "label", "both", "mine", "--beside", tmp_path / "other")
    both = read_json(tmp_path / "benchmarks" / "both.json")
    assert both["systems"]["encoder"] == result["systems"]["encoder"]
    assert both["systems"]["language models"]["pairs"]["weighted_f1"] == 0
    best = both["systems"]["both"]
    assert best["emotions"]["accuracy"] > 0.9 and best["pairs"]["weighted_f1"] > 0.9
    assert both["both less language models"]["difference"] == pytest.approx(best["pairs"]["weighted_f1"])
    rows = encoder.table(both).splitlines()
    assert [row.split(" |")[0] for row in rows[2:]] == ["| language models", "| encoder", "| both"]
    commanded(monkeypatch, "label", "both", "mine", "--beside", tmp_path / "other", "--split", "unlabelled")
    blind = (tmp_path / "results_test/both/predictions.jsonl").read_text("utf-8")
    assert blind == (tmp_path / "benchmarks/both.predictions/predictions.jsonl").read_text("utf-8")
    record = read_json(tmp_path / "results_test/both/config.json")["benchmarks.encoder"]
    assert record["parameters"]["beside"] == (tmp_path / "other").as_posix()

    write_predictions(tmp_path / "less", given[:-1], sure[:-1], known[:-1])
    with pytest.raises(RunError, match="is missing"):
        commanded(monkeypatch, "label", "both", "mine", "--beside", tmp_path / "less")
    put(tmp_path, "input", {"test": given[:-1]})
    with pytest.raises(SystemExit, match="make it again"):
        commanded(monkeypatch, "label", "both", "mine")
