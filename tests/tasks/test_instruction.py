"""Instructions: what is learnt and scored, and one sequence an example with the same loss and gradients.

python -m pytest tests/tasks/test_instruction.py
"""

import math
from dataclasses import replace

import pytest
import torch
from helpers import ROOT, nodes, with_adapter
from one_sequence import gradient_difference, gradients

from utils.config import Config
from utils.data.instruction_input import make_input
from utils.data.instructions import without_output
from utils.data.templates import Template
from utils.engine.inference import Journal
from utils.engine.prefix_tree import TreeEncoder, model_inputs, pack, render
from utils.engine.settings import InferenceSettings, TrainingSettings, Writing
from utils.engine.trainer import train
from utils.engine.weights import separated, weighted_inputs, weighted_loss
from utils.record.fit import examples
from utils.system.errors import FileError, ModelError, TooLong, TrainingError
from utils.system.files import write_json
from utils.tasks.ask import predict
from utils.tasks.instruction import CHARACTERS, SHARED, Instructions, lessons, within
from utils.tasks.instruction_scores import answers, choices, right_answers
from utils.tasks.instruction_template import chat_template, find_template
from utils.tasks.instruction_writing import written

TOLERANCE = 1e-5
SHORT, LONG = Template.read("alpaca_short"), Template.read("alpaca")
OPPOSITE = [
    {"example_ID": k, "instruction": "Give the opposite of the word.", "input": word, "output": answer}
    for k, (word, answer) in enumerate([("wide", "narrow"), ("late", "early"), ("wide", "thin"), ("loud", "quiet")])
]
ALONE = {"example_ID": "x", "instruction": "Name a fruit.", "input": "", "output": "A plum,\n\nor a p\u00eache."}
MOODS = [
    {
        "example_ID": f"m{k}",
        "instruction": "Glad or low?",
        "input": text,
        "output": mood,
        "choices": ["glad", "low", "lower"],
    }
    for k, (text, mood) in enumerate([("We won!", "glad"), ("It rains.", "low"), ("It pours.", "lower")])
]
EVERYTHING = [*OPPOSITE, ALONE, *MOODS]
# A prompt whose last word goes on in the answer, so that the tokenizer joins the two.
JOINED = Template("", "{instruction} ({input}) It is s", "{instruction} It is s", "It is s")
INPUTS = pytest.mark.parametrize("train_on_inputs", [False, True], ids=["answers", "inputs too"])
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def template_of(name, tokenizer):
    if name == "joined":
        return JOINED
    if name == "chat":
        tokenizer = type(tokenizer).from_pretrained(tokenizer.name_or_path) if tokenizer.name_or_path else tokenizer
        tokenizer.chat_template = CHAT
        return chat_template(tokenizer)
    return Template.read(name)


def sequence(task, tokenizer, example):
    """An example by hand: its token ids, and the index of the first that is learnt or scored."""
    prompt = task.template.prompt(example["instruction"], example["input"])
    special = bool(task.template.special)
    answer = example["output"] + (task.template.closing if task.add_eos_token else "")
    found = tokenizer(
        prompt + answer, add_special_tokens=False, split_special_tokens=not special, return_offsets_mapping=True
    )
    start = [] if special else tokenizer("").input_ids
    first = next(k for k, (_, end) in enumerate(found.offset_mapping) if end > len(prompt))
    ended = [tokenizer.eos_token_id] if task.add_eos_token and not task.template.closing else []
    return start + found.input_ids + ended, len(start) + first


def plain(task, model, tokenizer, some, backward=True):
    """(loss, gradients) of the mean over all learnt tokens, an ordinary causal sequence an example."""
    sequences = [sequence(task, tokenizer, one) for one in some]
    sequences = [(ids, 1 if task.train_on_inputs else first) for ids, first in sequences]
    count, loss = sum(len(ids) - first for ids, first in sequences), 0.0
    model.zero_grad()
    for ids, first in sequences:
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()
        labels = torch.tensor([ids[first:]])[0]
        part = torch.nn.functional.cross_entropy(logits[first - 1 : -1], labels, reduction="sum") / count
        part.backward()
        loss += part.item()
    return loss, gradients(model)


@pytest.fixture(scope="module")
def adapted(tiny_model_folder):
    return with_adapter(tiny_model_folder, std=0.5).eval()


