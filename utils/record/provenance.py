"""Where a result comes from: code revision, package versions, hashes of input and weights."""

import hashlib
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from utils.data.features import FOLDER, fingerprint, streams_in
from utils.data.instructions import EXAMPLES_FILE
from utils.data.labels import labels_in
from utils.data.topics import TOPICS_FILE
from utils.system.errors import FileError, RunError, shown
from utils.system.files import check_set, read_object
from utils.system.places import ROOT

# What no result depends on. Everything else in the tree counts, files that git does not track yet too.
NO_CODE = ("results_train", "results_test", "benchmarks/results", "docs", "tests", "*.md")
# What people write into the root: conversations, their labels, the page. No code is there in these forms.
OUTPUTS = ("*.json", "*.jsonl", "*.csv", "*.tsv", "*.txt", "*.html")
# What config.json calls the record of an encoder's training; the second name is that of older ones.
ENCODER = ("utils.train encoder", "benchmarks.encoder")
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "datasets", "scikit-learn")


def revision() -> str:
    """The code's revision: the commit, with "+changes" where a file that a result may depend on differs from it or is
    not in it; "unknown" without git."""

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        others = [f":(exclude){name}" for name in NO_CODE] + [f":(exclude,glob){name}" for name in OUTPUTS]
        changed = git("status", "--porcelain", "--untracked-files=normal", "--", ".", *others)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if changed else "")


def versions() -> dict[str, str]:
    """The installed versions of the packages that results depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def weights_of(adapter: Path) -> str:
    """The beginning of the SHA-256 of an adapter's weights."""
    return hashlib.sha256((Path(adapter) / "adapter_model.safetensors").read_bytes()).hexdigest()[:16]


def weights_of_encoder(folder: Path) -> str:
    """The beginning of the SHA-256 of an encoder's heads, or where they stand in one file with all weights, of that."""
    names = ("heads.safetensors", "model.safetensors")
    path = next(path for name in names if (path := Path(folder) / name).is_file())
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def fingerprints(input_dir: Path) -> dict[str, str]:
    """The beginning of the SHA-256 of each split's file, and of "topics" where it is of texts: a run is a run on these
    data.

    Raises FileError for a folder of which some files may be of another split (utils.system.files.write_set)."""
    check_set(input_dir)
    files = sorted(
        file for name in ("conversations.json", "texts.json", EXAMPLES_FILE) for file in input_dir.glob(f"*/{name}")
    )
    named = {file.parent.name: file for file in files}
    if (input_dir / TOPICS_FILE).is_file():
        named["topics"] = input_dir / TOPICS_FILE
    return {name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for name, file in named.items()}


def features_of(input_dir: Path, streams: Iterable[str]) -> dict[str, dict[str, str]]:
    """What config.json says of the streams that a run reads: {"features": {stream: fingerprint}}; {} without any. One
    that is not there is left out: who reads it says so."""
    folder = input_dir / FOLDER
    there = {name: fingerprint(folder, name) for name in streams if name in streams_in(folder)}
    return {"features": there} if there else {}


def read_records(folder: Path) -> dict[str, dict]:
    """config.json of a run's folder: {notebook or command: what it recorded}; {} where there is none.

    Raises FileError for a file that is damaged: every record has parameters, and maybe the input's fingerprints.
    """
    path = Path(folder) / "config.json"
    records = read_object(path) if path.is_file() else {}
    for name, record in records.items():
        whole = isinstance(record, dict) and isinstance(record.get("parameters"), dict)
        inputs = record.get("input", {}) if whole else None
        if not isinstance(inputs, dict) or not all(isinstance(one, str | None) for one in inputs.values()):
            raise FileError(
                f"{path}: the record {shown(name)} is damaged: it must hold parameters, and input as "
                "{split: fingerprint}. Restore the file, or remove the folder and run again"
            )
    return records


def input_of(runs: dict[str, Path], split: str) -> dict[str, str | None]:
    """The fingerprints of the conversations that the records (config.json) of several runs agree about: those of
    `split`, and where it has labels those of train, since a run that was trained on others may have seen its labels.

    runs  {name: its folder in results_train}

    Raises RunError where a record is missing, or two runs disagree.
    """
    names, found = ["train", split] if split != "unlabelled" else [split], {}
    for run, folder in runs.items():
        path = folder / "config.json"
        if not path.is_file():
            raise RunError(f"{path} is missing: the folder tells of no run")
        records = read_records(folder).values()
        recorded = next(iter(records), {}).get("input", {})  # what is recorded of one run shares its input
        found[run] = {name: recorded.get(name) for name in names}
        first = next(iter(found))
        if found[run] != found[first]:
            raise RunError(f"{path}: other {' or '.join(names)} conversations than {first}'s")
    return next(iter(found.values()))


def encoder_record(folder: Path) -> dict | None:
    """What config.json of a run's folder tells of the training of its encoder; None where it tells of none."""
    records = read_records(folder)
    return next((records[name] for name in ENCODER if name in records), None)


def record_of(parameters: dict, input_dir: Path) -> dict:
    """What config.json tells of one command: its parameters, the fingerprints of its input, its label set, the code's
    revision and the packages' versions."""
    return {
        "parameters": parameters,
        "input": fingerprints(input_dir),
        "labels": labels_in(input_dir).as_dict(),
        "revision": revision(),
        "versions": versions(),
    }
