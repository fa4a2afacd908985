"""Every format is read as its publishers write it, found by its content, and refused in one message.

python -m pytest tests/data/test_formats.py

The corpora in ../shared/emotions are counted where they are; the small files here are made up.
"""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from corpora import MELD

import generate_input
from utils.data.conversations import load_conversations, pairs
from utils.data.corpus import read_data
from utils.data.formats.known import FORMATS, format_of, split_files
from utils.data.formats.talks import clean
from utils.data.labels import ECF, labels_in
from utils.data.sources import write_splits
from utils.data.splits import describe
from utils.system.errors import ConversationError, FileError, UserError
from utils.system.files import write_json

EMORYNLP = {
    "season_id": "trn",
    "episodes": [
        {
            "episode_id": "s01_e01",
            "scenes": [
                {
                    "scene_id": "s01_e01_c02",
                    "utterances": [
                        {"speakers": ["Ana", "Bo"], "transcript": "We won!", "emotion": "Joyful"},
                        {"speakers": ["Cy"], "transcript": "So what.", "emotion": "Mad"},
                    ],
                }
            ],
        }
    ],
}
EMOTIONLINES = [
    [
        {"speaker": "Ana", "utterance": "It\x92s on.", "emotion": "non-neutral", "annotation": "2010020"},
        {"speaker": "Bo", "utterance": "Great!", "emotion": "joy", "annotation": "0500000"},
    ]
]
RECCON = {
    "tr_7": [
        [
            {"turn": 1, "speaker": "A", "utterance": "I won.", "emotion": "neutral"},
            {
                "turn": 2,
                "speaker": "B",
                "utterance": "Lovely.",
                "emotion": "happy",
                "expanded emotion cause evidence": [2, "b", 1, 1],
                "expanded emotion cause span": ["x", "b", "y", "z"],
            },
        ]
    ]
}
GOEMOTIONS = 'He said "no".\t4,27\teab1\nWow\t26\teab2\n'
SEMEVAL2018 = 'ID\tTweet\tanger\tjoy\ttrust\r\n2018-En-1\tI "won\t0\t1\t1\r\n2018-En-2\tso so\t0\t0\t0\r\n'
DAIR = "i feel fine; i think;joy\ni feel low;sadness\n"
NUMBERED = [
    {"instruction": "Name the label: sadness (0), joy (1 ), love (2), anger (3), fear (4), surprise (5).", **row}
    for row in ({"input": "'It's the \"best\" day!'", "output": "1"}, {"input": "Alone again.", "output": "sadness"})
]
TEXTS = ("Good day . __eou__ Is it ? __eou__\n", "0 6\n", "1 2\n")
RECORDS = [
    {"id": "Ses01F_impro01_F000", "start": 1.0, "emotion": "neu", "transcription": "Excuse me."},
    {"id": "Ses01F_impro01_M000", "start": 0.5, "emotion": "xxx", "transcription": "Yes?"},
]


def dailydialog_zip(path, texts=TEXTS, folder="train/"):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in zip(("dialogues_train", "dialogues_emotion_train", "dialogues_act_train"), texts):
            archive.writestr(f"{folder}{name}.txt", text)
    return path


@pytest.fixture
def written(tmp_path):
    """{format: a file of it}"""
    files = {
        "meld": ("train_sent_emo.csv", MELD),
        "emorynlp": ("emotion-detection-trn.json", json.dumps(EMORYNLP)),
        "emotionlines": ("friends_train.json", json.dumps(EMOTIONLINES)),
        "reccon": ("dailydialog_train.json", json.dumps(RECCON)),
        "goemotions": ("train.tsv", GOEMOTIONS),
        "semeval2018": ("2018-E-c-En-train.txt", SEMEVAL2018),
        "dair": ("train.txt", DAIR),
        "csv": ("mine.csv", "Text;Label;speaker\nHi, you;glad;Ana\nHo;;\n"),
        "jsonl": ("mine.jsonl", '{"text": "Hi", "emotions": ["a", "b"], "conversation": 3}\n'),
        "iemocap": ("data.json", json.dumps(RECORDS)),
        "alpaca": ("train.json", json.dumps(NUMBERED)),
    }
    found = {}
    for form, (name, text) in files.items():
        found[form] = tmp_path / form / name
        found[form].parent.mkdir()
        found[form].write_bytes(text.encode())
    (tmp_path / "dailydialog").mkdir()
    found["dailydialog"] = dailydialog_zip(tmp_path / "dailydialog" / "train.zip")
    return found


