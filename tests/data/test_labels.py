"""A label set other than ECF's goes through reading, checking, asking, scoring and drawing.

python -m pytest tests/data/test_labels.py
"""

import json
import math
import re

import pytest

from utils.data.conversations import (
    causes_of,
    emotions_of,
    is_emotional,
    load_conversations,
    pairs,
    with_emotions,
    without_labels,
)
from utils.data.label_sets import SETS, find_labels
from utils.data.labels import ECF, LabelSet, labels_in, recorded_labels
from utils.data.splits import describe
from utils.data.validation import validate_conversations
from utils.report.analysis import ceilings, pair_table
from utils.report.metrics import emotion_scores, pair_scores, per_emotion_pair_scores
from utils.report.picture import draw_conversation
from utils.report.plots import cause_distances, confusion_matrix, save
from utils.system.errors import ConfigError, ConversationError, FileError, ModelError, RunError, ScoringError
from utils.system.files import write_json
from utils.tasks import cause, cause_list, cause_structure, emotion
from utils.tasks.baselines import majority, rule
from utils.tasks.candidates import asked, emotional
from utils.tasks.cause import Cause
from utils.tasks.cause_list import CauseList
from utils.tasks.emotion import Emotion

# "calm" is neutral and not the last; "calm joy" begins as it does; none of the three is ECF's.
MOODS = LabelSet("moods", ("calm joy", "calm", "dread"), neutral="calm")
OPEN = LabelSet("open", ("up", "down"))  # without a neutral label


def talk(moods, number=1, causes=()):
    """A conversation with these moods; `causes`: (emotional utterance, cause)."""
    return {
        "conversation_ID": number,
        "conversation": [
            {"utterance_ID": i, "text": f"line {i}", "speaker": "AB"[i % 2], "emotion": mood}
            for i, mood in enumerate(moods, 1)
        ],
        "emotion-cause_pairs": [[f"{i}_{moods[i - 1]}", str(k)] for i, k in causes],
    }


GOLD = talk(["calm joy", "calm", "dread", "dread"], causes=[(1, 1), (3, 1), (4, 3), (4, 4)])
GUESS = talk(["calm joy", "dread", "dread", "calm"], causes=[(1, 1), (2, 1), (3, 2)])


# ---- the set itself ------------------------------------------------------------------------------------------------


def test_ecf_is_as_it_was():
    assert ECF.labels == ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
    assert (ECF.neutral, ECF.multi, len(ECF)) == ("neutral", False, 7) and ECF.emotional == ECF.labels[:6]
    assert str(ECF) == "anger, disgust, fear, joy, sadness, surprise, neutral"


def test_a_set_knows_its_labels():
    assert list(MOODS) == ["calm joy", "calm", "dread"] and MOODS.emotional == ("calm joy", "dread")
    assert MOODS.index("dread") == 2 and "calm" in MOODS and "joy" not in MOODS and ["calm"] not in MOODS
    assert OPEN.neutral is None and OPEN.emotional == ("up", "down")
    with pytest.raises(ValueError):
        MOODS.index("joy")


@pytest.mark.parametrize(
    ("labels", "neutral", "message"),
    [((), None, "must be there"), (("a", "a"), None, "differ"), (("a", "b"), "c", "'c' is not among")],
)
def test_sets_that_cannot_be(labels, neutral, message):
    with pytest.raises(ValueError, match=f"label set odd: .*{message}"):
        LabelSet("odd", labels, neutral)


def test_a_set_comes_back_from_json(tmp_path):
    whole = LabelSet("odd", ("a", "b"), "b", True, {"c": "a"}, ("d",), "nowhere")
    for one in (ECF, MOODS, OPEN, whole, *SETS.values()):
        write_json(one.as_dict(), tmp_path / "labels.json")
        back = LabelSet.read(tmp_path / "labels.json")
        assert back == one and back.as_dict() == one.as_dict() and labels_in(tmp_path) == one
    assert "merge" not in MOODS.as_dict() and whole.as_dict()["merge"] == {"c": "a"}
    assert labels_in(tmp_path / "absent") is ECF and recorded_labels({}, "x") is ECF
    assert recorded_labels({"labels": MOODS.as_dict()}, "x") == MOODS


