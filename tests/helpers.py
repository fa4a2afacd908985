"""What several tests build with: conversations, adapters of the tiny model, copies of the repository, processes.

    from helpers import FIVE, conversation, with_adapter

No test imports another one. Fixtures are in conftest.py, the hand-written form of the trees in one_sequence.py.
torch, peft and transformers are imported inside the functions that need them: most tests need none of them.
"""

import copy
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from utils.data.conversations import pairs, with_emotions, with_pairs, without_labels
from utils.data.labels import ECF
from utils.system.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
CODE = ("utils", "notebooks", "configs", "data", "generate_input.py", "pyproject.toml", "requirements.txt")
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>")  # the tiny tokenizer's
SECRET = "hf_secretOfNobody"  # the HF_TOKEN of `run_in`


# ---- random inputs ------------------------------------------------------------------------------------------------

# How much a test of random inputs tries: `amount` times what takes a second or two.
amounts = pytest.mark.parametrize("amount", [1, pytest.param(20, marks=pytest.mark.soak)], ids=["quick", "soak"])


def try_all(count, check, *strategies):
    """Runs `check` on `count` values of hypothesis's strategies, the same ones every time."""
    repeatable = settings(
        max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    repeatable(given(*strategies)(check))()


ODD_VALUES = (
    None, True, False, 0, -1, 1.5, 10**30, 10**400, 1e308, "", "x", " 1 ", "\u202e", "9" * 5000, "../x", [], {}, [[]],
    {"a": {}}, [1, "x"], [None], [[0, 99]], {"1": {"1": 2}},
)  # fmt: skip


def damaged(data, random):
    """A file of JSON as bytes, whose `data` is damaged in one to three places, or whose bytes are."""
    root = [json.loads(json.dumps(data))]
    for _ in range(random.randint(1, 3)):
        outer, key = root, 0
        while random.random() < 0.8 and isinstance(outer[key], (dict, list)) and outer[key]:
            outer = outer[key]
            key = random.choice([*outer] if isinstance(outer, dict) else range(len(outer)))
        change = random.random()
        if change < 0.75 or isinstance(outer, list):
            outer[key] = copy.deepcopy(random.choice(ODD_VALUES))
        elif change < 0.9:
            del outer[key]
        else:
            outer[f"{key}x"] = copy.deepcopy(random.choice(ODD_VALUES))
    content = json.dumps(root[0], ensure_ascii=False).encode("utf-8", "replace")
    if random.random() < 0.25:
        place = random.randrange(max(1, len(content)))
        content = random.choice(
            [content[:place], content[place:], content[:place] + bytes([random.randrange(256)]) + content[place + 1 :]]
        )
    return b"[" * 100_000 if random.random() < 0.02 else content


# ---- conversations ------------------------------------------------------------------------------------------------


def conversation(texts, emotions=None, speakers="ABC"):
    """A conversation of these texts, labelled where `emotions` are given; speakers take turns."""
    utterances = [
        {
            "utterance_ID": i,
            "text": text,
            "speaker": speakers[i % len(speakers)],
            "video_caption": f"seen {i}",
        }
        for i, text in enumerate(texts, 1)
    ]
    plain = {"conversation_ID": 5, "conversation": utterances, "note": "kept"}
    return with_emotions(plain, emotions) if emotions else plain


FIVE = conversation(["a", "b", "c", "d", "e"], ["joy", "neutral", "anger", "fear", "neutral"], speakers="AAB")


def labelled_conversation(number=1, emotions=("neutral", "joy", "anger"), pairs=(("2_joy", "1"), ("3_anger", "3"))):
    """A labelled conversation with a field of its own at every level."""
    return {
        "conversation_ID": number,
        "season": 3,
        "conversation": [
            {"utterance_ID": i, "text": f"{i} né", "speaker": "A", "emotion": label, "video_caption": [i]}
            for i, label in enumerate(emotions, 1)
        ],
        "emotion-cause_pairs": [list(pair) for pair in pairs],
    }


SMALL_VOTES = {"joy": 3, "surprise": 2}


def with_votes(conversation):
    """Five votes for each of its utterances but the second, in turn one label, two (of which one has a single vote, so
    that it is not among several) and three; several begin alike."""
    given = ({"joy": 5}, {}, {"sadness": 4, "surprise": 1}, {"surprise": 2, "sadness": 2, "neutral": 1}, SMALL_VOTES)
    utterances = [{**u, "votes": votes} if votes else u for u, votes in zip(conversation["conversation"], given)]
    return {**conversation, "conversation": utterances}


def beginning(conversation, length):
    """The first `length` utterances of a conversation, with the pairs among them."""
    kept = [
        pair for pair in conversation["emotion-cause_pairs"] if max(int(pair[0].split("_")[0]), int(pair[1])) <= length
    ]
    return {
        **conversation,
        "conversation": conversation["conversation"][:length],
        "emotion-cause_pairs": kept,
    }


def tables_of(conversations, labels=ECF):
    """(emotion probabilities, cause probabilities) that give these conversations' emotions and pairs, all of them 1."""
    emotions = [[[float(u["emotion"] == label) for label in labels] for u in c["conversation"]] for c in conversations]
    causes = [{} for _ in conversations]
    for c, table in zip(conversations, causes):
        for number, _, cause in pairs(c):
            table.setdefault(number, {})[cause] = 1.0
    return emotions, causes


class CalmPredictor:
    """In place of utils.predict.Predictor: no model is loaded, every utterance is neutral."""

    labels, tasks = ECF, ("emotion", "cause")

    def __init__(self, *arguments, **options):
        pass

    def __call__(self, conversations, journal=None):
        labelled = [with_pairs(with_emotions(c, ["neutral"] * len(c["conversation"])), []) for c in conversations]
        return labelled, *tables_of(labelled)


# ---- models and adapters ------------------------------------------------------------------------------------------


def small_adapter(model, folder, method="lora"):
    """`model`, which is in `folder`, with a small fresh adapter by one of the methods."""
    from utils.models.adapters import add_adapter

    lora = {"r": 4, "alpha": 8, "dropout": 0.0, "targets": "all-linear"}
    settings = {
        "lora": lora,
        "dora": lora,
        "ia3": {},
        "prompt_tuning": {"tokens": 5, "text": "What is felt here?", "tokenizer": folder},
        "llama_adapter": {"tokens": 3, "layers": 0},
    }
    return add_adapter(model, method, **settings[method])


def with_lora(model, zero=False):
    """`model` with a small adapter; its output weights are random unless `zero`, as after a training that did
    nothing."""
    import torch

    from utils.models.adapters import add_lora

    torch.manual_seed(0)
    model = add_lora(model, r=4, alpha=8, dropout=0.0, targets="all-linear")
    for name, parameter in model.named_parameters():
        if "lora_B" in name and not zero:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def randomize(model, seed=0, std=0.1):
    """Random weights for a fresh adapter. LoRA's output side, which starts at zero, would give its input side no
    gradient; what another method learns is moved a little from where it starts."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * std)
        elif any(part in name for part in ("lora_magnitude", "ia3_l", "prompt_encoder", "adaption_")):
            parameter.data += (torch.randn(parameter.shape, generator=generator) * std).to(parameter)
    return model


def with_adapter(folder, quantization="none", seed=0, std=0.1, method="lora"):
    """The model in `folder` with a small random adapter, in float32."""
    import torch

    from utils.models.load import load_model

    model, _ = load_model(folder, quantization=quantization, precision="float32")
    torch.manual_seed(seed)
    return randomize(small_adapter(model, folder, method), seed, std)


def middle_threshold(emotion_adapter, cause_adapter, conversations):
    """A cause_threshold for the cause adapter in the widest gap of the middle fifth of all P(emotion) x P(cause). It is
    written into the adapter's record."""
    from utils.predict import Predictor

    _, tables, causes = Predictor(emotion_adapter, cause_adapter)(conversations)
    products = sorted(
        p * max(table[i - 1]) for table, found in zip(tables, causes) for i, row in found.items() for p in row.values()
    )
    middle = products[2 * len(products) // 5 : 3 * len(products) // 5]
    _, low, high = max((high - low, low, high) for low, high in zip(middle, middle[1:]))
    record = read_json(cause_adapter / "training.json")
    record["parameters"]["cause_threshold"] = (low + high) / 2
    write_json(record, cause_adapter / "training.json")
    return record["parameters"]["cause_threshold"]


def read_gguf(path):
    """The model and tokenizer that transformers, which has a reader of its own, finds in a GGUF file."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    model = AutoModelForCausalLM.from_pretrained(**name, dtype=torch.float32, attn_implementation="sdpa")
    return model.eval(), AutoTokenizer.from_pretrained(**name)


def small_memory(model, tokens, error=None, backward=False):
    """`model` raises `error` (None: torch's OutOfMemoryError) for more than `tokens` tokens in a forward pass; or in
    the middle of the backward one. Returns the numbers of tokens that it was given."""
    import torch

    error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    seen = []

    def fail(*anything):
        raise error

    def before(module, arguments, given):
        seen.append(given["input_ids"].numel())
        if seen[-1] > tokens and not backward:
            fail()

    def inside(module, arguments, output):
        hidden = output[0] if isinstance(output, tuple) else output
        if seen[-1] > tokens and hidden.requires_grad:
            hidden.register_hook(fail)  # the layers above have their gradients by then

    model.register_forward_pre_hook(before, with_kwargs=True)
    if backward:
        next(m for n, m in model.named_modules() if n.endswith("layers.0")).register_forward_hook(inside)
    return seen


@contextmanager
def stopped_training(saves):
    """A training inside is interrupted right behind its checkpoint number `saves`."""
    from transformers import Trainer, TrainerCallback

    class Stop(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            seen.append(1)
            if len(seen) == saves:
                raise KeyboardInterrupt

    def started(self, *args, **kwargs):
        start(self, *args, **kwargs)
        self.add_callback(Stop())

    seen, start = [], Trainer.__init__
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "__init__", started)
        yield


# ---- commands, processes, copies of the repository ----------------------------------------------------------------


def shipped(*patterns):
    """The files of the repository that match, of those that ship: not a person's own runs beside them. Without git, as
    in an archive of the repository, all that match."""
    command = ["git", "ls-files", "-z", "--", *(f":(glob){pattern}" for pattern in patterns)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    if done.returncode:
        return sorted(path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file())
    return sorted(path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file())


def files(folder):
    """{relative path: bytes} of every file in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def called(main, *arguments):
    """(status, what it says on stderr) of a command in this process. A traceback would fail the test."""
    err = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, err.getvalue()


def heeds_ctrl_c():
    """preexec_fn of a child that is to end by SIGINT. A child of a background shell inherits an ignored SIGINT, and
    would never end. Not for Windows."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Runs a module's command; at the given call of the given function the process gets a SIGINT, as from Ctrl-C.
INTERRUPTED = """
import importlib, os, runpy, signal, sys
where, name, calls, script, *arguments = sys.argv[1:]
module, left = importlib.import_module(where), [int(calls)]
function = getattr(module, name)

def counted(*args, **kwargs):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGINT)
    return function(*args, **kwargs)

setattr(module, name, counted)
sys.argv = [script, *arguments]
runpy.run_module(script, run_name="__main__", alter_sys=True)
"""


def interrupted(where, name, calls, script, *arguments, root=ROOT):
    """The finished process of `python -m script arguments`, which gets a SIGINT at call `calls` of where.name."""
    command = [sys.executable, "-c", INTERRUPTED, where, name, calls, script, *arguments]
    return subprocess.run(
        [str(word) for word in command],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=heeds_ctrl_c,
    )


def run_in(folder, *command, timeout=900):
    """The finished process of `python command` in a copy of the repository."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "IPYTHONDIR": str(folder / ".ipython"), "HF_TOKEN": SECRET}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@contextmanager
def served_page(*arguments):
    """Address of the page, served by the command that a user gives, `python -m utils.demo arguments`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "utils.demo", *map(str, arguments), "--port", str(port)]
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + 300
    try:
        while True:
            try:
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=20).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < end, process.stderr.read()
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)


def copy_code(folder, parts=CODE):
    """Copies `parts` of the repository into a folder."""
    for part in parts:
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)


# The notebooks' own cells, all four in one process: a kernel for each would only add waiting.
CHAIN = """
import json, sys
from pathlib import Path
import matplotlib
matplotlib.use("agg")
given = json.loads(sys.argv[1])
for path in sorted(Path("notebooks").glob("[1-9]*.ipynb")):
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
    folder.mkdir(parents=True, exist_ok=True)
    copy_code(folder, [part for part in CODE if part != "data"])
    for split in ("train", "val", "test"):
        write_json(conversations, folder / "input" / split / "conversations.json")
    write_json([without_labels(c) for c in conversations], folder / "input" / "unlabelled" / "conversations.json")
    return folder


def start(repository, parameters):
    """The process that runs the four notebooks of `repository` with these parameters; it writes into chain.log."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-c", CHAIN, json.dumps(parameters)]
    with (repository / "chain.log").open("a") as log:
        return subprocess.Popen(command, cwd=repository, env=environment, stdout=log, stderr=log)


def outcome(repository):
    """The bytes of everything that a run leaves, but pictures; of the trainer's log the losses, not the times,
    and of the scores not when they were made."""
    found = {}
    for folder in ("results_train", "results_test"):
        for path in sorted((repository / folder).rglob("*")):
            if path.name == "training.json":
                record = json.loads(path.read_text())
                losses = [(one.get("step"), one.get("loss"), one.get("eval_loss")) for one in record["history"]]
                found[str(path.relative_to(repository))] = record["parameters"], losses
            elif path.name == "metrics.json":
                found[str(path.relative_to(repository))] = {**json.loads(path.read_text()), "made": None}
            elif path.suffix in (".json", ".jsonl", ".safetensors"):
                found[str(path.relative_to(repository))] = path.read_bytes()
    return found


# ---- trees, small models, texts that a model is to generate, what a trainer is given ------------------------------


def nodes(root):
    """Every node of a tree, depth first."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.children)


def questions(root):
    """Every question of a tree, depth first."""
    return [node.question for node in nodes(root) if node.question]


# A model's configuration, for transformers' AutoConfig.for_model
SMALL = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
}


def saying(tokenizer, texts):
    """In place of a model's `generate`: it writes these texts, one behind each prompt, in the prompts' order."""
    import torch

    def generate(**given):
        some = [next(left) for _ in given["input_ids"]]
        written = tokenizer(some, return_tensors="pt", padding=True).input_ids
        return torch.cat([given["input_ids"], written], dim=1)

    left = iter(texts)
    return generate


def trained_on(tokenizer, examples, recipe):
    """The sequences of tokens that `train` gives to its trainer for these examples; nothing is trained."""
    import torch

    from utils.engine import trainer
    from utils.engine.settings import TrainingSettings

    class Given(Exception):
        pass

    def started(self, *, train_dataset, **given):
        raise Given(list(train_dataset["input_ids"]))

    model = torch.nn.Linear(1, 1)
    model.device = torch.device("cpu")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Given) as found:
        patch.setattr(trainer.PatientTrainer, "__init__", started)
        trainer.train(model, tokenizer, examples, TrainingSettings(learning_rate=1e-3), "unused", recipe=recipe)
    return found.value.args[0]


@contextmanager
def full_disk(room):
    """No file can grow above `room` bytes."""
    import resource  # Unix alone has it

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
