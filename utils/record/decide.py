"""A finished run with other inference parameters: its labels decided again from the probabilities in predictions.jsonl.

    folder = decide("sample", {"cause_threshold": 0.3})     # results_train/sample-cause_threshold-0.3

No model is loaded. The recorded probabilities have four digits, so an answer that close to its threshold may fall
either way. With another logit_adjustment, emotions are exact to these digits and causes are not asked again: a question
that was asked keeps its answer, also where the emotion is another one now; one that was not has the boosted trees'
answer alone.
"""

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from utils.config import Config
from utils.data.conversations import Conversation, load_conversations, with_emotions, with_pairs
from utils.data.labels import LabelSet, labels_in
from utils.record.adapter import DECIDES
from utils.record.predictions import System, gold_of, read_lines, run_folder, write_predictions
from utils.record.provenance import fingerprints, read_records, record_of
from utils.record.scores import write_scores
from utils.record.stages import LABELLED_BY
from utils.report.scores import head, system_scores
from utils.system import places
from utils.system.errors import ConfigError, RunError
from utils.system.files import write_json
from utils.tasks import cause_structure, emotion
from utils.tasks.candidates import asked
from utils.tasks.cause import Cause
from utils.tasks.combine import moved

SECTION = "utils.runs decide"  # what config.json calls the record of this command


def decide(run: str, parameters: dict[str, Any], name: str | None = None, root: Path | None = None) -> Path:
    """Decides the labels of `run` again with `parameters` (of DECIDES), for the conversations that it was scored on
    and its unlabelled ones, and writes them as a system of its own.

    name  of the system; default: the run's, and the parameters
    root  the folder of results_train/ (default: where the place keeps results)

    Returns its folder in results_train. Raises ConfigError for other parameters, RunError for a run that has no
    probabilities, for input that is not here, and for a folder that holds something else.
    """
    started, root = time.monotonic(), root or places.find().results
    if not parameters or (others := [one for one in parameters if one not in DECIDES]):
        given = f"{', '.join(others)} cannot be" if parameters else "nothing is"
        raise ConfigError(f"{given} decided again from probabilities: give -p and one of {', '.join(DECIDES)}")
    source = run_folder(run, root)
    config = _config_of(source)
    name = name or "-".join([source.name, *(f"{one}-{value}" for one, value in parameters.items())])
    config = replace(config, run_name=name, **parameters)
    config.check()
    gold = gold_of(source, root)
    input_dir = places.find().find_input(config.input_dir, root)
    labels = labels_in(input_dir)
    record = record_of({"run": source.name, **parameters, "split": "test", "input_dir": config.input_dir}, input_dir)
    record["parameters"] |= {"cause_threshold": config.cause_threshold}
    record["labels"] = labels.as_dict()
    folders = [root / part / name for part in places.RESULTS]
    for folder in folders:
        before = read_records(folder).get(SECTION, {}).get("parameters", {})
        if folder.exists() and before.get("run") != source.name:
            raise RunError(f"{folder} holds something else: choose another name with --out")
    again = Decider(source, config, parameters, labels)
    lines = read_lines(source, gold)
    found = again(gold, lines)
    _write(folders[0], record, found, labels)
    scores = system_scores(gold, found.conversations, found.emotions, labels)
    write_scores(folders[0], head(gold, labels), scores, SECTION, started)
    if (blind := _unlabelled(source, input_dir)) is not None:
        given = load_conversations(input_dir / "unlabelled", labelled=False, labels=labels)
        _write(folders[1], record, again(given, read_lines(blind, given)), labels)
    return folders[0]


