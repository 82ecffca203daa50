"""Extraction of a corpus' audio to 16 kHz mono files: parallel, resumable, in constant memory."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from queue import SimpleQueue
from typing import Literal, get_args
from urllib.parse import quote

from mister_e.corpora.base import Row
from mister_e.corpora.extraction import archives
from mister_e.corpora.extraction.decoder import Decoder, DecodingResult
from mister_e.corpora.extraction.journal import Journal, Key
from mister_e.corpora.places import check_untouched
from mister_e.corpora.store import METADATA
from mister_e.errors import InputError
from mister_e.progress import Progress, silent

#: How a corpus holds its audio: "none" = references to the originals; else 16 kHz mono copies.
AudioFormat = Literal["none", "wav", "flac"]

#: Folder of the copies inside a corpus folder.
FOLDER = "audio"

#: File inside it that lists the finished ones.
_JOURNAL = "done.jsonl"

#: Folder inside it for clips that were copied out of an archive and wait to be decoded.
_SPOOL = ".spool"

#: Name of a file while it is written.
_PART = re.compile(r"\..+\.(wav|flac)\.[^.]+\.part")

#: Longer names are cut, as file systems allow 255 bytes.
_LONGEST_NAME = 120


@dataclass(frozen=True)
class _Job:
    """One clip to extract: its row, the file to write, and what that file depends on."""

    index: int
    row: Row
    target: str
    key: Key


@dataclass(frozen=True)
class _Source:
    """The file of a clip; `spooled` = a copy out of an archive, deleted after decoding."""

    job: _Job
    path: Path
    spooled: bool = False


def extract(
    src: Path,
    out: Path,
    rows: Sequence[Row],
    form: AudioFormat,
    *,
    jobs: int = 1,
    time_limit: float = 60.0,
    progress: Progress = silent,
) -> tuple[list[Row], list[str]]:
    """Write every clip as a 16 kHz mono file; clips finished by an earlier run are kept.

    :param src: the folder that `Row.audio` is relative to.
    :param out: the corpus folder.
    :param form: "wav" or "flac".
    :param jobs: decoding processes at a time.
    :param time_limit: seconds that one clip may take.
    :return: the rows with `audio` relative to `out`, or the reason why their speech is missing; and
        notes on clips that were written but repaired, or cut off.
    :raises InputError: an archive is damaged, or the disk is full; finished clips are kept.
    """
    folder = out / FOLDER
    _make(folder)
    _sweep(folder)
    # a clip that must not be used is not extracted, and its original is not below `out`
    result = [replace(row, audio=None, stretch=None) for row in rows]
    notes: dict[int, Sequence[str]] = {}
    with Journal(folder / _JOURNAL) as journal:
        todo: list[_Job] = []
        for job in _jobs(src, rows, form):
            before = journal.notes(job.target, job.key)
            if before is not None and (out / job.target).is_file():
                result[job.index] = replace(job.row, audio=job.target, stretch=None)
                notes[job.index] = before
            else:
                todo.append(job)
        done = len(rows) - len(todo)
        _outdate(out, todo, journal)
        for job, outcome in _run(src, out, todo, jobs, time_limit):
            if outcome.fault is None:
                journal.add(job.target, job.key, outcome.notes)
                result[job.index] = replace(job.row, audio=job.target, stretch=None)
                notes[job.index] = outcome.notes
            else:
                result[job.index] = replace(job.row, audio=None, speech_missing=outcome.fault)
            done += 1
            progress("extracting audio", done, len(rows))
    return result, [f"{rows[index].utterance_id}: {note}" for index in sorted(notes) for note in notes[index]]


def check_form(form: str) -> None:
    """Check that a name is an `AudioFormat`.

    :raises InputError: it is not.
    """
    if form not in get_args(AudioFormat):
        raise InputError(f"audio is {form!r}, expected {', '.join(get_args(AudioFormat))}")


def check_targets(src: Path, out: Path, rows: Sequence[Row], form: AudioFormat) -> None:
    """Check that extraction writes neither into a foreign folder nor over a file that the rows refer to.

    :raises InputError: it would.
    """
    folder = out / FOLDER
    if not folder.exists():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise InputError(f"{folder}: is a link or a file, expected a folder; choose another folder for {out}")
    if not (folder / _JOURNAL).is_file() and any(folder.iterdir()):
        raise InputError(f"{folder}: holds files that prepare did not write; choose another folder for {out}")
    jobs = list(_jobs(src, rows, form))
    sources = {job.key.audio.partition(archives.INSIDE)[0] for job in jobs}
    check_untouched(out, (src / name for name in sources), (out / job.target for job in jobs))


def prune(out: Path, rows: Sequence[Row]) -> None:
    """Remove the files of earlier runs that no row refers to any more.

    :param out: the corpus folder.
    :param rows: as `extract` gave them.
    """
    used = {row.audio for row in rows if row.audio is not None}
    with Journal(out / FOLDER / _JOURNAL) as journal:
        stale = [target for target in journal.targets() if target not in used]
        for target in stale:
            path = PurePosixPath(target)
            if path.parts[0] != FOLDER or ".." in path.parts:
                continue  # not a line that prepare wrote
            (out / target).unlink(missing_ok=True)
            with suppress(OSError):  # other files are there
                (out / target).parent.rmdir()
        if stale:
            journal.keep(used)


def _outdate(out: Path, todo: Sequence[_Job], journal: Journal) -> None:
    """Invalidate the corpus whose files are about to be replaced."""
    try:
        if any((out / job.target).exists() for job in todo):
            (out / METADATA).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{out / METADATA}: cannot be replaced ({error.strerror})") from error
    for job in todo:
        journal.begin(job.target)


def _make(folder: Path) -> None:
    """Make a folder.

    :raises InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made ({error.strerror}); make room, then run the same again"
        ) from error