# ---- one sequence an example ----------------------------------------------------------------------------------------


@INPUTS
@pytest.mark.parametrize("ended", [True, False], ids=["ended", "open"])
@pytest.mark.parametrize("name", ["alpaca", "alpaca_short", "deutsch", "joined", "chat"])
def test_loss_and_gradients_are_those_of_one_sequence_an_example(adapted, tokenizer, name, ended, train_on_inputs):
    task = Instructions(template_of(name, tokenizer), train_on_inputs, ended)
    wanted_loss, wanted = plain(task, adapted, tokenizer, EVERYTHING)
    encoder = TreeEncoder(tokenizer)
    row = pack([encoder(task.tree(item, train=True), True) for item in lessons(EVERYTHING, seed=1)])
    assert len(row) < sum(len(sequence(task, tokenizer, one)[0]) - 1 for one in EVERYTHING), "something is shared"
    inputs, target = separated(weighted_inputs(row))
    adapted.zero_grad()
    loss = weighted_loss(adapted(**inputs, use_cache=False).logits, target, 0.0) / target["weights"].sum()
    loss.backward()
    assert loss.item() == pytest.approx(wanted_loss, rel=TOLERANCE)
    assert gradient_difference(gradients(adapted), wanted) < 20 * TOLERANCE


def test_without_shared_answers_the_models_own_loss_is_the_same(adapted, tokenizer):
    task = Instructions(SHORT)
    some = [OPPOSITE[0], OPPOSITE[1], ALONE]
    loss, wanted = plain(task, adapted, tokenizer, some)
    row = pack([TreeEncoder(tokenizer)(task.tree(item, train=True), True) for item in lessons(some, seed=1)])
    assert {*row.weights} == {1.0}
    adapted.zero_grad()
    found = adapted(**model_inputs(row, row.targets), use_cache=False).loss
    found.backward()
    assert found.item() == pytest.approx(loss, rel=TOLERANCE)
    assert gradient_difference(gradients(adapted), wanted) < 20 * TOLERANCE


@INPUTS
def test_a_training_step_is_the_plain_one(tiny_model_folder, tokenizer, tmp_path, train_on_inputs):
    task, items = Instructions(SHORT, train_on_inputs).taught(EVERYTHING, seed=3)
    loss, wanted = plain(task, with_adapter(tiny_model_folder), tokenizer, EVERYTHING)
    rows = examples(task, items, tokenizer, Config(token_budget=4096))
    assert len(rows) == 1
    settings = TrainingSettings(
        learning_rate=1.0, gradient_accumulation=1, scheduler="constant", warmup_ratio=0.0, optimizer="sgd"
    )
    first = train(with_adapter(tiny_model_folder), tokenizer, rows, settings, tmp_path)[0]
    norm = math.sqrt(sum(gradient.square().sum().item() for gradient in wanted.values()))
    assert first["loss"] == pytest.approx(loss, rel=TOLERANCE)
    assert first["grad_norm"] == pytest.approx(norm, rel=TOLERANCE)


