"""The demo: its text becomes a conversation, its picture shows the labels and breaks out of nothing; and in a real
browser a conversation is typed, labelled, changed and downloaded.

    pip install gradio selenium   # and a chromium with its driver; without them the browser's test is skipped
    SCREENSHOT=data/sample/demo.png python -m pytest tests/doors/test_demo.py   # README's picture: the shipped adapters
"""

import base64
import json
import os
import re
import shutil
import sys
from html.parser import HTMLParser

import pytest
from helpers import ROOT, served_page, with_lora

from utils import demo
from utils.config import Config
from utils.data.conversations import pairs, with_emotions, with_pairs
from utils.data.label_sets import SETS
from utils.data.labels import ECF
from utils.data.topics import Topic
from utils.models.adapters import save_adapter
from utils.models.load import load_model
from utils.predict import Predictor, predict
from utils.report import opinion_page, page, picture, plots
from utils.system.errors import ConversationError, FileError, OpinionError
from utils.system.files import read_json, write_json
from utils.tasks.opinion import Opinions

EVIL = (
    '<script>document.title = "broken"</script>',
    "</svg><img src=x onerror=\"document.title='broken'\">",
    '"><b>',
    "--><i>",
    "${document.title = 'broken'}",
    "{{7 * 7}}",
    "&lt;u&gt; &amp;",
    "]]><s>",
)


def adapter(folder, base):
    save_adapter(with_lora(load_model(base)[0]), folder, base)
    # A threshold so low that a random adapter finds some
    config = Config(model=base, quantization="none", logit_adjustment=0.0, cause_threshold=0.003)
    record = {"parameters": config.as_dict(), "emotions": dict.fromkeys(ECF, 1), "revision": "abc", "history": []}
    write_json(record, folder / "training.json")
    return folder


@pytest.fixture(scope="module")
def adapters(tiny_model_folder, tmp_path_factory):
    """Folders of an emotion and a cause adapter: of the tiny model, but for a picture the shipped ones."""
    if "SCREENSHOT" in os.environ:
        return [ROOT / "results_train" / "smollm2-135m-ecf" / "adapters" / task for task in ("emotion", "cause")]
    folder = tmp_path_factory.mktemp("adapters")
    return [adapter(folder / task, tiny_model_folder) for task in ("emotion", "cause")]


def made(texts, emotions, causes=()):
    """A result as `demo.result` returns it: every emotion certain by 0.6, (emotional id, cause id) pairs by 0.9."""
    conversation = {
        "conversation_ID": 1,
        "conversation": [{"utterance_ID": i, "speaker": "Ana", "text": text} for i, text in enumerate(texts, 1)],
    }
    labelled = with_emotions(conversation, emotions)
    labelled = with_pairs(labelled, [(i, emotions[i - 1], c) for i, c in causes])
    table = [[0.6 if label == one else 0.4 / 6 for label in ECF] for one in emotions]
    return {"conversation": labelled, "emotions": table, "causes": {i: {c: 0.9} for i, c in causes}}


# ---- text to conversation ----------------------------------------------------------------------------------


def test_lines_and_json_become_the_same_conversation(sample):
    for one in sample[:20]:
        again = demo.from_lines(demo.to_lines(one))["conversation"]
        assert [(u["speaker"], u["text"]) for u in again] == [
            (u["speaker"], " ".join(u["text"].split())) for u in one["conversation"]
        ]
        assert demo.from_lines(demo.to_lines(one), one) == one
        assert demo.from_lines(json.dumps(one)) == demo.from_lines(json.dumps([one, sample[30]])) == one


