"""The inputs that a command line names: files, and folders of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
BESIDE_RECORDINGS = (".srt", ".vtt", ".json")
#: What may stand between the name of a recording and the extension of its transcript, besides the recording's
#: extension and the language: Zoom and players write these.
_BESIDE_MARKS = ("transcript", "cc", "sdh", "hi")
#: Transcripts that a folder without recordings is searched for.
WITHOUT_RECORDINGS = (".srt", ".vtt")

#: How JSON and subtitles begin that mister-e itself wrote: results are not taken for transcripts.
_RESULT_START = re.compile(r'\A\s*\{\s*"mister_e"|^\[[^\]\n]+ \d{1,3}%\]', re.MULTILINE)


@dataclass(frozen=True)
class Found:
    """The inputs that the arguments of a command line name.

    :param inputs: the conversations, in the order given.
    :param several: more than one was asked for, or a folder.
    :param notes: which transcripts were used, and which files were skipped.
    """

    inputs: tuple[Input, ...]
    several: bool
    notes: tuple[str, ...] = ()


def expand(
    paths: Sequence[Path],
    transcript: Path | None = None,
    *,
    cuts: Path | None = None,
    no_asr: bool = False,
    language: str = "auto",
    strict: bool = False,
) -> Found:
    """Name every conversation to analyse, folders opened.

    A missing file among several is left for the pipeline to list with the other failures.

    :param paths: files and folders.
    :param transcript: the transcript of the only recording, or None.
    :param cuts: where the only recording is cut, or None; transcripts beside it have no say then.
    :param no_asr: no words are used; transcripts have no place then.
    :param language: of the speech; a transcript beside a recording may have it in its name. That of `auto`
        is English, which the bundled models read.
    :param strict: a transcript beside a recording is used even if it cannot be read, and stops it.
    :raises InputError: nothing to analyse, or options that contradict each other or the inputs.
    """
    transcripts: dict[Path, Path | None] = {}
    others: list[Path] = []
    unread: list[str] = []
    for path in paths:
        inside, rest = (
            _open_folder(path, _Beside(no_asr or cuts is not None, language, strict, unread))
            if path.is_dir()
            else ({path: None}, [])
        )
        for file, beside in inside.items():
            transcripts.setdefault(file, beside)
        others += rest
    _check(list(transcripts), transcript, no_asr)
    _check_cuts(cuts, list(transcripts), transcript)
    named = named_inputs((file, transcript or beside) for file, beside in transcripts.items())
    inputs = tuple(replace(given, cuts=cuts) for given in named)
    several = len(inputs) > 1 or any(path.is_dir() for path in paths)
    skipped = [file for file in others if file not in transcripts]
    return Found(inputs, several, tuple(_notes(transcripts, skipped, unread)))


@dataclass(frozen=True)
class _Beside:
    """How transcripts beside recordings are chosen.

    :param unread: told of those that cannot be read.
    """

    no_asr: bool
    language: str
    strict: bool
    unread: list[str]


def _open_folder(folder: Path, beside: _Beside) -> tuple[dict[Path, Path | None], list[Path]]:
    """Sort the files of a folder.

    :return: each conversation with the transcript beside it, by name; and the files that are neither.
    """
    files = sorted(file for file in folder.iterdir() if not file.name.startswith(".") and file.is_file())
    recordings = [file for file in files if file.suffix.lower() in AUDIO | VIDEO]
    found: dict[Path, Path | None]
    if recordings:
        words = [file for file in files if file.suffix.lower() in BESIDE_RECORDINGS]
        found = {
            recording: _transcript(recording, candidates, beside)
            for recording, candidates in _candidates(recordings, words, beside.language).items()
        }
    else:
        found = {
            file: None for file in files if file.suffix.lower() in WITHOUT_RECORDINGS and not _is_result(file)
        }
    if not found:
        raise InputError(
            f"{folder}: no recording in this folder, and no subtitles; looked for"
            f" {_extensions(AUDIO | VIDEO | {*WITHOUT_RECORDINGS})}"
        )
    used = {*found, *found.values()}
    return found, [file for file in files if file not in used]


def _candidates(
    recordings: Sequence[Path], files: Sequence[Path], language: str
) -> dict[Path, list[tuple[int, Path]]]:
    """Transcripts whose names fit each recording, with their ranks.

    A file is that of the recordings that it fits best: beside `call.wav` and `call.en.wav`, the words of
    `call.en.srt` are those of the second alone.
    """
    found: dict[Path, list[tuple[int, Path]]] = {recording: [] for recording in recordings}
    for file in files:
        fits = {
            recording: fit for recording in recordings if (fit := _fit(recording, file, language)) is not None
        }
        best = min(fits.values(), default=None)
        for recording, fit in fits.items():
            if fit == best:
                found[recording].append((fit[0], file))
    return found


def _transcript(recording: Path, candidates: Sequence[tuple[int, Path]], beside: _Beside) -> Path | None:
    """Find the preferred transcript of a recording that can be read; None = there is none."""
    if beside.no_asr:
        return None
    ranked = [(BESIDE_RECORDINGS.index(file.suffix.lower()), rank, file) for rank, file in candidates]
    for _, _, file in sorted(ranked):
        if _is_result(file):
            continue
        problem = None if beside.strict and file.suffix.lower() != ".json" else _problem(file)
        if problem is None:
            return file
        if file.suffix.lower() != ".json":  # other JSON may be settings, or notes on the recording
            beside.unread.append(f"{problem}; the words of {recording.name} come from elsewhere")
    return None


def _fit(recording: Path, file: Path, language: str) -> tuple[int, int] | None:
    """How well the name of a transcript fits a recording; None = it is not that of this one.

    `call.srt`, `call.wav.srt` and `call.en.srt` all fit `call.wav`.

    :return: the rank, 0 the best, and how many parts of the name are not the recording's.
    """
    stem = file.stem
    for rank, name in enumerate((recording.stem, recording.name)):
        if stem == name:
            return rank, 0
        if stem.startswith(f"{name}."):
            marks = stem[len(name) + 1 :].lower().split(".")
            if all(mark in _BESIDE_MARKS or _is_language(mark, language) for mark in marks):
                return 2 + rank, len(marks)
    return None


def _is_language(mark: str, language: str) -> bool:
    """Whether part of a name is a language's code, as `en`, `en-US`, or `eng` of ISO 639-2."""
    main, code = (re.split("[-_]", name.lower(), maxsplit=1)[0] for name in (mark, language))
    code = "en" if code == "auto" else code
    return main == code or (code == "en" and main in ("eng", "english"))


