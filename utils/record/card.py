"""The model card of an adapter: its data and their licence, its scores, and the command that makes it again.

A card is made from what the run recorded (training.json, config.json, metrics.json) and from nothing else.
"""

import contextlib
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from utils.config import Config, check_names, load_config
from utils.data.labels import ECF
from utils.models.adapting import TITLES, adapter_method
from utils.models.hub import hub_id
from utils.record.adapter import other_adapter
from utils.record.card_use import use
from utils.record.provenance import read_records
from utils.record.stages import LABELLED_BY, TRAINED_BY
from utils.report.scores import RESULT, read_scores
from utils.report.tables import results_table
from utils.system import places
from utils.system.errors import ConfigError, RunError
from utils.system.files import intact, read_object, write_text
from utils.system.places import ROOT


@dataclass(frozen=True)
class TaskCard:
    """What the card of a task's adapter says beside the run's records.

    purpose      what the adapter does
    scores       where its scores are in metrics.json: keys, one in the other
    figures      {as the card calls it: its key there}
    about        what the example asks (utils/record/card_use.py), and what the repository does with such answers
    reads_text   whether epochs over the text alone come first (text_epochs)
    """

    purpose: str
    scores: tuple[str, ...]
    figures: dict[str, str]
    about: str
    reads_text: bool = False


TASK_CARDS = {
    "emotion": TaskCard(
        f"names the emotion of every utterance of a conversation, one of {ECF}",
        ("emotions", "fine-tuned"),
        {"accuracy": "accuracy", "weighted F1": "weighted_f1", "macro F1": "macro_f1"},
        "Asked is the emotion of the second utterance. Before the repository chooses, it subtracts a part of each "
        "label's log frequency (`logit_adjustment`).",
        reads_text=True,
    ),
    "cause": TaskCard(
        "finds, in a conversation whose emotions are known, the utterances that caused each of them",
        ("pairs", RESULT, "scores"),
        {"pairs weighted F1": "weighted_f1", "pairs F1": "f1_pair"},
        "Asked is whether utterance 1 caused the emotion of utterance 2. The repository averages the log-odds of yes "
        "with those of the boosted trees.",
    ),
}
TEMPLATE = Path(__file__).with_name("card_template.md")
SCORED_BY = {task: LABELLED_BY[task] for task in TASK_CARDS}
LICENCES = {"HuggingFaceTB/SmolLM2-135M-Instruct": "Apache-2.0"}  # of base models, by hub id


class Data(NamedTuple):
    """Conversations that this repository knows: their name, hub id, and what may be done with them."""

    name: str
    hub: str | None
    licence: str
    terms: str


_ECF = "ECF (Wang et al. 2023) is for research use only, and so are weights that were trained on it."
# By the fingerprint of the training split (utils/record/provenance.py), as generate_input.py writes it.
_SAMPLE = Data(
    "102 sample conversations of the repository, invented for it",
    None,
    "mit",
    "The conversations are under the repository's MIT licence.",
)
KNOWN = {
    "ab2f52e8b9360788": Data("ECF 1.0, its train split of 1,001 conversations", "NUSTM/ECF", "research-use", _ECF),
    "6021333e937e80a6": Data("ECF 1.0, all 1,374 labelled conversations", "NUSTM/ECF", "research-use", _ECF),
    "24da46d5479c8575": _SAMPLE,
    "35fc7a3913001582": _SAMPLE,  # with names of videos, as earlier revisions wrote it
}
UNKNOWN = Data(
    "conversations that the repository does not know",
    None,
    "unknown",
    "**Their licence binds these weights: state it here before you share them.**",
)


def command_of(parameters: dict) -> str:
    """The command of the chain that trains with these parameters: the file of configs/ that comes nearest, and what
    differs from it. Raises RunError where no file can be read."""
    commands = {}
    for file, there in _configs().items():
        commands[file] = [
            f" -p {name} {shlex.quote(value if isinstance(value, str) else json.dumps(value))}"
            for name, value in parameters.items()
            if there[name] != value
        ]
    if not commands:
        raise RunError(f"{ROOT / 'configs'} holds no file of parameters: a card names one")
    best = min(commands, key=lambda file: len(commands[file]))
    return f"python -m utils.chain configs/{best}{''.join(commands[best])}"


def _configs() -> dict[str, dict]:
    """{name: parameters} of the files in configs/, without those that somebody is still writing."""
    found = {}
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        with contextlib.suppress(ConfigError):
            found[path.name] = Config.of(load_config(path)).as_dict()
    return found


