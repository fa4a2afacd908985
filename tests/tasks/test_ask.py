"""`predict`: what is asked and read for any task, in one pass or by the published recipe.

python -m pytest tests/tasks/test_ask.py
"""

import math

import pytest
from helpers import FIVE, saying, with_adapter

from utils.data.conversations import pairs, without_labels
from utils.data.labels import ECF
from utils.engine.settings import InferenceSettings
from utils.models.load import load_model
from utils.tasks import cause, emotion
from utils.tasks.ask import predict, search_all
from utils.tasks.cause import Cause
from utils.tasks.emotion import Emotion


def test_prior_and_threshold_reach_the_reading(tiny_model_folder, conversations):
    model, tokenizer = with_adapter(tiny_model_folder).eval(), load_model(tiny_model_folder)[1]
    given = [without_labels(c) for c in conversations]
    _, plain = predict(Emotion(), model, tokenizer, given, InferenceSettings())
    prior = [0.0] * 6 + [1.0]
    _, adjusted = predict(Emotion(prior=prior), model, tokenizer, given, InferenceSettings())
    for one, other in zip(plain[0], adjusted[0]):
        by_hand = [p * math.exp(-off) for p, off in zip(one, prior)]
        assert other == pytest.approx([p / sum(by_hand) for p in by_hand])
    _, (table, *_) = predict(Cause(), model, tokenizer, conversations, InferenceSettings())
    middle = sorted(p for one in table.values() for p in one.values())[len(table) // 2]
    found, _ = predict(Cause(threshold=middle), model, tokenizer, conversations, InferenceSettings())
    assert {(i, c) for i, _, c in pairs(found[0])} == {
        (i, c) for i, one in table.items() for c, p in one.items() if p >= middle
    }


def test_an_engine_that_leaves_a_tree_out_is_refused():
    given = [FIVE, {**FIVE, "conversation_ID": 6}]
    with pytest.raises(ValueError, match="shorter"):
        search_all(Emotion(), given, lambda trees, *_: [[[0.0] * 7] * 5 for _ in trees[:1]])


# ---- the published recipe -------------------------------------------------------------------------------------------


def test_published_prompts_hold_the_conversation_and_their_completions_parse(conversations):
    for c in conversations:
        utterances = c["conversation"]
        for task, asked in (
            (Emotion(), utterances),
            (Cause(), [u for u in utterances if u["emotion"] != "neutral"]),
        ):
            prompts = task.prompts(c)
            assert len(prompts) == len(asked)
            for (prompt, _), u in zip(prompts, asked):
                assert all(one["text"] in prompt for one in utterances)
                assert f"### Utterance:\nutterance_id :: {u['utterance_ID']}, speaker :: {u['speaker']}" in prompt
        completions = [completion for _, completion in emotion.published_prompts(c)]
        assert [emotion.parse_published(one) for one in completions] == [u["emotion"] for u in utterances]
        ids = [u["utterance_ID"] for u in utterances]
        found = [cause.parse_published(one, ids) for _, one in cause.published_prompts(c)]
        gold = pairs(c)
        assert found == [
            [i for number, _, i in gold if number == u["utterance_ID"]] for u in utterances if u["emotion"] != "neutral"
        ]
        assert {completion for _, completion in emotion.published_prompts(without_labels(c))} == {None}


def test_generated_texts_become_the_labels_that_they_name(monkeypatch, tiny_model_folder):
    model, tokenizer = load_model(tiny_model_folder)
    other = {**FIVE, "conversation_ID": 6}

    def answered(task, conversations, batch_size, *texts):
        monkeypatch.setattr(model, "generate", saying(tokenizer, texts))
        return predict(task, model, tokenizer, conversations, InferenceSettings("published", batch_size=batch_size))

    texts = "emotion :: fear", "joy", "nothing", "disgust.", "emotion :: sadness", *["emotion :: anger"] * 5
    labelled, tables = answered(Emotion(), [without_labels(c) for c in (FIVE, other)], 3, *texts)
    wanted = [["fear", "joy", "neutral", "disgust", "sadness"], ["anger"] * 5]
    assert [[u["emotion"] for u in c["conversation"]] for c in labelled] == wanted
    assert [[ECF.labels[one.index(1.0)] for one in table] for table in tables] == wanted
    # FIVE's utterances 1, 3 and 4 carry an emotion
    paired, tables = answered(Cause(), [FIVE, other], 2, "utterance_ids :: [2]", "none", "[4, 1]", "[9]", "[3]", "[]")
    assert [pairs(c) for c in paired] == [[(1, "joy", 2), (4, "fear", 1), (4, "fear", 4)], [(3, "anger", 3)]]
    assert tables == [{1: {2: 1.0}, 3: {}, 4: {1: 1.0, 4: 1.0}}, {1: {}, 3: {3: 1.0}, 4: {}}]
