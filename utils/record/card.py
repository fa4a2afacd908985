"""The model card of an adapter: its data and their licence, its scores, and the command that makes it again.

A card is made from what the run recorded (training.json, config.json, metrics.json) and from nothing else.
"""

import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple

from utils.config import Config, load_config
from utils.data.labels import ECF
from utils.record.adapter import other_adapter
from utils.record.stages import TRAINED_BY
from utils.report.tables import results_table
from utils.system.errors import ConfigError, RunError
from utils.system.files import read_json, write_text
from utils.system.places import ROOT

PURPOSE = {
    "emotion": f"names the emotion of every utterance of a conversation, one of {ECF}",
    "cause": "finds, in a conversation whose emotions are known, the utterances that caused each of them",
}
EMBEDDED = {"smollm2-135m-instruct": ("HuggingFaceTB/SmolLM2-135M-Instruct", "Apache-2.0")}


class Data(NamedTuple):
    """Conversations that this repository knows: their name, hub id, and what may be done with them."""

    name: str
    hub: str | None
    licence: str
    terms: str


_ECF = "ECF (Wang et al. 2023) is for research use only, and so are weights that were trained on it."
# By the fingerprint of the training split (utils.runs.fingerprints), as generate_input.py writes it.
KNOWN = {
    "ab2f52e8b9360788": Data("ECF 1.0, its train split of 1,001 conversations", "NUSTM/ECF", "research-use", _ECF),
    "6021333e937e80a6": Data("ECF 1.0, all 1,374 labelled conversations", "NUSTM/ECF", "research-use", _ECF),
    "f86c09517a7a2b5d": Data(
        "102 sample conversations of the repository, invented for it",
        None,
        "mit",
        "The conversations are under the repository's MIT licence.",
    ),
}
UNKNOWN = Data(
    "conversations that the repository does not know",
    None,
    "unknown",
    "**Their licence binds these weights: state it here before you share them.**",
)


def command_of(parameters: dict) -> str:
    """The command of the chain that trains with these parameters: the file of configs/ that comes nearest, and what
    differs from it."""
    best = None
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        try:
            there = Config.of(load_config(path)).as_dict()
        except ConfigError:  # a file that somebody is still writing
            continue
        changes = [
            f" -p {name} {shlex.quote(value if isinstance(value, str) else json.dumps(value))}"
            for name, value in parameters.items()
            if there[name] != value
        ]
        if best is None or len(changes) < len(best[1]):
            best = path.name, changes
    return f"python -m utils.chain configs/{best[0]}{''.join(best[1])}"