def test_sets_are_equal_where_an_adapter_fits_both():
    assert LabelSet("mine", MOODS.labels, "calm") == MOODS and hash(LabelSet("mine", MOODS.labels, "calm"))
    for other in (
        LabelSet("moods", MOODS.labels[::-1], "calm"),  # another order of the probabilities
        LabelSet("moods", MOODS.labels),
        LabelSet("moods", MOODS.labels, "calm", multi=True),
    ):
        assert other != MOODS


WORDS = {"name": "mine", "labels": ["a", "b"]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], r"holds \[\] where an object belongs"),
        ({"name": "mine"}, "is no label set. Write"),
        ({**WORDS, "colour": 1}, "field 'colour' is unknown. A label set has name, labels, neutral"),
        ({**WORDS, "name": ""}, "field 'name' is ''. Write a word"),
        ({**WORDS, "labels": "ab"}, "field 'labels' is 'ab'. Write a list of words"),
        ({**WORDS, "labels": ["a", 1]}, "field 'labels'"),
        ({**WORDS, "labels": []}, "must be there and differ"),
        ({**WORDS, "labels": ["a", "a"]}, "must be there and differ"),
        ({**WORDS, "labels": ["a", " b"]}, "the label ' b' must be words of one line"),
        ({**WORDS, "labels": ["a", ""]}, "the label '' must be"),
        ({**WORDS, "labels": ["a", "b\nc"]}, "must be words of one line"),
        ({**WORDS, "neutral": 3}, "field 'neutral' is 3. Write one of the labels, or null"),
        ({**WORDS, "neutral": "c"}, "neutral label 'c' is not among"),
        ({**WORDS, "multi": 1}, "field 'multi' is 1. Write true or false"),
        ({**WORDS, "merge": {"c": "d"}}, "merge says 'c': 'd'"),
        ({**WORDS, "merge": {"a": "b"}}, "merge says 'a': 'b'"),
        ({**WORDS, "merge": {"c": 1}}, "field 'merge'"),
        ({**WORDS, "leave_out": ["a"]}, "leave_out says 'a'"),
        ({**WORDS, "merge": {"c": "a"}, "leave_out": ["c"]}, "leave_out says 'c'"),
    ],
)
def test_files_that_hold_no_set(tmp_path, data, message):
    write_json(data, tmp_path / "mine.json")
    with pytest.raises(FileError, match=message) as caught:
        find_labels(tmp_path / "mine.json")
    assert str(caught.value).startswith(str(tmp_path / "mine.json"))


def test_the_ready_made_sets():
    sizes = {name: int(re.sub(r"\D", "", name)) for name in SETS}
    assert {name: len(one) for name, one in SETS.items()} == sizes and all(one.source for one in SETS.values())
    assert [one.name for one in SETS.values() if one.multi] == ["goemotions28", "semeval11"] and SETS["ecf7"] is ECF
    assert [name for name, one in SETS.items() if one.neutral is None] == ["semeval11", "dair6", "ekman6"]
    assert SETS["iemocap4"].merge == {"excited": "happy"} and "frustrated" in SETS["iemocap4"].leave_out
    known = {*SETS["ekman6"], *SETS["ekman6"].merge, *SETS["ekman6"].leave_out}
    assert {*SETS["goemotions28"]} | {*ECF} | {*SETS["dailydialog7"]} <= known
    assert find_labels("meld7") is SETS["meld7"]
    with pytest.raises(FileError, match="'meld8': no such label set, and no such file; did you mean meld7"):
        find_labels("meld8")
    with pytest.raises(FileError, match="ready-made are ecf7, meld7"):
        find_labels("zzz")


# ---- read and checked ----------------------------------------------------------------------------------------------


def test_conversations_are_checked_against_the_set(tmp_path):
    write_json([GOLD], tmp_path / "moods.json")
    assert load_conversations(tmp_path / "moods.json", labelled=True, labels=MOODS) == [GOLD]
    with pytest.raises(ConversationError, match="'calm joy' is not an emotion of this task.*anger, disgust"):
        load_conversations(tmp_path / "moods.json")
    for mood, message in (
        ("joy", "'joy' is not an emotion of this task. Write one of calm joy, calm, dread"),
        ("calm", "utterance 1, .*disagrees with the utterance's emotion, calm"),
    ):
        bad = json.loads(json.dumps(GOLD))
        bad["conversation"][0]["emotion"] = mood
        write_json([bad], tmp_path / "bad.json")
        with pytest.raises(ConversationError, match=message):
            load_conversations(tmp_path / "bad.json", labels=MOODS)
    write_json([talk(["calm", "dread"], causes=[(1, 2)])], tmp_path / "neutral.json")
    with pytest.raises(ConversationError, match="gives a neutral utterance a cause"):
        load_conversations(tmp_path / "neutral.json", labels=MOODS)
    write_json([talk(["up", "down"], causes=[(1, 2), (2, 2)])], tmp_path / "open.json")
    assert load_conversations(tmp_path / "open.json", labelled=True, labels=OPEN)


