"""Pictures are written, show what they were given, say what they are of, and are the same on every run."""

import copy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from utils.data.conversations import pairs
from utils.data.label_sets import SETS
from utils.data.labels import ECF
from utils.report import picture, plots
from utils.report.colours import COLOURS, colours
from utils.report.lettering import readable
from utils.report.loss import loss_curve, smoothed

CONVERSATION = {
    "conversation_ID": 1,
    "conversation": [
        {"utterance_ID": 1, "text": "They said yes!", "speaker": "Mira", "emotion": "joy"},
        {"utterance_ID": 2, "text": "All $20,000 and not $5?", "speaker": "$Jo$", "emotion": "surprise"},
        {"utterance_ID": 3, "text": "Every one of it. " * 60, "speaker": "Mira", "emotion": "neutral"},
        {"utterance_ID": 4, "text": "You go.", "speaker": "Somebody with long names", "emotion": "sadness"},
    ],
    "emotion-cause_pairs": [
        ["1_joy", "1"], ["2_surprise", "1"], ["4_sadness", "1"], ["4_sadness", "3"], ["4_sadness", "4"],
    ],
}  # fmt: skip


def bare():
    """Build the conversation without emotions and pairs."""
    conversation = copy.deepcopy(CONVERSATION)
    del conversation["emotion-cause_pairs"]
    for utterance in conversation["conversation"]:
        del utterance["emotion"]
    return conversation


def parts(fig, gid):
    """Find the shapes of one kind in a drawn conversation."""
    return [patch for patch in fig.axes[0].patches if patch.get_gid() == gid]


def texts(fig):
    """List all texts in a drawn conversation."""
    return [text.get_text() for text in fig.axes[0].texts]


