"""Outputs of `mister-e analyze`: where results go and in which format, decided before the work begins."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from mister_e.cli.inputs import Found
from mister_e.errors import InputError
from mister_e.files import is_special, writable

Format = Literal["table", "json", "jsonl", "csv", "srt", "vtt", "html"]

#: Formats that hold one conversation.
SUBTITLES = ("srt", "vtt")

_STDOUT = "-"
_BY_EXTENSION: dict[str, Format] = {f".{name}": name for name in get_args(Format) if name != "table"}


@dataclass(frozen=True)
class Output:
    """A place for results: a file, a folder, or stdout where both are None.

    :param format: what to write.
    :param path: the file for all conversations.
    :param folder: the folder for one file a conversation; it may have to be made.
    """

    format: Format
    path: Path | None = None
    folder: Path | None = None

    def file_of(self, name: str) -> Path:
        """Path of a conversation's own file in the folder."""
        assert self.folder is not None
        return self.folder / f"{name}.{self.format}"


def choose(places: Sequence[str], form: Format | None, found: Found) -> list[Output]:
    """Decide on every output before the long work, so that none fails after it for want of a place.

    A single output obeys `form`; of several, those whose extension tells the format follow it.

    :param places: what `-o` said: files, folders, "-" for stdout; none = stdout.
    :param form: what `--format` said.
    :param found: the conversations; neither a recording nor a transcript is ever overwritten.
    :raises InputError: a format cannot be told or does not fit, or a place cannot be written.
    """
    outputs = [_output(place, form, len(places), found) for place in places or [_STDOUT]]
    files = [path for output in outputs for path in _files(output, found)]
    if len({path.resolve() for path in files}) < len(files) or sum(map(_is_stdout, outputs)) > 1:
        raise InputError("two outputs go to the same place: give each -o a place of its own")
    input_files = {file.resolve() for given in found.inputs for file in given.files}
    for path in files:
        if path.resolve() in input_files:
            raise InputError(f"{path}: is one of the inputs and would be overwritten; choose another output")
    for output in outputs:
        _check_place(output)
    return outputs


def to_stdout(text: str) -> None:
    """Print as UTF-8 whatever the locale, and stay quiet when the reader (`head`) has left.

    :raises InputError: the disk that stdout goes to is full.
    """
    try:
        sys.stdout.buffer.write(writable(text).encode())
        sys.stdout.flush()
    except OSError as error:
        # the interpreter flushes stdout once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise InputError(
                f"stdout: cannot be written ({error.strerror}); make room or choose another output"
            ) from error


def _output(place: str, form: Format | None, count: int, found: Found) -> Output:
    """Decide on the output of one `-o`."""
    path = Path(place)
    if place != _STDOUT and _means_folder(place, found):
        if form is None or form == "table":
            raise InputError(f"{place}: is a folder; say with --format what each conversation's file holds")
        return Output(form, folder=path)
    by_extension = "table" if place == _STDOUT else _BY_EXTENSION.get(path.suffix.lower())
    option_first = place == _STDOUT or count <= 1
    chosen = form or by_extension if option_first else by_extension or form
    if chosen is None:
        endings = ", ".join(_BY_EXTENSION)
        raise InputError(f"{path}: its name does not tell the format; end it in {endings}, or give --format")
    if chosen in SUBTITLES and len(found.inputs) > 1:
        raise InputError(
            f"{chosen} holds one conversation, got {len(found.inputs)} inputs; give a folder with -o"
        )
    return Output(chosen, None if place == _STDOUT else path)


def _means_folder(place: str, found: Found) -> bool:
    """Whether a name is that of a folder, there or to be made."""
    path = Path(place)
    if path.is_dir():
        return True
    if place.endswith(("/", os.sep)):
        if path.exists():
            raise InputError(f"{place}: is a file, not a folder; leave the slash out or choose another name")
        return True
    return found.several and not path.suffix and not path.exists()


def _files(output: Output, found: Found) -> list[Path]:
    """List every file that an output may write; none for stdout."""
    if output.folder is not None:
        return [output.file_of(given.name) for given in found.inputs]
    return [output.path] if output.path is not None else []


def _is_stdout(output: Output) -> bool:
    return output.path is None and output.folder is None


def _check_place(output: Output) -> None:
    """Find out now whether files can be made there."""
    path = output.path or output.folder
    if path is None:
        return
    if is_special(path):
        if not os.access(path, os.W_OK):
            raise InputError(f"{path}: cannot write there (Permission denied); choose another output")
        return
    parent = path if path.is_dir() else path.resolve().parent
    if not parent.is_dir():
        raise InputError(f"{path}: the folder {parent} does not exist; make it first")
    try:
        tempfile.TemporaryFile(dir=parent).close()
    except OSError as error:
        raise InputError(f"{path}: cannot write there ({error.strerror}); choose another output") from error
