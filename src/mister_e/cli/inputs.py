"""Which conversations a command line means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mister_e.errors import InputError
from mister_e.inputs import Input, named_inputs

#: Extensions picked up from a folder; a file named by hand may have any.
AUDIO = frozenset([
    ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".au", ".caf", ".flac",
    ".gsm", ".m4a", ".m4b", ".mka", ".mp2", ".mp3", ".oga", ".ogg", ".opus", ".ra",
    ".snd", ".spx", ".tta", ".w64", ".wav", ".weba", ".wma", ".wv",
])  # fmt: skip
VIDEO = frozenset([
    ".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".m2ts", ".m4v", ".mkv", ".mov",
    ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
])  # fmt: skip

#: Transcripts that may stand beside a recording in a folder, the preferred first.
BESIDE = (".srt", ".vtt", ".json")
#: Transcripts that a folder without recordings is searched for.
ALONE = (".srt", ".vtt")

#: How JSON and subtitles begin that mister-e itself wrote: results are not taken for words.
_OURS = re.compile(r'\A\s*\{\s*"mister_e"|^\[[^\]\n]+ \d{1,3}%\]', re.MULTILINE)


@dataclass(frozen=True)
class Found:
    """What the arguments of a command line mean.

    :param inputs: the conversations, in the order given.
    :param several: more than one was asked for, if only by naming a folder.
    :param notes: what a person should know of what was taken and what was not.
    """

    inputs: tuple[Input, ...]
    several: bool
    notes: tuple[str, ...] = ()


def expand(paths: Sequence[Path], transcript: Path | None = None, *, no_asr: bool = False) -> Found:
    """Name every conversation to analyse, folders opened.

    A missing file among several is left for the pipeline to list with the other failures.

    :param paths: files and folders.
    :param transcript: the transcript of the only recording, or None.
    :param no_asr: the sound alone is judged; transcripts have no place then.
    :raises InputError: nothing to analyse, or options that contradict each other or the inputs.
    """
    words: dict[Path, Path | None] = {}
    left: list[Path] = []
    for path in paths:
        inside, others = _open_folder(path, no_asr) if path.is_dir() else ({path: None}, [])
        for file, beside in inside.items():
            words.setdefault(file, beside)
        left += others
    _check(list(words), transcript, no_asr)
    inputs = named_inputs((file, transcript or beside) for file, beside in words.items())
    several = len(inputs) > 1 or any(path.is_dir() for path in paths)
    return Found(inputs, several, tuple(_notes(words, [file for file in left if file not in words])))


def _open_folder(folder: Path, no_asr: bool) -> tuple[dict[Path, Path | None], list[Path]]:
    """Sort the files of a folder.

    :return: each conversation with the transcript beside it, by name; and the files that are neither.
    """
    files = sorted(file for file in folder.iterdir() if not file.name.startswith(".") and file.is_file())
    recordings = [file for file in files if file.suffix.lower() in AUDIO | VIDEO]
    found: dict[Path, Path | None]
    if recordings:
        beside = {} if no_asr else _transcripts(files)
        found = {recording: beside.get(recording.stem) for recording in recordings}
    else:
        found = {file: None for file in files if file.suffix.lower() in ALONE and not _ours(file)}
    if not found:
        raise InputError(
            f"{folder}: no recording in this folder, and no subtitles; looked for"
            f" {_extensions(AUDIO | VIDEO | {*ALONE})}"
        )
    taken = {*found, *found.values()}
    return found, [file for file in files if file not in taken]


def _transcripts(files: Sequence[Path]) -> dict[str, Path]:
    """Find the preferred transcript of each stem."""
    return {
        file.stem: file
        for extension in reversed(BESIDE)
        for file in files
        if file.suffix.lower() == extension and not _ours(file) and (extension != ".json" or _readable(file))
    }


def _ours(file: Path) -> bool:
    """Whether mister-e wrote this transcript as a result."""
    try:
        with file.open("rb") as opened:
            start = opened.read(400).decode("utf-8", errors="replace")
    except OSError:
        return False  # whoever reads it whole says what is wrong
    return _OURS.search(start) is not None


def _readable(file: Path) -> bool:
    """Whether JSON is a transcript: it may as well be settings or notes on the recording."""
    # imported here, as it brings the audio decoder, which --help need not wait for
    from mister_e.transcription.transcripts import read_transcript

    try:
        read_transcript(file)
    except InputError:
        return False
    return True


def _check(files: Sequence[Path], transcript: Path | None, no_asr: bool) -> None:
    """Refuse what cannot be meant."""
    from mister_e.transcription.transcripts import FORMATS

    if len(files) == 1 and not files[0].exists():
        raise InputError(f"{files[0]}: no such file or folder")
    alone = [file for file in files if file.suffix.lower() in FORMATS]
    if no_asr and transcript is not None:
        raise InputError(
            "--no-asr judges the sound alone and --transcript gives words: leave one of them out"
        )
    if no_asr and alone:
        raise InputError(
            f"{alone[0]}: is a transcript, so there is no sound to judge alone; leave --no-asr out"
        )
    if transcript is None:
        return
    if len(files) != 1:
        raise InputError(f"--transcript goes with exactly one recording, got {len(files)} inputs")
    if alone:
        raise InputError(
            f"{alone[0]}: is a transcript itself; give the recording as INPUT, or leave --transcript out"
        )
    if not transcript.exists():
        raise InputError(f"{transcript}: no such transcript")


def _notes(words: Mapping[Path, Path | None], skipped: Sequence[Path]) -> Iterator[str]:
    """Say what was made of folders."""
    beside = [file for file in words.values() if file is not None]
    if beside:
        recordings = "1 recording" if len(beside) == 1 else f"{len(beside)} recordings"
        yield f"the words of {recordings} come from the transcripts beside them: {_listed(beside)}"
    if skipped:
        files = "1 file that is" if len(skipped) == 1 else f"{len(skipped)} files that are"
        what = "not a recording" if len(skipped) == 1 else "not recordings"
        yield f"skipped {files} {what}: {_listed(skipped)}"


def _listed(files: Sequence[Path], most: int = 5) -> str:
    """Name files, not too many."""
    more = f" and {len(files) - most} more" if len(files) > most else ""
    return ", ".join(file.name for file in files[:most]) + more


def _extensions(known: Iterable[str]) -> str:
    """Extensions as words."""
    return ", ".join(sorted(extension.removeprefix(".") for extension in known))
