"""Files: JSON in with clear errors, every file out whole or not at all.

    read_json(path)            write_json(data, path)
    read_object(path)          read_json_lines(path)
    with intact(path, fix): ...     what a damaged record raises, as one message
    write_texts({path: text})  several files, all of them or none
    write_set(folder, {name: text}); check_set(folder)    files that belong together; a half-replaced set is refused
    check_output(path)         before work begins: can this file be written?
    with new_folder(path) as partial: ...     a folder, whole or not at all

Messages name the file and the fix.
"""

import contextlib
import json
import math
import os
import re
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from utils.system.errors import FileError, UserError, shown

INCOMPLETE = ".incomplete"  # stands in a folder while the files of a set are replaced one after another
_STALE = 3600  # seconds: a temporary file that nothing has written for so long is of a process that was killed
_DEEPEST = 100  # levels of nesting; copying and writing recurse, and Python's stack ends at some hundreds


def read_json(path):
    """What the JSON file at `path` holds. A byte-order mark is accepted.

    Raises FileError for a file that is missing, unreadable, empty, not UTF-8 or not JSON, and for JSON that
    would not survive: a key twice in one object, NaN, infinity, half characters, nesting without end.
    """
    return parse_json(read_text(path), Path(path))


def read_text(path) -> str:
    """The text of a file in UTF-8, without a byte-order mark. Raises FileError for a file that is missing, unreadable
    or not UTF-8."""
    path = Path(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise FileError(f"{path}: no such file. Check the path, or write the file first.") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}). Give another file.") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: not UTF-8 (byte {error.start}). Save the file as UTF-8.") from error


def read_object(path) -> dict:
    """`read_json` of a file that holds an object, as every record does. Raises FileError for another value too."""
    data = read_json(path)
    if not isinstance(data, dict):
        raise FileError(f"{path}: holds {shown(data)} where an object belongs. Restore the file, or write it again.")
    return data


