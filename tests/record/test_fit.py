"""A run's training: what it learns from, what it records, and the adapter that it makes.

python -m pytest tests/record/test_fit.py
"""

import pytest
import torch
from helpers import with_votes
from safetensors.torch import load_file

from utils.config import Config
from utils.data.conversations import with_emotions, with_pairs
from utils.data.labels import ECF
from utils.data.templates import Template
from utils.data.topics import Topic
from utils.data.votes import distribution
from utils.engine.settings import InferenceSettings
from utils.models.adapters import load_adapter
from utils.models.adapting import TITLES
from utils.models.load import load_model
from utils.record.adapter import labels_of, trained_with
from utils.record.fit import examples, fit
from utils.record.provenance import weights_of
from utils.record.run import Run
from utils.system.errors import ModelError, RunError, TrainingError
from utils.system.files import read_json
from utils.tasks import emotion
from utils.tasks.ask import predict
from utils.tasks.cause import Cause
from utils.tasks.emotion import Emotion
from utils.tasks.instruction import Instructions
from utils.tasks.opinion import Opinions


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
    fit(run, config.task("emotion"), *load_model(tiny_model_folder, precision="float32"), conversations[:1])
    made = read_json(run.adapter("emotion") / "adapter_config.json")
    assert (made["r"], made["lora_alpha"], made["lora_dropout"]) == (4, 12, 0.25)


