"""Encoders by the name of their kind; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from mister_e.encoders.backbones.bases import fetch_base
from mister_e.encoders.base import UtteranceEncoder
from mister_e.errors import InputError
from mister_e.experts import Modality
from mister_e.pretrained import is_hub_id, model_folder
from mister_e.pretrained.model_files import inside, read_json


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


def encoder_folder(folder: Path) -> Path:
    """Find an encoder in its own folder, or in that of the run which made it.

    :raises InputError: it is neither.
    """
    for place in (folder, folder / "encoder"):
        if (place / "encoder.json").is_file():
            return place
    seeds = sorted(path.name for path in folder.glob("seed-*"))
    hint = f"; it holds runs: name one, such as {folder / seeds[0]}" if seeds else ""
    raise InputError(f"{folder}: no encoder there: it has no encoder.json, nor has its encoder/{hint}")


def find_encoder(name: str, modality: Modality) -> Path:
    """Find an encoder by what people call it.

    :param name: folder of an encoder, of its run, or of a model; a bundled model, or a Hub id.
    :param modality: which of a model's encoders.
    :return: the encoder's folder.
    :raises InputError: there is none, or it is of the other modality.
    """
    path = Path(name)
    if path.is_dir() and not (path / modality / "encoder.json").is_file():
        return encoder_folder(path)
    folder = model_folder(name) / modality
    if not (folder / "encoder.json").is_file():
        raise InputError(f"{name}: that model has no {modality} encoder in a folder of its own")
    if is_hub_id(name):
        fetch_base(folder)
    return folder


def load_encoder(folder: Path) -> UtteranceEncoder:
    """Read an encoder's folder, or that of the run which made it.

    :raises InputError: it is neither, or not whole.
    """
    folder = encoder_folder(folder)
    path = inside(folder, "encoder.json")
    kind = read_json(path).get("kind", "text")
    if not isinstance(kind, str) or FORMER_KINDS.get(kind, kind) not in KINDS:
        raise InputError(f"{path}: field 'kind' is {str(kind)[:40]!r}; the kinds are {', '.join(KINDS)}")
    try:
        return encoder_class(kind).load(folder)
    except InputError as error:
        if str(folder) in str(error):
            raise
        raise InputError(f"{folder}: {error}") from error


def _kind(name: str) -> Kind:
    name = FORMER_KINDS.get(name, name)
    if name not in KINDS:
        raise InputError(f"there is no encoder of kind {name!r}: the kinds are {', '.join(KINDS)}")
    return KINDS[name]
