"""The one-sequence form of every question, by hand: what a tree must equal in loss, gradients and log-probabilities.

    loss, gradient, logp = measure_parity(model, tokenizer, "emotion", conversations)

The sequences are written out here piece by piece, and go through the same model as ordinary causal sequences, without
masks, positions or packing. tests/promises/test_parity.py and test_embedded_model.py use it.
"""

from contextlib import contextmanager

import torch

from utils.data.conversations import causes_of
from utils.data.labels import ECF
from utils.engine.inference import score_row
from utils.engine.prefix_tree import TreeEncoder, encode, model_inputs, pack, paths, rooted
from utils.models.virtual import virtual_tokens
from utils.tasks import cause, cause_list, emotion
from utils.tasks.candidates import candidates, emotional

INSTRUCTIONS = {
    "emotion": "Name the emotion of every utterance: anger, disgust, fear, joy, sadness, surprise, neutral.",
    "cause": "Which utterances cause an emotion?",
}


def questions_of(task, conversation):
    """Every question as (pieces of text before the answer, allowed answers, right answer), without
    utils.prefix_tree."""
    utterances, result = conversation["conversation"], []
    if task == "emotion":
        lines = [f"\n{u['speaker']}: {u['text']}" for u in utterances]
        for i, u in enumerate(utterances):
            result.append(
                (
                    [INSTRUCTIONS["emotion"], *lines, *lines[: i + 1], " Emotion:"],
                    tuple(f" {label}" for label in ECF),
                    f" {u['emotion']}",
                )
            )
        return result
    ids, gold = [u["utterance_ID"] for u in utterances], causes_of(conversation)
    lines = [f"\n{u['speaker']} {u['emotion']}: {u['text']} #{u['utterance_ID']}" for u in utterances]
    for end, number in enumerate(ids):
        seen = [INSTRUCTIONS["cause"], *lines[: end + 1]]
        for i in ids[max(end - 8, 0) : end + 1] if task == "candidates" and number in gold else []:
            right = " yes" if i in gold[number] else " no"
            result.append(([*seen, " <= #", str(i)], (" no", " yes"), right))
        for i in ids[max(end - 3, 0) : end] if task == "candidates" else []:
            if i in gold:
                right = " yes" if number in gold[i] else " no"
                result.append(([*seen, " => #", str(i)], (" no", " yes"), right))
    for position, number in enumerate(ids):
        if task == "candidates" or number not in gold:
            continue
        seen = [INSTRUCTIONS["cause"], *lines[: position + 4], f" #{number} <= ["]
        allowed, causes = candidates(conversation, position), gold[number]
        for end, answer in enumerate([f"{i}," for i in causes[:-1]] + [f"{causes[-1]}]" if causes else "]"]):
            pieces = [*seen, *(f"{i}," for i in causes[:end])]
            result.append((pieces, cause_list.list_options(allowed, tuple(causes[:end])), answer))
    return result


def trees_of(task, conversation):
    """(training tree, inference tree); the lists of the latter are open where those of the former are."""
    if task == "emotion":
        return emotion.tree(conversation, train=True), emotion.tree(conversation)
    if task == "candidates":
        return cause.candidates_tree(conversation, train=True), cause.candidates_tree(conversation)
    gold = causes_of(conversation)
    lists = {p: gold[conversation["conversation"][p]["utterance_ID"]] for p in emotional(conversation)}
    open_lists = {p: [tuple(ids[:end]) for end in range(max(len(ids), 1))] for p, ids in lists.items()}
    return cause_list.list_tree(conversation, train=True), cause_list.list_tree(conversation, open_lists=open_lists)


def tokens_of(tokenizer, pieces):
    return tokenizer("").input_ids + [token for piece in pieces for token in encode(tokenizer, piece)]


@contextmanager
def pefts_own(model):
    """Inside, the forward pass is PEFT's own, which puts virtual tokens in front of each sequence."""
    ours = vars(model).pop("forward", None)
    try:
        yield
    finally:
        if ours is not None:
            model.forward = ours


