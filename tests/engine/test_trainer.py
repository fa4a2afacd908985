"""Lines whose silent change no other test noticed, each with what a user would have met: found by changing some ninety
lines of utils/ one at a time.

    python -m pytest tests/test_silent_faults.py
"""

import math

import bitsandbytes
import pytest
import torch
from test_conversations import conversation
from test_export import read_gguf
from test_memory import small_memory
from test_parity import with_adapter
from test_tasks import FIVE
from transformers import LlamaConfig, LlamaForCausalLM, get_cosine_schedule_with_warmup

from utils.config import Config
from utils.data import labels
from utils.data.conversations import names_of, pairs, validate_conversations, with_emotions, with_pairs, without_labels
from utils.engine import trainer
from utils.engine.inference import Journal, fingerprint, generate_published
from utils.engine.prefix_tree import pack
from utils.engine.rows import encode_trees
from utils.engine.settings import TrainingSettings
from utils.engine.trainer import train
from utils.models.gguf import write_gguf
from utils.models.load import load_model
from utils.record.adapter import trained_with
from utils.record.fit import examples, fit
from utils.record.predictions import write_predictions
from utils.record.run import Run, open_run
from utils.report.metrics import emotion_scores, pair_scores, per_emotion_pair_scores
from utils.runs import main
from utils.system.errors import ConversationError, RunError, TrainingError
from utils.system.files import read_json, write_json
from utils.tasks import ask, emotion
from utils.tasks.ask import predict_causes, predict_emotions
from utils.tasks.baselines import rule


def test_generated_texts_of_another_adapter_are_not_taken_from_the_journal(tiny_model_folder, tmp_path):
    journal, prompts = Journal(tmp_path / "unfinished.jsonl"), [("a", "Hello"), ("b", "Where are you?")]
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    generate_published(model, tokenizer, prompts, 5, 2, "", journal)
    model = with_adapter(tiny_model_folder, std=0.5)
    assert generate_published(model, tokenizer, prompts, 5, 2, "", journal) == generate_published(
        model, tokenizer, prompts, 5, 2, ""
    )
    assert len(journal.results) == 2


def test_results_of_another_base_model_or_precision_are_another_models(tiny_model_folder, tmp_path):
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    one = fingerprint(model)
    assert fingerprint(load_model(tiny_model_folder, precision="bfloat16")[0]) != one
    tokenizer.save_pretrained(tmp_path)
    LlamaForCausalLM(model.config).save_pretrained(tmp_path)
    assert fingerprint(load_model(str(tmp_path), precision="float32")[0]) != one


def test_generated_texts_become_the_labels_that_they_name(monkeypatch, tiny_model_folder):
    model, tokenizer = load_model(tiny_model_folder)
    other = {**FIVE, "conversation_ID": 6}

    def saying(*texts):
        left = iter(texts)
        monkeypatch.setattr(ask, "_generate", lambda m, t, prompts, n: [next(left) for _ in prompts])

    saying("emotion :: fear", "joy", "nothing", "disgust.", "emotion :: sadness", *["emotion :: anger"] * 5)
    labelled, tables = predict_emotions(
        model, tokenizer, [without_labels(c) for c in (FIVE, other)], recipe="published", batch_size=3
    )
    wanted = [["fear", "joy", "neutral", "disgust", "sadness"], ["anger"] * 5]
    assert [[u["emotion"] for u in c["conversation"]] for c in labelled] == wanted
    assert [[labels.LABELS[one.index(1.0)] for one in table] for table in tables] == wanted
    # FIVE's utterances 1, 3 and 4 carry an emotion
    saying("utterance_ids :: [2]", "none", "[4, 1]", "[9]", "[3]", "[]")
    paired, tables = predict_causes(model, tokenizer, [FIVE, other], recipe="published", batch_size=2)
    assert [pairs(c) for c in paired] == [[(1, "joy", 2), (4, "fear", 1), (4, "fear", 4)], [(3, "anger", 3)]]
    assert tables == [{1: {2: 1.0}, 3: {}, 4: {1: 1.0, 4: 1.0}}, {1: {}, 3: {3: 1.0}, 4: {}}]


