"""A label set other than ECF's goes through reading, checking, asking, scoring and drawing.

python -m pytest tests/data/test_labels.py
"""

import json
import math

import pytest

from utils.data.conversations import causes_of, load_conversations, pairs, with_emotions
from utils.data.labels import ECF, LabelSet
from utils.data.splits import describe
from utils.report.analysis import ceilings, pair_table
from utils.report.metrics import emotion_scores, pair_scores, per_emotion_pair_scores
from utils.report.picture import draw_conversation
from utils.report.plots import cause_distances, confusion_matrix, save
from utils.system.errors import ConversationError, ModelError, RunError, ScoringError
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
    assert [q.gold for q in questions(tree)] == [" calm joy", " calm", " dread", " dread"]
    assert {q.answers for q in questions(task.tree(GOLD))} == {(" calm joy", " calm", " dread")}

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
    write_json({"emotions": emotion.counts([GOLD], MOODS)}, tmp_path / "training.json")
    assert task.trained(tmp_path).prior == pytest.approx([0.5 * math.log(share) for share in (0.25, 0.25, 0.5)])
    with pytest.raises(RunError, match="how often training saw each label"):
        Emotion(adjustment=0.5).trained(tmp_path)


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
    write_json({"structure": {"revision": "abc"}}, tmp_path / "training.json")
    task = Cause(MOODS, threshold=0.5).trained(tmp_path)
    assert task.structure == learnt
    with pytest.raises(ModelError, match="knows other features"):
        Cause().trained(tmp_path)
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