def read(path, form=None, **options):
    return FORMATS[form or format_of(path)].read(path, **options)


# ---- what is read --------------------------------------------------------------------------------------------------


def test_every_format_is_found_by_its_content(written):
    assert {form: format_of(path) for form, path in written.items()} == {form: form for form in written}
    assert {*written, "semeval"} == {*FORMATS}


def test_meld(written):
    first, second = read(written["meld"])
    assert (first["conversation_ID"], first["season"], first["episode"], second["conversation_ID"]) == (0, 4, 7, 7)
    assert first["conversation"] == [
        {
            "utterance_ID": 1,
            "text": "Well, it’s late.",
            "speaker": "Ana",
            "emotion": "sadness",
            "sentiment": "negative",
        },
        {
            "utterance_ID": 2,
            "text": '"Late", you say?',
            "speaker": "Bo",
            "emotion": "surprise",
            "sentiment": "positive",
        },
    ]


def test_emorynlp(written):
    (one,) = read(written["emorynlp"])
    assert one["conversation_ID"] == "s01_e01_c02" and one["episode"] == "s01_e01"
    assert one["conversation"][0] == {"utterance_ID": 1, "text": "We won!", "speaker": "Ana, Bo", "emotion": "Joyful"}


def test_emotionlines_has_votes(written):
    (one,) = read(written["emotionlines"])
    first, second = one["conversation"]
    assert first["votes"] == {"neutral": 2, "sadness": 1, "surprise": 2} and first["text"] == "It’s on."
    assert second["votes"] == {"joy": 5} and second["emotion"] == "joy"


def test_dailydialog(written, tmp_path):
    (one,) = read(written["dailydialog"])
    assert one["conversation"] == [
        {"utterance_ID": 1, "text": "Good day .", "speaker": "A", "emotion": "no emotion", "act": "inform"},
        {"utterance_ID": 2, "text": "Is it ?", "speaker": "B", "emotion": "surprise", "act": "question"},
    ]
    shutil.unpack_archive(written["dailydialog"], tmp_path / "unpacked")
    assert read(tmp_path / "unpacked" / "train") == [one] == read(tmp_path / "unpacked" / "train", "dailydialog")


def test_dailydialog_of_another_number_of_labels_is_refused_by_its_line(tmp_path, capsys):
    texts = (TEXTS[0] * 3, "0 6\n0\n0 6\n", "1 2\n" * 3)
    path = dailydialog_zip(tmp_path / "train.zip", texts)
    assert generate_input.main(["--data", str(path), "--all-train", "--out", str(tmp_path / "out")]) == 2
    assert "conversation 2, utterance 2, field 'emotion': it is missing" in capsys.readouterr().err
    assert len(write_splits(path, tmp_path / "out", all_train=True, skip_invalid=True).parts["train"]) == 2


def test_reccon_has_causes(written, tmp_path):
    (one,) = read(written["reccon"])
    assert one["conversation_ID"] == "tr_7" and one["emotion-cause_pairs"] == [["2_happy", "1"], ["2_happy", "2"]]
    found = write_splits(written["reccon"], tmp_path / "out", all_train=True)
    assert pairs(found.parts["train"][0]) == [(2, "joy", 1), (2, "joy", 2)] and found.labels == ECF
    assert found.told == ["merged: 'happy' into 'joy', 1 times"]
    assert labels_in(tmp_path / "out").merge["happy"] == "joy"