def _config_of(folder: Path) -> Config:
    """The parameters of the run's inference. Raises RunError for a run whose labels do not follow from them."""
    records = read_records(folder)
    if LABELLED_BY["cause"] not in records:
        raise RunError(
            f"{folder}: no {LABELLED_BY['cause']} is recorded there: give a run that went through the notebooks"
        )
    recorded = [records.get(notebook, {}).get("parameters", {}) for notebook in LABELLED_BY.values()]
    config = Config.of({name: value for parameters in recorded for name, value in parameters.items()})
    if config.recipe != "one_pass" or not isinstance(config.task("cause"), Cause):
        raise RunError(
            f"{folder}: recipe {config.recipe} and cause_form {config.cause_form} decide without a threshold"
        )
    return config


def _unlabelled(source: Path, input_dir: Path) -> Path | None:
    """The folder of the run's labels of unlabelled conversations, where it and these are there."""
    folder = source.parent.parent / "results_test" / source.name
    if not (folder / "predictions.jsonl").is_file():
        return None
    recorded = read_records(folder).get(LABELLED_BY["cause"], {}).get("input", {}).get("unlabelled")
    if recorded is None or fingerprints(input_dir).get("unlabelled") != recorded:
        print(f"{folder}: its conversations are not in {input_dir}/unlabelled: they are not decided again")
        return None
    return folder


def _write(folder: Path, record: dict, found: System, labels: LabelSet) -> None:
    write_json({SECTION: record}, folder / "config.json")
    write_json(found.conversations, folder / "Subtask_2_pred.json")
    write_predictions(folder, *found, labels=labels)


class Decider:
    """Conversations and their lines of predictions.jsonl in; a System out."""

    def __init__(self, run: Path, config: Config, parameters: dict, labels: LabelSet):
        """run: its folder. config: what is to be used. parameters: what of it is new. Raises RunError for a run without
        the adapter that a new logit_adjustment needs."""
        self.labels, self.threshold, self.priors, self.trees = labels, config.cause_threshold, None, None
        if "logit_adjustment" not in parameters:
            return
        adapters = run / "adapters"
        if not (adapters / "emotion" / "training.json").is_file():
            raise RunError(f"{adapters / 'emotion'} is not here, which tells how often training saw each label")
        tasks: list[Any] = [one.task("emotion", labels) for one in (_config_of(run), config)]
        self.priors = [task.trained(adapters / "emotion").prior for task in tasks]
        self.trees = cause_structure.load(adapters / "cause", labels)

    def __call__(self, conversations: list[Conversation], lines: list[dict]) -> System:
        found = [self._one(*both) for both in zip(conversations, lines, strict=True)]
        return System(*map(list, zip(*found))) if found else System([], [], [])

    def _one(self, conversation, line):
        table = line["emotion_probabilities"]
        if self.priors:
            before, now = self.priors
            labelled, table = emotion.read(conversation, moved(table, before), now, self.labels)
        else:
            labelled = with_emotions(conversation, line["emotions"], self.labels)
        causes = self._causes(labelled, line["cause_probabilities"])
        utterances = {u["utterance_ID"]: (u["emotion"], max(row)) for u, row in zip(labelled["conversation"], table)}
        triples = [
            (i, utterances[i][0], j)
            for i, row in causes.items()
            for j, p in row.items()
            if p * utterances[i][1] >= self.threshold
        ]
        return with_pairs(labelled, triples), table, causes

    def _causes(self, conversation, recorded) -> dict[int, dict[int, float]]:
        """{utterance id: {candidate id: P}} of every question about the conversation's emotions."""
        ids, found = [u["utterance_ID"] for u in conversation["conversation"]], {}
        questions = asked(conversation, self.labels)
        odds = self.trees.log_odds(conversation) if self.trees else [None] * len(questions)
        for (i, j), other in sorted(zip(questions, odds, strict=True)):
            p = recorded.get(str(ids[i]), {}).get(str(ids[j]))
            if p is None:
                if other is None:
                    raise RunError(
                        f"conversation {conversation['conversation_ID']}: nobody asked for the causes of utterance "
                        f"{ids[i]}, which was neutral, and the run has no boosted trees"
                    )
                p = 1 / (1 + math.exp(-other))
            found.setdefault(ids[i], {})[ids[j]] = p
        return found
