"""Put a trained mixture and its encoders into one model folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mister_e.encoders.registry import encoder_folder, load_encoder
from mister_e.errors import InputError
from mister_e.experts import Modality
from mister_e.inference.batch import needed_modalities
from mister_e.inference.model_config import CONFIG, WEIGHTS, ModelConfig, read_config, write_config
from mister_e.inference.model_folder import ModelFolder, check_identity, find_config


def export(
    run: str | Path,
    out: str | Path,
    encoders: Mapping[Modality, Path],
    *,
    name: str | None = None,
    scores: Mapping[str, Mapping[str, Any]] | None = None,
) -> ModelConfig:
    """Put a trained mixture and its encoders into one folder.

    :param run: the folder of one seed of a run.
    :param out: the model folder; replaced where it is one already.
    :param encoders: modality to an encoder's folder, or that of the run which made it.
    :param name: of the model; None = the name of the recipe.
    :param scores: what was scored to its scores, for the card; they join those of the run.
    :return: the model's configuration.
    :raises InputError: the run never finished, an encoder is missing or another one than the embeddings
        were made with, or the folder cannot be written.
    """
    trained = ModelFolder.load(run, encoders=False)
    config, out = trained.config, Path(out)
    for modality in needed_modalities(config.mixture):
        if modality not in encoders:
            raise InputError(f"{run}: its mixture takes {modality} embeddings: give --{modality} ENCODER")
    _check_output(out, trained)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}.", suffix=".part", dir=out.parent) as made:
        folder = Path(made)
        try:
            metadata = dict(config.encoders)
            for modality in needed_modalities(config.mixture):
                source = encoder_folder(encoders[modality])
                check_identity(config, modality, load_encoder(source), str(encoders[modality]))
                shutil.copytree(source, folder / modality)
                # a store calls an encoder by its path, which is nobody else's business
                metadata[modality] = metadata[modality].model_copy(update={"name": ""})
            for modality in set(encoders) - set(needed_modalities(config.mixture)):
                metadata.pop(modality, None)  # no expert reads it
            shutil.copyfile(find_config(Path(run)) / WEIGHTS, folder / WEIGHTS)
            config = config.model_copy(
                update={
                    "name": name or config.name,
                    "encoders": metadata,
                    "scores": config.scores | {row: dict(values) for row, values in (scores or {}).items()},
                }
            )
            config = write_config(folder, config)
            folder.chmod(0o755)
            if out.exists():
                shutil.rmtree(out)
            folder.rename(out)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"{out}: cannot be written ({reason}); nothing was left there") from error
        folder.mkdir()  # for the context to remove
    return config


def _check_output(out: Path, trained: ModelFolder) -> None:
    """Refuse to write over anything but an earlier export of the same mixture.

    :raises InputError: something else is there.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / CONFIG).is_file():
        raise InputError(f"{out}: is there already and is no model folder; choose another output")
    there = read_config(out)
    if there.files.get(WEIGHTS) != trained.config.files.get(WEIGHTS):
        raise InputError(
            f"{out}: holds another model, {there.name} {there.fingerprint[:12]}…; choose another output, or"
            " remove it"
        )
