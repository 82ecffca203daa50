"""Encoders by the name of their kind; each is imported when it is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from mister_e.encoders.base import UtteranceEncoder
from mister_e.errors import InputError


class Kind(NamedTuple):
    """Where a kind of encoder is written."""

    module: str
    encoder: str
    config: str


KINDS: Mapping[str, Kind] = {
    "audio-llm": Kind("mister_e.encoders.speech.audio_llm", "AudioLLMEncoder", "AudioLLMConfig"),
    "features": Kind("mister_e.encoders.speech.features", "FeaturesEncoder", "FeaturesConfig"),
    "speech-model": Kind("mister_e.encoders.speech.pretrained", "SpeechModelEncoder", "SpeechModelConfig"),
    "text": Kind("mister_e.encoders.text.encoder", "TextEncoder", "TextEncoderConfig"),
    "whisper": Kind("mister_e.encoders.speech.whisper", "WhisperEncoder", "WhisperEncoderConfig"),
}

#: Names that kinds had in folders of older versions.
FORMER_KINDS: Mapping[str, str] = {"frames": "whisper"}


def encoder_class(kind: str) -> type[UtteranceEncoder]:
    """Class of a kind.

    :raises InputError: there is no such kind.
    """
    found: type[UtteranceEncoder] = getattr(import_module(_kind(kind).module), _kind(kind).encoder)
    return found


def config_class(kind: str) -> type[BaseModel]:
    """Configuration of a kind.

    :raises InputError: there is no such kind.
    """
    found: type[BaseModel] = getattr(import_module(_kind(kind).module), _kind(kind).config)
    return found


def new_encoder(kind: str, config: BaseModel) -> UtteranceEncoder:
    """Make an encoder from its pretrained base.

    :raises InputError: there is no such kind or base.
    """
    made: UtteranceEncoder = encoder_class(kind).from_base(config)
    return made


def load_encoder(folder: Path) -> UtteranceEncoder:
    """Read an encoder's folder, or that of the run which made it.

    :raises InputError: it is neither, or not whole.
    """
    if (folder / "encoder" / "encoder.json").is_file():
        folder = folder / "encoder"
    path = folder / "encoder.json"
    try:
        kind = json.loads(path.read_text(encoding="utf-8")).get("kind", "text")
    except FileNotFoundError:
        raise InputError(
            f"{folder}: no encoder there: it has no encoder.json, nor has its encoder/"
        ) from None
    except (ValueError, AttributeError):
        raise InputError(f"{path}: not written by mister-e; get the folder again") from None
    return encoder_class(kind).load(folder)


def _kind(name: str) -> Kind:
    name = FORMER_KINDS.get(name, name)
    if name not in KINDS:
        raise InputError(f"there is no encoder of kind {name!r}: the kinds are {', '.join(KINDS)}")
    return KINDS[name]
