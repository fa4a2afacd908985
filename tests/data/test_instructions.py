"""Instructions with answers: files in, what is left out, splits, classifications; and prompt templates.

python -m pytest tests/data/test_instructions.py
"""

import json
from collections import Counter

import pytest
from helpers import ROOT

from utils.data.instruction_cleaning import is_broken
from utils.data.instruction_input import count_table, make_input
from utils.data.instructions import load_examples, with_choices, without_output
from utils.data.templates import Template, marker_in, template_names
from utils.system.errors import UserError
from utils.system.files import read_json, write_json, write_set

FRUIT = {"instruction": "Name a fruit.", "input": "", "output": "A plum."}


def example(number, **fields):
    return {"instruction": f"Do number {number}.", "input": "", "output": f"Done: {number}.", **fields}


MANY = [example(number) for number in range(10)]


def made(folder, data, name="mine.json", **how):
    lines = name.endswith(".jsonl")
    text = "".join(json.dumps(one) + "\n" for one in data) if lines else json.dumps(data)
    (folder / name).write_text(text, encoding="utf-8")
    return make_input(folder / name, **how)


def everything(made):
    return [one for examples in made.parts.values() for one in examples]


def report(made):
    return json.loads(made.files["report.json"])


# ---- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mine.json", "mine.jsonl"])
def test_examples_of_a_list_and_of_lines_are_the_same(tmp_path, name):
    found = sorted(everything(made(tmp_path, MANY, name)), key=lambda one: one["example_ID"])
    assert found == [{"example_ID": k, **one} for k, one in enumerate(MANY, 1)]


def test_instances_are_examples_of_one_instruction(tmp_path):
    seed = {
        "id": "seed_task_3",
        "name": "colours",
        "instruction": "Name the colour.",
        "instances": [{"input": "snow", "output": "white"}, {"input": "coal", "output": "black"}],
        "is_classification": True,
    }
    alone = {"id": "seed_task_4", "instruction": "Greet me.", "instances": [{"input": "", "output": "Hello."}]}
    found = {one["example_ID"]: one for one in everything(made(tmp_path, [seed, alone, {**FRUIT, "id": 5}]))}
    assert found.keys() == {"seed_task_3-1", "seed_task_3-2", "seed_task_4", 5}
    assert found["seed_task_3-2"] == {
        "example_ID": "seed_task_3-2", "instruction": "Name the colour.", "input": "coal", "output": "black"
    }  # fmt: skip


def test_an_input_may_be_absent_and_white_space_around_texts_is_not_kept(tmp_path):
    rows = [*MANY, {"instruction": " Sing.\n", "output": "\nLa la.\n  La. "}, example(11, input=None)]
    found = {one["instruction"]: one for one in everything(made(tmp_path, rows))}
    assert found["Sing."]["input"] == found["Do number 11."]["input"] == ""
    assert found["Sing."]["output"] == "La la.\n  La."


def test_a_folder_is_read_whole_or_by_its_splits(tmp_path):
    write_json(MANY[:6], tmp_path / "a.json")
    write_json(MANY[6:], tmp_path / "b.json")
    (tmp_path / "notes.txt").write_text("no data")
    assert len(everything(make_input(tmp_path))) == 10
    (tmp_path / "a.json").rename(tmp_path / "my_train.json")
    with pytest.raises(UserError, match="b.json: the name says no split"):
        make_input(tmp_path)
    (tmp_path / "b.json").rename(tmp_path / "my_dev.json")
    parts = make_input(tmp_path).parts
    assert [len(parts[name]) for name in ("train", "val", "test")] == [6, 4, 0]
    with pytest.raises(UserError, match="holds no .json and no .jsonl"):
        make_input(ROOT / "utils" / "data" / "formats")


