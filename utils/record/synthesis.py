"""An input whose train split a model wrote itself; val and test are those of another input.

report = synthesize(source, Path("input/self"), count=20)
"""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from utils.config import Config
from utils.data.conversations import load_conversations
from utils.data.labels import LABELS_FILE, labels_in
from utils.data.seeds import Rules, Seeds
from utils.engine.settings import Writing
from utils.record.provenance import fingerprints, revision, versions
from utils.system.errors import ConfigError, RunError
from utils.system.files import check_new, new_folder, read_object, to_json, write_texts
from utils.tasks.emotion import Emotion

REPORT_FILE, REJECTED_FILE = "report.json", "rejected.jsonl"
SEEDS = "emotions"  # of data/seeds
HELD_OUT = ("val", "test")
HOW = Writing(temperature=1.0, top_p=0.9, new_tokens=40)


def synthesize(
    source: Path,
    out: Path,
    count: int,
    seeds: str | Path = SEEDS,
    model: str = Config.model,
    seed: int = Config.seed,
    how: Writing = HOW,
) -> dict[str, Any]:
    """Writes `out`: train/conversations.json, `count` sentences of each label; val, test and the label set of the input
    `source`; REJECTED_FILE, what was not kept and why; REPORT_FILE, which is returned. Whole or not at all: finished
    batches stand beside it until then, and the same call goes on behind them. Where the same call has made `out`
    already, its report is returned.

    seeds  a name in data/seeds, or the path of a file of yours
    model  EMBEDDED, a folder or a hub id
    how    temperature, top p and most tokens

    Raises FileError for another folder at `out` and for seeds that cannot be used, RunError for an input that is not
    there, ConfigError for one whose texts have several labels and for settings that cannot be, ModelError,
    NotEnoughMemory, SynthesisError for a label of which too few sentences pass."""
    how.check()
    if not how.temperature:
        raise ConfigError("temperature is 0, and the same sentence would be written again and again: give one above 0")
    labels = labels_in(source)
    if labels.multi:
        raise ConfigError(f"{source}: a text has several labels ({labels.name}), and a sentence is written for one")
    paths = {split: source / split / "conversations.json" for split in HELD_OUT}
    paths = {split: path for split, path in paths.items() if path.is_file()}
    if "test" not in paths:
        raise RunError(f"{source}/test/conversations.json is missing: give the --input that generate_input.py wrote")
    given = Seeds.read(seeds, labels)
    asked = {
        "model": Path(model).name,
        "seeds": f"{Path(seeds).stem} {hashlib.sha256(repr(given).encode()).hexdigest()[:16]}",
        "seed": seed,
        "count": count,
        "how": asdict(how),
        "input": fingerprints(source),
    }
    if (out / REPORT_FILE).is_file():
        before = read_object(out / REPORT_FILE)
        if all(before.get(name) == value for name, value in asked.items()):
            return before
    check_new(out)
    held_out = [load_conversations(path, True, allow_empty=True, labels=labels) for path in paths.values()]
    texts = [u["text"] for conversations in held_out for c in conversations for u in c["conversation"]]

    from utils.engine.inference import Journal  # here, so that faults are told before torch is loaded
    from utils.models.fits import check_memory
    from utils.models.load import load_model
    from utils.tasks.synthesis import alone, written_by

    config = replace(Config(), model=model, quantization="none")
    check_memory(config)
    loaded = load_model(config.model, config.quantization, config.precision)
    journal = Journal(out.with_name(f"{out.name}.unfinished.jsonl"))
    task = Emotion(labels)
    made = written_by(task, *loaded, given, Rules(given, texts), count, seed, how, config.inference(), journal)
    train = [
        {**alone(f"made-{row['number']}", row["text"], row["label"]), "probability": row["probability"]}
        for row in made.kept
    ]
    report = {
        **asked,
        "kept": {label: made.count(label) for label in labels},
        "written": len(made.kept) + len(made.rejected),
        "rejected": made.reasons(),
        "rejected_by_label": {label: made.reasons(label) for label in labels},
        "revision": revision(),
        "versions": versions(),
    }
    with new_folder(out) as folder:
        files: dict[Any, str] = {folder / "train" / "conversations.json": to_json(train)}
        files |= {folder / split / "conversations.json": path.read_text("utf-8") for split, path in paths.items()}
        if (source / LABELS_FILE).is_file():
            files[folder / LABELS_FILE] = (source / LABELS_FILE).read_text("utf-8")
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in made.rejected]
        write_texts(files | {folder / REJECTED_FILE: "".join(lines), folder / REPORT_FILE: to_json(report)})
    journal.path.unlink(missing_ok=True)
    return report


def report_table(report: dict[str, Any]) -> str:
    """The counts of a report as a Markdown table: a line a label."""
    reasons = [*report["rejected"]]
    lines = [f"| label | kept | written | {' | '.join(reasons)} |", "|---" * (len(reasons) + 3) + "|"]
    for label, kept in report["kept"].items():
        counts = report["rejected_by_label"][label]
        cells = [kept, kept + sum(counts.values()), *(counts.get(reason, 0) for reason in reasons)]
        lines.append(f"| {label} | {' | '.join(f'{one:,}' for one in cells)} |")
    return "\n".join(lines)
