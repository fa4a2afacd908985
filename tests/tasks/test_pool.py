"""Pools of wordings: what a file may hold, which wording is asked, and what an adapter keeps of its pool.

python -m pytest tests/tasks/test_pool.py
"""

import json
from collections import Counter

import pytest
import yaml
from helpers import FIVE, nodes, questions

from utils.config import Config
from utils.data.labels import ECF
from utils.system.errors import ConfigError, FileError, ModelError
from utils.system.files import write_json
from utils.tasks import cause, emotion
from utils.tasks.pool import DRAWN, FOLDER, read_pool

EMOTION = {"opening": "Emotions: {labels}.", "wordings": {"one": "{speaker} feels", "two": "Mood of {speaker}:"}}
CAUSE = {"opening": "Causes.", "wordings": {"one": "Is #{cause} why #{emotion}?"}}


@pytest.fixture
def pool(tmp_path):
    """A function that writes a pool with these changes to the emotion's part, and reads it."""

    def read(trains=DRAWN, seed=42, task="emotion", **changes):
        path = tmp_path / "pool.yaml"
        path.write_text(yaml.safe_dump({"emotion": {**EMOTION, **changes}, "cause": CAUSE}), encoding="utf-8")
        return read_pool(str(path), task, trains, seed)

    return read


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.stem)
@pytest.mark.parametrize("task", ["emotion", "cause"])
def test_a_pool_that_ships_has_ten_wordings_and_more_that_are_held_out(file, task):
    found = read_pool(file.stem, task)
    assert len(found.learnt) >= 10 and len(found.held_out) >= 2 and found == read_pool(str(file), task)


def test_a_wording_stands_behind_its_utterance_and_the_opening_in_front():
    task = Config(prompts="twelve", prompt="feels").task("emotion")
    text = "".join(node.text for node in nodes(task.tree(FIVE)))
    assert text.startswith(f"A conversation, told twice. Each utterance carries one of these emotions: {ECF}.\nA: a\n")
    assert text.endswith("\nB: e Here B feels") and text.count("Here A feels") == 3
    task = Config(prompts="twelve", prompt="explains").task("cause")
    text = "".join(node.text for node in nodes(task.tree(FIVE)))
    assert "A anger: c #3 Does #1 explain the anger in #3?" in text and " <= " not in text


def test_the_questions_are_the_same_in_number_and_order():
    worded = [Config(prompts="twelve", targets=kind).task("emotion") for kind in ("single", "multi", "votes")]
    for task, plain in zip(worded, (Config(targets=kind).task("emotion") for kind in ("single", "multi", "votes"))):
        assert questions(task.tree(FIVE, train=True)) == questions(plain.tree(FIVE, train=True))
    pairs = {**FIVE, "emotion-cause_pairs": [["1_joy", "2"], ["3_anger", "1"], ["4_fear", "4"]]}
    worded, plain = Config(prompts="twelve").task("cause"), cause.Cause()
    assert questions(worded.tree(pairs, train=True)) == questions(plain.tree(pairs, train=True))


def test_training_draws_by_the_seed_and_inference_asks_with_one(pool):
    items = [{"conversation_ID": number} for number in range(600)]
    drawn = pool(wordings={**EMOTION["wordings"], "three": "{speaker}?"}, held_out=["two"])
    counted = Counter(drawn.named(item, train=True) for item in items)
    assert {*counted} == {"one", "three"} and min(counted.values()) > 240
    assert {drawn.named(item) for item in items} == {"one"}
    again, other = (pool(seed=seed) for seed in (42, 7))
    names = [[p.named(item, train=True) for item in items] for p in (pool(), again, other)]
    assert names[0] == names[1] != names[2]
    fixed = pool(trains="two")
    assert {fixed.named(item, train) for item in items for train in (True, False)} == {"two"}
    assert fixed.learnt == ["two"]


