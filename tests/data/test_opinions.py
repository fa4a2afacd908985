"""Texts with opinions: files in, labels, annotators, splits without repeated texts.

python -m pytest tests/data/test_opinions.py
"""

import json

import pytest
from helpers import ROOT
from sklearn.metrics import cohen_kappa_score

from utils.data.agreement import RULES, agreement
from utils.data.opinion_input import make_input
from utils.data.opinion_splits import normal, repeats, split_texts
from utils.data.opinions import check_texts, load_texts, stance_of, topics_in, without_opinions
from utils.data.topics import Topic
from utils.system.errors import UserError
from utils.system.files import read_json, write_set

GUNS = Topic.read("gun-control")
SAMPLE = ["car-free-centre", "four-day-week", "new-stadium"]


def made(folder, text, task_type="regression", name="mine.csv", topics=(GUNS,), **how):
    (folder / name).write_text(text, encoding="utf-8")
    return make_input(folder / name, topics, task_type, **how)


def table(*rows, head="text,label"):
    return "\n".join([head, *rows]) + "\n"


def opinions(made):
    return {t["text"]: t["opinions"] for texts in made.parts.values() for t in texts}


MANY = [f"text number {word},{score}" for word, score in zip("abcdefghij", [-2, -1, 0, 1, 2] * 2)]


# ---- labels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task_type,labels,wanted",
    [
        ("binary", ["1", "0", "relevant"], [{"relevant": True}, {"relevant": False}, {"relevant": True}]),
        ("regression", ["-2", "0.5", "1.0"], [{"score": -2.0}, {"score": 0.5}, {"score": 1.0}]),
        (
            "regression_with_relevance",
            ["-9", "2", "irrelevant"],
            [{"relevant": False}, {"relevant": True, "score": 2.0}, {"relevant": False}],
        ),
        ("stance", ["FAVOR", "against", "None"], [{"stance": "favor"}, {"stance": "against"}, {"stance": "none"}]),
    ],
)
def test_what_a_label_says(tmp_path, task_type, labels, wanted):
    found = opinions(made(tmp_path, table(*(f"text {k},{one}" for k, one in enumerate(labels))), task_type))
    assert [found[f"text {k}"]["gun-control"] for k in range(3)] == wanted


def test_a_regression_leaves_texts_without_an_opinion_out_and_says_so(tmp_path):
    one = made(tmp_path, table(*MANY, "nothing here,-9"))
    assert "nothing here" not in opinions(one) and "left out, they hold no opinion: 1 texts" in one.told


def test_the_stance_follows_from_a_score():
    given = ({"score": 1.0}, {"score": -0.5}, {"score": 0.0}, {"relevant": False}, {"relevant": True}, {})
    assert [stance_of(one) for one in given] == ["favor", "against", "none", "none", None, None]


@pytest.mark.parametrize(
    "text,how,message",
    [
        (table("a,3"), {}, "row 2, column label, field 'score': 3.0 is not on the scale of gun-control, -2 to 2"),
        (table("a,many"), {}, "row 2, column label: 'many' is no score"),
        (table("a,2", ",1"), {}, "row 3, field 'text': the text is empty"),
        (table("a,2", "\u200b \ufe0f,1"), {}, "row 3, field 'text': the text is empty"),
        (table("a,2", "b,"), {}, "row 3: no label"),
        (table("a,2", head="words,label"), {}, "no column is called text (found words, label)"),
        (table("a,2"), {"columns": {"label": "Mood"}}, "has no column 'Mood' (found text, label)"),
        (table("a,2"), {"columns": {"votes": "label"}}, "no votes is read of opinions, but text, label, topic, id"),
        (table("a,2"), {"annotators": ["ana"]}, "has no column 'ana'"),
        (table("a,b,2", head="text,text,label"), {}, "two columns are called 'text'. Rename or remove one"),
        (table(), {}, "no row in it. Write a head, and a row for each text"),
        (table("a,2", "b,1,1"), {}, "row 3 has not as many cells as the head"),
        (table("a,maybe"), {"task_type": "stance"}, "'maybe' is no label of the task type stance"),
        (table("a,2"), {"task_type": "binary"}, "'2' is no label of the task type binary. Write 1 or 0"),
        (table("a,2"), {"fractions": [0.5, 0.1, 0.1]}, "not three shares that add up to 1"),
        (table("a,2", "b,1"), {}, "2 different texts are too few"),
        (table("a,2"), {"topics": [GUNS, Topic.read("drugs")]}, "row 2: it names no topic, and there are several"),
        (table("a,2"), {"topics": [Topic.read("any")]}, "row 2: it names no topic"),
        (table("1,a,2", "1,b,2", "3,c,2", head="id,text,label"), {"fractions": [1, 0, 0]}, "two texts have this id"),
    ],
)
def test_bad_input_is_one_message(tmp_path, text, how, message):
    with pytest.raises(UserError) as error:
        made(tmp_path, text, **how)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_other_encodings_are_refused_by_name(tmp_path):
    (tmp_path / "mine.csv").write_bytes("text,label\nna\u00efve,1\n".encode() + "caf\u00e9,1\n".encode("latin-1"))
    with pytest.raises(UserError, match="mine.csv: not UTF-8"):
        make_input(tmp_path / "mine.csv", [GUNS], "regression")