def test_prior_and_threshold_reach_the_reading(tiny_model_folder, conversations):
    model, tokenizer = with_adapter(tiny_model_folder).eval(), load_model(tiny_model_folder)[1]
    given = [without_labels(c) for c in conversations]
    _, plain = predict_emotions(model, tokenizer, given)
    prior = [0.0] * 6 + [1.0]
    _, adjusted = predict_emotions(model, tokenizer, given, prior=prior)
    for one, other in zip(plain[0], adjusted[0]):
        by_hand = [p * math.exp(-off) for p, off in zip(one, prior)]
        assert other == pytest.approx([p / sum(by_hand) for p in by_hand])
    _, (table, *_) = predict_causes(model, tokenizer, conversations)
    middle = sorted(p for one in table.values() for p in one.values())[len(table) // 2]
    found, _ = predict_causes(model, tokenizer, conversations, threshold=middle)
    assert {(i, c) for i, _, c in pairs(found[0])} == {
        (i, c) for i, one in table.items() for c, p in one.items() if p >= middle
    }


def test_the_learning_rate_warms_up_and_follows_the_scheduler(tiny_model_folder, tokenizer, conversations, tmp_path):
    trees = [emotion.tree(conversations[0], train=True)]
    rows = encode_trees(trees, ["a"], tokenizer, 4096, train=True)
    settings = TrainingSettings(
        learning_rate=1e-3, epochs=10, gradient_accumulation=1, scheduler="cosine", warmup_ratio=0.3
    )
    history = train(with_adapter(tiny_model_folder), tokenizer, rows, settings, tmp_path)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1e-3)
    schedule, wanted = get_cosine_schedule_with_warmup(optimizer, 3, 10), []
    for _ in range(10):
        wanted.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert [one["learning_rate"] for one in history if "learning_rate" in one] == pytest.approx(wanted)


def test_long_prompts_of_the_published_recipe_are_not_cut(tiny_model_folder, tokenizer, tmp_path):
    prompt = "Hello there, who are you? " * 200
    length = len(tokenizer(prompt + "emotion :: joy").input_ids) + 1
    assert length > 1100
    model = with_adapter(tiny_model_folder)
    seen = small_memory(model, 10**9)
    train(
        model,
        tokenizer,
        [(prompt, "emotion :: joy")],
        TrainingSettings(learning_rate=1e-3),
        tmp_path,
        recipe="published",
    )
    assert set(seen) == {length}


def test_the_evaluation_loss_of_a_row_done_in_parts_is_the_rows(tiny_model_folder, tokenizer, conversations, tmp_path):
    trees = [emotion.tree(c, train=True) for c in conversations]
    rows = encode_trees(trees, names_of(conversations), tokenizer, 4096, train=True)
    assert len({len(row.targets) for row in rows}) == 3
    losses = []
    for number, room in enumerate((10**9, max(map(len, rows)))):
        model = with_adapter(tiny_model_folder)
        small_memory(model, room)
        history = train(
            model,
            tokenizer,
            rows[:1],
            TrainingSettings(learning_rate=1e-12, optimizer="sgd"),
            tmp_path / str(number),
            validation=[pack(rows)],
        )
        losses += [float(one["eval_loss"]) for one in history if "eval_loss" in one]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5) and len(losses) == 2


def test_verify_fails_where_a_score_is_not_that_of_the_predictions(tmp_path, sample, capsys):
    gold = sample[:20]
    write_json(gold, tmp_path / "input" / "test" / "conversations.json")
    config = Config(run_name="mine", input_dir=str(tmp_path / "input"))
    run = Run(config, "4_cause_inference", ["input_dir"], root=tmp_path)
    predicted = [rule(c) for c in gold]
    write_predictions(run.train_dir, predicted, [[[1.0]] * len(c["conversation"]) for c in gold], [{} for _ in gold])
    run.add_metrics("emotions", {"fine-tuned": emotion_scores(gold, predicted)})
    names = "fine-tuned emotions + rule", "**fine-tuned emotions and causes**", "gold emotions + rule"
    scores = {"scores": pair_scores(gold, predicted, 2), "per_emotion": per_emotion_pair_scores(gold, predicted)}
    run.add_metrics("pairs", dict.fromkeys(names, scores))
    assert main(["verify", str(run.train_dir)]) == 0
    assert capsys.readouterr().out.strip().endswith("figures are those of the predictions")
    metrics = read_json(run.train_dir / "metrics.json")
    metrics["pairs"]["gold emotions + rule"]["scores"]["weighted_f1"] += 1e-3
    write_json(metrics, run.train_dir / "metrics.json")
    assert main(["verify", str(run.train_dir)]) == 1
    assert "gold emotions + rule / scores / weighted_f1: " in capsys.readouterr().out