HISTORY = [{"step": 10 * i, "loss": 2 / (i + 1), "learning_rate": 1e-4} for i in range(30)]
HISTORY += [{"step": 150, "eval_loss": 0.4}, {"step": 290, "train_loss": 0.3}]
TEXT = [{"step": i, "loss": 3 - i / 100} for i in range(1, 60)]
SHARES = pd.DataFrame({"found": [0.5, 1.0], "right": [0.25, 0.75], "guessing": [0.2, 0.1], "n": [2, 1000]})
SHARES.index = ["few", "$many"]
ABOUT = plots.about("mine", "test", conversations=26, utterances=1500)
FIGURES = {
    "loss": lambda: loss_curve({"history": HISTORY, "text_history": TEXT}, "emotion", ABOUT),
    "lengths": lambda: plots.token_lengths([10, 20, 20, 4000], 100, "A $title$ of $5", ABOUT),
    "confusion": lambda: plots.confusion_matrix(np.arange(49).reshape(7, 7), about=ABOUT),
    "distances": lambda: plots.cause_distances([CONVERSATION], [CONVERSATION, bare()], about=ABOUT),
    "rates": lambda: plots.rates(SHARES, "A title", "words", ABOUT, "guessing"),
    "stacked": lambda: plots.stacked(
        pd.DataFrame({"found": [3, 0], "lost": [1, 2]}, index=[-1, 0]), "A", "b", "c", ABOUT
    ),
    "conversation": lambda: picture.draw_conversation(CONVERSATION, "A $title$ of $5"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_saved_the_same_twice(name, tmp_path):
    first, second, figure = tmp_path / "new" / "folder" / "a.png", tmp_path / "b.png", FIGURES[name]()
    assert plots.save(figure, first) is figure, "a notebook shows what it saves"
    plots.save(FIGURES[name](), str(second))
    assert first.read_bytes().startswith(b"\x89PNG")
    assert first.read_bytes() == second.read_bytes()
    assert b"matplotlib" not in first.read_bytes()


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_left_to_the_notebook(name):
    assert isinstance(FIGURES[name](), Figure)
    assert not plt.get_fignums()  # an open figure would be shown a second time


def test_every_emotion_has_its_own_colour():
    assert set(COLOURS) == set(ECF) and colours(ECF) == COLOURS
    for labels in SETS.values():
        palette = colours(labels)
        assert set(palette) == set(labels) and len(set(palette.values())) == len(labels), labels.name
        assert all(palette[label] == COLOURS[label] for label in labels if label in COLOURS)
        assert all(palette[label] == COLOURS["neutral"] for label in labels if label == labels.neutral)


@pytest.mark.parametrize("name", sorted(FIGURES.keys() - {"conversation"}))
def test_figures_say_what_they_are_of(name):
    title, line = (text.get_text() for text in FIGURES[name]().texts)
    assert title and line.startswith("run mine · split test · 26 conversations · 1,500 utterances")


def test_loss_curve_shows_raw_smooth_and_evaluation_losses():
    (ax,) = loss_curve({"history": HISTORY}, "cause").axes
    raw, smooth, held_out = ax.lines
    assert len(raw.get_xdata()) == len(smooth.get_xdata()) == 30 and ax.get_yscale() == "log"
    assert list(held_out.get_xdata()) == [150] and list(held_out.get_ydata()) == [0.4]


def test_the_loss_of_reading_text_has_a_part_of_its_own():
    of_text, of_labels = loss_curve({"history": HISTORY, "text_history": TEXT}, "emotion").axes
    assert [len(ax.lines[0].get_xdata()) for ax in (of_text, of_labels)] == [59, 30]
    assert "without labels" in of_text.get_title("left") and of_labels.get_title("left") == "emotion labels"


def test_smoothing_keeps_a_straight_line_to_its_ends():
    steps = np.arange(1.0, 200.0)
    assert smoothed(steps, 3 - steps / 100) == pytest.approx(3 - steps / 100)


def test_smoothing_neither_lags_nor_follows_the_last_value():
    steps, noise = np.arange(1.0, 401.0), np.random.default_rng(0).normal(0, 0.2, 400)
    falling = 1 + 5 * np.exp(-steps / 20)
    assert np.abs(smoothed(steps, falling) - falling).max() < 0.1, "on the curve, also where it falls"
    values = falling + noise
    values[-1] = 0.2
    assert smoothed(steps, values)[-1] == pytest.approx(1, abs=0.15), "one low value is no fall"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_few_steps_have_a_curve_too(number):
    curve = loss_curve({"history": [{"step": i, "loss": 2.0} for i in range(1, number + 1)]}, "emotion")
    assert list(curve.axes[0].lines[1].get_ydata()) == pytest.approx([2.0] * number)


@pytest.mark.parametrize(("low", "high"), [(0.1, 9.0), (1.2, 1.9), (2.0, 2.0), (0.0, 3.0)])
def test_the_axis_of_the_loss_has_numbers(low, high):
    fig = loss_curve({"history": [{"step": 1, "loss": high}, {"step": 2, "loss": low}]}, "emotion")
    (ax,) = fig.axes
    bottom, top = ax.get_ylim()
    assert bottom < high < top and sum(bottom <= tick <= top for tick in ax.get_yticks()) >= 2


def test_empty_input_gives_empty_charts(tmp_path):
    figures = [loss_curve({"history": []}, "emotion"), plots.token_lengths([])]
    figures += [plots.cause_distances([]), plots.cause_distances([], [])]
    for fig in figures:
        plots.save(fig, tmp_path / "empty.png")
        assert (tmp_path / "empty.png").stat().st_size > 0
        (tmp_path / "empty.png").unlink()


def test_token_lengths_names_what_is_over_the_budget_and_that_nothing_is_cut():
    legend = plots.token_lengths([100, 101, 5], budget=100).axes[0].get_legend()
    said = legend.get_texts()[0].get_text()
    assert "1 of 3 are longer" in said and "Nothing is cut" in said
    assert plots.token_lengths([100, 101, 5]).axes[0].get_legend() is None


def test_confusion_matrix_colours_rows_and_prints_counts():
    counts = np.zeros((7, 7), dtype=int)
    counts[0, 1], counts[0, 0] = 30, 10
    figure = plots.confusion_matrix(counts, about="mine")
    ax = figure.axes[0]
    shares = np.asarray(ax.images[0].get_array())
    assert shares[0, 1] == 0.75 and shares[0, 0] == 0.25 and shares[1:].sum() == 0
    assert [text.get_text() for text in ax.texts][:4] == ["10", "25%", "30", "75%"]
    assert figure.texts[1].get_text() == "mine · 40 utterances · accuracy 25.0%"
    with pytest.raises(ValueError, match="expected"):
        plots.confusion_matrix(np.zeros((6, 6)))


def test_rates_are_as_high_as_the_shares_and_say_them_and_their_number():
    ax = FIGURES["rates"]().axes[0]
    assert [bar.get_height() for bar in ax.patches] == [0.5, 1.0, 0.25, 0.75]
    assert [text.get_text() for text in ax.texts] == ["50%", "100%", "25%", "75%"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["few\nn = 2", "$many\nn = 1,000"]
    assert {round(y, 6) for line in ax.collections[0].get_segments() for _, y in line} == {0.2, 0.1}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["guessing", "found", "right"]


def test_stacked_bars_stand_on_each_other():
    bars = [(bar.get_y(), bar.get_height()) for bar in FIGURES["stacked"]().axes[0].patches]
    assert bars == [(0, 3), (0, 0), (3, 1), (0, 2)]


def test_cause_distances_are_positions_with_pooled_tails():
    # Ids with gaps: what counts is the place in the conversation.
    utterances = [{"utterance_ID": 10 * i, "text": "x", "emotion": "joy"} for i in range(1, 21)]
    conversation = {"conversation": utterances, "emotion-cause_pairs": [["200_joy", "10"], ["10_joy", "200"]]}
    conversation["emotion-cause_pairs"] += [["30_joy", "20"], ["30_joy", "30"]]
    bars = plots.cause_distances([conversation]).axes[0].patches
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in bars}
    shares = {place: share for place, share in heights.items() if share}
    assert shares == {-8: 0.25, -1: 0.25, 0: 0.25, 4: 0.25}


def test_conversation_has_an_arrow_for_each_pair():
    fig = picture.draw_conversation(CONVERSATION)
    own = [triple for triple in pairs(CONVERSATION) if triple[0] == triple[2]]
    assert len(parts(fig, "cause")) == len(pairs(CONVERSATION)) - len(own) == 3
    assert len(parts(fig, "own-cause")) == len(own) == 2
    assert len(parts(fig, "utterance")) == len(parts(fig, "tag")) == 4


def test_arrows_point_from_the_cause_to_the_emotion():
    conversation = dict(CONVERSATION, **{"emotion-cause_pairs": [["4_sadness", "1"]]})
    fig = picture.draw_conversation(conversation)
    boxes = [box.get_bbox() for box in parts(fig, "utterance")]
    way = parts(fig, "cause")[0]._path_original.vertices
    assert boxes[0].y0 < way[0][1] < boxes[0].y1
    assert boxes[3].y0 < way[-1][1] < boxes[3].y1


def test_arrows_and_texts_keep_apart():
    fig = picture.draw_conversation(CONVERSATION, "Title")
    renderer = FigureCanvasAgg(fig).get_renderer()
    page = fig.axes[0].get_window_extent(renderer)
    boxes = [text.get_window_extent(renderer) for text in fig.axes[0].texts]
    for box in boxes:
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
    for arrow in parts(fig, "cause"):
        extent = arrow.get_window_extent(renderer)
        assert extent.x1 <= page.x1
        assert not any(extent.overlaps(box) for box in boxes)
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_long_texts_are_cut_after_three_lines():
    lines = [text for text in texts(picture.draw_conversation(CONVERSATION)) if "Every one" in text]
    assert len(lines) == 3 and lines[-1].endswith("…")


def test_wrapping_keeps_words_and_breaks_only_giants():
    given = bare()
    for utterance, text in zip(given["conversation"], ("  one\ntwo ", "", "w" * 110, "w" * 1000)):
        utterance["text"] = text
    fig = picture.draw_conversation(given)
    assert "one two" in texts(fig) and "" in texts(fig)
    lines = [text for text in texts(fig) if text.startswith("ww")]
    assert "".join(lines[:-3]) == "w" * 110 and len(lines) > 4, "broken, and nothing is lost"
    assert lines[-1].endswith("…") and len("".join(lines[-3:])) < 1000, "cut after three lines"
    renderer = FigureCanvasAgg(fig).get_renderer()
    box = parts(fig, "utterance")[0].get_window_extent(renderer)
    for text in fig.axes[0].texts:
        if text.get_text().startswith("ww"):
            extent = text.get_window_extent(renderer)
            assert box.x0 < extent.x0 and extent.x1 < box.x1


def test_dollars_are_literal():
    fig = picture.draw_conversation(CONVERSATION, "Costs $x^2$")
    assert {"All $20,000 and not $5?", "$Jo$", "Costs $x^2$"} <= set(texts(fig))
    assert not any(text.get_parse_math() for text in fig.axes[0].texts)


@pytest.mark.parametrize("empty", [True, False])
def test_conversation_without_labels(empty, tmp_path):
    conversation = bare()
    if empty:
        conversation["emotion-cause_pairs"] = []
    fig = picture.draw_conversation(conversation)
    assert len(parts(fig, "utterance")) == 4
    assert not parts(fig, "tag") + parts(fig, "cause") + parts(fig, "own-cause") + parts(fig, "key")
    plots.save(fig, tmp_path / "bare.png")
    assert (tmp_path / "bare.png").exists()


def test_arrows_that_pass_each_other_get_their_own_lanes():
    lines = [{"utterance_ID": i, "text": "x", "speaker": "A", "emotion": "joy"} for i in range(1, 7)]
    written = [["4_joy", "1"], ["3_joy", "2"], ["2_joy", "3"], ["6_joy", "4"], ["5_joy", "5"]]
    fig = picture.draw_conversation({"conversation": lines, "emotion-cause_pairs": written})
    boxes = [box.get_bbox() for box in parts(fig, "utterance")]

    def box_at(y):
        (found,) = [number for number, box in enumerate(boxes, 1) if box.y0 <= y <= box.y1]
        return found

    reach = {}  # how far each arrow, (cause, emotion), swings out of the boxes
    for arrow in parts(fig, "cause"):
        way = arrow._path_original.vertices
        reach[box_at(way[0][1]), box_at(way[-1][1])] = max(x for x, _ in way) - boxes[0].x1
    assert len(reach) == 4 and len(parts(fig, "own-cause")) == 1
    inner, outer = sorted((reach[2, 3], reach[3, 2]))
    assert reach[4, 6] == pytest.approx(inner) and inner < outer < reach[1, 4]


# ---- gold and predicted ---------------------------------------------------------------------------------------------


def guessed():
    """CONVERSATION with a wrong emotion, one pair missed (4 by 3), one named that is none (2 by 2)."""
    guess = copy.deepcopy(CONVERSATION)
    guess["conversation"][1]["emotion"] = "anger"
    guess["emotion-cause_pairs"] = [["1_joy", "1"], ["2_anger", "1"], ["2_anger", "2"], ["4_sadness", "1"]]
    guess["emotion-cause_pairs"] += [["4_sadness", "4"]]
    return guess


def test_a_wrong_emotion_has_a_cross_and_the_gold_one_beside_it():
    fig = picture.draw_conversation(guessed(), gold=CONVERSATION, probabilities=[0.9, 0.5, 0.8, 0.7])
    assert len(parts(fig, "tag")) == 4 and len(parts(fig, "gold")) == 1
    assert {"joy 90%", "✗ anger 50%", "gold: surprise", "wrong, and beside it gold"} <= set(texts(fig))
    same = picture.draw_conversation(CONVERSATION, gold=CONVERSATION)
    assert not parts(same, "gold") and not any("✗" in text for text in texts(same))


def test_arrows_are_right_wrong_or_missed():
    fig = picture.draw_conversation(guessed(), gold=CONVERSATION)
    assert len(parts(fig, "missed")) == 1, "from 3 to 4; the pair 2 by 1 is there, with the wrong emotion"
    assert len(parts(fig, "cause")) == 2 and len(parts(fig, "own-cause")) == 3
    assert {"right: the pair is gold too", "wrong: no such gold pair", "a gold pair that was missed"} <= set(texts(fig))
    plain = picture.draw_conversation(guessed())
    assert not parts(plain, "missed") and "from the cause to the emotion" in texts(plain)


def test_a_conversation_is_named_by_its_id_and_by_what_it_shows():
    assert texts(picture.draw_conversation(CONVERSATION, about="gold labels"))[:2] == ["Conversation 1", "gold labels"]
    assert "Conversation 1" not in texts(picture.draw_conversation(CONVERSATION, ""))


def test_letters_that_the_font_lacks_are_named_without_a_warning(tmp_path, recwarn):
    given = copy.deepcopy(CONVERSATION)
    given["conversation"][0]["text"] = "Look, a \U0001f408\u200d\u2b1b and a \U0001f469\U0001f3fd! \u4f60\u597d"
    fig = picture.draw_conversation(given)
    plots.save(fig, tmp_path / "a.png")
    assert "Look, a [cat]" in " ".join(texts(fig)) and not [w for w in recwarn if "Glyph" in str(w.message)]
    assert readable("plain \u00e9 text") == "plain \u00e9 text"
    assert given["conversation"][0]["text"] in plots.svg(fig), "a browser has the letters"


@pytest.mark.parametrize("width", [330, 640, 900])
def test_a_conversation_fits_its_width(width):
    fig = picture.draw_conversation(guessed(), gold=CONVERSATION, probabilities=[0.5] * 4, width=width)
    assert fig.get_size_inches()[0] * 72 == pytest.approx(width)
    renderer = FigureCanvasAgg(fig).get_renderer()
    page = fig.axes[0].get_window_extent(renderer)
    boxes = [text.get_window_extent(renderer) for text in fig.axes[0].texts]
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 for box in boxes)
    assert not any(box.overlaps(other) for i, box in enumerate(boxes) for other in boxes[i + 1 :])
