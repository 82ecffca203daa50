"""The `config.json` of a model folder: what a model says of itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mister_e.encoders.base import UtteranceEncoder
from mister_e.errors import InputError
from mister_e.experts import Modality
from mister_e.files import sha256, write_text
from mister_e.inference.batch import needed_modalities
from mister_e.inference.calibration import Calibration
from mister_e.inference.former_formats import FORMER, upgraded
from mister_e.inference.model_card import render_card
from mister_e.model.config import MixtureConfig
from mister_e.pretrained.model_files import inside, read_json
from mister_e.version import __version__

FORMAT = 3
CONFIG = "config.json"
WEIGHTS = "mixture.safetensors"
CARD = "README.md"
#: Folder of what tells changes of voice; a model need not have it.
VOICES = "voices"


class EncoderMetadata(BaseModel):
    """What a model says of one of its encoders, as an `EmbeddingStore` says it.

    :param name: what people called it.
    :param kind: see `mister_e.encoders.registry`.
    :param identity: SHA-256 of all that decides its embeddings; "" = not known (format 2).
    :param dim: width of an embedding.
    :param config: its configuration.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    kind: str
    identity: str = ""
    dim: int = Field(gt=0)
    config: dict[str, Any] = {}

    @classmethod
    def of(cls, encoder: UtteranceEncoder) -> Self:
        """Describe an encoder by itself, without a name."""
        config = encoder.config.model_dump(mode="json")
        return cls(kind=encoder.kind, identity=encoder.identity, dim=encoder.dim, config=config)

    @property
    def called(self) -> str:
        """Name, or kind, and the start of the identity: for messages."""
        return f"{self.name or self.kind} {self.identity[:12]}…"

    @property
    def base(self) -> str | None:
        """The pretrained model that it stands on; None = on none."""
        base = self.config.get("base")
        return None if base is None else str(base)


class ModelConfig(BaseModel):
    """The `config.json` of a model folder.

    :param format: version of this layout.
    :param version: of mister-e, that wrote it.
    :param name: what people call the model.
    :param description: one sentence.
    :param languages: codes of the languages that it is meant for.
    :param labels: label names in the order of the logits.
    :param mixture: sizes and parts of the mixture.
    :param calibration: temperatures, and the confidence below which a turn is uncertain.
    :param encoders: modality to the encoder whose embeddings the mixture takes.
    :param training: recipe, seed, protocol, corpus, loss, settings, selection: how it was trained.
    :param scores: what was scored to its scores, see `mister_e.evaluation.summary.card_row`.
    :param notes: what a user should know besides, a sentence each.
    :param terms: what it may be used for.
    :param files: SHA-256 of every file but this one and the card, by path inside the folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    version: str = __version__
    name: str
    description: str = ""
    languages: list[str] = []
    labels: list[str]
    mixture: MixtureConfig
    calibration: Calibration = Calibration()
    encoders: dict[Modality, EncoderMetadata] = {}
    training: dict[str, Any] = {}
    scores: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    terms: str = ""
    files: dict[str, str] = {}

    @property
    def fingerprint(self) -> str:
        """One SHA-256 over the hashes of all files: the weights and nothing else decide it."""
        listed = "".join(f"{self.files[name]}  {name}\n" for name in sorted(self.files))
        return hashlib.sha256(listed.encode()).hexdigest()

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if len(self.labels) != self.mixture.classes:
            raise ValueError(f"{len(self.labels)} labels, but the mixture has {self.mixture.classes} classes")
        for modality in needed_modalities(self.mixture):
            encoder, width = self.encoders.get(modality), getattr(self.mixture, f"{modality}_dim")
            if encoder is not None and encoder.dim != width:
                raise ValueError(
                    f"{modality} embeddings have {encoder.dim} numbers, but the mixture takes {width}"
                )
        return self


def has_voices(config: ModelConfig) -> bool:
    """Whether a model folder holds what tells changes of voice."""
    return any(name.startswith(f"{VOICES}/") for name in config.files)


def check_listed(folder: Path, config: ModelConfig) -> None:
    """Refuse a model folder whose `config.json` lacks the hash of weights that lie in it.

    Those of encoders are in `EncoderMetadata.identity` as well.

    :raises InputError: names the file.
    """
    voices = sorted(path for path in (folder / VOICES).glob("*") if path.is_file())
    found = [f"{VOICES}/{path.name}" for path in voices if not _is_aside(path)]
    for name in (WEIGHTS, *found):
        if name not in config.files:
            raise InputError(
                f"{folder / CONFIG}: field 'files' lacks the SHA-256 of {name}; get the folder again, whole"
            )


def _is_aside(path: Path) -> bool:
    """Whether a file in a model folder is none of the model."""
    return path.name == "LICENSE.md" or path.name.startswith(".")


def write_config(folder: Path, config: ModelConfig) -> ModelConfig:
    """Write the card and `config.json`, with the hashes of all other files in the folder.

    :return: the configuration as it was written.
    """
    written = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    files = {
        name: sha256(path)
        for name, path in written.items()
        if path.is_file() and name not in (CONFIG, CARD) and path.name != "LICENSE.md"
    }
    config = config.model_copy(update={"format": FORMAT, "version": __version__, "files": files})
    write_text(folder / CARD, render_card(config.model_dump(mode="json")))
    write_text(folder / CONFIG, config.model_dump_json(indent=2) + "\n")
    return config


def read_config(folder: Path) -> ModelConfig:
    """Read and check the `config.json` of a model folder; older formats come as today's.

    :raises InputError: it is missing, not JSON, of an unknown format, or one of its fields is wrong.
    """
    path = folder / CONFIG
    if (folder / "encoder.json").is_file():
        raise InputError(
            f"{folder}: is an encoder, not a model: mister-e embed takes it, and mister-e export puts it"
            " beside a trained mixture"
        )
    try:
        data = read_json(inside(folder, CONFIG))
    except FileNotFoundError:
        half = " (half of one: export it again)" if (folder / WEIGHTS).is_file() else ""
        raise InputError(f"{path}: missing; {folder} is not a model folder{half}") from None
    version = data.get("format")
    if not isinstance(version, int) or version not in (FORMAT, *FORMER):
        newer = isinstance(version, int) and version > FORMAT
        raise InputError(
            f"{path}: of format {version!r}, this version reads {', '.join(map(str, (*FORMER, FORMAT)))}:"
            f" {'update mister-e' if newer else 'it is not a model folder of mister-e'}"
        )
    try:
        return ModelConfig.model_validate(data if version == FORMAT else upgraded(data))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: field {name!r}: {first['msg'].removeprefix('Value error, ')}") from None