def card(adapter, merged: str | None = None) -> str:
    """The model card, as Markdown, of a finished adapter in its run's folder. merged: the form (utils.export.FORMATS)
    in which the model that it was merged into is written.

    Raises RunError for a folder that is no adapter of a run.
    """
    from huggingface_hub import EvalResult, ModelCardData

    adapter = Path(adapter).absolute()
    task, run = adapter.name, adapter.parent.parent
    if task not in TRAINED_BY or not all(p.is_file() for p in (adapter / "training.json", run / "config.json")):
        raise RunError(f"{adapter}: no finished adapter of a run (results_train/RUN/adapters/emotion or cause)")
    record, notebooks = read_json(adapter / "training.json"), read_json(run / "config.json")
    # A run's notebooks share their input; of the parameters each records those that it uses.
    made = notebooks.get(TRAINED_BY[task]) or {**next(iter(notebooks.values())), "parameters": record["parameters"]}
    parameters = made["parameters"]
    if task == "emotion":  # came after some adapters were trained, without
        parameters = {"text_epochs": Config.text_epochs, **parameters}
    config = Config.of({**record["parameters"], **parameters})
    data = KNOWN.get(made["input"].get("train"), UNKNOWN)
    base, base_licence = EMBEDDED.get(config.model, (config.model, None))
    if Path(config.model).is_dir() or not re.fullmatch(r"[\w.-]+/[\w.-]+", base):
        base = None  # a folder of somebody's machine, whose path is nobody's business
        parameters = {**parameters, "model": Path(config.model).name}
    named = base or Path(config.model).name
    title = f"{named.split('/')[-1]}: {task}s in conversations"

    metrics = read_json(run / "metrics.json") if (run / "metrics.json").is_file() else {}
    if other_adapter(notebooks, "2_emotion_inference", run / "adapters" / "emotion"):
        metrics = {}  # of the adapter before
    if other_adapter(notebooks, "4_cause_inference", run / "adapters" / "cause"):
        metrics.pop("pairs", None)
    figures = {}
    if task == "emotion" and "fine-tuned" in metrics.get("emotions", {}):
        found = metrics["emotions"]["fine-tuned"]
        figures = {"accuracy": found["accuracy"], "weighted F1": found["weighted_f1"], "macro F1": found["macro_f1"]}
    if task == "cause" and "**fine-tuned emotions and causes**" in metrics.get("pairs", {}):
        found = metrics["pairs"]["**fine-tuned emotions and causes**"]["scores"]
        figures = {"pairs weighted F1": found["weighted_f1"], "pairs F1": found["f1_pair"]}
    header = ModelCardData(
        language="en",
        license="other" if data.licence in ("research-use", "unknown") else data.licence,
        license_name=data.licence if data.licence in ("research-use", "unknown") else None,
        library_name={None: "peft", "safetensors": "transformers"}.get(merged),
        pipeline_tag="text-classification",
        base_model=base,
        datasets=[data.hub] if data.hub else None,
        tags=["emotion-cause-pair-extraction", "lora"],
        model_name=title if figures and data.hub else None,
        eval_results=[
            EvalResult(
                task_type="text-classification",
                dataset_type=data.hub,
                dataset_name="ECF 1.0",
                dataset_split="test",
                metric_type=name.replace(" ", "_"),
                metric_name=name,
                metric_value=round(value, 4),
            )
            for name, value in figures.items()
        ]
        if figures and data.hub
        else None,
    )
    kind = "A LoRA adapter for" if merged is None else "A LoRA adapter, merged into"
    licence = f", which is {base_licence}" if base_licence else "; its licence holds as well"
    seen = record.get("emotions")
    labels = (
        ""
        if seen is None
        else (
            f" Training saw {sum(seen.values()):,} utterances: "
            f"{', '.join(f'{count:,} {label}' for label, count in seen.items())}."
        )
    )
    if task == "emotion" and config.text_epochs:
        others = " and of the run's unlabelled ones" if "unlabelled" in made["input"] else ""
        labels += (
            f" Before, it read the words of these conversations{others}, without labels "
            f"({config.text_epochs:g} epochs)."
        )
    if record.get("structure"):
        labels += (
            " From the same conversations boosted trees learnt causes by structure alone: speakers, emotions, "
            "distances, lengths and marks (`structure.json`, at revision {revision}, scikit-learn "
            "{scikit-learn}). Its answers are averaged with theirs; the scores are of both."
        ).format(**record["structure"])
    scored = notebooks.get("4_cause_inference", notebooks.get("2_emotion_inference"))
    if "pairs" in metrics:
        scores = results_table(run) + (
            "\n\n*weighted F1* of emotions is over seven classes; *pairs weighted F1* and *pairs F1* are the official "
            "scores of SemEval-2024 Task 3, Subtask 2, on the test split of the same data "
            f"({_count(metrics)}; code at revision {scored['revision']}). The rule: an emotional utterance "
            "is its own cause, and so is the previous utterance where another speaker said it."
        )
    elif figures:
        scores = "\n".join(f"- {name} {value:.3f}" for name, value in figures.items()) + (
            f"\n\nOn the test split of the same data ({_count(metrics)}; code at revision {scored['revision']})."
        )
    else:
        scores = "Not scored yet."
    return f"""---
{header.to_yaml()}
---

# {title}

{kind} `{named}`{licence}. It {PURPOSE[task]}.
It is used by [emotion-cause-pairs]({repository()}), which asks all questions about a conversation in one forward pass.

## Data and licence

Trained on {data.name} (the file's SHA-256 begins {made["input"].get("train", "nowhere")}).{labels}
{data.terms}

## Scores

{scores}

## Use

{USE[merged].format(task=task)}

The labels are guesses about the words of scripted English conversations; do not judge people by them.

## Made by

```bash
{command_of(parameters)}
```

at revision {record["revision"]}, with {", ".join(f"{name} {version}" for name, version in made["versions"].items())}.
"""


def _count(metrics: dict) -> str:
    emotions = metrics.get("emotions", {}).get("fine-tuned", {}).get("per_emotion", {})
    return f"{sum(one['support'] for one in emotions.values()):,} utterances"


_SCORING = "How its questions are put and read stands in `utils/{task}.py` and `utils/inference.py` of the repository."
USE = {
    None: "```bash\n# FOLDER is this one\n"
    "python -m utils.predict CONVERSATIONS.json --out PRED.json --{task}-adapter FOLDER\n```",
    "safetensors": "`AutoModelForCausalLM.from_pretrained(FOLDER)`. " + _SCORING,
    "state_dict": '`model.load_state_dict(torch.load("state_dict.pt", weights_only=True))`, where `model` is '
    "`AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(FOLDER))`. " + _SCORING,
    "gguf": "With llama.cpp, as `utils.export.load_gguf` and `gguf_scores` do. " + _SCORING,
}


def repository() -> str:
    """The repository's public address (pyproject.toml)."""
    return re.search(r'Repository = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))[1]


def write_cards(run):
    """Write README.md for each finished adapter of the run in this folder of results_train; their paths."""
    adapters = [Path(run) / "adapters" / task for task in TRAINED_BY]
    finished = [adapter for adapter in adapters if (adapter / "training.json").is_file()]
    for adapter in finished:
        write_text(card(adapter), adapter / "README.md")
    return [adapter / "README.md" for adapter in finished]
