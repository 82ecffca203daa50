"""Inputs of baselines: the embeddings of a turn concatenated, with flags of the modalities that it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mister_e.encoders.conversations import StoredConversation
from mister_e.encoders.store import EmbeddingStore
from mister_e.errors import InputError
from mister_e.inference.predictions import Predictions


@dataclass(frozen=True)
class BaselineInput:
    """A conversation as input of a baseline; nothing tells who speaks.

    :param id: id of the conversation.
    :param ids: ids of its T turns.
    :param features: float32 `[T, F]`, standardised on train; zeros for a modality that is missing.
    :param labels: int64 `[T]`, positions in the label set; -1 = unlabelled.
    :param has_input: bool `[T]`, False = the turn has neither text nor speech.
    """

    id: str
    ids: tuple[str, ...]
    features: Tensor
    labels: Tensor
    has_input: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def scored(self) -> Tensor:
        """Turns that a model learns from and is scored on: labelled, with a modality; bool `[T]`."""
        return (self.labels >= 0) & self.has_input


@dataclass(frozen=True)
class Fitted:
    """A baseline after training.

    :param predict: conversations to logits of their N turns, float32 `[N, C]`.
    :param chosen: settings that were chosen on validation, JSON-ready.
    """

    predict: Callable[[Sequence[BaselineInput]], NDArray[np.float32]]
    chosen: Mapping[str, Any]


#: Fits a baseline: train conversations, validation conversations, number of classes, seed.
Fit = Callable[[Sequence[BaselineInput], Sequence[BaselineInput], int, int], Fitted]


class Standardizer:
    """Concatenates the embeddings of a turn, each number with mean 0 and standard deviation 1 on train.

    :param train: conversations whose mean and standard deviation are used.
    :raises InputError: an embedding holds something that is not a number.
    """

    def __init__(self, train: Sequence[StoredConversation]) -> None:
        self.statistics: dict[str, tuple[Tensor, Tensor]] = {}
        for modality in ("text", "speech"):
            rows = [_embeddings(conversation, modality) for conversation in train]
            present = [embeddings[flags] for embeddings, flags in rows if embeddings is not None]
            if present and len(values := torch.cat(present).double()):
                std = values.std(0, correction=0)
                # a constant number tells nothing: it becomes 0, and there is no division by 0
                std = torch.where(std > 1e-8, std, torch.inf)
                self.statistics[modality] = (values.mean(0), std)

    def __call__(self, conversation: StoredConversation) -> BaselineInput:
        """Input of a conversation."""
        columns = []
        for modality, (mean, std) in self.statistics.items():
            embeddings, flags = _embeddings(conversation, modality)
            assert embeddings is not None
            scaled = ((embeddings.double() - mean) / std).float()
            columns += [torch.where(flags[:, None], scaled, 0.0), flags[:, None].float()]
        return BaselineInput(
            conversation.id,
            conversation.ids,
            torch.cat(columns, 1),
            conversation.labels,
            conversation.has_text | conversation.has_speech,
        )


def baseline_inputs(store: EmbeddingStore) -> dict[str, list[BaselineInput]]:
    """Inputs of every split of a store, standardised on train.

    :param store: embeddings of any corpus.
    :return: split to conversations.
    :raises InputError: train or validation has fewer than two of the labels.
    """
    stored = {split: list(store.conversations(split)) for split in ("train", "validation", "test")}
    for split in ("train", "validation"):
        classes = {
            int(label) for conversation in stored[split] for label in conversation.labels if label >= 0
        }
        if len(classes) < 2:
            raise InputError(
                f"{store.folder}: its {split} split has {len(classes)} of its labels, and two are needed;"
                " prepare the corpus with other splits"
            )
    standardizer = Standardizer(stored["train"])
    return {split: list(map(standardizer, conversations)) for split, conversations in stored.items()}


def as_predictions(conversations: Sequence[BaselineInput], logits: NDArray[np.float32]) -> Predictions:
    """Predictions from the logits of all turns of conversations.

    :param conversations: with N turns together.
    :param logits: `[N, C]`.
    """
    return Predictions(
        ids=[turn for conversation in conversations for turn in conversation.ids],
        conversations=np.repeat(np.arange(len(conversations)), list(map(len, conversations))),
        conversation_ids=[conversation.id for conversation in conversations],
        labels=torch.cat([conversation.labels for conversation in conversations]).numpy(),
        logits=logits,
        predicted=torch.cat([conversation.has_input for conversation in conversations]).numpy(),
    )


def _embeddings(conversation: StoredConversation, modality: str) -> tuple[Tensor | None, Tensor]:
    """Embeddings `[T, D]` (None = the store lacks the modality) and which turns have one `[T]`."""
    embeddings: Tensor | None = getattr(conversation, modality)
    flags: Tensor = getattr(conversation, f"has_{modality}")
    if embeddings is not None:
        broken = flags & ~embeddings.isfinite().all(1)
        if broken.any():
            turn = conversation.ids[int(broken.nonzero()[0])]
            raise InputError(f"turn {turn}: its {modality} embedding is not a number; embed again")
    return embeddings, flags