def test_the_adapter_has_the_parameters_rank_scale_and_dropout(tiny_model_folder, conversations, tmp_path):
    config = Config(
        run_name="a",
        model=tiny_model_folder,
        precision="float32",
        lora_r=4,
        lora_alpha=12,
        lora_dropout=0.25,
        gradient_accumulation=1,
        emotion_epochs=3.0,
    )
    run = Run(config, "n", [], root=tmp_path)
    fit(run, "emotion", *load_model(tiny_model_folder, precision="float32"), conversations[:1])
    made = read_json(run.adapter("emotion") / "adapter_config.json")
    assert (made["r"], made["lora_alpha"], made["lora_dropout"]) == (4, 12, 0.25)


def test_a_calm_conversation_is_no_row_of_cause_training(tiny_model_folder, tokenizer, conversations, tmp_path):
    calm = conversations[0]
    calm = with_pairs(with_emotions(calm, ["neutral"] * len(calm["conversation"])), [])
    rows = examples("cause", [calm, conversations[1]], tokenizer, Config(token_budget=1))
    assert len(rows) == 1 and rows[0].targets
    run = Run(Config(run_name="calm", model=tiny_model_folder), "n", [], root=tmp_path)
    with pytest.raises(TrainingError, match="the training split holds no cause to learn from"):
        fit(run, "cause", *load_model(tiny_model_folder, precision="float32"), [calm])


def test_validation_is_evaluated_and_nothing_else_and_a_finished_adapter_is_kept(
    tiny_model_folder, conversations, tmp_path
):
    def fitted(name, validation):
        config = Config(
            run_name=name,
            model=tiny_model_folder,
            precision="float32",
            token_budget=1,
            lora_r=4,
            emotion_epochs=3.0,
            gradient_accumulation=1,
        )
        run = Run(config, "n", [], root=tmp_path)
        model, history = fit(
            run, "emotion", *load_model(tiny_model_folder, precision="float32"), conversations[:1], validation
        )
        record = read_json(run.adapter("emotion") / "training.json")
        weights = (run.adapter("emotion") / "adapter_model.safetensors").read_bytes()
        return [one["eval_loss"] for one in history if "eval_loss" in one], record, weights

    (one,), record, weights = fitted("a", conversations[1:2])
    (other,), *_ = fitted("b", conversations[2:3])
    assert one != other
    assert record["emotions"] == emotion.counts(conversations[:1])
    assert fitted("a", conversations[1:2]) == ([one], record, weights), "not trained a second time"


def test_the_published_recipe_learns_every_token_of_prompt_and_completion(tiny_model_folder, tokenizer, tmp_path):
    taught = [("Who is it? ", "emotion :: joy"), ("Nobody, it is the wind. ", "emotion :: fear")]
    model, count, wanted = with_adapter(tiny_model_folder), 0, 0.0
    for prompt, completion in taught:
        tokens = tokenizer(prompt + completion).input_ids + [tokenizer.eos_token_id]
        with torch.no_grad():
            logp = model(input_ids=torch.tensor([tokens])).logits[0, :-1].log_softmax(-1)
        wanted -= logp.gather(-1, torch.tensor(tokens[1:])[:, None]).sum().item()
        count += len(tokens) - 1
    settings = TrainingSettings(learning_rate=1e-3, gradient_accumulation=2)
    first = train(model, tokenizer, taught, settings, tmp_path, recipe="published")[0]
    assert first["loss"] == pytest.approx(wanted / count, rel=1e-4)


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "float32"])
def test_training_computes_in_the_precision(tiny_model_folder, tokenizer, tmp_path, precision, monkeypatch):
    class Seen(Exception):
        pass

    def seen(self, *, args, **given):
        raise Seen(args.bf16, args.fp16, args.seed)

    monkeypatch.setattr(trainer.PatientTrainer, "__init__", seen)
    settings = TrainingSettings(learning_rate=1e-3, precision=precision, seed=7)
    with pytest.raises(Seen) as found:
        train(with_adapter(tiny_model_folder), tokenizer, [("a", "b")], settings, tmp_path, recipe="published")
    assert found.value.args == (precision == "bfloat16", precision == "float16", 7)


