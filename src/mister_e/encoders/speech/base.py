"""What encoders on a pretrained speech model share: a turn is an example, its states are pooled."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from mister_e.audio.format import LONGEST
from mister_e.conversation import Conversation
from mister_e.encoders.backbones.bases import remember
from mister_e.encoders.backbones.loading import Precision, identify
from mister_e.encoders.backbones.lora import LoraSettings, adapter_weights
from mister_e.encoders.base import Example, UtteranceEncoder, fingerprint
from mister_e.encoders.layers import PoolingName, classifier, pooling, projection
from mister_e.encoders.persistence import write
from mister_e.encoders.speech.frontend import seconds_of
from mister_e.encoders.speech.preprocess import nothing, sound_keys, sound_of


class PretrainedSpeechConfig(BaseModel):
    """What both kinds of encoder on a pretrained speech model can be told.

    :param base: a folder or a Hub id.
    :param pooling: how the states of a turn's real frames become one vector.
    :param embedding_dim: width of the embedding; None = the pooled vector itself.
    :param max_seconds: longer turns lose their end.
    :param crop_seconds: in fine-tuning a random stretch of this length stands for a longer turn;
        None = never.
    :param dropout: before the classifier, in training only.
    :param classes: size of the classifier that fine-tuning uses; 0 = none.
    :param lora: adapters on a frozen base; None = no adapters.
    :param dtype: precision of a frozen base's weights.
    :param gradient_checkpointing: trade time for memory in training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    pooling: PoolingName = "mean"
    embedding_dim: int | None = Field(None, gt=0, le=16384)
    max_seconds: float = Field(LONGEST, ge=0.1, le=LONGEST)
    crop_seconds: float | None = Field(None, ge=0.1)
    dropout: float = Field(0.1, ge=0, lt=1)
    classes: int = Field(0, ge=0, le=10_000)
    lora: LoraSettings | None = None
    dtype: Precision = "float32"
    gradient_checkpointing: bool = False


class PretrainedSpeechEncoder(UtteranceEncoder):
    """A pretrained model of sound, a pooling over a turn's real frames, and a projection to the embedding.

    The unit of `Example.cost` is milliseconds of sound.
    """

    modality: ClassVar[Literal["speech"]] = "speech"
    #: What an error calls it.
    noun: ClassVar[str]
    config: Any

    def __init__(
        self, config: PretrainedSpeechConfig, backbone: nn.Module, width: int, place: str | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.place = place or config.base
        self.backbone = backbone
        self.pool = pooling(config.pooling, width)
        self.dim = config.embedding_dim or self.pool.width
        self.project = projection(self.pool.width, config.embedding_dim)
        self.classify = classifier(self.dim, config.dropout, config.classes)

    @property
    @abstractmethod
    def reading(self) -> str:
        """All that decides what the backbone is given besides the samples, as one text."""

    @property
    def base_is_frozen(self) -> bool:
        """Whether the base's own weights stay as they are, and are not written with the encoder."""
        return True

    @property
    def max_seconds(self) -> float:
        """Seconds of a turn that are encoded at most."""
        return float(self.config.max_seconds)

    @abstractmethod
    def read(self, sounds: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        """Make the backbone's inputs of sounds, each as if alone.

        :param sounds: R turns at 16 kHz, 0.1 s to `max_seconds` each.
        """

    @abstractmethod
    def states(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Run the backbone on what `read` made.

        :return: states `[R, F, width]`, and bool `[R, F]`, True = a real frame of the turn.
        """

    def cost_of(self, seconds: float) -> int:
        """Cost of a turn in milliseconds, whatever part of it is encoded."""
        return max(1, round(1000 * min(seconds, self.max_seconds)))

    def examples(self, conversations: Sequence[Conversation]) -> list[Example]:
        """Give each turn that has a clip."""
        turns = [turn for conversation in conversations for turn in conversation]
        return [
            Example((number,), self.cost_of(seconds_of(turn.audio)), turn.audio)
            for number, turn in enumerate(turns)
            if turn.audio is not None
        ]

    def collate(
        self, examples: Sequence[Example], *, random: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Hear turns.

        :param examples: of `examples`, R of them.
        :param random: in training, where `crop_seconds` crops.
        :return: what `read` makes, and `absent` `[R]`: a turn of which less than 0.05 s is no silence.
        :raises InputError: a recording cannot be read.
        """
        sounds = [
            sound_of(
                example.content,
                seconds=self.max_seconds,
                crop_seconds=self.config.crop_seconds,
                random=random,
            )
            for example in examples
        ]
        inputs = self.read([nothing() if sound is None else sound for sound in sounds])
        return {**inputs, "absent": torch.tensor([sound is None for sound in sounds])}

    def forward(self, *args: Any, **inputs: Any) -> Tensor:
        """Embed R turns to `[R, dim]`, given what `collate` returns."""
        device = next(iter(inputs.values())).device.type
        half = self.config.dtype == "bfloat16"
        with torch.autocast(device, torch.bfloat16) if half else nullcontext():
            states, real = self.states(inputs)
        pooled: Tensor = self.pool(states.float(), real)
        embedded: Tensor = self.project(pooled)
        return embedded

    def content_keys(self, conversations: Sequence[Conversation]) -> list[str | None]:
        """Hash the sound of each turn; None = no clip."""
        return sound_keys(conversations)

    @property
    def identity(self) -> str:
        """One SHA-256 over configuration, base, how sound is read, and what was trained."""
        base = identify(self.place) if self.base_is_frozen else ""
        return fingerprint(self.kind, self.config, f"{base} {self.reading}", adapter_weights(self))

    def save(self, folder: Path, *, dtype: torch.dtype = torch.float16) -> None:
        """Write the encoder as a folder: configuration and weights, `encoder.json` last.

        A frozen base stays where it is: only its name and identity are written.

        :param folder: made where it is missing.
        :param dtype: precision of the weights on disk.
        """
        metadata: dict[str, Any] = {"config": json.loads(self.config.model_dump_json())}
        if self.base_is_frozen:
            metadata["base"] = remember(self.place)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            self.save_base(folder)
        write(self, folder, dtype=dtype, metadata=metadata)

    def save_base(self, folder: Path) -> None:
        """Write what a base that was trained whole needs besides its weights."""
        raise NotImplementedError

    def still(self) -> list[nn.Module]:
        """Parts of a frozen base that no adapter is in: they know no dropout, in training neither."""
        return [self.backbone] if self.base_is_frozen and self.config.lora is None else []

    def train(self, mode: bool = True) -> Self:
        """Switch training on or off; what is frozen stays as it is in use."""
        super().train(mode)
        for module in self.still():
            module.eval()
        return self