def test_goemotions(written):
    first, second = read(written["goemotions"])
    assert first["conversation_ID"] == "eab1" and second["conversation"][0]["emotion"] == ["surprise"]
    assert first["conversation"] == [
        {"utterance_ID": 1, "text": 'He said "no".', "speaker": "A", "emotion": ["approval", "neutral"]}
    ]


def test_semeval2018(written):
    first, second = read(written["semeval2018"])
    assert first["conversation"][0] == {
        "utterance_ID": 1,
        "text": 'I "won',
        "speaker": "A",
        "emotion": ["joy", "trust"],
    }
    assert second["conversation"][0]["emotion"] is None


def test_dair(written):
    assert [c["conversation"][0]["text"] for c in read(written["dair"])] == ["i feel fine; i think", "i feel low"]
    assert [c["conversation"][0]["emotion"] for c in read(written["dair"])] == ["joy", "sadness"]


def test_texts_with_numbered_labels(written):
    first, second = (c["conversation"][0] for c in read(written["alpaca"]))
    assert (first["text"], first["emotion"]) == ('It\'s the "best" day!', "joy")
    assert (second["text"], second["emotion"], second["speaker"]) == ("Alone again.", "sadness", "A")


def test_own_tables(written):
    first, second = read(written["csv"])
    assert first["conversation"][0] == {"utterance_ID": 1, "text": "Hi, you", "speaker": "Ana", "emotion": "glad"}
    assert second["conversation"][0] == {"utterance_ID": 1, "text": "Ho", "speaker": "A", "emotion": None}
    (one,) = read(written["jsonl"])
    assert one["conversation_ID"] == 3 and one["conversation"][0]["emotion"] == ["a", "b"]


def test_columns_are_named(tmp_path):
    (tmp_path / "t.csv").write_text("talk,who,said,mood,speaker\nx,Ana,Hi,glad,no\ny,Bo,Hey,low,no\nx,Cy,Ho,low,no\n")
    columns = {"text": "said", "label": "mood", "speaker": "who", "conversation": "talk"}
    data = read_data(str(tmp_path / "t.csv"), columns=columns)
    first, second = data.files[tmp_path / "t.csv"]
    assert [u["speaker"] for u in first["conversation"]] == ["Ana", "Cy"] and second["conversation_ID"] == "y"
    assert [u["emotion"] for u in first["conversation"]] == ["glad", "low"] and data.form == "csv"
    write_json([{"said": "Hi", "mood": 3}], tmp_path / "t.json")
    read = read_data(str(tmp_path / "t.json"), "jsonl", {"text": "said", "label": "mood"})
    assert read.files[tmp_path / "t.json"][0]["conversation"][0]["emotion"] == 3, "which validation refuses"


def test_characters_of_windows():
    assert clean("it\x92s\x85 \x81") == "it’s… \x81".strip() and clean(3) == 3


def test_conversations_one_a_line(tmp_path):
    talks = [
        {"conversation_ID": n, "conversation": [{"utterance_ID": 1, "text": "x", "speaker": "A", "emotion": "joy"}]}
        for n in (1, 2)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in talks))
    (tmp_path / "one.json").write_text(json.dumps(talks[0], indent=2))
    assert read(tmp_path / "a.jsonl") == talks and format_of(tmp_path / "a.jsonl") == "semeval"
    with pytest.raises(ConversationError, match="holds an object where a list of conversations belongs"):
        write_splits(tmp_path / "one.json", tmp_path / "out")


# ---- splits of a folder --------------------------------------------------------------------------------------------


