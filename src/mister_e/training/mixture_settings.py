"""The `mixture` section of a recipe: the model's sizes, its loss, and how it is trained."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mister_e.config import MixtureConfig, Probability
from mister_e.losses import LossWeights
from mister_e.training.class_weights import ClassWeights, resolve_class_weights
from mister_e.training.loop import LoopSettings

#: What the store decides, and a recipe leaves out.
GIVEN = ("classes", "text_dim", "speech_dim")


class LossSettings(BaseModel):
    """Weights of the loss's parts, as `mister_e.losses.LossWeights` has them.

    :param gamma: focal exponent; 0 is cross-entropy.
    :param contrastive: weight of the supervised contrastive loss between speech and text.
    :param consistency: weight of the divergence between experts, per turn.
    :param temperature: of the contrastive loss.
    :param class_weights: one a class, or a power p = inverse to how often a class is in train, to the p-th;
        "balanced" = 1.
    :param label_smoothing: share of the target spread over all classes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gamma: float = Field(3.0, ge=0)
    contrastive: float = Field(2.0, ge=0)
    consistency: float = Field(0.1, ge=0)
    temperature: float = Field(1.0, gt=0)
    class_weights: ClassWeights | None = None
    label_smoothing: float = Field(0.0, ge=0, lt=1)

    def resolve(self, counts: NDArray[np.int64]) -> LossWeights:
        """Give the weights for a corpus; a class that training lacks weighs 0.

        :param counts: labelled training turns of each class `[C]`.
        :raises InputError: the number of class weights is not that of the classes.
        """
        weights = resolve_class_weights(self.class_weights, counts)
        if not counts.all():
            weights = weights or (1.0,) * len(counts)
            weights = tuple(w if n else 0.0 for w, n in zip(weights, counts.tolist(), strict=True))
        return LossWeights(**{**self.model_dump(), "class_weights": weights})


class MixtureSettings(LoopSettings):
    """How the mixture is trained; the defaults are the published numbers.

    :param batch: conversations in a batch at most.
    :param batch_turns: real turns in a batch at most, unless one conversation has more; None = any number.
    :param prefixes: probability that a conversation is cut to a random prefix, as live use sees it.
    :param drop_text: probability that a turn which also has speech loses its text.
    :param drop_speech: probability that a turn which also has text loses its speech.
    :param drop_conversation: probability that a conversation loses one modality everywhere.
    :param input_dropout: share of each embedding's numbers dropped.
    :param ema: decay of the exponential mean of the weights that is validated and kept; 0 = none.
    :param average_from: epoch from which on the mean of the epochs' last weights is validated and kept;
        None = never.
    """

    epochs: int = Field(100, gt=0)
    rate: float = Field(1e-5, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["cosine", "linear", "constant"] = "constant"
    warmup: float = Field(0.0, ge=0, lt=1)
    batch: int = Field(8, gt=0)
    batch_turns: int | None = Field(None, gt=0)
    prefixes: Probability = 0.0
    drop_text: Probability = 0.0
    drop_speech: Probability = 0.0
    drop_conversation: Probability = 0.0
    input_dropout: Probability = 0.0
    ema: Probability = 0.0
    average_from: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _one_average(self) -> MixtureSettings:
        if self.ema > 0 and self.average_from is not None:
            raise ValueError("ema and average_from are two ways of averaging: choose one")
        return self


class MixtureRecipe(BaseModel):
    """Stage 2 of a recipe.

    :param model: sizes and parts of the mixture; the store decides `classes`, `text_dim`, `speech_dim`.
    :param loss: weights of its parts.
    :param train: how it is trained.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: MixtureConfig = MixtureConfig(classes=2)
    loss: LossSettings = LossSettings()
    train: MixtureSettings = MixtureSettings()

    @model_validator(mode="before")
    @classmethod
    def _without_what_the_store_decides(cls, data: Any) -> Any:
        """Give the sizes that the store decides a value until it does."""
        if isinstance(data, dict) and isinstance(data.get("train"), dict) and "seed" in data["train"]:
            raise ValueError("train.seed: leave it out, the recipe's `seeds` decide it")
        if isinstance(data, dict) and isinstance(data.get("model"), dict):
            for name in GIVEN:
                if name in data["model"]:
                    raise ValueError(f"model.{name}: leave it out, the store decides it")
            data = {**data, "model": {**data["model"], "classes": 2}}
        return data

    def facts(self) -> dict[str, Any]:
        """All that decides a run but its seed, JSON-ready."""
        return {
            "model": self.model.model_dump(mode="json", exclude=set(GIVEN)),
            "loss": self.loss.model_dump(mode="json"),
            "train": self.train.model_dump(mode="json", exclude={"seed", "trackers", "checkpoint_every"}),
        }
