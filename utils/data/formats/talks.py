"""What every reader of a format builds with: texts, conversations, and errors that name the file."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from utils.data.validation import placed_as
from utils.system.errors import FileError

# Where a file of Windows was taken for Latin-1, an apostrophe is U+0092; nobody means that control character.
_WINDOWS = {code: one for code in range(0x80, 0xA0) if (one := bytes([code]).decode("cp1252", "ignore"))}


def clean(text: Any) -> Any:
    """A text with the characters of Windows that were taken for controls, and without white space around it; what is no
    text stays as it is."""
    return text.translate(_WINDOWS).strip() if isinstance(text, str) else text


def talk(key: int | str, utterances: Iterable[dict], **fields) -> dict:
    """A conversation of utterances with `text`, `speaker` and what else is known, numbered from 1 where they have no
    number. Texts are cleaned. Where its first utterance is, it is too (`Placed`)."""
    numbered = []
    for number, one in enumerate(utterances, 1):
        texts = {name: clean(one[name]) for name in ("text", "speaker") if name in one}
        numbered.append(placed_as({"utterance_ID": number, **one, **texts}, one))
    return placed_as({"conversation_ID": key, **fields, "conversation": numbered}, next(iter(numbered), None))


def unfit(path: Path, form: str, reason: Any = "") -> FileError:
    """The error for a file that is not in the format that it is read as."""
    more = f" ({' '.join(str(reason).split())[:200]})" if str(reason) else ""
    return FileError(f"{path}: not as {form} is published{more}. Give the file as it is, or another --format")


def text_of(path: Path) -> str:
    """The text of a UTF-8 file, without a byte-order mark. Raises FileError."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}). Give another file.") from error
    except UnicodeDecodeError as error:
        with path.open("rb") as file:
            is_archive = file.read(2) == b"PK"  # as .xlsx and .ods are
        fix = "Save the table as CSV" if is_archive else "Save the file as UTF-8."
        raise FileError(f"{path}: not UTF-8 (byte {error.start}). {fix}") from error


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """(number, line) of every line that is not empty. A line ends at a line feed alone: texts hold other breaks."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.rstrip("\r")