def test_files_that_are_called_after_splits_stay_apart(tmp_path, written):
    folder = written["meld"].parent
    for name in ("dev_sent_emo.csv", "test_sent_emo.csv"):
        shutil.copy(written["meld"], folder / name)
    assert set(split_files(folder).values()) == {"train", "dev", "test"}
    found = write_splits(folder, tmp_path / "out")
    assert {name: [c["conversation_ID"] for c in part] for name, part in found.parts.items()} == {
        "train": ["train-0", "train-7"],
        "val": ["dev-0", "dev-7"],
        "test": ["test-0", "test-7"],
    }
    assert found.labels.name == "meld7"
    written["dair"].rename(folder / "train.txt")
    with pytest.raises(ConversationError, match="train.txt and train_sent_emo.csv are both of train. Name the file"):
        write_splits(folder, tmp_path / "out")
    assert len(write_splits(folder, tmp_path / "out", form="meld").parts["val"]) == 2


def test_files_of_several_formats_are_one_corpus_where_its_labels_are_known(tmp_path, written):
    """What a model wrote as train, beside val and test as they are published."""
    folder = written["alpaca"].parent
    for name in ("val.txt", "test.txt"):
        (folder / name).write_text(DAIR)
    found = write_splits(folder, tmp_path / "out")
    assert {name: len(part) for name, part in found.parts.items()} == {"train": 2, "val": 2, "test": 2}
    assert found.labels.name == "dair6" and found.parts["test"][0]["conversation_ID"] == "test-1"
    (folder / "test.txt").write_text("Text;Label\nHi;joy\n")
    (folder / "val.txt").unlink()
    with pytest.raises(ConversationError, match="in several formats .csv, alpaca.. Name one file"):
        write_splits(folder, tmp_path / "other")


def test_folders_without_splits(tmp_path, written):
    with pytest.raises(ConversationError, match="cannot tell which file to read as meld .found a.csv, b.csv"):
        for name in ("a.csv", "b.csv"):
            (tmp_path / "two").mkdir(exist_ok=True)
            (tmp_path / "two" / name).write_text(MELD)
        read_data(str(tmp_path / "two"), "meld")
    (tmp_path / "two" / "b.csv").unlink()
    assert [*read_data(str(tmp_path / "two"), "meld").files] == [tmp_path / "two" / "a.csv"]
    for name in ("train", "test"):
        shutil.copy(written["dailydialog"], written["dailydialog"].with_stem(name)) if name != "train" else None
    assert {*read_data(str(written["dailydialog"].parent)).split_of.values()} == {"train", "test"}


# ---- what is refused -----------------------------------------------------------------------------------------------

BAD = {  # format: (file, content, message)
    "meld": ("a.csv", MELD.replace("Speaker", "Who"), "not as MELD is published"),
    "emorynlp": ("a.json", '{"episodes": [{"scenes": [{}]}]}', "not as EmoryNLP is published"),
    "emotionlines": ("a.json", json.dumps(EMOTIONLINES).replace("2010020", "21"), "not as EmotionLines is published"),
    "reccon": ("a.json", '{"a": [[{"turn": 1}]]}', "not as RECCON is published"),
    "goemotions": ("a.tsv", "text\t99\tid\n", "not as GoEmotions is published .line 1"),
    "semeval2018": ("a.txt", SEMEVAL2018.replace("1\t1", "1\t2"), "not as SemEval-2018 E-c is published .row 2: a"),
    "dair": ("a.txt", "no label\n", "not as dair-ai/emotion is published .line 1: no text;label"),
    "dailydialog": ("a.zip", "no archive", "not as DailyDialog is published"),
    "csv": ("a.csv", "a,b\n1,2\n", "no column is called text .found a, b.. Name it: --columns"),
    "jsonl": ("a.jsonl", "[1]", "not as a table of JSON is published"),
    "iemocap": ("a.json", '[{"id": "x"}]', "not as a list of IEMOCAP's records is published"),
    "semeval": ("a.json", "{", "not JSON that can be used"),
    "alpaca": ("a.json", json.dumps(NUMBERED).replace('"1"', '"7"'), "not as texts .*example 1: its output is '7'"),
}