def _sweep(folder: Path) -> None:
    """Remove the unfinished files of a run that was killed."""
    shutil.rmtree(folder / _SPOOL, ignore_errors=True)
    for rest in folder.rglob(".*.part"):
        if _PART.fullmatch(rest.name):
            rest.unlink()


def _jobs(src: Path, rows: Sequence[Row], form: str) -> Iterator[_Job]:
    """Yield a job for every row that has speech."""
    stamps: dict[Path, tuple[int, int] | None] = {}
    for index, row in enumerate(rows):
        if row.audio is None or row.speech_missing is not None:
            continue
        path = src / row.audio.partition(archives.INSIDE)[0]
        if path not in stamps:
            stamps[path] = _stamp(path)
        target = f"{FOLDER}/{_file_name(row.conversation_id)}/{_file_name(row.utterance_id)}.{form}"
        yield _Job(index, row, target, Key(row.audio, stamps[path], row.stretch))


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of modification (ns) of a file; None = it is not there."""
    try:
        stat = path.stat()
    except OSError:
        return None  # the decoder will report it
    return stat.st_size, stat.st_mtime_ns


def _file_name(name: str) -> str:
    """Turn an id into a file name, a different one for each id."""
    safe = quote(name, safe=" ()+,=@")
    safe = "%2E" + safe[1:] if safe.startswith(".") else safe
    if len(safe) <= _LONGEST_NAME:
        return safe
    return f"{safe[:_LONGEST_NAME]}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _run(
    src: Path, out: Path, todo: Sequence[_Job], jobs: int, time_limit: float
) -> Iterator[tuple[_Job, DecodingResult]]:
    """Extract clips in parallel; yield each with its result when it is finished."""
    if not todo:
        return
    decoders = [Decoder(time_limit) for _ in range(min(jobs, len(todo)))]
    idle: SimpleQueue[Decoder] = SimpleQueue()
    for decoder in decoders:
        idle.put(decoder)

    def decode(source: _Source) -> DecodingResult:
        decoder = idle.get()
        try:
            return decoder(source.path, out / source.job.target, source.job.row.stretch)
        finally:
            idle.put(decoder)
            if source.spooled:
                source.path.unlink(missing_ok=True)

    spool = out / FOLDER / _SPOOL
    _make(spool)
    try:
        yield from _pooled(_sources(src, todo, spool), decode, decoders)
    finally:
        for decoder in decoders:
            decoder.close()
        shutil.rmtree(spool)


def _pooled(
    sources: Iterator[_Source], decode: Callable[[_Source], DecodingResult], decoders: Sequence[Decoder]
) -> Iterator[tuple[_Job, DecodingResult]]:
    """Call `decode` on the sources, as many at a time as there are decoders."""
    running: dict[Future[DecodingResult], _Job] = {}
    with ThreadPoolExecutor(len(decoders)) as pool:
        try:
            for source in sources:
                running[pool.submit(decode, source)] = source.job
                # two clips a decoder: none waits for work, and no more than that is ever spooled
                if len(running) >= 2 * len(decoders):
                    yield from _finished(running)
            while running:
                yield from _finished(running)
        finally:
            for future in running:
                future.cancel()
            if running:  # stopped on the way: nobody waits for these clips
                for decoder in decoders:
                    decoder.kill()


def _finished(running: dict[Future[DecodingResult], _Job]) -> Iterator[tuple[_Job, DecodingResult]]:
    """Wait until at least one clip is finished, and yield those that are."""
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        yield running.pop(future), future.result()


def _sources(src: Path, todo: Sequence[_Job], spool: Path) -> Iterator[_Source]:
    """Yield the file of each clip; those in archives come last, in the order of the archive."""
    inside: dict[str, dict[str, list[_Job]]] = {}
    for job in todo:
        assert job.row.audio is not None
        archive, _, member = job.row.audio.partition(archives.INSIDE)
        if member:
            inside.setdefault(archive, {}).setdefault(member, []).append(job)
        else:
            yield _Source(job, src / archive)
    for archive, wanted in inside.items():
        yield from _spooled(src / archive, wanted, spool)


def _spooled(archive: Path, wanted: Mapping[str, Sequence[_Job]], spool: Path) -> Iterator[_Source]:
    """Copy clips out of an archive, each when the next one is wanted."""
    for member, content in archives.stream(archive, wanted):
        for job in wanted[member]:
            path = spool / f"{job.index}{Path(member).suffix}"
            try:
                path.write_bytes(content)
            except OSError as error:
                raise InputError(
                    f"{path}: cannot be written ({error.strerror}); make room, then run the same again"
                ) from error
            yield _Source(job, path, spooled=True)
