"""The strategies `sequence` and `prompt`: rows of many texts equal one sequence a text in transformers and PEFT alone.

    python -m pytest tests/tasks/test_opinion_strategies.py

The sequences go through the libraries' own forward passes, with the libraries' own positions, masks and pooling.
"""

import math
from contextlib import nullcontext

import pytest
import torch
from helpers import stopped_training
from one_sequence import pefts_own
from transformers import AutoModelForSequenceClassification

from utils.config import Config
from utils.data.topics import Topic
from utils.engine.head_trainer import head_loss
from utils.engine.prefix_tree import encode, pack, rooted
from utils.engine.rows import encode_trees
from utils.engine.settings import InferenceSettings, TrainingSettings
from utils.engine.trainer import train
from utils.models.adapters import adapter_weights, add_adapter, load_adapter, save_adapter
from utils.models.adapting import OF_HEADS
from utils.models.head import groups_of, outputs_of
from utils.models.load import load_model
from utils.models.virtual import virtual_tokens
from utils.record.fit import examples
from utils.system.errors import ModelError
from utils.tasks.ask import predict
from utils.tasks.forms import opinion_task
from utils.tasks.opinion import ASKED, Opinions
from utils.tasks.opinion_head import OpinionsOfHead

WEEK, STADIUM = Topic.read("four-day-week"), Topic.read("new-stadium")
TOPICS = {topic.name: topic for topic in (WEEK, STADIUM)}
TEXTS = [
    {"text_ID": 1, "text": "Four days are enough.", "opinions": {WEEK.name: {"relevant": True, "score": 2.0}}},
    {
        "text_ID": 2,
        "text": "No stadium, please; the week I do not mind.",
        "opinions": {STADIUM.name: {"relevant": True, "score": -1.5}, WEEK.name: {"relevant": True, "score": 0.0}},
    },
    {"text_ID": 3, "text": "It rains.", "opinions": {STADIUM.name: {"relevant": False}}},
]
STEP = {"learning_rate": 1.0, "gradient_accumulation": 1, "scheduler": "constant", "warmup_ratio": 0.0}
BUDGETS = pytest.mark.parametrize("budget", [1, 4096], ids=["a text a row", "packed"])
LORA = {"r": 4, "alpha": 8, "dropout": 0.0, "targets": "all-linear"}


def shaken(model, seed=0):
    """The model with random weights in its adapter."""
    generator = torch.Generator().manual_seed(seed)
    for _, parameter in adapter_weights(model):
        parameter.data += torch.randn(parameter.shape, generator=generator) * 0.1
    return model


def norm(model):
    found = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
    return math.sqrt(sum(gradient.square().sum().item() for gradient in found))


# ---- sequence ------------------------------------------------------------------------------------------------------


def with_head(folder, task, method="lora"):
    model, tokenizer = load_model(folder, precision="float32", outputs=task.outputs)
    torch.manual_seed(0)
    return shaken(add_adapter(model, method, **({} if method == "ia3" else LORA))), tokenizer


def sequences(tokenizer, task):
    """[(text, topic, its tokens by hand)] in the order of the questions."""
    return [
        (
            text,
            name,
            tokenizer("What does the writer of a text think?").input_ids
            + encode(tokenizer, f"\nWhat does the writer think of {TOPICS[name].about}?")
            + encode(tokenizer, f"\nText: {text['text']}")
            + encode(tokenizer, "\nAnswer:"),
        )
        for text in TEXTS
        for name in text["opinions"]
    ]


def plain_outputs(model, tokens):
    return model(input_ids=torch.tensor([tokens])).logits[0]


@BUDGETS
@pytest.mark.parametrize("task_type", ASKED)
def test_a_head_gives_what_transformers_classifier_gives_for_one_sequence_a_text(tiny_model_folder, task_type, budget):
    task = OpinionsOfHead(TOPICS, task_type)
    model, tokenizer = with_head(tiny_model_folder, task)
    _, tables = predict(task, model.eval(), tokenizer, TEXTS, InferenceSettings(token_budget=budget))
    for text, name, tokens in sequences(tokenizer, task):
        with torch.no_grad():
            outputs = plain_outputs(model, tokens)
        wanted = [outputs[group].softmax(0).tolist() if len(group) > 1 else outputs[group].tolist()
                  for group in map(list, groups_of(list(task.outputs)))]  # fmt: skip
        found = list(tables[TEXTS.index(text)][name].values())
        for one, other in zip(found, wanted, strict=True):
            assert one == pytest.approx(other, rel=1e-4, abs=1e-5)


