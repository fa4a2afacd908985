"""Speed and memory of this repository's one pass a conversation beside the published recipe and what else there is.

    make bench                                       # all of it, at most 20 minutes on two quiet cores
    python -m benchmarks.speed --parts limit growth  # some of it
    python -m benchmarks.speed --adapters DIR --published-adapters DIR --gguf EMOTION.gguf CAUSE.gguf

Writes speed.json, speed.md (tables) and speed.png (growth) to benchmarks/results, or to --out. The rows are the systems
of systems.py: the same model, conversations and process, taking turns; medians with the lowest and the highest.
Peak memory is that of a process of its own for each row. An epoch is extrapolated: the seconds of a step times the
epoch's tokens divided by the step's, both counted in the row's own form. Accuracy is that of the adapters given; a row
without an adapter trained in its form has none. Anything else that runs on the machine spoils the figures.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import psutil
import torch

from benchmarks import RESULTS
from benchmarks.speed.bench import TASKS, Bench
from benchmarks.speed.limit import growth_figure, measure_growth, measure_limit, operations
from benchmarks.speed.measure import memory_watched, now, peak_memory, summary
from benchmarks.speed.systems import Compiled, DoneWell, LlamaCpp, OnePass, Published
from utils.models.load import embedded_model
from utils.record.provenance import revision, versions
from utils.report.metrics import emotion_scores, pair_scores
from utils.report.plots import save
from utils.system.command import command
from utils.system.files import write_json, write_text
from utils.system.places import ROOT

PARTS = ("memory", "training", "inference", "accuracy", "limit", "growth")


# ---- the parts -------------------------------------------------------------------------------------------------


def measure_training(bench) -> dict:
    """{task: {row: seconds and tokens}}"""
    models, short, found = {}, bench.step[:1], {}
    for task in TASKS:
        seconds, first = {row.name: [] for row in bench.training}, {}
        for row in bench.training:
            if row.name not in models:
                models[row.name] = bench.learner(row)
            start = now()
            bench.train_step(row, models[row.name], task, short)  # the first one pays for what is made once
            first[row.name] = now() - start
        for _ in range(bench.arguments.repeats):
            for row in bench.training:
                seconds[row.name].append(bench.train_step(row, models[row.name], task, bench.step))
                print(f"training, {task}, {row.name}: {seconds[row.name][-1]:.2f} s", flush=True)
        found[task] = {}
        for row in bench.training:
            tokens, in_loss = row.training_tokens(bench.tokenizer, bench.tasks[task], bench.step)
            epoch, _ = row.training_tokens(bench.tokenizer, bench.tasks[task], bench.taught)
            one = {"seconds": summary(seconds[row.name]), "tokens": tokens, "tokens_in_loss": in_loss}
            one["epoch"] = {"tokens": epoch, "seconds": one["seconds"]["median"] * epoch / tokens}
            found[task][row.name] = {**one, "first_seconds": first[row.name]}
    return found


def same_labels(task, one, other) -> list[int]:
    """[how many labels are equal, of how many]: emotions of utterances, or whole sets of causes of conversations."""
    if task == "emotion":
        pairs = [
            (u["emotion"], v["emotion"])
            for c, d in zip(one, other)
            for u, v in zip(c["conversation"], d["conversation"])
        ]
    else:
        pairs = [(c["emotion-cause_pairs"], d["emotion-cause_pairs"]) for c, d in zip(one, other)]
    return [sum(a == b for a, b in pairs), len(pairs)]


def measure_inference(bench) -> dict:
    """{task: {row: seconds, tokens, and how many labels are those of the one pass}}"""
    found = {}
    for task in TASKS:
        seconds, labelled = {row.name: [] for row in bench.inference}, {}
        for row in bench.inference:
            bench.label(row, task, bench.asked[:1])
        for _ in range(bench.arguments.repeats):
            for row in bench.inference:
                took, labelled[row.name] = bench.label(row, task, bench.asked)
                seconds[row.name].append(took)
                print(f"inference, {task}, {row.name}: {took:.2f} s", flush=True)
        found[task] = {}
        for row in bench.inference:
            found[task][row.name] = {
                "seconds": summary(seconds[row.name]),
                "tokens": row.inference_tokens(bench.tokenizer, bench.tasks[task], bench.asked),
                "labels_of_the_one_pass": same_labels(task, labelled[row.name], labelled[OnePass.name]),
            }
    return found


def measure_accuracy(bench) -> dict:
    """{task: {row: score}} for the rows that have an adapter trained in their form: accuracy of emotions; weighted F1
    of pairs, on gold emotions. Stock tools on the one pass' prompts are left out: it would take minutes to count again
    what `labels_of_the_one_pass` counts."""
    scored, found = bench.tested[: bench.arguments.scored], {task: {} for task in TASKS}
    for task in TASKS:
        for row in bench.inference:
            given = bench.arguments.gguf if isinstance(row, LlamaCpp) else bench.adapter_of(row, task)
            if not given or isinstance(row, DoneWell):
                continue
            _, labelled = bench.label(row, task, scored)
            if task == "emotion":
                score = {"accuracy": emotion_scores(scored, labelled)["accuracy"]}
            else:
                score = {"weighted_f1": pair_scores(scored, labelled, 2)["weighted_f1"]}
            found[task][row.name] = {**score, "conversations": len(scored)}
            print(f"accuracy, {task}, {row.name}: {found[task][row.name]}", flush=True)
    return found


def alone(bench, phase: str, task: str, name: str):
    """What `apart` asks this process for: the growth; or its peak memory in one piece of work, a row's step on the
    longest conversation or its labelling, with the model loaded already; or what it holds with a model alone."""
    if phase == "growth":
        return measure_growth(bench)
    rows = bench.training if phase == "training" else bench.inference
    row = next((row for row in rows if row.name == name), bench.inference[-1])
    model = bench.learner(row) if phase == "training" else None
    if phase != "training" and not isinstance(row, LlamaCpp):
        bench.labeller(row, task)
    found = {}
    with memory_watched(found):
        if phase == "training":
            bench.train_step(row, model, task, bench.step[-1:])
        elif phase == "inference":
            bench.label(row, task, bench.asked[-1:])
    return found["peak_memory"] or peak_memory()


def apart(given: list[str], phase: str, task: str = "", name: str = ""):
    """What `alone` finds in a process of its own, whose memory nothing else has filled before."""
    run = [sys.executable, "-m", "benchmarks.speed", *given, "--alone", phase, task, name]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(run)}: {done.stderr[-2000:]}")
    found = done.stdout.splitlines()[-1]
    print(f"{phase} {task} {name}: {found[:80]}", flush=True)
    return json.loads(found)


def measure_memory(bench, given: list[str]) -> dict:
    """{phase: {task: {row: bytes}}}, each by a process of its own; "model": what one holds with a model loaded. Loading
    itself, for a moment, takes more than that, and is not in it."""
    found = {"model": apart(given, "model", "emotion")}
    for phase, rows in (("training", bench.training), ("inference", bench.inference)):
        found[phase] = {task: {row.name: apart(given, phase, task, row.name) for row in rows} for task in TASKS}
    return found


# ---- what is written -------------------------------------------------------------------------------------------


def tables(result: dict) -> str:
    """The tables as Markdown: a line a row, ratios to the published recipe."""
    lines = []
    for phase in ("training", "inference"):
        for task in TASKS if phase in result else ():
            rows = result[phase][task]
            base = rows[Published.name]["seconds"]["median"]
            loss = ("in the loss", "an epoch") if phase == "training" else ("accuracy", "as the one pass")
            lines += [
                f"\n**{phase.capitalize()}, {task}s**\n",
                f"| row | seconds (lowest to highest) | times faster | tokens | {loss[0]} | {loss[1]} | memory |",
                "|---|---|---|---|---|---|---|",
            ]
            for name, row in rows.items():
                took = row["seconds"]
                cells = [
                    name,
                    f"{took['median']:.2f} ({took['lowest']:.2f} to {took['highest']:.2f})",
                    f"{base / took['median']:.1f}",
                    f"{row['tokens']:,}",
                ]
                if phase == "training":
                    cells += [f"{row['tokens_in_loss']:,}", f"{row['epoch']['seconds'] / 60:.0f} min"]
                else:
                    score = result.get("accuracy", {}).get(task, {}).get(name)
                    cells += [
                        f"{next(iter(score.values())):.3f}" if score else "not measured",
                        "{} of {}".format(*row["labels_of_the_one_pass"]),
                    ]
                peak = result.get("memory", {}).get(phase, {}).get(task, {}).get(name)
                lines.append("| " + " | ".join([*cells, f"{peak / 2**30:.2f} GiB" if peak else ""]) + " |")
    lines += ["", *(f"- {name}: {what}." for name, what in result["rows"].items())]
    for task in TASKS if Compiled.name in result.get("training", {}).get("emotion", {}) else ():
        first = result["training"][task][Compiled.name]["first_seconds"]
        lines.append(f"- {Compiled.name}: the first step on {task}s, with what had to be compiled, took {first:.0f} s.")
    if result["not_run"]:
        lines.append(f"- {result['not_run']}.")
    if "limit" in result:
        limit = result["limit"]
        plain = limit["beside a plain pass"]
        whole, bare = (plain[name]["median"] for name in ("plain pass", "plain pass, last position's logits alone"))
        took = plain["emotions of a conversation"]["median"]
        lines += [
            "",
            f"Of the {limit['products']['multiply_adds_a_second'] / 1e9:.0f} billion multiply-adds a second that "
            f"the layers' products reach alone, training reaches {limit['training']['share_of_rate']:.0%} and "
            f"inference {limit['inference']['share_of_rate']:.0%}. The emotions of a conversation of "
            f"{plain['tokens']} tokens take {took / whole:.2f} times a plain pass over as many, {took / bare:.2f} "
            "times one without the logits.",
        ]
    if "growth" in result:
        costs = result["growth"]["mask_costs_from_tokens"]
        reached = f"from {costs:.0f} tokens on" if costs else "not within the lengths tried"
        lines += ["", f"The dense mask is the larger part of a conversation's time {reached}. ![growth](speed.png)"]
    return "\n".join(lines).lstrip("\n") + "\n"


def summary_table(result: dict) -> str:
    """README's table: a line a row; seconds, and how many times faster than the published recipe."""
    columns = [(phase, task) for phase in ("training", "inference") for task in TASKS]
    lines = [
        "| | " + " | ".join(f"{phase}, {task}s" for phase, task in columns) + " | memory of training |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for name in dict.fromkeys(name for phase, task in columns for name in result[phase][task]):
        cells = []
        for phase, task in columns:
            rows = result[phase][task]
            took, base = (rows.get(one, {}).get("seconds", {}).get("median") for one in (name, Published.name))
            cells.append(f"{took:.1f} s, {base / took:.1f} x" if took else "")
        peak = result["memory"]["training"]["emotion"].get(name)
        lines.append(f"| {name} | " + " | ".join([*cells, f"{peak / 2**30:.1f} GiB" if peak else ""]) + " |")
    return "\n".join(lines)


def parsed(words: list[str]):
    """The command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--data", type=Path, default=ROOT / "input" / "ecf", help="splits; default input/ecf, else the sample data"
    )
    parser.add_argument("--model", help="a folder or hub id; default: the embedded model")
    parser.add_argument("--adapters", type=Path, metavar="DIR", help="holds emotion/ and cause/ of a one-pass run")
    parser.add_argument("--published-adapters", type=Path, metavar="DIR", help="the same of a published-recipe run")
    parser.add_argument("--gguf", type=Path, nargs=2, metavar="FILE", help="GGUF with the merged adapters")
    parser.add_argument("--step", type=int, default=2, help="conversations a training step")
    parser.add_argument("--conversations", type=int, default=4, help="conversations labelled against the clock")
    parser.add_argument("--scored", type=int, default=100, help="conversations that accuracy is measured on")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--profile", action="store_true", help="also the dearest operations of training and inference")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args(words)


@command("benchmarks.speed")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for conversations, adapters or a model that cannot be used."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run(words, parsed(words))


def run(given: list[str], arguments) -> int:
    """Measures the parts that are asked for, one after the other, and writes what there is behind each."""
    if arguments.model is None:
        embedded_model()  # the conversion, once, is not in anybody's time or memory
    bench = Bench(arguments)
    if arguments.alone:
        print(json.dumps(alone(bench, *arguments.alone)))
        return 0
    start, load = now(), psutil.getloadavg()[0]
    if load > 0.5:
        print(f"Something else runs on this machine (load {load:.1f}): these figures will be worth little.", flush=True)
    words = [Path(word).name if Path(word).is_absolute() else word for word in given]
    result = {
        "command": " ".join(["python -m benchmarks.speed", *words]),
        "revision": revision(),
        "versions": versions(),
        "rows": {row.name: row.computes for row in [*bench.training, *bench.inference]},
        "not_run": bench.without_llama,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "load": load,
            "threads": torch.get_num_threads(),
            "precision": bench.config.training("emotion").precision,
        },
        "conversations": {
            "step": [c["conversation_ID"] for c in bench.step],
            "epoch": len(bench.taught),
            "labelled": [c["conversation_ID"] for c in bench.asked],
        },
        "adapters": bench.adapters
        and str(bench.adapters.relative_to(ROOT) if bench.adapters.is_relative_to(ROOT) else bench.adapters.name),
    }
    measures = {
        "memory": lambda: measure_memory(bench, given),
        "training": lambda: measure_training(bench),
        "inference": lambda: measure_inference(bench),
        "accuracy": lambda: measure_accuracy(bench),
        "limit": lambda: measure_limit(bench),
        "growth": lambda: apart(given, "growth"),
    }
    if arguments.profile:
        measures["profile"] = lambda: operations(bench)
    for part in (part for part in measures if part in (*arguments.parts, "profile")):
        result[part] = measures[part]()
        result["seconds"] = now() - start
        print(f"{part}: done after {result['seconds']:.0f} s", flush=True)
        write_json(result, arguments.out / "speed.json")  # an interruption loses a part, not all
        write_text(tables(result), arguments.out / "speed.md")
    if "growth" in result:
        machine = f"{result['machine']['cores']} CPU cores · {result['machine']['precision']}"
        about = f"{Path(bench.config.model).name} · {machine} · revision {result['revision']}"
        save(growth_figure(result["growth"], about), arguments.out / "speed.png")
    print(f"{tables(result)}\nwritten to {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