# ---- formats -------------------------------------------------------------------------------------------------------


def test_tweeteval_as_it_is_published(tmp_path):
    for split, texts, labels in (("train", "one\ntwo\nthree\n", "0\n1\n2\n"), ("test", "four\n", "2\n")):
        (tmp_path / f"{split}_text.txt").write_text(texts)
        (tmp_path / f"{split}_labels.txt").write_text(labels)
    (tmp_path / "mapping.txt").write_text("0\tnone\n1\tagainst\n2\tfavor\n")
    parts = make_input(tmp_path, [GUNS], "stance").parts
    found = {name: [t["opinions"]["gun-control"]["stance"] for t in texts] for name, texts in parts.items()}
    assert found == {"train": ["none", "against", "favor"], "val": [], "test": ["favor"]}
    (tmp_path / "train_labels.txt").write_text("0\n1\n")
    with pytest.raises(UserError, match="3 texts, and train_labels.txt has 2 labels"):
        make_input(tmp_path, [GUNS], "stance")


def test_the_five_point_scale_as_it_is_published(tmp_path):
    rows = [f'{k}\t{"sony" if k % 2 else "xbox"}\t{k % 5 - 2}\tsays "{k}' for k in range(10)]
    one = made(tmp_path, "\n".join(rows), name="train.tsv", topics=[Topic.read("any")])
    assert opinions(one)['says "3'] == {"sony": {"score": 1.0}}
    assert {topic.name for topic in one.topics} == {"sony", "xbox"} and one.topics[0].is_for_all is False


def test_semeval_2016_stances_by_their_targets_and_json_lines(tmp_path):
    rows = ["ID\tTarget\tTweet\tStance"]
    rows += [f"{k}\tLegalization of Abortion\ttweet {k}\t{'AGAINST' if k % 2 else 'FAVOR'}" for k in range(10)]
    one = made(tmp_path, "\n".join([*rows, "11\tAtheism\tother\tNONE"]), "stance", topics=[Topic.read("abortion")])
    assert opinions(one)["tweet 4"] == {"abortion": {"stance": "favor"}} and len(opinions(one)) == 10
    assert one.told == ["left out, on another topic: 1 texts"]
    lines = "".join(json.dumps({"id": k, "text": f"t {k}", "score": k % 5 - 2}) + "\n" for k in range(10))
    one = made(tmp_path, lines, name="mine.jsonl")
    assert {t["text_ID"] for texts in one.parts.values() for t in texts} == {str(k) for k in range(10)}


def test_a_text_on_several_topics_is_one_text(tmp_path):
    both = [GUNS, Topic.read("drugs")]
    rows = [f"tweet {k},{topic.name},{k % 3}" for k in range(5) for topic in both]
    one = made(tmp_path, table(*rows, head="text,topic,label"), topics=both)
    assert opinions(one)["tweet 1"] == {"gun-control": {"score": 1.0}, "drugs": {"score": 1.0}}
    assert sum(map(len, one.parts.values())) == 5


def test_texts_for_inference_are_asked_about_all_topics(tmp_path):
    (tmp_path / "new.csv").write_text("text\nwhat now\n")
    both = [GUNS, Topic.read("drugs")]
    rows = [f"tweet {k},{topic.name},{k % 3}" for k in range(5) for topic in both]
    one = made(tmp_path, table(*rows, head="text,topic,label"), topics=both, unlabelled=tmp_path / "new.csv")
    assert one.parts["unlabelled"] == [
        {"text_ID": "unlabelled-1", "text": "what now", "opinions": {"gun-control": {}, "drugs": {}}}
    ]


# ---- splits --------------------------------------------------------------------------------------------------------


def texts(count, labels=5):
    return [{"text_ID": k, "text": f"text {k}", "opinions": {"x": {"score": float(k % labels)}}} for k in range(count)]


