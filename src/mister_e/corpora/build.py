"""Preparation of a corpus: from a reader's rows to a corpus folder, atomically."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mister_e.corpora.base import Protocol, Reader, Row
from mister_e.corpora.extraction import AudioFormat, archives, check_form, check_targets, extract, prune
from mister_e.corpora.own_splits import apply_splits, with_own_split
from mister_e.corpora.places import check_places, check_untouched, only_run
from mister_e.corpora.rows import check_rows, names, to_table
from mister_e.corpora.rows import counts as count_turns
from mister_e.corpora.store import METADATA, TABLE, Corpus, root_from, write
from mister_e.errors import InputError
from mister_e.files import sha256
from mister_e.progress import Progress, silent
from mister_e.version import __version__

#: Turns without speech for the same reason are noted one by one up to this number, else counted.
_NOTED = 20


def prepare(
    src: str | Path,
    out: str | Path,
    read: Reader,
    protocol: Protocol,
    *,
    sources: Sequence[str] = (),
    validate_on: str | None = None,
    splits: Mapping[str, str] | None = None,
    counts: bool = True,
    audio: AudioFormat = "none",
    jobs: int = 1,
    time_limit: float = 60.0,
    progress: Progress = silent,
) -> Corpus:
    """Read a raw release and write a corpus folder; the release is left as it is.

    :param src: the release; or one file, whose folder `Row.audio` is relative to.
    :param out: the corpus folder; a second run updates it and keeps finished audio.
    :param read: the reader of this corpus.
    :param protocol: which labels and split.
    :param sources: patterns of the annotation files below `src`, whose hashes are stored.
    :param validate_on: what to validate on where the release leaves it open.
    :param splits: conversation id to one of `SPLITS`, in place of the protocol's split and its counts.
    :param counts: check the counts against the protocol's, and that no split lacks labels; False for a
        part of a release.
    :param audio: "wav" or "flac" extracts 16 kHz mono files; "none" refers to the originals.
    :param jobs: decoding processes at a time.
    :param time_limit: seconds that decoding one clip may take.
    :return: the corpus as it was written.
    :raises InputError: the release, or a place to write, is not as expected.
    """
    src, out = Path(src), Path(out)
    check_form(audio)
    check_places(src, out)
    root = src if src.is_dir() else src.parent
    repairs: list[str] = []
    progress("reading annotations", 0, 0)
    rows = read(src, protocol, validate_on=validate_on, repairs=repairs)
    if splits is not None:
        rows, protocol = apply_splits(rows, splits), with_own_split(protocol)
    check_rows(rows, protocol)
    features, custom = names(row.features for row in rows), names(row.custom for row in rows)
    table = to_table(rows, features, custom)
    if counts:
        _check_counts(count_turns(table, protocol, features), protocol)
    originals = {row.audio.partition(archives.INSIDE)[0] for row in rows if row.audio is not None}
    check_untouched(out, [src, *(root / name for name in originals)], [out / TABLE, out / METADATA])
    hashes = _hashes(src, sources)
    with only_run(out):
        if audio == "none":
            rows = [_unless_inside(row) for row in rows]
        else:
            check_targets(root, out, rows, audio)
            rows, notes = extract(root, out, rows, audio, jobs=jobs, time_limit=time_limit, progress=progress)
            repairs += notes
        repairs += _missing_speech(rows)
        table = to_table(rows, features, custom)
        metadata = {
            "mister_e": __version__,
            "corpus": protocol.corpus,
            "protocol": protocol.to_json(),
            "validate_on": validate_on,
            "split_by": "protocol" if splits is None else "user",
            "labels": protocol.labels.to_json(),
            "counts": count_turns(table, protocol, features),
            "audio": audio,
            "audio_root": "." if audio != "none" else root_from(out, root),
            "features": features,
            "custom": custom,
            "sources": hashes,
            "repaired": repairs,
        }
        corpus = write(out, table, metadata)
        if audio != "none":
            prune(out, rows)
    return corpus


def named(protocols: Mapping[str, Protocol], name: str) -> Protocol:
    """Find a protocol by name, in upper or lower case.

    :raises InputError: there is none.
    """
    for protocol in protocols.values():
        if protocol.name.lower() == name.lower():
            return protocol
    raise InputError(f"unknown protocol {name!r}: choose {', '.join(protocols)}")


def _check_counts(counted: Mapping[str, Mapping[str, Any]], protocol: Protocol) -> None:
    """Raise InputError for a split without labels, and for counts that differ from the protocol's."""
    for split, counted_split in counted.items():
        if not counted_split["labelled"]:
            raise InputError(
                f"{protocol.name}: {split} has no labelled utterance; is the release complete?"
                " To prepare a part of it, turn the check of counts off (--any-counts)"
            )
    for split, expected in protocol.expected_conversations.items():
        _compare(counted[split]["conversations"], expected, f"{split} has", "conversations", protocol)
    for split, expected in protocol.expected.items():
        _compare(counted[split]["labelled"], expected, f"{split} has", "labelled utterances", protocol)
    for split, labels in protocol.expected_labels.items():
        for label, expected in labels.items():
            found = counted[split]["labels"][label]
            _compare(found, expected, f"{split} has", f"utterances labelled {label}", protocol)


def _compare(found: int, expected: int, before: str, after: str, protocol: Protocol) -> None:
    """Raise InputError unless the numbers are equal."""
    if found != expected:
        raise InputError(
            f"{protocol.name}: {before} {found:,} {after}, expected {expected:,}; is the release complete?"
            " To prepare a part of it, turn the check of counts off (--any-counts)"
        )


def _unless_inside(row: Row) -> Row:
    """Mark speech as missing where the clip is still inside an archive."""
    if row.audio is None or archives.INSIDE not in row.audio or row.speech_missing is not None:
        return row
    archive = row.audio.partition(archives.INSIDE)[0]
    return replace(row, speech_missing=f"still inside {archive}: extract it with --audio wav or flac")


def _missing_speech(rows: Sequence[Row]) -> Iterator[str]:
    """Yield notes on the turns without speech, by name unless there are many."""
    by_reason: dict[str, list[Row]] = {}
    for row in rows:
        if row.speech_missing is not None:
            by_reason.setdefault(row.speech_missing, []).append(row)
    for reason, some in by_reason.items():
        if len(some) > _NOTED:
            yield f"{len(some):,} turns: speech missing, {reason}"
        else:
            yield from (f"{row.utterance_id}: speech missing, {reason}" for row in some)


def _hashes(src: Path, patterns: Sequence[str]) -> dict[str, str]:
    """SHA-256 of the annotation files, by path below the source; those in archives where none is outside."""
    if src.is_file():
        return {src.name: sha256(src)}
    found = (file for pattern in patterns for file in src.glob(pattern))
    files = {file for file in found if file.is_file() and not archives.is_litter(str(file))}
    if files or not patterns:
        return {file.relative_to(src).as_posix(): sha256(file) for file in sorted(files)}
    wanted = [pattern.rpartition("/")[2] for pattern in patterns]
    inside = sorted(file for file in src.rglob("*") if archives.is_archive(file.name) and file.is_file())
    return {
        f"{file.relative_to(src).as_posix()}{archives.INSIDE}{member}": digest
        for file in inside
        if not archives.is_litter(str(file))
        for member, digest in archives.hashes(file, wanted)
    }
