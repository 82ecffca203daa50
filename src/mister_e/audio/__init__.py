"""From recordings and transcripts to turns."""

from mister_e.audio.cues import cut_turns
from mister_e.audio.decode import Recording, blocks, probe, read_clip
from mister_e.audio.encode import encode
from mister_e.audio.transcripts import read_transcript, to_srt, to_vtt
from mister_e.audio.turns import transcribe_turns

__all__ = [
    "Recording",
    "blocks",
    "cut_turns",
    "encode",
    "probe",
    "read_clip",
    "read_transcript",
    "to_srt",
    "to_vtt",
    "transcribe_turns",
]
