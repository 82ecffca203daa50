"""From a recording, or a transcript file, to turns with their times and words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mister_e.lazy import lazy_names

if TYPE_CHECKING:
    from mister_e.transcription.align import cut_turns
    from mister_e.transcription.asr import Recognised, Recogniser
    from mister_e.transcription.segment import transcribe_turns
    from mister_e.transcription.transcripts import read_transcript
    from mister_e.transcription.whisper import WhisperRecogniser

__all__ = [
    "Recognised",
    "Recogniser",
    "WhisperRecogniser",
    "cut_turns",
    "read_transcript",
    "transcribe_turns",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Recognised": "asr",
        "Recogniser": "asr",
        "WhisperRecogniser": "whisper.recogniser",
        "cut_turns": "align",
        "read_transcript": "transcripts",
        "transcribe_turns": "segment",
    },
)
