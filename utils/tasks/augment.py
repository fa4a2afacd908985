"""More texts of a label: some words of a text, replaced by others that a language model finds likely there.

    model, tokenizer = load_model()
    variants, without = augmented(lacking(train, 40, seed), texts, topics, model, tokenizer, seed=42)

The model reads what stands before a word and proposes words. Those most like the old one, by their embeddings, are
scored with what follows, in one forward pass, and one of the three likeliest is drawn. This is contextual substitution
(Kobayashi 2018) with a causal model: the libraries for it (nlpaug, TextAttack, textaugment) fetch a masked model or
WordNet when they run.

A word may be replaced that has four letters or more, turns no sentence round, and is none of the topic's. A variant may
still say something else than its text: it is marked, and belongs into train alone.
"""

import math
import random
import re
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from tqdm.auto import tqdm

from utils.data.opinion_splits import normal
from utils.data.opinions import Text
from utils.data.topics import Topic
from utils.engine.inference import input_device, score_trees
from utils.engine.prefix_tree import Node, Question, encode
from utils.engine.settings import InferenceSettings
from utils.tasks.opinion import line

SHARE = 6  # of so many words that may be replaced one is; one at least
_LIKELY, _PROPOSED, _DRAWN, _TRIES = 500, 6, 3, 4
_BEFORE, _BEHIND = 16, 5  # words that a proposal is read with: those further off hardly depend on it
_WORD = re.compile(r"(\W*)([^\W\d_]{4,})(\W*)")
_KEPT = {
    *"against cannot cant didnt doesnt dont hardly isnt neither never nobody none nothing wasnt without wont".split()
}


def augmented(
    sources: Sequence[Text], known: Sequence[Text], topics: Iterable[Topic], model, tokenizer, seed: int
) -> tuple[list[Text], list[Text]]:
    """(a variant of each of `sources`, those of them that have none): a text may have no word that can be replaced, or
    no variant that is new.

    sources  texts with opinions, one as often as it is to have variants
    known    all texts, of every split: no variant is one of them, compared as repeated texts are
    topics   what they are about

    A variant has the opinions of its text, an id of its own, and "augmented": {"from": the text's id, "replaced":
    [[old word, new one], ...]}. The same seed gives the same variants on one machine.
    """
    draw, seen = random.Random(seed), {normal(text["text"]) for text in known}
    said = " ".join(" ".join([one.name, one.about, *one.phrases, *one.called]) for one in topics)
    words_kept = _KEPT | {*re.findall(r"[^\W\d_]+", said.lower())}
    keys, made, waiting = {str(text["text_ID"]) for text in known}, [], list(sources)
    for _ in range(_TRIES):
        drafts, waiting = _drafts(waiting, words_kept, model, tokenizer, draw), []
        for source, (words, replaced) in drafts:
            text = " ".join(words)
            if not replaced or normal(text) in seen:
                waiting.append(source)
                continue
            seen.add(normal(text))
            made.append(_variant(source, text, replaced, keys))
    return made, waiting


def _variant(source: Text, text: str, replaced: list[list[str]], keys: set[str]) -> Text:
    number = 1
    while (key := f"{source['text_ID']}+{number}") in keys:
        number += 1
    keys.add(key)
    said = source["opinions"].items()
    opinions = {topic: {name: value for name, value in one.items() if name != "given"} for topic, one in said}
    made: Any = {**source, "text_ID": key, "text": text, "opinions": opinions}
    return made | {"augmented": {"from": source["text_ID"], "replaced": replaced}}


def _split(word: str) -> tuple[str, str, str]:
    """(signs before it, the word itself, signs behind it); an empty word where it cannot be replaced."""
    match = _WORD.fullmatch(word)
    return (match[1], match[2], match[3]) if match else ("", "", "")


def _places(words: list[str], kept: set[str]) -> list[int]:
    """Which words may be replaced."""
    found = enumerate(_split(word)[1].lower() for word in words)
    return [place for place, word in found if word and word not in kept]


def _drafts(sources: list[Text], kept: set[str], model, tokenizer, draw: random.Random):
    """[(source, (its words with some replaced, [[old, new], ...]))]: word after word of all of them together."""
    texts = [(line(source).split(), []) for source in sources]
    free = [_places(words, kept) for words, _ in texts]
    chosen = [draw.sample(places, math.ceil(len(places) / SHARE)) for places in free]
    for turn in range(max(map(len, chosen), default=0)):
        both = zip(texts, chosen)
        asked = [(words, done, sorted(places)[turn]) for (words, done), places in both if len(places) > turn]
        _replace(asked, model, tokenizer, draw, f"augmenting, word {turn + 1}")
    return list(zip(sources, texts))


def _replace(asked, model, tokenizer, draw: random.Random, progress: str) -> None:
    """Replaces one word of each text in `asked`, [(words, what was replaced so far, the word's place)]."""
    trees, proposals = [], []
    for words, _, place in tqdm(asked, desc=progress, unit="text"):
        before, old, behind = _split(words[place])
        left = " ".join(["Text:", *words[max(place - _BEFORE, 0) : place]])
        right = " ".join([behind, *words[place + 1 : place + 1 + _BEHIND]]) + "\n"  # so that no answer begins another
        found = _proposed(model, tokenizer, f"{left} {before}" if before else left, " " * (not before), old)
        proposals.append(found)
        trees.append(Node(left, Question(tuple(f" {before}{one}{right}" for one in found))) if len(found) > 1 else None)
    some = [tree for tree in trees if tree]
    limits = InferenceSettings()
    names = [f"variant {number}" for number in range(1, len(some) + 1)]
    scores = iter(score_trees(model, tokenizer, some, names, limits.token_budget, limits.max_row_tokens))
    for (words, done, place), found, tree in zip(asked, proposals, trees):
        if tree is None:
            continue
        (likely,) = next(scores)
        best = sorted(zip(likely, found), reverse=True)[:_DRAWN]
        new, (before, old, behind) = draw.choice(best)[1], _split(words[place])
        words[place] = f"{before}{new}{behind}"
        done.append([old, new])


@torch.no_grad()
def _proposed(model, tokenizer, left: str, space: str, old: str) -> list[str]:
    """Words of one token that the model finds likely behind `left`, of these the ones most like `old` by the cosine of
    their embeddings; written as `old` is, small or with a capital."""
    ids = tokenizer(left, return_tensors="pt", split_special_tokens=True).input_ids.to(input_device(model))
    logits = model(input_ids=ids, logits_to_keep=1).logits[0, -1].float()
    likely = logits.topk(min(_LIKELY, len(logits))).indices
    vectors, before = model.get_input_embeddings().weight, encode(tokenizer, space + old)
    alike = torch.nn.functional.cosine_similarity(vectors[likely].float(), vectors[before].float().mean(0), dim=-1)
    found = []
    for token in likely[alike.argsort(descending=True, stable=True)].tolist():
        word = tokenizer.decode([token])
        bare = word.removeprefix(space)
        is_word = _WORD.fullmatch(bare) and bare.isalpha() and word == space + bare
        if is_word and bare.lower() not in (old.lower(), *_KEPT) and bare[0].isupper() == old[0].isupper():
            found.append(bare)
    return found[:_PROPOSED]