@pytest.mark.parametrize("budget", [1, 4096], ids=["a tree a row", "packed"])
@pytest.mark.parametrize("name", ["alpaca_short", "joined", "chat"])
def test_right_answers_are_as_likely_as_in_sequences_of_their_own(adapted, tokenizer, budget, name):
    task = Instructions(template_of(name, tokenizer))
    found = right_answers(task, adapted, tokenizer, EVERYTHING, InferenceSettings(token_budget=budget))
    for one, (logp, count) in zip(EVERYTHING, found, strict=True):
        ids, first = sequence(task, tokenizer, one)
        with torch.no_grad():
            logs = adapted(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
        wanted = sum(logs[k - 1, ids[k]].item() for k in range(first, len(ids)))
        assert (logp, count) == (pytest.approx(wanted, rel=10 * TOLERANCE), len(ids) - first), one["example_ID"]


def test_choices_are_scored_as_whole_answers(adapted, tokenizer):
    task = Instructions(SHORT)
    found = choices(task, adapted, tokenizer, MOODS, InferenceSettings())
    for one, table in zip(MOODS, found, strict=True):
        asked = [{**one, "output": choice} for choice in one["choices"]]
        logs = [logp for logp, _ in right_answers(task, adapted, tokenizer, asked, InferenceSettings())]
        weights = [math.exp(value - max(logs)) for value in logs]
        assert table == pytest.approx({c: w / sum(weights) for c, w in zip(one["choices"], weights)}, rel=1e-3)
    asked = [without_output(one) for one in MOODS]
    labelled, _ = predict(task, adapted, tokenizer, asked, InferenceSettings())
    assert [one["output"] for one in labelled] == [max(table, key=table.__getitem__) for table in found]
    with pytest.raises(TrainingError, match="answer 'low' begins answer 'lower'"):
        choices(replace(task, add_eos_token=False), adapted, tokenizer, MOODS, InferenceSettings())


# ---- trees ---------------------------------------------------------------------------------------------------------


def test_a_tree_reads_as_its_prompts_and_answers():
    task = Instructions(SHORT)
    assert render(task.tree(ALONE, train=True)) == (
        "### Instruction:\nName a fruit.\n\n### Response:\n\u00abA plum,\n\nor a p\u00eache.\u00bb"
    )
    (lesson,) = lessons(OPPOSITE, seed=1)
    tree = task.tree(lesson, train=True)
    trunk = "### Instruction:\nGive the opposite of the word.\n\n### Input:\n"
    assert tree.text == trunk and len(tree.children) == 4
    assert {trunk + node.text for node in tree.children} == {
        SHORT.prompt(one["instruction"], one["input"]) for one in OPPOSITE
    }


def test_examples_of_one_instruction_are_lessons_in_a_seeded_order():
    many = [{**OPPOSITE[0], "example_ID": k, "input": f"word {k}"} for k in range(2 * SHARED + 1)]
    items = lessons([*many, ALONE], seed=5)
    assert [len(one.get("examples", [one])) for one in items] == [SHARED, SHARED, 1, 1]
    ids = [one["example_ID"] for item in items for one in item.get("examples", [item])]
    assert sorted(ids[:-1]) == list(range(2 * SHARED + 1)) != ids[:-1]
    assert items == lessons([*many, ALONE], seed=5) != lessons([*many, ALONE], seed=6)
    assert [one["example_ID"] for one in many] == list(range(2 * SHARED + 1)), "what is given stays as it is"


def test_different_instructions_are_read_together_and_share_the_template(tokenizer):
    some = [{"example_ID": k, "instruction": f"{k} wise words", "input": "", "output": "x" * 100} for k in range(40)]
    items = lessons([*some, *OPPOSITE], seed=1)
    sizes = [len(one.get("examples", [one])) for one in items]
    assert sizes[0] == len(OPPOSITE) and max(sizes[1:]) == 7 and sum(sizes) == 44 and len(sizes) == 7
    task, encode = Instructions(LONG), TreeEncoder(tokenizer)
    together = sum(len(encode(task.tree(item, train=True), True)) for item in items[1:])
    alone = sum(len(encode(task.tree(one, train=True), True)) for one in some)
    assert together < 0.7 * alone
    (text, *_) = LONG.prompt_no_input.partition("{instruction}")
    assert task.tree(items[1], train=True).text == text


def test_a_lesson_of_long_examples_is_short():
    long = [{**OPPOSITE[0], "example_ID": k, "input": "w" * n} for k, n in enumerate([900, 900, 900, 900, 5000])]
    items = lessons(long, seed=1)
    sizes = [[len(one["input"]) for one in item.get("examples", [item])] for item in items]
    assert all(sum(one) < CHARACTERS or len(one) == 1 for one in sizes) and sum(map(len, sizes)) == 5
    assert max(map(len, sizes)) > 1


def test_a_question_without_an_answer_is_not_scored(adapted, tokenizer):
    asked = [without_output(ALONE), OPPOSITE[0]]
    labelled, tables = predict(Instructions(SHORT), adapted, tokenizer, asked, InferenceSettings())
    assert labelled == asked and tables[0] == [{}] and tables[1][0].keys() == {"narrow"}


@pytest.mark.parametrize("field", ["instruction", "input", "output"])
@pytest.mark.parametrize("marker", ["### Response:", "### Input:", "<|im_end|>"])
def test_a_marker_in_a_text_is_one_message(field, marker):
    odd = {**OPPOSITE[0], field: f"a {marker} b"}
    with pytest.raises(TrainingError) as error:
        Instructions(SHORT).tree(odd, train=True)
    assert f"example 0, field '{field}': it holds '{marker}'" in str(error.value)
    Instructions(Template.read("deutsch")).tree({**odd, field: "### Response:"}, train=True)  # not one of its own


def test_braces_and_odd_signs_of_a_text_change_no_structure():
    plain_tree, odd_tree = (
        Instructions(LONG).tree({**OPPOSITE[0], "input": text}, train=True)
        for text in ("wide", "{instruction} {0} %s {{input}} \u2028 \x00")
    )
    assert len([*nodes(plain_tree)]) == len([*nodes(odd_tree)]) == 1
    assert "{instruction} {0} %s {{input}}" in odd_tree.text


# ---- too long ------------------------------------------------------------------------------------------------------


def test_what_is_longer_than_the_cutoff_is_refused_or_dropped_and_never_cut(tokenizer):
    task = Instructions(SHORT)
    lengths = {one["example_ID"]: len(sequence(task, tokenizer, one)[0]) for one in EVERYTHING}
    cutoff = sorted(lengths.values())[4]
    longer = {f"example {key}": count for key, count in lengths.items() if count > cutoff}
    assert longer and len(longer) < len(lengths)
    with pytest.raises(TrainingError) as error:
        within(task, EVERYTHING, tokenizer, cutoff)
    said = str(error.value)
    assert f"{len(longer)} of 8 examples are longer than cutoff_len {cutoff}" in said
    assert f"Raise cutoff_len to {max(lengths.values())}, or give too_long drop" in said
    kept, left_out = within(task, EVERYTHING, tokenizer, cutoff, "drop")
    assert left_out == longer and [one["example_ID"] for one in kept] == [k for k in lengths if lengths[k] <= cutoff]
    assert within(task, EVERYTHING, tokenizer, max(lengths.values())) == (EVERYTHING, {})
    with pytest.raises(TrainingError, match=f"8 of 8 examples .* or to {min(lengths.values())} at least"):
        within(task, EVERYTHING, tokenizer, 3, "drop")
    with pytest.raises(TooLong, match="example x: "):
        examples(task, [ALONE], tokenizer, Config(max_row_tokens=5))


# ---- templates and adapters ----------------------------------------------------------------------------------------


def test_a_chat_template_is_the_models_own_turn(tokenizer):
    template = template_of("chat", tokenizer)
    turns = [{"role": "user", "content": "Add.\n\n1 {2}"}]
    wanted = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, chat_template=CHAT)
    assert template.prompt("Add.", "1 {2}") == wanted
    assert template.closing == "<|im_end|>" and {"<|im_start|>", "<s>", "<|im_end|>"} <= {*template.markers}
    ids, first = sequence(Instructions(template), tokenizer, ALONE)
    assert ids[:first] == tokenizer(template.prompt(ALONE["instruction"]), add_special_tokens=False).input_ids
    assert ids[-1] == tokenizer.eos_token_id
    with pytest.raises(TrainingError, match="it holds '<s>'"):
        Instructions(template).tree({**ALONE, "instruction": "Write <s>."})