SEVERAL = LabelSet("several", ("a", "b", "calm"), "calm", multi=True)


def bare(*emotions, **fields):
    """A conversation of utterances with these emotions, whatever they are, and no pairs."""
    one = talk(["x"] * len(emotions))
    del one["emotion-cause_pairs"]
    for u, its in zip(one["conversation"], emotions):
        u.update(emotion=its, **fields)
    return one


def test_an_utterance_carries_none_one_or_several_labels():
    none, one = bare("calm", None), bare(["a", "b"], None, ["calm"])
    assert validate_conversations([none], labelled=True, labels=MOODS) == [none]
    assert validate_conversations([one], labelled=True, labels=SEVERAL) == [one]
    assert [emotions_of(u) for u in one["conversation"]] == [["a", "b"], [], ["calm"]]
    assert [is_emotional(u, SEVERAL) for u in one["conversation"]] == [True, False, False]
    assert describe([one], SEVERAL)["emotional"] == 1 and describe([one], SEVERAL)["a"] == 1
    assert with_emotions(one, [["b"], ["a", "b"], None], SEVERAL)["conversation"][1]["emotion"] == ["a", "b"]
    assert causes_of(none, MOODS) == {} and emotional(none, MOODS) == []
    for conversation, labels, message in (
        (bare(["calm"]), MOODS, "is not an emotion of this task: moods takes one label an utterance"),
        (
            bare("a"),
            SEVERAL,
            "'a' is not a list of labels, and several takes several an utterance. Write a list of some of a, b",
        ),
        (bare([]), SEVERAL, r"\[\] is not a list of labels"),
        (bare(["a", "c"]), SEVERAL, "'c' is not an emotion of this task"),
        (bare(["a", "a"]), SEVERAL, "names a label twice"),
        (bare(["a", 1]), SEVERAL, "1 is not an emotion"),
    ):
        with pytest.raises(ConversationError, match=f"utterance 1, field 'emotion': .*{message}"):
            validate_conversations([conversation], labels=labels)


def test_votes_are_numbers_of_labels():
    sound = bare("calm", None, votes={"calm": 2, "dread": 0.5})
    assert validate_conversations([sound], labelled=True, labels=MOODS) == [sound]
    assert "votes" not in str(without_labels(sound)) and "votes" not in str(with_emotions(sound, ["calm"] * 2, MOODS))
    for votes, message in (
        ({}, "it is empty"),
        ([], r"\[\] are no votes"),
        (None, "None are no votes"),
        ({"joy": 1}, "'joy' is not one of calm joy, calm, dread"),
        ({"calm": 0}, "0 votes for calm, and a number above 0"),
        ({"calm": -1}, "-1 votes for calm"),
        ({"calm": True}, "True votes"),
        ({"calm": "2"}, "'2' votes"),
        ({"calm": 10**400}, "10+[.]+0+ votes for calm"),
    ):
        with pytest.raises(ConversationError, match=f"utterance 1, field 'votes': {message}"):
            validate_conversations([bare("calm", votes=votes)], labels=MOODS)


def test_labels_that_are_not_looked_at():
    odd = bare("whatever", 7, votes="x")
    assert validate_conversations([odd], labels=None) == [odd]
    with pytest.raises(ConversationError, match="field 'text'"):
        validate_conversations([bare("x", text="")], labels=None)


def test_a_pair_needs_an_emotion():
    one = {**bare("dread", None), "emotion-cause_pairs": [["2_dread", "1"]]}
    with pytest.raises(ConversationError, match="utterance 2, .* is of an utterance whose emotion is null"):
        validate_conversations([one], labels=MOODS)