def _is_result(file: Path) -> bool:
    """Whether mister-e wrote this transcript as a result."""
    try:
        with file.open("rb") as opened:
            start = opened.read(400).decode("utf-8", errors="replace")
    except OSError:
        return False  # whoever reads it whole says what is wrong
    return _RESULT_START.search(start) is not None


def _problem(file: Path) -> str | None:
    """Why a transcript cannot be read; None = it can."""
    # imported here, as it brings the audio decoder, which --help need not wait for
    from mister_e.transcription.transcripts import read_transcript

    try:
        read_transcript(file)
    except InputError as error:
        return str(error)
    return None


def _check(files: Sequence[Path], transcript: Path | None, no_asr: bool) -> None:
    """Refuse options that contradict each other or the inputs."""
    from mister_e.transcription.transcripts import is_transcript

    if len(files) == 1 and not files[0].exists():
        raise InputError(f"{files[0]}: no such file or folder")
    texts = [file for file in files if is_transcript(file)]
    if no_asr and transcript is not None:
        raise InputError("--no-asr uses the sound alone and --transcript gives words: leave one of them out")
    if no_asr and texts:
        raise InputError(
            f"{texts[0]}: is a transcript, and --no-asr uses the sound alone; leave --no-asr out"
        )
    if transcript is None:
        return
    if len(files) != 1:
        raise InputError(f"--transcript goes with exactly one recording, got {len(files)} inputs")
    if texts:
        raise InputError(
            f"{texts[0]}: is a transcript itself; give the recording as INPUT, or leave --transcript out"
        )
    if not transcript.exists():
        raise InputError(f"{transcript}: no such transcript")


def _check_cuts(cuts: Path | None, files: Sequence[Path], transcript: Path | None) -> None:
    """Refuse cuts that contradict the inputs or their transcript."""
    from mister_e.transcription.transcripts import is_transcript

    if cuts is None:
        return
    if transcript is not None:
        raise InputError("--cuts and --transcript both say where turns begin and end: leave one of them out")
    if len(files) != 1:
        raise InputError(f"--cuts goes with exactly one recording, got {len(files)} inputs")
    if is_transcript(files[0]):
        raise InputError(f"{files[0]}: is a transcript; --cuts needs the recording as INPUT")
    if not cuts.exists():
        raise InputError(f"{cuts}: no such file of cuts")


def _notes(
    transcripts: Mapping[Path, Path | None], skipped: Sequence[Path], unread: Sequence[str]
) -> Iterator[str]:
    """Say which files of folders were used as transcripts, which cannot be, and which were skipped."""
    yield from unread
    beside = [file for file in transcripts.values() if file is not None]
    if beside:
        recordings = "1 recording" if len(beside) == 1 else f"{len(beside)} recordings"
        yield f"the words of {recordings} come from the transcripts beside them: {_listed(beside)}"
    if skipped:
        files = "1 file that is" if len(skipped) == 1 else f"{len(skipped)} files that are"
        what = "not a recording" if len(skipped) == 1 else "not recordings"
        yield f"skipped {files} {what}: {_listed(skipped)}"


def _listed(files: Sequence[Path], limit: int = 5) -> str:
    """Names of files, the first few."""
    more = f" and {len(files) - limit} more" if len(files) > limit else ""
    return ", ".join(file.name for file in files[:limit]) + more


def _extensions(known: Iterable[str]) -> str:
    """Extensions as words."""
    return ", ".join(sorted(extension.removeprefix(".") for extension in known))