def test_a_chat_template_that_cannot_be_used_is_one_message(tokenizer):
    class Other:
        name_or_path = "mine"
        all_special_tokens = tokenizer.all_special_tokens
        apply_chat_template = staticmethod(tokenizer.apply_chat_template)

        def __init__(self, template):
            self.chat_template = template
            if template:
                self.apply_chat_template = lambda turns, tokenize: tokenizer.apply_chat_template(
                    turns, tokenize=tokenize, chat_template=template
                )

    for template, message in (
        (None, "model mine has no chat template. Give a template by name"),
        ("{{ messages[0]['content'] | upper }}{{ messages[1]['content'] }}", "does not keep the texts"),
        ("{{ raise_exception('no users') }}", "its chat template fails .no users."),
    ):
        with pytest.raises(ModelError, match=message):
            find_template("chat", Other(template))
    assert find_template("alpaca", None) == LONG
    with pytest.raises(FileError, match="Known are alpaca"):
        find_template("chatty", None)


def test_the_parameters_say_how_instructions_are_asked(tiny_model_folder, tmp_path):
    config = Config(template="deutsch", train_on_inputs=True, add_eos_token=False)
    assert config.task("instruction") == Instructions(Template.read("deutsch"), True, False)
    with pytest.raises(ModelError, match="has no chat template. Give a template by name"):
        Config(template="chat", model=tiny_model_folder).task("instruction")
    with pytest.raises(ModelError, match="nowhere' cannot be loaded"):
        Config(template="chat", model=str(tmp_path / "nowhere")).task("instruction")
    task = Config().task("instruction")
    assert task.counts(lessons(EVERYTHING, seed=1)) == {"answer": len(EVERYTHING)}


