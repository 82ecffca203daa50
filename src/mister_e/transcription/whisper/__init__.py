"""Whisper as a recogniser: its models, its words, and the languages of a recording."""

from mister_e.transcription.whisper.languages import AUTO
from mister_e.transcription.whisper.models import COMPUTE_TYPES, load_whisper
from mister_e.transcription.whisper.recogniser import WhisperRecogniser, whisper_recognisers

__all__ = ["AUTO", "COMPUTE_TYPES", "WhisperRecogniser", "load_whisper", "whisper_recognisers"]
