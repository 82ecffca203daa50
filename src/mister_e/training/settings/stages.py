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
        "head_rate": "head_learning_rate",
    }

    head_learning_rate: float | None = Field(None, gt=0)
    gamma: float = Field(1.0, ge=0)
    class_weights: ClassWeights | None = None
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    ema: float = Field(0.0, ge=0, lt=1)
    batch_cost: int | None = Field(None, gt=0)
    batch_examples: int | None = Field(None, gt=0)


#: A range that a number is drawn from, evenly: lowest and highest.
Range = tuple[float, float]


class RecordingSimulationConfig(Section):
    """Of which recordings a clip is taken to be, see `stage1.recording_simulation`.

    Where a recording has clips of several emotions, their weights are drawn: in `mostly_neutral` of all
    recordings most of the weight goes to one label, in `balanced` of them all emotions count alike, in the
    others the weights are any.

    :param other_corpus_fraction: fraction of the clips that are put among clips of any corpus.
    :param alone_fraction: fraction of the clips that are their whole recording.
    :param long_fraction: fraction of the clips that are in a long recording; the others are in a short one.
    :param neutral_label: label that most turns of a real conversation have; None = there is none.
    :param mostly_neutral: fraction of the recordings in which it has `neutral_weight`.
    :param neutral_weight: fraction of such a recording that has the label at least.
    :param balanced: fraction of the recordings in which all emotions count alike.
    :param concentration: of the Dirichlet distribution of the other weights; below 1 = few emotions prevail.
    """

    other_corpus_fraction: float = Field(0.4, ge=0, le=1)
    alone_fraction: float = Field(1 / 3, ge=0, le=1)
    long_fraction: float = Field(1 / 3, ge=0, le=1)
    neutral_label: str | None = None
    mostly_neutral: float = Field(0.4, ge=0, le=1)
    neutral_weight: float = Field(0.7, ge=0, le=1)
    balanced: float = Field(0.3, ge=0, le=1)
    concentration: float = Field(0.7, gt=0)

    @model_validator(mode="after")
    def _fractions_add_up(self) -> Self:
        for names in (("alone_fraction", "long_fraction"), ("mostly_neutral", "balanced")):
            if sum(getattr(self, name) for name in names) > 1 + 1e-6:
                raise ValueError(f"{' and '.join(names)} are more than 1 together")
        return self


class SamplingConfig(Section):
    """What an epoch sees of corpora of single clips, each a recording of its own.

    Most examples that are drawn have sound: a corpus by its fraction, an emotion of it, a clip of that. The
    others are prosody statistics alone, as tables bring them.

    :param corpora: corpus with sound to its fraction of the clips; empty = all alike.
    :param examples: clips with sound in an epoch.
    :param batch_size: clips with sound in a batch.
    :param statistics: examples of statistics alone for each clip with sound.
    :param shuffled: fraction of the clips that are cut in pieces of 0.25 to 0.7 s and put together in any
        order: the words are gone, the voice is not.
    :param max_seconds: of a clip, a random stretch.
    :param recordings: of which simulated recordings the clips are.
    """

    corpora: Mapping[str, float] = {}
    examples: int = Field(4080, gt=0)
    batch_size: int = Field(48, gt=0)
    statistics: float = Field(0.25, ge=0)
    shuffled: float = Field(0.5, ge=0, le=1)
    max_seconds: float = Field(4.0, gt=0.1)
    recordings: RecordingSimulationConfig = RecordingSimulationConfig()

    @model_validator(mode="after")
    def _some_of_each(self) -> Self:
        for name, fraction in self.corpora.items():
            if not 0 < fraction < float("inf"):
                raise ValueError(f"corpora.{name}: expected a number above 0, got {fraction:g}")
        return self


