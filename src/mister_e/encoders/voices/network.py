"""The network that compares the voice before a moment with the voice after it.

It reads states of the bundled Whisper as it comes, so that it does not depend on how emotions are encoded.
Of a moment it sees sums over windows that end there and that begin there, and gives one number: no sum of a
voice leaves it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from mister_e.encoders.speech.whisper_layers import LAYERS, WIDTH, WhisperStates

#: States in a second: means of two of Whisper's. A value of the overlap is the mean of two and a half.
STATE_RATE, _HALVES_PER_VALUE = 25, 5
# Weights of states are exponentials of bounded scores: sums over windows are differences of running sums.
_HIGHEST_SCORE = 5.0

#: Seconds: at least five states, and at most the longest stretch.
Window = Annotated[float, Field(ge=0.1, le=30)]


class VoiceChangeConfig(BaseModel):
    """Sizes of the network.

    :param base: the frozen encoder that makes the states.
    :param layers: of the base, the first ones; what lies above them is not run.
    :param width: of a state after its projection.
    :param values: numbers of a state that windows take mean and deviation of.
    :param windows: seconds before and after a moment that are compared, one comparison each.
    :param hidden: width of what joins the comparisons.
    :param overlap_hidden: width of what tells overlap.
    :param dropout: in training only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: Literal["whisper-tiny.en"] = "whisper-tiny.en"
    layers: int = Field(3, ge=1, le=LAYERS)
    width: int = Field(128, gt=0, le=1024)
    values: int = Field(64, gt=0, le=1024)
    windows: tuple[Window, ...] = Field((0.6, 1.5, 4.0), min_length=1, max_length=8)
    hidden: int = Field(96, gt=0, le=1024)
    overlap_hidden: int = Field(32, gt=0, le=1024)
    dropout: float = Field(0.1, ge=0, lt=1)


