"""Sound to one embedding a turn by a pretrained speech encoder: Whisper, WavLM, wav2vec 2.0 or HuBERT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator
from torch import Tensor, nn

from mister_e.encoders.backbones.bases import find_base
from mister_e.encoders.backbones.description import built
from mister_e.encoders.backbones.lora import add_lora
from mister_e.encoders.persistence import fill, read
from mister_e.encoders.speech.base import PretrainedSpeechConfig, PretrainedSpeechEncoder
from mister_e.encoders.speech.families import AudioInputs, blank_speech_backbone, load_speech_backbone


class SpeechModelConfig(PretrainedSpeechConfig):
    """How an encoder on a speech model is made; see `PretrainedSpeechConfig` for the other fields.

    :param frozen: whether the base's own weights stay as they are; False = every weight is trained.
    """

    frozen: bool = True

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.lora is not None and not self.frozen:
            raise ValueError("lora is of a frozen base: leave frozen out, or leave lora out")
        if self.dtype != "float32" and not self.frozen:
            raise ValueError("dtype is of a frozen base: leave it out where frozen is false")
        return self


class SpeechModelEncoder(PretrainedSpeechEncoder):
    """A speech encoder of `transformers`: frozen, with adapters, or trained whole.

    How each family reads sound, and why company in a batch changes nothing, is told in `speech_backbone`.
    """

    kind: ClassVar[str] = "speech-model"
    noun: ClassVar[str] = "speech-model encoder"
    batch_cost: ClassVar[int] = 120_000
    config: SpeechModelConfig

    def __init__(
        self, config: SpeechModelConfig, backbone: nn.Module, sound: AudioInputs, *, place: str | None = None
    ) -> None:
        width = int(backbone.config.hidden_size)  # type: ignore[union-attr, arg-type]
        if config.frozen:
            sound.freeze(backbone)
        if config.lora is not None:
            backbone = add_lora(backbone, config.lora, without=sound.unadaptable)
        if config.gradient_checkpointing:
            # the other way needs inputs that have gradients, and sound has none
            backbone.activation_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
        super().__init__(config, backbone, width, place)
        self.sound = sound
        self.train(self.training)

    @classmethod
    def from_base(cls, config: SpeechModelConfig, place: str | None = None) -> Self:
        """Start from pretrained weights; adapters, projection and classifier are new.

        :param config: names the base.
        :param place: where the base lies; None = what its name says.
        :raises InputError: the base cannot be found, is no such model, or has no such layers.
        :raises MisterEError: this machine cannot hold the base.
        """
        place = place or config.base
        return cls(config, *load_speech_backbone(place, dtype=config.dtype), place=place)

    @property
    def base_is_frozen(self) -> bool:
        """Whether the base's own weights stay as they are."""
        return self.config.frozen

    @property
    def max_seconds(self) -> float:
        """Seconds of a turn that are encoded at most: no more than the model's window."""
        return min(self.config.max_seconds, self.sound.window or self.config.max_seconds)

    @property
    def reading(self) -> str:
        """The feature extractor's settings."""
        return str(self.sound.extractor.to_json_string())

    def cost_of(self, seconds: float) -> int:
        """Cost of a turn in milliseconds: of its window, where the model pads to one."""
        return super().cost_of(seconds) if self.sound.window is None else round(1000 * self.sound.window)

    def read(self, sounds: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        """Make the model's inputs by its own feature extractor."""
        return self.sound.read(sounds)

    def states(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Run the model."""
        return self.sound.states(self.backbone, inputs)

    def save_base(self, folder: Path) -> None:
        """Write `config.json` and `preprocessor_config.json`."""
        self.sound.config.save_pretrained(folder)
        self.sound.extractor.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; a missing or unexpected weight is an error.

        :param folder: the encoder's folder.
        :raises InputError: a file or a weight is missing, one is unexpected, or the base is another one.
        """
        saved = read(folder, SpeechModelConfig, cls.noun)
        if saved.config.frozen:
            encoder = cls.from_base(saved.config, find_base(folder, saved.config.base, saved.settings))
        else:
            make = blank_speech_backbone(folder)
            path = folder / "model.safetensors"
            encoder = cast("Self", built(lambda: cls(saved.config, *make()), saved.weights, path))
        fill(encoder, saved.weights, folder)
        return encoder
