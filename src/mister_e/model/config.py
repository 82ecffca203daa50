"""Sizes and parts of the mixture, checked when they are read."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

from mister_e.experts import EXPERTS, Expert

#: Parts are made one by one: more of them than this are a damaged file.
MAX_COUNT = 64
Count = Annotated[int, Field(gt=0, le=MAX_COUNT)]
Probability = Annotated[float, Field(ge=0, lt=1)]


class MixtureConfig(BaseModel):
    """Sizes of the mixture of speech, text and fusion experts; the defaults are the published ones.

    :param classes: number of labels.
    :param text_dim: width of a turn's text embedding.
    :param speech_dim: width of a turn's speech embedding.
    :param hidden: width inside a context network: of each convolution, and of the turns it classifies.
    :param kernels: widths of the parallel convolutions, in turns; odd, to look as far back as ahead.
    :param gru_layers: layers of the bidirectional GRU.
    :param gru_hidden: width of the GRU per direction; half of `hidden`, to which the skip is added.
    :param fusion_dim: width of the fusion expert's turns.
    :param fusion_blocks: blocks of cross-attention then self-attention.
    :param attention_dim: width inside an attention, over all its heads.
    :param attention_heads: heads of an attention.
    :param dropout: probability of dropping an attention weight in training.
    :param head_dropout: probability of dropping a number of an attention's output, before the residual sum.
    :param gate_hidden: width of the gate's only hidden layer.
    :param gate_temperature: divides the gate's scores; higher makes the weights of the experts more even.
    :param experts: the experts of the model; a single one needs no gate.
    :param convolutions: False = the GRU gets the embeddings themselves.
    :param gru: False = no recurrence: the output of the convolutions is added to the skip.
    :param gate: how the experts are combined: "learned" = weights from a network; "average" = equal weights;
        "vote" = majority; "concatenation" = a classifier over the experts' representations, without weights.
    :param gate_input: input of a learned gate.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: int = Field(ge=2)
    text_dim: PositiveInt = 2048
    speech_dim: PositiveInt = 2048
    hidden: PositiveInt = 1024
    kernels: tuple[PositiveInt, ...] = Field(default=(1, 3, 5), min_length=1, max_length=MAX_COUNT)
    gru_layers: Count = 3
    gru_hidden: PositiveInt = 512
    fusion_dim: PositiveInt = 1024
    fusion_blocks: Count = 4
    attention_dim: PositiveInt = 120
    attention_heads: PositiveInt = 3
    dropout: Probability = 0.1
    head_dropout: Probability = 0.5
    gate_hidden: PositiveInt = 10
    gate_temperature: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    experts: tuple[Expert, ...] = Field(default=("speech", "text", "fusion"), min_length=1)
    convolutions: bool = True
    gru: bool = True
    gate: Literal["learned", "average", "vote", "concatenation"] = "learned"
    gate_input: Literal["logits", "representations"] = "logits"

    @field_validator("experts")
    @classmethod
    def _sorted_experts(cls, experts: tuple[Expert, ...]) -> tuple[Expert, ...]:
        if len(set(experts)) != len(experts):
            raise ValueError("an expert is named twice")
        return tuple(sorted(experts, key=EXPERTS.index))

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        even = [kernel for kernel in self.kernels if kernel % 2 == 0]
        if even:
            raise ValueError(f"kernels are odd numbers of turns, got {even[0]}")
        if self.gru and self.hidden != 2 * self.gru_hidden:
            raise ValueError(
                f"hidden is twice gru_hidden (two directions): got hidden {self.hidden}, "
                f"gru_hidden {self.gru_hidden}; set gru_hidden to {self.hidden / 2:g}"
            )
        if self.attention_dim % self.attention_heads:
            raise ValueError(
                f"attention_dim is shared evenly by the heads: {self.attention_dim} is not divisible "
                f"by attention_heads {self.attention_heads}"
            )
        return self