def test_every_label_is_in_each_split_by_its_share_and_the_seed_decides():
    parts = split_texts(texts(500), (0.8, 0.1, 0.1), 42)
    for name, wanted in (("train", 80), ("val", 10), ("test", 10)):
        counts = [sum(t["opinions"]["x"]["score"] == k for t in parts[name]) for k in range(5)]
        assert all(abs(count - wanted) <= 1 for count in counts), (name, counts)
    again, other = split_texts(texts(500)[::-1], (0.8, 0.1, 0.1), 42), split_texts(texts(500), (0.8, 0.1, 0.1), 43)
    ids = [{t["text_ID"] for t in one["test"]} for one in (parts, again, other)]
    assert ids[0] == ids[1] != ids[2]
    assert [len(split_texts(texts(3), (0.8, 0.1, 0.1), 1)[name]) for name in ("train", "val", "test")] == [1, 1, 1]


def test_repeated_texts_stay_together():
    assert normal("RT @ana: It's  GREAT! https://t.co/x1") == normal("it's great") == "it s great"
    assert normal("\U0001f600") != normal("\U0001f622") and normal("@ana") == "@ana"
    some = texts(50)
    twice = some + [{**t, "text_ID": f"again {t['text_ID']}", "text": t["text"].upper() + "!"} for t in some]
    parts = split_texts(twice, (0.6, 0.2, 0.2), 42)
    where = {name: {normal(t["text"]) for t in part} for name, part in parts.items()}
    assert not where["train"] & where["test"] and not where["train"] & where["val"] and repeats(twice) == 50
    assert sum(map(len, parts.values())) == 100


def test_a_text_of_given_splits_leaves_train_and_is_counted(tmp_path):
    rows = {"train": ["one,1", "two,2", "RT Two!,2", "three,0"], "validate": ["four,1"], "test": ["TWO,2", "three,1"]}
    for split, lines in rows.items():
        (tmp_path / f"guns-{split}.csv").write_text(table(*lines))
        (tmp_path / f"other-{split}.csv").write_text(table(*lines))
    one = make_input(tmp_path / "guns", [GUNS], "regression")
    assert {name: [t["text"] for t in part] for name, part in one.parts.items()} == {
        "train": ["one"],
        "val": ["four"],
        "test": ["TWO", "three"],
    }
    assert "2 of 2 texts of test stand in train too, 1 with the same label: they were left out of train" in one.told[0]
    kept = make_input(tmp_path / "guns", [GUNS], "regression", keep_repeated=True)
    assert len(kept.parts["train"]) == 4 and "they stay in both" in kept.told[0]
    with pytest.raises(UserError, match="are both of test"):
        make_input(tmp_path, [GUNS], "regression")


def test_the_faults_of_public_splits_are_found(shared):
    folder = shared / "opinions" / "tweets"
    for name, wanted in (("gun-binary", "326 of 700 texts of test stand in train too, 230 with the same"),
                         ("gun-regression", "85 of 246 texts of test stand in train too")):  # fmt: skip
        told = make_input(folder / name, [GUNS], name.split("-")[1]).told
        assert any(wanted in line for line in told), told


# ---- annotators ----------------------------------------------------------------------------------------------------


def test_the_rules_of_agreement():
    majority, unanimous, mean = RULES["majority"], RULES["all"], RULES["mean"]
    cases = [
        ([1.0, 1.0, 2.0], 1.0, None, 4 / 3),
        ([1.0, 2.0, 0.0], None, None, 1.0),
        (["irrelevant", "irrelevant", 2.0], "irrelevant", None, "irrelevant"),
        ([2.0, 2.0, None], 2.0, 2.0, 2.0),
        ([1.0, 1.0, 0.0, 0.0], None, None, 0.5),
        ([2.0, None, None], None, None, 2.0),
        ([None, None], None, None, None),
    ]
    for given, *wanted in cases:
        assert [majority(given), unanimous(given), mean(given)] == pytest.approx(wanted), given


def test_agreement_is_that_of_scikit_learn_and_of_the_formula():
    one, other = [2.0, 1.0, "irrelevant", 0.0, None, -2.0], [1.0, 1.0, 0.0, 0.0, 1.0, -2.0]
    (pair,) = agreement({"a": one, "b": other}, scale=(-2, -1, 0, 1, 2))
    assert pair["texts"] == 5 and pair["scored"] == 4 and pair["agreed"] == 3 / 5
    assert pair["rmse"] == pytest.approx((1 / 4) ** 0.5)
    weighted = cohen_kappa_score([4, 3, 2, 0], [3, 3, 2, 0], labels=range(5), weights="quadratic")
    assert pair["weighted_kappa"] == pytest.approx(weighted)
    assert pair["kappa"] == pytest.approx(cohen_kappa_score(list("21i04"), list("11004")))
    (same,) = agreement({"a": [1.0, 1.0], "b": [1.0, 1.0]})
    assert same["kappa"] is None and same["agreed"] == 1.0