def test_nothing_is_asked_in_training_about_an_utterance_without_an_emotion():
    one = bare("dread", None, "calm")
    assert [q.gold for q in questions(Emotion(MOODS).tree(one, train=True))] == [" dread\n", " calm\n"]
    assert len(questions(Emotion(MOODS).tree(one))) == 3
    assert [gold for _, gold in Emotion(MOODS).prompts(one)] == ["emotion :: dread", None, "emotion :: calm"]
    assert emotion.counts([one], MOODS) == {"calm joy": 0, "calm": 1, "dread": 1}
    guess = with_emotions(one, ["dread", "dread", "dread"], MOODS)
    assert emotion_scores([one], [guess], MOODS)["accuracy"] == 0.5, "of two that carry an emotion"


def test_causes_need_a_neutral_label_and_one_label_an_utterance():
    for form in (Cause, CauseList):
        with pytest.raises(ConfigError, match="label set open has no neutral label, so nothing is asked about causes"):
            form(OPEN)
        with pytest.raises(ConfigError, match="label set several has several labels an utterance"):
            form(SEVERAL)


def test_pairs_causes_and_counts_are_of_the_set():
    assert pairs(GOLD, MOODS) == [(1, "calm joy", 1), (3, "dread", 1), (4, "dread", 3), (4, "dread", 4)]
    assert causes_of(GOLD, MOODS) == {1: [1], 3: [1], 4: [3, 4]}
    with pytest.raises(ConversationError, match="with one of anger"):
        pairs(GOLD)
    counted = describe([GOLD], MOODS)
    assert counted == {
        **{"conversations": 1, "utterances": 4, "emotional": 3, "pairs": 4},
        **{"calm joy": 1, "calm": 1, "dread": 2},
    }
    assert with_emotions(GOLD, ["calm"] * 4, MOODS)["conversation"][3]["emotion"] == "calm"
    with pytest.raises(ConversationError, match="'joy' is not .*Give one of calm joy, calm, dread"):
        with_emotions(GOLD, ["joy"] * 4, MOODS)


def test_baselines_are_of_the_set():
    assert majority([GOLD], MOODS) == "dread" and majority([], MOODS) == "calm" and majority([], OPEN) == "up"
    assert pairs(rule(GOLD, MOODS), MOODS) == [
        (1, "calm joy", 1),
        (3, "dread", 2),
        (3, "dread", 3),
        (4, "dread", 3),
        (4, "dread", 4),
    ]


# ---- asked ---------------------------------------------------------------------------------------------------------


def nodes(node):
    yield node
    for child in node.children:
        yield from nodes(child)


def questions(tree):
    return [node.question for node in nodes(tree) if node.question]


def test_emotions_are_asked_and_read_in_the_sets_order():
    task = Emotion(MOODS)
    tree = task.tree(GOLD, train=True)
    assert "Name the emotion of every utterance: calm joy, calm, dread." in tree.text
    assert [q.gold for q in questions(tree)] == [" calm joy\n", " calm\n", " dread\n", " dread\n"]
    assert {q.answers for q in questions(task.tree(GOLD))} == {(" calm joy\n", " calm\n", " dread\n")}
    assert emotion.answers(OPEN) == (" up", " down"), "none begins another"
    assert emotion.answers(ECF) == tuple(f" {label}" for label in ECF)

    search, scores = task.ask(GOLD), [[math.log(p) for p in row] for row in ([0.5, 0.3, 0.2], [0.1, 0.2, 0.7])]
    assert len(questions(search.tree())) == 4
    search.update(scores * 2)
    assert search.tree() is None
    labelled, table = search.read()
    assert [u["emotion"] for u in labelled["conversation"]] == ["calm joy", "dread"] * 2
    assert table[1] == pytest.approx([0.1, 0.2, 0.7]) and "emotion-cause_pairs" not in labelled
    # Taken off: the whole log of what dread is more often than the others
    prior = emotion.prior_scores({"calm joy": 1, "calm": 1, "dread": 8}, 1.0, MOODS)
    labelled, _ = emotion.read(GOLD, scores * 2, prior, MOODS)
    assert [u["emotion"] for u in labelled["conversation"]] == ["calm joy", "calm"] * 2


