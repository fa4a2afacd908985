"""Where a corpus is: a file, a folder or a hub dataset, in one of the formats of utils/data/formats.

read_data("data/sample"); read_data("MELD/data", "meld")
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from utils.data.conversations import file_in
from utils.data.formats.known import FORMATS, TABLES, format_of, split_files
from utils.data.labels import LabelSet
from utils.system import places
from utils.system.errors import ConversationError


class Data(NamedTuple):
    """A corpus as its files hold it, and where it came from.

    files     {file: the list of conversations in it, not yet checked}
    folder    where a split file and unlabelled conversations are looked for
    split_of  {file: train, dev, val or test}, where the data came in a split
    form      its format, a key of FORMATS
    labels    the label set of the format; None: it is taken from the data
    """

    files: dict[Path, Any]
    folder: Path
    split_of: dict[Path, str]
    form: str
    labels: LabelSet | None


def read_data(name: str, form: str | None = None, columns: dict[str, str] | None = None) -> Data:
    """The conversations that `name`, a path or a hub dataset's id, stands for.

    form     the format, a key of FORMATS; None: found by content
    columns  of a table (see utils/data/formats/tables.py)

    Raises FileError and ConversationError for data that cannot be had or found.
    """
    path = Path(name)
    if path.is_file():
        return _read([path], path.parent, form, columns)
    if path.is_dir():
        return _read_folder(path, form, columns)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.endswith(".json"):
        return _read_dataset(download(name))
    raise ConversationError(f"{name}: no such file or folder. Check it, or name a hub dataset (owner/name).")


def read_file(path: Path, form: str | None = None, columns: dict[str, str] | None = None) -> tuple[str, Any]:
    """(the format, the list of conversations, not yet checked) of one file, or of a folder that a format has for one.
    Raises FileError."""
    form = form or format_of(path)
    if form in TABLES:
        return form, FORMATS[form].read(path, columns)
    if columns:
        raise ConversationError(f"{path}: columns are for a table ({' or '.join(TABLES)}), and this is {form}")
    return form, FORMATS[form].read(path)


def _read(files: list[Path], folder: Path, form=None, columns=None, split_of: dict[Path, str] | None = None) -> Data:
    """Numbers of conversations begin again in every file of a corpus, so those of several get their split's name.
    Where formats differ, one label set is known of them: such as texts that a model wrote beside a corpus' val and
    test."""
    read, forms, split_of = {}, [], split_of or {}
    for file in files:
        found, read[file] = read_file(file, form, columns)
        forms.append(found)
        if found != "semeval" and len(files) > 1:
            for one in read[file]:
                key = one["conversation_ID"]
                one["conversation_ID"] = f"{split_of[file]}-{key}" if isinstance(key, int) else key
    sets = {one for form in forms if (one := FORMATS[form].labels)}
    if len({*forms}) > 1 and ("semeval" in forms or len(sets) != 1):
        raise ConversationError(f"{folder}: its files are in several formats ({', '.join(forms)}). Name one file")
    return Data(read, folder, split_of, forms[0], next(iter(sets), None))


def _read_folder(folder: Path, form: str | None, columns) -> Data:
    if (found := format_of(folder)) in ("iemocap", "dailydialog") and form in (None, found):
        return _read([folder], folder, found)
    plain = any(folder.glob("*.json"))
    if form in (None, "semeval") and plain:
        try:
            if (file := file_in(folder)) and (format_of(file) == "semeval" or len(split_files(folder, form)) < 2):
                return _read([file], folder, form, columns)
        except ConversationError:
            if not split_files(folder, form):
                raise
    if split_of := split_files(folder, form):
        return _read([*split_of], folder, form, columns, split_of)
    if form in (None, "semeval"):
        return _read_dataset(folder)
    fitting = [file for file in sorted(folder.iterdir()) if file.suffix in FORMATS[form].suffixes]
    if len(fitting) == 1:
        return _read(fitting, folder, form, columns)
    raise ConversationError(
        f"{folder}: cannot tell which file to read as {form} (found {', '.join(f.name for f in fitting) or 'none'}). "
        "Name the file."
    )


def download(dataset: str) -> Path:
    """The folder of a hub dataset's JSON files, downloaded once and then cached.

    Raises ConversationError where it cannot be had.
    """
    try:
        # Here, because nobody needs the package or the network for files of their own.
        from huggingface_hub import snapshot_download

        places.find().read_token()
        return Path(snapshot_download(dataset, repo_type="dataset", allow_patterns=["*.json"]))
    except Exception as error:  # a dozen kinds for offline, unknown, gated, ...; each means no data
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConversationError(
            f"{dataset}: no such file or folder here, and no download from the Hugging Face hub ({reason}). "
            "Check the name and the network, or pass a local file."
        ) from error


def _read_dataset(folder: Path) -> Data:
    """A dataset's conversations: `Subtask_2_train.json`, wherever it is, or else a split `utterance` folder.

    Raises ConversationError where it has neither, and FileError for a file that cannot be read.
    """
    whole = sorted(folder.rglob("Subtask_2_train.json"))
    if whole:
        return _read([whole[0]], whole[0].parent)
    for below in sorted(path for path in folder.rglob("utterance") if path.is_dir()):
        split_of = {
            file: name for name in ("train", "dev", "val", "test") for file in sorted(below.glob(f"*{name}*.json"))
        }
        if "train" in split_of.values():
            return _read([*split_of], below, split_of=split_of)
    if any(folder.glob("*.json")):
        return _read([file_in(folder)], folder)
    raise ConversationError(
        f"{folder}: found neither Subtask_2_train.json nor an utterance folder with "
        "train.json, dev.json and test.json. Name the file that holds the conversations."
    )
