"""The published recipe and the one pass, trained on the same conversations: time and accuracy.

    python -m benchmarks.speed.equal_data --conversations 40 --epochs 1 8 --out FOLDER

Model, adapter, learning rate and seed are those of configs/smollm2-135m.yaml; a step holds about as many labels in both
forms (16 prompts; two rows of some ten questions). The published recipe is trained for --published-epochs, the one pass
for each of --epochs, on --conversations of `train`, evenly over their lengths, and all are scored on the first --scored
conversations of `test`; causes on gold emotions. The logit adjustment of the one pass is that of its configuration.
Writes benchmarks/results/equal_data.json. FOLDER keeps the adapters and what is finished, so the same command goes on.
Anything else that runs on the machine spoils the seconds.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from transformers import set_seed

from benchmarks import RESULTS
from benchmarks.speed.bench import TASKS, conversations_in, spread
from benchmarks.speed.systems import OnePass, Published
from utils.config import Config, load_config
from utils.data.conversations import with_emotions
from utils.engine.trainer import train
from utils.models.adapters import adapter_in_compute_type, add_lora, save_adapter
from utils.models.load import load_model
from utils.record.fit import examples
from utils.record.provenance import revision, versions
from utils.report.metrics import emotion_scores, pair_scores
from utils.system.command import command
from utils.system.files import read_json, write_json
from utils.system.places import ROOT
from utils.tasks import baselines, emotion
from utils.tasks.task import Task


def scores(task: str, gold: list[dict], labelled: list[dict]) -> dict:
    """{name: figure}: accuracy, weighted and macro F1 of emotions; weighted F1 and F1 of pairs."""
    if task == "emotion":
        found = emotion_scores(gold, labelled)
        return {name: found[name] for name in ("accuracy", "weighted_f1", "macro_f1")}
    found = pair_scores(gold, labelled, 2)
    return {name: found[name] for name in ("weighted_f1", "f1_pair")}


def measured(row, task: Task, epochs: float, taught: list[dict], scored: list[dict], folder: Path) -> dict:
    """Trains a fresh adapter in the form of `row`, kept in `folder`, and has it label `scored`."""
    c = row.config
    model, tokenizer = load_model(c.model, c.quantization, c.precision)
    own = model.config._attn_implementation
    set_seed(c.seed)
    model = add_lora(model, c.lora_r, c.lora_alpha, c.lora_dropout, c.lora_targets, c.gradient_checkpointing)
    model.set_attn_implementation(row.attention or own)
    rows = examples(task, taught, tokenizer, c)
    start = time.perf_counter()
    history = train(model, tokenizer, rows, replace(c.training(task.name), epochs=epochs), folder, recipe=c.recipe)
    trained = time.perf_counter() - start
    save_adapter(model, folder / "adapter", c.model)
    model = adapter_in_compute_type(model.eval())
    start = time.perf_counter()
    labelled = row.label(model, tokenizer, task, scored)
    losses = [entry["loss"] for entry in history if "loss" in entry]
    return {
        "epochs": epochs,
        "steps": len(losses),
        "last_loss": losses[-1],
        "training_seconds": trained,
        "inference_seconds": time.perf_counter() - start,
        **scores(task.name, scored, labelled),
    }


def table(result: dict) -> str:
    """README's table of what `main` wrote: a line a form; minutes, and scores."""
    columns = [
        "emotions: training",
        "inference",
        "accuracy",
        "weighted F1",
        "causes: training",
        "inference",
        "pairs weighted F1",
    ]
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name in dict.fromkeys([*result["emotion"], *result["cause"]]):
        cells = []
        for task, keys in (("emotion", ("accuracy", "weighted_f1")), ("cause", ("weighted_f1",))):
            one = result[task].get(name, {})
            took = [one.get(f"{phase}_seconds") for phase in ("training", "inference")]
            cells += [f"{seconds / 60:.1f} min" if seconds else "" for seconds in took]
            cells += [f"{one[key]:.3f}" if key in one else "" for key in keys]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


@command("benchmarks.speed.equal_data")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for what cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / "input" / "ecf", help="folder of splits")
    parser.add_argument("--model", help="another model than the configuration's")
    parser.add_argument("--conversations", type=int, default=40, help="to train on (default 40)")
    parser.add_argument("--scored", type=int, default=100, help="to score on (default 100)")
    parser.add_argument("--published-epochs", type=float, default=1, help="of the published recipe (default 1)")
    parser.add_argument("--epochs", type=float, nargs="+", default=[1, 8], help="of the one pass (default 1 8)")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for adapters and what is finished")
    parser.add_argument("--result", type=Path, default=RESULTS / "equal_data.json")
    arguments = parser.parse_args(argv)
    config = Config.of(load_config(ROOT / "configs" / "smollm2-135m.yaml"))
    config = replace(config, model=arguments.model or config.model)
    taught, tested = conversations_in(arguments.data)
    taught, tested = spread(taught, arguments.conversations), tested[: arguments.scored]
    prior = emotion.prior_scores(emotion.counts(taught), config.logit_adjustment)
    tasks = {"emotion": replace(config.task("emotion"), prior=prior), "cause": config.task("cause")}
    commonest = baselines.majority(taught)
    found = {
        "command": f"python -m benchmarks.speed.equal_data --conversations {arguments.conversations} --scored "
        f"{arguments.scored} --published-epochs {arguments.published_epochs:g} "
        f"--epochs {' '.join(f'{epochs:g}' for epochs in arguments.epochs)}",
        "revision": revision(),
        "versions": versions(),
        "trained on": [c["conversation_ID"] for c in taught],
        "scored on": [c["conversation_ID"] for c in tested],
        "emotion": {
            "majority": scores(
                "emotion", tested, [with_emotions(c, [commonest] * len(c["conversation"])) for c in tested]
            )
        },
        "cause": {"rule": scores("cause", tested, [baselines.rule(c) for c in tested])},
    }
    plan = [(Published(config), arguments.published_epochs)]
    plan += [(OnePass(config), epochs) for epochs in arguments.epochs]
    for task in TASKS:
        for row, epochs in plan:
            folder = arguments.out / f"{task}-{row.config.recipe}-{epochs:g}"
            if not (folder / "result.json").is_file():
                write_json(measured(row, tasks[task], epochs, taught, tested, folder), folder / "result.json")
            name = f"{row.name}, {epochs:g} epoch{'s' if epochs != 1 else ''}"
            found[task][name] = read_json(folder / "result.json")
            print(task, name, found[task][name], flush=True)
    write_json(found, arguments.result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