def test_a_speaker_cannot_write_a_placeholder_or_a_line(pool):
    assert pool().put("one", speaker="{labels}\n A", labels="x") == " {labels} A feels"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"opening": "Emotions."}, r"emotion: opening: 'Emotions.' lacks its placeholder. Write \{labels\} into it"),
        ({"wordings": {"a": "Emotion:"}}, r"emotion: wording a: 'Emotion:' lacks its .* Write \{speaker\} into it"),
        ({"wordings": {"a": "{speaker} {who}"}}, r"has the placeholder \{who\}. Possible are \{speaker\}, \{labels\}"),
        ({"wordings": {"a": "{speaker.x}"}}, r"has the placeholder \{speaker.x\}"),
        ({"wordings": {"a": "{speaker!r}"}}, r"has the placeholder \{speaker\}. Possible"),
        ({"wordings": {"a": "{}"}}, r"has the placeholder \{\}"),
        ({"wordings": {"a": "{speaker} {"}}, r"has a brace alone .* Write \{\{ or \}\} for a brace"),
        ({"wordings": {"a": "{speaker}\nnow"}}, "Write a text of one line, in quotes"),
        ({"wordings": {"a": 7}}, "wording a is 7. Write a text of one line"),
        ({"wordings": {}}, "wordings are {}. Write a name and a text for each"),
        ({"wordings": ["{speaker}"]}, "Write a name and a text for each"),
        ({"wordings": {DRAWN: "{speaker}"}}, "called 'drawn'. Give it another name"),
        ({"wordings": {1: "{speaker}"}}, "called 1. Give it another name"),
        ({"wordings": {"a": "{speaker} x", "b": "{speaker}  x"}}, "two wordings are alike. Remove one"),
        ({"held_out": ["three"]}, "held_out is .*three.*Write a list of names of wordings"),
        ({"held_out": "one"}, "held_out is 'one'. Write a list"),
        ({"held_out": ["one", "two"]}, "holds every wording out. Leave one"),
        ({"opening": None}, "opening is None. Write a text"),
        ({"question": "x"}, "'question' is unknown. Write opening, wordings and held_out"),
    ],
)
def test_a_pool_that_cannot_be_is_refused_with_the_fix(pool, changes, message):
    with pytest.raises(ConfigError, match=f"pool.yaml.*{message}"):
        pool(**changes)


def test_parameters_that_name_no_pool_or_wording_are_refused(pool, tmp_path):
    with pytest.raises(ConfigError, match="prompts is 'none'; .*none.yaml is no file. Give .* one, or .*twelve"):
        Config(prompts="none").task("emotion")
    with pytest.raises(ConfigError, match="prompt is 'three'; .*pool.yaml has one, two. Give one of them, or drawn"):
        pool(trains="three")
    with pytest.raises(ConfigError, match="prompt is two; .*holds it out of training. Give another, or drawn"):
        pool(trains="two", held_out=["two"])
    with pytest.raises(ConfigError, match="prompt is 'feels'; it is a name in a pool: give prompts"):
        Config.of({"prompt": "feels"})
    with pytest.raises(ConfigError, match="prompts is twelve; recipe published has none alone: give one_pass"):
        Config.of({"prompts": "twelve", "recipe": "published"})
    with pytest.raises(ConfigError, match="cause_form is list; its answer, a list, has one wording: give candidates"):
        Config(prompts="twelve", cause_form="list").task("cause")
    alone = tmp_path / "alone.yaml"
    alone.write_text(yaml.safe_dump({"emotion": EMOTION}), encoding="utf-8")
    with pytest.raises(ConfigError, match="alone.yaml: it has no wordings for the task cause. Write cause:"):
        Config(prompts=str(alone)).task("cause")
    alone.write_text('emotion:\n  wordings:\n    a: "x"\n    a: "y"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="alone.yaml: parameter 'a' is there twice"):
        Config(prompts=str(alone)).task("emotion")


def record_of(task, path, **more):
    """The record of an adapter of this task, as training writes it."""
    counted = emotion.counts([FIVE])
    record = {"labels": ECF.as_dict(), "emotions": counted, **task.decided([], list), **more}
    write_json(json.loads(json.dumps(record)), path / "training.json")


def test_an_adapter_knows_its_wordings_without_the_file(pool, tmp_path):
    task = emotion.Emotion(pool=pool(trains="two"))
    record_of(task, tmp_path)
    assert emotion.Emotion().trained(tmp_path).pool == task.pool
    assert emotion.Emotion(pool=pool(trains="two", seed=7)).trained(tmp_path).pool == task.pool, (
        "the seed is training's"
    )
    asked = "".join(node.text for node in nodes(emotion.Emotion().trained(tmp_path).tree(FIVE)))
    assert asked.endswith("\nB: e Mood of B:")


@pytest.mark.parametrize("change", ["another wording", "another text", "no prompts in training"])
def test_an_adapter_of_other_wordings_is_refused(pool, tmp_path, change):
    record_of(emotion.Emotion(pool=None if change.startswith("no") else pool()), tmp_path)
    here = pool(trains="two") if change == "another wording" else pool(opening="All of {labels}.")
    with pytest.raises(ModelError, match="trained with other wordings.*Put the pool's file back, or train again"):
        emotion.Emotion(pool=here).trained(tmp_path)


DAMAGED = [7, {}, {"wordings": {"a": "{nobody}"}}, {"held_out": 7}, {"trains": "three"}, {"x": 1}, {"opening": "{"}]


@pytest.mark.parametrize("damage", DAMAGED, ids=str)
def test_a_damaged_record_is_refused(pool, tmp_path, damage):
    record_of(emotion.Emotion(), tmp_path, prompts={**pool().as_dict(), **damage} if damage and damage != 7 else damage)
    with pytest.raises(FileError, match='training.json: "prompts" is damaged.*Restore the file, or train again'):
        emotion.Emotion().trained(tmp_path)
