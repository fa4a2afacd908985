"""Several runs, labelling as one system: adapters whose probabilities are averaged, encoders, and both together."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from utils.config import Config
from utils.data.conversations import Conversation
from utils.data.labels import ECF, LabelSet
from utils.models.adapting import adapter_method
from utils.record.adapter import trained_with
from utils.record.predictions import System
from utils.system.errors import ModelError, RunError
from utils.tasks import cause_structure, emotion
from utils.tasks.ask import search_all
from utils.tasks.cause import Cause
from utils.tasks.combine import MeanStructure, Recorded, averaged, mixed, unadjusted
from utils.tasks.emotion import Emotion
from utils.tasks.senses import senses_of
from utils.tasks.task import Beside, check_labels, with_encoder

# ---- runs with adapters ----------------------------------------------------------------------------------------


def adapters_of(runs: dict[str, Path]) -> dict[str, dict[str, Path]]:
    """{"emotion" or "cause": {run: its finished adapter}} of runs in these folders. Raises RunError where one has none,
    and where all of them lack the same."""
    found = {task: {} for task in ("emotion", "cause")}
    for run, folder in runs.items():
        for task, adapters in found.items():
            if (folder / "adapters" / task / "training.json").is_file():
                adapters[run] = folder / "adapters" / task
        if not any(run in adapters for adapters in found.values()):
            raise RunError(f"{folder / 'adapters'}: no finished adapter there")
    if not all(found.values()):
        raise RunError("the runs need an emotion and a cause adapter between them")
    return found


def scored(adapters: list[Path], trees: list, names: list[str], journal) -> list[list]:
    """For each adapter the log-probabilities of every question's answers (utils.engine.inference.score_trees).

    Raises ModelError for an adapter that was trained on other questions.
    """
    from utils.engine.inference import score_trees
    from utils.models.adapters import load_adapter
    from utils.models.load import load_model

    found, base, model, tokenizer = [], None, None, None
    for number, adapter in enumerate(adapters):
        config = trained_with(adapter)
        if config.recipe != "one_pass" or not isinstance(config.task("cause"), Cause):
            raise ModelError(f"{adapter}: needs recipe one_pass and cause_form candidates")
        if config.streams:
            raise ModelError(f"{adapter}: it reads vectors, which a system of several runs does not. Leave it out")
        if (its := senses_of(config)) != (first := senses_of(trained_with(adapters[0]))):
            raise ModelError(
                f"{adapter}: it reads captions {list(its.captions)}, and {adapters[0]} reads {list(first.captions)}. "
                "Give runs that read the same"
            )
        how = config.model, config.quantization, config.precision
        if base != (*how, adapter_method(config)):  # adapters of two kinds do not go on one model
            base = *how, adapter_method(config)
            model, tokenizer = load_model(*how)
        model = load_adapter(model, adapter, config.model, name=f"adapter{number}")
        limits, run = (config.token_budget, config.max_row_tokens), adapter.parts[-3]
        found.append(score_trees(model, tokenizer, trees, names, *limits, run, journal))
    return found


def by_adapters(
    adapters: dict[str, dict[str, Path]],
    given: list[Conversation],
    journal,
    alone: bool,
    labels: LabelSet = ECF,
    encoder: Beside | None = None,
) -> tuple:
    """({"language models": the ensemble, "both": with the `encoder` beside it}, {run: (that run as a system, whose
    cause adapter it uses)}).

    adapters  as `adapters_of` returns them; the first emotion adapter's prior and the first cause adapter's threshold
              hold for all
    alone     whether the runs are labelled one by one as well; otherwise the dictionary is empty
    labels    the label set of the conversations, on which every adapter must have been trained
    encoder   what answers beside them; None: nothing, and no "both"
    """
    first = {task: next(iter(found.values())) for task, found in adapters.items()}
    for adapter in (adapter for found in adapters.values() for adapter in found.values()):
        check_labels(labels, adapter)
    task = trained_with(first["emotion"]).task("emotion", labels).trained(first["emotion"])
    causes: Any = trained_with(first["cause"]).task("cause", labels)
    scores = {}

    def score_all(trees, names, progress):
        scores.update(zip(adapters["emotion"], scored(list(adapters["emotion"].values()), trees, names, journal)))
        return averaged(list(scores.values()))

    def with_causes(labelled, tables, runs, beside=None):
        folders = [adapters["cause"][run] for run in runs]
        grown = list(filter(None, (cause_structure.load(folder, labels) for folder in folders)))
        trees = MeanStructure(grown) if grown else None
        asked = replace(causes, structure=trees, encoder=beside).given_emotions(labelled, tables)
        paired, found = search_all(
            asked, labelled, lambda trees, names, progress: averaged(scored(folders, trees, names, journal))
        )
        return System(paired, tables, found)

    systems = {"language models": with_causes(*search_all(task, given, score_all), adapters["cause"])}
    if encoder is not None:
        found = search_all(with_encoder(task, encoder), given, lambda *_: averaged(list(scores.values())))
        systems["both"] = with_causes(*found, adapters["cause"], encoder)
    members = {}
    for run in adapters["emotion"] if alone else ():
        its = search_all(task, given, lambda *_, run=run: scores[run])
        asked = run if run in adapters["cause"] else next(iter(adapters["cause"]))
        members[run] = with_causes(*its, [asked]), asked
    return systems, members


# ---- encoders --------------------------------------------------------------------------------------------------


def by_encoders(
    folders: list[Path],
    given: list[Conversation],
    taught: list[Conversation],
    lines: list[dict] | None = None,
    alone: bool = True,
    labels: LabelSet = ECF,
) -> dict[str, System]:
    """{"encoder": the encoders in these folders as a system, "both": with other runs beside them}.

    taught  what the encoders were trained on: their prior and boosted trees are made of it
    lines   what other runs say of the conversations, as predictions.jsonl has it, decided with the same prior; None:
            there are none, and no "both"
    alone   whether "encoder" is wanted where there is "both"

    Raises ModelError for a folder without a finished encoder.
    """
    from utils.tasks.encoder_scores import load_encoders

    encoders = load_encoders(folders, labels)
    counted, trees = emotion.counts(taught, labels), cause_structure.learn(taught, labels=labels)
    own = emotion.prior_scores(counted, Config.logit_adjustment, labels)
    causes: Any = Config().task("cause", labels)
    task, systems = Emotion(labels, prior=own), {}

    def decided(probabilities, structure):
        labelled, tables = search_all(task, given, lambda *_: [np.log(one).tolist() for one in probabilities])
        odds = [encoders.causes(c) for c in tqdm(labelled, desc="causes")]
        asked = replace(causes, structure=structure).given_emotions(labelled, tables)
        answers = [[[0.0, yes] for yes in one] for one in odds]
        paired, found = search_all(asked, labelled, lambda *_: answers)
        return System(paired, tables, found)

    tables = [encoders.emotions(c) for c in tqdm(given, desc="emotions")]
    if alone or lines is None:
        systems["encoder"] = decided(tables, trees)
    if lines is not None:
        if trees is None:
            raise RunError("the train split has no causes, or nothing else: boosted trees cannot learn from it")
        before = [unadjusted(one["emotion_probabilities"], own) for one in lines]
        recorded = Recorded({one["conversation_ID"]: one["cause_probabilities"] for one in lines}, trees)
        systems["both"] = decided(mixed(tables, before), recorded)
    return systems