def test_a_changed_line_keeps_what_else_the_file_holds():
    loaded = {
        "conversation_ID": "x",
        "note": 1,
        "conversation": [
            {"utterance_ID": 7, "speaker": "Dr: No", "text": "One\n two", "video_name": "a.mp4"},
            {"utterance_ID": 9, "speaker": "Ana", "text": "Three", "video_name": "b.mp4"},
        ],
    }
    edited = demo.from_lines("\nDr: No: One two\n  Ben : Four: five\n\n", loaded)
    assert edited["conversation"][0] == loaded["conversation"][0] and edited["note"] == 1
    assert edited["conversation"][1] == {**loaded["conversation"][1], "speaker": "Ben", "text": "Four: five"}
    longer = demo.from_lines("A: 1\nB: 2\nC: 3", loaded)
    assert [u["utterance_ID"] for u in longer["conversation"]] == [1, 2, 3] and "note" not in longer


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no conversation yet"),
        (" \n", "there is no conversation yet"),
        ("Ana: hello\nBen", "line 2: no speaker. Write it as"),
        (": hello", "line 1"),
        ("A: 1\n\n\nB: 2", "line 4: an empty line ends a conversation, and here one is taken"),
        ("[]", "holds no conversation"),
        ('{"conversation_ID": 1', "the text: not JSON"),
        ("A: \ud83d", "half a character"),
        ('[{"conversation_ID": 1, "conversation": [{"utterance_ID": 1}]}]', "field 'text': it is missing"),
    ],
)
def test_text_that_is_no_conversation_is_refused_with_the_place(text, message):
    with pytest.raises((ConversationError, FileError), match=message):
        demo.from_lines(text)


# ---- what changed, and the picture ---------------------------------------------------------------------------


def test_changes_are_told_line_by_line():
    before = made(["a", "b", "c"], ["joy", "fear", "neutral"], [(1, 1), (2, 1), (2, 3)])
    assert page.changes(None, before) == {} == page.changes(before, before)
    after = made(["a", "x", "c"], ["joy", "anger", "neutral"], [(1, 1), (2, 2), (2, 3)])
    assert page.changes(before, after) == {1: "fear 60% is now anger 60%; no longer caused by 1; caused by 2"}
    # a line more in front: ids move, and nothing else changes
    after = made(["new", "a", "b", "c"], ["neutral", "joy", "fear", "neutral"], [(2, 2), (3, 2), (3, 4)])
    assert page.changes(before, after) == {0: "new line"}
    surer = {**before, "emotions": [[p / 2 for p in row] for row in before["emotions"]]}
    assert page.changes(before, surer)[0] == "joy 60% is now 30%"
    for less, said in ((0.049, {}), (0.05, {0: "joy 60% is now 55%"})):
        first, *others = before["emotions"]
        moved = [[*first[:3], first[3] - less, *first[4:]], *others]
        assert page.changes(before, {**before, "emotions": moved}) == said, "five points count, one is noise"


def test_no_cause_and_a_cause_below_the_threshold_look_different():
    """An emotion without candidates, one whose candidates were too unlikely, one with a cause, and no emotion."""
    found = made(["a", "b", "c", "d"], ["joy", "fear", "anger", "neutral"], [(3, 2)])
    found["causes"] = {1: {}, 2: {1: 0.12, 2: 0.04}, 3: {2: 0.9}}
    html = page.render(found)
    cells = re.findall(r'<td class=causes data-label="caused by">(.*?)</td>', html)
    assert [re.sub("<.*?>", "", one) for one in cells] == [
        "no cause",
        "below the threshold; likeliest: 1, 12%",
        "2 (90%)",
        "",
    ]
    assert html.count('id="weak"') == 2 and "likeliest cause, below the threshold" in html, "in both pictures"


