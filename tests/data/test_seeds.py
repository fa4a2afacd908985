"""Seed sentences are read and checked, and each rule leaves out what it says.

python -m pytest tests/data/test_seeds.py
"""

import json
import random

import pytest
from helpers import ROOT

from utils.data.label_sets import SETS
from utils.data.labels import ECF, LabelSet
from utils.data.seeds import FAULTS, Rules, Seeds, balanced, tidy
from utils.system.errors import FileError

TWO = LabelSet("two", ("calm", "upset"), "calm")
MADE = {
    "opening": "Sentences of people who are {feeling}:",
    "labels": {
        "calm": {
            "feeling": "calm",
            "named": ["calm"],
            "sentences": ["We sat by the lake.", "The tea is hot and the book is good.", "Nothing was left to do."],
        },
        "upset": {
            "feeling": "upset",
            "named": ["Upset", "cross"],
            "sentences": ["They broke the window and ran.", "You never told me that the shop is closed."],
        },
    },
}


@pytest.fixture
def seeds(tmp_path):
    def seeds(**changed):
        (tmp_path / "mine.json").write_text(json.dumps({**MADE, **changed}), encoding="utf-8")
        return Seeds.read(tmp_path / "mine.json", TWO)

    return seeds


@pytest.mark.parametrize("labels", [ECF, SETS["dair6"], SETS["ekman6"]], ids=str)
def test_the_seeds_that_ship_keep_their_own_rules(labels):
    shipped = Seeds.read("emotions", labels)
    assert [*shipped.labels] == [*labels]
    assert {len(seed.sentences) for seed in shipped.labels.values()} == {6}
    everything = [text for seed in shipped.labels.values() for text in seed.sentences]
    assert len({*everything}) == len(everything)
    rules = Rules(shipped, [])
    for label, seed in shipped.labels.items():
        assert {rules.fault(label, text) for text in seed.sentences} == {"copy of a seed"}


def test_no_seed_stands_in_a_corpus(shared):
    ours = {text for seed in Seeds.read("emotions", ECF).labels.values() for text in seed.sentences}
    for split in ("train", "val", "test"):
        text = (shared / "emotions" / "formats" / f"dair_emotion_{split}.txt").read_text(encoding="utf-8")
        assert not {line.rpartition(";")[0] for line in text.splitlines()} & {one.lower().strip(".!?") for one in ours}


def test_a_prompt_shows_sentences_of_its_label_and_the_place_of_the_next(seeds):
    made = seeds()
    first, *shown, last = made.prompt("calm", random.Random(1)).split("\n")
    assert first == "Sentences of people who are calm:" and last == "-"
    assert sorted(shown) == sorted(f"- {text}" for text in MADE["labels"]["calm"]["sentences"])
    assert len(made.prompt("upset", random.Random(1)).split("\n")) == 4, "it has two"
    prompts = {made.prompt("calm", random.Random(seed)) for seed in range(9)}
    assert len(prompts) > 1 and made.prompt("calm", random.Random(1)) in prompts


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (" We waited.\n- They", "We waited."),
        ('\n 4. "We waited."', "We waited."),
        ("“Who is it?”", "Who is it?"),
        ("\n\n", ""),
    ],
)
def test_the_sentence_is_the_first_line_without_marks(written, text):
    assert tidy(written) == text


def test_each_rule_leaves_out_what_it_says(seeds):
    rules = Rules(seeds(), ["the tea was cold and the shop is good"])
    found = {
        "cut off": "The tea is hot and the",
        "length": "So good.",
        "label named": "They never told me and I am crossly closed to that.",
        "language": "Der Laden hat schon wieder geschlossen.",
        "copy of a seed": "They broke that window and ran!",
        "in val or test": "The tea was cold, and the shop is good!",
    }
    for reason, text in found.items():
        assert rules.fault("upset", text) == reason
    new = "You broke the hot tea and never told me."
    assert rules.fault("upset", new) is None
    rules.keep(new)
    assert rules.fault("calm", "You never told me and broke the hot tea!") == "near-duplicate"
    assert {*found, "near-duplicate"} == {*FAULTS}
    assert rules.fault("calm", "They never told me and I am crossly closed to that.") is None, "another label's name"


def test_labels_that_lack_most_come_first():
    assert balanced({"a": 3, "b": 1, "c": 0}, 4) == ["a", "a", "a", "b"]
    assert balanced({"a": 1, "b": 1, "c": 0}, 6).count("a") == 3, "what is full is not written"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"opening": "No place"}, "mine.json, field 'opening': 'No place'. Write a line that holds {feeling} once"),
        ({"opening": "{feeling} {"}, "field 'opening'"),
        ({"labels": []}, "field 'labels'"),
        ({"labels": {"calm": MADE["labels"]["calm"]}}, "no seeds of the label upset. Add them, or give other --seeds"),
        ({"labels": MADE["labels"] | {"upset": {"feeling": "x", "named": []}}}, "upset, field 'sentences': None"),
        (
            {"labels": MADE["labels"] | {"upset": {"feeling": "x", "named": [3], "sentences": ["a", "b"]}}},
            "upset, field 'named'",
        ),
        (
            {"labels": MADE["labels"] | {"upset": {"feeling": "x", "named": [], "sentences": ["one"]}}},
            "two examples or more",
        ),
        (
            {"labels": MADE["labels"] | {"upset": {"feeling": "x", "named": [], "sentences": ["a\nb", "c"]}}},
            "a text of two lines",
        ),
    ],
)
def test_seeds_that_cannot_be_used_are_named(seeds, changed, message):
    with pytest.raises(FileError) as seen:
        seeds(**changed)
    assert message in str(seen.value) and "\n" not in str(seen.value)
    with pytest.raises(FileError, match="no such file of seeds|nowhere"):
        Seeds.read("nowhere", TWO)


def test_the_readme_of_the_seeds_is_true():
    shipped = Seeds.read("emotions", ECF)
    assert "{feeling}" in shipped.opening and (ROOT / "data/seeds/README.md").is_file()