def read_json_lines(path) -> list[tuple[str, dict]]:
    """[(what messages call the line, its object)] of a file with an object of JSON a line; empty lines are skipped.

    Raises FileError as `read_json` does, naming the line.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}). Give another file.") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: not UTF-8 (byte {error.start}). Save the file as UTF-8.") from error
    found = []
    for number, line in enumerate(text.split("\n"), 1):  # splitlines would also cut at breaks within strings
        if line.strip():
            where = f"{path}, line {number}"
            data = parse_json(line, where)
            if not isinstance(data, dict):
                raise FileError(f"{where}: holds {shown(data)} where an object belongs. Write the file again.")
            found.append((where, data))
    return found


@contextlib.contextmanager
def intact(path, fix):
    """Raises FileError, naming `path` and the `fix`, for what code raises that meets a record of another form."""
    try:
        yield
    except UserError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise FileError(f"{path}: damaged ({' '.join(reason.split())[:300]}). {fix}") from error


def parse_json(text, path):
    """What the JSON `text` holds, under the same conditions; `path` is what messages call it."""
    if not text.strip():
        raise FileError(f"{path}: the file is empty. It must hold JSON; write it again.")
    try:
        data = json.loads(text, object_pairs_hook=_object, parse_float=_finite, parse_constant=_finite)
        if _is_deep(data):
            raise ValueError(f"nested deeper than {_DEEPEST} levels")
        # JSON can spell half a character (\ud83d alone), which no UTF-8 file and no tokenizer can hold.
        if re.search(r"\\u[dD][89a-fA-F]", text):
            json.dumps(data, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise FileError(
            f"{path}: holds half a character ({half!r}, a lone surrogate). Write the whole one, or remove it."
        ) from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: not JSON that can be used ({error}). Fix the file or write it again.") from error
    return data


def _object(members):
    """An object of JSON, whose parser keeps the last of two equal keys and says nothing."""
    result = dict(members)
    if len(result) < len(members):
        twice = Counter(key for key, _ in members).most_common(1)[0][0]
        raise ValueError(f"the key {shown(twice)} is there twice in one object")
    return result


def _finite(text):
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{shown(text)} is no finite number")
    return number


def _is_deep(data):
    level = [[data]]
    for _ in range(_DEEPEST + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    return bool(level)


@contextlib.contextmanager
def naming(path):
    """A full disk's OSError names no file; here it names `path`."""
    try:
        yield
    except OSError as error:
        if error.filename or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def check_output(path, *inputs) -> None:
    """Whether `path` can become a file, asked before work begins. `inputs` are files that it must not replace.

    Raises FileError where it is a folder, a device or one of `inputs`, and OSError where no file can be made there.
    """
    path = Path(path).resolve()
    _check_regular(path)
    for one in map(Path, inputs):
        if path.exists() and one.exists() and path.samefile(one):
            raise FileError(f"{path}: the output would replace the input. Give another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
        temporary = _beside(path)
        temporary.touch(exist_ok=False)
        temporary.unlink()


def _check_regular(path):
    """A rename would put a file over a device, and would find a folder only after the work."""
    if path.is_dir():
        raise FileError(f"{path}: a folder stands where a file is to be written. Give the name of a file")
    if path.exists() and not path.is_file():
        raise FileError(f"{path}: it is no regular file, and would be replaced by one. Give another name")


def _beside(path):
    """A temporary file in the same folder, because a rename is atomic only within one file system. Not by tempfile,
    whose files nobody else may read."""
    return path.with_name(f".{uuid.uuid4().hex}.tmp")


def _remove_stale(folder):
    """Removes the temporary files that an interruption left in a folder. A younger one may be another process's."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if re.fullmatch(r"\.[0-9a-f]{32}\.tmp", path.name) and time.time() - path.stat().st_mtime > _STALE:
                path.unlink()


def write_texts(texts):
    """Writes {path: text, or bytes} as UTF-8, all of them or none, and creates the folders above them. Only a kill in
    the moment of the renames, or a file that cannot be replaced, leaves some of each (see `write_set`).

    Raises FileError for a path that is a folder or a device, OSError where a file cannot be written; what stood at the
    paths is then still there.
    """
    _write(texts, None)


def write_set(folder, texts):
    """Writes {name: text} below `folder`, as `write_texts` does. While the files are replaced one after another, and
    after an interruption there, `folder` is marked as incomplete: `check_set` refuses it until a set was written whole.

    Raises what `write_texts` raises.
    """
    folder = Path(folder)
    _write({folder / name: text for name, text in texts.items()}, folder / INCOMPLETE)


def check_set(folder) -> None:
    """Raises FileError for a folder whose set of files was being replaced when that was interrupted."""
    if (Path(folder) / INCOMPLETE).exists():
        raise FileError(
            f"{folder}: writing it was interrupted, so its splits may not belong together. Run generate_input.py again"
        )


def _write(texts, marker):
    temporaries, done = {}, 0
    try:
        for path, text in texts.items():
            path = Path(path).resolve()  # through a link to its file, so that the link survives
            path.parent.mkdir(parents=True, exist_ok=True)
            _check_regular(path)
            _remove_stale(path.parent)
            temporary = _beside(path)
            temporaries[temporary] = path
            with naming(path), open(temporary, "xb") as file:
                file.write(text if isinstance(text, bytes) else text.encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
        marked = marker is not None and not marker.exists()
        try:
            if marker:
                with naming(marker), open(marker, "wb") as file:
                    os.fsync(file.fileno())
            for temporary, path in temporaries.items():
                try:
                    os.replace(temporary, path)
                except OSError as error:  # it would name the temporary file
                    raise OSError(error.errno, error.strerror, str(path)) from error
                done += 1
        finally:
            if marker and (done == len(temporaries) or (marked and not done)):
                marker.unlink(missing_ok=True)
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


def write_text(text, path):
    """Writes `text` to `path`, whole or not at all (see `write_texts`)."""
    write_texts({path: text})


def to_json(data):
    """`data` as readable JSON. Raises TypeError for what JSON cannot hold."""
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def write_json(data, path):
    """Writes `data` to `path` as readable JSON, whole or not at all (see `write_texts`).

    Raises TypeError for what JSON cannot hold, OSError where the file cannot be written.
    """
    write_text(to_json(data), path)


def let_others_read(folder) -> None:
    """Gives the files below `folder` the mode that the umask gives new files. Libraries write weights through temporary
    files that nobody else may read."""
    mask = os.umask(0)
    os.umask(mask)
    for path in Path(folder).rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o666 & ~mask)


def check_new(folder) -> None:
    """Raises FileError for a folder that is there already, or stands where none can be made."""
    folder = Path(folder).absolute()
    if os.path.lexists(folder):
        raise FileError(f"{folder} is there already: remove it, or give another name")
    above = next(one for one in folder.parents if one.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise FileError(f"{folder} cannot be written ({above} takes no folder). Give another name")


@contextlib.contextmanager
def new_folder(folder):
    """Inside, the path of an empty folder to write into; at the end it stands at `folder`, whole. After an error
    nothing is left. Several processes may write the same folder: one of them wins, the others raise.

    Raises FileError for a folder that is there already, and for whatever a library raises while it writes.
    """
    folder = Path(folder).absolute()
    check_new(folder)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        let_others_read(partial)
        check_new(folder)
        partial.rename(folder)
    except UserError:
        raise
    except Exception as error:  # libraries that write weights have kinds of their own, some of them bare
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FileError(f"{folder} cannot be written ({reason}). Make room there, or give another name") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def ready_or_own(name: str | Path, folder: Path, suffixes: Sequence[str], what: str) -> Path:
    """The file that a person means: one of this name in `folder`, whose files end with the first of `suffixes`, or the
    path of a file of theirs that ends with any. Raises FileError where `folder` has none of this name."""
    path = Path(name)
    if path.suffix in suffixes:
        return path
    path = folder / f"{name}{suffixes[0]}"
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in folder.glob(f"*{suffixes[0]}")))
        form = suffixes[0][1:].upper()
        raise FileError(
            f"{what} {shown(str(name))}: there is no {path}. Known are {known}; or give the path of a {form} file "
            "of yours"
        )
    return path