def test_the_prior_of_a_trained_task_is_of_its_set(tmp_path):
    task = Emotion(MOODS, adjustment=0.5)
    record = {"labels": MOODS.as_dict(), "emotions": emotion.counts([GOLD], MOODS)}
    write_json(record, tmp_path / "training.json")
    assert task.trained(tmp_path).prior == pytest.approx([0.5 * math.log(share) for share in (0.25, 0.25, 0.5)])
    write_json({**record, "emotions": {"calm": 1}}, tmp_path / "training.json")
    with pytest.raises(RunError, match="how often training saw each label"):
        task.trained(tmp_path)


def test_the_published_recipe_names_the_set():
    task = Emotion(MOODS)
    prompt, completion = task.prompts(GOLD)[2]
    assert "Choose exactly one of: calm joy, calm, dread." in prompt and completion == "emotion :: dread"
    labelled, table, unparsed = task.parse(GOLD, ["emotion :: dread", "Calm.", "happy", "neutral"])
    assert [u["emotion"] for u in labelled["conversation"]] == ["dread", "calm", "calm", "calm"] and unparsed == 2
    assert table[0] == [0.0, 0.0, 1.0]
    assert Emotion(OPEN).parse(talk(["up"]), ["nothing"])[0]["conversation"][0]["emotion"] == "up"
    assert [completion for _, completion in Cause(MOODS).prompts(GOLD)] == [
        "utterance_ids :: [1]",
        "utterance_ids :: [1]",
        "utterance_ids :: [3, 4]",
    ]


def test_causes_are_asked_of_emotional_utterances_alone():
    assert emotional(GOLD, MOODS) == [0, 2, 3] and emotional(talk(["up", "down"]), OPEN) == [0, 1]
    task, places = Cause(MOODS, threshold=0.5), asked(GOLD, MOODS)
    trained = questions(task.tree(GOLD, train=True))
    gold = {(i - 1, k - 1) for i, _, k in pairs(GOLD, MOODS)}
    assert [q.gold == " yes" for q in trained] == [pair in gold for pair in places] and len(places) == 12
    search = task.ask(GOLD)
    assert len(questions(search.tree())) == 12
    search.update([[math.log(0.1), math.log(0.9)] if pair in gold else [0.0, -9.0] for pair in places])
    labelled, table = search.read()
    assert pairs(labelled, MOODS) == pairs(GOLD, MOODS) and set(table) == {1, 3, 4}
    assert task.parse(GOLD, ["utterance_ids :: [1]", "[2]", "no"])[0]["emotion-cause_pairs"] == [
        ["1_calm joy", "1"],
        ["3_dread", "2"],
    ]
    predicted = cause.with_gold_causes(with_emotions(GOLD, ["dread", "dread", "calm", "dread"], MOODS), GOLD, MOODS)
    assert pairs(predicted, MOODS) == [(1, "dread", 1), (4, "dread", 3), (4, "dread", 4)]


def test_lists_of_causes_are_of_the_set():
    trained = questions(CauseList(MOODS).tree(GOLD, train=True))
    assert [q.gold for q in trained] == ["1]", "1]", "3,", "4]"]
    search = cause_list.ListSearch(GOLD, labels=MOODS)
    while (tree := search.tree()) is not None:
        search.update([[0.0 if answer == "1]" else -20.0 for answer in q.answers] for q in questions(tree)])
    assert pairs(search.read()[0], MOODS) == [(1, "calm joy", 1), (3, "dread", 1), (4, "dread", 1)]


def test_structure_is_learnt_from_the_sets_labels(tmp_path):
    """Dread is its own cause, calm joy comes from the utterance before, where there is one."""
    moods = ["calm joy", "calm", "dread", "calm", "calm joy", "dread"]
    given = []
    for number in range(48):
        turned = moods[number % 6 :] + moods[: number % 6]
        causes = [(i, i if mood == "dread" else i - 1) for i, mood in enumerate(turned, 1) if mood != "calm"]
        causes = [pair for pair in causes if pair[1]]
        given.append(talk(turned, number, causes))
    names = cause_structure.feature_names(MOODS)
    assert {"emotion calm joy", "emotion dread", "candidate calm"} <= set(names) and "emotion calm" not in names
    assert cause_structure.features(given[0], MOODS).shape == (len(asked(given[0], MOODS)), len(names))

    learnt = Cause(MOODS).beside(given, seed=1)
    for c in given:
        causes = causes_of(c, MOODS)
        right = [(j + 1 in causes[i + 1]) == (odds > 0) for (i, j), odds in zip(asked(c, MOODS), learnt.log_odds(c))]
        assert len(right) == len(asked(c, MOODS)) and all(right), (c["conversation_ID"], right)

    cause_structure.save(learnt, tmp_path)
    write_json({"labels": MOODS.as_dict(), "structure": {"revision": "abc"}}, tmp_path / "training.json")
    task = Cause(MOODS, threshold=0.5).trained(tmp_path)
    assert task.structure == learnt
    with pytest.raises(ModelError, match="was trained on the label set moods .calm joy, calm, dread., and .* of ecf7"):
        Cause().trained(tmp_path)
    with pytest.raises(ModelError, match="knows other features"):
        cause_structure.load(tmp_path)
    search = task.ask(given[0])  # an adapter that knows nothing leaves the structure's answer
    search.update([[0.0, 0.0]] * len(asked(given[0], MOODS)))
    assert pairs(search.read()[0], MOODS) == pairs(given[0], MOODS)


