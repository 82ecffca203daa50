"""What every utterance encoder is: turns in, one embedding a turn out, by one preprocessing.

Fine-tuning, embedding and use all go the same way: `examples` cuts conversations into what is read
at once, `collate` pads some of them to a batch, `forward` embeds the turns of the batch.
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

    A subclass sets `config` (a pydantic model with `base` and `classes`), `dim` and `classify`.
    """

    modality: ClassVar[Modality]
    #: Name of the class in `encoder.json`; see `mister_e.encoders.load_encoder`.
    kind: ClassVar[str]
    #: Cost of a batch that suits this machine, in the unit of `Example.cost`.
    batch_cost: ClassVar[int]
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
            modality is missing is in none.
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


def embed(
    encoder: UtteranceEncoder,
    conversations: Sequence[Conversation],
    *,
    budget: int | None = None,
    progress: Progress = silent,
) -> tuple[Tensor, Tensor]:
    """Embed every turn, in batches of like length.

    :param encoder: any.
    :param conversations: N turns together.
    :param budget: cost of a batch; None = the encoder's `batch_cost`.
    :param progress: told of turns, as stage "embed".
    :return: float32 `[N, dim]`, and bool `[N]`, False = the modality is missing (a row of zeros).
    """
    count = sum(len(one) for one in conversations)
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

    :param count: N, over which the turns of the examples are numbered.
    """
    result, present = torch.zeros(count, encoder.dim), torch.zeros(count, dtype=torch.bool)
    training = encoder.training
    encoder.eval()
    device = device_of(encoder)
    done = 0
    for batch in batches_by_cost(examples, budget or encoder.batch_cost):
        chosen = [examples[i] for i in batch]
        inputs = {name: value.to(device) for name, value in encoder.collate(chosen).items()}
        turns = [turn for example in chosen for turn in example.turns]
        absent = inputs.pop("absent", torch.zeros(len(turns), dtype=torch.bool)).cpu()
        embedded = encoder(**inputs).float().cpu()
        result[turns] = torch.where(absent[:, None], 0.0, embedded)
        present[turns] = ~absent
        done += len(turns)
        progress("embed", done, count)
    encoder.train(training)
    return result, present
