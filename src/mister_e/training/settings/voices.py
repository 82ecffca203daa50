"""The section of a recipe that says how the network that tells changes of voice is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from mister_e.encoders.voices.network import VoiceChangeConfig
from mister_e.training.settings.stages import AugmentationConfig, LoopSettings, Range, Section


class StretchConfig(Section):
    """Of what stretches of sound are made.

    :param seconds: length of a stretch; those of a batch are of one length.
    :param one_voice: fraction of the stretches in which one voice speaks alone.
    :param max_voices: in a stretch.
    :param change: probability that the next piece is of another voice, where there are several.
    :param other_corpus: fraction of the stretches whose voices are of any corpus; else all are of one.
    :param piece_seconds: of a piece, drawn evenly on a logarithmic scale.
    :param no_gap: probability that a piece follows without a pause.
    :param gap_seconds: pause before a piece otherwise.
    :param overlap: probability that a piece of another voice begins before the one before has ended.
    :param overlap_seconds: by how much.
    :param over: probability that a short piece of another voice lies over a longer one.
    :param voice_speed: factors that a voice is played by, one a stretch: it is another voice then.
    :param voice_level_db: standard deviation of the level of a voice.
    :param piece_level_db: standard deviation of the level of a piece, relative to its voice.
    :param piece_microphone: probability that a piece is filtered by a smooth random response of its own,
        whoever speaks: a change of sound that is none of voice.
    :param piece_microphone_db: up or down at most.
    """

    seconds: Range = (2.0, 14.0)
    one_voice: float = Field(0.25, ge=0, le=1)
    max_voices: int = Field(3, ge=2, le=8)
    change: float = Field(0.55, ge=0, le=1)
    other_corpus: float = Field(0.1, ge=0, le=1)
    piece_seconds: Range = (0.4, 5.0)
    no_gap: float = Field(0.4, ge=0, le=1)
    gap_seconds: Range = (0.0, 0.6)
    overlap: float = Field(0.3, ge=0, le=1)
    overlap_seconds: Range = (0.1, 1.2)
    over: float = Field(0.1, ge=0, le=1)
    voice_speed: Range = (0.9, 1.12)
    voice_level_db: float = Field(3.0, ge=0)
    piece_level_db: float = Field(2.0, ge=0)
    piece_microphone: float = Field(0.3, ge=0, le=1)
    piece_microphone_db: float = Field(6.0, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, tuple) and not 0 <= value[0] <= value[1]:
                raise ValueError(
                    f"{name}: expected two numbers from 0 on, the lowest first, got {list(value)}"
                )
        if min(self.piece_seconds[0], self.seconds[0]) < 0.2 or self.voice_speed[0] <= 0:
            raise ValueError("seconds and piece_seconds: expected 0.2 or more; voice_speed: above 0")
        if self.seconds[1] > 30:
            raise ValueError("seconds: expected 30 at most, the longest stretch")
        return self


class VoiceTraining(LoopSettings):
    """How the network is trained.

    :param stretches: in an epoch, the same in each; what the base makes of them is kept.
    :param batch_size: stretches in a batch.
    :param validation_stretches: the same ones after each epoch.
    :param clips_per_voice: read at most, so that a voice of many clips costs no more than others.
    :param overlap_weight: of the loss of overlap beside that of changes.
    :param ema: decay of a running mean of the weights, which is validated and kept; 0 = none.
    """

    epochs: int = Field(10, gt=0)
    learning_rate: float = Field(1e-3, gt=0)
    stretches: int = Field(1920, gt=0)
    batch_size: int = Field(12, gt=0)
    validation_stretches: int = Field(240, gt=0)
    clips_per_voice: int = Field(12, gt=0)
    overlap_weight: float = Field(0.5, ge=0)
    ema: float = Field(0.99, ge=0, lt=1)


class VoicesRecipe(Section):
    """The network that tells changes of voice, and how it is trained.

    :param corpora: folders of clips whose `manifest.csv` has a column `speaker`, to how often one is drawn.
    :param network: its sizes.
    :param stretches: of what stretches are made.
    :param augmentation: through which recordings a stretch is heard; silence around it is never added.
    :param train: how it is trained.
    """

    corpora: Mapping[str, float] = Field(min_length=1)
    network: VoiceChangeConfig = VoiceChangeConfig()
    stretches: StretchConfig = StretchConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    train: VoiceTraining = VoiceTraining()

    @model_validator(mode="after")
    def _drawn(self) -> Self:
        for name, weight in self.corpora.items():
            if not 0 < weight < float("inf"):
                raise ValueError(f"corpora.{name}: expected a number above 0, got {weight:g}")
        if "seed" in self.train.model_fields_set:
            raise ValueError("train.seed: leave it out, the recipe's `seeds` decide it")
        return self