def plain_logp(model, before, answer):
    """Log-probability of each token of `answer` behind the tokens `before`, as an ordinary causal
    sequence."""
    logits = model(input_ids=torch.tensor([before + answer], device=model.device), use_cache=False).logits[0].float()
    tokens = torch.tensor(answer, device=model.device)
    return logits[-len(answer) - 1 : -1].log_softmax(-1).gather(-1, tokens[:, None])[:, 0]


def plain_scores(model, tokenizer, questions):
    """Questions x answers: the log-probability of every allowed answer, one sequence each."""
    with torch.no_grad():
        return [
            [plain_logp(model, tokens_of(tokenizer, pieces), encode(tokenizer, a)).sum().item() for a in answers]
            for pieces, answers, _ in questions
        ]


def plain_step(model, tokenizer, questions, gamma=0.0):
    """(loss, gradients) of the mean over all tokens of the right answers, one sequence a right answer. A right answer
    is a text, or {text: weight}; `gamma` is the focal loss's, on each token."""
    model.zero_grad()
    gold = []
    for pieces, _, right in questions:
        weights = right if isinstance(right, dict) else {right: 1.0}
        gold += [(tokens_of(tokenizer, pieces), encode(tokenizer, answer), w) for answer, w in weights.items()]
    count, loss = sum(len(answer) * weight for _, answer, weight in gold), 0.0
    for before, answer, weight in gold:
        logp = plain_logp(model, before, answer)
        part = -((1 - logp.exp()) ** gamma * logp).sum() * weight / count
        part.backward()
        loss += part.item()
    return loss, gradients(model)


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


def gradient_difference(ours, theirs):
    """The largest difference in any tensor, relative to that tensor's largest entry. No tensor may be all
    zero."""
    assert ours.keys() == theirs.keys() and ours
    return max(((ours[n] - theirs[n]).abs().max() / theirs[n].abs().max()).item() for n in theirs)


def score_difference(ours, theirs):
    """The largest relative difference between two tables of log-probabilities of the same shape."""
    assert [len(one) for one in ours] == [len(one) for one in theirs]
    ours, theirs = (torch.tensor([value for one in table for value in one]) for table in (ours, theirs))
    return ((ours - theirs).abs() / theirs.abs()).max().item()


def measure_parity(model, tokenizer, task, conversations, prepare=lambda: None):
    """(loss, gradient, log-probability) differences between one packed row and one sequence a question.

    `prepare` is called between the two forms: what it switches on, the tree alone goes through.
    """
    questions = [question for c in conversations for question in questions_of(task, c)]
    learn = pack([TreeEncoder(tokenizer)(trees_of(task, c)[0], train=True) for c in conversations])
    score = pack([TreeEncoder(tokenizer)(trees_of(task, c)[1], train=False) for c in conversations])

    # `paths` gives the very tokens that are written out above
    written = [(tokens_of(tokenizer, pieces), encode(tokenizer, answer)) for pieces, _, answer in questions]
    assert paths(learn, learn.targets) == [(b + a[:i], a[i]) for b, a in written for i in range(len(a))]
    for (pieces, answers, _), targets in zip(questions, score.answers, strict=True):
        before = tokens_of(tokenizer, pieces)
        for text, target in zip(answers, targets, strict=True):
            tokens = encode(tokenizer, text)
            assert paths(score, target) == [(before + tokens[:i], tokens[i]) for i in range(len(tokens))]

    model.eval()
    with pefts_own(model):
        plain_table = plain_scores(model, tokenizer, questions)
        plain_loss, plain_gradients = plain_step(model, tokenizer, questions)
    scores = score_difference(score_row(model, score), plain_table)
    model.zero_grad()
    prepare()
    learn = rooted(learn, virtual_tokens(model))
    loss = model(**model_inputs(learn, learn.targets, model.device), use_cache=False).loss
    loss.backward()
    return (
        abs(loss.item() - plain_loss) / plain_loss,
        gradient_difference(gradients(model), plain_gradients),
        scores,
    )