def test_several_columns_become_one_label_and_are_kept(tmp_path):
    rows = [f"text {k},{k % 5 - 2},{k % 5 - 2}," for k in range(10)] + ["apart,1,2,0"]
    one = made(tmp_path, table(*rows, head="text,ana,bo,cem"), annotators=["ana", "bo", "cem"])
    assert opinions(one)["text 3"] == {"gun-control": {"score": 1.0, "given": {"ana": 1.0, "bo": 1.0}}}
    assert "apart" not in opinions(one) and one.told[0] == "left out, the annotators do not agree: 1 texts"
    assert json.loads(one.files["agreement.json"])["pairs"][0]["texts"] == 11


# ---- what is written, and the sample -------------------------------------------------------------------------------


def test_the_sample_is_as_its_readme_says(tmp_path):
    topics = [Topic.read(name) for name in SAMPLE]
    path = ROOT / "data" / "opinions" / "texts.csv"
    one = make_input(path, topics, "regression_with_relevance", annotators=["ana", "bo", "cem"])
    assert one.told[0] == "left out, the annotators do not agree: 12 texts"
    write_set(tmp_path, one.files)
    assert topics_in(tmp_path) == {topic.name: topic for topic in topics}
    read = {name: load_texts(tmp_path / name / "texts.json", topics_in(tmp_path)) for name in one.parts}
    assert read == one.parts and sum(map(len, read.values())) == 228
    everyone = [t for part in read.values() for t in part]
    assert repeats(everyone) == 0 and max(len(t["text"]) for t in everyone) < 160
    assert without_opinions(everyone[0])["opinions"] == dict.fromkeys(everyone[0]["opinions"], {})


@pytest.mark.parametrize(
    "change,message",
    [
        ({"text_ID": None}, "field 'text_ID'"),
        ({"text": ""}, "the text is empty"),
        ({"text": "half \ud83d"}, "half a character"),
        ({"opinions": {}}, "field 'opinions'"),
        ({"opinions": {"cats": {"score": 1}}}, "the topic 'cats' is none of gun-control"),
        ({"opinions": {"gun-control": {"score": 7}}}, "not on the scale"),
        ({"opinions": {"gun-control": {"score": True}}}, "not on the scale"),
        ({"opinions": {"gun-control": {"relevant": "yes"}}}, "Write true or false"),
        ({"opinions": {"gun-control": {"relevant": False, "score": 1}}}, "relevant is false"),
        ({"opinions": {"gun-control": {"stance": "maybe"}}}, "one of against, none, favor"),
        ({"opinions": {"gun-control": {}}}, "no label"),
        ({"opinions": {"gun-control": {"mood": 1}}}, "is no opinion"),
    ],
)
def test_a_damaged_input_is_one_message(change, message):
    good = {"text_ID": 1, "text": "a", "opinions": {"gun-control": {"score": 1}}}
    assert check_texts([good], "x", {"gun-control": GUNS}, labelled=True)
    with pytest.raises(UserError, match=message):
        check_texts([good, {**good, "text_ID": 2, **change}], "x", {"gun-control": GUNS}, labelled=True)


def test_an_input_is_replaced_on_request_and_never_under_a_run(tmp_path, monkeypatch, capsys):
    import generate_input
    from utils.record import inputs

    monkeypatch.setattr(inputs.places, "find", lambda: inputs.places.Place("here", tmp_path))
    (tmp_path / "mine.csv").write_text(table(*MANY))
    command = ["--task", "opinion", "--data", tmp_path / "mine.csv", "--topic", "gun-control", "--task-type"]

    def run(*more):
        status = generate_input.main([str(word) for word in [*command, *more, "--out", tmp_path / "in"]])
        return status, capsys.readouterr().err

    assert run("regression") == (0, "") and run("regression")[0] == 0, "the same again changes nothing"
    before = (tmp_path / "in" / "train" / "texts.json").read_bytes()
    status, said = run("regression", "--seed", "7")
    assert status == 2 and "give --dataset-update" in said
    record = {"parameters": {}, "input": inputs.fingerprints(tmp_path / "in")}
    write_set(tmp_path / "results_train" / "first", {"config.json": json.dumps({"opinion_training": record})})
    status, said = run("regression", "--seed", "7", "--dataset-update")
    assert status == 2 and "is what the run first is on" in said
    assert (tmp_path / "in" / "train" / "texts.json").read_bytes() == before
    (tmp_path / "results_train" / "first" / "config.json").unlink()
    assert run("regression", "--seed", "7", "--dataset-update")[0] == 0
    assert read_json(tmp_path / "in" / "train" / "texts.json") != json.loads(before)