def test_an_adapter_of_another_template_is_refused(tmp_path):
    task = Instructions(SHORT)
    write_json(task.decided([], list), tmp_path / "training.json")
    assert task.trained(tmp_path) is task
    with pytest.raises(ModelError, match="it was trained in another template"):
        Instructions(LONG).trained(tmp_path)


# ---- what is written -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["alpaca_short", "chat"])
def test_what_is_written_is_the_models_own_continuation(tiny_model_folder, tokenizer, name):
    model = with_adapter(tiny_model_folder, std=0.5).eval()
    task = Instructions(template_of(name, tokenizer))
    found = written(task, model, tokenizer, EVERYTHING, Writing(new_tokens=6), batch_size=3)
    for one, text in zip(EVERYTHING, found, strict=True):
        ids, first = sequence(task, tokenizer, one)
        seen = ids[:first]
        for _ in range(6):
            with torch.no_grad():
                seen.append(model(input_ids=torch.tensor([seen])).logits[0, -1].argmax().item())
            if seen[-1] == tokenizer.eos_token_id:
                break
        assert text == task.template.answer_in(tokenizer.decode(seen[first:], skip_special_tokens=True))


@pytest.mark.slow
def test_the_embedded_model_learns_the_sample(tmp_path):
    from utils.models.adapters import add_lora
    from utils.models.load import load_model
    from utils.report.answer_metrics import held_out_scores

    parts = make_input(ROOT / "data" / "instructions" / "examples.jsonl").parts
    model, tokenizer = load_model(precision="float32")
    task = Instructions(SHORT)
    held_out = [*parts["val"], *parts["test"]]

    def loss():
        return held_out_scores(right_answers(task, model, tokenizer, held_out, InferenceSettings()))["loss"]

    before = loss()
    model = add_lora(model, r=16, alpha=16, dropout=0.0, targets="all-linear")
    items = task.taught(parts["train"], seed=1)[1]
    rows = examples(task, items, tokenizer, Config(token_budget=256))
    train(model, tokenizer, rows, TrainingSettings(learning_rate=1e-3, epochs=3, gradient_accumulation=1), tmp_path)
    model.eval()
    assert loss() < 0.5 * before


def test_all_that_a_model_makes_of_examples_is_found_in_their_order(adapted, tokenizer, tmp_path):
    task, settings = Instructions(SHORT), InferenceSettings()
    unknown = {"example_ID": "u", "instruction": "Glad or low?", "input": "So.", "choices": ["glad", "low", "lower"]}
    asked = [ALONE, unknown, *MOODS, *OPPOSITE]
    journal = Journal(tmp_path / "unfinished.jsonl")
    found = answers(task, adapted, tokenizer, asked, settings, 5, journal)
    alone = [answers(task, adapted, tokenizer, [one], settings, 5)[0] for one in asked]
    assert [one.written for one in found] == [one.written for one in alone]
    assert [one.right and one.right[1] for one in found] == [one.right and one.right[1] for one in alone]
    assert [("choices" in one, "output" in one) for one in asked] == [(bool(f.choices), bool(f.right)) for f in found]
    for one, other in zip(found, alone):
        assert one.choices == pytest.approx(other.choices, abs=1e-4)
        assert (one.right or (0,))[0] == pytest.approx((other.right or (0,))[0], abs=1e-3)
    # what is known is not computed again
    known = Journal(tmp_path / "unfinished.jsonl")
    assert answers(task, adapted, tokenizer, asked, settings, 5, known) == found and known.results == journal.results
    assert answers(task, adapted, tokenizer, [], settings, 5) == []