@dataclass(frozen=True)
class CardFacts:
    """What a run recorded about an adapter.

    base         the base model's hub id; None for a folder of somebody's machine
    named        the base model as the card calls it, without a path
    fingerprint  of the training split
    seen         {label: how often training saw it}; None for an adapter that does not record it
    text_epochs  epochs over the text alone, which came first
    unlabelled   whether unlabelled conversations were there for them
    structure    the record of the boosted trees beside the adapter, or None
    figures      {name: score} of this adapter, {} without scores
    table        the run's scores as Markdown, or None before notebook 4
    utterances   how many the scores are of
    scored_at    the code's revision that scored, or None
    config       what the task was asked with
    parameters   what the command that trains it again names
    """

    task: str
    base: str | None
    named: str
    base_licence: str | None
    data: Data
    fingerprint: str
    seen: dict[str, int] | None
    text_epochs: float
    unlabelled: bool
    structure: dict | None
    figures: dict[str, float]
    table: str | None
    utterances: int
    scored_at: str | None
    config: Config
    parameters: dict
    revision: str
    versions: dict[str, str]


def facts(adapter) -> CardFacts:
    """The facts for the card of the finished adapter in this folder of a run.

    Raises RunError for a folder that is no adapter of a run, and for records that lack what a card says.
    """
    adapter = Path(adapter).absolute()
    task, run = adapter.name, adapter.parent.parent
    if task not in TASK_CARDS or not all(p.is_file() for p in (adapter / "training.json", run / "config.json")):
        raise RunError(f"{adapter}: no finished adapter of a run (results_train/RUN/adapters/emotion or cause)")
    of = f"{adapter}/training.json, or config.json or metrics.json in {run}"
    try:
        with intact(of, "Restore the file, or run the notebooks again"):
            return _facts(task, run, read_object(adapter / "training.json"), read_records(run))
    except ConfigError as error:
        raise RunError(f"{of}: {error}. Restore the file, or run the notebooks again") from error


def _facts(task: str, run: Path, record: dict, notebooks: dict) -> CardFacts:
    # A run's notebooks share their input; of the parameters each records those that it uses.
    made = notebooks.get(TRAINED_BY[task]) or {**[*notebooks.values()][0], "parameters": record["parameters"]}
    parameters = {"text_epochs": Config.text_epochs} if TASK_CARDS[task].reads_text else {}  # absent in old records
    parameters |= made["parameters"]
    check_names(parameters, TRAINED_BY[task])
    config = Config.of({**record["parameters"], **parameters})
    base = hub_id(config.model)
    base_licence = LICENCES.get(base)
    if Path(config.model).is_dir() or not re.fullmatch(r"[\w.-]+/[\w.-]+", base):
        base = None  # a folder of somebody's machine, whose path is nobody's business
        parameters = {**parameters, "model": plain(config.model)}
    if config.input_dir not in {Config.input_dir, *(there["input_dir"] for there in _configs().values())}:
        parameters = {**parameters, "input_dir": "INPUT"}
    metrics = _current_metrics(run, notebooks)
    scored = notebooks.get(SCORED_BY["cause"], notebooks.get(SCORED_BY["emotion"], {}))
    scores = metrics.get("emotions", {}).get("fine-tuned", {}).get("per_emotion", {})
    seen, structure, figures = record.get("emotions"), record.get("structure"), _figures(task, metrics)
    table = results_table(run) if "pairs" in metrics else None
    return CardFacts(
        task=task,
        base=base,
        named=base or plain(config.model),
        base_licence=base_licence,
        data=KNOWN.get(made["input"].get("train"), UNKNOWN),
        fingerprint=plain(made["input"].get("train") or "nowhere"),
        seen=None if seen is None else {label: int(count) for label, count in seen.items()},
        text_epochs=config.text_epochs if TASK_CARDS[task].reads_text else 0.0,
        unlabelled="unlabelled" in made["input"],
        structure={name: plain(structure[name]) for name in ("revision", "scikit-learn")} if structure else None,
        figures=figures,
        table=table,
        utterances=sum(one["support"] for one in scores.values()),
        scored_at=plain(scored["revision"]) if table or figures else None,
        config=config,
        parameters=parameters,
        revision=plain(record["revision"]),
        versions={plain(name): plain(version) for name, version in made["versions"].items()},
    )


def plain(name: str) -> str:
    """A name as a card shows it: the last part of a path, and "_" for what Markdown or YAML could take for its own.
    Raises TypeError for what is no text."""
    return re.sub(r"[^\w.+ -]", "_", re.split(r"[\\/]", name.rstrip("\\/"))[-1]).strip()[:100] or "unnamed"