def test_the_labels_of_a_file_are_compared():
    found = made(["a", "b", "c"], ["joy", "fear", "neutral"], [(1, 1), (2, 1)])
    gold = made(["a", "b", "c"], ["joy", "anger", "neutral"], [(1, 1), (2, 2)])["conversation"]
    html = page.render(found, gold=gold, about="labelled by <me>")
    assert "2 of 3 emotions are as in the file; of its 2 pairs 1 are found, and 1 more are named" in html
    assert re.findall(r'<td class=gold data-label="gold:">(.*?)</td>', html) == ["joy", "✗ anger", "neutral"]
    assert "gold: anger" in html and "labelled by &lt;me&gt;" in html
    text = demo.to_lines(gold)
    assert demo.gold_of(text, gold, ECF) is gold and demo.gold_of(f"{text}!", gold, ECF) is None
    other = {**gold, "conversation": [{**u, "emotion": "happy"} for u in gold["conversation"]]}
    assert demo.gold_of(text, other, ECF) is demo.gold_of(text, None, ECF) is None, "labels of another set"


def test_a_foreign_text_is_no_edit_of_the_loaded_conversation():
    loaded = made(["one", "two"], ["joy", "joy"])["conversation"]
    assert demo.is_edit("Ana: one\nAna: three", loaded) and not demo.is_edit("Ben: hello\nAna: hi", loaded)


def test_the_page_has_a_picture_for_a_phone():
    """The style sheet shows one of the two, and on a phone each number of the table says what it is of."""
    html = page.render(made(["hello there"] * 2, ["joy", "fear"], [(2, 1)]))
    sizes = dict(re.findall(r'<div class=(wide|narrow)><svg[^>]* width="([\d.]+)pt"', html))
    assert float(sizes["narrow"]) < 360 < 800 < float(sizes["wide"])
    assert "@media (max-width" in page.CSS and 'data-label="surprise"' in html
    ids = re.findall(r' id="(p[0-9a-f]{10})"', html)
    assert len(ids) == len(set(ids)), "a shape of one picture is not that of the other"


