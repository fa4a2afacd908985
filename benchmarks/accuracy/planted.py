"""Does the model use what a stream of vectors tells, and lose nothing where it tells nothing or is gone?

    python -m benchmarks.accuracy.planted                             # 150 conversations of ECF, one epoch, one seed
    python -m benchmarks.accuracy.planted --seeds 42 1 2 --reading second

The vectors are made, from gold labels: they stand for no recording, and nothing else here is made so. A stream of
degree 60 tells the gold emotion of an utterance in 60 % of the cases; in the others it tells an emotion drawn from the
labels of all. An emotion is a random direction, and every vector has noise of its own. Degree 0 is noise alone.

    text      no stream
    with      trained and asked with the stream
    absent    trained with the stream, asked without it

Trained on a part of train, scored on a part of val. Writes benchmarks/results/planted.json and .png, after every
training; the same command goes on behind the last one.
"""

import argparse
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from benchmarks import RESULTS
from utils.config import Config, load_config
from utils.data.conversations import Conversation, load_conversations
from utils.data.features import Stream
from utils.data.labels import ECF
from utils.engine.prefix_tree import Node
from utils.engine.trainer import train
from utils.models.adapters import add_adapter
from utils.models.load import load_model
from utils.record.fit import packed, project, training_rows
from utils.record.provenance import revision, versions
from utils.record.samples import nested
from utils.report import plots
from utils.report.metrics import emotion_scores
from utils.system.command import command, positive
from utils.system.files import read_object, write_json
from utils.system.places import ROOT
from utils.tasks.ask import predict
from utils.tasks.emotion import Emotion
from utils.tasks.senses import sensing

STREAM, WIDTH, NOISE = "planted", 16, 0.5
FIGURES = ("accuracy", "weighted_f1", "macro_f1")


def named(conversations: list[Conversation]) -> list[Conversation]:
    """The conversations with a video_name of their own for every utterance."""
    return [
        {**c, "conversation": [{**u, "video_name": f"{c['conversation_ID']}_{k}"} for k, u in enumerate(utterances)]}
        for c, utterances in ((c, c["conversation"]) for c in conversations)
    ]


def planted(conversations: list[Conversation], degree: int, seed: int) -> Stream:
    """A stream that tells the gold emotion in `degree` percent of the utterances of conversations that are `named`."""
    rng, dice = np.random.default_rng(seed), random.Random(seed)
    directions = rng.normal(size=(len(ECF), WIDTH))
    utterances = [u for c in conversations for u in c["conversation"]]
    labels, vectors = [u["emotion"] for u in utterances], {}
    for u in utterances:
        told = u["emotion"] if dice.random() < degree / 100 else dice.choice(labels)
        vector = directions[ECF.labels.index(told)] + rng.normal(size=WIDTH) * NOISE
        vectors[u["video_name"]] = vector[None].astype(np.float32)
    return Stream(STREAM, Path(f"degree {degree}"), vectors)


@dataclass(frozen=True)
class SecondReading(Emotion):
    """The emotion task with vectors behind the second reading's lines alone."""

    def tree(self, item: Conversation, train: bool = False) -> Node:
        root = here = super().tree(item, train)
        for _ in item["conversation"]:
            if not here.children:  # nothing is asked
                break
            here = here.children[-1]
            here.children = here.children[0].children  # those behind its vectors
        return root


def task_of(config: Config, reading: str) -> Any:
    """The emotion task with vectors in both readings, or in the second."""
    task: Any = config.task("emotion")
    return SecondReading(senses=task.senses) if reading == "second" else task


def taught(config: Config, task: Emotion, known: list[Conversation]):
    """(model, tokenizer) after a training on these conversations."""
    from transformers import set_seed

    model, tokenizer = load_model(config.model, config.quantization, config.precision)
    rows = training_rows(task, known, tokenizer, config)
    set_seed(config.seed)
    model = add_adapter(model, gradient_checkpointing=False, **config.adapter_settings(task.opening))
    project(model, rows, config)
    with tempfile.TemporaryDirectory() as folder:
        train(model, tokenizer, packed(rows, config), config.training("emotion"), Path(folder))
    return model.eval(), tokenizer


def figures(config: Config, task: Emotion, model, tokenizer, asked: list[Conversation]) -> dict[str, float]:
    """The scores of the model on these conversations."""
    labelled, _ = predict(task, model, tokenizer, asked, config.inference())
    scores = emotion_scores(asked, labelled)
    return {name: scores[name] for name in FIGURES}


def measure(
    config: Config, degree: int | None, known: list[Conversation], asked: list[Conversation], reading: str
) -> dict:
    """{"with": figures, "absent": figures} of one training with a stream of this degree; {"text": figures} for None."""
    if degree is None:
        task: Any = config.task("emotion")
        return {"text": figures(config, task, *taught(config, task, known), asked)}
    task = task_of(replace(config, streams=[STREAM]), reading)
    seen = sensing(task, {STREAM: planted([*known, *asked], degree, config.seed)})
    model, tokenizer = taught(replace(config, streams=[STREAM]), seen, known)
    return {name: figures(config, one, model, tokenizer, asked) for name, one in (("with", seen), ("absent", task))}