@pytest.mark.parametrize("adapter", TITLES)
def test_any_adapter_is_trained_recorded_and_read_again(tiny_model_folder, conversations, tmp_path, adapter):
    config = Config(
        run_name=adapter,
        model=tiny_model_folder,
        quantization="none",
        precision="float32",
        adapter=adapter,
        virtual_tokens=4,
        text_epochs=1.0,
        emotion_epochs=2.0,
        emotion_learning_rate=0.01,
        gradient_accumulation=1,
    )
    run = Run(config, "n", [], root=tmp_path)
    task = config.task("emotion")
    model, history = fit(run, task, *load_model(tiny_model_folder, precision="float32"), conversations)
    assert [one["loss"] for one in history if "loss" in one]
    folder = run.adapter("emotion")
    assert trained_with(folder) == config
    base, tokenizer = load_model(tiny_model_folder, precision="float32")
    loaded = load_adapter(base, folder, tiny_model_folder)
    found = [predict(task, one, tokenizer, conversations, config.inference())[1] for one in (model, loaded)]
    assert found[0] == found[1]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{TITLES[adapter]} for `" in card and f"- {adapter}\n" in card


@pytest.mark.parametrize("adapter", ["dora", "ia3", "llama_adapter"])
def test_other_adapters_learn_the_published_recipe_too(tiny_model_folder, conversations, tmp_path, adapter):
    how = {"recipe": "published", "adapter": adapter, "emotion_learning_rate": 0.01, "gradient_accumulation": 1}
    config = Config(run_name="a", model=tiny_model_folder, precision="float32", emotion_epochs=2.0, **how)
    run, task = Run(config, "n", [], root=tmp_path), config.task("emotion")
    model, _ = fit(run, task, *load_model(tiny_model_folder, precision="float32"), conversations[:1])
    base, tokenizer = load_model(tiny_model_folder, precision="float32")
    loaded = load_adapter(base, run.adapter("emotion"), tiny_model_folder)
    found = [predict(task, one, tokenizer, conversations[:2], config.inference()) for one in (model, loaded)]
    assert found[0] == found[1]


@pytest.mark.parametrize("adapter", ["ia3", "prompt_tuning", "llama_adapter"])
def test_other_adapters_learn_instructions_and_opinions_too(tiny_model_folder, tmp_path, adapter):
    topic = Topic.read("new-stadium")
    opinion = {"text_ID": 1, "text": "No!", "opinions": {topic.name: {"relevant": True, "score": -2.0}}}
    example = {"example_ID": 1, "instruction": "Name a fruit.", "input": "", "output": "A plum."}
    asked = [(Opinions({topic.name: topic}, "regression"), opinion), (Instructions(Template.read("alpaca")), example)]
    for task, item in asked:
        rates = {
            "opinion_epochs": 5.0,
            "instruction_epochs": 5.0,
            "opinion_learning_rate": 0.01,
            "instruction_learning_rate": 0.01,
            "gradient_accumulation": 1,
        }
        config = Config(run_name=task.name, model=tiny_model_folder, precision="float32", adapter=adapter, **rates)
        run = Run(config, "n", [], root=tmp_path)
        model, history = fit(run, task, *load_model(tiny_model_folder, precision="float32"), [item])
        losses = [one["loss"] for one in history if "loss" in one]
        assert losses[-1] < losses[0]
        base, tokenizer = load_model(tiny_model_folder, precision="float32")
        loaded = load_adapter(base, run.adapter(task.name), tiny_model_folder)
        found = [predict(task, one, tokenizer, [item], config.inference()) for one in (model, loaded)]
        assert found[0] == found[1]


def test_virtual_tokens_begin_as_the_tasks_sentence(tiny_model_folder, conversations, tmp_path):
    how = {"virtual_tokens": 40, "emotion_learning_rate": 1e-9, "gradient_accumulation": 1}
    config = Config(run_name="a", model=tiny_model_folder, precision="float32", adapter="prompt_tuning", **how)
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    words = model.get_input_embeddings().weight.detach().clone()
    run = Run(config, "n", [], root=tmp_path)
    fit(run, config.task("emotion"), model, tokenizer, conversations)
    saved = load_file(run.adapter("emotion") / "adapter_model.safetensors")["prompt_embeddings"]
    tokens = (tokenizer("Name the emotion of every utterance.").input_ids * 40)[:40]
    assert torch.allclose(saved, words[tokens], atol=1e-6) and not torch.equal(saved, words[tokens])


@pytest.mark.parametrize("adapter", TITLES)
def test_training_begins_with_another_runs_adapter(tiny_model_folder, conversations, tmp_path, adapter):
    how = {"model": tiny_model_folder, "precision": "float32", "adapter": adapter, "gradient_accumulation": 1}

    def trained(name, **parameters):
        config = Config(run_name=name, **how, **parameters)
        run = Run(config, "n", [], root=tmp_path)
        fit(run, config.task("emotion"), *load_model(tiny_model_folder, precision="float32"), conversations)
        return run.train_dir, load_file(run.adapter("emotion") / "adapter_model.safetensors")

    first, learnt = trained("first", emotion_learning_rate=0.01)
    folder, again = trained("again", emotion_learning_rate=1e-6, emotion_start=str(first))
    _, fresh = trained("fresh", emotion_learning_rate=1e-6)
    assert learnt.keys() == again.keys() and all(torch.allclose(learnt[k], again[k], atol=1e-4) for k in learnt)
    assert not all(torch.allclose(learnt[k], fresh[k], atol=1e-4) for k in learnt)
    start = read_json(folder / "adapters" / "emotion" / "training.json")["start"]
    assert start == {"run": "first", "adapter": weights_of(first / "adapters" / "emotion")}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"lora_r": 8}, r"cannot begin with this adapter \(.*\[4, .*there, \[8, .*here"),
        ({"lora_r": 4, "lora_alpha": 4}, "lora_alpha 16 there, 4 here"),
        ({"lora_r": 4, "lora_targets": ["q_proj"]}, "cannot begin with this adapter"),
        ({"adapter": "ia3"}, "peft_type 'LORA' there, 'IA3' here"),
        ({"emotion_start": "nowhere"}, "no such run"),
        ({"emotion_start": "."}, "no finished adapter here"),
    ],
)
def test_an_adapter_that_training_cannot_begin_with_is_refused(
    tiny_model_folder, conversations, tmp_path, parameters, message
):
    how = {"model": tiny_model_folder, "precision": "float32", "gradient_accumulation": 1}
    config = Config(run_name="first", lora_r=4, **how)
    first = Run(config, "n", [], root=tmp_path)
    fit(first, config.task("emotion"), *load_model(tiny_model_folder, precision="float32"), conversations)
    config = Config(**{"run_name": "again", **how, "emotion_start": str(first.train_dir), **parameters})
    run = Run(config, "n", [], root=tmp_path)
    with pytest.raises((ModelError, RunError), match=message):
        fit(run, config.task("emotion"), *load_model(tiny_model_folder, precision="float32"), conversations)


def test_a_calm_conversation_is_no_row_of_cause_training(tiny_model_folder, tokenizer, conversations, tmp_path):
    calm = conversations[0]
    calm = with_pairs(with_emotions(calm, ["neutral"] * len(calm["conversation"])), [])
    rows = examples(Cause(), [calm, conversations[1]], tokenizer, Config(token_budget=1))
    assert len(rows) == 1 and rows[0].targets
    run = Run(Config(run_name="calm", model=tiny_model_folder), "n", [], root=tmp_path)
    with pytest.raises(TrainingError, match="the training split holds no cause to learn from"):
        fit(run, Cause(), *load_model(tiny_model_folder, precision="float32"), [calm])


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
            run, Emotion(), *load_model(tiny_model_folder, precision="float32"), conversations[:1], validation
        )
        record = read_json(run.adapter("emotion") / "training.json")
        weights = (run.adapter("emotion") / "adapter_model.safetensors").read_bytes()
        return [one["eval_loss"] for one in history if "eval_loss" in one], record, weights

    one, record, weights = fitted("a", conversations[1:2])
    other, *_ = fitted("b", conversations[2:3])
    assert len(one) == len(other) == 4 and not {*one} & {*other}, "before training and behind each epoch"
    assert record["emotions"] == emotion.counts(conversations[:1])
    assert fitted("a", conversations[1:2]) == (one, record, weights), "not trained a second time"


def test_weights_and_sampling_change_training_alone(tiny_model_folder, conversations, tmp_path):
    """The loss on val of a training that moves nothing is the plain one; the record says what training saw."""
    plain = {"model": tiny_model_folder, "precision": "float32", "lora_r": 4, "emotion_learning_rate": 1e-12}
    found = {}
    for name, more in {"plain": {}, "rare": {"class_weights": "inverse", "sampling": "balanced"}}.items():
        config = Config(run_name=name, gradient_accumulation=1, **plain, **more)
        run = Run(config, "n", [], root=tmp_path)
        base = load_model(tiny_model_folder, precision="float32")
        _, history = fit(run, run.task("emotion"), *base, conversations[:2], conversations[2:])
        record = read_json(run.adapter("emotion") / "training.json")
        found[name] = [one["eval_loss"] for one in history if "eval_loss" in one], record
    assert found["rare"][0] == pytest.approx(found["plain"][0], rel=1e-5) and "weights" not in found["plain"][1]
    record = found["rare"][1]
    task, drawn = Config(class_weights="inverse", sampling="balanced").task("emotion").taught(conversations[:2], 42)
    assert record["emotions"] == task.counts(drawn) and record["weights"] == task.weights
    assert Config().task("emotion").trained(tmp_path / "results_train/rare/adapters/emotion").prior == pytest.approx(
        emotion.prior_scores({one: n * task.weights.get(one, 1) for one, n in task.counts(drawn).items()}, 0.5)
    )


@pytest.mark.parametrize("targets", ["multi", "votes"])
def test_an_adapter_of_other_targets_is_trained_recorded_and_read_again(
    tiny_model_folder, conversations, tmp_path, targets
):
    """The thresholds are those of the saved adapter on val; val's labels alone move them, and never the weights."""
    voted = [with_votes(c) for c in conversations]
    calm = {**voted[1], "conversation": [{**u, "votes": {"neutral": 5}} for u in voted[1]["conversation"]]}
    weights, thresholds = [], []
    for name, val in (("a", voted[1]), ("b", calm)):
        config = Config(
            run_name=name,
            model=tiny_model_folder,
            precision="float32",
            lora_r=4,
            emotion_epochs=3.0,
            emotion_learning_rate=1e-2,
            gradient_accumulation=1,
            targets=targets,
        )
        run = Run(config, "n", [], root=tmp_path)
        task, folder = run.task("emotion"), run.adapter("emotion")
        fit(run, task, *load_model(tiny_model_folder, precision="float32"), [voted[0], voted[2]], [val])
        record = read_json(folder / "training.json")
        weights.append((folder / "adapter_model.safetensors").read_bytes())
        thresholds.append(record.get("thresholds"))
    assert weights[0] == weights[1]
    again = labels_of(folder), trained_with(folder)
    trained = again[1].task("emotion", again[0]).trained(folder)
    base, tokenizer = load_model(tiny_model_folder, precision="float32")
    model = load_adapter(base, folder, tiny_model_folder)
    labelled, tables = predict(trained, model, tokenizer, voted, InferenceSettings())
    if targets == "votes":
        shares = [distribution(u, ECF) for c in (voted[0], voted[2]) for u in c["conversation"]]
        assert record["emotions"] == {label: pytest.approx(sum(s.get(label, 0) for s in shares)) for label in ECF}
        assert all(isinstance(u["emotion"], str) for c in labelled for u in c["conversation"])
        assert trained.prior == emotion.prior_scores(record["emotions"], config.logit_adjustment)
        return
    assert thresholds[0] != thresholds[1]
    for number, val in enumerate((voted[1], calm)):
        found = task.decided([val], lambda: [tables[1]])["thresholds"]
        assert found == pytest.approx(thresholds[number], rel=1e-4), "as chosen before the adapter was saved"
    assert all(isinstance(u["emotion"], list) and u["emotion"] for c in labelled for u in c["conversation"])
    for u, p in zip(labelled[0]["conversation"], tables[0]):
        reached = [label for label, one in zip(ECF, p) if one >= thresholds[1][label]]
        assert u["emotion"] == (reached or u["emotion"]) and len(u["emotion"]) == max(len(reached), 1)