def test_gguf_of_a_tied_model_with_positions_and_norms_of_its_own_scores_the_same(
    tiny_model_folder, tokenizer, conversations, tmp_path
):
    torch.manual_seed(7)
    config = LlamaConfig.from_pretrained(tiny_model_folder)  # SmolLM2's choices, which are not the defaults
    config.tie_word_embeddings, config.rope_parameters["rope_theta"], config.rms_norm_eps = True, 1e5, 1e-2
    model = LlamaForCausalLM(config).eval()
    write_gguf(model, tokenizer, tmp_path / "one.gguf")
    again, _ = read_gguf(tmp_path / "one.gguf")
    tokens = torch.tensor([tokenizer(emotion.text(conversations[1])).input_ids])
    with torch.no_grad():
        assert torch.allclose(model(tokens).logits, again(tokens).logits, atol=1e-4)


def test_four_bits_are_normal_floats_with_double_quantization(tiny_model_folder):
    model, _ = load_model(tiny_model_folder, "nf4", "float32")
    states = [m.weight.quant_state for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert states and {(state.quant_type, state.nested) for state in states} == {("nf4", True)}


def test_a_pair_of_an_utterance_that_is_neutral_disagrees():
    with pytest.raises(ConversationError, match="utterance 1, .*disagrees with the utterance's emotion, neutral"):
        validate_conversations([conversation(pairs=[("1_joy", "1")])])


def test_a_split_that_comes_between_two_notebooks_is_another_input(tmp_path, conversations):
    write_json(conversations, tmp_path / "input" / "train" / "conversations.json")
    open_run({"run_name": "one"}, "1_emotion_recognition_training", tmp_path)
    write_json(conversations, tmp_path / "input" / "test" / "conversations.json")  # what training has seen
    with pytest.raises(RunError, match="already holds another run .test None there, '"):
        open_run({"run_name": "one"}, "2_emotion_inference", tmp_path)


def test_held_out_words_are_found_in_other_case_and_spacing(tmp_path, conversations):
    given = without_labels(conversations[0])
    given["conversation"] = [{**u, "text": f" {u['text'].upper().replace(' ', '  ')} "} for u in given["conversation"]]
    splits = {"train": conversations[1:], "val": [], "test": conversations[:1], "unlabelled": [given]}
    for split, some in splits.items():
        write_json(some, tmp_path / "input" / split / "conversations.json")
    assert Run(Config(text_epochs=1.0), "n", [], root=tmp_path).unlabelled_words() == []


def test_a_link_survives_and_its_file_is_written(tmp_path):
    (tmp_path / "there.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "there.json")
    write_json([], tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink() and read_json(tmp_path / "there.json") == []


def test_predict_takes_what_the_runs_inference_used(tmp_path):
    adapter = tmp_path / "adapters" / "cause"
    write_json({"parameters": {"cause_threshold": 0.25, "logit_adjustment": 0.4, "seed": 7}}, adapter / "training.json")
    write_json(
        {
            "2_emotion_inference": {"parameters": {"logit_adjustment": 0.9}},
            "4_cause_inference": {"parameters": {"cause_threshold": 0.6}},
        },
        tmp_path / "config.json",
    )
    config = trained_with(adapter)
    assert (config.cause_threshold, config.logit_adjustment, config.seed) == (0.6, 0.9, 7)
