"""A model is a folder: `config.json`, `mixture.safetensors`, `text/`, `speech/` and a card (`README.md`).

`voices/` may lie in it too: what tells changes of voice, which no expert needs.

`mister-e train` writes one without its encoders, `mister-e export` adds them. This module alone reads and
writes it; folders of older formats are read through `former_formats`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from safetensors.torch import save_file
from torch import Tensor

from mister_e.encoders.backbones.bases import fetch_base
from mister_e.encoders.backbones.description import built
from mister_e.encoders.base import UtteranceEncoder
from mister_e.encoders.registry import load_encoder
from mister_e.errors import InputError
from mister_e.experts import MODALITIES, Modality
from mister_e.files import replacing
from mister_e.inference.batch import needed_modalities
from mister_e.inference.calibration import Calibration
from mister_e.inference.former_formats import FORMER, WHOLE
from mister_e.inference.model_config import (
    CONFIG,
    FORMAT,
    VOICES,
    WEIGHTS,
    EncoderMetadata,
    ModelConfig,
    check_listed,
    has_voices,
    read_config,
    write_config,
)
from mister_e.inference.voices import VoiceChangeDetector
from mister_e.labels import LabelSet
from mister_e.model import MisterE
from mister_e.pretrained import is_hub_id, model_folder
from mister_e.pretrained.model_files import inside, read_tensors
from mister_e.pretrained.weights import load_strictly, verify


@dataclass(frozen=True)
class ModelFolder:
    """Everything that a model folder holds, in memory.

    :param config: what it says of itself.
    :param mixture: the experts and their gate.
    :param encoders: by modality; one that no expert needs, or that a run does not hold, is not there.
    :param voices: tells changes of voice, for cutting a recording into turns; None = the folder has none.
    """

    config: ModelConfig
    mixture: MisterE
    encoders: Mapping[Modality, UtteranceEncoder] = field(default_factory=dict)
    voices: VoiceChangeDetector | None = None

    @property
    def labels(self) -> LabelSet:
        """The emotions that the model can tell, in the order of the logits."""
        return LabelSet.from_json(self.config.labels)

    @property
    def calibration(self) -> Calibration:
        """Temperatures for each set of modalities that a turn has."""
        return self.config.calibration

    @classmethod
    def load(cls, folder: str | Path, *, encoders: bool = True) -> ModelFolder:
        """Read a folder, verify its files, and fill the modules strictly.

        :param folder: a model folder; without encoders also a run of one seed, or a seed's folder in a run.
        :param encoders: False = the mixture alone, as evaluation on stored embeddings needs it.
        :raises InputError: a file is missing, damaged or of an unknown version, a weight is missing or
            unexpected, an encoder is another one than the mixture was trained with, or there is none.
        """
        folder = find_config(Path(folder))
        for part in (*MODALITIES, VOICES):
            inside(folder, part, may_be_folder=True)
        config = read_config(folder)
        lacking = [
            modality
            for modality in needed_modalities(config.mixture)
            if not (folder / modality / "encoder.json").is_file() and config.format != WHOLE
        ]
        if encoders and lacking:
            options = " ".join(f"--{modality} ENCODER" for modality in needed_modalities(config.mixture))
            raise InputError(
                f"{folder}: a trained mixture without its {' and '.join(lacking)} encoder: run"
                f" mister-e export {run_of(folder)} {options} -o MODEL, and use MODEL"
            )
        if config.format == FORMAT:
            check_listed(folder, config)
        verify(folder, config.files if encoders else {n: h for n, h in config.files.items() if "/" not in n})
        if config.format != FORMAT:
            speech = config.encoders["speech"].config if "speech" in config.encoders else {}
            weights, former = FORMER[config.format](folder, speech, _read_weights, encoders=encoders)
            mixture = _mixture(config, weights, folder / "model.safetensors")
            return cls(config, mixture.eval(), former)
        mixture = _mixture(config, _read_weights(folder / WEIGHTS), folder / WEIGHTS)
        loaded: dict[Modality, UtteranceEncoder] = {}
        for modality in needed_modalities(config.mixture) if encoders else ():
            loaded[modality] = load_encoder(folder / modality).eval()
            check_identity(config, modality, loaded[modality], str(folder / modality))
        voices = None
        if encoders and has_voices(config):
            voices = VoiceChangeDetector.load(folder / VOICES)
        return cls(config, mixture.eval(), loaded, voices)

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, revision: str | None = None, token: str | None = None
    ) -> ModelFolder:
        """Load a model by name.

        :param name: a bundled name, a model folder, or a Hugging Face Hub id.
        :param revision: of a Hub model: a branch, tag or commit; None = the main branch.
        :param token: for the Hub; None = that of `hf auth login`.
        :raises InputError: there is no such model, or its folder is damaged.
        """
        folder = model_folder(name, revision=revision, token=token)
        for modality in MODALITIES if is_hub_id(name) else ():
            fetch_base(folder / modality, token=token)
        return cls.load(folder)

    def save_pretrained(
        self, save_directory: str | Path, *, push_to_hub: bool = False, repo_id: str | None = None, **hub: Any
    ) -> None:
        """Write the folder; `config.json` last, so that half a folder is never taken for a whole one.

        :param save_directory: made where it is missing.
        :param push_to_hub: also upload it.
        :param repo_id: the repository on the Hub; None = the name of the folder.
        :param hub: see `push_to_hub`.
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).unlink(missing_ok=True)
        save_weights(self.mixture, folder / WEIGHTS)
        for part in (*MODALITIES, VOICES):
            shutil.rmtree(folder / part, ignore_errors=True)
        if self.voices is not None:
            self.voices.save(folder / VOICES)
        for modality, encoder in self.encoders.items():
            encoder.save(folder / modality)
        metadata = dict(self.config.encoders)
        for modality in self.encoders:
            # as it lies there now: what was rounded has another identity
            there = EncoderMetadata.of(load_encoder(folder / modality))
            name = metadata[modality].name if modality in metadata else ""
            metadata[modality] = there.model_copy(update={"name": name})
        changes = {"mixture": self.mixture.config, "encoders": metadata}
        write_config(folder, self.config.model_copy(update=changes))
        if push_to_hub:
            self.push_to_hub(repo_id or folder.name, **hub)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Add a mister-e model",
        create_pr: bool = False,
    ) -> str:
        """Upload the folder to the Hugging Face Hub.

        :param repo_id: `owner/name`; made where it is missing.
        :param private: of a new repository.
        :param token: None = that of `hf auth login`.
        :param commit_message: of the upload.
        :param create_pr: as a pull request.
        :return: the address of the commit.
        """
        from huggingface_hub import HfApi

        api = HfApi(token=token)
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            repository = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
            made = api.upload_folder(
                repo_id=repository, folder_path=folder, commit_message=commit_message, create_pr=create_pr
            )
        return str(made)


