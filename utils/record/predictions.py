"""predictions.jsonl: write it, read it, and compute a run's scores again from it."""

import json
from pathlib import Path

from utils.data.conversations import load_conversations, pairs, with_emotions, with_pairs
from utils.record.inputs import find_input
from utils.record.provenance import fingerprints
from utils.system import places
from utils.system.errors import ConversationError, RunError
from utils.system.files import read_json, write_text


def write_predictions(folder: Path, conversations: list[dict], emotion_probabilities: list, cause_probabilities: list):
    """predictions.jsonl: a line a conversation, without text.

    conversations           with `emotion` and `emotion-cause_pairs`
    emotion_probabilities   for each conversation utterances x labels, in the order of the label set
    cause_probabilities     for each conversation {emotional utterance id: {candidate id: P}}
    """
    lines = []
    for c, emotions, causes in zip(conversations, emotion_probabilities, cause_probabilities, strict=True):
        lines.append(
            json.dumps(
                {
                    "conversation_ID": c["conversation_ID"],
                    "emotions": [u["emotion"] for u in c["conversation"]],
                    "emotion_probabilities": [[round(p, 4) for p in one] for one in emotions],
                    "emotion-cause_pairs": [[f"{i}_{emotion}", str(cause)] for i, emotion, cause in pairs(c)],
                    "cause_probabilities": {
                        str(i): {str(k): round(p, 4) for k, p in one.items()} for i, one in causes.items()
                    },
                },
                ensure_ascii=False,
            )
        )
    write_text("".join(line + "\n" for line in lines), folder / "predictions.jsonl")


# ---- are they the scores of these predictions? ---------------------------------------------------------------


def read_predictions(path: Path, conversations: list[dict]) -> list[dict]:
    """`conversations` with the emotions and pairs of the file `path`, or of `path`/predictions.jsonl.

    Raises RunError where the two do not belong together.
    """
    path, lines = Path(path), {}
    path = path / "predictions.jsonl" if path.is_dir() else path
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            lines[one["conversation_ID"]] = one
        labelled = [
            {
                **with_emotions(c, lines[c["conversation_ID"]]["emotions"]),
                "emotion-cause_pairs": lines[c["conversation_ID"]]["emotion-cause_pairs"],
            }
            for c in conversations
        ]
        return [with_pairs(c, pairs(c)) for c in labelled]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ConversationError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else f"{error}"
        raise RunError(f"{path}: cannot be read as predictions for these conversations ({reason})") from error


def gold_of(folder: Path, root: Path | None = None) -> list[dict]:
    """The labelled conversations that a run in results_train was scored on; `root`: see open_run.

    Raises RunError for a folder without scores, and where the input is missing, empty or not the run's.
    """
    folder = Path(folder)
    if not (folder / "metrics.json").is_file() or not (folder / "config.json").is_file():
        raise RunError(
            f"{folder}: no metrics.json and config.json here; give a folder of results_train, of a run that "
            f"went through the notebooks{places.find().or_bring}"
        )
    record = read_json(folder / "config.json").get("4_cause_inference")
    if record is None:
        raise RunError(f"{folder} has no causes yet: run 4_cause_inference first")
    input_dir = find_input(record["parameters"]["input_dir"], root or places.find().results, record["input"])
    if not (input_dir / "test").exists():
        raise RunError(f"{input_dir}/test, which this run was scored on, is not here: make it with generate_input.py")
    if fingerprints(input_dir).get("test") != record["input"].get("test"):
        raise RunError(f"{input_dir}/test is not what this run was scored on: make it again with generate_input.py")
    gold = load_conversations(input_dir / "test", labelled=True, allow_empty=True)
    if not gold:
        raise RunError(f"{input_dir}/test is empty: nothing was held out of this run's training, so nothing was scored")
    return gold


def verify(folder: Path, root: Path | None = None) -> dict[str, tuple]:
    """Compute the scores of a run again, from its predictions.jsonl and the gold labels of its input, and compare
    them with its metrics.json: {name of a figure: (there, computed)}, for the systems that predictions.jsonl tells of
    (the fine-tuned ones, and the rule on their emotions and on gold ones).

    Raises RunError for a folder without scores, and where the input is missing or not the run's.
    """
    from utils.report.metrics import emotion_scores, pair_scores, per_emotion_pair_scores
    from utils.tasks.baselines import rule

    folder = Path(folder)
    gold = gold_of(folder, root)
    predicted = read_predictions(folder, gold)
    there = read_json(folder / "metrics.json")
    computed = {"emotions": {"fine-tuned": emotion_scores(gold, predicted)}, "pairs": {}}
    for name, labelled in {
        "fine-tuned emotions + rule": [rule(c) for c in predicted],
        "**fine-tuned emotions and causes**": predicted,
        "gold emotions + rule": [rule(c) for c in gold],
    }.items():
        computed["pairs"][name] = {
            "scores": pair_scores(gold, labelled, 2),
            "per_emotion": per_emotion_pair_scores(gold, labelled),
        }
    return dict(_figures(there, json.loads(json.dumps(computed)), ""))


def _figures(there, computed, name):
    """(name, (there, computed)) for every figure in `computed`, dictionaries and lists within each other."""
    if isinstance(computed, (dict, list)):
        for key in computed if isinstance(computed, dict) else range(len(computed)):
            try:
                below = there[key]
            except (KeyError, IndexError, TypeError):
                below = None
            yield from _figures(below, computed[key], f"{name} / {key}" if name else str(key))
    else:
        yield name, (there, computed)
