"""Captions: how they stand in a line, and which are refused.

python -m pytest tests/data/test_captions.py
"""

import copy

import pytest
from helpers import FIVE, ROOT, conversation

from utils.config import Config
from utils.data.captions import captioned, check_captions, check_there
from utils.data.conversations import load_conversations
from utils.record.inputs import Conversations
from utils.system.errors import ConfigError, ConversationError
from utils.system.files import write_json

FIELDS = ("video_caption", "audio_caption")


def utterance(**fields):
    return {"utterance_ID": 1, "text": "a", "speaker": "A", **fields}


def test_captions_stand_in_the_order_that_is_given_with_single_white_space():
    one = utterance(audio_caption=" a\n\tgasp ", video_caption="she [waves]")
    assert captioned(one, FIELDS) == " [video caption: she [waves]] [audio caption: a gasp]"
    assert captioned(one, FIELDS[::-1]) == " [audio caption: a gasp] [video caption: she [waves]]"


@pytest.mark.parametrize("absent", [{}, {"video_caption": None}, {"video_caption": ""}, {"video_caption": " \u200b\n"}])
def test_an_absent_or_blank_caption_leaves_no_trace(absent):
    assert captioned(utterance(**absent), FIELDS) == ""
    check_captions([{**FIVE, "conversation": [utterance(**absent)]}], "here", FIELDS)


@pytest.mark.parametrize(("value", "named"), [(5, "5"), (["a"], r"\['a'\]"), ({}, "{}"), (True, "True")])
def test_a_caption_that_is_no_text_is_refused_by_file_item_and_field(tmp_path, value, named):
    bad = copy.deepcopy(FIVE)
    bad["conversation"][1]["video_caption"] = value
    write_json([{**bad, "emotion-cause_pairs": []}], tmp_path / "train" / "conversations.json")
    message = f"train/conversations.json, conversation 5, utterance 2, field 'video_caption': {named} is no text. Write"
    with pytest.raises(ConversationError, match=message):
        Conversations(tmp_path, Config(captions="video_caption")).items("train", labelled=True)
    assert Conversations(tmp_path, Config()).items("train", labelled=True), "nobody reads it"


def test_a_field_that_no_utterance_of_train_has_is_refused_with_those_that_are_there(tmp_path):
    write_json([{**FIVE, "emotion-cause_pairs": []}], tmp_path / "train" / "conversations.json")
    for task in ("emotion", "cause"):
        with pytest.raises(ConfigError, match="train has the field 'video_captoin'; they have 'video_caption'"):
            Conversations(tmp_path, Config(captions=["video_captoin"])).task(task)
        assert Conversations(tmp_path, Config(captions=["video_caption"])).task(task).senses.captions == FIELDS[:1]
    with pytest.raises(ConfigError, match="no fields beside the words"):
        check_there([{"conversation_ID": 1, "conversation": [utterance()]}], "here", FIELDS)


def test_the_sample_has_captions_on_most_utterances_and_words_for_every_emotion():
    given = load_conversations(ROOT / "data" / "senses", labelled=True)
    check_captions(given, "data/senses", FIELDS)
    check_there(given, "data/senses", FIELDS)
    utterances = [u for c in given for u in c["conversation"]]
    bare = [u for u in utterances if not captioned(u, FIELDS)]
    assert 0 < len(bare) < len(utterances) / 4 and len({u["emotion"] for u in utterances}) == 7
    assert conversation(["x"])["conversation"][0]["video_caption"] == "seen 1", "the helper's own has one"