class Elements(HTMLParser):
    """The names of all elements, their attributes, and the text between them."""

    def __init__(self, html):
        super().__init__()
        self.names, self.attributes, self.text = set(), set(), []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.names.add(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("evil", EVIL)
def test_no_text_breaks_out_of_the_page(evil):
    plain = Elements(page.render(made(["hello"] * 2, ["joy", "fear"], [(2, 1)])))
    found = made([evil, "hello"], ["joy", "fear"], [(2, 1)])
    for u in found["conversation"]["conversation"]:
        u["speaker"] = evil
    shown = Elements(page.render(found, made([evil], ["fear"])))
    assert shown.names <= plain.names and shown.attributes <= plain.attributes
    assert any(evil in text for text in shown.text), "it is shown as it was written"


def test_the_picture_is_an_element_with_every_text_label_and_arrow():
    found = made(["Really <b>?", "$5 & more"], ["surprise", "joy"], [(1, 1), (2, 1)])
    figure = picture.draw_conversation(found["conversation"], probabilities=[0.6, 0.75])
    text = plots.svg(figure)
    assert text.startswith("<svg") and text.rstrip().endswith("</svg>")
    shown = "".join(Elements(text).text)
    for wanted in ("Really <b>?", "$5 & more", "surprise 60%", "joy 75%", "Ana"):
        assert wanted in shown
    assert text.count('id="cause"') == 1 and text.count('id="own-cause"') == 1
    again = picture.draw_conversation(found["conversation"], probabilities=[0.6, 0.75])
    assert plots.svg(again) == text, "the same characters on every run"


def test_the_json_to_download_is_what_predict_writes(adapters, conversations):
    predictor = Predictor(*adapters)
    found = demo.result(predictor, conversations[0])
    assert [found["conversation"]] == predict(conversations[:1], *adapters)
    data = re.search(r'href="data:application/json;base64,([^"]+)"', page.render(found))[1]
    assert json.loads(base64.b64decode(data)) == [found["conversation"]]


def test_an_emotion_adapter_alone_names_emotions(adapters, conversations, tmp_path):
    """For data without causes: the page has no column of causes, and the labels are those of both adapters."""
    alone = shutil.copytree(adapters[0], tmp_path / "emotion")
    predictor = Predictor(alone)
    labelled, tables, causes = predictor(conversations)
    both, again, _ = Predictor(*adapters)(conversations)
    assert tables == again and causes == [{} for _ in conversations]
    assert [c["conversation"] for c in labelled] == [c["conversation"] for c in both]
    assert not any("emotion-cause_pairs" in c for c in labelled)
    found = demo.result(predictor, conversations[0])
    assert found["causes"] is None and "caused by" not in page.render(found, found)
    assert predictor.named(conversations)[0]["pairs"] == []


def test_the_page_has_any_label_set_and_several_labels():
    labels = SETS["goemotions28"]
    first, second, *_, last = labels
    found = made(["a", "b"], ["joy", "joy"])
    for u, named in zip(found["conversation"]["conversation"], ([first, second], [last])):
        u["emotion"] = named
    found |= {"emotions": [[0.5] * len(labels)] * 2, "causes": None}
    html = page.render(found, found, labels)
    assert html.count("class=label") == 3 and f"{first} +1 50%" in html
    assert all(f'data-label="{label}"' in html for label in labels)


def test_votes_and_several_labels_of_a_file_stand_beside_those_named():
    found = made(["a", "b", "c"], ["joy", "fear", "neutral"])
    gold = json.loads(json.dumps(found["conversation"]))
    for u, votes in zip(gold["conversation"], ({"surprise": 2, "joy": 3}, {"fear": 4, "anger": 1})):
        u["votes"] = votes

    def cells(html):
        return re.findall(r'<td class=gold data-label="gold:">(.*?)</td>', html)

    html = page.render(found, gold=gold)
    one, other = "joy (votes: joy 3, surprise 2)", "fear (votes: fear 4, anger 1)"
    assert cells(html) == [one, other, "neutral"] and "3 of 3 emotions are as in the file" in html
    for u in found["conversation"]["conversation"]:
        u["emotion"] = [u["emotion"]]  # as with targets multi: two votes make a label one of several
    found["causes"], found["emotions"][0][ECF.index("joy")] = None, 0.7
    html = page.render(found, gold=gold)
    assert cells(html) == ["✗ joy, surprise (votes: joy 3, surprise 2)", other, "neutral"]
    assert "2 of 3 emotions are as in the file" in html and "gold: joy +1" in html and "✗ joy 70%" in html
    for u in gold["conversation"]:
        u["emotion"] = None
    assert demo.gold_of(demo.to_lines(gold), gold, ECF) is gold, "its votes are compared"


def test_adapters_loaded_side_by_side_do_not_see_each_other(adapters, conversations):
    """Labels of a predictor that has been used stay those of a fresh one, in either order of the adapters."""
    emotion, cause = adapters
    used = Predictor(emotion, cause)
    first, again = used(conversations), used(conversations)
    assert first == again == Predictor(emotion, cause)(conversations)


# ---- the tab of opinions -------------------------------------------------------------------------------------------


def asked(task_type, tables, text="Build it"):
    """Texts as the task of a type reads these tables, one a text and topic of two."""
    topics = {name: Topic.read(name) for name in ("new-stadium", "four-day-week")}
    task = Opinions(topics, task_type)
    items = [{"text_ID": k, "text": text, "opinions": {name: {} for name in topics}} for k in range(len(tables))]
    read = [task.read(item, [one for _ in topics for one in table]) for item, table in zip(items, tables)]
    return [item for item, _ in read], [table for _, table in read], task


@pytest.mark.parametrize(
    ("task_type", "table", "wanted", "said"),
    [
        ("binary", [[0.3, 0.7]], [0.3, 0.7], "relevant"),
        ("regression", [[0.1, 0.2, 0.3, 0.4, 0.0]], [0.1, 0.2, 0.3, 0.4, 0.0], "+0.00"),
        ("regression_with_relevance", [[0.2, 0.8], [0, 0, 0, 0.5, 0.5]], [0.2, 0, 0, 0, 0.4, 0.4], "+1.50"),
        ("regression_with_relevance", [[0.6, 0.4], [0, 0, 0, 0.5, 0.5]], [0.6, 0, 0, 0, 0.2, 0.2], "irrelevant"),
        ("stance", [[0.2, 0.3, 0.5]], [0.2, 0.3, 0.5], "favor"),
        ("regression", [[1.0]], [0.25, 0.75], "+1.00"),
        ("regression", [[-3.0]], [1.0, 0.0], "-3.00"),
    ],
)
def test_a_bar_is_the_probability_of_each_answer(task_type, table, wanted, said):
    """Of a head's number it is how far that stands on the scale."""
    labelled, tables, task = asked(task_type, [table, table])
    html = opinion_page.render_opinions(labelled, tables, task, "by <me>")
    widths = [float(one) / 100 for one in re.findall(r"width:([\d.]+)%", html)]
    assert widths == pytest.approx(wanted * 6, abs=1e-4), "two topics of all texts and of each of two"
    assert html.count(f"</div>{said}</td>") == 4 and "by &lt;me&gt;" in html
    colours = re.findall(r"background:(#\w+)", html)[: len(wanted)]
    assert len({*colours}) == len(wanted), "every answer has its own colour"


@pytest.mark.parametrize("evil", EVIL)
def test_no_text_breaks_out_of_the_tab(evil):
    plain, odd = (opinion_page.render_opinions(*asked("stance", [[[0.2, 0.3, 0.5]]], text)) for text in ("a", evil))
    shown = Elements(odd)
    assert shown.names <= Elements(plain).names and any(evil in text for text in shown.text)


def test_the_tab_asks_only_what_is_ticked(adapters, tiny_model_folder, tmp_path):
    task = asked("stance", [])[2]
    shutil.copytree(adapters[0], tmp_path / "opinion")
    record = read_json(tmp_path / "opinion" / "training.json")
    write_json({**record, "task": "opinion", **task.decided([], list)}, tmp_path / "opinion" / "training.json")
    asker = demo.Asker(tmp_path / "opinion")
    html = asker("Build it.\n\n  Four days!", ["four-day-week"])
    assert "all 2 texts" in html and "four-day-week" in html and "new-stadium" not in html
    for text, topics, message in ((" \n", ["four-day-week"], "write a text"), ("a", [], "tick a topic")):
        with pytest.raises(OpinionError, match=message):
            asker(text, topics)
    assert "was not trained for this" in demo.Asker().about and "any" not in demo.Asker().task.topics


def test_without_gradio_its_package_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert demo.main([]) == 2 and "pip install -c constraints.txt gradio" in capsys.readouterr().err


# ---- in a browser --------------------------------------------------------------------------------------------


@pytest.fixture
def served(adapters):
    with served_page("--emotion-adapter", adapters[0], "--cause-adapter", adapters[1]) as address:
        yield address


@pytest.mark.slow
def test_a_conversation_is_typed_labelled_changed_and_downloaded(browser, served, adapters, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    def find(css):
        return browser.find_elements(By.CSS_SELECTOR, css)

    def wait(condition):
        return WebDriverWait(browser, 120).until(lambda _: condition())

    def write(text):
        wait(lambda: find("#conversation textarea"))
        area = find("#conversation textarea")[0]
        browser.execute_script("arguments[0].value = ''; arguments[0].dispatchEvent(new Event('input'))", area)
        area.send_keys(text)

    def table():
        return [[cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th,td")] for row in find("#result tbody tr")]

    def expected(text):
        return demo.result(Predictor(*adapters), demo.from_lines(text))

    def assert_shows(text):
        found = expected(text)
        for row, u, p, causes in zip(
            table(), found["conversation"]["conversation"], found["emotions"], page.causes_of(found), strict=True
        ):
            assert row[:9] == [str(u["utterance_ID"]), f"{u['speaker']}: {u['text']}", *(f"{one:.0%}" for one in p)]
            assert [int(one) for one in re.findall(r"(\d+) \(", row[9])] == causes
            assert f"{u['emotion']} {p[ECF.index(u['emotion'])]:.0%}" in find("#result svg")[0].text
        links = pairs(found["conversation"])
        assert len(find("#result svg [id=cause]")) == sum(number != cause for number, _, cause in links) > 0

    browser.get(served)
    wait(lambda: find("#conversation textarea"))
    assert find("#conversation textarea")[0].get_attribute("value") == demo.to_lines(read_json(demo.SAMPLE)[0])
    first = "Leila: The backup is gone.\nTom: All of it? I had my thesis there!\nLeila: I am so sorry."
    write(first)
    find("#label")[0].click()
    wait(lambda: find("#result"))
    assert_shows(first) and not find("#news")
    if "SCREENSHOT" in os.environ:
        find("#result")[0].screenshot(os.environ["SCREENSHOT"])
    assert browser.get_screenshot_as_png().startswith(b"\x89PNG")

    find("#download")[0].click()
    file = tmp_path / "downloads" / "conversation.json"
    wait(file.is_file)
    assert read_json(file) == [expected(first)["conversation"]]

    second = first.replace("gone.", f"back! {EVIL[0]} {EVIL[1]} {EVIL[4]} {EVIL[5]}")
    write(second)
    find("#label")[0].click()
    wait(lambda: find("#news"))
    assert_shows(second)
    told = page.changes(expected(first), expected(second))
    assert [row[10] for row in table()] == [told.get(k, "") for k in range(3)] and told
    assert browser.title == "Emotions and their causes" and not find("#result img, #result script")

    write("nobody speaks")
    find("#label")[0].click()
    wait(lambda: find("#problem"))
    assert "line 1: no speaker" in find("#problem")[0].text

    write_json([made(["In a file"], ["joy"])["conversation"]], tmp_path / "mine.json")
    find("#file input[type=file]")[0].send_keys(str(tmp_path / "mine.json"))
    wait(lambda: find("#conversation textarea")[0].get_attribute("value") == "Ana: In a file")

    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"}
    ours = {url for url in asked if url.startswith(f"{served}/")}  # chrome:... is the browser's own empty page
    assert ours and not [url for url in asked - ours if not url.startswith(("data:", "blob:", "chrome"))]


def test_a_line_plays_its_clip_and_no_other_file(conversations, tmp_path):
    for name in ('a"b.wav', "b.mp4", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "c.wav").symlink_to(ROOT / "README.md")
    clips = demo.playable(tmp_path)
    assert clips == {'a"b': tmp_path.resolve() / 'a"b.wav', "b": tmp_path.resolve() / "b.mp4"}
    addresses = {name: f"/file={path.name}" for name, path in clips.items()}
    utterances = [dict(u) for u in conversations[0]["conversation"]]
    names = ('a"b', "b.wav", "nowhere.wav")
    for u, name in zip(utterances, names):
        u["video_name"] = name
    named = {**conversations[0], "conversation": utterances}
    found = {"conversation": named, "emotions": [[1 / len(ECF)] * len(ECF)] * len(utterances), "causes": None}
    html = page.render(found, clips=addresses)
    wanted = ["/file=a&quot;b.wav", "/file=b.mp4"]
    assert re.findall(r'<video class=clip controls preload=none src="([^"]+)"', html) == wanted
    assert "<video" not in page.render(found)


def test_the_page_refuses_features_and_clips_that_it_cannot_use(adapters, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "address_of", lambda number: "127.0.0.1")
    given = ["--emotion-adapter", str(adapters[0]), "--cause-adapter", str(adapters[1])]
    assert demo.main([*given, "--features", str(tmp_path)]) == 2
    assert "--features: these adapters read words alone. Leave it out" in capsys.readouterr().err
    assert demo.main([*given, "--clips", str(tmp_path)]) == 2
    assert "holds no file that ends with .wav" in capsys.readouterr().err