# ---- scored and drawn ----------------------------------------------------------------------------------------------


def test_emotions_are_scored_in_the_sets_order():
    scores = emotion_scores([GOLD], [GUESS], MOODS)
    assert scores["confusion"] == [[1, 0, 0], [0, 0, 1], [0, 1, 1]] and scores["accuracy"] == 0.5
    f1 = {"calm joy": 1.0, "calm": 0.0, "dread": 0.5}
    assert {name: one["f1"] for name, one in scores["per_emotion"].items()} == f1
    assert scores["macro_f1"] == pytest.approx(0.5) and scores["weighted_f1"] == pytest.approx(0.5)
    assert scores["weighted_f1_six"] == pytest.approx((1.0 + 2 * 0.5) / 3), "without the neutral label"
    with pytest.raises(ScoringError, match="no emotion of this task .'calm joy'"):
        emotion_scores([GOLD], [GUESS])


def test_pairs_are_scored_over_the_sets_emotional_labels():
    scores = pair_scores([GOLD], [GUESS], 2, MOODS)
    # 1 of 4 gold pairs is found, by 3 that are named; of dread none of 3.
    assert scores["recall_pair"] == pytest.approx(1 / 4) and scores["precision_pair"] == pytest.approx(1 / 3)
    assert scores["weighted_f1"] == pytest.approx((1 * 1.0 + 3 * 0.0) / 4)
    per_emotion = per_emotion_pair_scores([GOLD], [GUESS], MOODS)
    assert {name: one["support"] for name, one in per_emotion.items()} == {"calm joy": 1, "dread": 3}
    assert pair_scores([GOLD], [GOLD], 2, MOODS)["weighted_f1"] == pytest.approx(1)
    spans = {**GOLD, "emotion-cause_pairs": [["3_dread", "1_line 1"]]}
    found = {**GOLD, "emotion-cause_pairs": [["3_dread", "1_0_2"]]}
    assert pair_scores([spans], [found], 1, MOODS)["weighted_strict_f1"] == pytest.approx(1)
    with pytest.raises(ScoringError, match="unknown emotion"):
        pair_scores([GOLD], [GUESS], 2)


def test_errors_are_put_down_to_the_sets_neutral_label():
    fates = list(pair_table([GOLD], [GUESS], MOODS).fate)
    assert fates == ["found", "cause not named", *["emotion taken for neutral"] * 2]
    assert ceilings([GOLD], [GUESS], MOODS)["weighted F1"]["as predicted"] == pytest.approx(0.25)


def test_pictures_name_the_sets_labels(tmp_path):
    ax = confusion_matrix(emotion_scores([GOLD], [GUESS], MOODS)["confusion"], MOODS).axes[0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == list(MOODS)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(MOODS)
    with pytest.raises(ValueError, match=r"expected \(3, 3\) counts, got \(7, 7\)"):
        confusion_matrix([[0] * 7] * 7, MOODS)
    picture = draw_conversation(GOLD, labels=MOODS)
    assert {"calm joy", "calm", "dread"} <= {text.get_text() for text in picture.axes[0].texts}
    assert sum(patch.get_gid() == "cause" for patch in picture.axes[0].patches) == 2
    bars = cause_distances([GOLD], [GUESS], MOODS).axes[0].patches
    assert sum(bar.get_height() for bar in bars) == pytest.approx(2)
    assert save(picture, tmp_path / "one.png") is picture and (tmp_path / "one.png").stat().st_size > 0
