"""What a baseline sees of a turn: both embeddings side by side, and which of them are there."""

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
    """A conversation as a baseline sees it; nothing says who speaks.

    :param id: of the conversation.
    :param ids: of its T turns.
    :param features: float32 `[T, F]`, standardised on train; zeros for a modality that is missing.
    :param labels: int64 `[T]`; -1 = unlabelled.
    :param judged: bool `[T]`, False = the turn has no modality at all.
    """

    id: str
    ids: tuple[str, ...]
    features: Tensor
    labels: Tensor
    judged: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def taught(self) -> Tensor:
        """Which turns a model learns from and is judged by, bool `[T]`."""
        return (self.labels >= 0) & self.judged


@dataclass(frozen=True)
class Fitted:
    """A baseline after training.

    :param say: gives logits float32 `[N, C]` for the turns of conversations.
    :param chosen: what was chosen on validation, JSON-ready.
    """

    say: Callable[[Sequence[BaselineInput]], NDArray[np.float32]]
    chosen: Mapping[str, Any]


#: Trains on the first conversations, chooses on the second; then come the number of classes and the seed.
Fit = Callable[[Sequence[BaselineInput], Sequence[BaselineInput], int, int], Fitted]


class Standard:
    """Puts the embeddings of a turn side by side, each number with mean 0 and deviation 1 on train.

    :param train: conversations to measure on.
    :raises InputError: an embedding holds something that is not a number.
    """

    def __init__(self, train: Sequence[StoredConversation]) -> None:
        self.measured: dict[str, tuple[Tensor, Tensor]] = {}
        for modality in ("text", "speech"):
            rows = [_embeddings(one, modality) for one in train]
            there = [row[flags] for row, flags in rows if row is not None]
            if there and len(seen := torch.cat(there).double()):
                deviation = seen.std(0, correction=0)
                # a constant says nothing: it becomes 0 and not a division by 0
                deviation = torch.where(deviation > 1e-8, deviation, torch.inf)
                self.measured[modality] = (seen.mean(0), deviation)

    def __call__(self, one: StoredConversation) -> BaselineInput:
        """Prepare a conversation."""
        columns = []
        for modality, (mean, deviation) in self.measured.items():
            row, flags = _embeddings(one, modality)
            assert row is not None
            scaled = ((row.double() - mean) / deviation).float()
            columns += [torch.where(flags[:, None], scaled, 0.0), flags[:, None].float()]
        return BaselineInput(
            one.id, one.ids, torch.cat(columns, 1), one.labels, one.has_text | one.has_speech
        )


def baseline_inputs(store: EmbeddingStore) -> dict[str, list[BaselineInput]]:
    """Prepare every split of a store.

    :param store: of any corpus.
    :return: split to conversations.
    :raises InputError: train or validation cannot be learned from or chosen by.
    """
    stored = {split: list(store.conversations(split)) for split in ("train", "validation", "test")}
    for split in ("train", "validation"):
        classes = {int(label) for one in stored[split] for label in one.labels if label >= 0}
        if len(classes) < 2:
            raise InputError(
                f"{store.folder}: its {split} split has {len(classes)} of its labels, and two are needed;"
                " prepare the corpus with other splits"
            )
    standard = Standard(stored["train"])
    return {split: [standard(one) for one in several] for split, several in stored.items()}


def as_predictions(several: Sequence[BaselineInput], logits: NDArray[np.float32]) -> Predictions:
    """Put logits to the turns that they are about.

    :param several: conversations.
    :param logits: of all their turns `[N, C]`.
    """
    return Predictions(
        ids=[turn for one in several for turn in one.ids],
        conversations=np.repeat(np.arange(len(several)), [len(one) for one in several]),
        conversation_ids=[one.id for one in several],
        labels=torch.cat([one.labels for one in several]).numpy(),
        logits=logits,
        judged=torch.cat([one.judged for one in several]).numpy(),
    )


def _embeddings(one: StoredConversation, modality: str) -> tuple[Tensor | None, Tensor]:
    """Embeddings `[T, D]` and where they are there `[T]`."""
    row: Tensor | None = getattr(one, modality)
    flags: Tensor = getattr(one, f"has_{modality}")
    if row is not None:
        odd = flags & ~row.isfinite().all(1)
        if odd.any():
            turn = one.ids[int(odd.nonzero()[0])]
            raise InputError(f"turn {turn}: its {modality} embedding is not a number; embed again")
    return row, flags