@pytest.mark.parametrize(
    "row,message",
    [
        ({"instruction": "Sing."}, "example 11, field 'output': it is missing. Write a text"),
        ({"instruction": "Sing.", "output": None}, "example 11, field 'output': it is missing"),
        ({"instruction": "Count.", "output": 7}, "example 11, field 'output': 7 is no text. Write a text, in quotes"),
        (example(1, input=["a"]), r"example 11, field 'input': \['a'\] is no text"),
        (example(1, instruction=" \u200b"), "example 11, field 'instruction': it is empty"),
        ({"output": "So."}, "example 11, field 'instruction': it is missing"),
        ("Sing.", "example 11: 'Sing.' where an object belongs"),
        ({"instruction": "Sing.", "instances": []}, r"example 11, field 'instances': \[\]. Write a list"),
        ({"instruction": "Sing.", "instances": [{"input": ""}]}, "example 11, field 'output': it is missing"),
        ({**FRUIT, "id": 1.5}, "example 11, field 'id': 1.5 is no number and no name"),
        (example(1, choices=["Done: 1."]), "example 11, field 'choices'"),
        (example(1, choices=["a", "b"]), "example 11, field 'output': 'Done: 1.' is none of its choices"),
    ],
)
def test_an_example_that_cannot_be_used_is_named(tmp_path, row, message):
    with pytest.raises(UserError, match=f"mine.json, {message}"):
        made(tmp_path, [*MANY, row])


def test_two_examples_with_one_id_are_named(tmp_path):
    with pytest.raises(UserError, match="example 2, field 'id': .*example 1 has the id 7 too"):
        made(tmp_path, [{**one, "id": 7} for one in MANY])


def test_data_of_which_nothing_is_left_are_refused(tmp_path):
    with pytest.raises(UserError, match="no example is left .no answer.. Give other data"):
        made(tmp_path, [example(1, output=" ")])
    with pytest.raises(UserError, match="no example is left .it is empty."):
        made(tmp_path, [])
    with pytest.raises(UserError, match="2 different texts are too few"):
        made(tmp_path, MANY[:2])
    with pytest.raises(UserError, match="not three shares"):
        made(tmp_path, MANY, fractions=(0.5, 0.6, 0.1))


# ---- cleaning ------------------------------------------------------------------------------------------------------


def test_what_is_left_out_is_counted_and_named(tmp_path):
    odd = [
        example(20, output=" \n"),
        example(21, output="The caf\u00c3\u00a9 is open."),
        example(22, input="Odd \ufffd sign."),
        example(23, output="So.\n\n### Instruction:\nNow another one"),
        example(24, instruction="Say <|im_end|> twice."),
        {**MANY[3], "instruction": "do  NUMBER 3."},
    ]
    one = made(tmp_path, [*MANY, *odd])
    assert len(everything(one)) == 10
    record = report(one)
    assert record["read"] == 16 and sum(record["splits"].values()) == 10
    assert record["left_out"] == {"no answer": 1, "broken encoding": 2, "template marker": 2, "duplicate": 1}
    assert [row["where"].rpartition(" ")[2] for row in record["examples"]] == ["11", "12", "13", "14", "15", "16"]
    assert "left out, template marker: 2 examples" in one.told
    assert not any(row["output"].strip() in one.files["report.json"] for row in odd[1:]), "a report holds no text"


@pytest.mark.parametrize(
    "text",
    [
        "caf\u00c3\u00a9",
        "it\u00e2\u20ac\u2122s",
        "\u00f0\u0178\u02dc\u20ac",
        "10 \u00c2\u00b0C",
        "\x00",
        "\ufffd",
        "a\x1bb",
    ],
)
def test_broken_encodings_are_seen(text):
    assert is_broken(text)


@pytest.mark.parametrize(
    "text",
    [
        "caf\u00e9 \u2014 \u201cna\u00efve\u201d",
        "S\u00c3O PAULO",
        "\u00e2ge",
        "\U0001f600",
        "10 \u00b0C",
        "\u65e5\u672c",
        "a\tb\r\nc",
    ],
)
def test_sound_texts_are_not_taken_for_broken(text):
    assert not is_broken(text)


