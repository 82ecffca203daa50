"""The sections of a recipe that say how encoders and the mixture are trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mister_e.model.config import MixtureConfig, Probability
from mister_e.training.class_weights import ClassWeights
from mister_e.training.losses import LossConfig

#: Sizes of the mixture that the store decides, and a recipe leaves out.
STORE_SIZES = ("classes", "text_dim", "speech_dim")

#: Those of `accelerate`.
Tracker = Literal[
    "tensorboard", "wandb", "comet_ml", "mlflow", "aim", "clearml", "dvclive", "swanlab", "trackio"
]


class Section(BaseModel):
    """A section of a recipe: unknown keys are errors, and a key of an older recipe names its new one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Key of an older recipe to the one that took its place.
    RENAMED: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _of_today(cls, data: Any) -> Any:
        """Refuse the keys of older recipes with the new key."""
        for old, new in cls.RENAMED.items():
            if isinstance(data, dict) and old in data:
                raise ValueError(f"{old}: is called {new} now; rename it")
        return data


class LoopSettings(Section):
    """What every training has.

    :param epochs: at most.
    :param patience: epochs without a better validation score before it stops; None = never.
    :param learning_rate: of AdamW at its highest.
    :param betas: of AdamW.
    :param weight_decay: of matrices; biases and norms have none.
    :param schedule: of the learning rate after the warm-up.
    :param warmup: fraction of all steps over which the learning rate rises.
    :param max_grad_norm: norm that the gradient is clipped to.
    :param gradient_accumulation: batches in one optimizer step.
    :param precision: of the forward pass; the loss is float32 always.
    :param checkpoint_every: optimizer steps between two checkpoints.
    :param trackers: of `accelerate`, such as "tensorboard" or "wandb".
    :param seed: decides order, new weights, dropout, crops and all else that is drawn.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {
        "rate": "learning_rate",
        "clip": "max_grad_norm",
        "accumulate": "gradient_accumulation",
    }

    epochs: int = Field(3, gt=0)
    patience: int | None = Field(None, gt=0)
    learning_rate: float = Field(1e-4, gt=0)
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(0.01, ge=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(0.1, ge=0, lt=1)
    max_grad_norm: float = Field(1.0, gt=0)
    gradient_accumulation: int = Field(1, gt=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    checkpoint_every: int = Field(200, gt=0)
    trackers: tuple[Tracker, ...] = ("tensorboard",)
    seed: int = 0


class FinetuneSettings(LoopSettings):
    """How an encoder is fine-tuned.

    :param head_learning_rate: of pooling, projection and classifier; None = `learning_rate`.
    :param gamma: of the focal loss; 0 = cross-entropy.
    :param class_weights: one a class, or a power p = inverse to how often a class is in train, to the p-th;
        "balanced" = 1.
    :param label_smoothing: fraction of the target spread over all classes.
    :param ema: decay of a running mean of the weights, which is validated and kept; 0 = none.
    :param batch_cost: of a batch, pads included, in the encoder's unit; None = the encoder's own.
    :param batch_examples: examples in a batch at most.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {
        **LoopSettings.RENAMED,
        "head_learning_rate": "head_learning_rate",
    }

    head_learning_rate: float | None = Field(None, gt=0)
    gamma: float = Field(1.0, ge=0)
    class_weights: ClassWeights | None = None
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    ema: float = Field(0.0, ge=0, lt=1)
    batch_cost: int | None = Field(None, gt=0)
    batch_examples: int | None = Field(None, gt=0)


class MixtureSettings(LoopSettings):
    """How the mixture is trained; the defaults are the published numbers.

    :param batch_size: conversations in a batch at most.
    :param batch_turns: real turns in a batch at most, unless one conversation has more; None = any number.
    :param prefixes: probability that a conversation is cut to a random prefix, as live use sees it.
    :param drop_text: probability that a turn which also has speech loses its text.
    :param drop_speech: probability that a turn which also has text loses its speech.
    :param drop_conversation: probability that a conversation loses one modality everywhere.
    :param input_dropout: fraction of each embedding's numbers dropped.
    :param ema: decay of the exponential mean of the weights that is validated and kept; 0 = none.
    :param average_from: epoch from which on the mean of the epochs' last weights is validated and kept;
        None = never.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {**LoopSettings.RENAMED, "batch": "batch_size"}

    epochs: int = Field(100, gt=0)
    learning_rate: float = Field(1e-5, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["cosine", "linear", "constant"] = "constant"
    warmup: float = Field(0.0, ge=0, lt=1)
    batch_size: int = Field(8, gt=0)
    batch_turns: int | None = Field(None, gt=0)
    prefixes: Probability = 0.0
    drop_text: Probability = 0.0
    drop_speech: Probability = 0.0
    drop_conversation: Probability = 0.0
    input_dropout: Probability = 0.0
    ema: Probability = 0.0
    average_from: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _one_average(self) -> Self:
        if self.ema > 0 and self.average_from is not None:
            raise ValueError("ema and average_from are two ways of averaging: choose one")
        return self


class MixtureRecipe(Section):
    """Stage 2 of a recipe.

    :param model: sizes and parts of the mixture; the store decides `classes`, `text_dim`, `speech_dim`.
    :param loss: weights of its parts.
    :param train: how it is trained.
    """

    model: MixtureConfig = MixtureConfig(classes=2)
    loss: LossConfig = LossConfig()
    train: MixtureSettings = MixtureSettings()

    @model_validator(mode="before")
    @classmethod
    def _without_what_the_store_decides(cls, data: Any) -> Any:
        """Give the sizes that the store decides a value until it does."""
        if isinstance(data, dict) and isinstance(data.get("train"), dict) and "seed" in data["train"]:
            raise ValueError("train.seed: leave it out, the recipe's `seeds` decide it")
        if isinstance(data, dict) and isinstance(data.get("model"), dict):
            for name in STORE_SIZES:
                if name in data["model"]:
                    raise ValueError(f"model.{name}: leave it out, the store decides it")
            data = {**data, "model": {**data["model"], "classes": 2}}
        return data

    def settings(self) -> dict[str, Any]:
        """All that decides a run but its seed, JSON-ready."""
        return {
            "model": self.model.model_dump(mode="json", exclude=set(STORE_SIZES)),
            "loss": self.loss.model_dump(mode="json"),
            "train": self.train.model_dump(mode="json", exclude={"seed", "trackers", "checkpoint_every"}),
        }
