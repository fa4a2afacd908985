"""Conversations are read from JSON, JSON lines, tables and lines of `Speaker: text`, from files and standard input.

python -m pytest tests/data/test_given.py
"""

import io
import json
import sys
import zipfile

import pytest

from utils.data.conversations import load_conversations
from utils.data.given import conversations_in, read_given
from utils.system.errors import UserError
from utils.system.files import write_json

TALK = "Ana: Where is it?\nBen: Gone: all of it.\n\n\n[Narrator]: Later.\n"


def test_the_three_forms_are_one(tmp_path, sample):
    given = sample[:3]
    write_json(given, tmp_path / "one.json")
    lines = "".join(json.dumps(c) + "\n" for c in given)
    (tmp_path / "two.jsonl").write_text(lines + "\n")
    (tmp_path / "three").write_text("\ufeff" + lines)
    assert all(read_given(tmp_path / name) == given for name in ("one.json", "two.jsonl", "three"))
    assert read_given(tmp_path / "one.json") == load_conversations(tmp_path / "one.json")


@pytest.mark.parametrize("name", ["talk.txt", "talk"])
def test_lines_of_text_are_utterances_and_an_empty_line_ends_a_conversation(tmp_path, name):
    (tmp_path / name).write_text(TALK.replace("\n", "\r\n"))
    first, second = read_given(tmp_path / name)
    assert first == {
        "conversation_ID": 1,
        "conversation": [
            {"utterance_ID": 1, "text": "Where is it?", "speaker": "Ana"},
            {"utterance_ID": 2, "text": "Gone: all of it.", "speaker": "Ben"},
        ],
    }, "no video is invented"
    assert second["conversation_ID"] == 2 and second["conversation"][0]["speaker"] == "[Narrator]"


@pytest.mark.parametrize("text", [TALK, json.dumps([{"conversation_ID": 7, "conversation": []}])])
def test_standard_input(monkeypatch, text, sample):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    if text == TALK:
        assert len(read_given("-")) == 2
    else:
        with pytest.raises(UserError, match="standard input, conversation 7, field 'conversation': it has no utteran"):
            read_given("-")


@pytest.mark.parametrize(
    ("text", "suffix", "says"),
    [
        ("Ana: Hello\nhello", ".txt", "it, line 2: no speaker. Write it as Speaker: text"),
        ("Ana: Hello", ".json", "it: not JSON"),
        ("", "", "it: the file is empty"),
        (" \n\n", ".txt", "it: the file is empty"),
        ('{"conversation_ID": 1}\n{"conver', "", "it, line 2: not JSON"),
        ('{"conversation_ID": 1}\n', ".jsonl", "conversation 1, field 'conversation': it is missing"),
        ('{"conversation_ID": 1}', ".json", "it: holds an object where a list .*Wrap it as"),
        ("[1, 2", "", "it, line 1: no speaker"),
        ("[12:03] Ana: Hello", "", "it, line 1: a time stands before the speaker. Write it as"),
        ("25/12/24, 12:03 - Ana: Hello", "", "it, line 1: a time stands before the speaker"),
        ("Ana: Hello\nBen:  ", "", "it, line 2: no text behind 'Ben'. Write it as"),
        ('["a"]', "", "it, conversation at position 1: is a string, not an object"),
    ],
)
def test_a_fault_ends_in_one_message_that_names_the_place(text, suffix, says):
    with pytest.raises(UserError, match=says) as error:
        conversations_in(text, "it", suffix)
    assert "\n" not in str(error.value)


def test_a_table_has_a_row_an_utterance_and_its_labels_are_not_looked_at(tmp_path):
    path = tmp_path / "talk.CSV"
    path.write_text("conversation,speaker,text,label\n4,Ana,Where is it?,puzzled\n4,Ben,Gone.,\n5,Ana,Later.,\n")
    first, second = read_given(path)
    assert first["conversation"] == [
        {"utterance_ID": 1, "text": "Where is it?", "speaker": "Ana"},
        {"utterance_ID": 2, "text": "Gone.", "speaker": "Ben"},
    ]
    assert (first["conversation_ID"], second["conversation_ID"]) == (4, 5)
    path.write_text("speaker,line\nAna,Hello\n")
    with pytest.raises(UserError, match="no column is called text .found speaker, line"):
        read_given(path)


def test_a_file_that_is_no_text_is_named(tmp_path, monkeypatch):
    (tmp_path / "talk.txt").write_bytes(b"Ana: \xff")
    with pytest.raises(UserError, match="talk.txt: not UTF-8 .byte 5"):
        read_given(tmp_path / "talk.txt")
    with pytest.raises(UserError, match="none.txt: no such file"):
        read_given(tmp_path / "none.txt")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    with pytest.raises(UserError, match="standard input: not UTF-8"):
        read_given("-")


def test_columns_of_a_table_may_be_named(tmp_path):
    (tmp_path / "chat.csv").write_text("dialog,who,message\n1,Ana,Hello\n1,Ben,Bye\n")
    with pytest.raises(
        UserError, match="no column is called text .found dialog, who, message.. Name it: --columns text"
    ):
        read_given(tmp_path / "chat.csv")
    columns = {"text": "message", "speaker": "who", "conversation": "dialog"}
    (one,) = read_given(tmp_path / "chat.csv", columns)
    assert [(u["speaker"], u["text"]) for u in one["conversation"]] == [("Ana", "Hello"), ("Ben", "Bye")]
    (tmp_path / "talk.txt").write_text(TALK)
    with pytest.raises(UserError, match="talk.txt: columns are for a table"):
        read_given(tmp_path / "talk.txt", columns)


def test_a_cell_without_a_speaker_is_no_speaker(tmp_path):
    (tmp_path / "chat.csv").write_text("conversation,text,speaker\n1,Hello,Ana\n1,Bye,\n")
    with pytest.raises(UserError, match="utterance 2, row 3, field 'speaker': it is empty. Write who speaks"):
        read_given(tmp_path / "chat.csv")
    (tmp_path / "chat.csv").write_text("text,speaker\nHello,\nBye,\n")  # texts, each by itself
    assert [c["conversation"][0]["speaker"] for c in read_given(tmp_path / "chat.csv")] == ["A", "A"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", 'conversation,text\n1,Hello\n\n1," "\n', "conversation 1, utterance 2, row 4, field 'text'"),
        ("a.csv", 'conversation,text\n1,"Two\nlines"\n1,\n', "conversation 1, utterance 2, row 3, field 'text'"),
        ("a.tsv", "text\tspeaker\nHello\tAna\nBye\t\u200b\n", "conversation 2, utterance 1, row 3, field 'speaker'"),
        ("a.csv", f"conversation,text\n1,Hello\n{'9' * 101},Bye\n", "position 2, row 3, field 'conversation_ID'"),
        ("a.csv", "text,speaker\nHello,Ana\nBye\n", "row 3 has not as many cells as the head"),
        ("a.csv", 'text\n"Two\nlines"\n"Bye"x\n', "row 3: "),
    ],
)
def test_a_fault_of_a_table_names_the_row_as_a_spreadsheet_counts_it(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as error:
        read_given(tmp_path / name)
    assert says in str(error.value)


def test_a_workbook_is_not_a_table(tmp_path):
    with zipfile.ZipFile(tmp_path / "book.csv", "w") as book:
        book.writestr("sheet.xml", "\xe9" * 50)
    with pytest.raises(UserError, match="not UTF-8 .*Save the table as CSV"):
        read_given(tmp_path / "book.csv")