def test_a_heads_training_step_is_the_plain_one(tiny_model_folder, tmp_path):
    task = OpinionsOfHead(TOPICS, "regression_with_relevance")
    model, tokenizer = with_head(tiny_model_folder, task)
    rows = examples(task, TEXTS, tokenizer, Config(token_budget=4096))
    first = train(model, tokenizer, rows, TrainingSettings(**STEP, optimizer="sgd"), tmp_path)[0]
    plain, _ = with_head(tiny_model_folder, task)
    loss, count = torch.zeros(()), 0
    for text, name, tokens in sequences(tokenizer, task):
        opinion, outputs = text["opinions"][name], plain_outputs(plain.train(), tokens)
        loss = loss + torch.nn.functional.cross_entropy(outputs[None, :2], torch.tensor([int(opinion["relevant"])]))
        count += 1 + ("score" in opinion)
        if "score" in opinion:
            loss = loss + (outputs[2] - opinion["score"]) ** 2
    loss = loss / count
    loss.backward()
    assert len(rows) == 1 and first["loss"] == pytest.approx(loss.item(), rel=1e-4)
    assert first["grad_norm"] == pytest.approx(norm(plain), rel=1e-4)


def test_the_loss_of_a_head_is_torchs():
    outputs, groups = torch.randn(6, 4), groups_of(["a: 1", "a: 2", "score", "b"])
    assert groups == [range(0, 2), range(2, 3), range(3, 4)]
    targets, values = torch.tensor([0, 1, 2, 2, 3, 0]), torch.tensor([1.0, 1, -2, 0.5, 1, 1])
    choices = torch.nn.functional.cross_entropy(outputs[[0, 1, 5], :2], torch.tensor([0, 1, 0]), reduction="sum")
    numbers = (outputs[[2, 3], 2] - values[[2, 3]]).square().sum() + (outputs[4, 3] - 1).square()
    assert head_loss(outputs, targets, values, groups).item() == pytest.approx((choices + numbers).item(), rel=1e-5)


@pytest.mark.parametrize("method", OF_HEADS)
def test_a_head_is_saved_loaded_and_read_by_transformers_alone(tiny_model_folder, tmp_path, method):
    task = OpinionsOfHead(TOPICS, "stance")
    model, tokenizer = with_head(tiny_model_folder, task, method)
    settings = InferenceSettings()
    before = predict(task, model.eval(), tokenizer, TEXTS, settings)
    save_adapter(model, tmp_path / "adapter", tiny_model_folder)
    fresh, _ = load_model(tiny_model_folder, precision="float32", outputs=task.outputs)
    loaded = load_adapter(fresh, tmp_path / "adapter", tiny_model_folder)
    after = predict(task, loaded, tokenizer, TEXTS, settings)
    for one, other in zip(before[1], after[1], strict=True):
        assert all(one[name]["stance"] == pytest.approx(other[name]["stance"], rel=1e-5) for name in one)
    merged = loaded.merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    alone = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged").eval()
    assert alone.config.id2label[2] == "stance: favor" and outputs_of(alone) == list(task.outputs)
    for text, name, tokens in sequences(tokenizer, task):
        found = plain_outputs(alone, tokens).softmax(0).tolist()
        assert found == pytest.approx(before[1][TEXTS.index(text)][name]["stance"], rel=1e-3, abs=1e-5)
    plain, _ = load_model(tiny_model_folder, precision="float32")
    with pytest.raises(ModelError, match="made for a model with a head"):
        load_adapter(plain, tmp_path / "adapter", tiny_model_folder)


# ---- prompt --------------------------------------------------------------------------------------------------------


def with_prompt(folder, tokens=5):
    model, tokenizer = load_model(folder, precision="float32")
    torch.manual_seed(0)
    adapter = {"tokens": tokens, "text": "What does the writer think?", "tokenizer": folder}
    return shaken(add_adapter(model, "prompt_tuning", **adapter)), tokenizer


def plain_answers(model, tokenizer, task):
    """For each question, for each answer, its log-probability, by one sequence each; with gradients."""
    found = []
    for text in TEXTS:
        tree = task.tree(text)
        for topic in tree.children:
            (words,) = topic.children
            (branch,) = words.children
            before = tokenizer(tree.text).input_ids
            for node in (topic, words, branch):
                before += encode(tokenizer, node.text)
            logs = []
            for answer in branch.question.answers:
                tokens = encode(tokenizer, answer)
                given = torch.tensor([before + tokens])
                logits = model(input_ids=given, attention_mask=torch.ones_like(given)).logits[0]
                logp = logits[-len(tokens) - 1 : -1].log_softmax(-1)
                logs.append(logp[range(len(tokens)), tokens].sum())
            found.append(logs)
    return found


@BUDGETS
def test_virtual_tokens_at_the_root_of_a_row_equal_pefts_in_front_of_each_sequence(tiny_model_folder, budget):
    task = Opinions(TOPICS, "stance", "prompt")
    model, tokenizer = with_prompt(tiny_model_folder)
    _, tables = predict(task, model.eval(), tokenizer, TEXTS, InferenceSettings(token_budget=budget))
    found = [p for text, table in zip(TEXTS, tables) for name in text["opinions"] for p in table[name].values()]
    with torch.no_grad(), pefts_own(model):
        wanted = plain_answers(model, tokenizer, task)
    for one, logs in zip(found, wanted, strict=True):
        assert one == pytest.approx(torch.stack(logs).softmax(0).tolist(), rel=1e-3, abs=1e-6)


