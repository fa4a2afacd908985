"""The conversations that a run is on: where they are, and the sample where a person gave none."""

import tempfile
from pathlib import Path

from utils.config import Config
from utils.data.conversations import load_conversations
from utils.data.labels import labels_in
from utils.data.sources import overlap, write_splits
from utils.data.splits import count_table
from utils.record.provenance import fingerprints, read_records
from utils.system import places
from utils.system.places import ROOT


def find_input(input_dir: str, root: Path, recorded: dict[str, str]) -> Path:
    """The folder of a run's input.

    input_dir  the parameter of this name
    root       the folder of results_train/ and results_test/
    recorded   the fingerprints of the input that the run's records name; {} for a new run

    Where the default input is missing, the sample is split into it, unless the run is on other conversations.
    """
    folder = places.find().find_input(input_dir, root)
    if input_dir == Config.input_dir and not folder.exists():
        sample = ROOT / "data" / "sample"
        with tempfile.TemporaryDirectory() as place:
            write_splits(sample, place)
            is_sample = recorded.items() <= fingerprints(Path(place)).items()
        if is_sample:
            parts = write_splits(sample, folder).parts
            print(count_table(parts))
            print(f"the sample, written to {folder}/{{{','.join(parts)}}}/conversations.json")
    return folder


def tell_overlap(folder: Path) -> None:
    """Prints a line where conversations of a run's input that are held out are in train too."""
    paths = {name: folder / name / "conversations.json" for name in ("train", "val", "test")}
    paths, labels = {name: path for name, path in paths.items() if path.is_file()}, labels_in(folder)
    if note := overlap({name: load_conversations(p, allow_empty=True, labels=labels) for name, p in paths.items()}):
        print(note)


def runs_on(folder: Path) -> list[str]:
    """The names of the runs in results_train/ whose records name the files of this input as they are now."""
    here = fingerprints(folder)
    records = {
        path.parent: read_records(path.parent)
        for path in (places.find().results / "results_train").glob("*/config.json")
    }
    return sorted(run.name for run, found in records.items() if any(one.get("input") == here for one in found.values()))
