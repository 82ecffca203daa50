"""Pretrained speech encoders of `transformers`, each with its own way to read sound.

Every turn is read as if alone, so that company in a batch changes nothing:

* Whisper's encoder is given the 30 s window that it was pretrained on, and reads nothing else; the frames
  of the turn itself are real, those of the silence behind it are not.
* WavLM, wav2vec 2.0 and HuBERT turn samples into features turn by turn, because many of them (all of
  "base" size) normalise over time, where pads would count; their transformer then runs on all turns
  under a mask.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mister_e.audio.format import LONGEST, SAMPLE_RATE
from mister_e.encoders.backbones.description import DATA_ONLY, as_input_error, check_description
from mister_e.encoders.backbones.loading import DTYPES, Precision, load_model
from mister_e.encoders.backbones.memory import check_memory
from mister_e.errors import InputError
from mister_e.pretrained.weights import resolve

Sounds = Sequence[NDArray[np.float32]]


class AudioInputs(ABC):
    """How a family of speech encoders reads sound.

    :param extractor: the model's own feature extractor.
    :param config: of the model.
    """

    #: Ends of the names of linear layers whose weights the model reads past the layer itself.
    unadaptable: tuple[str, ...] = ()

    def __init__(self, extractor: Any, config: Any) -> None:
        self.extractor = extractor
        self.config = config

    @property
    @abstractmethod
    def window(self) -> float | None:
        """Seconds that every turn is padded to; None = turns keep their length."""

    @abstractmethod
    def read(self, sounds: Sounds) -> dict[str, Tensor]:
        """Make the model's inputs of R sounds at 16 kHz."""

    @abstractmethod
    def states(self, model: Any, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Run the model: states `[R, F, hidden]`, and bool `[R, F]`, True = a real frame."""

    def freeze(self, model: Any) -> None:
        """Keep gradients out of all of the model's own weights."""
        model.requires_grad_(False)


class LogMelInputs(AudioInputs):
    """Whisper: log-mel frames of a window."""

    @property
    def window(self) -> float:
        """Seconds of the window, 30 in all published models."""
        return float(self.extractor.chunk_length)

    def read(self, sounds: Sounds) -> dict[str, Tensor]:
        """Give `features` `[R, mels, frames]` and how many states are real, `lengths` `[R]`."""
        made = self.extractor(
            list(sounds), sampling_rate=SAMPLE_RATE, padding="max_length", return_tensors="pt"
        )
        # two mel frames make a state
        step = 2 * self.extractor.hop_length
        lengths = torch.tensor([-(-len(sound) // step) for sound in sounds])
        return {"features": made["input_features"], "lengths": lengths}

    def states(self, model: Any, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Run the encoder half on whole windows."""
        states = model(inputs["features"].to(model.conv1.weight.dtype)).last_hidden_state
        return states, _up_to(inputs["lengths"], states.shape[1])


class Waveform(AudioInputs):
    """WavLM, wav2vec 2.0 and HuBERT: the samples themselves."""

    def __init__(self, extractor: Any, config: Any) -> None:
        super().__init__(extractor, config)
        # WavLM hands the weights of its attention to one function of torch, and skips the layers
        self.unadaptable = ("q_proj", "k_proj", "v_proj", "out_proj") if config.model_type == "wavlm" else ()

    @property
    def window(self) -> None:
        """Turns keep their length."""
        return None

    def read(self, sounds: Sounds) -> dict[str, Tensor]:
        """Give `samples` `[R, N]`, each turn normalised by itself, and `lengths` `[R]`."""
        made = self.extractor(list(sounds), sampling_rate=SAMPLE_RATE, padding=False)["input_values"]
        samples = [torch.as_tensor(values, dtype=torch.float32) for values in made]
        return {
            "samples": pad_sequence(samples, batch_first=True),
            "lengths": torch.tensor([len(turn) for turn in samples]),
        }

    def states(self, model: Any, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Run the convolutions turn by turn, and the transformer on all turns."""
        lengths = inputs["lengths"].tolist()
        samples = inputs["samples"].to(model.feature_projection.projection.weight.dtype)
        frames = [
            model.feature_extractor(row[None, :length])[0].transpose(0, 1)
            for row, length in zip(samples, lengths, strict=True)
        ]
        padded = pad_sequence(frames, batch_first=True)
        real = _up_to(torch.tensor([len(turn) for turn in frames], device=padded.device), padded.shape[1])
        hidden = model.feature_projection(padded)
        # wav2vec 2.0 and WavLM give the normalised features besides
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        return model.encoder(hidden, attention_mask=real).last_hidden_state, real

    def freeze(self, model: Any) -> None:
        """Keep them out of the convolutions too, which would ask for them by themselves."""
        super().freeze(model)
        model.feature_extractor._freeze_parameters()


FAMILIES: Mapping[str, type[AudioInputs]] = {
    "whisper": LogMelInputs,
    "wavlm": Waveform,
    "wav2vec2": Waveform,
    "hubert": Waveform,
}


def load_speech_backbone(name: str, *, dtype: Precision = "float32") -> tuple[nn.Module, AudioInputs]:
    """Load a pretrained speech encoder and its feature extractor.

    :param name: a folder or a Hugging Face Hub id.
    :param dtype: precision of its weights.
    :return: the encoder (of Whisper the encoder half), and how it reads sound.
    :raises InputError: nothing of that name can be found, or it is no such model.
    :raises MisterEError: the machine cannot hold it.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    folder = resolve(name)
    check_memory(folder, DTYPES[dtype])
    config, reading = _described(folder, name)
    with as_input_error(f"{name!r} is no speech model that transformers loads"):
        model: Any = load_model(folder, name, config=config, dtype=DTYPES[dtype])
    return model.encoder if config.model_type == "whisper" else model, reading


def blank_speech_backbone(folder: Path) -> Callable[[], tuple[nn.Module, AudioInputs]]:
    """Read which speech encoder a folder describes.

    :param folder: holds `config.json` and `preprocessor_config.json`.
    :return: makes it, its weights still to be filled in.
    :raises InputError: one is missing, or they are of no such model.
    """
    from transformers import AutoModel
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config, reading = _described(folder, str(folder))

    def make() -> tuple[nn.Module, AudioInputs]:
        if config.model_type == "whisper":
            return WhisperEncoder(config), reading
        return AutoModel.from_config(config, trust_remote_code=False), reading

    return make


def _described(folder: Path, name: str) -> tuple[Any, AudioInputs]:
    """Configuration of a model, and how it reads sound."""
    from transformers import AutoConfig, AutoFeatureExtractor

    check_description(folder)
    with as_input_error(f"{name!r} is no speech model that transformers loads"):
        config = AutoConfig.from_pretrained(folder, **DATA_ONLY)
        if config.model_type not in FAMILIES:
            raise InputError(
                f"base {name!r}: a model of type {config.model_type!r}; an encoder of kind speech-model is"
                f" one of {', '.join(FAMILIES)}, and language models that hear are of kind audio-llm"
            )
        extractor = AutoFeatureExtractor.from_pretrained(folder, **DATA_ONLY)
    if extractor.sampling_rate != SAMPLE_RATE:
        raise InputError(
            f"base {name!r}: reads sound at {extractor.sampling_rate} Hz, and here all sound is at"
            f" {SAMPLE_RATE} Hz; take another base"
        )
    if getattr(extractor, "chunk_length", LONGEST) > LONGEST:
        raise InputError(f"base {name!r}: its window of {extractor.chunk_length} s is over {LONGEST:.0f} s")
    return config, FAMILIES[config.model_type](extractor, config)


def _up_to(lengths: Tensor, longest: int) -> Tensor:
    """Bool `[R, longest]`, True before each length `[R]`."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]
