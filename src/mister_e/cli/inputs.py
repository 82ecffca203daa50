"""Which files a command line means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mister_e.errors import InputError

#: Extensions picked up from a folder; a file named by hand may have any.
AUDIO = frozenset(
    [".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".wma", ".aif", ".aiff", ".amr"]
)
VIDEO = frozenset([".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".3gp"])


def expand(inputs: Sequence[Path], transcript: Path | None = None) -> list[Path]:
    """Name every file to analyse, folders opened.

    A missing file among several is left for the pipeline to list with the other failures.

    :param inputs: files and folders.
    :param transcript: the transcript of the only recording, or None.
    :return: files in the order given, a folder's sorted by name, each once.
    :raises InputError: nothing to analyse, or a transcript that does not fit.
    """
    files = list(dict.fromkeys(file for path in inputs for file in _files(path)))
    if transcript is not None:
        _check_transcript(files, transcript)
    if len(files) == 1 and not files[0].exists():
        raise InputError(f"{files[0]}: no such file or folder")
    return files


def _files(path: Path) -> Iterator[Path]:
    """Yield the path itself or, for a folder, what can be analysed in it."""
    if not path.is_dir():
        yield path
        return
    known = AUDIO | VIDEO | _transcripts()
    found = sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in known and not file.name.startswith(".") and file.is_file()
    )
    if not found:
        raise InputError(f"{path}: no recording or transcript in this folder; looked for {_listed(known)}")
    yield from found


def _check_transcript(files: Sequence[Path], transcript: Path) -> None:
    """Refuse a transcript that has not exactly one recording to go with."""
    if len(files) != 1:
        raise InputError(f"--transcript goes with exactly one recording, got {len(files)} inputs")
    if files[0].suffix.lower() in _transcripts():
        raise InputError(
            f"{files[0]}: is a transcript itself; give the recording as INPUT, or leave --transcript out"
        )
    if not transcript.is_file():
        raise InputError(f"{transcript}: no such transcript")


def _transcripts() -> frozenset[str]:
    """Extensions of transcripts: given as INPUT, they are analysed by their words alone."""
    # imported here, as it brings the audio decoder, which --help need not wait for
    from mister_e.audio.transcripts import FORMATS

    return frozenset(FORMATS)


def _listed(extensions: frozenset[str]) -> str:
    """Extensions as words."""
    return ", ".join(sorted(extension.removeprefix(".") for extension in extensions))
