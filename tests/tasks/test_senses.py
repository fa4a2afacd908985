"""What a line has beside its words: in every task's tree, in the words that come first, and by the adapter's record.

python -m pytest tests/tasks/test_senses.py
"""

import copy

import pytest
from helpers import FIVE, called, nodes, with_adapter

from utils import predict
from utils.config import Config
from utils.data.conversations import with_pairs, without_labels
from utils.data.labels import ECF
from utils.models.adapters import save_adapter
from utils.predict import Predictor
from utils.record.inputs import Conversations
from utils.system.errors import ConfigError, ConversationError
from utils.system.files import write_json
from utils.tasks import emotion
from utils.tasks.senses import Senses

PAIRED = with_pairs(FIVE, [(1, "joy", 1)])
FORMS = [  # (task, parameters)
    ("emotion", {}),
    ("emotion", {"targets": "multi"}),
    ("emotion", {"targets": "votes"}),
    ("emotion", {"prompts": "twelve"}),
    ("cause", {}),
    ("cause", {"prompts": "twelve"}),
    ("cause", {"cause_form": "list"}),
]


def texts(tree):
    return [node.text for node in nodes(tree)]


def bare(conversation):
    """Without the captions that the helper's conversations have."""
    result = copy.deepcopy(conversation)
    for utterance in result["conversation"]:
        del utterance["video_caption"]
    return result


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("name", "more"), FORMS, ids=str)
def test_captions_stand_behind_the_words_of_every_line_and_nowhere_else(name, more, train):
    captioned, plain = Config(captions="video_caption", **more).task(name), Config(**more).task(name)

    def tree(task, item):
        return task.tree(item, train=True) if train else task.ask(item).tree()

    assert texts(tree(captioned, bare(PAIRED))) == texts(tree(plain, PAIRED)), "absent ones leave no trace"
    with_captions = texts(tree(captioned, PAIRED))
    assert len(with_captions) == len(texts(tree(plain, PAIRED)))
    changed = [(a, b) for a, b in zip(with_captions, texts(tree(plain, PAIRED))) if a != b]
    assert len(changed) >= 4 and changed[1] != changed[0]
    for number, (there, without) in enumerate(changed):
        utterance = PAIRED["conversation"][number % 5]
        caption = f": {utterance['text']} [video caption: seen {utterance['utterance_ID']}]"
        assert there == without.replace(f": {utterance['text']}", caption)


def test_text_before_labels_is_the_lines_as_the_tree_has_them():
    senses = Senses(("video_caption",))
    assert emotion.text(FIVE, senses).splitlines()[1] == "B: b [video caption: seen 2]"
    tree = "".join(texts(emotion.tree(FIVE, senses=senses)))
    assert f"\n{emotion.text(FIVE, senses)}\n" in tree


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        ("emotion", "captions names 'emotion', no text beside the words"),
        (["video_caption", "votes"], "captions names 'votes'"),
        (["text"], "captions names 'text'"),
        (["a", "b", "a"], "captions names 'a' twice"),
    ],
)
def test_fields_that_cannot_be_captions_are_refused(captions, message):
    for task in ("emotion", "cause"):
        with pytest.raises(ConfigError, match=message):
            Config.of({"captions": captions}).task(task)
    with pytest.raises(ConfigError, match="captions is .*recipe published has none alone"):
        Config.of({"captions": captions, "recipe": "published"})


@pytest.fixture(scope="module")
def adapters(tiny_model_folder, tmp_path_factory):
    """An emotion adapter that was trained with captions."""
    folder = tmp_path_factory.mktemp("captioned") / "emotion"
    save_adapter(with_adapter(tiny_model_folder, std=0.5), folder, tiny_model_folder)
    parameters = {"model": tiny_model_folder, "precision": "float32", "captions": ["video_caption"]}
    write_json({"parameters": parameters, "emotions": dict.fromkeys(ECF, 1)}, folder / "training.json")
    return folder


def test_an_adapter_that_was_trained_with_captions_is_asked_with_them(adapters):
    predictor, given = Predictor(adapters), without_labels(FIVE)
    assert predictor.tasks["emotion"].senses == Senses(("video_caption",))
    other = copy.deepcopy(given)
    other["conversation"][0]["video_caption"] = "a brass band in the rain"
    tables = [predictor([one])[1][0] for one in (given, bare(given), other)]
    assert tables[0] != tables[1] != tables[2] != tables[0]
    assert predictor([given])[0][0]["conversation"][0]["video_caption"] == "seen 1", "it survives"


def test_a_caption_that_is_no_text_is_one_message_of_the_door_and_of_python(adapters, tmp_path):
    bad = without_labels(copy.deepcopy(FIVE))
    bad["conversation"][3]["video_caption"] = ["a"]
    write_json([bad], tmp_path / "bad.json")
    code, said = called(
        predict.main, tmp_path / "bad.json", "--out", tmp_path / "p.json", "--emotion-adapter", adapters
    )
    assert code == 2 and "bad.json, conversation 5, utterance 4, field 'video_caption': ['a'] is no text." in said
    assert not list(tmp_path.glob("p*"))
    for ask in (lambda: Predictor(adapters, conversations=[bad]), lambda: Predictor(adapters)([bad])):
        with pytest.raises(ConversationError, match="conversation 5, utterance 4, field 'video_caption'"):
            ask()


def test_a_run_reads_its_input_with_captions(tmp_path):
    write_json([PAIRED], tmp_path / "train" / "conversations.json")
    task = Conversations(tmp_path, Config(captions=["video_caption"])).task("cause")
    assert "[video caption: seen 2] #2" in "".join(texts(task.tree(PAIRED)))