def summary(runs: dict[str, dict[str, dict]], figure: str) -> dict[str, dict[str, list[float]]]:
    """{"text" or a degree: {"text", "with" or "absent": that figure, of each seed}}."""
    found: dict[str, dict[str, list[float]]] = {}
    for by_degree in runs.values():
        for degree, systems in by_degree.items():
            for name, one in systems.items():
                found.setdefault(degree, {}).setdefault(name, []).append(one[figure])
    return found


def table(record: dict) -> str:
    """Weighted F1 of every system, mean and spread over the seeds, in Markdown."""

    def cell(values: Sequence[float]) -> str:
        return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")

    lines = ["| the stream tells the emotion | with it | absent when asked |", "|---|---|---|"]
    for degree, systems in summary(record["runs"], "weighted_f1").items():
        if degree == "text":
            lines.append(f"| no stream | {cell(systems['text'])} | |")
        else:
            lines.append(f"| in {degree} % | {cell(systems['with'])} | {cell(systems['absent'])} |")
    return "\n".join(lines)


def plot(record: dict):
    """Weighted F1 against the degree, beside the text model's."""
    found = summary(record["runs"], "weighted_f1")
    text, degrees = found.pop("text", {}).get("text", []), sorted(map(int, found))
    fig, ax = plots.empty_figure(6.4, 3.8, layout="constrained")
    for name, marker in (("with", "o"), ("absent", "s")):
        values = [found[str(degree)][name] for degree in degrees]
        ax.errorbar(
            degrees, list(map(mean, values)), [stdev(v) if len(v) > 1 else 0 for v in values], marker=marker, label=name
        )
    if text:
        ax.axhline(mean(text), linestyle="--", color=plots.FAINT, label="no stream")
    ax.set_xlabel("the made stream tells the gold emotion, % of utterances")
    ax.set_ylabel("weighted F1")
    ax.legend(frameon=False)
    about = f"{record['conversations']} conversations, {record['epochs']:g} epochs, {len(record['runs'])} seeds"
    plots.entitle(fig, "A planted signal", f"{about}; scored on {record['asked']} of {record['data']}/val")
    return fig


@command("benchmarks.accuracy.planted")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / "input/ecf", help="folder of splits, with ECF's labels")
    parser.add_argument("--conversations", type=positive, default=150, help="of train (default: %(default)s)")
    parser.add_argument("--asked", type=positive, default=60, help="of val (default: %(default)s)")
    parser.add_argument("--degrees", type=int, nargs="+", default=[0, 30, 60, 90], help="default 0 30 60 90")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42], help="default 42")
    parser.add_argument("--epochs", type=float, default=1.0, help="default: %(default)s")
    parser.add_argument("--reading", choices=("both", "second"), default="both", help="which reading has the vectors")
    parser.add_argument("--model", help="default: that of configs/smollm2-135m.yaml")
    parser.add_argument("--result", type=Path, default=RESULTS / "planted.json")
    a = parser.parse_args(argv)
    given = load_config(ROOT / "configs/smollm2-135m.yaml") | {
        "compile": False,
        "text_epochs": 0.0,
        "quantization": "none",
    }
    given |= {"emotion_epochs": a.epochs, **({"model": a.model, "precision": "float32"} if a.model else {})}
    known, asked = (named(load_conversations(a.data / split, labelled=True)) for split in ("train", "val"))
    known, asked = nested(known, a.conversations, 42, a.data), nested(asked, a.asked, 42, a.data)
    about = {"command": "python -m benchmarks.accuracy.planted", "data": a.data.name, "conversations": a.conversations}
    about |= {"asked": a.asked, "epochs": a.epochs, "reading": a.reading, "model": Path(given["model"]).name}
    about |= {"revision": revision(), "versions": versions()}
    before = read_object(a.result) if a.result.is_file() else {}
    runs: dict[str, dict] = before.pop("runs", {}) if {**before, "runs": {}} == {**about, "runs": {}} else {}
    for seed in a.seeds:
        config = Config.of(given | {"seed": seed})
        for degree in (None, *a.degrees):
            name, done = "text" if degree is None else str(degree), runs.setdefault(str(seed), {})
            if name not in done:
                done[name] = measure(config, degree, known, asked, a.reading)
                write_json({**about, "runs": runs}, a.result)
                scores = {system: round(one["weighted_f1"], 3) for system, one in done[name].items()}
                print(f"seed {seed}, {name}: {scores}", flush=True)
    record = {**about, "runs": runs}
    plots.save(plot(record), a.result.with_suffix(".png"))
    print(table(record))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
