"""A trained mixture is a folder: `config.json` says all about it, `model.safetensors` holds its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from safetensors.torch import load_file, save_file

from mister_e.corpora.base import Protocol
from mister_e.encoders.store import EmbeddingStore
from mister_e.errors import InputError
from mister_e.files import replacing, sha256, write_text
from mister_e.inference.batch import needed_modalities
from mister_e.inference.calibration import Calibration, temperatures
from mister_e.inference.predictions import Predictions
from mister_e.labels import LabelSet
from mister_e.model import MisterE
from mister_e.model.config import MixtureConfig
from mister_e.pretrained.weights import load_strictly, verify
from mister_e.version import __version__

FORMAT = 1
KIND = "mixture"


class MixtureFacts(BaseModel):
    """The `config.json` of a trained mixture's folder.

    :param format: version of this layout.
    :param kind: always "mixture".
    :param version: of mister-e, that wrote it.
    :param labels: label names in the order of the logits.
    :param model: sizes and parts.
    :param calibration: temperatures, fitted on validation.
    :param encoders: modality to `name`, `kind`, `identity`, `dim` and `config` of the store's encoder.
    :param protocol: of the corpus, as `Protocol.to_json` gives it.
    :param corpus_sha256: of the corpus's table.
    :param selection: the split that the epoch was chosen by.
    :param recipe: name of the recipe.
    :param seed: of the run.
    :param loss: weights of its parts.
    :param train: how it was trained.
    :param validation: scores of the kept epoch, 0 to 100.
    :param files: SHA-256 of the weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    kind: str = KIND
    version: str = __version__
    labels: list[str]
    model: MixtureConfig
    calibration: Calibration = Calibration()
    encoders: dict[str, dict[str, Any]] = {}
    protocol: dict[str, Any] = {}
    corpus_sha256: str = ""
    selection: str = "validation"
    recipe: str = ""
    seed: int = 0
    loss: dict[str, Any] = {}
    train: dict[str, Any] = {}
    validation: dict[str, float] = {}
    files: dict[str, str] = {}

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if len(self.labels) != self.model.classes:
            raise ValueError(f"{len(self.labels)} labels, but the model has {self.model.classes} classes")
        return self


@dataclass(frozen=True)
class TrainedMixture:
    """A mixture and all that is known of it."""

    model: MisterE
    facts: MixtureFacts

    @property
    def labels(self) -> LabelSet:
        """The emotions that it tells, in the order of the logits."""
        return LabelSet.from_json(self.facts.labels)

    @property
    def calibration(self) -> Calibration:
        """Temperatures for each set of modalities that a turn has."""
        return self.facts.calibration

    @property
    def protocol(self) -> Protocol:
        """Of the corpus that it was trained on."""
        return Protocol.from_json(self.facts.protocol)

    def temperatures(self, predictions: Predictions) -> NDArray[np.float64]:
        """What the logits of each turn are divided by, `[N, 1]`: its modalities decide it."""
        return temperatures(self.calibration, predictions)

    def check(self, store: EmbeddingStore, mode: str = "full") -> None:
        """Refuse a store of other encoders or labels than the mixture was trained on.

        So is the same corpus, prepared otherwise: its test split may hold what was trained on here.

        :param mode: what the mixture will be shown: "text-only" needs no embeddings of speech.
        :raises InputError: names both.
        """
        if store.protocol.labels != self.labels:
            raise InputError(
                f"{store.folder}: its labels are {', '.join(store.protocol.labels)},"
                f" the model's are {', '.join(self.labels)}"
            )
        before, now = self.facts.corpus_sha256, store.facts["corpus_sha256"]
        if before != now and self.facts.protocol.get("corpus") == store.protocol.corpus:
            raise InputError(
                f"{store.folder}: it is of {store.protocol.name} {now[:12]}…, the model was trained on"
                f" {self.facts.protocol['name']} {before[:12]}…: the same corpus, prepared otherwise, whose"
                " test split may hold turns that were trained on; use the store that it was trained on"
            )
        for modality in needed_modalities(self.model.config):
            ours, theirs = self.facts.encoders.get(modality), store.facts["encoders"].get(modality)
            other = "text" if modality == "speech" else "speech"
            if ours is not None and theirs is None and mode != f"{other}-only":
                raise InputError(
                    f"{store.folder}: it holds no {modality} embeddings, which the model was trained on;"
                    f" run mister-e embed for them, or evaluate with --mode {other}-only"
                )
            if ours is not None and theirs is not None and ours["identity"] != theirs["identity"]:
                raise InputError(
                    f"{store.folder}: its {modality} embeddings are by {_called(theirs)},"
                    f" the model was trained on those by {_called(ours)};"
                    " use the store that it was trained on"
                )


def save_mixture(folder: Path, model: MisterE, facts: MixtureFacts) -> None:
    """Write the folder; `config.json` last, so that half a folder is never taken for a whole one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").unlink(missing_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with replacing(folder / "model.safetensors") as temporary:
        save_file(weights, temporary)
    files = {"model.safetensors": sha256(folder / "model.safetensors")}
    written = facts.model_copy(update={"files": files, "model": model.config})
    write_text(folder / "config.json", written.model_dump_json(indent=2) + "\n")


def load_mixture(folder: str | Path) -> TrainedMixture:
    """Read a trained mixture.

    :param folder: written by `mister-e train`: a run's `seed-N`, or the `model` in it.
    :raises InputError: it is neither, damaged, or of another version.
    """
    folder = Path(folder)
    if (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    path = folder / "config.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        seeds = sorted(one.name for one in folder.glob("seed-*"))
        hint = f"; it holds runs: name one, such as {folder / seeds[0]}" if seeds else ""
        raise InputError(f"{folder}: no trained mixture there: it has no config.json{hint}") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); train again") from None
    if not isinstance(data, Mapping) or data.get("kind") != KIND:
        raise InputError(f"{path}: not of a trained mixture; give a folder that mister-e train wrote")
    if data.get("format") != FORMAT:
        raise InputError(
            f"{path}: format {data.get('format')}, written by mister-e {data.get('version')};"
            f" this version reads {FORMAT}: update mister-e, or train again"
        )
    try:
        facts = MixtureFacts.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: field {field!r}: {first['msg'].removeprefix('Value error, ')}") from None
    verify(folder, facts.files)
    model = MisterE(facts.model)
    weights = folder / "model.safetensors"
    try:
        tensors = load_file(weights)
    except Exception as error:
        raise InputError(f"{weights}: cannot be read as safetensors ({error}); train again") from None
    load_strictly(model, tensors, weights)
    return TrainedMixture(model.eval(), facts)


def _called(encoder: Mapping[str, Any]) -> str:
    return f"{encoder.get('name') or encoder['kind']} {encoder['identity'][:12]}…"
