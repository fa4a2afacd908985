"""What the scorer takes that can mean one thing only, and its notes on pairs that cannot be meant so.

python -m pytest tests/doors/test_score_notes.py
"""

import json

import pytest

from utils.data.conversations import load_conversations
from utils.report.metrics import pair_scores
from utils.score import main
from utils.system.errors import ConversationError
from utils.system.files import write_json


def talk(*pairs, number=1, **more):
    utterances = [
        {"utterance_ID": k, "text": "Oh !", "speaker": "Ana", "emotion": one}
        for k, one in enumerate(("joy", "neutral", "anger"), 1)
    ]
    return [{"conversation_ID": number, "conversation": utterances, "emotion-cause_pairs": [*map(list, pairs)], **more}]


GOLD = talk(("1_joy", "2"), ("3_anger", "3"))


def scored(tmp_path, capsys, gold, pred):
    for name, data in (("gold", gold), ("pred", pred)):
        write_json(data, tmp_path / f"{name}.json")
    arguments = [
        "--subtask",
        "2",
        "--gold",
        str(tmp_path / "gold.json"),
        "--pred",
        str(tmp_path / "pred.json"),
        "--json",
    ]
    status = main(arguments)
    captured = capsys.readouterr()
    found = captured.out and json.loads(captured.out)
    return status, found and {name: one for name, one in found.items() if isinstance(one, float)}, captured.err


@pytest.mark.parametrize(
    "pred",
    [
        talk(("1_joy", 2), ("3_anger", "3")),
        talk(("1_joy", " 2"), ("3_anger", "3 ")),
        talk(("U1_joy", "U2"), ("U3_anger", "03")),
        talk(("1_joy", "2"), ("3_anger", "3"), number="01"),
        talk(("1_joy", "2"), ("3_anger", "3"), number=" 1 "),
    ],
)
def test_what_can_mean_one_thing_is_taken(tmp_path, capsys, pred):
    assert scored(tmp_path, capsys, GOLD, pred) == (0, pair_scores(GOLD, GOLD, 2), "")
    assert scored(tmp_path, capsys, pred, GOLD)[:2] == (0, pair_scores(GOLD, GOLD, 2))


@pytest.mark.parametrize("cause", [True, 2.0, None, -2, "2.0", "two", "", [2], 10**10])
def test_what_cannot_is_refused(tmp_path, capsys, cause):
    status, out, err = scored(tmp_path, capsys, GOLD, talk(("1_joy", cause)))
    assert status == 2 and out == "" and "is malformed" in err and err.count("\n") == 1


def test_one_conversation_under_two_names_is_refused(tmp_path, capsys):
    status, _, err = scored(tmp_path, capsys, GOLD, GOLD + talk(number="01"))
    assert status == 2 and "its conversation_ID is there twice" in err


@pytest.mark.parametrize(
    "pred, note",
    [
        (talk(("1_joy", "99")), "pred.json: 1 pairs point to utterances that are not there, first [\"1_joy\", '99']"),
        (talk(("1_joy", 99), ("77_joy", "1")), "2 pairs point to utterances that are not there"),
        (talk(("1_sadness", "1")), "1 pairs contradict its emotions"),
        (talk(("2_joy", "1")), "1 pairs contradict its emotions"),
    ],
)
def test_odd_pairs_get_a_note_and_count_as_written(tmp_path, capsys, pred, note):
    status, figures, err = scored(tmp_path, capsys, GOLD, pred)
    assert status == 0 and figures == pair_scores(GOLD, pred, 2)
    assert note in err and err.count("\n") == 1 and "as in the official evaluation" in err


def test_files_without_utterances_or_emotions_get_no_note(tmp_path, capsys):
    for pred in (
        [{key: value for key, value in talk(("1_joy", "99"))[0].items() if key != "conversation"}],
        [{**talk(("1_sadness", "1"))[0], "conversation": [{"utterance_ID": k} for k in (1, 2, 3)]}],
        GOLD + [{"conversation_ID": 8, "conversation": [{}]}],  # not scored
    ):
        assert scored(tmp_path, capsys, GOLD, pred)[::2] == (0, "")


# ---- ids and speakers of input files -------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [" 1", "1", "01", "1 ", "001"])
def test_ids_that_differ_by_spaces_or_zeros_are_one(tmp_path, other):
    write_json(talk() + talk(number=other), tmp_path / "talks.json")
    with pytest.raises(ConversationError, match="field 'conversation_ID': .*(is there twice|are one id)"):
        load_conversations(tmp_path / "talks.json")
    faults = []
    write_json(talk() + talk(number=other) + talk(number=2), tmp_path / "talks.json")
    assert len(load_conversations(tmp_path / "talks.json", faults=faults)) == 2 and len(faults) == 1


def test_ids_that_differ_otherwise_are_two(tmp_path):
    numbers = [1, 10, "a", "A", "1a", "-a1", "0", "1.0", "a 1"]
    write_json([talk(number=number)[0] for number in numbers], tmp_path / "talks.json")
    assert len(load_conversations(tmp_path / "talks.json")) == len(numbers)


@pytest.mark.parametrize("number", [-5, -1, "-5", " -05 ", -(10**50)])
def test_an_id_below_0_is_refused_by_name(tmp_path, number):
    write_json(talk(number=number) + talk(number=2), tmp_path / "talks.json")
    with pytest.raises(ConversationError, match=f"conversation {number}, field 'conversation_ID': it is below 0"):
        load_conversations(tmp_path / "talks.json")
    faults = []
    assert len(load_conversations(tmp_path / "talks.json", faults=faults)) == 1 and faults[0][0] == str(number)
    data = talk()
    data[0]["conversation"][2]["utterance_ID"] = number
    write_json(data, tmp_path / "talks.json")
    with pytest.raises(ConversationError, match="utterance at position 3, field 'utterance_ID': .* is not a positive"):
        load_conversations(tmp_path / "talks.json")


@pytest.mark.parametrize("field", ["speaker", "text"])
@pytest.mark.parametrize("blank", ["\u200b", " \u200b\u2060 ", "\u202e", "\ufeff", "\ufe0f", "\u200d\ufe0f", "\x00"])
def test_a_speaker_or_text_that_cannot_be_seen_is_none(tmp_path, blank, field):
    data = talk()
    data[0]["conversation"][1][field] = blank
    write_json(data, tmp_path / "talks.json")
    with pytest.raises(ConversationError, match=f"utterance 2, field '{field}': it is empty"):
        load_conversations(tmp_path / "talks.json")
    data[0]["conversation"][1][field] = f"a{blank}"
    write_json(data, tmp_path / "talks.json")
    assert load_conversations(tmp_path / "talks.json") == data
