"""The model card of an adapter: its data and their licence, its scores, and the command that makes it again.

A card is made from what the run recorded (training.json, config.json, metrics.json) and from nothing else.
"""

import contextlib
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from utils.config import Config, check_names, load_config
from utils.models.adapting import TITLES, adapter_method
from utils.models.hub import hub_id
from utils.record.adapter import other_adapter
from utils.record.card_tasks import KNOWN, TASK_CARDS, UNKNOWN, Data, TaskCard
from utils.record.card_use import use
from utils.record.provenance import read_records
from utils.record.stages import LABELLED_BY, TRAINED_BY, chain_with
from utils.report.scores import read_scores
from utils.report.tables import results_table
from utils.system import places
from utils.system.errors import ConfigError, RunError
from utils.system.files import intact, read_object, write_text
from utils.system.places import ROOT
from utils.tasks.task import Task

TEMPLATE = Path(__file__).with_name("card_template.md")
LICENCES = {"HuggingFaceTB/SmolLM2-135M-Instruct": "Apache-2.0"}  # of base models, by hub id


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

    asked        the task as it was trained
    base         the base model's hub id; None for a folder of somebody's machine
    named        the base model as the card calls it, without a path
    fingerprint  of the training split
    seen         {label: how often training saw it}; None for an adapter that does not record it
    text_epochs  epochs over the text alone, which came first
    unlabelled   whether unlabelled conversations were there for them
    structure    the record of the boosted trees beside the adapter, or None
    figures      {name: score} of this adapter, {} without scores
    table        the run's scores as Markdown, or None before the chain's last notebook
    scored       how many utterances, texts or examples the scores are of
    scored_at    the code's revision that scored, or None
    encoder      the run whose encoder answered beside the adapter when it was scored; "": none
    config       what the task was asked with
    parameters   what the command that trains it again names
    """

    task: str
    asked: Task
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
    scored: int
    scored_at: str | None
    encoder: str
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
        raise RunError(
            f"{adapter}: no finished adapter of a run. Give results_train/RUN/adapters/TASK, where TASK is one of "
            f"{', '.join(TASK_CARDS)}"
        )
    of = f"{adapter}/training.json, or config.json or metrics.json in {run}"
    try:
        with intact(of, "Restore the file, or run the notebooks again"):
            return _facts(adapter, run, read_object(adapter / "training.json"), read_records(run))
    except ConfigError as error:
        raise RunError(f"{of}: {error}. Restore the file, or run the notebooks again") from error


def _facts(adapter: Path, run: Path, record: dict, notebooks: dict) -> CardFacts:
    task, of = adapter.name, TASK_CARDS[adapter.name]
    # A run's notebooks share their input; of the parameters each records those that it uses.
    made = notebooks.get(TRAINED_BY[task]) or {**[*notebooks.values()][0], "parameters": record["parameters"]}
    parameters = {"text_epochs": Config.text_epochs} if of.reads_text else {}  # absent in old records
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
    chain = [one.notebook for one in reversed(chain_with(TRAINED_BY[task])) if one.writes == "labels"]
    scored = next((notebooks[name] for name in chain if name in notebooks), {})
    utterances = metrics.get("emotions", {}).get("fine-tuned", {}).get("per_emotion", {}).values()
    seen, structure, figures = record.get(of.recorded), record.get("structure"), _figures(of, metrics)
    table = results_table(run) if of.sections[-1] in metrics else None
    return CardFacts(
        task=task,
        asked=of.asked(adapter, config),
        base=base,
        named=base or plain(config.model),
        base_licence=base_licence,
        data=KNOWN.get(made["input"].get("train"), UNKNOWN),
        fingerprint=plain(made["input"].get("train") or "nowhere"),
        seen=None if seen is None else {label: int(count) for label, count in seen.items()},
        text_epochs=config.text_epochs if of.reads_text else 0.0,
        unlabelled="unlabelled" in made["input"],
        structure={name: plain(structure[name]) for name in ("revision", "scikit-learn")} if structure else None,
        figures=figures,
        table=table,
        scored=int(metrics.get(of.scored, sum(one["support"] for one in utterances))),
        scored_at=plain(scored["revision"]) if table or figures else None,
        encoder=plain(beside) if (beside := scored.get("parameters", {}).get("encoder")) else "",
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
    for task, of in TASK_CARDS.items():
        if other_adapter(notebooks, LABELLED_BY[task], run / "adapters" / task):
            for section in of.sections:
                metrics.pop(section, None)
    return metrics


def _figures(of: TaskCard, metrics: dict) -> dict[str, float]:
    """{name: score} of the task's adapter; {} where it was not scored."""
    found = metrics
    for key in of.figures_at:
        if key not in found:
            return {}
        found = found[key]
    return {name: float(value) for name, value in of.figures(found).items() if value is not None}