class VoiceChangeNetwork(nn.Module):
    """Spectrograms of stretches and moments in them to logits of a change and of overlap.

    Pads never count: a stretch gives the same alone and in company.

    :param config: its sizes.
    :raises InputError: the weights of the base are not installed, or damaged.
    """

    def __init__(self, config: VoiceChangeConfig) -> None:
        super().__init__()
        self.config = config
        width, values, hidden = config.width, config.values, config.hidden
        self.states = WhisperStates(0, layers=config.layers)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(config.layers))
        self.project = nn.Linear(config.layers * WIDTH, width)
        self.dropout = nn.Dropout(config.dropout)
        self.value = nn.Linear(width, values)
        self.score = nn.Linear(width, values)
        self.describe = nn.Sequential(nn.LayerNorm(2 * values), nn.Linear(2 * values, values))
        self.compare = nn.Sequential(
            nn.Linear(len(config.windows) * (2 * values + 2), hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, 1),
        )
        self.overlap_in = nn.Conv1d(width, config.overlap_hidden, 5, padding=2)
        self.overlap_out = nn.Conv1d(config.overlap_hidden, 1, 5, padding=2)

    @property
    def last_bias(self) -> Tensor:
        """What is added to the logit of every change: where half of the probability lies."""
        return self.compare[-1].get_parameter("bias")

    def forward(self, mels: Tensor, lengths: Tensor, moments: Tensor) -> tuple[Tensor, Tensor]:
        """Tell of moments and of tenths of a second.

        :param mels: `[N, M, 80]`, 100 a second; whatever stands behind a stretch's end.
        :param lengths: int64 `[N]`, the real ones of each stretch.
        :param moments: `[N, K]` seconds; those of shorter lists are any number.
        :return: float32 logits `[N, K]` that the voice changes at a moment, and `[N, V]` that several speak,
            10 a second; what lies behind a stretch's end is 0.
        """
        states, real = self.read(mels, lengths)
        return self.judge(states, real, moments)

    @torch.no_grad()
    def read(self, mels: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Read stretches with the frozen base.

        :param mels: `[N, M, 80]`.
        :param lengths: int64 `[N]`, the real ones of each stretch.
        :return: `[N, F, layers * 384]`, `STATE_RATE` a second, and how many of Whisper's states each is the
            mean of, int64 `[N, F]`, 0 to 2.
        """
        layers, real = self.states(mels, lengths)
        states = torch.where(real[..., None], torch.cat(layers[1:], -1), mels.new_zeros(()))
        odd = real.shape[1] % 2
        count = F.pad(real, (0, odd)).unflatten(1, (-1, 2)).sum(2)
        summed = F.pad(states, (0, 0, 0, odd)).unflatten(1, (-1, 2)).sum(2)
        return summed / count.clamp(min=1)[..., None], count

    def judge(self, states: Tensor, count: Tensor, moments: Tensor) -> tuple[Tensor, Tensor]:
        """Tell from what `read` gives; moments and logits are those of `forward`."""
        real = count > 0
        layers = states.split(WIDTH, -1)
        normed = [norm(layer) for norm, layer in zip(self.norms, layers, strict=True)]
        projected = F.gelu(self.project(torch.cat(normed, -1)))
        states = torch.where(real[..., None], projected, projected.new_zeros(()))
        return self._changes(self.dropout(states), real, moments), self._overlap(states, count)

    def _changes(self, states: Tensor, real: Tensor, moments: Tensor) -> Tensor:
        """Logits `[N, K]` that the voice changes."""
        value = self.value(states).float()
        weight = (self.score(states).float().clamp(max=_HIGHEST_SCORE).exp() + 1e-4) * real[..., None]
        sums = torch.cat([weight, weight * value, weight * value.square()], -1).cumsum(1)
        sums = F.pad(sums, (0, 0, 1, 0))  # [N, F + 1, 3 * values]
        count = real.sum(1, keepdim=True)
        middle = torch.minimum((moments * STATE_RATE).round().long().clamp(min=0), count)
        found = []
        for seconds in self.config.windows:
            window = round(seconds * STATE_RATE)
            first, last = (middle - window).clamp(min=0), torch.minimum(middle + window, count)
            before = self._window(sums, first, middle)
            after = self._window(sums, middle, last)
            lengths = torch.stack([middle - first, last - middle], -1) / window
            found.append(torch.cat([(before - after).abs(), before * after, lengths], -1))
        logits: Tensor = self.compare(torch.cat(found, -1)).squeeze(-1)
        return logits.float()

    def _window(self, sums: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """Describe windows `[N, K, values]` by weighted mean and deviation of their states."""

        def at(places: Tensor) -> Tensor:
            return sums.gather(1, places[..., None].expand(-1, -1, sums.shape[-1]))

        weight, first_moment, second_moment = (at(last) - at(first)).chunk(3, -1)
        weight = weight.clamp(min=1e-4)
        mean = first_moment / weight
        deviation = (second_moment / weight - mean.square()).clamp(min=1e-4).sqrt()
        described: Tensor = self.describe(torch.cat([mean, deviation], -1))
        return described

    def _overlap(self, states: Tensor, count: Tensor) -> Tensor:
        """Logits `[N, V]` that several speak, 0 behind a stretch's end."""
        halves = torch.stack([count > 0, count > 1], -1).flatten(1)
        missing = -halves.shape[1] % _HALVES_PER_VALUE
        halves = F.pad(halves, (0, missing))
        doubled = F.pad(states.repeat_interleave(2, 1), (0, 0, 0, missing)) * halves[..., None]
        there = halves.unflatten(1, (-1, _HALVES_PER_VALUE)).sum(2)
        summed = doubled.unflatten(1, (-1, _HALVES_PER_VALUE)).sum(2)
        kept = (there > 0)[:, None]
        tenths = (summed / there.clamp(min=1)[..., None]).transpose(1, 2)
        hidden = F.gelu(self.overlap_in(tenths)) * kept
        logits: Tensor = (self.overlap_out(hidden) * kept).squeeze(1)
        return logits.float()
