"""Folders of labelled clips with a manifest: harmonic tones whose pitch tells the emotion."""

from __future__ import annotations

import csv
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mister_e.audio.format import SAMPLE_RATE


def write_clip(path: Path, pitch: float, seconds: float) -> None:
    """A voice-like tone with overtones."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    samples = 0.2 * sum(np.sin(2 * np.pi * k * pitch * time) / k for k in range(1, 6))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((samples * 20000).astype("<i2").tobytes())


def write_clips(
    folder: Path,
    pitches: Mapping[str, float],
    *,
    voices: Sequence[str] = ("Ann", "Ben", "Cid", "Dot", "Eve", "Flo", "Gus"),
    seconds: float | None = None,
) -> Path:
    """One clip of each emotion by each voice, 0.6 s and a little more, unless told.

    :param pitches: emotion, as the manifest has it, to Hz.
    """
    folder.mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "speaker", "emotion", "text", "gender", "seconds"))
        for number, voice in enumerate(voices):
            for emotion, pitch in pitches.items():
                length = seconds or 0.6 + 0.02 * number
                name = f"{number}-{emotion}.wav"
                write_clip(folder / name, pitch + 7 * number, length)
                rows.writerow((name, voice, emotion, f"Words {number}.", "f", length))
    return folder
