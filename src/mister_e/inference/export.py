"""Put a trained mixture and its encoders into one model folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mister_e.encoders.registry import encoder_folder, load_encoder
from mister_e.encoders.voices.persistence import find_network, load_network
from mister_e.errors import InputError
from mister_e.experts import Modality
from mister_e.inference.batch import needed_modalities
from mister_e.inference.calibration import Calibration
from mister_e.inference.model_config import (
    CARD,
    CONFIG,
    VOICES,
    WEIGHTS,
    EncoderMetadata,
    ModelConfig,
    read_config,
    write_config,
)
from mister_e.inference.model_folder import ModelFolder, check_identity, save_weights


def export(
    run: str | Path,
    out: str | Path,
    encoders: Mapping[Modality, Path],
    *,
    voices: Path | None = None,
    name: str | None = None,
    scores: Mapping[str, Mapping[str, Any]] | None = None,
) -> ModelConfig:
    """Put a trained mixture and its encoders into one folder.

    :param run: the folder of one seed of a run.
    :param out: the model folder; replaced where it is one already.
    :param encoders: modality to an encoder's folder, or that of the run which made it.
    :param voices: folder of what tells changes of voice, or that of the run which made it; None = the model
        cuts no turns at them.
    :param name: of the model; None = the name of the recipe.
    :param scores: what was scored to its scores, for the card; they join those of the run.
    :return: the model's configuration.
    :raises InputError: the run never finished, an encoder is missing or another one than the embeddings
        were made with, or the folder cannot be written.
    """
    trained = ModelFolder.load(run, encoders=False)
    voices = None if voices is None else find_network(str(voices))
    needed = needed_modalities(trained.config.mixture)
    for modality in needed:
        if modality not in encoders:
            raise InputError(f"{run}: its mixture takes {modality} embeddings: give --{modality} ENCODER")
    called, out = out, Path(out).resolve()  # an earlier model is moved: also that of this very folder
    try:
        _check_output(out, trained)
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{out.name}.", suffix=".part", dir=out.parent) as made:
            folder = Path(made) / out.name
            folder.mkdir()
            if voices is not None:
                load_network(voices)  # a damaged one is refused
                shutil.copytree(voices, folder / VOICES)
            config = _write(
                folder, trained, {modality: encoders[modality] for modality in needed}, name, scores
            )
            if out.exists():
                out.rename(Path(made) / "earlier")
            try:
                folder.rename(out)
            except OSError:
                if (Path(made) / "earlier").exists():
                    (Path(made) / "earlier").rename(out)
                raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{called}: cannot be written ({reason}); what was there is there still") from error
    return config


def recalibrate(folder: str | Path, calibration: Calibration) -> ModelConfig:
    """Give a model folder another calibration; its weights stay as they are.

    :param folder: a model folder, whose `config.json` and card are written anew.
    :param calibration: as `fit_calibration` and `fit_notes` of `mister_e.inference.calibration` make it.
    :return: the model's configuration.
    :raises InputError: it is no model folder, or cannot be written.
    """
    folder = Path(folder)
    config = read_config(folder)
    try:
        return write_config(folder, config.model_copy(update={"calibration": calibration}))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from error


def _write(
    folder: Path,
    trained: ModelFolder,
    encoders: Mapping[Modality, Path],
    name: str | None,
    scores: Mapping[str, Mapping[str, Any]] | None,
) -> ModelConfig:
    """Write a whole model into an empty folder."""
    config, metadata = trained.config, {}
    for modality, given in encoders.items():
        source = encoder_folder(given)
        encoder = load_encoder(source)
        check_identity(config, modality, encoder, str(given))
        shutil.copytree(source, folder / modality)
        # a store calls an encoder by its path, which is nobody else's business
        metadata[modality] = EncoderMetadata.of(encoder)
    save_weights(trained.mixture, folder / WEIGHTS)
    rows = {row: dict(values) for row, values in (scores or {}).items()}
    return write_config(
        folder,
        config.model_copy(
            update={
                "name": name or config.name,
                "encoders": metadata,
                "scores": config.scores | rows,
            }
        ),
    )


def _check_output(out: Path, trained: ModelFolder) -> None:
    """Refuse to write over anything but an earlier export of the same mixture.

    :raises InputError: something else is there.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / CONFIG).is_file():
        raise InputError(f"{out}: is there already and is no model folder; choose another output")
    there = read_config(out)
    strangers = {path.name for path in out.iterdir()} - {CONFIG, WEIGHTS, CARD, VOICES, "text", "speech"}
    if strangers:
        raise InputError(f"{out}: holds {min(strangers)} beside a model; choose another output, or move it")
    if there.files.get(WEIGHTS) != trained.config.files.get(WEIGHTS):
        raise InputError(
            f"{out}: holds another model, {there.name} {there.fingerprint[:12]}…; choose another output, or"
            " remove it"
        )