@pytest.mark.parametrize("form", list(FORMATS))
def test_files_of_another_form(tmp_path, form):
    name, content, message = BAD[form]
    (tmp_path / name).write_text(content)
    with pytest.raises(FileError, match=message) as caught:
        read_data(str(tmp_path / name), form)
    assert str(caught.value).startswith(str(tmp_path / name)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("form", list(FORMATS))
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"x", b"[]", b"{}", b"[[]]", b'[{"a": 1}]', b'{"a": 3}', b"null"]
)
def test_any_bytes_end_in_one_message_or_in_conversations(tmp_path, form, content):
    path = tmp_path / f"odd{FORMATS[form].suffixes[0]}"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        write_splits(path, tmp_path / "out", form=form)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize(("content", "message"), [
    ("text,label\nHi\n", "row 2 has not as many cells as the head"),
    ("text,label\nHi,a,b\n", "row 2 has not as many cells as the head"),
    ('text,label\n"Hi"x,a\n', "row"),
])  # fmt: skip
def test_tables_that_are_broken(tmp_path, content, message):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(FileError, match=message):
        read_data(str(tmp_path / "t.csv"))


def test_a_label_of_no_set_is_named_by_its_row(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\nHi,joy\nHo,anger\n\nOh,suprise\n")
    with pytest.raises(ConversationError, match="conversation 3, utterance 1, row 5, field 'emotion': 'suprise' is"):
        write_splits(tmp_path / "t.csv", tmp_path / "out", all_train=True, labels="ecf7")
    (tmp_path / "t.jsonl").write_text('{"text": "Hi", "label": "joy"}\n\n{"text": "", "label": "joy"}\n')
    with pytest.raises(ConversationError, match="conversation 2, utterance 1, line 3, field 'text': it is empty"):
        write_splits(tmp_path / "t.jsonl", tmp_path / "out", all_train=True)
    (tmp_path / "t.json").write_text('[{"text": "Hi", "label": "joy"}, {"text": "", "label": "joy"}]')
    with pytest.raises(ConversationError, match="conversation 2, utterance 1, object 2, field 'text': it is empty"):
        write_splits(tmp_path / "t.json", tmp_path / "out", all_train=True)


def test_columns_that_cannot_be(tmp_path, written, capsys):
    with pytest.raises(FileError, match="has no column 'mood' .found Text, Label, speaker.. Name another"):
        read_data(str(written["csv"]), columns={"label": "mood"})
    with pytest.raises(ConversationError, match="columns are for a table .csv or jsonl., and this is meld"):
        read_data(str(written["meld"]), columns={"text": "Utterance"})
    for odd in ("text", "text=", "mood=x", "=x"):
        with pytest.raises(SystemExit):
            generate_input.main(["--data", str(written["csv"]), "--columns", odd])
        assert "write one of text, label, speaker, conversation, votes, topic, id, =, and" in capsys.readouterr().err


# ---- the corpora ---------------------------------------------------------------------------------------------------

COUNTS = {  # {file: (arguments, conversations, utterances, pairs, label set, {label: how often})}
    "formats/meld_dev.csv": ({}, 114, 1109, 0, "meld7", {"neutral": 470, "joy": 163}),
    "formats/meld_test.csv": ({}, 280, 2610, 0, "meld7", {"anger": 345, "fear": 50}),
    "formats/emorynlp_dev.json": ({}, 99, 1344, 0, "emorynlp7", {"Neutral": 393, "Sad": 75}),
    "formats/dailydialog_validation.zip": ({}, 1000, 8069, 0, "dailydialog7", {"no emotion": 7108, "happiness": 684}),
    "formats/emotionlines_friends.json": ({}, 1000, 14503, 0, "ecf7", {"neutral": 6530, "joy": 1710}),
    "formats/goemotions_dev.tsv": ({}, 5426, 5426, 0, "goemotions28", {"admiration": 488, "grief": 13}),
    "formats/reccon_dailydialog_valid.json": ({}, 47, 493, 328, "ecf7", {"joy": 127, "neutral": 293}),
    "formats/semeval2018_ec_dev.txt": ({}, 872, 872, 0, "semeval11", {"joy": 400, "trust": 43}),
    "formats/dair_emotion_train.txt": ({}, 16000, 16000, 0, "dair6", {"joy": 5362, "surprise": 572}),
    "formats/dair_emotion_val.txt": ({}, 2000, 2000, 0, "dair6", {"joy": 704}),
    "formats/dair_emotion_test.txt": ({}, 2000, 2000, 0, "dair6", {"joy": 695}),
    "formats/gpt_emotion_data.json": ({}, 296, 296, 0, "dair6", {"sadness": 51, "surprise": 48}),
    "dailydialog.json": ({}, 11922, 93592, 0, "dailydialog7", {"no emotion": 77967, "happiness": 11664}),
    "edos.json": ({}, 8570, 19824, 0, "edos", {"Acknowledging": 298}),
    "emorynlp.json": ({}, 627, 7408, 0, "emorynlp7", {"Neutral": 2365, "Joyful": 1646}),
    "emotionlines_friends.json": ({"labels": "data"}, 652, 9444, 0, "emotionlines_friends", {"non-neutral": 1766}),
    "goemotions.json": ({}, 53814, 53814, 0, "goemotions28", {"neutral": 17670, "grief": 95}),
    "meld.json": ({}, 975, 9164, 0, "ecf7", {"neutral": 4343, "joy": 1640}),
    "reccon_dailydialog.json": ({"labels": "data"}, 1055, 10538, 8695, "reccon_dailydialog", {"happiness": 4179}),
}  # fmt: skip


def test_every_file_of_the_corpora_is_counted_here(shared):
    there = {str(path.relative_to(shared / "emotions")) for path in (shared / "emotions").rglob("*") if path.is_file()}
    assert there - {*COUNTS} == {"README.md", "labels.json", "formats/goemotions_labels.txt"}


LARGE = ("dailydialog.json", "edos.json", "goemotions.json")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LARGE)) for n in COUNTS])
def test_the_corpora(shared, tmp_path, name):
    arguments, conversations, utterances, caused, labels, some = COUNTS[name]
    found = write_splits(shared / "emotions" / name, tmp_path, all_train=True, **arguments)
    counted = describe(found.parts["train"], found.labels)
    assert (counted["conversations"], counted["utterances"], counted["pairs"]) == (conversations, utterances, caused)
    assert found.labels.name == labels and {label: counted[label] for label in some} == some
    assert load_conversations(tmp_path / "train", labelled=True, labels=labels_in(tmp_path)) is not None


