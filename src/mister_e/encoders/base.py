"""What every utterance encoder is: turns in, one embedding a turn out, by one preprocessing.

Fine-tuning, embedding and use all go the same way: `examples` cuts conversations into what is read
at once, `collate` pads some of them to a batch, `forward` embeds the turns of the batch. Without gradients,
`encode_batch` does the same, and leaves what is relative to the whole recording to `embed_recording`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from mister_e.conversation import Conversation
from mister_e.errors import InputError
from mister_e.experts import Modality
from mister_e.progress import Progress, silent


@dataclass(frozen=True)
class Example:
    """What an encoder reads at once: a turn, or some turns in one prompt.

    :param turns: the turns that are read out, by their position over all given conversations.
    :param cost: its length in the encoder's own unit (tokens, frames): what a batch's budget counts.
    :param content: the encoder's own business.
    """

    turns: tuple[int, ...]
    cost: int
    content: Any


class UtteranceEncoder(nn.Module, ABC):
    """Base of all encoders; `dim` is the width of an embedding.

    Use goes in two steps, so that a long recording need not stay in memory: `encode_turns` gives what is
    kept of each turn when its sound is let go, `embed_recording` makes the embeddings out of what was kept
    of all turns of a recording. For most kinds the first gives the embeddings already.

    A subclass sets `config` (a pydantic model with `base` and `classes`), `dim` and `classify`.
    """

    modality: ClassVar[Modality]
    #: Name of the class in `encoder.json`; see `mister_e.encoders.registry`.
    kind: ClassVar[str]
    #: Cost of a batch that suits this machine, in the unit of `Example.cost`.
    batch_cost: ClassVar[int]
    #: Whether an embedding depends on the other turns of its recording, see `embed_recording`.
    recording_relative: ClassVar[bool] = False
    config: Any
    dim: int
    classify: nn.Module | None

    @classmethod
    @abstractmethod
    def from_base(cls, config: Any) -> Self:
        """Start from pretrained weights; what is trained besides them is new.

        :param config: of this kind of encoder.
        :raises InputError: the base cannot be found or is no such model.
        """

    @abstractmethod
    def examples(self, conversations: Sequence[Conversation]) -> list[Example]:
        """Cut conversations into examples, cheaply: sound is not decoded here.

        :param conversations: their turns are numbered through, from 0.
        :return: each turn that has this modality is in `turns` of exactly one example; a turn whose
            modality is missing is in none. An encoder that is `recording_relative` makes one example of all
            turns of a conversation.
        """

    @abstractmethod
    def collate(
        self, examples: Sequence[Example], *, random: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Pad examples to one batch.

        :param examples: at least one.
        :param random: in training only: where to crop. None = deterministic.
        :return: the arguments of `forward`; besides, `absent` bool `[R]` may say of which turns the
            modality turned out to be missing.
        """

    @abstractmethod
    def forward(self, *args: Any, **inputs: Any) -> Tensor:
        """Embed a batch: `[R, dim]` for the R turns of its examples, in their order."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the encoder as a folder, with `encoder.json` that names its `kind`, last."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        :raises InputError: a file or a weight is missing, or one is unexpected.
        """

    @property
    @abstractmethod
    def identity(self) -> str:
        """What embeddings are keyed by: 64 hexadecimal digits over configuration, base and weights."""

    @property
    def feature_dim(self) -> int:
        """Width F of what `encode_turns` keeps of a turn."""
        return self.dim

    @property
    def max_seconds(self) -> float | None:
        """Seconds of a turn that are encoded at most; None = the encoder takes no sound."""
        return None

    @torch.inference_mode()
    def encode_batch(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
        """Encode the R turns of examples, in their order.

        :param examples: of `examples`, at least one.
        :return: float32 `[R, F]`, and bool `[R]`, False = the modality turned out to be missing.
        """
        device = device_of(self)
        inputs = {name: value.to(device) for name, value in self.collate(examples).items()}
        count = sum(len(example.turns) for example in examples)
        absent = inputs.pop("absent", torch.zeros(count, dtype=torch.bool)).cpu()
        return self(**inputs).float().cpu(), ~absent

    def encode_turns(
        self,
        conversations: Sequence[Conversation],
        *,
        budget: int | None = None,
        progress: Progress = silent,
    ) -> tuple[Tensor, Tensor]:
        """Give what is kept of turns when their sound is let go.

        :param conversations: N turns together.
        :param budget: cost of a batch; None = `batch_cost`.
        :param progress: told of turns, as stage "embed".
        :return: float32 `[N, F]`, and bool `[N]`, False = the modality is missing (a row of zeros).
        """
        count = sum(len(conversation) for conversation in conversations)
        features, present = torch.zeros(count, self.feature_dim), torch.zeros(count, dtype=torch.bool)
        done = 0
        for chosen, batch, there in encode_batches(self, self.examples(conversations), budget):
            turns = [turn for example in chosen for turn in example.turns]
            features[turns] = torch.where(there[:, None], batch, 0.0)
            present[turns] = there
            done += len(turns)
            progress("embed", done, count)
        return features, present

    def embed_recording(self, features: Tensor) -> Tensor:
        """Embed the turns of one recording: here, what was kept is the embedding.

        :param features: float32 `[T, F]` of `encode_turns`: all turns of it that have the modality.
        :return: float32 `[T, dim]`.
        """
        return features

    def check_corpus(self, conversations: Sequence[Conversation]) -> None:
        """Refuse a whole corpus that this encoder is not for; most take any.

        :raises InputError: says why.
        """

    def notes(self, conversations: Sequence[Conversation]) -> list[str]:
        """Say what of turns is not encoded, in words for people; most encoders leave nothing out."""
        return []

    def fit(self, examples: Sequence[Example]) -> None:
        """Take what needs no gradient (a standardisation) from the training examples; most do nothing."""

    def keep_in(self, folder: Path) -> None:
        """Let what is slow to make and the same in every epoch be kept in a folder; most keep nothing."""

    def logits(self, embeddings: Tensor) -> Tensor:
        """Classify embeddings `[R, dim]` to `[R, C]` (stage 1 only).

        :raises InputError: the encoder has no classifier.
        """
        if self.classify is None:
            raise InputError("this encoder has no classifier: set `classes` in its configuration")
        logits: Tensor = self.classify(embeddings)
        return logits

    @abstractmethod
    def content_keys(self, conversations: Sequence[Conversation]) -> list[str | None]:
        """Hash what each turn's embedding depends on besides the encoder.

        :param conversations: N turns together.
        :return: N keys of 64 hexadecimal digits: equal keys, equal embeddings. None = modality missing.
        """


def fingerprint(kind: str, config: BaseModel, base: str, weights: Mapping[str, Tensor]) -> str:
    """Identity of an encoder: one SHA-256 over what decides its embeddings.

    :param kind: as in `UtteranceEncoder.kind`.
    :param config: its configuration.
    :param base: identity of the frozen base: a file's SHA-256 or a revision; "" = all weights are given.
    :param weights: every other weight, by name.
    """
    digest = hashlib.sha256(f"{kind}\n{config.model_dump_json()}\n{base}\n".encode())
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def device_of(encoder: UtteranceEncoder) -> torch.device:
    """Device of an encoder, even of one that has buffers alone."""
    for tensor in (*encoder.parameters(), *encoder.buffers()):
        return tensor.device
    return torch.device("cpu")


def on_fastest_device(encoder: UtteranceEncoder) -> UtteranceEncoder:
    """Put an encoder on the GPU, where there is one; give it back."""
    return encoder.to("cuda") if torch.cuda.is_available() else encoder


def batches_by_cost(examples: Sequence[Example], budget: int) -> Iterator[list[int]]:
    """Group examples of like cost, dearest first.

    :param examples: any number.
    :param budget: cost of a batch, pads included; an example dearer than that makes a batch alone.
    :return: positions of examples.
    """
    order = sorted(range(len(examples)), key=lambda i: -examples[i].cost)
    while order:
        size = max(1, budget // max(1, examples[order[0]].cost))
        yield order[:size]
        order = order[size:]


def encode_batches(
    encoder: UtteranceEncoder, examples: Sequence[Example], budget: int | None = None
) -> Iterator[tuple[list[Example], Tensor, Tensor]]:
    """Encode examples in batches of like cost, with dropout off.

    :param encoder: any; its mode of training is as before at the end.
    :param examples: any number.
    :param budget: cost of a batch; None = the encoder's `batch_cost`.
    :return: of each batch its examples, and of their R turns float32 `[R, F]` and bool `[R]` (see
        `UtteranceEncoder.encode_batch`).
    """
    training = encoder.training
    encoder.eval()
    try:
        for batch in batches_by_cost(examples, budget or encoder.batch_cost):
            chosen = [examples[number] for number in batch]
            yield chosen, *encoder.encode_batch(chosen)
    finally:
        encoder.train(training)


def embed(
    encoder: UtteranceEncoder,
    conversations: Sequence[Conversation],
    *,
    budget: int | None = None,
    progress: Progress = silent,
) -> tuple[Tensor, Tensor]:
    """Embed every turn, each conversation as a recording of its own.

    :param encoder: any.
    :param conversations: N turns together.
    :param budget: cost of a batch; None = the encoder's `batch_cost`.
    :param progress: told of turns, as stage "embed".
    :return: float32 `[N, dim]`, and bool `[N]`, False = the modality is missing (a row of zeros).
    """
    count = sum(len(conversation) for conversation in conversations)
    return embed_examples(encoder, encoder.examples(conversations), count, budget=budget, progress=progress)


@torch.inference_mode()
def embed_examples(
    encoder: UtteranceEncoder,
    examples: Sequence[Example],
    count: int,
    *,
    budget: int | None = None,
    progress: Progress = silent,
) -> tuple[Tensor, Tensor]:
    """Embed the turns of examples; see `embed`.

    :param examples: of an encoder that is relative to the recording, each holds the turns of one.
    :param count: N, over which the turns of the examples are numbered.
    """
    result, present = torch.zeros(count, encoder.dim), torch.zeros(count, dtype=torch.bool)
    done = 0
    for chosen, features, there in encode_batches(encoder, examples, budget):
        turns = [turn for example in chosen for turn in example.turns]
        lengths = [len(example.turns) for example in chosen]
        result[turns] = embed_recordings(encoder, features, there, lengths)
        present[turns] = there
        done += len(turns)
        progress("embed", done, count)
    return result, present


@torch.inference_mode()
def embed_recordings(
    encoder: UtteranceEncoder, features: Tensor, present: Tensor, lengths: Sequence[int]
) -> Tensor:
    """Embed the turns of recordings that stand one after the other.

    :param encoder: any.
    :param features: float32 `[N, F]` of `encode_turns`.
    :param present: bool `[N]`.
    :param lengths: turns of each recording, N together.
    :return: float32 `[N, dim]`; zeros where the modality is missing.
    """
    result = torch.zeros(len(features), encoder.dim)
    if not encoder.recording_relative:
        lengths = [len(features)]
    first = 0
    for length in lengths:
        own = (present[first : first + length]).nonzero().flatten() + first
        if len(own):
            result[own] = encoder.embed_recording(features[own]).float().cpu()
        first += length
    return result
