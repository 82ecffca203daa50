"""Conversations side by side, as the mixture takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mister_e.encoders.conversations import StoredConversation
from mister_e.errors import InputError
from mister_e.experts import MODALITIES, Modality
from mister_e.model.config import MixtureConfig
from mister_e.model.mixture import MisterE, MixtureOutput
from mister_e.model.windows import Window


class Turns(Protocol):
    """The T turns of one conversation."""

    @property
    def text(self) -> Tensor | None:
        """Embeddings `[T, Dt]`."""

    @property
    def speech(self) -> Tensor | None:
        """Embeddings `[T, Ds]`."""

    @property
    def has_text(self) -> Tensor:
        """Which turns have text: bool `[T]`."""

    @property
    def has_speech(self) -> Tensor:
        """Which turns have speech: bool `[T]`."""

    @property
    def labels(self) -> Tensor:
        """int64 `[T]`."""


@dataclass(frozen=True)
class Batch:
    """Conversations padded on the right, as `MisterE.forward` takes them, and their labels `[B, T]`."""

    text: Tensor
    speech: Tensor
    mask: Tensor
    has_text: Tensor
    has_speech: Tensor
    labels: Tensor

    def to(self, device: torch.device | str) -> Batch:
        """Move it."""
        return Batch(**{name: tensor.to(device) for name, tensor in vars(self).items()})

    def inputs(self) -> dict[str, Tensor]:
        """All but the labels, by the names of `MisterE.forward`."""
        return {name: tensor for name, tensor in vars(self).items() if name != "labels"}


def pad(conversations: Sequence[Turns]) -> Batch:
    """Pad conversations to one batch; pads are labelled -1."""

    def padded(name: str, value: float) -> Tensor:
        rows: list[Tensor] = [getattr(conversation, name) for conversation in conversations]
        if len(rows) == 1:  # a long conversation is not copied
            return rows[0][None]
        return pad_sequence(rows, batch_first=True, padding_value=value)

    real = [torch.ones(len(conversation.labels), dtype=torch.bool) for conversation in conversations]
    return Batch(
        padded("text", 0.0),
        padded("speech", 0.0),
        pad_sequence(real, batch_first=True),
        padded("has_text", False),
        padded("has_speech", False),
        padded("labels", -1),
    )


def run(mixture: MisterE, batch: Batch, window: Window | None = None) -> MixtureOutput:
    """Run the mixture over a batch.

    :param window: how long conversations are cut; None = not at all.
    """
    output: MixtureOutput = mixture(**batch.inputs(), window=window)
    return output


def needed_modalities(model: MixtureConfig) -> list[Modality]:
    """Modalities that some expert reads."""
    return [modality for modality in MODALITIES if {modality, "fusion"} & set(model.experts)]


def only_needed(conversation: StoredConversation, config: MixtureConfig) -> StoredConversation:
    """Take a modality that no expert reads as missing: a model in use has no encoder for it either."""
    needed = needed_modalities(config)
    changes: dict[str, Any] = {
        f"has_{modality}": torch.zeros(len(conversation), dtype=torch.bool)
        for modality in MODALITIES
        if modality not in needed
    }
    return replace(conversation, **changes) if changes else conversation


def fill_missing(conversation: StoredConversation, config: MixtureConfig) -> StoredConversation:
    """Put zeros where a modality is not stored or not read; nothing looks at them.

    :raises InputError: embeddings have another width than the model takes.
    """
    needed = needed_modalities(config)
    changes: dict[str, Any] = {}
    for modality in MODALITIES:
        rows, width = getattr(conversation, modality), getattr(config, f"{modality}_dim")
        if rows is None or modality not in needed:
            changes[modality] = torch.zeros(len(conversation), width)
        elif rows.shape[1] != width:
            raise InputError(
                f"conversation {conversation.id}: its {modality} embeddings have {rows.shape[1]} numbers,"
                f" the model takes {width}; use the store of the encoders that it was trained on"
            )
    return replace(conversation, **changes)