def card(adapter, merged: str | None = None) -> str:
    """The model card, as Markdown, of a finished adapter in its run's folder. merged: the form (utils.export.FORMATS)
    in which the model that it was merged into is written.

    Raises RunError as `facts` does.
    """
    known = facts(adapter)
    of = TASK_CARDS[known.task]
    title = f"{known.named.split('/')[-1]}: {of.title}"
    return TEMPLATE.read_text(encoding="utf-8").format(
        header=_header(known, title, merged),
        title=title,
        kind=TITLES[adapter_method(known.config)] + (" for" if merged is None else ", merged into"),
        base=known.named,
        licence=f", which is {known.base_licence}" if known.base_licence else "; its licence holds as well",
        purpose=of.purpose.format(labels=known.asked.labels),
        habit=of.habit,
        repository=places.mention(places.address()),
        data=known.data.name,
        fingerprint=known.fingerprint,
        learning=_learning(known),
        terms=known.data.terms,
        scores=_scores(known),
        use=use(known.asked.name, of.door, of.example(known.asked, known.config, merged), of.about, merged is None),
        caution=of.caution,
        command=command_of(known.parameters),
        revision=known.revision,
        versions=", ".join(f"{name} {version}" for name, version in known.versions.items()),
    )


def _header(known: CardFacts, title: str, merged: str | None) -> str:
    """The card's YAML, as the hub reads it."""
    from huggingface_hub import EvalResult, ModelCardData

    of = TASK_CARDS[known.task]
    results = [
        EvalResult(
            task_type=of.kind,
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
        language=of.language,
        license="other" if named else known.data.licence,
        license_name=known.data.licence if named else None,
        library_name={None: "peft", "safetensors": "transformers"}.get(merged),
        pipeline_tag=of.kind,
        base_model=known.base,
        datasets=[known.data.hub] if known.data.hub else None,
        tags=[of.tag, adapter_method(known.config)],
        model_name=title if results else None,
        eval_results=results or None,
    ).to_yaml()


def _learning(known: CardFacts) -> str:
    """What training saw, in sentences that follow on the data's name."""
    text = ""
    if known.seen is not None:
        counts = ", ".join(f"{count:,} {label}" for label, count in known.seen.items())
        several = f": {counts}" if len(known.seen) > 1 else ""
        text += f" Training saw {sum(known.seen.values()):,} {TASK_CARDS[known.task].seen}{several}."
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
    of = TASK_CARDS[known.task]
    what = f"({known.scored:,} {of.scored}; code at revision {known.scored_at})"
    beside = f" Its answers were averaged with those of the encoder {known.encoder}." if known.encoder else ""
    if known.table:
        return f"{known.table}\n\n{of.remark.format(of=what)}{beside}"
    if known.figures:
        figures = "\n".join(f"- {name} {value:.3f}" for name, value in known.figures.items())
        return f"{figures}\n\nOn the test split of the same data {what}.{beside}"
    return "Not scored yet."


def write_cards(run):
    """Write README.md for each finished adapter of the run in this folder of results_train; their paths."""
    finished = [one for task in TASK_CARDS if ((one := Path(run) / "adapters" / task) / "training.json").is_file()]
    for adapter in finished:
        write_text(card(adapter), adapter / "README.md")
    return [adapter / "README.md" for adapter in finished]
