"""Topic files: those that ship, and what is wrong with others.

python -m pytest tests/data/test_topics.py
"""

import pytest
import yaml

from utils.data.topics import Topic, topic_names
from utils.system.errors import FileError, UserError

GOOD = Topic.read("abortion").as_dict()


@pytest.mark.parametrize("name", topic_names())
def test_every_topic_that_ships_is_sound_and_says_its_direction(name):
    topic = Topic.read(name)
    assert topic.name == name and topic.scores == (-2, -1, 0, 1, 2) and "score above 0" in topic.direction
    assert Topic.from_dict(topic.as_dict(), "again") == topic


def test_the_topics_are_there():
    wanted = {"gun-control", "abortion", "climate-change", "china", "sexual-orientation", "drugs", "any"}
    assert {*topic_names()} > wanted


def test_a_topic_for_all_becomes_that_of_a_name():
    topic = Topic.read("any").of("Sony")
    assert topic.name == "Sony" and topic.about == "Sony" and not topic.is_for_all
    assert topic.phrases["strongly negative about Sony"] == -2 and "{topic}" not in repr(topic)


@pytest.mark.parametrize(
    "change,message",
    [
        ({"phrases": {"for": 1, "for it": 2}}, "'for' begins 'for it'"),
        ({"phrases": {"against": -1, "for": None}}, "the phrase 'for' has no score (None)"),
        ({"phrases": {"against": -1, "for": float("nan")}}, "the phrase 'for' has no score"),
        ({"phrases": {"for": 1, "against": -1}}, "from the lowest score to the highest"),
        ({"phrases": {"for": 1}}, "two phrases or more"),
        ({"phrases": {"a\nb": 1, "c": 2}}, "words of one line"),
        ({"favor": GOOD["against"] + " or so"}, "begins"),
        ({"opinion": 3}, "field 'opinion' is 3"),
        ({"favour": "x"}, "field 'favour' is unknown"),
        ({"called": "x"}, "field 'called' is 'x'"),
        ({"direction": None}, "field 'direction' is None"),
    ],
)
def test_a_faulty_topic_is_one_message_that_names_the_file(tmp_path, change, message):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **change}, sort_keys=False))
    with pytest.raises(FileError) as error:
        Topic.read(path)
    assert str(path) in str(error.value) and message in str(error.value)


def test_what_is_missing_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: x\n")
    with pytest.raises(UserError, match="field 'about' is missing"):
        Topic.read(path)
    with pytest.raises(FileError, match="Known are abortion, any, "):
        Topic.read("abortoin")
