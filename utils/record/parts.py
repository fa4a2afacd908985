"""One labelling in several parts, on as many machines: each labels its share, and the last one writes the whole.

number, parts = part_of("3/8")
write_part(paired, "pred.json", number, parts, job_of(conversations, adapters))
"""

import argparse
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.data.conversations import Conversation, without_labels
from utils.record.adapter import configs_of, labels_of
from utils.record.labelled import PROBABILITIES, beside
from utils.record.predictions import text_of
from utils.system.errors import ConversationError, FileError
from utils.system.files import read_json, read_object, to_json, write_json, write_texts
from utils.tasks import cause_structure


def part_of(text: str) -> tuple[int, int]:
    """(3, 8) for "3/8". Raises argparse.ArgumentTypeError for other text."""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    number, parts = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= parts:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be like 3/8: the third of eight parts")
    return number, parts


def job_of(conversations: list[Conversation], adapters, parameters: Mapping[str, Any] | None = None) -> str:
    """What all parts of one job share: a hash of the conversations, of the adapters' weights and parameters, and of
    what else their answers are read with, `parameters` (utils.record.adapter.configs_of) among it."""
    digest = hashlib.sha256(to_json([without_labels(c) for c in conversations]).encode("utf-8", "surrogatepass"))
    configs = configs_of(adapters, parameters=parameters)
    for adapter, config in zip(filter(None, adapters), configs.values()):
        digest.update((Path(adapter) / "adapter_model.safetensors").read_bytes())
        digest.update(repr(config).encode())
        record = read_object(Path(adapter) / "training.json")
        kept = [record[name] for name in ("emotions", "weights", "thresholds", "prompts") if name in record]
        digest.update(repr((kept, cause_structure.load(adapter, labels_of(adapter)))).encode())
    return digest.hexdigest()


def write_part(
    paired: list[Conversation], out, number: int, parts: int, job: str, lines: list[dict] | None = None
) -> Path:
    """Writes the part `number` of `parts` (every so many-th conversation) of a job (`job_of`) beside `out`; where all
    others are there, the whole file `out`, in the order of the input, in place of the parts. Returns what was written.
    lines: those of the probabilities, which then stand beside `out` (utils/record/labelled.py).

    Raises ConversationError for a part of another job, and for one without lines where they are wanted."""
    files = [Path(f"{out}.part-{one}-of-{parts}.json") for one in range(1, parts + 1)]
    write_json({"job": job, "conversations": paired, "lines": lines}, files[number - 1])
    if not all(file.is_file() for file in files):
        return files[number - 1]
    try:
        shares = [read_json(file) for file in files]
    except FileError:
        if all(file.is_file() for file in files):
            raise
        return Path(out)  # two parts ended at once, and the other one has written it
    for file, share in zip(files, shares):
        if not isinstance(share, dict) or share.get("job") != job:
            raise ConversationError(
                f"{file} is a part of other conversations or by other adapters than "
                f"{files[number - 1]}: remove it, and label that part again"
            )
    for file, share in zip(files, shares):
        if lines is not None and share.get("lines") is None:
            raise ConversationError(f"{file} was labelled without --probabilities: label that part again with it")
        for kind in ("conversations", "lines") if lines is not None else ("conversations",):
            found = share.get(kind)
            if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
                raise FileError(f"{file}: damaged: it holds no {kind}. Remove it, and label that part again")

    def whole(kind):
        there = [share[kind] for share in shares]
        return [one[place] for place in range(max(map(len, there))) for one in there if place < len(one)]

    texts = {} if lines is None else {beside(out, PROBABILITIES): text_of(whole("lines"))}
    write_texts({out: to_json(whole("conversations"))} | texts)
    for file in files:
        file.unlink(missing_ok=True)
    return Path(out)