def test_a_training_step_of_virtual_tokens_is_pefts(tiny_model_folder, tmp_path):
    task = Opinions(TOPICS, "binary", "prompt")
    model, tokenizer = with_prompt(tiny_model_folder)
    rows = examples(task, TEXTS, tokenizer, Config(token_budget=4096))
    first = train(model, tokenizer, rows, TrainingSettings(**STEP, optimizer="sgd"), tmp_path)[0]
    plain = with_prompt(tiny_model_folder)[0].train()
    golds = [int(opinion["relevant"]) for text in TEXTS for opinion in text["opinions"].values()]
    with pefts_own(plain):
        answers = plain_answers(plain, tokenizer, task)
    logs = [one[gold] for one, gold in zip(answers, golds, strict=True)]
    words = [topic.opinion if gold else topic.no_opinion
             for gold, topic in zip(golds, (topic for text in TEXTS for topic, _ in task.questions(text)))]  # fmt: skip
    loss = -sum(logs) / sum(len(encode(tokenizer, f" {one}")) for one in words)
    loss.backward()
    assert len(rows) == 1 and first["loss"] == pytest.approx(loss.item(), rel=1e-4)
    assert first["grad_norm"] == pytest.approx(norm(plain), rel=1e-3)


def test_virtual_tokens_begin_as_the_text_and_are_all_that_learns(tiny_model_folder):
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    words = model.get_input_embeddings().weight.detach().clone()
    text = "What does the writer think?"
    model = add_adapter(model, "prompt_tuning", tokens=40, text=text, tokenizer=tiny_model_folder)
    learnt = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learnt == {"prompt_encoder.default.embedding.weight"} and virtual_tokens(model) == 40
    tokens = (tokenizer(text).input_ids * 40)[:40]
    assert torch.equal(model.prompt_encoder["default"].embedding.weight, words[tokens])


def test_virtual_tokens_are_saved_and_loaded_in_pefts_format(tiny_model_folder, tmp_path):
    task = Opinions(TOPICS, "regression", "prompt")
    model, tokenizer = with_prompt(tiny_model_folder)
    before = predict(task, model.eval(), tokenizer, TEXTS, InferenceSettings())[1]
    save_adapter(model, tmp_path / "adapter", tiny_model_folder)
    fresh, _ = load_model(tiny_model_folder, precision="float32")
    loaded = load_adapter(fresh, tmp_path / "adapter", tiny_model_folder)
    after = predict(task, loaded, tokenizer, TEXTS, InferenceSettings())[1]
    assert after == before
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    alone = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model_folder), tmp_path / "adapter")
    one, other = (each.prompt_encoder["default"].embedding.weight for each in (alone, model))
    assert torch.equal(one, other)


def test_a_root_is_seen_by_every_tree_of_a_row(tokenizer):
    trees = [Opinions(TOPICS, "binary").tree(text) for text in TEXTS]
    row = pack(encode_trees(trees, ["a", "b", "c"], tokenizer, 4096, train=False))
    behind = rooted(row, 3)
    assert behind.positions[:4] == [0, 1, 2, 3] and behind.last[:3] == [len(row) + 2] * 3
    assert behind.input_ids[3:] == row.input_ids and behind.last[3:] == [index + 3 for index in row.last]
    assert behind.answers[0][0][0] == (row.answers[0][0][0][0] + 3, row.answers[0][0][0][1])


# ---- interrupted ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["sequence", "prompt"])
def test_an_interrupted_training_goes_on_to_the_same_weights(tiny_model_folder, tmp_path, strategy):
    task = opinion_task(TOPICS, "regression", strategy)
    settings = TrainingSettings(learning_rate=0.01, epochs=5, gradient_accumulation=1)

    def trained(folder, stop=None):
        model, tokenizer = with_head(tiny_model_folder, task) if task.outputs else with_prompt(tiny_model_folder)
        rows = examples(task, TEXTS, tokenizer, Config(token_budget=1))
        with stopped_training(stop) if stop else nullcontext():
            train(model, tokenizer, rows, settings, folder, rows)
        return {name: parameter.detach() for name, parameter in adapter_weights(model)}

    whole = trained(tmp_path / "whole")
    trained(tmp_path / "cut", stop=4)
    again = trained(tmp_path / "cut")
    assert whole and all(torch.equal(whole[name], again[name]) for name in whole)
    before = with_head(tiny_model_folder, task)[0] if task.outputs else with_prompt(tiny_model_folder)[0]
    assert not all(torch.equal(whole[name], weights) for name, weights in adapter_weights(before))
