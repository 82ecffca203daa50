"""Where results go, in which format, each file whole or not at all."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from mister_e.analysis import Analysis
from mister_e.errors import InputError
from mister_e.files import write_text

Format = Literal["table", "json", "jsonl", "csv", "srt", "vtt", "html"]

#: Formats that hold one conversation.
SUBTITLES = ("srt", "vtt")

_STDOUT = Path("-")
_BY_EXTENSION: dict[str, Format] = {f".{name}": name for name in get_args(Format) if name != "table"}
_FILE_WIDTH = 100  # columns of a table that is written to a file


@dataclass(frozen=True)
class Output:
    """One place for results.

    :param format: what to write.
    :param path: the file, or None for stdout and for a folder.
    :param each: for a folder: the file of each source.
    """

    format: Format
    path: Path | None = None
    each: Mapping[str, Path] = field(default_factory=dict)


def choose(
    paths: Sequence[Path],
    form: Format | None,
    inputs: Sequence[Path],
    transcript: Path | None = None,
) -> list[Output]:
    """Settle every output before the long work, so that nothing fails after it for want of a place.

    A single output obeys `form`; of several, those whose extension tells the format follow it.

    :param paths: what `-o` said: files, folders, "-" for stdout; none = stdout.
    :param form: what `--format` said.
    :param inputs: the files to be analysed; neither they nor the transcript is ever overwritten.
    :param transcript: the transcript of the only input, or None.
    :raises InputError: a format cannot be told or does not fit, or a place cannot be written.
    """
    outputs = [_output(path, form, len(paths), inputs) for path in paths or [_STDOUT]]
    files = [path for output in outputs for path in _files(output)]
    if len({path.resolve() for path in files}) < len(files) or sum(not _files(one) for one in outputs) > 1:
        raise InputError("two outputs go to the same place: give each -o a place of its own")
    originals = {path.resolve() for path in (*inputs, transcript) if path is not None}
    for path in files:
        if path.resolve() in originals:
            raise InputError(f"{path}: is one of the inputs and would be overwritten; choose another output")
        _check_place(path)
    return outputs


def write(analysis: Analysis, outputs: Sequence[Output], *, embed_audio: bool = False) -> list[Path]:
    """Write an analysis to every output; all of it is rendered before the first file is touched.

    :return: the files written.
    :raises InputError: the format cannot hold this analysis, or a file cannot be written.
    """
    texts: dict[Path, str] = {}
    printed = ""
    for output in outputs:
        if output.path is not None:
            texts[output.path] = render(analysis, output.format, embed_audio=embed_audio)
        elif output.each:
            # by position: a transcript may name another source than the file it came in
            failed = {one.source for one in analysis.errors}
            targets = [target for source, target in output.each.items() if source not in failed]
            for target, conversation in zip(targets, analysis.conversations, strict=True):
                part = replace(analysis, conversations=(conversation,), errors=())
                texts[target] = render(part, output.format, embed_audio=embed_audio)
        else:
            printed = render(analysis, output.format, embed_audio=embed_audio, printed=True)
    for path, text in texts.items():
        write_text(path, text)
    to_stdout(printed)
    return list(texts)


def render(analysis: Analysis, form: Format, *, embed_audio: bool = False, printed: bool = False) -> str:
    """Text of an analysis in a format.

    :param printed: it goes to stdout, whose width and colours a table follows.
    """
    match form:
        case "table":
            from rich.console import Console

            from mister_e.cli import table

            console = (
                Console() if printed else Console(file=io.StringIO(), width=_FILE_WIDTH, color_system=None)
            )
            return table.render(analysis, console)
        case "json":
            return analysis.to_json() + "\n"
        case "jsonl":
            return analysis.to_jsonl()
        case "csv":
            return analysis.to_csv()
        case "srt":
            return analysis.to_srt()
        case "vtt":
            return analysis.to_vtt()
        case "html":
            return analysis.to_html(embed_audio=embed_audio)


def to_stdout(text: str) -> None:
    """Print as UTF-8 whatever the locale, and stay quiet when the reader (`head`) has left."""
    try:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
    except BrokenPipeError:
        # the interpreter flushes stdout once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _output(path: Path, form: Format | None, count: int, inputs: Sequence[Path]) -> Output:
    """Settle one `-o`."""
    if path.is_dir():
        if form is None or form == "table":
            raise InputError(f"{path}: is a folder; say with --format what each conversation's file holds")
        return Output(form, each=_one_each(path, form, inputs))
    by_name = "table" if path == _STDOUT else _BY_EXTENSION.get(path.suffix.lower())
    explicit_first = path == _STDOUT or count <= 1
    chosen = form or by_name if explicit_first else by_name or form
    if chosen is None:
        endings = ", ".join(_BY_EXTENSION)
        raise InputError(f"{path}: its name does not tell the format; end it in {endings}, or give --format")
    if chosen in SUBTITLES and len(inputs) > 1:
        raise InputError(f"{chosen} holds one conversation, got {len(inputs)} inputs; give a folder with -o")
    return Output(chosen, None if path == _STDOUT else path)


def _one_each(folder: Path, form: Format, inputs: Sequence[Path]) -> dict[str, Path]:
    """Name a file for each source; equal stems are told apart by a number."""
    files: dict[str, Path] = {}
    for source in inputs:
        number, target = 1, folder / f"{source.stem}.{form}"
        while target in files.values():
            number += 1
            target = folder / f"{source.stem}-{number}.{form}"
        files[str(source)] = target
    return files


def _files(output: Output) -> list[Path]:
    """List every file that an output may write; none for stdout."""
    return [output.path] if output.path is not None else list(output.each.values())


def _check_place(path: Path) -> None:
    """Find out now whether a file can be made there."""
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise InputError(f"{path}: cannot write there ({error.strerror}); choose another output") from error