def save_weights(mixture: MisterE, path: Path) -> None:
    """Write the weights of a mixture whole or not at all."""
    state = {name: value.detach().cpu().contiguous() for name, value in mixture.state_dict().items()}
    with replacing(path) as temporary:
        save_file(state, temporary)


def find_config(folder: Path) -> Path:
    """Find the model folder that a folder of training means.

    :param folder: a model folder, a seed's folder (`model` in it is meant), or a run of one seed.
    :raises InputError: several seeds are in it, or none that is finished.
    """
    if (folder / "model" / CONFIG).is_file():
        return folder / "model"
    seeds = sorted(path for path in folder.glob("seed-*") if path.is_dir())
    if not seeds or (folder / CONFIG).is_file():
        if (folder / "run.json").is_file() and not (folder / CONFIG).is_file():
            raise InputError(f"{folder}: not finished: it has no model yet; run mister-e train again")
        return folder
    finished = [seed for seed in seeds if (seed / "model" / CONFIG).is_file()]
    if not finished:
        raise InputError(f"{folder}: not finished: no seed has a model yet; run mister-e train again")
    if len(seeds) > 1:
        raise InputError(f"{folder}: it holds runs of {len(seeds)} seeds: name one, such as {finished[0]}")
    return finished[0] / "model"


def run_of(folder: Path) -> Path:
    """What a person calls the run whose `model` folder this is."""
    return folder.parent if folder.name == "model" else folder


def check_identity(config: ModelConfig, modality: Modality, encoder: UtteranceEncoder, name: str) -> None:
    """Refuse an encoder that is not the one whose embeddings the mixture was trained on.

    :raises InputError: names both.
    """
    if encoder.modality != modality:
        raise InputError(f"{name}: is an encoder of {encoder.modality}, not of {modality}")
    known = config.encoders.get(modality)
    if known is not None and known.identity and known.identity != encoder.identity:
        raise InputError(
            f"{name}: is the {modality} encoder {encoder.kind} {encoder.identity[:12]}…, but the mixture was"
            f" trained on embeddings by {known.called}; give that encoder, or embed and train with this one"
        )


def _mixture(config: ModelConfig, weights: Mapping[str, Tensor], path: Path) -> MisterE:
    """Make a mixture and fill it.

    :raises InputError: the weights are not of its sizes.
    """
    mixture = cast("MisterE", built(lambda: MisterE(config.mixture), weights, path))
    load_strictly(mixture, weights, path)
    return mixture


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Read a file of weights.

    :raises InputError: it is missing or no safetensors.
    """
    try:
        return read_tensors(path)
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; get the folder again, whole") from None