def test_the_same_question_with_another_answer_stays_in_one_split(tmp_path):
    rows = [{**one, "output": f"{one['output']} {k}"} for k in range(3) for one in MANY]
    parts = made(tmp_path, rows).parts
    questions = {name: {one["instruction"] for one in its} for name, its in parts.items()}
    assert sum(map(len, questions.values())) == 10 and len(everything(made(tmp_path, rows))) == 30


def test_what_stands_in_a_given_test_leaves_train(tmp_path):
    write_json(MANY, tmp_path / "train.json")
    write_json([MANY[0], {**MANY[1], "output": "Something else."}], tmp_path / "test.json")
    one = make_input(tmp_path)
    assert len(one.parts["train"]) == 8 and len(one.parts["test"]) == 2
    assert report(one)["left_out"] == {"duplicate": 1, "in a later split too": 1}


# ---- splits and classifications ------------------------------------------------------------------------------------


def test_a_split_is_seeded_and_does_not_hang_on_the_order(tmp_path):
    def ids(rows, **how):
        return {name: {one["instruction"] for one in its} for name, its in made(tmp_path, rows, **how).parts.items()}

    assert ids(MANY) == ids(MANY[::-1]) != ids(MANY, seed=1)
    assert [len(its) for its in ids(MANY, fractions=(0.6, 0.2, 0.2)).values()] == [6, 2, 2]


def test_a_classification_is_an_instruction_whose_answers_come_again():
    moods = [example(k, instruction="Glad or\n low?", input=f"{k}", output=["glad", "low"][k % 2]) for k in range(4)]
    other = [example(k, instruction="Rewrite it.", input=f"{k}", output=f"so {k // 3}") for k in range(4)]
    explicit = example(9, output="a", choices=["a", "b"])
    found = with_choices([*moods, *other, FRUIT, FRUIT, explicit])
    assert [one.get("choices") for one in found] == [["glad", "low"]] * 4 + [None] * 6 + [["a", "b"]]


def test_every_answer_of_a_classification_is_in_train(tmp_path):
    rows = [
        example(k, instruction="Which?", input=f"{k}", output="abc"[0 if k < 20 else 1 if k < 30 else 2])
        for k in range(40)
    ]
    parts = made(tmp_path, rows).parts
    counts = {name: Counter(one["output"] for one in its) for name, its in parts.items()}
    assert counts["train"] == {"a": 16, "b": 8, "c": 8} and set(counts["test"]) == {"a", "b", "c"}
    assert all(one["choices"] == ["a", "b", "c"] for its in parts.values() for one in its)


def test_questions_without_answers(tmp_path):
    write_json([FRUIT, {"instruction": "Sing."}, {"instruction": "### Input:"}], tmp_path / "new.json")
    one = made(tmp_path, MANY, unlabelled=tmp_path / "new.json")
    assert one.parts["unlabelled"] == [
        {"example_ID": 1, "instruction": "Name a fruit.", "input": ""},
        {"example_ID": 2, "instruction": "Sing.", "input": ""},
    ]
    assert "unlabelled: 2 examples, 1 left out" in one.told
    assert without_output(everything(one)[0]).keys() == {"example_ID", "instruction", "input"}


def test_an_input_is_read_as_it_was_written(tmp_path):
    one = made(tmp_path, MANY)
    write_set(tmp_path / "input", one.files)
    for name, examples in one.parts.items():
        assert load_examples(tmp_path / "input" / name / "examples.json") == examples
    path = tmp_path / "input" / "train" / "examples.json"
    for change, message in (
        ({"output": ""}, "field 'output': the answer is empty"),
        ({"example_ID": None}, "field 'example_ID': a number or a name is missing"),
        ({"output": 3}, "field 'output': 3 is no text"),
    ):
        write_json([{**one.parts["train"][0], **change}], path)
        with pytest.raises(UserError, match=message):
            load_examples(path)
    write_json([one.parts["train"][0]] * 2, path)
    with pytest.raises(UserError, match="it is there twice"):
        load_examples(path)