def _current_metrics(run: Path, notebooks: dict) -> dict:
    """The run's metrics.json, without scores of adapters that were trained again since."""
    metrics = read_scores(run)
    if other_adapter(notebooks, SCORED_BY["emotion"], run / "adapters" / "emotion"):
        return {}
    if other_adapter(notebooks, SCORED_BY["cause"], run / "adapters" / "cause"):
        metrics.pop("pairs", None)
    return metrics


def _figures(task: str, metrics: dict) -> dict[str, float]:
    """{name: score} of the task's adapter; {} where it was not scored."""
    found = metrics
    for key in TASK_CARDS[task].scores:
        if key not in found:
            return {}
        found = found[key]
    return {name: float(found[key]) for name, key in TASK_CARDS[task].figures.items()}


def card(adapter, merged: str | None = None) -> str:
    """The model card, as Markdown, of a finished adapter in its run's folder. merged: the form (utils.export.FORMATS)
    in which the model that it was merged into is written.

    Raises RunError as `facts` does.
    """
    known = facts(adapter)
    title = f"{known.named.split('/')[-1]}: {known.task}s in conversations"
    return TEMPLATE.read_text(encoding="utf-8").format(
        header=_header(known, title, merged),
        title=title,
        kind=TITLES[adapter_method(known.config)] + (" for" if merged is None else ", merged into"),
        base=known.named,
        licence=f", which is {known.base_licence}" if known.base_licence else "; its licence holds as well",
        purpose=TASK_CARDS[known.task].purpose,
        repository=places.mention(places.address()),
        data=known.data.name,
        fingerprint=known.fingerprint,
        learning=_learning(known),
        terms=known.data.terms,
        scores=_scores(known),
        use=use(known.task, known.config, merged, TASK_CARDS[known.task].about),
        command=command_of(known.parameters),
        revision=known.revision,
        versions=", ".join(f"{name} {version}" for name, version in known.versions.items()),
    )


def _header(known: CardFacts, title: str, merged: str | None) -> str:
    """The card's YAML, as the hub reads it."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type=known.data.hub,
            dataset_name="ECF 1.0",
            dataset_split="test",
            metric_type=name.replace(" ", "_"),
            metric_name=name,
            metric_value=round(value, 4),
        )
        for name, value in known.figures.items()
        if known.data.hub
    ]
    named = known.data.licence in ("research-use", "unknown")  # no licence that the hub knows
    return ModelCardData(
        language="en",
        license="other" if named else known.data.licence,
        license_name=known.data.licence if named else None,
        library_name={None: "peft", "safetensors": "transformers"}.get(merged),
        pipeline_tag="text-classification",
        base_model=known.base,
        datasets=[known.data.hub] if known.data.hub else None,
        tags=["emotion-cause-pair-extraction", adapter_method(known.config)],
        model_name=title if results else None,
        eval_results=results or None,
    ).to_yaml()


def _learning(known: CardFacts) -> str:
    """What training saw, in sentences that follow on the data's name."""
    text = ""
    if known.seen is not None:
        counts = ", ".join(f"{count:,} {label}" for label, count in known.seen.items())
        text += f" Training saw {sum(known.seen.values()):,} utterances: {counts}."
    if known.text_epochs:
        others = " and of the run's unlabelled ones" if known.unlabelled else ""
        text += (
            f" Before, it read the words of these conversations{others}, without labels ({known.text_epochs:g} epochs)."
        )
    if known.structure:
        text += (
            " From the same conversations boosted trees learnt causes by structure alone: speakers, emotions, "
            "distances, lengths and marks (`structure.json`, at revision {revision}, scikit-learn "
            "{scikit-learn}). Its answers are averaged with theirs; the scores are of both."
        ).format(**known.structure)
    return text


def _scores(known: CardFacts) -> str:
    """The run's table of scores, or the adapter's own figures, and what they are of."""
    of = f"({known.utterances:,} utterances; code at revision {known.scored_at})"
    if known.table:
        return known.table + (
            "\n\n*weighted F1* of emotions is over seven classes; *pairs weighted F1* and *pairs F1* are the official "
            f"scores of SemEval-2024 Task 3, Subtask 2, on the test split of the same data {of}. The rule: an "
            "emotional utterance is its own cause, and so is the previous utterance where another speaker said it."
        )
    if known.figures:
        figures = "\n".join(f"- {name} {value:.3f}" for name, value in known.figures.items())
        return f"{figures}\n\nOn the test split of the same data {of}."
    return "Not scored yet."


def write_cards(run):
    """Write README.md for each finished adapter of the run in this folder of results_train; their paths."""
    finished = [one for task in TASK_CARDS if ((one := Path(run) / "adapters" / task) / "training.json").is_file()]
    for adapter in finished:
        write_text(card(adapter), adapter / "README.md")
    return [adapter / "README.md" for adapter in finished]
