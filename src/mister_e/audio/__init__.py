"""Audio signals: decoding, encoding, level, pitch and prosody. Turns and words are not known here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mister_e.audio.format import SAMPLE_RATE
from mister_e.lazy import lazy_names

if TYPE_CHECKING:
    from mister_e.audio.decode import Recording
    from mister_e.audio.sandbox import blocks, probe, read_clip

__all__ = ["SAMPLE_RATE", "Recording", "blocks", "probe", "read_clip"]

__getattr__ = lazy_names(
    __name__,
    {
        "Recording": "decode",
        "blocks": "sandbox",
        "probe": "sandbox",
        "read_clip": "sandbox",
    },
)
