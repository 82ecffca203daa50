"""Utterance encoders: from the words and the sound of a turn to one embedding each, in training and use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mister_e.lazy import lazy_names

if TYPE_CHECKING:
    from mister_e.encoders.base import UtteranceEncoder
    from mister_e.encoders.conversations import StoredConversation
    from mister_e.encoders.registry import load_encoder, new_encoder
    from mister_e.encoders.speech.audio_llm import AudioLLMEncoder
    from mister_e.encoders.speech.features import FeaturesEncoder
    from mister_e.encoders.speech.pretrained import SpeechModelEncoder
    from mister_e.encoders.speech.whisper import WhisperEncoder
    from mister_e.encoders.store import EmbeddingStore
    from mister_e.encoders.text.encoder import TextEncoder

__all__ = [
    "AudioLLMEncoder",
    "EmbeddingStore",
    "FeaturesEncoder",
    "SpeechModelEncoder",
    "StoredConversation",
    "TextEncoder",
    "UtteranceEncoder",
    "WhisperEncoder",
    "load_encoder",
    "new_encoder",
]

__getattr__ = lazy_names(
    __name__,
    {
        "AudioLLMEncoder": "speech.audio_llm",
        "EmbeddingStore": "store",
        "FeaturesEncoder": "speech.features",
        "SpeechModelEncoder": "speech.pretrained",
        "StoredConversation": "conversations",
        "TextEncoder": "text.encoder",
        "UtteranceEncoder": "base",
        "WhisperEncoder": "speech.whisper",
        "load_encoder": "registry",
        "new_encoder": "registry",
    },
)
