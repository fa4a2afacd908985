"""How many texts of a label training gets, and labelled files for training alone.

python -m pytest tests/data/test_opinion_sizes.py
"""

from collections import Counter

from utils.data.opinion_input import make_input
from utils.data.opinion_sizes import lacking, undersampled
from utils.data.topics import Topic

STADIUM = Topic.read("new-stadium")


def texts(**counts):
    """Texts of these labels: so many in favor, against, ..."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [
        {"text_ID": k, "text": f"text {k}", "opinions": {STADIUM.name: {"stance": label}}}
        for k, label in enumerate(labels)
    ]


def test_undersampled_texts_are_drawn_by_the_seed_in_their_order():
    given = texts(favor=9, against=3, none=2)
    found = undersampled(given, 3, seed=1)
    assert Counter(text["opinions"][STADIUM.name]["stance"] for text in found) == {"favor": 3, "against": 3, "none": 2}
    assert [text["text_ID"] for text in found] == sorted(text["text_ID"] for text in found)
    assert found == undersampled(given, 3, seed=1) and found[:3] != undersampled(given, 3, seed=2)[:3]
    assert undersampled(given, 9, seed=1) == given


def test_what_is_lacking_is_dealt_evenly():
    given = texts(favor=9, against=3, none=2)
    sources = lacking(given, 8, seed=1)
    counts = Counter(text["text_ID"] for text in sources)
    assert sorted(counts[k] for k in range(9, 12)) == [1, 2, 2] and [counts[12], counts[13]] == [3, 3]
    assert sum(counts.values()) == 11 and sources == lacking(given, 8, seed=1) and not lacking(given, 2, seed=1)


def test_files_for_training_alone_keep_out_of_val_and_test(tmp_path):
    (tmp_path / "data.csv").write_text("text,label\n" + "".join(f"plan {k},favor\n" for k in "abcdefghij"))
    plain = make_input(tmp_path / "data.csv", [STADIUM], "stance")
    held = plain.parts["test"][0]["text"]
    (tmp_path / "more.csv").write_text(f"text,label\n@me {held.upper()}!,against\nanother,against\nmore,none\n")
    made = make_input(tmp_path / "data.csv", [STADIUM], "stance", train_only=[tmp_path / "more.csv"])
    assert [text["text"] for text in made.parts["train"]][-2:] == ["another", "more"]
    assert {name: made.parts[name] for name in ("val", "test")} == {name: plain.parts[name] for name in ("val", "test")}
    assert f"{tmp_path / 'more.csv'}: 2 texts for train alone; 1 stand in val or test" in made.told
