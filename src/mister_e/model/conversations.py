"""Stored conversations as a mixture takes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mister_e.config import MixtureConfig
from mister_e.encoders.base import Modality
from mister_e.encoders.store import StoredConversation
from mister_e.errors import InputError

MODALITIES: tuple[Modality, ...] = ("text", "speech")


def needed_modalities(model: MixtureConfig) -> list[Modality]:
    """Modalities that some expert reads."""
    return [one for one in MODALITIES if {one, "fusion"} & set(model.experts)]


def only_judgeable(one: StoredConversation) -> StoredConversation:
    """Leave out the turns that have neither text nor speech."""
    return taken(one, (one.has_text | one.has_speech).nonzero().flatten())


def taken(one: StoredConversation, turns: Tensor) -> StoredConversation:
    """Some turns of a conversation.

    :param turns: int64 `[N]`, their places, rising; all of them cost nothing.
    """
    if len(turns) == len(one):
        return one
    return StoredConversation(
        one.id,
        tuple(one.ids[i] for i in turns.tolist()),
        None if one.text is None else one.text[turns],
        None if one.speech is None else one.speech[turns],
        one.has_text[turns],
        one.has_speech[turns],
        one.labels[turns],
    )


def filled(one: StoredConversation, config: MixtureConfig) -> StoredConversation:
    """Put zeros where a modality is not stored or not read; nothing looks at them.

    :raises InputError: embeddings have another width than the model takes.
    """
    needed = needed_modalities(config)
    changes: dict[str, Any] = {}
    for modality in MODALITIES:
        rows, width = getattr(one, modality), getattr(config, f"{modality}_dim")
        if rows is None or modality not in needed:
            changes[modality] = torch.zeros(len(one), width)
        elif rows.shape[1] != width:
            raise InputError(
                f"conversation {one.id}: its {modality} embeddings have {rows.shape[1]} numbers,"
                f" the model takes {width}; use the store of the encoders that it was trained on"
            )
    return replace(one, **changes)