class AugmentationConfig(Section):
    """Through which recordings a voice might have been heard, drawn for each clip anew.

    Each `*_probability` is how often something is done, each range what its strength is drawn from.

    :param speed_probability: played faster, and so higher, or slower.
    :param speed: factors.
    :param microphone_probability: filtered by a smooth random response.
    :param microphone_db: up or down at most.
    :param room_probability: with an echo.
    :param room_seconds: until the echo is 60 dB down.
    :param room_level: amplitude of the echo, relative to the direct sound.
    :param silence_probability: digital silence around it.
    :param silence_seconds: before, and after.
    :param noise_probability: white, pink or brown noise added.
    :param noise_snr: dB.
    :param telephone_probability: 300 to 3400 Hz alone.
    :param half_band_probability: below 4 kHz alone; never with the telephone.
    :param codec_probability: through the eight bits of a telephone exchange, or through Opus.
    :param codec_bits: of Opus, a second.
    :param statistics_noise: standard deviation of the noise on each statistic, relative to its value.
    :param statistics_lost: probability that all statistics are hidden.
    :param statistic_lost: probability that a single one is hidden else.
    :param bands_probability: neighbouring mel bands masked (SpecAugment, Park et al. 2019).
    :param max_bands: masked at most.
    :param rows_probability: a moment masked.
    :param max_rows: masked at most, 10 ms each.
    """

    speed_probability: float = Field(0.5, ge=0, le=1)
    speed: Range = (0.92, 1.08)
    microphone_probability: float = Field(0.5, ge=0, le=1)
    microphone_db: float = Field(8.0, ge=0)
    room_probability: float = Field(0.3, ge=0, le=1)
    room_seconds: Range = (0.1, 0.6)
    room_level: Range = (0.2, 0.8)
    silence_probability: float = Field(0.2, ge=0, le=1)
    silence_seconds: Range = (0.0, 1.0)
    noise_probability: float = Field(0.5, ge=0, le=1)
    noise_snr: Range = (8.0, 40.0)
    telephone_probability: float = Field(0.2, ge=0, le=1)
    half_band_probability: float = Field(0.1, ge=0, le=1)
    codec_probability: float = Field(0.15, ge=0, le=1)
    codec_bits: Range = (8_000.0, 24_000.0)
    statistics_noise: float = Field(0.05, ge=0)
    statistics_lost: float = Field(0.3, ge=0, le=1)
    statistic_lost: float = Field(0.15, ge=0, le=1)
    bands_probability: float = Field(0.5, ge=0, le=1)
    max_bands: int = Field(7, ge=1, le=70)
    rows_probability: float = Field(0.5, ge=0, le=1)
    max_rows: int = Field(19, ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{name}: expected the lowest number first, got {list(value)}")
        if self.speed[0] <= 0 or self.codec_bits[0] <= 0:
            raise ValueError("speed and codec_bits: expected numbers above 0")
        if self.telephone_probability + self.half_band_probability > 1:
            raise ValueError("telephone_probability and half_band_probability are more than 1 together")
        return self


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


class PairingConfig(Section):
    """How conversations of words are paired with clips of other voices, see `stage2.pairing`.

    Each training conversation of an epoch is shown in one of three ways, drawn at random: with clips in place
    of its own speech, as text alone, or as it is. Besides, clips are shown without words.

    :param paired: probability that a conversation is shown with clips.
    :param agree: probability that such a clip has the turn's label; else it is any clip of its corpus.
    :param wordless: fraction of the paired conversations that lose all their words.
    :param text_alone: probability that a conversation is shown as text alone.
    :param dropped: probability that a turn of any other conversation loses its speech, and that it loses
        its words; a turn keeps what it has alone.
    :param singles: clips in an epoch, each a conversation of one turn; corpora and labels come about equally
        often.
    :param neutral_recordings: recordings in an epoch of 4 to 24 clips of read speech.
    :param neutral_corpora: which of the clips' corpora are read speech of one label, such as neutral: they
        are never put in place of a turn's speech.
    """

    paired: Probability = 0.45
    agree: float = Field(0.6, ge=0, le=1)
    wordless: Probability = 0.2
    text_alone: Probability = 0.25
    dropped: Probability = 0.1
    singles: int = Field(1500, ge=0)
    neutral_recordings: int = Field(60, ge=0)
    neutral_corpora: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _ways_add_up(self) -> Self:
        if self.paired + self.text_alone > 1:
            raise ValueError(
                f"paired {self.paired:g} and text_alone {self.text_alone:g} are more than 1 together"
            )
        return self


class MixtureRecipe(Section):
    """Stage 2 of a recipe.

    :param model: sizes and parts of the mixture; the store decides `classes`, `text_dim`, `speech_dim`.
    :param loss: weights of its parts.
    :param train: how it is trained.
    :param pairing: how conversations are paired with clips of other voices; None = not at all.
    """

    model: MixtureConfig = MixtureConfig(classes=2)
    loss: LossConfig = LossConfig()
    train: MixtureSettings = MixtureSettings()
    pairing: PairingConfig | None = None

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

    @model_validator(mode="after")
    def _can_pair(self) -> Self:
        experts = set(self.model.experts)
        if self.pairing is not None and "fusion" not in experts and not {"speech", "text"} <= experts:
            raise ValueError(
                "pairing: puts words and voices together, but model.experts reads only one of them;"
                " leave pairing out"
            )
        if self.pairing is not None and self.train.batch_turns is not None:
            raise ValueError("train.batch_turns: leave it out, paired batches are of any length")
        return self

    def settings(self) -> dict[str, Any]:
        """All that decides a run but its seed, JSON-ready."""
        paired = {} if self.pairing is None else {"pairing": self.pairing.model_dump(mode="json")}
        return {
            "model": self.model.model_dump(mode="json", exclude=set(STORE_SIZES)),
            "loss": self.loss.model_dump(mode="json"),
            "train": self.train.model_dump(mode="json", exclude={"seed", "trackers", "checkpoint_every"}),
            **paired,
        }
