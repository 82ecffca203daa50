"""A model is a folder: what it holds, how it is written, and what is checked when it is read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mister_e.encoders.speech.whisper import WhisperEncoder, WhisperEncoderConfig
from mister_e.encoders.text.encoder import TextEncoder
from mister_e.errors import InputError
from mister_e.files import replacing, sha256, write_text
from mister_e.inference.calibration import Calibration
from mister_e.labels import LabelSet
from mister_e.model import MisterE
from mister_e.model.config import MixtureConfig
from mister_e.pretrained.weights import load_strictly, verify

FORMAT = 2

#: What every folder holds. Beside adapters on a frozen base there is no `text/config.json` or tokenizer.
READ = ("model.safetensors", "text/encoder.json", "text/model.safetensors")


class FolderConfig(BaseModel):
    """The `config.json` of a model folder.

    :param format: version of this layout.
    :param name: what people call the model.
    :param description: one sentence.
    :param languages: languages that it is meant for.
    :param labels: label names in the order of the logits.
    :param mixture: sizes of the mixture.
    :param speech_encoder: sizes of the speech encoder and the name of its frozen base.
    :param calibration: temperatures, and the confidence below which a turn is uncertain.
    :param training: protocol: corpora, splits, seeds, selection.
    :param scores: what the test splits gave.
    :param terms: what it may be used for.
    :param files: SHA-256 of every weight and tokenizer file, by path inside the folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    name: str
    description: str
    languages: list[str]
    labels: list[str]
    mixture: MixtureConfig
    speech_encoder: WhisperEncoderConfig
    calibration: Calibration = Calibration()
    training: dict[str, Any] = {}
    scores: dict[str, Any] = {}
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
        if self.speech_encoder.embedding_dim != self.mixture.speech_dim:
            raise ValueError(
                f"speech embeddings have {self.speech_encoder.embedding_dim} numbers,"
                f" but the mixture takes {self.mixture.speech_dim}"
            )
        return self


@dataclass(frozen=True)
class ModelFolder:
    """Everything that a model folder holds, in memory."""

    config: FolderConfig
    text_encoder: TextEncoder
    speech_encoder: WhisperEncoder
    mixture: MisterE

    @property
    def labels(self) -> LabelSet:
        """The emotions that the model can tell."""
        return LabelSet.from_json(self.config.labels)

    def save(self, folder: Path, *, dtype: torch.dtype = torch.float16) -> None:
        """Write the folder; `config.json` last, so that half a folder is never taken for a whole one.

        :param folder: made where it is missing.
        :param dtype: precision of the weights on disk.
        """
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").unlink(missing_ok=True)
        self.text_encoder.save(folder / "text", dtype=dtype)
        weights = {
            f"speech_encoder.{name}": value for name, value in self.speech_encoder.state_dict().items()
        }
        weights |= {f"mixture.{name}": value for name, value in self.mixture.state_dict().items()}
        with replacing(folder / "model.safetensors") as temporary:
            save_file({name: value.to(dtype).contiguous() for name, value in weights.items()}, temporary)
        written = sorted(p for p in folder.rglob("*") if p.suffix in {".safetensors", ".json"})
        files = {path.relative_to(folder).as_posix(): sha256(path) for path in written}
        config = self.config.model_copy(update={"files": files})
        write_text(folder / "config.json", config.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> ModelFolder:
        """Read a folder, verify its files, and fill the modules strictly.

        :param folder: written by `save`.
        :raises InputError: a file is missing, damaged or of another version, or a weight is
            missing or unexpected.
        """
        config = read_config(folder)
        unsigned = [name for name in READ if name not in config.files]
        if unsigned:
            raise InputError(f"{folder / 'config.json'}: field 'files' lacks the SHA-256 of {unsigned[0]}")
        verify(folder, config.files)
        path = folder / "model.safetensors"
        try:
            weights = load_file(path)
        except (SafetensorError, FileNotFoundError) as error:
            raise InputError(
                f"{path}: cannot be read as safetensors ({error}); get the folder again"
            ) from None
        speech_encoder, mixture = WhisperEncoder(config.speech_encoder), MisterE(config.mixture)
        parts = torch.nn.ModuleDict({"speech_encoder": speech_encoder, "mixture": mixture})
        load_strictly(parts, weights, path)
        text_encoder = TextEncoder.load(folder / "text")
        if text_encoder.dim != config.mixture.text_dim:
            raise InputError(
                f"{folder}: text embeddings have {text_encoder.dim} numbers,"
                f" but the mixture takes {config.mixture.text_dim}"
            )
        return cls(config, text_encoder.eval(), speech_encoder.eval(), mixture.eval())


def read_config(folder: Path) -> FolderConfig:
    """Read and check the `config.json` of a model folder.

    :raises InputError: it is missing, not JSON, or a field is unknown, missing or wrong.
    """
    path = folder / "config.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; {folder} is not a model folder") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not JSON ({error}); get the folder again") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path}: not a model folder of format {FORMAT}; update mister-e or the folder")
    try:
        return FolderConfig.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: field {field!r}: {first['msg']}") from None
