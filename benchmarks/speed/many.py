"""Very many conversations on a Ray cluster of this machine: is time linear, is memory flat?

    pip install ray
    python -m benchmarks.speed.many        # writes benchmarks/results/many.json and many.png

The sample's conversations, repeated with other names of speakers, are labelled by `utils.predict --engine ray` with two
workers. The model is a random Llama of two layers with 500 tokens, so that the machine is busy with what grows:
reading, planning rows, collecting, writing. Its labels mean nothing. Every few seconds the finished parts are counted,
and the memory of the command, of its workers and of Ray's own processes.

"worker" says what more workers would give. It is a calculation: one process reads and writes, the workers label; the
slower of the two decides. Seconds of reading and writing are measured here, those of labelling by the workers, for the
random model and for the adapters that ship.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import psutil
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import RESULTS
from utils.config import Config
from utils.data.conversations import load_conversations
from utils.data.given import each_given
from utils.data.labels import ECF
from utils.models.adapters import add_lora, save_adapter
from utils.models.load import load_model, load_tokenizer
from utils.predict import Predictor
from utils.record.provenance import revision, versions
from utils.report.plots import DPI, FAINT, entitle, save
from utils.system.command import command, positive
from utils.system.files import read_object, write_json
from utils.system.places import ROOT
from utils.tasks import cause_structure

SAMPLE = ROOT / "data" / "sample" / "conversations.json"
WORKERS, SIZE = 2, 256
UP_TO = (2, 4, 8, 16, 32, 64)  # workers of the calculation
TRIED = 2000  # conversations of which reading and writing are timed


def renamed(sample: list[dict], number: int):
    """`number` conversations: the sample's, over and over, each time with other names of speakers."""
    for k in range(number):
        c, turn = sample[k % len(sample)], k // len(sample)
        lines = [{**u, "speaker": f"{u['speaker']} {turn}"} for u in c["conversation"]]
        yield {"conversation_ID": k + 1, "conversation": lines}


def small_adapters(folder: Path, sample: list[dict]) -> list[Path]:
    """A random model of two layers in `folder`, with an emotion and a cause adapter and boosted trees; their
    folders."""
    texts = (u["text"] for c in sample for u in c["conversation"])
    tokenizer = load_tokenizer(Config.model).train_new_from_iterator(texts, vocab_size=500)
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape)).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    adapters, name = [], str(folder / "model")
    for task in ("emotion", "cause"):
        adapters.append(folder / "run" / "adapters" / task)
        model = add_lora(load_model(name, "none", "float32")[0], r=4, alpha=8, dropout=0.0, targets="all-linear")
        for key, weight in model.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(weight, std=0.1)
        save_adapter(model, adapters[-1], name)
        record = {"task": task, "parameters": Config(model=name, precision="float32").as_dict()}
        record |= {"emotions": dict.fromkeys(ECF, 1), "structure": {"revision": "none"} if task == "cause" else {}}
        write_json(record, adapters[-1] / "training.json")
    structure = cause_structure.learn(sample)
    assert structure is not None, "the sample has causes"
    cause_structure.save(structure, adapters[-1])
    return adapters


def held(process: psutil.Process) -> dict[str, int]:
    """Bytes of main memory that the command, its workers and Ray's other processes hold now."""
    found = {"command": 0, "workers": 0, "Ray": 0}
    for one in [process, *process.children(recursive=True)]:
        try:
            name, size = " ".join(one.cmdline()[:1]), one.memory_info().rss
        except psutil.Error:  # it has ended
            continue
        found["command" if one.pid == process.pid else "workers" if name.startswith("ray::") else "Ray"] += size
    return found