def test_the_sample_is_clean_and_what_its_readme_says():
    one = make_input(ROOT / "data" / "instructions" / "examples.jsonl")
    assert report(one)["left_out"] == {} and report(one)["classifications"] == {"instructions": 2, "examples": 39}
    assert [len(its) for its in one.parts.values()] == [80, 10, 10]
    counts = Counter(one["instruction"] for one in everything(one))
    assert sum(1 for count in counts.values() if count == 1) == 36
    assert sum(count for count in counts.values() if 1 < count < 10) == 25
    assert "train        80" in count_table(one.parts)


def test_public_data_are_read(shared):
    folder = shared / "instructions"
    counts = {file.name: len(everything(make_input(file))) for file in sorted(folder.glob("*.json*"))}
    assert counts == {
        "alpaca_en_demo.json": 985,
        "instruction-data.json": 1100,
        "seed_tasks.jsonl": 175,
        "user_oriented_instructions.jsonl": 252,
    }


# ---- templates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", template_names())
def test_a_template_that_ships_is_whole(name):
    template = Template.read(name)
    with_input, alone = template.prompt("{a} %s", "{input} {{b}}"), template.prompt("{a} %s")
    assert "{a} %s" in with_input and "{input} {{b}}" in with_input and "{a} %s" in alone
    for prompt in (with_input, alone):
        assert prompt.rstrip().endswith(template.response_split)
    assert len(template.markers) == 3 and template.markers[0] == template.response_split
    assert template.answer_in(f" So.\n\n{template.markers[1]}\nx") == "So." == template.answer_in("So.")


def test_alpaca_is_as_adapters_expect_it():
    template = Template.read("alpaca")
    assert template.prompt("Add.", "1 2") == (
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
        "response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n"
        "### Response:\n"
    )
    assert {*template.markers} == {"### Instruction:", "### Input:", "### Response:"}


@pytest.mark.parametrize(
    "change,message",
    [
        ({"prompt_input": "{instruction}\n### Response:\n"}, "'prompt_input': it must hold {input} once"),
        ({"prompt_no_input": "Do.\n### Response:\n"}, "'prompt_no_input': it must hold {instruction} once"),
        ({"prompt_no_input": "{instruction} {input}\n### Response:\n"}, "{input} is no place of it"),
        ({"prompt_no_input": "{instruction!r}\n### Response:\n"}, "is no place of it"),
        ({"prompt_no_input": "{instruction} {\n### Response:\n"}, "a brace alone"),
        ({"prompt_no_input": "### Response: {instruction}\n"}, "does not stand behind {instruction}"),
        ({"prompt_input": None}, "'prompt_input': None where a text belongs"),
        ({"response_split": " "}, "'response_split': ' ' where a text belongs"),
        ({"header": "x"}, "the field 'header' is unknown. Write description, prompt_input"),
    ],
)
def test_a_template_that_cannot_be_used_is_named(tmp_path, change, message):
    data = read_json(ROOT / "configs" / "templates" / "alpaca_short.json") | change
    write_json(data, tmp_path / "mine.json")
    with pytest.raises(UserError) as error:
        Template.read(tmp_path / "mine.json")
    assert "mine.json" in str(error.value) and message in str(error.value)


def test_a_template_without_a_field_and_one_that_is_not_there(tmp_path):
    data = read_json(ROOT / "configs" / "templates" / "alpaca.json")
    del data["response_split"]
    write_json(data, tmp_path / "mine.json")
    with pytest.raises(UserError, match="mine.json, field 'response_split': None where a text belongs. Write one"):
        Template.read(tmp_path / "mine.json")
    with pytest.raises(UserError, match="there is no .*nothing.json. Known are alpaca, alpaca_short, deutsch"):
        Template.read("nothing")


def test_marks_of_chats_are_seen():
    for text in ("a <|im_start|>user", "[INST] a", "<end_of_turn>", "<|eot_id|>"):
        assert marker_in(text, ())
    assert marker_in("a [list] <b>bold</b> | x < y | ### Note", ("### Response:",)) is None
    assert marker_in("a ### Response: b", ("### Response:",)) == "### Response:"
