"""What stage 2 learns from: the train and validation splits of a store, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mister_e.encoders.conversations import StoredConversation, only_judgeable
from mister_e.encoders.store import EmbeddingStore
from mister_e.errors import InputError
from mister_e.experts import MODALITIES, Modality
from mister_e.inference.batch import fill_missing, needed_modalities, only_needed
from mister_e.labels import LabelSet
from mister_e.model.config import MixtureConfig
from mister_e.training.recipe import Recipe
from mister_e.training.stage2.conditions import TestCondition, conditions_of
from mister_e.training.stage2.pairing import PairedSampler, VoiceStores


@dataclass(frozen=True)
class TrainingData:
    """Conversations to learn from and to choose by; there is no place for test here.

    :param config: the recipe's model, with the sizes of the store.
    :param train: those with a label; turns that have neither text nor speech are left out.
    :param validation: as they are in the store.
    :param counts: labelled training turns of each class `[C]`.
    :param notes: what a person should know about the data.
    :param sampler: pairs the conversations of an epoch with clips; None = they are shown as they are.
    :param conditions: what a paired mixture is chosen and calibrated under; none = the validation split.
    :param corpora: what training sees besides the store, a line each.
    """

    config: MixtureConfig
    labels: LabelSet
    train: Sequence[StoredConversation]
    validation: Sequence[StoredConversation]
    counts: NDArray[np.int64]
    notes: Sequence[str]
    sampler: PairedSampler | None = None
    conditions: Sequence[TestCondition] = ()
    corpora: Sequence[str] = ()

    def epoch(self, seed: int, epoch: int) -> Sequence[StoredConversation]:
        """Conversations of an epoch: the same ones whenever it is asked for.

        :param seed: of the run.
        :param epoch: from 0 on.
        """
        if self.sampler is None:
            return self.train
        drawn = self.sampler.epoch(self.train, seed, epoch)
        return [fill_missing(conversation, self.config) for conversation in drawn]


def read_training_data(
    store: EmbeddingStore, recipe: Recipe, voices: VoiceStores | None = None
) -> TrainingData:
    """Read train and validation, and refuse what nothing can be learned from.

    :param voices: clips that a recipe with `pairing:` pairs the conversations with.
    :raises InputError: the store is not that of the recipe; an embedding is no number; all of a split
        are the same; there is nothing to learn from, or nothing to choose by; voices are missing, or there
        is nothing to pair them.
    """
    _check_pairing(recipe, voices)
    labels = store.protocol.labels
    check_encoders(store, recipe)
    config = with_store_dims(recipe.stage2().model, store, len(labels))
    train, validation = list(store.conversations("train")), list(store.conversations("validation"))
    needed = needed_modalities(config)
    for split, conversations in (("train", train), ("validation", validation)):
        for modality in needed:
            check_embeddings(conversations, modality, split, constant=split == "train")
    counts = _counts(train, len(labels), needed)
    chosen_by = _counts(validation, len(labels), needed)
    if not counts.any():
        raise InputError(f"{store.folder}: no turn of the train split has a label and {' or '.join(needed)}")
    if (chosen_by > 0).sum() < 2:
        only = [name for name, count in zip(labels, chosen_by, strict=True) if count]
        found = f"only the label {only[0]!r}" if only else "no label"
        raise InputError(
            f"{store.folder}: the validation split has {found}:"
            " no epoch can be chosen by it; prepare the corpus with another validation split"
        )
    notes = [
        f"label {name!r} is absent from train: it is never predicted rightly, and weighs 0 in the loss"
        + (f", though {chosen} turns of validation have it" if chosen else "")
        for name, count, chosen in zip(labels, counts, chosen_by, strict=True)
        if not count
    ]
    usable = [
        fill_missing(conversation, config)
        for conversation in (only_judgeable(only_needed(conversation, config)) for conversation in train)
        if (conversation.labels >= 0).any()
    ]
    data = TrainingData(config, labels, usable, validation, counts, notes)
    pairing = recipe.stage2().pairing
    if pairing is None or voices is None:
        return data
    voices.check(store)
    train_clips, validation_clips = (
        voices.clips(split, labels, pairing.neutral_corpora) for split in ("train", "validation")
    )
    return replace(
        data,
        sampler=PairedSampler(pairing, train_clips),
        conditions=conditions_of(validation, validation_clips, pairing),
        corpora=[f"{name}: {len(places):,} clips" for name, places in train_clips.places.items()],
    )


def _check_pairing(recipe: Recipe, voices: VoiceStores | None) -> None:
    """Refuse a recipe that pairs without voices, and voices that no recipe pairs.

    :raises InputError: says what to give.
    """
    pairs = recipe.stage2().pairing is not None
    if pairs and voices is None:
        raise InputError(
            f"recipe {recipe.name}: its mixture.pairing puts clips into conversations: give --voices STORE"
            " for each corpus of clips, and --speech ENCODER that all stores were made by"
        )
    if voices is not None and not pairs:
        raise InputError(
            f"recipe {recipe.name}: has no mixture.pairing, so that no voices are used; leave --voices and"
            " --speech out, or add `pairing: {}`"
        )


def check_encoders(store: EmbeddingStore, recipe: Recipe) -> None:
    """Refuse a store whose embeddings are of another kind of encoder, or another base, than the recipe's.

    :raises InputError: names both.
    """
    for modality in MODALITIES:
        wanted, stored = getattr(recipe, modality), store.metadata["encoders"].get(modality)
        if wanted is None or stored is None:
            continue
        base = getattr(wanted.encoder, "base", None)
        for field, ours, theirs in (
            ("kind", wanted.kind, stored["kind"]),
            ("base", base, stored["config"].get("base")),
        ):
            if ours != theirs:
                raise InputError(
                    f"{store.folder}: its {modality} embeddings are by an encoder of {field} {theirs!r},"
                    f" but recipe {recipe.name} has {ours!r}; embed with the recipe's encoder,"
                    " or train by the recipe of the store's"
                )


def with_store_dims(model: MixtureConfig, store: EmbeddingStore, classes: int) -> MixtureConfig:
    """Give a model the sizes of a store.

    :raises InputError: the store lacks a modality that an expert needs.
    """
    needed = needed_modalities(model)
    for modality in needed:
        if modality not in store.metadata["encoders"]:
            other = "speech" if modality == "text" else "text"
            raise InputError(
                f"{store.folder}: it holds no {modality} embeddings; run mister-e embed for them,"
                f" or set mixture.model.experts=[{other}]"
            )
    dims = {f"{modality}_dim": store.dim(modality) if modality in needed else 1 for modality in MODALITIES}
    return model.model_copy(update={"classes": classes, **dims})


def check_embeddings(
    conversations: Sequence[StoredConversation], modality: Modality, split: str, *, constant: bool = True
) -> None:
    """Refuse embeddings that are no numbers, or all the same.

    :param constant: whether to refuse equal ones as well.
    :raises InputError: names the conversation and the turn.
    """
    first: tuple[StoredConversation, int, Tensor] | None = None
    differ, seen = False, 0
    for conversation in conversations:
        rows = getattr(conversation, modality)
        there = getattr(conversation, f"has_{modality}").nonzero().flatten().tolist()
        if rows is None or not there:
            continue
        broken = (~torch.isfinite(rows[there]).all(dim=1)).nonzero().flatten()
        if len(broken):
            turn = conversation.ids[there[int(broken[0])]]
            raise InputError(
                f"{split}, conversation {conversation.id}, turn {turn}: its {modality} embedding is not"
                " finite (NaN or infinity); embed this corpus again into a new store"
            )
        first = first or (conversation, there[0], rows[there[0]])
        differ = differ or bool((rows[there] != first[2]).any())
        seen += len(there)
    if constant and first is not None and seen > 1 and not differ:
        conversation, turn, _ = first
        raise InputError(
            f"{split}: all {seen} {modality} embeddings are the same, from conversation {conversation.id},"
            f" turn {conversation.ids[turn]} on: nothing can be learned from them; check the encoder, and"
            " embed again"
        )


def _counts(
    conversations: Sequence[StoredConversation], classes: int, needed: Sequence[Modality]
) -> NDArray[np.int64]:
    """Labelled turns of each class that some expert can judge."""
    counts = np.zeros(classes, np.int64)
    for conversation in conversations:
        there = torch.stack([getattr(conversation, f"has_{modality}") for modality in needed]).any(0)
        found = conversation.labels[there & (conversation.labels >= 0)].numpy()
        counts += np.bincount(found, minlength=classes)
    return counts