def watched(run: list[str], out: Path, number: int, seconds: float = 5.0) -> list[dict]:
    """Runs a command that writes parts to `out`, and returns what was seen every few seconds."""
    started, points = time.perf_counter(), []
    with open(out.parent / "log.txt", "w+", encoding="utf-8") as log:
        with subprocess.Popen(run, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT) as child:
            process = psutil.Process(child.pid)
            while child.poll() is None:
                parts = sum(1 for _ in out.glob("part-*")) if out.is_dir() else 0
                passed = round(time.perf_counter() - started, 1)
                points.append({"seconds": passed, "conversations": min(number, parts * SIZE), "bytes": held(process)})
                time.sleep(seconds)
        if child.returncode:
            log.seek(0)
            raise RuntimeError(log.read()[-2000:])
    return points


def calculated(own: float, label: float) -> dict[int, float]:
    """{workers: conversations a second}: one process takes `own` seconds for a conversation, a worker `label`."""
    return {workers: 1 / max(own, label / workers) for workers in UP_TO}


def figure(result: dict):
    """Finished conversations against time, and memory against finished conversations."""
    drawn, (left, right) = plt.subplots(1, 2, figsize=(10, 4), dpi=DPI, layout="constrained")
    plt.close(drawn)
    about = f"{result['conversations']:,} conversations · {WORKERS} workers · random model · {result['revision']}"
    entitle(drawn, "Very many conversations on a Ray cluster", about)
    points = result["points"]
    done = [one["conversations"] for one in points]
    left.plot([one["seconds"] / 60 for one in points], done, "-")
    left.set(xlabel="minutes", ylabel="conversations in finished parts")
    for name in points[0]["bytes"]:
        right.plot(done, [one["bytes"][name] / 2**30 for one in points], "-", label=name)
    right.set(xlabel="conversations in finished parts", ylabel="GiB of memory")
    right.set_ylim(bottom=0)
    right.legend(frameon=False, labelcolor=FAINT)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return drawn


@command("benchmarks.speed.many")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for what cannot be used."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--conversations", type=positive, default=100_000, help="default: %(default)s")
    parser.add_argument("--result", type=Path, default=RESULTS / "many.json")
    a = parser.parse_args(argv)
    sample, number = load_conversations(SAMPLE, labelled=True), a.conversations
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "many.jsonl", Path(folder) / "out"
        with given.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in renamed(sample, number))
        emotion, cause = small_adapters(Path(folder), sample)
        run = [sys.executable, "-m", "utils.predict", "--engine", "ray", given, "--out", out, "--size", SIZE]
        run += ["--workers", WORKERS, "--emotion-adapter", emotion, "--cause-adapter", cause]
        started = time.perf_counter()
        points = watched([str(one) for one in run], out, number)
        whole, record = time.perf_counter() - started, read_object(out / "record.json")
        tried = min(TRIED, number)
        begun = time.perf_counter()
        read = [one for one, _ in zip(each_given(given), range(tried))]
        own = {"reading": (time.perf_counter() - begun) / tried}
    begun = time.perf_counter()
    for one in read:
        json.dumps(one, ensure_ascii=False)
    own["writing"] = (time.perf_counter() - begun) / tried
    predictor, some = Predictor(), sample[:20]
    predictor(some[:1])
    begun = time.perf_counter()
    predictor(some)
    shipped = (time.perf_counter() - begun) / len(some)
    workers = record["workers"].values()
    label = sum(one["seconds"] for one in workers) / sum(one["conversations"] for one in workers)
    per = {**own, "labelling, random model": label, "labelling, adapters that ship": shipped}
    result = {
        "command": f"python -m benchmarks.speed.many --conversations {number}",
        "revision": revision(),
        "versions": versions(),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "conversations": number,
        "seconds": whole,
        "seconds a conversation": per,
        "workers": record["workers"],
        "calculated": {name: calculated(sum(own.values()), per[name]) for name in per if name not in own},
        "points": points,
    }
    write_json(result, a.result)
    save(figure(result), a.result.with_suffix(".png"))
    print(f"{number:,} conversations in {whole:.0f} s: {a.result}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
