"""kill -9 at random moments of the whole chain: the same command again ends with the same files, byte for byte.

make soak                                        # 50 interruptions, about half an hour
KILLS=5 python -m pytest -m soak tests/test_interruption.py
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from utils.data.conversations import without_labels
from utils.system.files import write_json

ROOT = Path(__file__).resolve().parents[1]
KILLS = int(os.environ.get("KILLS", "50"))

# The notebooks' own cells, all four in one process: a kernel for each would only add waiting.
CHAIN = """
import json, sys
from pathlib import Path
import matplotlib
matplotlib.use("agg")
given = json.loads(sys.argv[1])
for path in sorted(Path("notebooks").glob("[0-9]*.ipynb")):
    names = {"display": lambda *anything: None}
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            if "parameters" in cell["metadata"].get("tags", []):
                names.update({name: value for name, value in given.items() if name in names})
    print("done", path.stem, flush=True)
"""


def repository(folder, conversations):
    """What a run needs, in `folder`: the code, and `conversations` as its input."""
    for part in ("utils", "notebooks", "configs"):
        shutil.copytree(ROOT / part, folder / part)
    for part in ("generate_input.py", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / part, folder)
    for split in ("train", "val", "test"):
        write_json(conversations, folder / "input" / split / "conversations.json")
    write_json([without_labels(c) for c in conversations], folder / "input" / "unlabelled" / "conversations.json")
    return folder


def start(repository, parameters):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-c", CHAIN, json.dumps(parameters)]
    with (repository / "chain.log").open("a") as log:
        return subprocess.Popen(command, cwd=repository, env=environment, stdout=log, stderr=log)


def outcome(repository):
    """The bytes of everything that a run leaves, but pictures; of the trainer's log the losses, not the times."""
    files = {}
    for folder in ("results_train", "results_test"):
        for path in sorted((repository / folder).rglob("*")):
            if path.name == "training.json":
                record = json.loads(path.read_text())
                losses = [(one.get("step"), one.get("loss"), one.get("eval_loss")) for one in record["history"]]
                files[str(path.relative_to(repository))] = record["parameters"], losses
            elif path.suffix in (".json", ".jsonl", ".safetensors"):
                files[str(path.relative_to(repository))] = path.read_bytes()
    return files


@pytest.mark.soak
def test_killed_chains_end_like_an_undisturbed_one(tiny_model_folder, conversations, tmp_path):
    parameters = {"model": tiny_model_folder, "token_budget": 1, "emotion_epochs": 6.0, "cause_epochs": 6.0}
    began = time.monotonic()
    undisturbed = repository(tmp_path / "undisturbed", conversations)
    assert start(undisturbed, parameters).wait() == 0, (undisturbed / "chain.log").read_text()
    length = time.monotonic() - began
    wanted = outcome(undisturbed)
    assert len(wanted) > 12 and not any(name.endswith("unfinished.jsonl") for name in wanted)

    rng, kills = random.Random(0), 0
    while kills < KILLS:
        mine, moments = repository(tmp_path / f"killed{kills}", conversations), []
        for _ in range(rng.choice((1, 1, 2))):
            moment = rng.uniform(0.2, length)
            process = start(mine, parameters)
            try:
                process.wait(timeout=moment)  # may end before: the machine is quicker than it was
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                moments.append(round(moment, 1))
        assert start(mine, parameters).wait() == 0, (moments, (mine / "chain.log").read_text()[-3000:])
        found = outcome(mine)
        assert found.keys() == wanted.keys(), moments
        assert [name for name in wanted if found[name] != wanted[name]] == [], moments
        kills += len(moments)
        print(f"{kills} of {KILLS}: killed after {moments} of {length:.0f} s, the same {len(found)} files")
        shutil.rmtree(mine)