def test_the_label_lists_of_the_corpora_are_the_ready_made_ones(shared):
    goemotions = (shared / "emotions" / "formats" / "goemotions_labels.txt").read_text().split()
    assert tuple(goemotions) == FORMATS["goemotions"].labels.labels
    listed = json.loads((shared / "emotions" / "labels.json").read_text())
    for corpus, form in (("emorynlp", "emorynlp"), ("meld", "meld"), ("dailydialog", "dailydialog")):
        assert set(listed[corpus]["labels"]) == set(FORMATS[form].labels)


def test_reccon_is_converted_as_the_prepared_file_was(shared, tmp_path):
    """The conversations that both files hold have the same causes; the prepared file has other texts and ids."""
    published = FORMATS["reccon"].read(shared / "emotions" / "formats" / "reccon_dailydialog_valid.json")
    prepared = {
        c["source"].rpartition("/")[2]: c
        for c in FORMATS["semeval"].read(shared / "emotions" / "reccon_dailydialog.json")
        if "valid" in c["source"]
    }
    both = [(one, prepared[one["conversation_ID"]]) for one in published if one["conversation_ID"] in prepared]
    assert len(both) > 10
    for one, other in both:
        assert one["emotion-cause_pairs"] == other["emotion-cause_pairs"], one["conversation_ID"]


def test_the_paths_of_a_corpus_are_not_written(written, tmp_path):
    write_splits(written["meld"], tmp_path / "out", all_train=True)
    assert not any(str(tmp_path) in path.read_text() for path in Path(tmp_path / "out").rglob("*.json"))
