"""Checks of a corpus' clips. Each is decoded once, in another process, which may hang or crash."""

from __future__ import annotations

import tempfile
import wave
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl

from mister_e.audio.format import SAMPLE_RATE
from mister_e.corpora.checks.findings import Check, DecodedClip, Evidence, Finding, several
from mister_e.corpora.extraction.decoder import Decoder
from mister_e.corpora.store import Corpus
from mister_e.progress import Progress, silent

#: The length of a clip and that of its times differ by more than this (s), and by more than this factor.
_LENGTH_SECONDS, _LENGTH_FACTOR = 0.5, 1.5


def decode_clips(
    corpus: Corpus, *, time_limit: float = 60.0, progress: Progress = silent
) -> dict[int, DecodedClip]:
    """Decode every clip that a model would use.

    :param corpus: its audio may be its own, or in the release that it refers to.
    :param time_limit: seconds that decoding one clip may take.
    :return: row of the table to the result of decoding its clip.
    """
    columns = ("audio", "clip_start", "clip_end")
    usable = pl.col("audio").is_not_null() & pl.col("speech_missing").is_null()
    rows = corpus.table.with_row_index("row").filter(usable).select("row", *columns)
    root = corpus.audio_root
    clips: dict[int, DecodedClip] = {}
    with tempfile.TemporaryDirectory() as folder, closing(Decoder(time_limit)) as decoder:
        copy = Path(folder) / "clip.wav"
        for done, (row, audio, start, end) in enumerate(rows.iter_rows()):
            progress("listening", done, rows.height)
            stretch = None if end is None else (start or 0.0, end)
            clips[row] = _decode(decoder, root / audio, copy, stretch)
    return clips


def _decode(decoder: Decoder, clip: Path, copy: Path, stretch: tuple[float, float] | None) -> DecodedClip:
    """Decode one clip and measure it."""
    if not clip.is_file():
        return DecodedClip(fault=f"{clip}: no such file")
    fault = decoder(clip, copy, stretch).fault
    if fault is not None:
        return DecodedClip(fault=fault)
    with wave.open(str(copy), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    peak = int(np.abs(samples.astype(np.int32)).max(initial=0)) / 32767
    return DecodedClip(seconds=len(samples) / SAMPLE_RATE, peak=peak)


def undecodable(evidence: Evidence) -> Iterator[Finding]:
    """Find clips that cannot be decoded."""
    faults = [(row, clip.fault) for row, clip in evidence.clips.items() if clip.fault is not None]
    if faults:
        message = f"{several(len(faults), 'clip')} cannot be decoded, the first: {faults[0][1]}"
        yield Finding("error", "clip-undecodable", message, evidence.ids([row for row, _ in faults]))


def inaudible(evidence: Evidence) -> Iterator[Finding]:
    """Find clips that are silent."""
    rows = [row for row, clip in evidence.clips.items() if clip.silent]
    if rows:
        yield Finding(
            "warning",
            "clip-silent",
            f"{several(len(rows), 'clip')} without any sound to be heard",
            evidence.ids(rows),
        )


def lengths(evidence: Evidence) -> Iterator[Finding]:
    """Find clips whose length differs from that of their times."""
    rows = []
    spans = evidence.table.select(pl.col("end") - pl.col("start")).to_series()
    for row, clip in evidence.clips.items():
        span = spans[row]
        if clip.fault is not None or span is None or span < 0:
            continue
        shorter, longer = sorted((clip.seconds, span))
        if longer - shorter > _LENGTH_SECONDS and longer > _LENGTH_FACTOR * shorter:
            rows.append(row)
    if rows:
        message = f"{several(len(rows), 'clip')} much longer or shorter than the times say"
        yield Finding("warning", "clip-length", message, evidence.ids(rows))


CHECKS: tuple[Check, ...] = (undecodable, inaudible, lengths)
